"""The real aws command line, without its half second of start-up: a process that has it loaded forks for each call.

    aws_server.py SOCKET        the server

aws_client.py, under the name `aws`, sends it arguments, environment, folder, stdin, stdout and stderr. The child
runs awscli's own main function on them, so that nothing but the start differs
from the installed command. A caller that goes away (timeout) takes its child with it.
"""

import json
import os
import select
import signal
import socket
import sys
import threading
import traceback

import awscli.clidriver
import botocore.client
import botocore.loaders

DATA_PATH = os.environ["AWS_DATA_PATH"]  # set by awscli when it is imported


def warm_up():
    """What every call loads again: the descriptions of the services. They are read once, here, and inherited."""
    read = botocore.loaders.JSONFileLoader.load_file
    cache = {}

    def cached(self, path):
        if path not in cache:
            cache[path] = read(self, path)
        return cache[path]

    botocore.loaders.JSONFileLoader.load_file = cached
    driver = awscli.clidriver.create_clidriver()
    for service in ("ec2", "s3", "ssm", "autoscaling", "iam", "sts", "lambda", "ecr"):
        driver.session.create_client(service, region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")


def run_child(request, descriptors):
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.environ.clear()
    os.environ.update(request["environment"], AWS_DATA_PATH=DATA_PATH)
    os.chdir(request["folder"])
    sys.argv = ["aws", *request["arguments"]]
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w")
    status = 255
    try:
        status = awscli.clidriver.main()
    except SystemExit as end:
        status = end.code or 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status if isinstance(status, int) else 1)


def serve(connection):
    with connection:
        data, descriptors, _, _ = socket.recv_fds(connection, 1 << 20, 3)
        while not data.endswith(b"\n"):
            data += connection.recv(1 << 20)
        child = os.fork()
        if child == 0:
            run_child(json.loads(data), descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        waiting = os.pidfd_open(child)
        ready, _, _ = select.select([waiting, connection], [], [])
        if waiting not in ready:
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        os.close(waiting)
        connection.send(bytes([os.waitstatus_to_exitcode(status) & 255]))


if __name__ == "__main__":
    warm_up()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(sys.argv[1])
    listener.listen(64)
    while True:
        threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
