"""Colour and shape augmentations against torchvision and timm on Pillow images, pixel for pixel.

The program draws its random numbers by key and prints them; here the same numbers are handed to the other library's own
code, in the order in which it asks for them. Then every pixel must be equal, for policies, colour jitter, and boxes.
"""

import math
import random
import unittest
from unittest import mock

import numpy as np
import torch
from PIL import Image, ImageOps
from timm.data import auto_augment as timm_augment
from torchvision import transforms
from torchvision.transforms import InterpolationMode

import policy_program

MEAN_COLOUR = (124, 116, 104)  # timm's: round(255 * mean) of ImageNet


def posterize(image, bits, pillows=ImageOps.posterize):
    """Pillow's; newer ones refuse 0 bits, which timm's strongest level asks for and older ones took for black."""
    return pillows(image, bits) if bits > 0 else Image.new(image.mode, image.size)


class Draws:
    """Numbers in [0, 1) in the place of the generators of torch, random and numpy."""

    def __init__(self, numbers):
        self.left = list(numbers)

    def next(self):
        return self.left.pop(0)

    def below(self, bound):
        return min(bound - 1, math.floor(self.next() * bound))

    def randint(self, *args, dtype=torch.int64):
        low, high, size = args if len(args) == 3 else (0, *args)
        return torch.tensor([low + self.below(high - low) for _ in range(size[0])], dtype=dtype)

    def rand(self, size):
        return torch.tensor([self.next() for _ in range(size[0] if isinstance(size, tuple) else size)], dtype=torch.float64)

    def randperm(self, count):
        order = list(range(count))
        for i in range(count - 1, 0, -1):
            j = self.below(i + 1)
            order[i], order[j] = order[j], order[i]
        return torch.tensor(order)

    def gauss(self, mean, deviation):
        radius = math.sqrt(-2 * math.log(1 - self.next()))
        return mean + deviation * radius * math.cos(2 * math.pi * self.next())

    def uniform(self, low, high):
        return low + (high - low) * self.next()

    def choice(self, items, count, replace=True, p=None):
        assert replace and p is None
        return [items[self.below(len(items))] for _ in range(count)]

    def fill(self, tensor, low, high):
        return tensor.fill_(float(low) + (float(high) - float(low)) * self.next())


