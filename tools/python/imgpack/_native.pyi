"""The compiled half of imgpack: see the package itself."""

from collections.abc import Iterator
import os
import pathlib
from typing import Annotated, Any

import numpy
from numpy.typing import NDArray


def version() -> str: ...

class ClassInfo:
    """A class; its position in `Dataset.classes` is its label."""

    @property
    def wnid(self) -> str:
        """Folder name of the class: `n01440764`."""

    @property
    def names(self) -> str:
        """Names for people; empty where none are known."""

    def __repr__(self) -> str: ...

class Record:
    """One record: `data, label, name = record` takes it apart."""

    @property
    def data(self) -> bytes:
        """The image file's bytes: a JPEG stream."""

    @property
    def label(self) -> int:
        """Position in the dataset's classes; -1: none."""

    @property
    def name(self) -> str:
        """As in the source: `n01440764/n01440764_10026.JPEG`."""

    @property
    def id(self) -> int:
        """A hash of split and name: the same in every pack of the same images."""

    @property
    def width(self) -> int:
        """Pixels, as stored."""

    @property
    def height(self) -> int:
        """Pixels, as stored."""

    def __iter__(self) -> Iterator[Any]: ...

    def __len__(self) -> int: ...

    def decode(self, *, size: tuple[int, int] | None = None, box: tuple[int, int, int, int] | None = None, flip: bool = False, interpolation: str = 'bilinear', decoder: str = 'fast') -> Annotated[NDArray[numpy.uint8], dict(shape=(None, None, 3), order='C')]:
        """
        RGB pixels, height x width x 3. `box`: x, y, width and height of the part that is wanted; `size`: width and
        height that it is resized to, antialiased. EXIF orientation is left alone, as torchvision does.
        """

class Split:
    """
    Records of one split in the order of the shards. A map-style dataset: `split[i]` reads one record,
    from any thread or process.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Record:
        """
        Reads and checks one record. IndexError beyond the end; CorruptionError for a damaged one.
        """

    @property
    def name(self) -> str: ...

    @property
    def labeled(self) -> bool:
        """Whether its records have labels."""

    @property
    def shards(self) -> int:
        """Number of shard files."""

    @property
    def labels(self) -> Annotated[NDArray[numpy.int32], dict(shape=(None,), order='C', writable=False)]:
        """int32 labels of all records, without reading them."""

    @property
    def ids(self) -> Annotated[NDArray[numpy.uint64], dict(shape=(None,), order='C', writable=False)]:
        """uint64 ids of all records."""

    @property
    def widths(self) -> Annotated[NDArray[numpy.uint32], dict(shape=(None,), order='C', writable=False)]:
        """uint32 widths of all images."""

    @property
    def heights(self) -> Annotated[NDArray[numpy.uint32], dict(shape=(None,), order='C', writable=False)]:
        """uint32 heights of all images."""

    def names(self) -> list[str]:
        """Names of all records; reads them from the dataset's index."""

    def __repr__(self) -> str: ...

    def __reduce__(self) -> tuple[Any, ...]: ...

class Dataset:
    """A folder of shards, opened with two small reads: manifest and index."""

    def __init__(self, path: str | os.PathLike) -> None: ...

    def __getitem__(self, split: str) -> Split: ...

    def __contains__(self, split: str) -> bool: ...

    @property
    def path(self) -> pathlib.Path: ...

    @property
    def id(self) -> str:
        """Digest of the content: names, labels, image bytes, classes, order."""

    @property
    def splits(self) -> list[str]:
        """Names of the splits."""

    @property
    def classes(self) -> list[ClassInfo]:
        """Position = label."""

    @property
    def label_sets(self) -> list[str]:
        """Names of the label sets beside the records' own labels: `real`."""

    def label_set(self, name: str) -> list[list[int]]:
        """
        The labels, none or several, that a label set gives each record of its split.
        """

    def __repr__(self) -> str: ...

    def __reduce__(self) -> tuple[Any, ...]: ...

