"""The model family against torchvision's, and its options against timm's, FFCV's and Composer's, from the same weights and the same batch, run side by side.

Stated tolerance, as relative 2-norm error of every logit, gradient and buffer: 1e-5 in float32 with the same memory
format on both sides, which means the same kernels; 1e-9 in float64 with another format on each side. (In float32 the
format itself moves PyTorch's own ResNet-50 gradients by 2 to 4 %, and float64 by as much: sums are rounded in another
order, and units near zero change sides at a ReLU. So float32 across formats would test nothing sharp.)
"""

import pathlib
import tempfile
import unittest

import safetensors.torch
import timm
import torch
import torch.nn.functional as F
import torchvision

import model_program

TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-9}
DEPTHS = (18, 34, 50, 101, 152)


def reference(depth: int) -> torch.nn.Module:
    return getattr(torchvision.models, f"resnet{depth}")()


class BlurConv2d(torch.nn.Module):
    """A strided convolution with its input blurred: ffcv-imagenet's BlurPoolConv2d, Composer's BlurConv2d."""

    def __init__(self, conv):
        super().__init__()
        self.conv = conv
        filter = torch.tensor([[[[1, 2, 1], [2, 4, 2], [1, 2, 1]]]]) / 16.0
        self.register_buffer("blur_filter", filter.repeat(conv.in_channels, 1, 1, 1))

    def forward(self, x):
        blurred = F.conv2d(x, self.blur_filter, stride=1, padding=(1, 1), groups=self.conv.in_channels)
        return self.conv(blurred)


class BlurMaxPool2d(torch.nn.Module):
    """Composer's: the maximum at every place, then a blur with the pooling's stride."""

    def forward(self, x):
        maxima = F.max_pool2d(x, kernel_size=3, stride=1, padding=1)
        filter = (torch.tensor([[[[1, 2, 1], [2, 4, 2], [1, 2, 1]]]]) / 16.0).to(x.dtype)
        return F.conv2d(maxima, filter.repeat(x.shape[1], 1, 1, 1), stride=2, padding=1, groups=x.shape[1])


def with_blurpool(model, kind):
    for name, child in list(model.named_children()):
        if isinstance(child, torch.nn.Conv2d) and max(child.stride) > 1 and child.in_channels >= 16:
            setattr(model, name, BlurConv2d(child))
        elif isinstance(child, torch.nn.MaxPool2d) and kind == "composer":
            setattr(model, name, BlurMaxPool2d())
        else:
            with_blurpool(child, kind)
    return model


class Names(unittest.TestCase):
    def test_every_depth_has_torchvisions_names_and_shapes_in_its_order(self):
        for depth in DEPTHS:
            with self.subTest(depth=depth), torch.device("meta"):
                expected = [
                    " ".join([name, *map(str, tensor.shape)]) for name, tensor in reference(depth).state_dict().items()
                ]
                self.assertEqual(model_program.run("names", depth).splitlines(), expected)


class Step(unittest.TestCase):
    def check(self, depth: int, size: int, *flags: str, dtype=torch.float32, memory_format=torch.contiguous_format,
              make=reference, blurpool=None):
        torch.manual_seed(depth)
        model = make(depth)
        # Norms as a trained network has them, so that no gradient vanishes and statistics are not the initial ones.
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                torch.nn.init.uniform_(module.weight, 0.5, 1.5)
                torch.nn.init.normal_(module.bias, std=0.2)
                torch.nn.init.normal_(module.running_mean, std=0.2)
                torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
        model.to(dtype)
        images, labels = torch.randn(4, 3, size, size, dtype=dtype), torch.randint(0, 1000, (4,))
        with tempfile.TemporaryDirectory() as folder:
            weights, batch, out = (pathlib.Path(folder) / name for name in ("weights", "batch", "out"))
            metadata = {"blurpool": blurpool} if blurpool else None
            safetensors.torch.save_file(model.state_dict(), weights, metadata)
            safetensors.torch.save_file({"images": images, "labels": labels}, batch)
            model_program.run("step", depth, "--weights", weights, "--batch", batch, "--out", out, *flags)
            found = safetensors.torch.load_file(out)

        names = [name for name, _ in model.named_parameters()]
        parameters = [parameter for _, parameter in model.named_parameters()]
        buffer_names = [name for name, _ in model.named_buffers()]
        buffers = [buffer for _, buffer in model.named_buffers()]
        if blurpool:
            with_blurpool(model, blurpool).to(dtype)
        model.to(memory_format=memory_format)
        images = images.contiguous(memory_format=memory_format)
        with torch.no_grad():
            eval_logits = model.eval()(images)
        logits = model.train()(images)
        loss = torch.nn.functional.cross_entropy(logits, labels)
        loss.backward()

        def close(name: str, expected: torch.Tensor):
            error = model_program.relative_error(found[name], expected.detach())
            self.assertLessEqual(error, TOLERANCE[dtype], name)

        close("eval_logits", eval_logits)
        close("train_logits", logits)
        close("loss", loss)
        for name, parameter in zip(names, parameters):
            close(f"grad/{name}", parameter.grad)
        for name, buffer in zip(buffer_names, buffers):
            close(f"buffer/{name}", buffer)
        self.assertEqual({name.split("/", 1)[1] for name in found if "/" in name}, set(names) | set(buffer_names))

    def test_resnet18_step_equals_torchvisions(self):
        self.check(18, 64)

    def test_resnet50_step_in_channels_last_equals_torchvisions(self):
        self.check(50, 64, "--channels-last", memory_format=torch.channels_last)

    def test_resnet_d_with_its_stem_and_shortcuts_equals_timms(self):
        for depth in (18, 50):
            self.check(depth, 64, "--double", dtype=torch.float64, make=lambda d: timm.create_model(f"resnet{d}d"))

    def test_blurpool_where_ffcv_and_composer_place_it_equals_theirs(self):
        for depth in (18, 50):
            for kind in ("ffcv", "composer"):
                with self.subTest(depth=depth, kind=kind):
                    self.check(depth, 64, "--double", dtype=torch.float64, blurpool=kind)

    def test_resnet50_step_in_float64_equals_torchvisions_in_another_memory_format(self):
        self.check(50, 64, "--channels-last", "--double", dtype=torch.float64)


if __name__ == "__main__":
    unittest.main()
