"""From bytes to what a network takes, the way imgtrain does it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Normalize:
    """uint8 N x H x W x 3 -> numbers, N x 3 x H x W in channels_last: (value / 255 - mean) / std.

    The bytes go to the device first, a quarter of what they are as floats. `blanks` (see `Batch`) become 0, the mean.
    """

    def __init__(
        self,
        device: torch.device | str = "cpu",
        dtype: torch.dtype | None = None,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
    ) -> None:
        import torch

        deviation = torch.tensor(std, dtype=torch.float64)
        self._device = torch.device(device)
        self._scale = (1 / (255 * deviation)).to(self._device, dtype or torch.float32)
        self._shift = (-torch.tensor(mean, dtype=torch.float64) / deviation).to(self._device, dtype or torch.float32)

    def __call__(self, images: torch.Tensor, blanks: torch.Tensor | None = None) -> torch.Tensor:
        import torch

        with torch.no_grad():
            count, height, width, _ = images.shape
            # Rows as long vectors, not triples: several times faster on a CPU.
            rows = images.to(self._device).reshape(count, height, 3 * width).to(self._scale.dtype)
            numbers = torch.addcmul(self._shift.repeat(width), rows, self._scale.repeat(width))
            out = numbers.view(count, height, width, 3).permute(0, 3, 1, 2)
            if blanks is not None and bool((blanks[..., 2] > 0).any()):
                out.masked_fill_(_inside(blanks.to(self._device), height, width).unsqueeze(1), 0)
            return out


def _inside(boxes: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Which pixels of each image lie in one of its boxes: N x height x width."""
    import torch

    x, y, w, h = boxes.unsqueeze(-1).unbind(2)
    columns, rows = torch.arange(width, device=boxes.device), torch.arange(height, device=boxes.device)
    across = (columns >= x) & (columns < x + w)
    down = (rows >= y) & (rows < y + h)
    return (down.unsqueeze(-1) & across.unsqueeze(-2)).any(1)
