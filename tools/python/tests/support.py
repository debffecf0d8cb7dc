"""Datasets for the tests of the Python package: made once per file by the programs themselves."""

import os
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

BIN_DIR = Path(os.environ["BIN_DIR"])
PROJECT = Path(os.environ["PROJECT_DIR"])
SMALL = {"size": 32, "partitions": 4, "block_kib": 64, "threads": 2}  # Options of a loader over a small set.


def skip(reason):
    """Ends a test file that cannot run here."""
    print(f"skipped: {reason}")
    sys.exit(77)


class WithShards(unittest.TestCase):
    """`self.shards`: 4 shards of 240 training images of 4 classes, 60 for validation, 8 without labels. Read only."""

    @classmethod
    def setUpClass(cls):
        cls.folder = Path(tempfile.mkdtemp(prefix="imgpack-python-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.shards = build(cls.folder)

    def damaged(self, *records):
        """A copy of the dataset in which these records of `train`, by position, are damaged."""
        import imgpack

        target = Path(tempfile.mkdtemp(dir=self.folder)) / "damaged.shards"
        shutil.copytree(self.shards, target)
        split = imgpack.open(self.shards)["train"]
        for record in records:
            data, _, _ = split[record]
            (shard,) = [path for path in target.glob("train-*.ipk") if data in path.read_bytes()]
            content = bytearray(shard.read_bytes())
            content[content.index(data) + len(data) // 2] ^= 4
            shard.write_bytes(content)
        return target


def build(folder):
    def program(*words):
        subprocess.run([BIN_DIR / "imgpack", *map(str, words)], check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)

    program("sample", folder / "images", "--classes", 4, "--train", 240, "--val", 60, "--test", 8, "--size", 80)
    shards = folder / "images.shards"
    program("build", folder / "images", shards, "--shards", "train=4", "--quiet")
    return shards


def run_python(code, *arguments, **environment):
    """Runs `code` in a process of its own; returns what it printed. Fails where it does, or takes a minute."""
    result = subprocess.run([sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True,
                            timeout=60, env={**os.environ, **environment})
    assert result.returncode == 0, f"exit status {result.returncode}\n{result.stdout}\n{result.stderr}"
    return result.stdout
