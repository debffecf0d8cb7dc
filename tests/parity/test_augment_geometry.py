"""The crops of engine/data/augment against torchvision's own code.

Three comparisons: the same uniform draws give the same box as RandomResizedCrop.get_params; the boxes that keyed draws
give are distributed as those that torchvision draws by itself; evaluation windows are those of Resize + CenterCrop.
"""

import math
import os
import random
import subprocess
import unittest
from unittest import mock

import torch
from torchvision.transforms import RandomResizedCrop
from torchvision.transforms import functional as F
from torchvision.transforms.functional import _compute_resized_output_size

PROGRAM = os.path.join(os.environ["BIN_DIR"], "parity_augment_dump")
SCALE, RATIO = (0.08, 1.0), (3 / 4, 4 / 3)


def dump(lines):
    result = subprocess.run([PROGRAM], input="\n".join(lines), capture_output=True, text=True, check=True)
    return [[float(word) for word in line.split()] for line in result.stdout.splitlines()]


def blank(width, height):
    return torch.empty((3, height, width), device="meta")


class RandomResizedCropBox(unittest.TestCase):
    def sizes(self, count):
        generator = random.Random(1)
        for i in range(count):
            kind = i % 4
            if kind == 0:
                yield 500, 375
            elif kind == 1:
                yield generator.randint(1, 40), generator.randint(1, 40)
            elif kind == 2:  # So long that the ten attempts fail and the fallback decides.
                yield generator.randint(1, 30), generator.randint(500, 3000)
            else:
                yield generator.randint(30, 3000), generator.randint(1, 3000)

    def test_same_draws_give_torchvisions_box(self):
        sizes = list(self.sizes(8000))
        answers = dump(f"crop {w} {h} 7 {i % 5} {i * 977} {i % 3}" for i, (w, h) in enumerate(sizes))
        self.assertEqual(len(answers), len(sizes))
        draws = []

        def uniform_(tensor, low, high):
            return tensor.fill_(float(low) + (float(high) - float(low)) * draws.pop(0))

        def randint(low, high, size):
            return torch.tensor([low + math.floor((high - low) * draws.pop(0))])

        torch.set_default_dtype(torch.float64)
        fallbacks = 0
        try:
            with mock.patch.object(torch.Tensor, "uniform_", uniform_), mock.patch("torch.randint", randint):
                for (width, height), answer in zip(sizes, answers):
                    draws[:] = answer[5:]
                    fallbacks += len(draws) == 20
                    top, left, h, w = RandomResizedCrop.get_params(blank(width, height), SCALE, RATIO)
                    self.assertEqual([left, top, w, h], answer[:4], (width, height))
                    self.assertEqual(draws, [])
        finally:
            torch.set_default_dtype(torch.float32)
        self.assertGreater(fallbacks, 500)

    def test_keyed_boxes_are_distributed_as_torchvisions(self):
        count, width, height = 20000, 500, 375
        ours = dump(f"crop {width} {height} 3 {i // 5000} {i} 0" for i in range(count))
        torch.manual_seed(0)
        theirs = []
        for _ in range(count):
            top, left, h, w = RandomResizedCrop.get_params(blank(width, height), SCALE, RATIO)
            theirs.append([left, top, w, h])
        measures = {
            "x": lambda box: box[0] / width,
            "y": lambda box: box[1] / height,
            "area": lambda box: box[2] * box[3] / (width * height),
            "ratio": lambda box: math.log(box[2] / box[3]),
        }
        limit = 1.95 * math.sqrt(2 / count)  # Two-sample Kolmogorov-Smirnov, p = 0.001.
        for name, measure in measures.items():
            a = torch.tensor([measure(box) for box in ours], dtype=torch.float64).sort().values
            b = torch.tensor([measure(box) for box in theirs], dtype=torch.float64).sort().values
            points = torch.cat([a, b])
            below_a = torch.searchsorted(a, points, right=True) / count
            below_b = torch.searchsorted(b, points, right=True) / count
            self.assertLess((below_a - below_b).abs().max().item(), limit, name)
        flips = sum(box[4] for box in ours)
        self.assertLess(abs(flips - count / 2), 3.3 * math.sqrt(count / 4))


class EvaluationWindow(unittest.TestCase):
    def test_windows_are_those_of_resize_and_center_crop(self):
        generator = random.Random(2)
        cases = []
        for short, crop in [(256, 224), (232, 224), (224, 224), (255, 224), (20, 15), (73, 64)]:
            sizes = [(generator.randint(1, 1500), generator.randint(1, 1500)) for _ in range(1500)]
            sizes += [(short, short), (short, 2 * short), (short + 1, short), (1, 1), (500, 375), (375, 500)]
            cases += [(w, h, short, crop) for w, h in sizes]
        answers = dump(f"center {w} {h} {short} {crop}" for w, h, short, crop in cases)
        self.assertEqual(len(answers), len(cases))
        for (width, height, short, crop), answer in zip(cases, answers):
            new_height, new_width = _compute_resized_output_size((height, width), [short])
            with mock.patch.object(F, "crop") as cropped:
                F.center_crop(blank(new_width, new_height), [crop, crop])
            _, top, left, h, w = cropped.call_args.args
            expected = [
                left * width / new_width,
                top * height / new_height,
                (left + w) * width / new_width,
                (top + h) * height / new_height,
            ]
            for ours, theirs in zip(answer, expected):
                self.assertAlmostEqual(ours, theirs, delta=1e-9 * max(width, height), msg=(width, height, short, crop))


if __name__ == "__main__":
    unittest.main()
