"""Learning rates of `imgtrain schedule` against torch's schedulers, FFCV's formula and numpy, at every step."""
import csv
import io
import os
import subprocess
import unittest

import numpy as np
import torch
from torch.optim import lr_scheduler

IMGTRAIN = os.path.join(os.environ["BIN_DIR"], "imgtrain")


def ours(steps_per_epoch, batch=10, **options):
    """Rows of (learning rate, momentum) of every step."""
    arguments = [IMGTRAIN, "schedule", "--images", str(steps_per_epoch * batch), "--batch", str(batch)]
    for name, value in options.items():
        arguments += ["--" + name.replace("_", "-"), str(value).lower() if isinstance(value, bool) else str(value)]
    text = subprocess.run(arguments, check=True, capture_output=True, text=True).stdout
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [int(row["step"]) for row in rows] == list(range(len(rows)))
    return [(float(row["learning_rate"]), float(row["momentum"])) for row in rows]


def torch_rates(make, steps, lr, momentum=0.9):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr, momentum=momentum)
    scheduler = make(optimizer)
    rates = []
    for step in range(steps):
        rates.append((optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["momentum"]))
        optimizer.step()
        if step + 1 < steps:
            scheduler.step()
    return rates


class Schedules(unittest.TestCase):
    def assert_equal_rates(self, got, expected, relative=1e-14):
        self.assertEqual(len(got), len(expected))
        np.testing.assert_allclose(np.array(got), np.array(expected), rtol=relative, atol=1e-300)

    def test_onecycle_equals_torchs_at_every_step(self):
        for lr, pct_start, anneal, three_phase, cycle, epochs, steps in [
            (0.18525, 0.3, "cos", False, False, 60, 715),
            (0.1, 0.3, "cos", False, True, 15, 78),
            (0.5, 0.4, "linear", False, True, 7, 33),
            (1.0, 0.25, "cos", True, True, 10, 21),
            (1.0, 0.2, "linear", True, False, 3, 50),
        ]:
            got = ours(steps, schedule="onecycle", lr=lr, duration=f"{epochs}ep", onecycle_pct_start=pct_start,
                       onecycle_anneal=anneal, onecycle_three_phase=three_phase, onecycle_cycle_momentum=cycle)
            expected = torch_rates(
                lambda optimizer: lr_scheduler.OneCycleLR(
                    optimizer, max_lr=lr, total_steps=epochs * steps, pct_start=pct_start, anneal_strategy=anneal,
                    three_phase=three_phase, cycle_momentum=cycle),
                epochs * steps, lr)
            # The rate comes close to 0 as a difference of large numbers: its last digits are those of the largest.
            np.testing.assert_allclose(np.array(got), np.array(expected), rtol=1e-13, atol=1e-16 * lr)

    def test_warmup_and_cosine_held_for_an_epoch_equal_torchvisions_references(self):
        epochs, warmup, lr, steps = 30, 5, 0.5, 4
        got = ours(steps, schedule="cosine", lr=lr, duration=f"{epochs}ep", warmup=f"{warmup}ep", warmup_start=0.01,
                   lr_hold="epoch")

        def make(optimizer):
            main = lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs - warmup, eta_min=0)
            rise = lr_scheduler.LinearLR(optimizer, start_factor=0.01, total_iters=warmup)
            return lr_scheduler.SequentialLR(optimizer, [rise, main], milestones=[warmup])

        expected = [rate for rate in torch_rates(make, epochs, lr) for _ in range(steps)]
        self.assert_equal_rates(got, expected, 1e-12)

    def test_step_equals_torchs_multistep(self):
        got = ours(5, schedule="step", lr=0.1, duration="90ep", step_at="30ep,60ep,80ep", step_factor=0.1)
        expected = torch_rates(lambda o: lr_scheduler.MultiStepLR(o, [150, 300, 400], gamma=0.1), 450, 0.1)
        self.assert_equal_rates(got, expected, 1e-12)

    def test_poly_equals_torchs(self):
        got = ours(10, schedule="poly", lr=2, duration="9ep", poly_power=2)
        expected = torch_rates(lambda o: lr_scheduler.PolynomialLR(o, total_iters=90, power=2), 90, 2)
        self.assert_equal_rates(got, expected, 1e-11)

    def test_linear_with_warmup_equals_ffcvs_trilinear(self):
        # ffcv-imagenet's get_cyclic_lr, and its linear steps inside an epoch.
        lr, epochs, peak, iterations = 1.7, 16, 2, 25

        def cyclic(epoch):
            return np.interp([epoch], [0, peak, epochs], [1e-4 * lr, lr, 0])[0]

        expected = []
        for epoch in range(epochs):
            inside = np.interp(np.arange(iterations), [0, iterations], [cyclic(epoch), cyclic(epoch + 1)])
            expected += [(rate, 0.9) for rate in inside]
        got = ours(iterations, schedule="linear", lr=lr, duration=f"{epochs}ep", warmup=f"{peak}ep", warmup_start=1e-4)
        self.assert_equal_rates(got, expected, 1e-12)


if __name__ == "__main__":
    unittest.main()
