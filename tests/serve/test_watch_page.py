#!/usr/bin/env python3
"""The page of imgtrain watch in a real browser, on a run folder that grows under it, is resumed, and finishes."""

import json
import pathlib
import subprocess
import sys
import tempfile
import time

import support

support.use_own_python()

from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.support.ui import WebDriverWait  # noqa: E402

STAGES = {"steps": 50, "read": 0.1, "decode": 2.0, "wait": 0.5, "copy": 0.05, "forward_backward": 4.0, "exchange": 0.0,
          "optimizer": 0.5}


class Run:
    """A run folder as a trainer writes it."""

    def __init__(self, folder):
        self.folder = folder
        self.now = time.time() - 30
        (folder / "run.json").write_text(json.dumps({"dataset_id": "0123456789abcdef", "recipe": "smoke", "created_by": "imgtrain"}))
        # The page itself reads config.json through the program's own table: an empty one has every default.
        (folder / "config.json").write_text(json.dumps({"model": "resnet18", "batch": 8, "duration": "4ep"}))
        self.live = open(folder / "live.jsonl", "w")

    def event(self, kind, record=True, **fields):
        self.now += 0.5
        line = json.dumps({"message_type": kind, "time": self.now, **fields}) + "\n"
        self.live.write(line)
        self.live.flush()
        if record:
            with open(self.folder / "metrics.jsonl", "a") as file:
                file.write(line)

    def start(self, step=0):
        self.event("resume" if step else "start", step=step, epoch=1, total_steps=200, device="cpu", threads=2, created_by="imgtrain 0")

    def progress(self, first, last):
        for step in range(first, last + 1):
            self.event("progress", record=False, step=step, epoch=1, loss=3 - step / 100, accuracy=10, learning_rate=0.1)

    def epoch(self, step):
        self.event("epoch", stage="train", epoch=1, step=step, loss=2.5, accuracy=20, accuracy_top5=50, learning_rate=0.1, epoch_time=9,
                   images_per_second=321, order_digest="0" * 16, starved_share=0.1, bottleneck="decode-bound: more cores", stages=STAGES)
        self.event("evaluation", stage="val", epoch=1, step=step, loss=2.4, accuracy=33.25, accuracy_top5=66.5, images=24, epoch_time=1)


def text(driver, id):
    return driver.find_element(By.ID, id).text


def wait_for(driver, id, what):
    WebDriverWait(driver, 30).until(lambda d: what in text(d, id), f"expected '{what}' in {id}")


def points(driver, chart):
    """What the chart itself has drawn: the sizes of its curves."""
    return driver.execute_script("return Chart.getChart(arguments[0]).data.datasets.map((set) => [set.label, set.data.length])", chart)


def check(driver, url, run):
    driver.get(url)
    wait_for(driver, "status", "Nothing was trained yet.")
    run.start()
    run.progress(1, 20)
    run.event("line", record=False, text="input: 2 decoding threads <b>")
    run.event("machine", record=False, cpu=0.75, memory_bytes=2**30, gpus=[{"name": "X", "use": 0.5, "memory_bytes": 2**30, "memory_total_bytes": 2**34}])
    wait_for(driver, "status", "Training.")
    wait_for(driver, "log", "input: 2 decoding threads <b>")
    facts = text(driver, "facts")
    for what in ("20\nof 200", "75 %", "GPU 0\n50 %", "$2.50 an hour", "Still to go"):
        assert what in facts, (what, facts)
    assert ["training, epoch so far", 20] in points(driver, "loss"), points(driver, "loss")
    assert driver.find_element(By.ID, "progress").get_attribute("aria-valuenow") == "10"

    run.progress(21, 50)
    run.epoch(50)
    wait_for(driver, "bottleneck", "decode-bound: more cores")
    assert "forward and backward\n80.0 ms" in text(driver, "stages"), text(driver, "stages")
    wait_for(driver, "facts", "33.25 %")
    assert ["validation", 1] in points(driver, "loss")
    assert "validation top-1 33.25" in driver.find_element(By.ID, "accuracy").get_attribute("aria-label")

    run.start(step=30)  # It was killed, and goes on from step 30.
    run.progress(31, 32)
    WebDriverWait(driver, 30).until(lambda d: ["training, epoch so far", 32] in points(d, "loss"), "lost work is taken back")
    wait_for(driver, "facts", "resumed 1 ×")

    (run.folder / "result.json").write_text(json.dumps({"accuracy": 44.5, "accuracy_top5": 77}))
    wait_for(driver, "status", "Finished.")
    wait_for(driver, "facts", "44.50 %")
    assert "Still to go" not in text(driver, "facts")
    log = [entry["message"] for entry in driver.get_log("browser")]
    assert log == [], log


def main():
    with tempfile.TemporaryDirectory() as folder:
        (pathlib.Path(folder) / "r1").mkdir()
        run = Run(pathlib.Path(folder) / "r1")
        with support.running(support.BIN / "test_serve_program", "watch", 0, run.folder) as url:
            with support.browser() as driver:
                check(driver, url, run)
            before = sorted(path.name for path in run.folder.iterdir())
            assert before == ["config.json", "live.jsonl", "metrics.jsonl", "result.json", "run.json"], before
        for scheme, width in (("dark", 390), ("light", 390)):
            with support.running(support.BIN / "test_serve_program", "watch", 0, run.folder) as url, \
                    support.browser(width=width, scheme=scheme) as driver:
                driver.get(url)
                wait_for(driver, "status", "Finished.")
                assert driver.execute_script("return document.documentElement.scrollWidth") <= width
        failed = subprocess.run([support.BIN / "test_serve_program", "watch", "0", folder], capture_output=True, text=True)
        assert failed.returncode == 1 and "expected a run folder" in failed.stderr, failed.stderr
    print("the page follows a run that grows, is resumed and finishes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
