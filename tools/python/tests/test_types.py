"""Type stubs: those of the compiled half are what nanobind says of it now, and mypy has no complaint.

UPDATE_STUBS=1 writes imgpack/_native.pyi anew.
"""

import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import support

PACKAGE = support.PROJECT / "tools/python"
STUB = PACKAGE / "imgpack/_native.pyi"

USER = '''
import imgpack

dataset = imgpack.open("x.shards")
data, label, name = dataset["train"][0]
width: int = dataset["train"][0].width
loader = imgpack.DataLoader(dataset, batch_size=4, transform="eval")
for images, labels in loader:
    reveal_type(labels)
for batch in loader:
    index: int = batch.number
    reasons: list[str] = batch.left_out
loader.load_state_dict(loader.state_dict())
'''
WRONG = '''
import imgpack

imgpack.DataLoader("x.shards", transform="test")
imgpack.DataLoader("x.shards", num_workers=4)
imgpack.open("x.shards")["train"][0].label + ""
'''


class Types(unittest.TestCase):
    def mypy(self, *words):
        environment = {**os.environ, "MYPYPATH": str(PACKAGE)}
        result = subprocess.run([sys.executable, "-m", "mypy", "--config-file", PACKAGE / "pyproject.toml",
                                 "--cache-dir", "/dev/null", *words], cwd=PACKAGE, capture_output=True, text=True,
                                env=environment)
        return result.returncode, result.stdout + result.stderr

    def test_the_stub_of_the_compiled_half_is_current(self):
        with tempfile.TemporaryDirectory() as folder:
            made = Path(folder) / "_native.pyi"
            subprocess.run([sys.executable, "-m", "nanobind.stubgen", "-q", "-m", "imgpack._native", "-o", made], check=True)
            if os.environ.get("UPDATE_STUBS") == "1":
                STUB.write_text(made.read_text())
            self.assertEqual(STUB.read_text(), made.read_text(), "UPDATE_STUBS=1 writes it anew")

    def test_mypy_accepts_the_package_and_its_users(self):
        try:
            import mypy  # noqa: F401
        except ImportError:
            self.skipTest("mypy is not here: scripts/setup --tests installs it")
        with tempfile.TemporaryDirectory() as folder:
            user, wrong = Path(folder) / "user.py", Path(folder) / "wrong.py"
            user.write_text(USER)
            wrong.write_text(WRONG)
            status, text = self.mypy("imgpack", user, support.PROJECT / "docs/examples/train_with_python.py")
            self.assertEqual(status, 0, text)
            status, text = self.mypy(wrong)
            self.assertEqual(status, 1, text)
            for line in (4, 5, 6):
                self.assertIn(f"wrong.py:{line}: error", text)


if __name__ == "__main__":
    unittest.main()
