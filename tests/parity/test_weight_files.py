"""Weight files against the `safetensors` package, both ways."""

import pathlib
import tempfile
import unittest

import safetensors
import safetensors.torch
import torch

import model_program

DTYPES = (
    torch.bool, torch.uint8, torch.int8, torch.int16, torch.uint16, torch.float16, torch.bfloat16, torch.int32,
    torch.uint32, torch.float32, torch.int64, torch.uint64, torch.float64,
)


class WeightFiles(unittest.TestCase):
    def test_what_the_package_wrote_and_we_rewrote_the_package_reads_back(self):
        torch.manual_seed(0)
        # Sizes that leave odd offsets between kinds of numbers, a scalar, and an empty tensor.
        tensors = {str(dtype): (torch.rand(3, 5) * 100).to(dtype) for dtype in DTYPES}
        tensors |= {"scalar": torch.tensor(2.5), "empty": torch.empty(0, 7), "naïve “name”": torch.ones(1)}
        metadata = {"model": "resnet18", "note": 'quotes " and\nlines, ümläuts'}
        with tempfile.TemporaryDirectory() as folder:
            theirs, ours, again = (pathlib.Path(folder) / name for name in ("theirs", "ours", "again"))
            safetensors.torch.save_file(tensors, theirs, metadata=metadata)
            model_program.run("rewrite", theirs, ours)
            model_program.run("rewrite", ours, again)
            found = safetensors.torch.load_file(ours)
            with safetensors.safe_open(ours, framework="pt") as file:
                found_metadata = dict(file.metadata())
            self.assertEqual(ours.read_bytes(), again.read_bytes())
        self.assertEqual(found.keys(), tensors.keys())
        for name, expected in tensors.items():
            self.assertEqual(found[name].dtype, expected.dtype, name)
            self.assertTrue(torch.equal(found[name], expected), name)
        self.assertRegex(found_metadata.pop("xxh3"), "^[0-9a-f]{16}$")
        self.assertEqual(found_metadata, metadata)

    def test_the_checksum_is_that_of_the_specification(self):
        import xxhash

        with tempfile.TemporaryDirectory() as folder:
            theirs, ours = pathlib.Path(folder) / "theirs", pathlib.Path(folder) / "ours"
            safetensors.torch.save_file({"a": torch.arange(1000.0)}, theirs)
            model_program.run("rewrite", theirs, ours)
            with safetensors.safe_open(ours, framework="pt") as file:
                digits = file.metadata()["xxh3"]
            content = ours.read_bytes()[8:]
        self.assertEqual(xxhash.xxh3_64_hexdigest(content.replace(digits.encode(), b"0" * 16, 1)), digits)


if __name__ == "__main__":
    unittest.main()
