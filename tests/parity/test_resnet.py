"""The model family against torchvision's, from the same weights and the same batch, run side by side.

Stated tolerance, as relative 2-norm error of every logit, gradient and buffer: 1e-5 in float32 with the same memory
format on both sides, which means the same kernels; 1e-9 in float64 with another format on each side. (In float32 the
format itself moves PyTorch's own ResNet-50 gradients by 2 to 4 %, and float64 by as much: sums are rounded in another
order, and units near zero change sides at a ReLU. So float32 across formats would test nothing sharp.)
"""

import pathlib
import tempfile
import unittest

import safetensors.torch
import torch
import torchvision

import model_program

TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-9}
DEPTHS = (18, 34, 50, 101, 152)


def reference(depth: int) -> torch.nn.Module:
    return getattr(torchvision.models, f"resnet{depth}")()


class Names(unittest.TestCase):
    def test_every_depth_has_torchvisions_names_and_shapes_in_its_order(self):
        for depth in DEPTHS:
            with self.subTest(depth=depth), torch.device("meta"):
                expected = [
                    " ".join([name, *map(str, tensor.shape)]) for name, tensor in reference(depth).state_dict().items()
                ]
                self.assertEqual(model_program.run("names", depth).splitlines(), expected)


class Step(unittest.TestCase):
    def check(self, depth: int, size: int, *flags: str, dtype=torch.float32, memory_format=torch.contiguous_format):
        torch.manual_seed(depth)
        model = reference(depth)
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
            safetensors.torch.save_file(model.state_dict(), weights)
            safetensors.torch.save_file({"images": images, "labels": labels}, batch)
            model_program.run("step", depth, "--weights", weights, "--batch", batch, "--out", out, *flags)
            found = safetensors.torch.load_file(out)

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
        for name, parameter in model.named_parameters():
            close(f"grad/{name}", parameter.grad)
        for name, buffer in model.named_buffers():
            close(f"buffer/{name}", buffer)
        self.assertEqual(
            {name.split("/", 1)[1] for name in found if "/" in name},
            {name for name, _ in model.named_parameters()} | {name for name, _ in model.named_buffers()},
        )

    def test_resnet18_step_equals_torchvisions(self):
        self.check(18, 64)

    def test_resnet50_step_in_channels_last_equals_torchvisions(self):
        self.check(50, 64, "--channels-last", memory_format=torch.channels_last)

    def test_resnet50_step_in_float64_equals_torchvisions_in_another_memory_format(self):
        self.check(50, 64, "--channels-last", "--double", dtype=torch.float64)


if __name__ == "__main__":
    unittest.main()
