"""Grad-CAM against the PyPI package `grad-cam`, on the same weights and the same images.

Stated tolerance: a correlation of 0.99 and a largest difference of 0.02 (of 1) for every map. Both sides compute in
float32, and the package enlarges with OpenCV.
"""

import pathlib
import tempfile
import unittest

import numpy
import safetensors.torch
import torch
import torchvision
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

import model_program


def trained_like(depth: int) -> torch.nn.Module:
    """A model whose norms are as a trained network has them, so that maps are neither flat nor empty."""
    torch.manual_seed(depth)
    model = getattr(torchvision.models, f"resnet{depth}")(num_classes=20)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, std=0.2)
            torch.nn.init.normal_(module.running_mean, std=0.2)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
    return model.eval()


def pictures(count: int, size: int) -> torch.Tensor:
    """Smooth blobs on noise: something to look at in one place."""
    rows = torch.linspace(-1, 1, size)
    out = 0.3 * torch.randn(count, 3, size, size)
    for i in range(count):
        x, y = torch.rand(2) * 1.4 - 0.7
        blob = torch.exp(-8 * ((rows[None, :] - x) ** 2 + (rows[:, None] - y) ** 2))
        out[i] += 2.5 * blob * torch.randn(3, 1, 1)
    return out


class GradCam(unittest.TestCase):
    def check(self, depth: int, size: int, layer: str = "layer4", predicted: bool = False):
        model = trained_like(depth)
        images, labels = pictures(4, size), torch.randint(0, 20, (4,))
        with tempfile.TemporaryDirectory() as folder:
            weights, batch, out = (pathlib.Path(folder) / name for name in ("weights", "batch", "out"))
            safetensors.torch.save_file(model.state_dict(), weights)
            safetensors.torch.save_file({"images": images, "labels": labels}, batch)
            flags = ["--predicted"] if predicted else []
            model_program.run("cam", "--weights", weights, "--batch", batch, "--out", out, "--layer", layer, *flags)
            found = safetensors.torch.load_file(out)["maps"].numpy()
        targets = None if predicted else [ClassifierOutputTarget(int(label)) for label in labels]
        with GradCAM(model=model, target_layers=[getattr(model, layer)]) as reference:
            expected = reference(input_tensor=images, targets=targets)
        self.assertEqual(found.shape, expected.shape)
        self.assertGreaterEqual(found.min(), 0)
        self.assertLessEqual(found.max(), 1)
        shown = 0
        for ours, theirs in zip(found, expected):
            if theirs.max() == 0:  # Nothing speaks for the class.
                self.assertEqual(ours.max(), 0)
                continue
            shown += 1
            self.assertGreaterEqual(numpy.corrcoef(ours.ravel(), theirs.ravel())[0, 1], 0.99)
            self.assertLessEqual(numpy.abs(ours - theirs).max(), 0.02)
        self.assertGreaterEqual(shown, 2, "the test compares nothing")

    def test_resnet18_equals_the_packages(self):
        self.check(18, 128)

    def test_resnet50_at_224_equals_the_packages(self):
        self.check(50, 224)

    def test_earlier_layers_and_predicted_classes_equal_the_packages(self):
        self.check(18, 96, layer="layer3", predicted=True)
        self.check(50, 96, layer="layer2", predicted=True)


if __name__ == "__main__":
    unittest.main()
