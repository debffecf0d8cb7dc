#!/usr/bin/env python3
"""Hostile clients: whatever they send, each gets an answer or is cut off, and the next honest request is answered."""

import concurrent.futures
import http.client
import json
import random
import select
import socket
import struct
import sys
import time
import urllib.parse
import zlib

import support

support.use_own_python()


class Server:
    def __init__(self, url):
        parts = urllib.parse.urlsplit(url)
        self.at = (parts.hostname, parts.port)

    def ask(self, method, path, body=None, headers=None):
        connection = http.client.HTTPConnection(*self.at, timeout=60)
        try:
            connection.request(method, path, body=body, headers=headers or {})
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        finally:
            connection.close()

    def predict(self, body, kind="image/png"):
        return self.ask("POST", "/v1/predict", body, {"Content-Type": kind})

    def raw(self, data, wait=60):
        """Sends bytes as they are; returns what comes back until the connection ends."""
        with socket.create_connection(self.at, timeout=wait) as connection:
            try:
                connection.sendall(data)
                connection.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # Cut off already.
            out = b""
            try:
                while piece := connection.recv(65536):
                    out += piece
            except OSError:
                pass
            return out

    def still_serves(self, after):
        status, _, body = self.predict(support.picture((200, 20, 20)))
        assert status == 200 and b"mostly red" in body, (after, status, body)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, data=b""):
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def huge_images(server):
    good = support.picture((1, 2, 3), form="JPEG")
    start = good.index(b"\xff\xc0")
    jpeg = good[:start + 5] + struct.pack(">HH", 65500, 65500) + good[start + 9:]
    webp = b"RIFF" + struct.pack("<I", 22) + b"WEBPVP8X" + struct.pack("<I", 10) + bytes([0] * 4) + b"\xff\xff\xff" * 2
    for name, body in (("png", png(2**31 - 1, 2**31 - 1)), ("png", png(60000, 60000)), ("png", png(0, 0)), ("jpeg", jpeg), ("webp", webp)):
        status, _, answer = server.predict(body)
        assert status == 422, (name, status, answer)
    status, _, answer = server.predict(png(60000, 60000))
    assert b"60000 x 60000" in answer, answer
    # A bomb within the limit of pixels, almost nothing as a file.
    status, _, _ = server.predict(png(7000, 7000, bytes(7000 * 21001)))
    assert status in (200, 422), status


def damaged_images(server):
    draw = random.Random(1)
    images = [support.picture((9, 200, 9), form=form) for form in ("PNG", "JPEG", "WEBP")]
    for image in images:
        for _ in range(60):
            body = bytearray(image)
            for _ in range(draw.randrange(1, 9)):
                body[draw.randrange(len(body))] = draw.randrange(256)
            status, _, answer = server.predict(bytes(body[:draw.randrange(1, len(body) + 1)]))
            assert status in (200, 422), (status, answer)


def json_tricks(server):
    cases = [b"", b"{", b"[" * 100000, b'{"images": ["' + b"A" * 1_000_003 + b'"]}', b'{"images": [""]}', b'{"images": ["AAAA"], "top": 1e400}',
             b'{"images": ["AAAA"], "images": 7}', b"\x00\xff", b'{"images": ["' + b"=" * 1000 + b'"]}', b'{"images":' + b"[" * 31 + b"]" * 31 + b"}"]
    for body in cases:
        status, _, answer = server.predict(body, "application/json")
        assert status in (400, 422), (body[:40], status, answer[:200])
        assert json.loads(answer)["status"] == status


def path_tricks(server):
    for path in ("/../../etc/passwd", "/assets/../../../etc/passwd", "/assets/%2e%2e/%2e%2e/etc/passwd", "/assets/..%2f..%2fetc%2fpasswd",
                 "//etc/passwd", "/assets//etc/passwd", "/assets/%00", "/assets/page.css%00.js", "/examples/..%2f0", "/assets/watch.html",
                 "/%2e/", "/proc/self/environ", "/\\..\\..", "/assets/" + "a" * 9000):
        status, _, body = server.ask("GET", path)
        assert status in (400, 404), (path, status)
        assert b"root:" not in body


