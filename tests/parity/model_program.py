"""Runs tests/programs/model_program.cc and compares tensors; shared by the parity tests."""

import os
import pathlib
import subprocess

import torch

PROGRAM = pathlib.Path(os.environ["BIN_DIR"]) / "test_model_program"


def run(*arguments: object, **environment: str) -> str:
    """Returns what the program prints; raises with its own words if it fails."""
    done = subprocess.run(
        [str(PROGRAM), *map(str, arguments)],
        capture_output=True, text=True, timeout=300, env={**os.environ, **environment},
    )
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, arguments))} ended with {done.returncode}: {done.stderr}")
    return done.stdout


def relative_error(found: torch.Tensor, expected: torch.Tensor) -> float:
    """|found - expected| / |expected| in the 2-norm; the absolute norm where nothing is expected."""
    found, expected = found.double(), expected.double()
    norm = expected.norm().item()
    error = (found - expected).norm().item()
    return error / norm if norm > 0 else error