class PipelineOptions:
    def __init__(self) -> None: ...

    @property
    def split(self) -> str: ...

    @split.setter
    def split(self, arg: str, /) -> None: ...

    def set_transform(self, name: str) -> None: ...

    def set_interpolation(self, name: str) -> None: ...

    def set_auto_augment(self, policy: str) -> None: ...

    def set_page_cache(self, mode: str) -> None: ...

    @property
    def size(self) -> int: ...

    @size.setter
    def size(self, arg: int, /) -> None: ...

    @property
    def resize_short(self) -> int: ...

    @resize_short.setter
    def resize_short(self, arg: int, /) -> None: ...

    @property
    def crop_ratio(self) -> float: ...

    @crop_ratio.setter
    def crop_ratio(self, arg: float, /) -> None: ...

    def set_crop(self, scale: tuple[float, float], ratio: tuple[float, float], flip: float) -> None: ...

    def set_jitter(self, brightness: float, contrast: float, saturation: float, hue: float) -> None: ...

    def set_erasing(self, probability: float, scale: tuple[float, float], ratio: tuple[float, float]) -> None: ...

    @property
    def cutout(self) -> float: ...

    @cutout.setter
    def cutout(self, arg: float, /) -> None: ...

    def set_seed(self, seed: int) -> None: ...

    @property
    def threads(self) -> int: ...

    @threads.setter
    def threads(self, arg: int, /) -> None: ...

    @property
    def slots(self) -> int: ...

    @slots.setter
    def slots(self, arg: int, /) -> None: ...

    @property
    def bn_group(self) -> int: ...

    @bn_group.setter
    def bn_group(self, arg: int, /) -> None: ...

    @property
    def rank(self) -> int: ...

    @rank.setter
    def rank(self, arg: int, /) -> None: ...

    @property
    def world(self) -> int: ...

    @world.setter
    def world(self, arg: int, /) -> None: ...

    @property
    def reference_decoder(self) -> bool: ...

    @reference_decoder.setter
    def reference_decoder(self, arg: bool, /) -> None: ...

    @property
    def max_bad_records(self) -> int: ...

    @max_bad_records.setter
    def max_bad_records(self, arg: int, /) -> None: ...

    @property
    def local_copy(self) -> pathlib.Path: ...

    @local_copy.setter
    def local_copy(self, arg: str | os.PathLike, /) -> None: ...

    @property
    def global_batch(self) -> int: ...

    @global_batch.setter
    def global_batch(self, arg: int, /) -> None: ...

    @property
    def partitions(self) -> int: ...

    @partitions.setter
    def partitions(self, arg: int, /) -> None: ...

    @property
    def block_bytes(self) -> int: ...

    @block_bytes.setter
    def block_bytes(self, arg: int, /) -> None: ...

    @property
    def window_blocks(self) -> int: ...

    @window_blocks.setter
    def window_blocks(self, arg: int, /) -> None: ...

    @property
    def repeats(self) -> int: ...

    @repeats.setter
    def repeats(self, arg: int, /) -> None: ...

    @property
    def drop_last(self) -> bool: ...

    @drop_last.setter
    def drop_last(self, arg: bool, /) -> None: ...

    @property
    def shuffle(self) -> bool: ...

    @shuffle.setter
    def shuffle(self, arg: bool, /) -> None: ...

class NativeBatch:
    @property
    def images(self) -> Annotated[NDArray[numpy.uint8], dict(shape=(None, None, None, 3), order='C')]: ...

    @property
    def labels(self) -> Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C')]: ...

    @property
    def ids(self) -> Annotated[NDArray[numpy.uint64], dict(shape=(None,), order='C')]: ...

    @property
    def blanks(self) -> Annotated[NDArray[numpy.int32], dict(shape=(None, 2, 4), order='C')]: ...

    @property
    def first(self) -> int: ...

    @property
    def count(self) -> int: ...

    @property
    def global_count(self) -> int: ...

    @property
    def size(self) -> int: ...

    @property
    def epoch(self) -> int: ...

    @property
    def index(self) -> int: ...

    @property
    def order_digest(self) -> int: ...

    @property
    def copied(self) -> bool: ...

    @property
    def left_out(self) -> list[str]: ...

class Pipeline:
    def __init__(self, dataset: Dataset, options: PipelineOptions) -> None: ...

    def start_epoch(self, epoch: int, first_batch: int = 0, size: int = 0, digest: int = 0) -> None: ...

    def next(self) -> NativeBatch | None:
        """None: the epoch is complete."""

    def close(self) -> None: ...

    @property
    def closed(self) -> bool: ...

    @property
    def batches_per_epoch(self) -> int: ...

    @property
    def samples_per_epoch(self) -> int: ...

    @property
    def threads(self) -> int: ...

    def seconds(self) -> dict[str, float]: ...

    def counts(self) -> dict[str, int]: ...

    def reading(self) -> str: ...

    def take_notes(self) -> list[str]: ...
