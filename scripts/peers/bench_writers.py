"""Runs every writer of writers.py in turn, round after round, and writes what came out: called by scripts/bench-writers.

Each measurement is a process of its own. What is timed is the writing alone, images read from a warm page cache; the
start of Python and of its libraries is not.
"""

import argparse
import importlib.metadata
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time

import writers

ROOT = pathlib.Path(__file__).resolve().parents[2]
PACKAGES = {"webdataset": "webdataset", "mds": "mosaicml-streaming", "ffcv": "ffcv"}


def parse_arguments():
    parser = argparse.ArgumentParser(prog="scripts/bench-writers", allow_abbrev=False)
    parser.add_argument("images", nargs="?", default=str(ROOT / "../shared/data/imagenet-samples.tar"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", default="1")
    parser.add_argument("--images", dest="count", type=int, default=3000)
    parser.add_argument("--scratch")
    parser.add_argument("--only")
    parser.add_argument("--out", default=str(ROOT / "docs/benchmarks"))
    parser.add_argument("--list", action="store_true")
    arguments = parser.parse_args()
    arguments.threads = [int(n) for n in arguments.threads.split(",")]
    names = arguments.only.split(",") if arguments.only else list(writers.WRITERS)
    unknown = [name for name in names if name not in writers.WRITERS]
    if unknown:
        parser.error(f"unknown writer '{unknown[0]}': expected one of {', '.join(writers.WRITERS)}")
    arguments.names = names
    return arguments


def make_corpus(images, count, folder):
    """`count` JPEGs in class folders, contents as they are; returns their paths."""
    source = pathlib.Path(images)
    if source.is_dir():
        contents = [path.read_bytes() for path in sorted(source.rglob("*")) if path.suffix.lower() in (".jpeg", ".jpg")]
    else:
        with tarfile.open(source) as tar:
            members = sorted((m for m in tar if m.isfile() and m.name.lower().endswith((".jpeg", ".jpg"))), key=lambda m: m.name)
            contents = [tar.extractfile(member).read() for member in members]
    if not contents:
        sys.exit(f"error: no JPEG in {source}")
    paths = []
    for i in range(count):
        wnid = f"n{10_000_000 + i % len(contents):08d}"
        path = folder / wnid / f"{wnid}_{i // len(contents)}.JPEG"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(contents[i % len(contents)])
        paths.append(path)
    return sorted(paths)


def measure(name, corpus, out, threads):
    """One writer, once, in a process of its own. Returns its result, or says why there is none."""
    command = [sys.executable, str(ROOT / "scripts/peers/writers.py"), name, str(corpus), str(out), str(threads)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise RuntimeError((done.stderr.strip().splitlines() or ["no message"])[-1])
    return json.loads(done.stdout.splitlines()[-1])


def spread(values):
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def run(arguments, scratch):
    corpus = scratch / "images"
    paths = make_corpus(arguments.images, arguments.count, corpus)
    print(f"==> {len(paths)} images, {sum(p.stat().st_size for p in paths) / 1e6:.0f} MB", file=sys.stderr)
    results, failed = {}, {}
    for round_number in range(arguments.rounds):
        for threads in arguments.threads:
            for name in arguments.names:
                if name in failed:
                    continue
                out = scratch / "out"
                try:
                    result = measure(name, corpus, out, threads)
                except RuntimeError as error:
                    failed[name] = str(error)
                    print(f"==> {name} is left out: {error}", file=sys.stderr)
                else:
                    results.setdefault((name, threads), []).append(result)
                    rate = result["bytes"] / 1e6 / result["wall_seconds"]
                    print(f"==> round {round_number + 1}: {name}, {threads}: {rate:.0f} MB/s", file=sys.stderr)
                shutil.rmtree(out, ignore_errors=True)
    rows = []
    for (name, threads), runs in results.items():
        rows.append({
            "name": name,
            "title": writers.WRITERS[name].title,
            "threads": threads,
            "mb_per_second": spread([r["bytes"] / 1e6 / r["wall_seconds"] for r in runs]),
            "mb_per_cpu_second": spread([r["bytes"] / 1e6 / r["cpu_seconds"] for r in runs]),
            # imgbench takes away what it wrote.
            "output_ratio": runs[-1]["written_bytes"] / runs[-1]["bytes"] if runs[-1]["written_bytes"] else None,
            "peak_mib": max(r["peak_mib"] for r in runs),
            "images": runs[-1]["images"],
        })
    return rows, failed


def machine():
    model = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?")
    return {"cpu": model, "cores": len(os.sched_getaffinity(0)), "date": time.strftime("%Y-%m-%d")}


def versions():
    found = {}
    for package in PACKAGES.values():
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            pass
    return found


def table(report):
    settings, where = report["settings"], report["machine"]
    lines = [
        "<!-- Written by scripts/bench-writers. -->",
        f"MB of input a second: median (lowest–highest) of {settings['rounds']} interleaved rounds, each writer in a "
        f"process of its own; {settings['images']:,} JPEGs of {settings['source']}, warm page cache. {where['cpu']}, "
        f"{where['cores']} cores, {where['date']}.",
        "",
        "| writer | threads | MB/s | MB per CPU second | output | memory |",
        "|---|---|---|---|---|---|",
    ]
    output = lambda ratio: "" if ratio is None else f"{100 * (ratio - 1):+.2f} %"
    figure = lambda s: f"{s['median']:,.0f} ({s['min']:,.0f}–{s['max']:,.0f})"
    for row in report["writers"]:
        lines.append(
            f"| {row['title']} | {row['threads']} | {figure(row['mb_per_second'])} | {figure(row['mb_per_cpu_second'])} | "
            f"{output(row['output_ratio'])} | {row['peak_mib']:,.0f} MiB |")
    lines.append("")
    lines += [f"Left out: {writers.WRITERS[name].title} ({why})." for name, why in report["failed"].items()]
    lines.append("Versions: " + ", ".join(f"{name} {version}" for name, version in report["versions"].items()) + ".")
    return "\n".join(lines) + "\n"


def main():
    arguments = parse_arguments()
    if arguments.list:
        for name in writers.WRITERS:
            print(f"{name:22} {writers.WRITERS[name].title}")
        return 0
    scratch = pathlib.Path(tempfile.mkdtemp(prefix="bench-writers-", dir=arguments.scratch))
    try:
        rows, failed = run(arguments, scratch)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    report = {
        "machine": machine(),
        "settings": {
            "rounds": arguments.rounds, "images": arguments.count, "source": pathlib.Path(arguments.images).name,
        },
        "versions": versions(), "writers": rows, "failed": failed,
    }
    out = pathlib.Path(arguments.out)
    out.mkdir(parents=True, exist_ok=True)
    (out / "writers.json").write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    (out / "writers.md").write_text(table(report))
    print(table(report), end="")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
