"""A torrent of a folder, and a tracker for it: enough for two clients on loopback to find each other.

    torrent.py make FOLDER FILE ANNOUNCE-ADDRESS
    torrent.py track PORT
"""

import hashlib
import pathlib
import sys
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PIECE = 1 << 16


def bencode(value):
    if isinstance(value, int):
        return b"i%de" % value
    if isinstance(value, str):
        value = value.encode()
    if isinstance(value, bytes):
        return b"%d:%s" % (len(value), value)
    if isinstance(value, list):
        return b"l" + b"".join(map(bencode, value)) + b"e"
    return b"d" + b"".join(bencode(key) + bencode(value[key]) for key in sorted(value)) + b"e"


def make(folder, file, announce):
    folder = pathlib.Path(folder)
    names = sorted(path for path in folder.rglob("*") if path.is_file())
    content = b"".join(path.read_bytes() for path in names)
    pieces = b"".join(hashlib.sha1(content[at : at + PIECE]).digest() for at in range(0, len(content), PIECE))
    files = [{"length": path.stat().st_size, "path": list(path.relative_to(folder).parts)} for path in names]
    info = {"name": folder.name, "piece length": PIECE, "pieces": pieces, "files": files, "private": 1}
    pathlib.Path(file).write_bytes(bencode({"announce": announce, "info": info}))


class Tracker(BaseHTTPRequestHandler):
    peers = set()

    def do_GET(self):
        query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(self.path).query, encoding="latin-1"))
        if query.get("port", "").isdigit():
            self.peers.add(int(query["port"]))
        compact = b"".join(bytes([127, 0, 0, 1]) + port.to_bytes(2, "big") for port in sorted(self.peers))
        body = bencode({"interval": 1, "min interval": 1, "peers": compact})
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


if sys.argv[1] == "make":
    make(*sys.argv[2:5])
else:
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Tracker)
    server.daemon_threads = True
    print(server.server_port, flush=True)
    server.serve_forever()
