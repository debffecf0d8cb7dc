"""Runs every loader in a process of its own, one after another, round after round, and writes table, JSON and plot.

Called by scripts/bench-peers, which has the help; BIN_DIR says where our programs are.
"""

import argparse
import json
import os
import pathlib
import platform
import shlex
import signal
import statistics
import subprocess
import sys
import threading
import time

import corpus
import report

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parent.parent
TIMEOUT_SECONDS = 300
MEAN_TOLERANCE = 30  # Of evaluation pixels, 0 to 255: loaders do not see the same images first.

# name -> (title, how: a function of loaders.py, or options of imgbench and the pack it reads)
LOADERS = {
    "imgtrain": ("imgtrain", {"pack": "original"}),
    "imgtrain_avx2": ("imgtrain, held to AVX2", {"pack": "original", "options": ["--simd", "AVX2"]}),
    "imgtrain_reference": ("imgtrain, reference decoder", {"pack": "original", "options": ["--decoder", "reference"]}),
    "torchvision_pil": ("torchvision ImageFolder + PIL", None),
    "torchvision_v2": ("torchvision v2 + decode_jpeg", None),
    "timm": ("timm", None),
    "webdataset": ("WebDataset + PIL", None),
    "streaming": ("MosaicML Streaming + PIL", None),
    "dali": ("DALI, CPU", None),
    "tf_data_antialiased": ("tf.data, antialiased", None),
    "tf_data_aliased": ("tf.data as it comes (not antialiased)", None),
    "ffcv": ("FFCV, jpg mode (re-encoded at q90)", None),
    "imgtrain_max500": ("imgtrain, long side ≤ 500 at q90", {"pack": "max500"}),
    "ffcv_max500": ("FFCV, long side ≤ 500 at q90", None),
}
TRANSFORMS = ("train", "eval")


