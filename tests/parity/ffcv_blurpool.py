"""BlurPool as ffcv-imagenet's train_imagenet.py puts it into a torchvision network."""

import torch
import torch.nn.functional as F


class BlurPoolConv2d(torch.nn.Module):
    """ffcv-imagenet's train_imagenet.py."""

    def __init__(self, conv):
        super().__init__()
        filter = torch.tensor([[[[1, 2, 1], [2, 4, 2], [1, 2, 1]]]]) / 16.0
        self.conv = conv
        self.register_buffer("blur_filter", filter.repeat(conv.in_channels, 1, 1, 1))

    def forward(self, x):
        blurred = F.conv2d(x, self.blur_filter, stride=1, padding=(1, 1), groups=self.conv.in_channels)
        return self.conv(blurred)


def apply_blurpool(module):
    for name, child in module.named_children():
        if isinstance(child, torch.nn.Conv2d) and max(child.stride) > 1 and child.in_channels >= 16:
            setattr(module, name, BlurPoolConv2d(child))
        else:
            apply_blurpool(child)
