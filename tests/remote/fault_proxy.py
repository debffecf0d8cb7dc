"""A web server that misbehaves on demand: a folder's files in ranges, or another server (moto's S3) behind it.

    fault_proxy.py FOLDER | http://HOST:PORT   [--keys ID:SECRET[:TOKEN]] [--tls CERTIFICATE KEY]

Prints its port. With --keys every request must carry a signature of these keys that is right by AWS's own rules
(Signature Version 4, computed here from nothing but the request); otherwise 403.

PUT /_faults, a JSON list of {match, nth, times, kind, …}: `match` is a pattern for `METHOD TARGET RANGE`; from the nth
match on (default 1), `times` times (default 1; 0: always):
    status  {status, headers, body}   answer with this
    cut     {after}                   hang up after so many bytes of the body
    stall   {after, seconds}          fall silent there for so long, then hang up
    slow    {rate}                    send so many bytes a second
    flip    {at}                      one bit of the body is another: byte `at` of it
    noise                             the same, another byte each time
    range                             Content-Range and body are those of another range
    short                             half of the body, with a Content-Length to match
    longer                            a hundred bytes more than there are
    whole                             200 and the whole file instead of the range
    etag    {value}                   another ETag
    hang_up                           close the connection at once
    delay   {seconds}                 answer late
GET /_faults: how often each was met, a number a line.
GET /_log: one line per request, `METHOD TARGET RANGE -> STATUS BYTES`. DELETE /_log empties it.
"""

import argparse
import hashlib
import hmac
import http.client
import http.server
import json
import os
import re
import ssl
import sys
import threading
import time
import urllib.parse

lock = threading.Lock()
faults, log, noise = [], [], [0]


def signature_is_right(handler, body):
    """None, or why not."""
    id_, secret, *token = arguments.keys.split(":")
    found = re.fullmatch(r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d+)/([^/]+)/s3/aws4_request, SignedHeaders=([^,]+), Signature=(\w+)",
                         handler.headers.get("Authorization", ""))
    if not found:
        return "AccessDenied", "there is no signature"
    key, day, region, signed, given = found.groups()
    if key != id_:
        return "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records."
    if token and handler.headers.get("x-amz-security-token") != token[0]:
        return "InvalidToken", "another session token"
    names = signed.split(";")
    needed = {"host", "x-amz-date", "x-amz-content-sha256"} | {n.lower() for n in handler.headers if n.lower().startswith("x-amz-")}
    if names != sorted(names) or not needed <= set(names):
        return "AccessDenied", f"not signed: {needed - set(names)}"
    path, _, query = handler.path.partition("?")
    pairs = sorted((pair.partition("=")[0], pair.partition("=")[2]) for pair in query.split("&") if pair)
    payload = handler.headers["x-amz-content-sha256"]
    if payload not in ("UNSIGNED-PAYLOAD", hashlib.sha256(body).hexdigest()):
        return "XAmzContentSHA256Mismatch", "another body"
    canonical = "\n".join([handler.command, urllib.parse.quote(urllib.parse.unquote(path), safe="/-._~"),
                           "&".join(f"{n}={v}" for n, v in pairs),
                           "".join(f"{n}:{' '.join(handler.headers[n].split())}\n" for n in names), signed, payload])
    scope = f"{day}/{region}/s3/aws4_request"
    text = "\n".join(["AWS4-HMAC-SHA256", handler.headers["X-Amz-Date"], scope, hashlib.sha256(canonical.encode()).hexdigest()])
    digest = ("AWS4" + secret).encode()
    for part in (day, region, "s3", "aws4_request"):
        digest = hmac.new(digest, part.encode(), hashlib.sha256).digest()
    if hmac.new(digest, text.encode(), hashlib.sha256).hexdigest() != given:
        return "SignatureDoesNotMatch", "The request signature we calculated does not match the signature you provided."
    return None