def requests_in_pieces(server):
    """Requests that end early, lie about their length, or are none."""
    for data in (b"GET", b"GET / HTTP/1.1\r\nHost: x\r\n", b"POST /v1/predict HTTP/1.1\r\nContent-Length: 500\r\n\r\nabc", b"\x00" * 5000,
                 b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 500, b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 20000 + b"\r\n",
                 b"POST /v1/predict HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nabc",
                 b"POST /v1/predict HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nabc\r\n0\r\n\r\n",
                 b"POST /v1/predict HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n",
                 b"POST /v1/predict HTTP/1.1\r\nContent-Length: 18446744073709551615\r\n\r\nx"):
        answer = server.raw(data)
        assert answer == b"" or answer.split()[1] in (b"400", b"413", b"415", b"431"), (data[:60], answer[:200])


def many_connections(server, limit):
    """Idle ones beyond the limit are turned away, and give way after their time."""
    idle = [socket.create_connection(server.at, timeout=60) for _ in range(limit + 30)]
    try:
        waiting, refused, deadline = set(idle), 0, time.monotonic() + 60
        while refused < len(idle) - limit:
            assert waiting and time.monotonic() < deadline, f"{refused} of {len(idle)} idle connections were turned away"
            for connection in select.select(list(waiting), [], [], 1)[0]:
                waiting.discard(connection)
                refused += b" 503 " in connection.recv(65536)
        deadline = time.monotonic() + 60
        while b" 200 " not in server.raw(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"):
            assert time.monotonic() < deadline, "idle connections were never closed"
            time.sleep(0.2)
    finally:
        for connection in idle:
            connection.close()


def slow_clients(server):
    """A header and a body that never end hold nobody up."""
    slow = [socket.create_connection(server.at, timeout=60) for _ in range(8)]
    for number, connection in enumerate(slow):
        connection.sendall(b"GET / HTTP/1.1\r\nX: " if number % 2 else b"POST /v1/predict HTTP/1.1\r\nContent-Length: 100000\r\n\r\n")
    server.still_serves("slow clients have begun")
    open_ones, deadline = list(slow), time.monotonic() + 60
    while open_ones and time.monotonic() < deadline:
        for connection in list(open_ones):
            try:
                connection.sendall(b"x")
            except OSError:
                open_ones.remove(connection)
        time.sleep(0.1)
    assert not open_ones, "slow clients were never cut off"
    for connection in slow:
        connection.close()


def a_crowd(server):
    """More at once than the queue holds: each is answered, or told to come again."""
    body = support.picture((20, 20, 200))
    with concurrent.futures.ThreadPoolExecutor(40) as pool:
        answers = list(pool.map(lambda _: server.predict(body)[:2], range(400)))
    statuses = {status for status, _ in answers}
    assert statuses <= {200, 503} and 200 in statuses, statuses
    assert all(headers.get("Retry-After") == "1" for status, headers in answers if status == 503)


def main():
    with support.colour_model("body=4000000", "connections=60", "queue=12", "idle_ms=1500", "receive_ms=1500", "delay_ms=2") as url:
        server = Server(url)
        for attack in (huge_images, damaged_images, json_tricks, path_tricks, requests_in_pieces, slow_clients, a_crowd):
            attack(server)
            server.still_serves(attack.__name__)
        many_connections(server, 60)
        server.still_serves("many_connections")
        status, _, _ = server.predict(b"x" * 4_000_001)
        assert status == 413, status
        _, _, metrics = server.ask("GET", "/metrics")
        assert b'reason="connections"' in metrics and b'reason="slow"' in metrics, metrics.decode()
        assert b"imgtrain_queue_images 0\n" in metrics, "places of the queue were lost"
    print("huge, damaged, tricky, truncated, slow and many: it keeps serving")
    return 0


if __name__ == "__main__":
    sys.exit(main())
