"""The real aws command line, without its half second of start-up: a process that has it loaded forks for each call.

    aws_server.py SOCKET        the server

aws_client.py, under the name `aws`, sends it arguments, environment, folder, stdin, stdout and stderr. The child
runs awscli's own main function on them, so that nothing but the start differs
from the installed command. A caller that goes away (timeout) takes its child with it.
"""

import contextlib
import ctypes
import gc
import json
import os
import select
import signal
import socket
import struct
import sys
import threading
import traceback

import awscli.clidriver
import botocore.client
import botocore.loaders

CLONE_NEWNS = 0x00020000  # <linux/sched.h>
DATA_PATH = os.environ["AWS_DATA_PATH"]  # set by awscli when it is imported


def remember(owner, name):
    """Makes a method whose answer depends on its arguments and on files that never change read those files once."""
    method, cache = getattr(owner, name), {}

    def remembering(self, *arguments, **words):
        key = (arguments, tuple(sorted(words.items())))
        if key not in cache:
            cache[key] = method(self, *arguments, **words)
        return cache[key]

    setattr(owner, name, remembering)


def warm_up():
    """What every call loads again is loaded once, here, and inherited: the descriptions of the services, the modules that
    are imported on first use, and a driver with its hundreds of handlers. Returns the driver; it has read no setting yet."""
    remember(botocore.loaders.JSONFileLoader, "load_file")
    remember(botocore.loaders.Loader, "list_available_services")
    os.environ.update(AWS_ACCESS_KEY_ID="x", AWS_SECRET_ACCESS_KEY="x", AWS_REGION="us-east-1", AWS_DEFAULT_REGION="us-east-1", AWS_MAX_ATTEMPTS="1",
                      AWS_ENDPOINT_URL="http://127.0.0.1:9", AWS_CONFIG_FILE=os.devnull, AWS_SHARED_CREDENTIALS_FILE=os.devnull)
    driver = awscli.clidriver.create_clidriver()
    for service in ("ec2", "s3", "ssm", "autoscaling", "iam", "sts", "lambda", "ecr"):
        driver.session.create_client(service)
    # Nothing listens there: the calls fail, having gone all the way.
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
        for call in (["ec2", "describe-volumes"], ["s3api", "list-buckets"], ["s3", "ls"], ["s3", "cp", os.devnull, "s3://b/k"]):
            awscli.clidriver.create_clidriver().main(call)
    driver = awscli.clidriver.create_clidriver()
    commands = driver._get_command_table()
    for service in ("ec2", "s3api", "autoscaling"):
        commands[service]._get_command_table()
    return driver


def enter_files_of(process):
    """The mount name space of the caller: the files that a call names are those that its caller sees."""
    path = f"/proc/{process}/ns/mnt"
    if os.path.exists(path) and os.readlink(path) != os.readlink("/proc/self/ns/mnt"):
        libc = ctypes.CDLL(None, use_errno=True)
        with open(path) as space:
            if libc.setns(space.fileno(), CLONE_NEWNS) != 0:
                raise OSError(ctypes.get_errno(), "setns")


def run_child(driver, process, request, descriptors):
    enter_files_of(process)
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
    gc.disable()  # it lives for a tenth of a second
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.environ.clear()
    os.environ.update(request["environment"], AWS_DATA_PATH=DATA_PATH)
    os.chdir(request["folder"])
    sys.argv = ["aws", *request["arguments"]]
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w")
    status = 255
    try:
        status = driver.main(sys.argv[1:])
    except SystemExit as end:
        status = end.code or 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status if isinstance(status, int) else 1)


def serve(driver, connection):
    with connection:
        data, descriptors, _, _ = socket.recv_fds(connection, 1 << 20, 3)
        while not data.endswith(b"\n"):
            data += connection.recv(1 << 20)
        process = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))[0]
        child = os.fork()
        if child == 0:
            run_child(driver, process, json.loads(data), descriptors)
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
    ready_driver = warm_up()
    gc.collect()
    gc.freeze()  # what was loaded stays shared with the children
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(sys.argv[1])
    listener.listen(64)
    while True:
        threading.Thread(target=serve, args=(ready_driver, listener.accept()[0]), daemon=True).start()
