"""The measuring part of scripts/bench-serve: clients that ask as fast as they are answered, each on a connection it keeps."""

import argparse
import http.client
import json
import statistics
import threading
import time
import urllib.parse


def ask(address, body, begin, end, out, failures):
    connection = http.client.HTTPConnection(*address, timeout=60)
    while (now := time.perf_counter()) < end:
        connection.request("POST", "/v1/predict", body, {"Content-Type": "application/octet-stream"})
        answer = connection.getresponse()
        text = answer.read()
        if now < begin:
            continue  # Warm-up.
        if answer.status == 200:
            out.append((time.perf_counter() - now, json.loads(text)))
        else:
            failures.append(answer.status)
    connection.close()


def percentile(values, share):
    return values[min(len(values) - 1, int(share * len(values)))]


def measure(address, body, clients, seconds):
    begin = time.perf_counter() + seconds / 5
    end = begin + seconds
    out, failures = [], []
    threads = [threading.Thread(target=ask, args=(address, body, begin, end, out, failures)) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if not out:
        raise SystemExit(f"no request was answered; statuses: {sorted(set(failures))}")
    milliseconds = sorted(1000 * each for each, _ in out)
    return {"message_type": "serve", "clients": clients, "requests": len(out), "refused": len(failures),
            "requests_per_second": len(out) / seconds, "p50_ms": percentile(milliseconds, 0.5), "p90_ms": percentile(milliseconds, 0.9),
            "p99_ms": percentile(milliseconds, 0.99), "max_ms": milliseconds[-1],
            "mean_batch": statistics.mean(answer["batch"] for _, answer in out),
            "model_p50_ms": statistics.median(answer["milliseconds"]["model"] for _, answer in out)}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--clients", default="1,4,16")
    parser.add_argument("url")
    parser.add_argument("image")
    options = parser.parse_args()
    parts = urllib.parse.urlsplit(options.url)
    with open(options.image, "rb") as file:
        body = file.read()
    if not options.json:
        print("clients  requests/s  p50 ms  p90 ms  p99 ms  max ms  batch  refused")
    for clients in (int(word) for word in options.clients.split(",")):
        row = measure((parts.hostname, parts.port or 80), body, clients, options.seconds)
        if options.json:
            print(json.dumps(row), flush=True)
        else:
            print(f"{clients:7d}  {row['requests_per_second']:10.1f}  {row['p50_ms']:6.1f}  {row['p90_ms']:6.1f}  {row['p99_ms']:6.1f}"
                  f"  {row['max_ms']:6.1f}  {row['mean_batch']:5.1f}  {row['refused']:7d}", flush=True)


if __name__ == "__main__":
    main()
