"""Runs tests/parity/policy_dump.cc; shared by the tests of augmentation."""

import os
import subprocess

import numpy as np

PROGRAM = os.path.join(os.environ["BIN_DIR"], "parity_policy_dump")


def lines(requests):
    """Answers to requests of one line."""
    done = subprocess.run([PROGRAM], input="\n".join(requests), capture_output=True, text=True, check=True)
    return [line.split() for line in done.stdout.splitlines()]


def images(requests):
    """Answers to (line, image) requests: (draws, image)."""
    data = b"".join(line.encode() + b"\n" + image.tobytes() + b"\n" for line, image in requests)
    out = subprocess.run([PROGRAM], input=data, capture_output=True, check=True).stdout
    answers, at = [], 0
    for _, image in requests:
        end = out.index(b"\n", at)
        draws = [float(word) for word in out[at:end].split()]
        at = end + 1
        answers.append((draws, np.frombuffer(out, np.uint8, image.size, at).reshape(image.shape)))
        at += image.size
    assert at == len(out)
    return answers


def pictures():
    """Images that show what an operation does: smooth, noisy, dark, flat, and of odd sizes."""
    random = np.random.default_rng(3)
    result = []
    for height, width in [(40, 40), (33, 48), (64, 37), (7, 9)]:
        y, x = np.mgrid[0:height, 0:width]
        smooth = np.stack([x * 255 / width, y * 255 / height, (x + y) * 255 / (width + height)], -1)
        noise = random.integers(0, 256, (height, width, 3))
        result += [smooth, noise, smooth * 0.3 + 20, (smooth + noise) / 2]
    result.append(np.full((16, 16, 3), 77))
    return [image.astype(np.uint8) for image in result]
