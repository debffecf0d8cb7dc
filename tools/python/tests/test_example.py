"""docs/examples/train_with_python.py: a few steps, resumed, alone and as two processes."""

import os
import subprocess
import sys
import unittest

import support

try:
    import torch
    import torchvision  # noqa: F401
except ImportError as missing:
    support.skip(f"{missing.name} is not here: scripts/setup --tests installs it")

EXAMPLE = support.PROJECT / "docs/examples/train_with_python.py"


class Example(support.WithShards):
    def train(self, save, *words, processes=1):
        launch = [sys.executable]
        if processes > 1:
            launch += ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
        options = ["--model", "resnet18", "--batch-size", "48", "--size", "32", "--eval-size", "32", "--threads", "1",
                   "--lr", "0.5", "--save", save, *words]
        result = subprocess.run([*launch, EXAMPLE, self.shards, *map(str, options)], capture_output=True, text=True,
                                env={**os.environ, "OMP_NUM_THREADS": "1"}, timeout=300)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        return result.stdout, torch.load(save, weights_only=True)

    def test_a_stopped_training_goes_on_to_the_same_weights(self):
        straight, expected = self.train(self.folder / "straight.pt", "--epochs", 2)
        self.assertIn("epoch 1: top-1 ", straight)
        stopped, state = self.train(self.folder / "stopped.pt", "--epochs", 2, "--max-batches", 3)
        self.assertEqual((state["loader"]["epoch"], state["loader"]["batch"]), (0, 3))
        resumed, found = self.train(self.folder / "stopped.pt", "--epochs", 2)
        self.assertEqual(found["loader"], expected["loader"])
        for name, weights in expected["network"].items():
            torch.testing.assert_close(found["network"][name], weights, rtol=0, atol=0, msg=name)
        self.assertEqual(resumed.splitlines()[-1], straight.splitlines()[-1])

    def test_two_processes_share_the_batches(self):
        output, state = self.train(self.folder / "two.pt", "--epochs", 1, processes=2)
        self.assertIn("epoch 0: top-1 ", output)
        self.assertEqual((state["loader"]["epoch"], state["loader"]["order"]["global_batch_size"]), (1, 48))


if __name__ == "__main__":
    unittest.main()