def arguments():
    parser = argparse.ArgumentParser(prog="scripts/bench-peers", add_help=False, allow_abbrev=False)
    parser.add_argument("images", nargs="?", default=str(ROOT / "../shared/data/imagenet-samples.tar"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cores", default="1,2")
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--images", dest="count", type=int, default=4000)
    parser.add_argument("--only", default="")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "docs/benchmarks")
    parser.add_argument("--under", default="")
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    options.cores = [int(n) for n in options.cores.split(",")]
    options.only = [name for name in options.only.split(",") if name] or list(LOADERS)
    unknown = [name for name in options.only if name not in LOADERS]
    if unknown:
        parser.error(f"unknown loader {unknown[0]}: expected one of {', '.join(LOADERS)}")
    if max(options.cores) > len(os.sched_getaffinity(0)):
        parser.error(f"--cores {max(options.cores)}: this process may use {len(os.sched_getaffinity(0))} cores")
    if not pathlib.Path(options.images).exists():
        parser.error(f"{options.images}: no such folder or tar. Name JPEGs to measure with")
    return options


def command(name, transform, cores, options, folder):
    how = LOADERS[name][1]
    if how is None:
        line = [sys.executable, HERE / "loaders.py", name, transform, cores, options.seconds, folder]
    else:
        workload = "pipeline" if transform == "train" else "eval-pipeline"
        line = [f"{os.environ['BIN_DIR']}/imgbench", "run", workload, "--json", "--threads", cores, "--repetitions", 1]
        line += ["--shards", folder / f"{how['pack']}.shards", "--images", options.count, "--seconds", options.seconds]
        line += how.get("options", [])
    pinned = ["taskset", "-c", ",".join(map(str, sorted(os.sched_getaffinity(0))[:cores])), *map(str, line)]
    return [*shlex.split(options.under), *pinned]


class MemoryWatch(threading.Thread):
    """The largest sum of what a process and its children hold in memory; pages that they share count once."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid, self.peak_mib = pid, 0

    def run(self):
        while True:
            held = sum(proportional_kib(pid) for pid in with_children(self.pid)) / 1024
            if held == 0:
                return
            self.peak_mib = max(self.peak_mib, held)
            time.sleep(0.5)


def with_children(pid):
    found = [pid]
    for one in found:
        try:
            for task in pathlib.Path(f"/proc/{one}/task").iterdir():
                found += map(int, (task / "children").read_text().split())
        except OSError:
            pass
    return found


def proportional_kib(pid):
    try:
        for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1])
    except OSError:
        pass
    return 0


def measure(name, transform, cores, options, folder):
    """One measurement, or a text that says why there is none."""
    line = command(name, transform, cores, options, folder)
    environment = dict(os.environ, OMP_NUM_THREADS="1", TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="")
    process = subprocess.Popen(
        line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True
    )
    watch = MemoryWatch(process.pid)
    watch.start()
    try:
        out, talk = process.communicate(timeout=TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        out, talk = "", f"nothing within {TIMEOUT_SECONDS} s"
    finally:
        try:
            os.killpg(process.pid, signal.SIGKILL)  # Workers that outlived their parent.
        except ProcessLookupError:
            pass
    rows = [text for text in out.splitlines() if text.startswith("{")]
    if not rows:
        return (talk.strip().splitlines() or [f"exit status {process.returncode}"])[-1]
    result = json.loads(rows[-1])
    if "workloads" in result:
        result = {"images_per_second": result["workloads"][0]["items_per_second"]["median"]}
    result["peak_mib"] = watch.peak_mib
    return result


def summary(values):
    return {"median": statistics.median(values), "min": min(values), "max": max(values), "values": values}


def main():
    options = arguments()
    if options.list:
        for name, (title, _) in LOADERS.items():
            print(f"{name:22}{title}")
        return
    have_ffcv = subprocess.run([sys.executable, "-c", "import ffcv"], capture_output=True).returncode == 0
    names = [name for name in options.only if have_ffcv or not name.startswith("ffcv")]
    failed = {name: "could not be built here" for name in options.only if name not in names}
    folder = ROOT / "build/bench-peers"
    print("==> the corpus in every loader's format", file=sys.stderr)
    corpus.make(options.images, folder, options.count, os.environ["BIN_DIR"], have_ffcv)

    measured = {}
    for turn in range(options.rounds):
        for name in names:
            for transform in TRANSFORMS:
                for cores in options.cores:
                    if name in failed or (transform == "eval" and name.endswith("_max500")):
                        continue
                    result = measure(name, transform, cores, options, folder)
                    if isinstance(result, str):
                        failed[name] = result
                        print(f"==> {name}: left out: {result}", file=sys.stderr)
                        continue
                    measured.setdefault((name, transform, cores), []).append(result)
                    rate = result["images_per_second"]
                    print(f"==> round {turn + 1}: {name} {transform}, {cores} cores: {rate:.0f}/s", file=sys.stderr)
    check_means(measured, failed)

    results = []
    for name in names:
        if name in failed:
            continue
        row = {"name": name, "title": LOADERS[name][0]}
        for transform in TRANSFORMS:
            for cores in options.cores:
                runs = measured.get((name, transform, cores))
                if runs:
                    row[f"{transform}_{cores}"] = summary([run["images_per_second"] for run in runs])
                    row[f"{transform}_{cores}"]["peak_mib"] = max(run["peak_mib"] for run in runs)
        results.append(row)
    report.write(
        {
            "machine": machine(),
            "versions": versions(),
            "settings": {
                "images": options.count,
                "rounds": options.rounds,
                "seconds": options.seconds,
                "cores": options.cores,
                "source": pathlib.Path(options.images).name,
                "batch": 128,
                "page_cache": "warm",
            },
            "failed": {LOADERS[name][0]: why for name, why in failed.items()},
            "loaders": results,
        },
        options.out,
    )
    sys.exit(1 if any(name in names for name in failed) else 0)


def check_means(measured, failed):
    """A loader whose evaluation pixels are not like the others' would be timed for other work."""
    means = {}
    for (name, transform, _), runs in measured.items():
        if transform == "eval" and "mean" in runs[0]:
            means[name] = statistics.median(run["mean"] for run in runs)
    usual = statistics.median(means.values()) if means else 0
    for name, mean in means.items():
        if abs(mean - usual) > MEAN_TOLERANCE:
            failed[name] = f"mean pixel {mean:.1f} in evaluation, others give {usual:.1f}"


def machine():
    cpu = next(line.split(": ")[1] for line in open("/proc/cpuinfo") if line.startswith("model name")).strip()
    simd = "AVX-512" if "avx512bw" in open("/proc/cpuinfo").read() else "AVX2 or less"
    return {
        "cpu": cpu,
        "simd": simd,
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30),
        "system": f"{platform.system()} {platform.release()}",
        "date": time.strftime("%Y-%m-%d"),
    }


def versions():
    from importlib.metadata import PackageNotFoundError, version

    names = ["torch", "torchvision", "pillow", "timm", "webdataset", "mosaicml-streaming", "nvidia-dali-cuda130"]
    found = {}
    for name in [*names, "tensorflow-cpu", "ffcv"]:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            pass
    return found


if __name__ == "__main__":
    main()
