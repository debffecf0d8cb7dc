"""A folder's files over HTTP in ranges: range_server.py FOLDER [MIB_S] prints its port. As fast as Python can, or every
connection at MIB_S, as object stores do it."""

import http.server
import os
import re
import sys
import time

PIECE = 1 << 20
folder = os.path.abspath(sys.argv[1])
rate = float(sys.argv[2]) * 2**20 if len(sys.argv) > 2 else None


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        path = os.path.join(folder, os.path.basename(self.path))
        if not os.path.isfile(path):
            return self.send_error(404)
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
            first, last = (int(wanted[1]), min(int(wanted[2]), size - 1)) if wanted else (0, size - 1)
            self.send_response(206 if wanted else 200)
            self.send_header("ETag", '"%x"' % os.fstat(file.fileno()).st_mtime_ns)
            self.send_header("Content-Length", str(last + 1 - first))
            if wanted:
                self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
            self.end_headers()
            self.wfile.flush()
            start, begin = time.monotonic(), first
            while first <= last:
                first += os.sendfile(self.connection.fileno(), file.fileno(), first, min(last + 1 - first, PIECE))
                if rate:
                    time.sleep(max(0.0, start + (first - begin) / rate - time.monotonic()))

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.daemon_threads = True
print(server.server_port, flush=True)
server.serve_forever()
