#!/usr/bin/env python3
"""Where a run's curves go, read by those who will read them: TensorBoard's own reader and a real MLflow server.

Trains twice into one run folder (stopped and resumed) with --tensorboard and --mlflow, and compares every accuracy and
loss of metrics.jsonl with what the two say. Skips with exit code 77 where .venv-sinks is not installed.
"""

import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

PROJECT = pathlib.Path(os.environ["PROJECT_DIR"])
BIN = pathlib.Path(os.environ["BIN_DIR"])
PYTHON = PROJECT / ".venv-sinks" / "bin" / "python"
# What TensorBoard holds of one tag, as JSON: {tag: [[step, value], ...]}.
READ_TENSORBOARD = """
import json, sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
accumulator = EventAccumulator(sys.argv[1], size_guidance={"scalars": 0}, purge_orphaned_data=True)
accumulator.Reload()
print(json.dumps({tag: [[e.step, e.value] for e in accumulator.Scalars(tag)] for tag in accumulator.Tags()["scalars"]}))
"""


def run(*words, **options):
    return subprocess.run([str(word) for word in words], check=True, capture_output=True, text=True, **options)


def train(shards, out, uri, *more, wait=True):
    words = [BIN / "imgtrain", "--shards", shards, "--recipe", "smoke", "--out", out, "--threads", 1, "--input-threads", 1,
             "--batch", 8, "--bn-group", 8, "--train-size", 32, "--eval-size", 32, "--eval-resize", 36, "--duration",
             "3ep", "--checkpoint-every", "2ba", "--tensorboard", "true", "--mlflow", uri, "--mlflow-experiment",
             "sinks test", "-q", *more]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([str(word) for word in words], env=environment, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    if not wait:
        return process
    output, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors
    return errors


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def call(uri, target, body=None):
    request = urllib.request.Request(f"{uri}/api/2.0/mlflow/{target}", data=body and json.dumps(body).encode(),
                                     headers={"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def start_mlflow(folder):
    uri = f"http://127.0.0.1:{free_port()}"
    log = open(folder / "mlflow.log", "w")
    server = subprocess.Popen(
        [str(PYTHON), "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", uri.rsplit(":", 1)[1], "--workers", "1",
         "--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--default-artifact-root", str(folder / "artifacts")],
        stdout=log, stderr=log, cwd=folder, start_new_session=True,
        env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"})
    for _ in range(600):
        try:
            with urllib.request.urlopen(f"{uri}/health", timeout=5):
                return server, uri
        except OSError:
            assert server.poll() is None, (folder / "mlflow.log").read_text()[-3000:]
            time.sleep(0.5)
    raise AssertionError("the MLflow server did not start within 5 minutes")


def events_of(out):
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def expected_of(out):
    """tag -> [(step, value)] of the run as it ended: a row of work that was lost is followed by its repetition."""
    expected = {}
    for event in events_of(out):
        if event["message_type"] not in ("epoch", "evaluation"):
            continue
        for key in ("loss", "accuracy", "accuracy_top5"):
            expected.setdefault(f"{event['stage']}/{key}", {})[event["step"]] = event[key]
    return expected


def check_tensorboard(out, expected):
    found = json.loads(run(PYTHON, "-c", READ_TENSORBOARD, out / "tensorboard").stdout)
    for tag, values in expected.items():
        got = dict(found[tag])
        assert sorted(got) == sorted(values), (tag, got, values)
        for step, value in values.items():
            assert abs(got[step] - value) <= 1e-6 * max(1, abs(value)), (tag, step, got[step], value)
    assert "train/stages.forward_backward" in found, sorted(found)
    steps = [step for step, _ in found["train/loss"]]
    assert steps == sorted(set(steps)), steps


def check_mlflow(out, uri, expected):
    record = json.loads((out / "mlflow.json").read_text())
    info = call(uri, f"runs/get?run_id={record['run_id']}")["run"]
    assert info["info"]["status"] == "FINISHED", info["info"]
    assert info["info"]["run_name"] == out.name
    parameters = {row["key"]: row["value"] for row in info["data"]["params"]}
    assert parameters["batch"] == "8" and parameters["duration"] == "3ep", parameters
    for tag, values in expected.items():
        history = call(uri, f"metrics/get-history?run_id={record['run_id']}&metric_key={tag.replace('/', '%2F')}")
        got = {int(row["step"]): row["value"] for row in history["metrics"]}
        assert sorted(got) == sorted(values), (tag, got, values)
        for step, value in values.items():
            assert abs(got[step] - value) <= 1e-9 * max(1, abs(value)), (tag, step)
    experiments = call(uri, "experiments/search", {"max_results": 100})["experiments"]
    assert [row["name"] for row in experiments].count("sinks test") == 1


def main():
    if not PYTHON.exists():
        print(f"skipped: {PYTHON} is not here (scripts/setup --tests)")
        return 77
    with tempfile.TemporaryDirectory() as text:
        folder = pathlib.Path(text)
        run(BIN / "imgpack", "sample", folder / "sample", "--classes", 4, "--train", 120, "--val", 16, "--test", 0, "--size", 48)
        run(BIN / "imgpack", "build", folder / "sample", folder / "shards", "-q")
        server, uri = start_mlflow(folder)
        try:
            out = folder / "run"
            first = train(folder / "shards", out, uri, wait=False)
            for _ in range(6000):
                latest = out / "checkpoints" / "latest"
                if first.poll() is not None or (latest.exists() and int(latest.read_text()[5:]) >= 20):
                    break
                time.sleep(0.02)
            first.send_signal(signal.SIGKILL)
            first.communicate()
            assert not (out / "result.json").exists(), "the first run ended before it could be killed"
            errors = train(folder / "shards", out, uri)
            assert "MLflow" not in errors, errors
            expected = expected_of(out)
            assert len(expected["val/accuracy"]) == 3, expected
            check_tensorboard(out, expected)
            check_mlflow(out, uri, expected)
        finally:
            os.killpg(server.pid, signal.SIGTERM)
            server.wait(timeout=60)
    print("TensorBoard and MLflow hold the curves of the run")
    return 0


if __name__ == "__main__":
    sys.exit(main())
