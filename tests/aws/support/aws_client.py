"""`aws` for the tests: hands its call to aws_server.py and ends as the call ends."""

import json
import os
import socket
import sys

server = socket.socket(socket.AF_UNIX)
server.connect(os.environ["AWS_SERVER_SOCKET"])
request = {"arguments": sys.argv[1:], "environment": dict(os.environ), "folder": os.getcwd()}
message = json.dumps(request).encode() + b"\n"
sent = socket.send_fds(server, [message], [0, 1, 2])
server.sendall(message[sent:])
answer = server.recv(1)
sys.exit(answer[0] if answer else 255)