class Policies(unittest.TestCase):
    def compare(self, line, make_expected, rounds=12):
        requests = []
        for i, image in enumerate(policy_program.pictures() * rounds):
            height, width = image.shape[:2]
            requests.append((f"{line} {width} {height} 5 {i % 3} {i * 31}", image))
        changed = 0
        for (request, image), (draws, found) in zip(requests, policy_program.images(requests)):
            expected = np.asarray(make_expected(Image.fromarray(image), Draws(draws)))
            np.testing.assert_array_equal(found, expected, err_msg=request)
            changed += not np.array_equal(found, image)
        self.assertGreater(changed, len(requests) // 3)

    def torchvision(self, text, make):
        for name in ("nearest", "bilinear", "bicubic"):
            policy = make(interpolation=InterpolationMode(name))

            def expected(image, draws):
                with mock.patch("torch.randint", draws.randint), mock.patch("torch.rand", draws.rand):
                    return policy(image)

            with self.subTest(policy=text, interpolation=name):
                self.compare(f"policy {text} {name}", expected)

    def test_autoaugment_equals_torchvisions(self):
        self.torchvision("autoaugment", transforms.AutoAugment)

    def test_randaugment_equals_torchvisions(self):
        self.torchvision("randaugment", transforms.RandAugment)
        self.torchvision("randaugment-m17-n3", lambda **k: transforms.RandAugment(num_ops=3, magnitude=17, **k))

    def test_trivialaugment_equals_torchvisions(self):
        self.torchvision("trivialaugment", transforms.TrivialAugmentWide)

    def test_timms_randaugment_equals_timms(self):
        resampling = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
        for text in ("rand-m6-mstd0.5-inc1", "rand-m7-mstd0.5-inc1", "rand-m9-n3-p0.8", "rand-m10-mstd101", "rand-m9-mstd2"):
            for name, resample in resampling.items():
                policy = timm_augment.rand_augment_transform(text, dict(img_mean=MEAN_COLOUR, interpolation=resample))

                def expected(image, draws):
                    with mock.patch.object(random, "random", draws.next), mock.patch.object(
                        random, "gauss", draws.gauss), mock.patch.object(random, "uniform", draws.uniform), \
                            mock.patch.object(np.random, "choice", draws.choice), \
                            mock.patch.object(ImageOps, "posterize", posterize):
                        return policy(image)

                with self.subTest(policy=text, interpolation=name):
                    self.compare(f"policy {text} {name}", expected)

    def test_colour_jitter_equals_torchvisions(self):
        torch.set_default_dtype(torch.float64)
        self.addCleanup(torch.set_default_dtype, torch.float32)
        for strengths in ((0.4, 0.4, 0.4, 0.1), (0.8, 0, 0, 0), (0, 1.5, 0, 0), (0, 0, 0.9, 0), (0, 0, 0, 0.5)):
            jitter = transforms.ColorJitter(*strengths)

            def expected(image, draws):
                with mock.patch("torch.randperm", draws.randperm), mock.patch.object(
                        torch.Tensor, "uniform_", lambda tensor, low, high: draws.fill(tensor, low, high)):
                    return jitter(image)

            with self.subTest(strengths=strengths):
                self.compare("jitter " + " ".join(map(str, strengths)), expected)


class Boxes(unittest.TestCase):
    def test_random_erasing_blanks_torchvisions_box(self):
        torch.set_default_dtype(torch.float64)
        self.addCleanup(torch.set_default_dtype, torch.float32)
        erasing = transforms.RandomErasing(p=0.6)
        requests = [f"blank {16 + i % 200} 0.6 0 3 1 {i}" for i in range(1500)]
        erased = 0
        for request, answer in zip(requests, policy_program.lines(requests)):
            size = int(request.split()[1])
            draws = Draws(map(float, answer[10:]))  # The first two are cutout's.
            image = torch.ones(3, size, size)
            with mock.patch("torch.rand", draws.rand), mock.patch(
                    "torch.randint", lambda low, high, size: draws.randint(low, high, size)), mock.patch.object(
                        torch.Tensor, "uniform_", lambda tensor, low, high: draws.fill(tensor, low, high)):
                expected = erasing(image)
            x, y, width, height = map(int, answer[4:8])
            found = torch.ones(3, size, size)
            found[:, y:y + height, x:x + width] = 0
            self.assertTrue(torch.equal(found, expected), request)
            erased += width > 0
        self.assertGreater(erased, 800)

    def test_cutout_blanks_a_square_around_a_pixel_as_its_authors_do(self):
        requests = [f"blank {32 + i % 100} 0 {0.2 + i % 7 / 10} 3 1 {i}" for i in range(500)]
        for request, answer in zip(requests, policy_program.lines(requests)):
            size, share = int(request.split()[1]), float(request.split()[3])
            draws = Draws(map(float, answer[8:]))
            length = round(share * size)
            # https://arxiv.org/abs/1708.04552: centre anywhere, the mask cut off at the border.
            y, x = draws.below(size), draws.below(size)
            mask = np.ones((size, size))
            y1, y2 = np.clip(y - length // 2, 0, size), np.clip(y + length // 2, 0, size)
            x1, x2 = np.clip(x - length // 2, 0, size), np.clip(x + length // 2, 0, size)
            mask[y1:y2, x1:x2] = 0
            left, top, width, height = map(int, answer[:4])
            found = np.ones((size, size))
            found[top:top + height, left:left + width] = 0
            np.testing.assert_array_equal(found, mask)


class EvaluationSquare(unittest.TestCase):
    def test_square_is_ffcvs_center_crop(self):
        generator = random.Random(1)
        sizes = [(generator.randint(1, 900), generator.randint(1, 900)) for _ in range(500)]
        answers = policy_program.lines(f"square {w} {h} 0.875" for w, h in sizes)
        for (width, height), answer in zip(sizes, answers):
            # ffcv.fields.rgb_image.get_center_crop
            side = max(1, int(224 / 256 * min(height, width)))
            self.assertEqual([(width - side) // 2, (height - side) // 2, side, side], list(map(int, answer)))


if __name__ == "__main__":
    unittest.main()
