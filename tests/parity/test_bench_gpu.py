"""scripts/bench-gpu: its plan, its results, and a whole tiny run of it on the CPU."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

PROJECT = pathlib.Path(os.environ.get("PROJECT_DIR", pathlib.Path(__file__).resolve().parents[2]))
BIN = pathlib.Path(os.environ.get("BIN_DIR", PROJECT / "build/release/bin"))
sys.path.insert(0, str(PROJECT / "scripts/lib"))
sys.dont_write_bytecode = True
import bench_gpu  # noqa: E402

FACTS = {"device": "a test", "model": "resnet50", "rounds": 5, "steps": 20, "date": "today", "host": "here"}


def result(side, median, size=224, precision="fp16", **more):
    cell = {"side": side, "precision": precision, "size": size, "batch": 256}
    return {"cell": cell, "images_per_second": {"median": median, "min": median - 1, "max": median + 1},
            "peak_bytes": 8 << 30, "gpu": {"power_w": 300.4, "sm_mhz": 1710.0}, "raw": {}, **more}


def profile(cores):
    work = {"bytes": 1e9}
    return {"batch": 256, "cores_used": cores, "roofline": {"bytes_per_second": 400e9},
            "layers": [{"forward": work, "backward": {"bytes": 3e9}}] * 16}


class Plan(unittest.TestCase):
    def plan(self, budget=600, compile=True):
        return bench_gpu.make_plan(["fp16", "bf16"], [224, 128, 160, 192], 256, budget, compile)

    def test_ten_minutes_hold_every_side_at_224_and_other_sizes(self):
        plan, _ = self.plan()
        self.assertLessEqual(sum(bench_gpu.ESTIMATE[cell.side] for cell in plan), 600)
        at_224 = {(cell.side, cell.precision) for cell in plan if cell.size == 224}
        for precision in ("fp16", "bf16"):
            self.assertLessEqual({(side, precision) for side in ("eager", "compile", "imgtrain")}, at_224)
        self.assertLessEqual({("shards", "fp16"), ("graphs", "fp16")}, at_224)
        self.assertTrue(any(cell.size == 128 and cell.side == "imgtrain" for cell in plan))

    def test_without_compile_the_whole_plan_fits(self):
        plan, left_out = self.plan(compile=False)
        self.assertEqual(left_out, [])
        self.assertEqual({cell.size for cell in plan}, {128, 160, 192, 224})

    def test_a_small_budget_keeps_what_matters_most_and_names_the_rest(self):
        plan, left_out = self.plan(budget=60)
        self.assertEqual([cell.side for cell in plan], ["eager", "imgtrain"])
        self.assertIn("torch.compile, fp16, 224 px, batch 256", [cell.name() for cell in left_out])

    def test_smaller_images_get_larger_batches_of_about_as_many_pixels(self):
        self.assertEqual(bench_gpu.batch_for(224, 224, 256), 256)
        self.assertEqual(bench_gpu.batch_for(128, 224, 256), 768)
        self.assertEqual(bench_gpu.batch_for(64, 32, 16), 4)


class Results(unittest.TestCase):
    def test_table_compares_with_eager_with_compile_and_with_the_limit(self):
        results = [result("eager", 1000), result("compile", 1100), result("imgtrain", 1500, raw=profile(2)),
                   result("shards", 1480, raw=profile(7.4))]
        text = bench_gpu.table(results, [], FACTS)
        # 64 GB a step of 256 images at 400 GB/s: 1,600 images/s.
        self.assertIn("| imgtrain | fp16 | 224 | 256 | 1500.0 | 1499.0, 1501.0 | 1.50 | 1.36 | 94 % | 8192 | 300 | 1710 |", text)
        self.assertIn("| PyTorch eager | fp16 | 224 | 256 | 1000.0 | 999.0, 1001.0 |  | 0.91 |  | 8192", text)
        self.assertIn("98.7 % of the rate on made-up batches; 5.0 CPU cores per 1,000 images/s", text)

    def test_a_failed_measurement_keeps_its_reason_and_is_compared_with_nothing(self):
        failed = {"cell": result("eager", 1)["cell"], "failure": "no room"}
        text = bench_gpu.table([failed, result("imgtrain", 1500)], [bench_gpu.Cell("compile", "fp16", 224, 256)], FACTS)
        self.assertIn("failed: no room", text)
        self.assertIn("| imgtrain | fp16 | 224 | 256 | 1500.0 | 1499.0, 1501.0 |  |  |", text)
        self.assertIn("Left out, since the budget had no room: torch.compile, fp16, 224 px, batch 256.", text)

    def test_plot_has_a_column_for_every_side_and_gaps_where_one_was_not_measured(self):
        script = bench_gpu.plot_script([result("eager", 1000), result("imgtrain", 1500), result("eager", 2000, size=128)],
                                       FACTS, "plot.png")
        self.assertIn('"224 px, fp16" 1000 1500', script)
        self.assertIn('"128 px, fp16" 2000 NaN', script)
        self.assertIsNone(bench_gpu.plot_script([], FACTS, "plot.png"))

    def test_power_and_clocks_are_medians_without_what_the_card_does_not_tell(self):
        self.assertEqual(bench_gpu.watched(["100.0, 1500, 5001, 40", "120.0, 1600, 5001, 42", "110.0, 1700, [N/A], 44"]),
                         {"power_w": 110.0, "sm_mhz": 1600, "memory_mhz": 5001, "temperature_c": 42})
        self.assertEqual(bench_gpu.watched([]), {})


class Runs(unittest.TestCase):
    def bench(self, *words):
        return subprocess.run([PROJECT / "scripts/bench-gpu", "--bin", BIN, *words], capture_output=True, text=True)

    def test_without_a_gpu_it_says_so_and_exits_1(self):
        import torch

        if torch.cuda.is_available():
            self.skipTest("there is a GPU")
        done = self.bench("--out", "/nonexistent/never")
        self.assertEqual(done.returncode, 1)
        self.assertIn("no CUDA device", done.stderr)

    def test_wrong_options_exit_2(self):
        self.assertEqual(self.bench("--precision", "fp8").returncode, 2)
        self.assertEqual(self.bench("--sizes", "big").returncode, 2)

    def test_a_tiny_run_on_the_cpu_measures_every_side_but_compile(self):
        try:
            import torchvision  # noqa: F401
        except ImportError:
            self.skipTest("no torchvision here: scripts/setup --tests")
        with tempfile.TemporaryDirectory() as text:
            folder = pathlib.Path(text) / "out"
            done = self.bench("--device", "cpu", "--model", "resnet18", "--sizes", "32", "--precision", "bf16", "--batch",
                              "4", "--rounds", "2", "--steps", "1", "--no-compile", "--out", folder)
            self.assertEqual(done.returncode, 0, done.stderr)
            raw = json.loads((folder / "results.json").read_text())
            self.assertEqual([r["cell"]["side"] for r in raw["results"]], ["eager", "imgtrain", "shards", "separate", "graphs"])
            for one in raw["results"]:
                self.assertNotIn("failure", one)
                self.assertGreater(one["images_per_second"]["median"], 0)
            self.assertEqual(raw["results"][2]["raw"]["input"], "shards")
            self.assertEqual((folder / "table.md").read_text(), done.stdout)
            self.assertEqual((folder / "plot.png").read_bytes()[:4], b"\x89PNG")


if __name__ == "__main__":
    unittest.main()
