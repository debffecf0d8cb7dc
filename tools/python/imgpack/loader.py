"""DataLoader: batches from imgtrain's C++ pipeline, in place of torch.utils.data.DataLoader over an ImageFolder."""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from imgpack._native import Dataset, NativeBatch, Pipeline, PipelineOptions, Split
from imgpack.batch import Batch
from imgpack.errors import UsageError

_STATE_FORMAT = "imgpack.DataLoader/1"
_log = logging.getLogger("imgpack")

# Threads must have ended before the interpreter takes the process down around them.
_pipelines: weakref.WeakSet[Pipeline] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    for pipeline in list(_pipelines):
        pipeline.close()


@dataclass(frozen=True)
class _Position:
    """Where in a training an epoch begins, or goes on."""

    epoch: int = 0
    batch: int = 0  # Batches of the epoch that were delivered.
    digest: int = 0  # Of their order.
    size: int = 0  # Of the images; 0: the loader's own.


class DataLoader:
    """Iterates over batches of a split: `for images, labels in loader`.

    One iteration is one epoch, each in another order: of the number that `set_epoch` gave, else of the one after the
    last. The order, the crops and so every pixel follow from (dataset, seed, epoch) and the options, never from the
    number of threads, and are those of `imgtrain` with the same options. One iteration at a time; several loaders may
    run beside each other.

    All ranks get the same number of batches. `len(loader)` is that number.
    """

    def __init__(
        self,
        shards: str | os.PathLike[str] | Dataset,
        batch_size: int | None = None,
        *,
        global_batch_size: int | None = None,
        split: str = "train",
        transform: Literal["train", "eval"] | None = None,
        size: int = 224,
        seed: int = 0,
        rank: int | None = None,
        world_size: int | None = None,
        shuffle: bool | None = None,
        drop_last: bool | None = None,
        crop_scale: tuple[float, float] = (0.08, 1.0),
        crop_ratio: tuple[float, float] = (3 / 4, 4 / 3),
        flip: float = 0.5,
        interpolation: Literal["bilinear", "bicubic", "random"] = "bilinear",
        auto_augment: str = "none",
        jitter: tuple[float, float, float, float] = (0, 0, 0, 0),
        erase: float = 0,
        erase_scale: tuple[float, float] = (0.02, 0.33),
        erase_ratio: tuple[float, float] = (0.3, 3.3),
        cutout: float = 0,
        repeats: int = 1,
        resize: int | None = None,
        center_ratio: float = 0,
        partitions: int = 48,
        block_kib: int = 4096,
        window_blocks: int = 2,
        bn_group: int = 1,
        threads: int = 0,
        slots: int = 4,
        page_cache: Literal["auto", "keep", "drop", "direct"] = "auto",
        cache_dir: str | os.PathLike[str] | None = None,
        max_bad_records: int = 0,
        decoder: Literal["fast", "reference"] = "fast",
        output: Literal["torch", "numpy"] = "torch",
    ) -> None:
        """
        Batches
          batch_size         samples of this rank, as torch's loader has it (256). Or:
          global_batch_size  samples of all ranks together: the same global batches on any number of ranks
          split, transform   `train`: random resized crops and flips, shuffled; `eval`: resize and centre crop, every
                             sample once, in record order. Without a transform: `train` for the split train, else `eval`
          size               of the images, which are square
          seed               of order and augmentation
          rank, world_size   as torch.distributed has them, if it is initialised; else 0 of 1
          shuffle, drop_last of `train`: both True unless told otherwise

        Augmentation of `train` (torchvision's distributions; draws are keyed by seed, epoch and sample)
          crop_scale, crop_ratio, flip, interpolation
          auto_augment       none, autoaugment, randaugment[-m9][-n2], trivialaugment, rand-m9-mstd0.5-inc1 (timm's)
          jitter             brightness, contrast, saturation, hue
          erase, erase_scale, erase_ratio, cutout   boxes, handed on as `Batch.blanks`
          repeats            repeated augmentation: how often a sample occurs in its batch

        Geometry of `eval`
          resize             of the short side before the centre crop (size * 8 / 7)
          center_ratio       above 0: the middle square of this share of the short side instead

        Order
          partitions, block_kib, window_blocks   how far samples mix (docs/input-pipeline.md)
          bn_group           samples of a global batch that stay together on one rank

        Machine
          threads            that decode; 0: this process's cores, shared by the LOCAL_WORLD_SIZE ranks of a machine
          slots              batches in memory. All but one may be kept alive at a time; a batch beyond that is copied
          page_cache, cache_dir   how shards are read, and a faster local disk to copy them to meanwhile
          max_bad_records    damaged records of an epoch that are left out, and logged; one more raises
          decoder            `reference`: libjpeg-turbo for every image
          output             torch tensors, or NumPy arrays (which need no torch)

        Raises UsageError for options that are out of range, InvalidInputError for a split that is not there.
        """
        dataset = shards if isinstance(shards, Dataset) else Dataset(os.fspath(shards))
        transform = transform or ("train" if split == "train" else "eval")
        if transform == "eval" and (shuffle or drop_last):
            raise UsageError(
                f"{'shuffle' if shuffle else 'drop_last'}: transform 'eval' delivers every sample once, in record order",
                hint="transform='train' with crop_scale=(1, 1) and flip=0, or leave it out",
            )
        if output not in ("torch", "numpy"):
            raise UsageError(f"output: expected torch or numpy, found {output!r}")
        rank, world_size = _place(rank, world_size)
        if batch_size is not None and global_batch_size is not None:
            raise UsageError("batch_size is of one rank, global_batch_size of all of them: expected one of the two")
        if global_batch_size is None:
            global_batch_size = _whole("batch_size", 256 if batch_size is None else batch_size, 1) * world_size

        options = PipelineOptions()
        options.split = split
        options.set_transform(transform)
        options.size = _whole("size", size, 1)
        options.resize_short = _whole("resize", resize, 1) if resize is not None else max(options.size, size * 8 // 7)
        options.crop_ratio = center_ratio
        options.set_crop(_pair("crop_scale", crop_scale), _pair("crop_ratio", crop_ratio), flip)
        options.set_interpolation(interpolation)
        options.set_auto_augment(auto_augment)
        if len(jitter) != 4:
            raise UsageError(f"jitter: expected brightness, contrast, saturation and hue, found {jitter!r}")
        options.set_jitter(*jitter)
        options.set_erasing(erase, _pair("erase_scale", erase_scale), _pair("erase_ratio", erase_ratio))
        options.cutout = cutout
        options.set_seed(_whole("seed", seed, 0, 2**64 - 1))
        options.rank, options.world = rank, world_size
        global_batch_size = options.global_batch = _whole("global_batch_size", global_batch_size, 1)
        options.shuffle = transform == "train" and shuffle is not False
        options.drop_last = transform == "train" and drop_last is not False
        options.repeats = _whole("repeats", repeats, 1)
        options.partitions = _whole("partitions", partitions, 1)
        options.block_bytes = _whole("block_kib", block_kib, 1, 2**30) * 1024
        options.window_blocks = _whole("window_blocks", window_blocks, 1)
        options.bn_group = _whole("bn_group", bn_group, 1)
        options.threads = _whole("threads", threads, 0) or _cores_of_this_rank()
        options.slots = _whole("slots", slots, 1)
        options.set_page_cache(page_cache)
        if cache_dir is not None:
            options.local_copy = os.fspath(cache_dir)
        options.max_bad_records = _whole("max_bad_records", max_bad_records, 0)
        if decoder not in ("fast", "reference"):
            raise UsageError(f"decoder: expected fast or reference, found {decoder!r}")
        options.reference_decoder = decoder == "reference"

        self._convert: Callable[[Any], Any] = _tensors() if output == "torch" else _as_it_is
        self.dataset: Split = dataset[split]
        """The split: `len(loader.dataset)`, labels, single records."""
        self.batch_size = int(batch_size) if batch_size is not None else -(-global_batch_size // world_size)
        self.global_batch_size = global_batch_size
        self.rank, self.world_size = rank, world_size
        # What decides which sample comes when; part of a saved state, and so plain numbers whatever was given (NumPy's
        # are none for JSON).
        self._order = {
            "dataset": dataset.id,
            "split": split,
            "transform": transform,
            "seed": int(seed),
            "global_batch_size": global_batch_size,
            "shuffle": options.shuffle,
            "drop_last": options.drop_last,
            "repeats": options.repeats,
            "partitions": options.partitions,
            "block_kib": int(block_kib),
            "window_blocks": options.window_blocks,
        }
        self._pipeline = Pipeline(dataset, options)
        _pipelines.add(self._pipeline)
        self._begins = _Position()  # Where the next iteration begins.
        self._resumes = False  # It was loaded from a state.
        self._at: _Position | None = None  # How far the iteration in progress has come.
        self._iteration = 0
        # Of the positions above, for consumers on several threads. A signal's handler may come back to its own thread's.
        self._one_at_a_time = threading.RLock()

    def __len__(self) -> int:
        """Batches of an epoch: the same number on every rank."""
        return self._pipeline.batches_per_epoch

    def __iter__(self) -> Iterator[Batch]:
        """Begins an epoch. An iteration that is in progress ends."""
        with self._one_at_a_time:
            begin = self._begins
            self._pipeline.start_epoch(begin.epoch, begin.batch, begin.size, begin.digest)
            self._begins, self._resumes = _Position(begin.epoch + 1, size=begin.size), False
            self._at = begin
            self._iteration += 1
            return _Iteration(self, self._iteration)

    def set_epoch(self, epoch: int, size: int | None = None) -> None:
        """The next iteration is epoch `epoch`. An epoch that `load_state_dict` is about to go on with stays where it is.

        `size`: of the images from there on, at most the loader's (progressive resizing).
        """
        epoch = _whole("epoch", epoch, 0, 2**63)
        pixels = 0 if size is None else _whole("size", size, 1)
        if self._resumes and self._begins.epoch == epoch:
            if size is not None:
                self._begins = _Position(epoch, self._begins.batch, self._begins.digest, pixels)
            return
        self._begins, self._resumes = _Position(epoch, size=pixels), False

    @property
    def epoch(self) -> int:
        """The epoch in progress; between epochs, the next one."""
        return (self._at or self._begins).epoch

    @property
    def sampler(self) -> DataLoader:
        """Itself, for programs that say `loader.sampler.set_epoch(epoch)`."""
        return self

    def state_dict(self) -> dict[str, Any]:
        """Where the training is, as values that JSON and torch.save can hold: behind the last batch that was yielded.

        The same on every rank, and good for another number of ranks of the same global batch.
        """
        at = self._at or self._begins
        return {
            "format": _STATE_FORMAT,
            "epoch": at.epoch,
            "batch": at.batch,
            "digest": f"{at.digest:016x}",
            "size": at.size,
            "order": dict(self._order),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The next iteration goes on where `state` was taken: no sample twice, none left out, nothing read again.

        Raises UsageError for a state of another dataset or order, and says what differs.
        """
        if state.get("format") != _STATE_FORMAT:
            raise UsageError(f"not a state of this loader: expected format {_STATE_FORMAT}, found {state.get('format')!r}")
        order = state["order"]
        differences = [
            f"{key}: {order.get(key)!r} in the state, {value!r} here"
            for key, value in self._order.items()
            if order.get(key) != value
        ]
        if differences:
            raise UsageError("the state belongs to another order of samples: " + "; ".join(differences))
        batch = _whole("batch", state["batch"], 0, len(self))
        epoch = _whole("epoch", state["epoch"], 0, 2**63)
        begin = _Position(epoch, batch, int(state["digest"], 16), _whole("size", state["size"], 0))
        with self._one_at_a_time:
            self._begins, self._resumes, self._at = begin, True, None
            self._iteration += 1

    def stats(self) -> dict[str, Any]:
        """What the epoch in progress has cost: `seconds` of each stage, `counts`, and how shards are read."""
        return {
            "seconds": self._pipeline.seconds(),
            "counts": self._pipeline.counts(),
            "threads": self._pipeline.threads,
            "reading": self._pipeline.reading(),
        }

    def close(self) -> None:
        """Stops what is in flight and frees the memory that no tensor looks into. Prompt; again does nothing."""
        self._pipeline.close()

    def __enter__(self) -> DataLoader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return (
            f"DataLoader({self.dataset!r}, global_batch_size={self.global_batch_size}, "
            f"rank={self.rank} of {self.world_size}, {len(self)} batches)"
        )

    def _next(self, iteration: int) -> Batch | None:
        with self._one_at_a_time:
            if iteration != self._iteration:
                raise UsageError("this iteration has ended: a later one of the same loader began, or a state was loaded")
            if self._at is None:
                return None
            native = self._pipeline.next()
            if native is None:
                self._at = None
                for note in self._pipeline.take_notes():
                    _log.info("%s", note)
                return None
            self._at = _Position(self._at.epoch, self._at.batch + 1, native.order_digest, self._at.size)
        for reason in native.left_out:
            _log.warning("left out: %s", reason)
        return self._batch(native)

    def _batch(self, native: NativeBatch) -> Batch:
        convert = self._convert
        batch = Batch((convert(native.images), convert(native.labels)))
        batch.ids = convert(native.ids)
        batch.blanks = convert(native.blanks)
        batch.epoch = native.epoch
        batch.number = native.index
        batch.first = native.first
        batch.global_count = native.global_count
        batch.order_digest = native.order_digest
        batch.left_out = native.left_out
        batch.copied = native.copied
        return batch


class _Iteration:
    """One epoch of a loader."""

    def __init__(self, loader: DataLoader, number: int) -> None:
        self._loader: DataLoader | None = loader
        self._number = number

    def __iter__(self) -> _Iteration:
        return self

    def __next__(self) -> Batch:
        loader = self._loader  # Another thread may come to the end meanwhile.
        batch = loader._next(self._number) if loader is not None else None
        if batch is None:
            self._loader = None
            raise StopIteration
        return batch


def _as_it_is(array: Any) -> Any:
    return array


def _tensors() -> Callable[[Any], Any]:
    try:
        import torch
    except ImportError as error:
        raise UsageError(f"output 'torch' needs torch, which cannot be imported: {error}", hint="output='numpy'") from error
    convert: Callable[[Any], Any] = torch.from_dlpack  # from_numpy has no name for the ids' type.
    return convert


def _whole(name: str, value: Any, least: int, most: int = 2**32 - 1) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__") or not least <= value.__index__() <= most:
        raise UsageError(f"{name}: expected a whole number from {least} to {most}, found {value!r}")
    return int(value.__index__())


def _pair(name: str, value: tuple[float, float]) -> tuple[float, float]:
    low, high = value
    if not low <= high:
        raise UsageError(f"{name}: expected the smaller number first, found {value!r}")
    return float(low), float(high)


def _place(rank: int | None, world_size: int | None) -> tuple[int, int]:
    """Rank and number of ranks, from torch.distributed where the program uses it and says nothing itself."""
    if (rank is None) != (world_size is None):
        raise UsageError("rank and world_size: expected both or neither")
    if rank is None or world_size is None:
        distributed = sys.modules.get("torch.distributed")
        if distributed is None or not distributed.is_available() or not distributed.is_initialized():
            return 0, 1
        rank, world_size = distributed.get_rank(), distributed.get_world_size()
    world_size = _whole("world_size", world_size, 1)
    return _whole("rank", rank, 0, world_size - 1), world_size


def _cores_of_this_rank() -> int:
    ranks_here = os.environ.get("LOCAL_WORLD_SIZE", "1")  # torchrun sets it.
    return max(1, len(os.sched_getaffinity(0)) // max(1, int(ranks_here) if ranks_here.isdigit() else 1))