def next_fault(line):
    with lock:
        for fault in faults:
            if not re.search(fault["match"], line):
                continue
            fault["seen"] = fault.get("seen", 0) + 1
            first, times = fault.get("nth", 1), fault.get("times", 1)
            if fault["seen"] >= first and (times == 0 or fault["seen"] < first + times):
                fault["met"] = fault.get("met", 0) + 1
                return dict(fault)
    return None


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def answer(self, status, headers, body, declared=None):
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in ("content-length", "connection", "transfer-encoding"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if declared is None else declared))
        self.end_headers()
        self.status = status
        if self.command != "HEAD":
            self.wfile.write(body)
            self.sent += len(body)

    def from_folder(self):
        """(status, headers, body) of a file, a range of it, or 404."""
        path = os.path.normpath(os.path.join(arguments.source, urllib.parse.unquote(self.path.partition("?")[0]).lstrip("/")))
        if not path.startswith(os.path.abspath(arguments.source)) or not os.path.isfile(path):
            return 404, [("Content-Type", "text/plain")], b"no such file\n"
        size = os.path.getsize(path)
        headers = [("ETag", '"%x-%x"' % (os.stat(path).st_mtime_ns, size)), ("Accept-Ranges", "bytes")]
        if self.headers.get("If-Match") not in (None, headers[0][1]):
            return 412, headers, b""
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        with open(path, "rb") as file:
            if not wanted:
                return 200, headers, file.read()
            first, last = int(wanted[1]), min(int(wanted[2]), size - 1)
            if first >= size:
                return 416, [*headers, ("Content-Range", f"bytes */{size}")], b""
            file.seek(first)
            return 206, [*headers, ("Content-Range", f"bytes {first}-{last}/{size}")], file.read(last + 1 - first)

    def from_server(self, body):
        """Whatever the other server says. It is asked under the name that the client used."""
        backend = urllib.parse.urlsplit(arguments.source)
        connection = http.client.HTTPConnection(backend.hostname, backend.port, timeout=60)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in ("expect", "connection")}
        connection.request(self.command, self.path, body=body or None, headers={**headers, "Content-Length": str(len(body))})
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        return answer.status, answer.getheaders(), data

    def serve(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path == "/_faults":
            with lock:
                if self.command == "PUT":
                    faults[:] = json.loads(body)
                met = "".join(f"{fault.get('met', 0)}\n" for fault in faults)
            return self.answer(200, [], b"" if self.command == "PUT" else met.encode())
        if self.path == "/_log":
            with lock:
                text = "".join(line + "\n" for line in log)
                if self.command == "DELETE":
                    log.clear()
            return self.answer(200, [], text.encode())
        line = f"{self.command} {self.path} {self.headers.get('Range', '-')}"
        self.sent, self.status = 0, 0
        try:
            self.serve_line(line, body)
        finally:
            with lock:
                log.append(f"{line} -> {self.status} {self.sent}")

    def serve_line(self, line, body):
        if arguments.keys:
            wrong = signature_is_right(self, body)
            if wrong:
                text = f"<?xml version='1.0'?><Error><Code>{wrong[0]}</Code><Message>{wrong[1]}</Message></Error>"
                return self.answer(403, [("Content-Type", "application/xml")], text.encode())
        fault = next_fault(line) or {"kind": None}
        kind = fault["kind"]
        if kind == "hang_up":
            self.close_connection = True
            return None
        if kind == "status":
            return self.answer(fault["status"], list(fault.get("headers", {}).items()), fault.get("body", "").encode())
        if kind == "delay":
            time.sleep(fault["seconds"])
        if kind == "whole":
            del self.headers["Range"]
        if kind == "range":
            first, last = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers["Range"]).groups()
            self.headers.replace_header("Range", f"bytes={int(first) + 1}-{int(last) + 1}")
        status, headers, data = self.from_server(body) if arguments.source.startswith("http://") else self.from_folder()
        if kind == "etag":
            headers = [(n, v) for n, v in headers if n.lower() != "etag"] + [("ETag", fault["value"])]
        if kind in ("flip", "noise") and data:
            with lock:
                noise[0] += 1
                at = (fault["at"] if kind == "flip" else len(data) // 2 + noise[0]) % len(data)
            data = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        if kind == "short":
            data = data[: len(data) // 2]
        if kind == "longer":
            data += b"x" * 100
        if kind in ("cut", "stall"):
            self.answer(status, headers, data[: fault["after"]], declared=len(data))
            self.wfile.flush()
            self.close_connection = True
            if kind == "stall":
                time.sleep(fault["seconds"])
            return None
        if kind == "slow":
            self.answer(status, headers, b"", declared=len(data))
            step = max(1, fault["rate"] // 20)
            for at in range(0, len(data), step):
                self.wfile.write(data[at : at + step])
                self.wfile.flush()
                self.sent += len(data[at : at + step])
                time.sleep(0.05)
            return None
        return self.answer(status, headers, data)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = serve

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], OSError):  # A client that hangs up is no news.
            super().handle_error(request, client_address)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("source")
    parser.add_argument("--keys")
    parser.add_argument("--tls", nargs=2)
    arguments = parser.parse_args()
    server = Server(("127.0.0.1", 0), Handler)
    if arguments.tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*arguments.tls)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    print(server.server_port, flush=True)
    server.serve_forever()
