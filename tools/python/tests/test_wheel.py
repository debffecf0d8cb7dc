"""`pip wheel tools/python`: a wheel that works in an environment of its own, without the build folder."""

import os
import subprocess
import sys
import tempfile
import unittest
import venv
import zipfile
from pathlib import Path

import support


class Wheel(support.WithShards):
    def test_a_wheel_installs_and_loads(self):
        wheels = self.folder / "wheels"
        # The pinned build tools of this environment, so that nothing is fetched; the compiler by the name that the main
        # build has for it, so that ccache knows most objects.
        subprocess.run([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation",
                        "--wheel-dir", wheels, support.PROJECT / "tools/python"], check=True, env={"CXX": "/usr/bin/c++", **os.environ})
        (wheel,) = wheels.glob("imgpack-*.whl")
        names = zipfile.ZipFile(wheel).namelist()
        for name in ("imgpack/__init__.py", "imgpack/py.typed", "imgpack/_native.pyi"):
            self.assertIn(name, names)
        self.assertEqual([name for name in names if not name.startswith(("imgpack/", "imgpack-"))], [])

        home = Path(tempfile.mkdtemp(dir=self.folder))
        venv.create(home, with_pip=True)
        python = home / "bin/python"
        numpy = Path(__import__("numpy").__file__).parent.parent
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", wheel], check=True,
                       env=environment)
        site = next(home.glob("lib/python3*/site-packages"))
        (site / "numpy").symlink_to(numpy / "numpy")  # Its only dependency, as it is here.
        (site / "numpy.libs").symlink_to(numpy / "numpy.libs")
        code = ("import sys, imgpack; print(imgpack.__file__, imgpack.__version__, "
                "len(list(imgpack.DataLoader(sys.argv[1], 32, size=16, output='numpy'))))")
        found = subprocess.run([python, "-c", code, self.shards], check=True, capture_output=True, text=True,
                               env=environment, cwd=home).stdout.split()
        self.assertTrue(found[0].startswith(str(home)))
        self.assertEqual(found[2], "7")
        self.assertIn(f"-{found[1]}-", wheel.name)


if __name__ == "__main__":
    unittest.main()
