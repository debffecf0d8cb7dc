"""Turns a .pth file of PyTorch weights into the .safetensors file that `imgtrain --init` and `imgtrain eval` read.

    python pth_to_safetensors.py resnet50.pth resnet50.safetensors

Accepts a state dict (torchvision, timm) or a checkpoint that holds one under "model", "state_dict" or "model_ema", with or
without the prefix "module.". Names must be torchvision's, or timm's for ResNet-D. The blurs that FFCV and Composer wrap
around convolutions are unwrapped; the file then says which network it belongs to.
"""

import sys

import safetensors.torch
import torch


def state_dict_of(checkpoint):
    for key in ("model_ema", "state_dict", "model"):
        if isinstance(checkpoint.get(key), dict):
            checkpoint = checkpoint[key]
            break
    return {name.removeprefix("module.").removeprefix("model."): tensor for name, tensor in checkpoint.items()
            if isinstance(tensor, torch.Tensor)}


def unwrap_blurs(tensors):
    """Names of FFCV's BlurPoolConv2d and Composer's BlurConv2d to plain ones, and which of the two it was."""
    blurs = [name for name in tensors if name.endswith(("blur_filter", "filt2d"))]
    plain = {name.replace(".conv.weight", ".weight"): tensor for name, tensor in tensors.items() if name not in blurs}
    if not blurs:
        return tensors, {}
    return plain, {"blurpool": "composer" if any(name.endswith("filt2d") for name in blurs) else "ffcv"}


def main(source, target):
    checkpoint = torch.load(source, map_location="cpu", weights_only=True)
    tensors, metadata = unwrap_blurs(state_dict_of(checkpoint))
    tensors.pop("n_averaged", None)  # torch.optim.swa_utils.AveragedModel
    tensors = {name: tensor.contiguous() for name, tensor in tensors.items()}
    safetensors.torch.save_file(tensors, target, metadata or None)
    print(f"{target}: {len(tensors)} tensors", metadata or "")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
