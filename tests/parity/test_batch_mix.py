"""Mixup, CutMix and growing images against timm, torchvision, FFCV and Composer.

The program prints the numbers it drew; the other libraries' own code gets the same ones.
"""

import math
import unittest
from unittest import mock

import numpy as np
import torch
from timm.data.mixup import Mixup
from torchvision.transforms import v2

import policy_program
from test_augment_policy import Draws


def beta(draws, alpha):
    """Jöhnk's way to a beta number, as engine/data/batch_mix.cc goes it for alpha <= 1."""
    while True:
        x, y = math.log(1 - draws.next()) / alpha, math.log(1 - draws.next()) / alpha
        high = max(x, y)
        total = high + math.log(math.exp(x - high) + math.exp(y - high))
        if total <= 0:
            return math.exp(x - total)


class Mixes(unittest.TestCase):
    images, size, classes = 6, 20, 5

    def answers(self, style, count=300, mixup=0.2, cutmix=1.0, probability=1.0, share=0.5):
        requests = [f"mix {style} {mixup} {cutmix} {probability} {share} {self.images} {self.size} 4 {i} {i % 3}"
                    for i in range(count)]
        for answer in policy_program.lines(requests):
            bar = answer.index("|") if "|" in answer else next(i for i, w in enumerate(answer) if w.startswith("|"))
            numbers = answer[:bar]
            draws = [w.lstrip("|") for w in answer[bar:]]
            yield (int(numbers[0]), float(numbers[1]), list(map(int, numbers[2:6])), list(map(int, numbers[6:])),
                   Draws(float(w) for w in draws if w))

    def batch(self):
        generator = torch.Generator().manual_seed(1)
        images = torch.rand(self.images, 3, self.size, self.size, generator=generator, dtype=torch.float64)
        return images, torch.randint(self.classes, (self.images,), generator=generator)

    def apply(self, kind, share, box, partner, images, labels):
        """What engine/train/group_input.cc does with a decision."""
        one_hot = torch.nn.functional.one_hot(labels, self.classes).double()
        if kind == 0:
            return images, one_hot
        x, y, width, height = box
        mixed = images.clone()
        if kind == 1:
            mixed = images * share + images[partner] * (1 - share)
        else:
            mixed[:, :, y:y + height, x:x + width] = images[partner][:, :, y:y + height, x:x + width]
        return mixed, one_hot * share + one_hot[partner] * (1 - share)

    def test_timms_style_is_timms_mixup_in_mode_batch(self):
        mixer = Mixup(mixup_alpha=0.2, cutmix_alpha=1.0, prob=0.7, switch_prob=0.4, mode="batch", label_smoothing=0.0,
                      num_classes=self.classes)
        kinds = set()
        for kind, share, box, partner, draws in self.answers("timm", probability=0.7, share=0.4):
            images, labels = self.batch()
            with mock.patch("numpy.random.rand", draws.next), \
                    mock.patch("numpy.random.beta", lambda a, b: beta(draws, a)), \
                    mock.patch("numpy.random.randint", lambda low, high, size: low + draws.below(high - low)):
                expected_images, expected_targets = mixer(images.clone(), labels)
            found_images, found_targets = self.apply(kind, share, box, partner, images, labels)
            torch.testing.assert_close(found_images, expected_images, rtol=1e-12, atol=1e-12)
            torch.testing.assert_close(found_targets, expected_targets.double(), rtol=1e-6, atol=1e-6)
            kinds.add(kind)
        self.assertEqual(kinds, {0, 1, 2})

    def test_torchvisions_style_is_torchvisions_mixup_and_cutmix(self):
        mixers = {1: v2.MixUp(alpha=0.2, num_classes=self.classes), 2: v2.CutMix(alpha=1.0, num_classes=self.classes)}
        kinds = set()
        for kind, share, box, partner, draws in self.answers("torchvision"):
            images, labels = self.batch()
            self.assertEqual(kind, 2 if draws.next() < 0.5 else 1)
            mixer = mixers[kind]
            drawn = torch.tensor(beta(draws, 0.2 if kind == 1 else 1.0), dtype=torch.float64)
            with mock.patch.object(type(mixer._dist), "sample", lambda self, shape=(): drawn), \
                    mock.patch("torch.randint", lambda high, size: draws.randint(high, size)):
                expected_images, expected_targets = mixer(images.clone(), labels)
            found_images, found_targets = self.apply(kind, share, box, partner, images, labels)
            torch.testing.assert_close(found_images, expected_images, rtol=1e-12, atol=1e-12)
            torch.testing.assert_close(found_targets, expected_targets.double(), rtol=1e-6, atol=1e-6)
            kinds.add(kind)
        self.assertEqual(kinds, {1, 2})

    def test_composers_mixup_pairs_at_random_and_keeps_the_larger_share(self):
        for kind, share, _, partner, draws in self.answers("composer", cutmix=0):
            drawn = beta(draws, 0.2)
            self.assertEqual(kind, 1)
            # composer.algorithms.mixup: mixing = min(lambda, 1 - lambda) is the partner's part.
            self.assertAlmostEqual(1 - share, min(drawn, 1 - drawn), places=14)
            self.assertEqual(sorted(partner), list(range(self.images)))

    def test_beta_numbers_are_distributed_as_numpys(self):
        for alpha in (0.1, 0.2, 1.0):
            ours = np.sort([share for _, share, _, _, _ in self.answers("timm", 8000, mixup=alpha, cutmix=0)])
            theirs = np.sort(np.random.default_rng(1).beta(alpha, alpha, 8000))
            points = np.concatenate([ours, theirs])
            gap = np.abs(np.searchsorted(ours, points, "right") - np.searchsorted(theirs, points, "right")).max() / 8000
            self.assertLess(gap, 1.95 * math.sqrt(2 / 8000))  # Kolmogorov-Smirnov, p = 0.001.


class GrowingImages(unittest.TestCase):
    def test_decoded_sizes_are_those_of_ffcvs_configurations(self):
        # rn50_configs of ffcv-imagenet: epochs, start_ramp, end_ramp; 160 to 192 pixels.
        for epochs, start, end in ((16, 11, 13), (24, 17, 20), (32, 23, 27), (40, 29, 34), (56, 41, 48), (88, 65, 76)):
            answer = policy_program.lines([f"sizes 160 192 {start / epochs} {end / epochs} 32 decode 1 {epochs}"])[0]

            def resolution(epoch):
                if epoch <= start:
                    return 160
                if epoch >= end:
                    return 192
                interp = np.interp([epoch], [start, end], [160, 192])
                return int(np.round(interp[0] / 32)) * 32

            self.assertEqual(list(map(int, answer)), [resolution(epoch) for epoch in range(epochs)])

    def test_shrunk_sizes_are_composers_at_every_step(self):
        for initial, delay, finetune, size in ((0.5, 0.4, 0.2, 176), (0.6, 0.2, 0.2, 176), (0.5, 0.5, 0.2, 224)):
            steps = 1000
            request = f"sizes {round(initial * size)} {size} {delay} {1 - finetune} 4 shrink 100 {steps}"
            found = list(map(int, policy_program.lines([request])[0]))
            start = round(initial * size) / size
            for step in range(steps):
                elapsed = step / steps
                share = 0.0
                if elapsed >= delay:
                    share = min((elapsed - delay) / (1 - finetune - delay), 1)
                scale = start + (1 - start) * share
                self.assertEqual(found[step], round(size * scale / 4) * 4, (initial, step))


if __name__ == "__main__":
    unittest.main()
