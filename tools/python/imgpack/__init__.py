"""Shards that `imgpack` wrote, in Python: single records, and training batches from imgtrain's C++ pipeline.

    dataset = imgpack.open("imagenet.shards")
    data, label, name = dataset["train"][0]

    for images, labels in imgpack.DataLoader(dataset, batch_size=256, seed=0):
        ...  # uint8 N x H x W x 3 and int64 N, as torch tensors that look into the pipeline's own memory

Needs NumPy; torch only where its tensors are asked for.
"""

from __future__ import annotations

import os

from imgpack._native import ClassInfo, Dataset, Record, Split, version
from imgpack.batch import Batch
from imgpack.errors import (
    CorruptionError,
    Error,
    InternalError,
    InvalidInputError,
    IoError,
    StoppedError,
    UnsupportedVersionError,
    UsageError,
)
from imgpack.loader import DataLoader
from imgpack.normalize import Normalize

__all__ = [
    "Batch",
    "ClassInfo",
    "CorruptionError",
    "DataLoader",
    "Dataset",
    "Error",
    "InternalError",
    "InvalidInputError",
    "IoError",
    "Normalize",
    "Record",
    "Split",
    "StoppedError",
    "UnsupportedVersionError",
    "UsageError",
    "__version__",
    "open",
    "open_split",
]


__version__ = version()


def open(path: str | os.PathLike[str]) -> Dataset:  # noqa: A001: `imgpack.open` reads well.
    """Opens a dataset: a folder with a manifest.json. Raises IoError where there is none, CorruptionError for damage."""
    return Dataset(os.fspath(path))


def open_split(path: str | os.PathLike[str], split: str) -> Split:
    """One split of a dataset; what a pickled Split becomes in another process."""
    return open(path)[split]
