#!/usr/bin/env python3
"""imgtrain serve --lambda against a stand-in for AWS Lambda's runtime API on loopback."""

import base64
import http.server
import json
import os
import queue
import signal
import subprocess
import sys
import threading

import support

support.use_own_python()


class Api:
    """The runtime API as AWS documents it (2018-06-01): events are handed out one by one, answers collected."""

    def __init__(self):
        self.events, self.answers = queue.Queue(), queue.Queue()
        api = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                assert self.path == "/2018-06-01/runtime/invocation/next", self.path
                event = api.events.get()
                body = event if isinstance(event, bytes) else json.dumps(event).encode()
                self.send_response(200)
                self.send_header("Lambda-Runtime-Aws-Request-Id", "id-1")
                self.send_header("Lambda-Runtime-Deadline-Ms", "9999999999999")
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                api.answers.put((self.path, json.loads(body), dict(self.headers)))
                self.send_response(202)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.address = "127.0.0.1:%d" % self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def invoke(self, event):
        self.events.put(event)
        return self.answers.get(timeout=120)


def http_event(method, path, body=b"", kind="image/png", query=""):
    """What a function URL hands over (payload format 2.0)."""
    return {"version": "2.0", "rawPath": path, "rawQueryString": query, "headers": {"content-type": kind, "host": "x"},
            "requestContext": {"http": {"method": method, "path": path, "protocol": "HTTP/1.1"}},
            "body": base64.b64encode(body).decode(), "isBase64Encoded": True}


def check(api):
    red = support.picture((200, 20, 20))
    path, answer, _ = api.invoke(http_event("POST", "/v1/predict", red, query="top=2"))
    assert path.endswith("/invocation/id-1/response"), path
    assert answer["statusCode"] == 200 and answer["isBase64Encoded"] is False, answer
    guesses = json.loads(answer["body"])["predictions"][0]["guesses"]
    assert [guess["name"] for guess in guesses][0] == "mostly red" and len(guesses) == 2, guesses

    _, answer, _ = api.invoke(http_event("POST", "/v1/explain", red))
    assert answer["statusCode"] == 200 and answer["isBase64Encoded"] is True
    assert base64.b64decode(answer["body"]).startswith(b"\x89PNG"), answer["headers"]

    _, answer, _ = api.invoke(http_event("GET", "/"))
    assert answer["headers"]["content-type"].startswith("text/html") and "What is in the picture?" in answer["body"]
    for event, status in ((http_event("GET", "/etc/passwd"), 404), (http_event("GET", "/v1/predict"), 405),
                          (http_event("POST", "/v1/predict", b"no image"), 422), (http_event("GET", "no path"), 404),
                          ({"requestContext": {"http": {}}}, 404)):
        path, answer, _ = api.invoke(event)
        assert path.endswith("/response") and answer["statusCode"] == status, (event, answer)

    event = {**http_event("POST", "/v1/predict"), "body": "no base64!"}
    path, answer, _ = api.invoke(event)
    assert path.endswith("/response") and answer["statusCode"] == 400 and "base64" in answer["body"], answer

    # Invoked directly, without HTTP: the request and the answer are those of the JSON API.
    path, answer, _ = api.invoke({"images": [base64.b64encode(red).decode()], "top": 1})
    assert path.endswith("/response") and answer["predictions"][0]["guesses"][0]["name"] == "mostly red", answer
    for event in ({"images": []}, b"no JSON", 7):
        path, answer, headers = api.invoke(event)
        assert path.endswith("/error") and answer["errorMessage"], (event, answer)
        assert headers["Lambda-Runtime-Function-Error-Type"]


def main():
    api = Api()
    words = [support.BIN / "test_serve_program", "lambda", "0"]
    process = subprocess.Popen([str(word) for word in words], env={**os.environ, "AWS_LAMBDA_RUNTIME_API": api.address})
    try:
        check(api)
        process.send_signal(signal.SIGTERM)  # While it waits for an event.
        assert process.wait(timeout=30) == 0, process.returncode
    finally:
        process.kill()
        process.wait()
    print("events, answers, errors and the end of a Lambda function")
    return 0


if __name__ == "__main__":
    sys.exit(main())
