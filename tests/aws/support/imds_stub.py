"""The instance metadata service, version 2, from a folder of files.

    imds_stub.py PORT FOLDER

PUT /latest/api/token answers with a token of the lifetime that was asked for; every GET under /latest/ needs a live one
(401 otherwise) and answers with the file FOLDER/PATH, or a folder's names (404 where there is none). A file appears, and
the notice is there.
Switches, as files in FOLDER: _no_token (tokens are refused with 503), _slow (answers come after 3 s), _deny (401 for
every token). Each request is a line in FOLDER/_log: method, path, status.
"""

import os
import pathlib
import secrets
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

folder = pathlib.Path(sys.argv[2])
tokens = {}
lock = threading.Lock()


class Handler(BaseHTTPRequestHandler):
    def reply(self, status, body=b"", headers=()):
        with lock, open(folder / "_log", "a") as log:
            log.write(f"{self.command} {self.path} {status}\n")
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_PUT(self):
        lifetime = self.headers.get("X-aws-ec2-metadata-token-ttl-seconds", "")
        if (folder / "_no_token").exists():
            return self.reply(503)
        if self.path != "/latest/api/token" or not lifetime.isdigit() or not 1 <= int(lifetime) <= 21600:
            return self.reply(400)
        token = secrets.token_hex(16)
        tokens[token] = time.time() + int(lifetime)
        self.reply(200, token.encode(), [("X-aws-ec2-metadata-token-ttl-seconds", lifetime)])

    def do_GET(self):
        if (folder / "_slow").exists():
            time.sleep(3)
        token = self.headers.get("X-aws-ec2-metadata-token", "")
        if tokens.get(token, 0) < time.time() or (folder / "_deny").exists():
            return self.reply(401)
        path = folder / self.path.removeprefix("/latest/").strip("/")
        if not self.path.startswith("/latest/") or ".." in self.path or not path.exists():
            return self.reply(404)
        self.reply(200, "\n".join(sorted(os.listdir(path))).encode() if path.is_dir() else path.read_bytes())

    def log_message(self, *args):
        pass


server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
server.daemon_threads = True
print(server.server_port, flush=True)
server.serve_forever()
