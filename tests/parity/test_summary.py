"""The model summary against the `torchsummary` package, row by row."""

import contextlib
import io
import json
import re
import unittest

import torchsummary
import torchvision

import model_program

ROW = re.compile(r"^\s*(\w+)-\d+\s+\[([-\d, ]+)\]\s+([\d,]+)\s*$")


class Summary(unittest.TestCase):
    def test_layers_shapes_parameters_and_totals_are_torchsummarys(self):
        for depth, size in ((18, 65), (50, 224), (152, 96)):
            with self.subTest(depth=depth, size=size):
                out = io.StringIO()
                with contextlib.redirect_stdout(out):
                    model = getattr(torchvision.models, f"resnet{depth}")()
                    torchsummary.summary(model, (3, size, size), device="cpu")
                lines = out.getvalue().splitlines()
                expected = [
                    (match[1], [int(n) for n in match[2].split(",")][1:], int(match[3].replace(",", "")))
                    for match in map(ROW.match, lines)
                    if match
                ]
                found = json.loads(model_program.run("summary", depth, size))
                self.assertEqual(
                    [(layer["type"], layer["output_shape"], layer["parameters"]) for layer in found["layers"]], expected
                )
                totals = {line.split(":")[0]: float(line.split(":")[1].replace(",", "")) for line in lines if ":" in line}
                self.assertEqual(found["parameters"], totals["Total params"])
                for key, title in (
                    ("input_mib", "Input size (MB)"),
                    ("forward_backward_mib", "Forward/backward pass size (MB)"),
                    ("parameters_mib", "Params size (MB)"),
                    ("total_mib", "Estimated Total Size (MB)"),
                ):
                    self.assertAlmostEqual(found[key], totals[title], delta=0.0051, msg=key)


if __name__ == "__main__":
    unittest.main()
