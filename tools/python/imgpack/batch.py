"""What a DataLoader yields."""

from __future__ import annotations

from typing import Any


class Batch(tuple[Any, Any]):
    """The pair (images, labels), and what else is known of a batch as attributes.

    images  uint8, count x size x size x 3, contiguous. Looks into the pipeline's own memory, which is filled anew only
            when the last array or tensor that was made of it is gone.
    labels  int64, count; -1 where a record has none. A copy, as are `ids` and `blanks`: keeping them keeps no pixels.

    Arrays are torch tensors or NumPy arrays, as the loader was told.
    """

    ids: Any
    """uint64, count: the samples, as in `Split.ids`."""
    blanks: Any
    """int32, count x 2 x 4: boxes x, y, width, height to blank once pixels are normalised (`erase`, `cutout`); empty
    ones have no width. `Normalize` does it."""
    epoch: int
    number: int
    """Of the batch within its epoch, from 0."""
    first: int
    """Position of this rank's first sample in the global batch."""
    global_count: int
    """Samples of all ranks together, damaged ones that were left out included."""
    order_digest: int
    """Of the epoch up to and with this batch: the same on every rank, and the same as imgtrain's."""
    left_out: list[str]
    """What was wrong with each record that was left out (`max_bad_records`)."""
    copied: bool
    """Whether `images` is a copy, because so many earlier batches were still alive that the pipeline had no memory left."""

    @property
    def images(self) -> Any:
        return self[0]

    @property
    def labels(self) -> Any:
        return self[1]
