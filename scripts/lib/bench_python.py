"""The turns of scripts/bench-python, and its Python side (--consume)."""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time

PHOTOGRAPHS = pathlib.Path("../shared/data/imagenet-samples.tar")
COPIES = 8  # Of each photograph: an epoch of 2,000.


def consume(arguments):
    """Takes batches as a training would, from epoch to epoch; prints images, wall and CPU seconds."""
    import imgpack

    loader = imgpack.DataLoader(arguments.shards, arguments.batch, size=arguments.size, threads=arguments.threads,
                                output=arguments.consume)

    def batches():
        while True:
            yield from loader

    source = batches()

    def run():
        images = 0
        while images < arguments.images:
            images += len(next(source).labels)
        return images

    run()  # Warm.
    begun, cpu, images = time.perf_counter(), time.process_time(), 0
    while (wall := time.perf_counter() - begun) < arguments.seconds:
        images += run()
    wall = time.perf_counter() - begun
    copied = loader.stats()["counts"]["batches_copied"]
    print(json.dumps({"images": images, "wall": wall, "cpu": time.process_time() - cpu, "copied": copied}))


def words_of(arguments):
    return ["--shards", arguments.shards, "--threads", arguments.threads, "--batch", arguments.batch, "--size",
            arguments.size, "--images", arguments.images, "--seconds", arguments.seconds]


def python_turn(arguments, output):
    words = [sys.executable, __file__, "--consume", output, *words_of(arguments)]
    environment = {**os.environ, "PYTHONPATH": str(arguments.bin.parent / "python")}
    found = json.loads(subprocess.run([str(word) for word in words], check=True, stdout=subprocess.PIPE,
                                      env=environment).stdout)
    if found["copied"]:
        sys.exit(f"error: {found['copied']} batches were copied: this loop keeps none")
    return found["images"] / found["wall"], found["images"] / found["cpu"]


def cpp_turn(arguments):
    words = [arguments.bin / "imgbench", "run", "pipeline", "--repetitions", 1, "--json", *words_of(arguments)]
    report = json.loads(subprocess.run([str(word) for word in words], check=True, stdout=subprocess.PIPE,
                                       stderr=subprocess.DEVNULL).stdout)
    workload = report["workloads"][0]
    return workload["items_per_second"]["median"], workload["items_per_cpu_second"]["median"]


def pack(arguments, folder):
    """The photographs, each several times under other names, as one class."""
    if not PHOTOGRAPHS.exists():
        sys.exit(f"error: {PHOTOGRAPHS} is not here: give --shards DIR")
    images = folder / "images" / "class"
    images.mkdir(parents=True)
    with tarfile.open(PHOTOGRAPHS) as tar:
        for member in tar:
            if not member.name.lower().endswith((".jpg", ".jpeg")):
                continue
            data = tar.extractfile(member).read()
            for copy in range(COPIES):
                (images / f"{pathlib.PurePath(member.name).stem}_{copy}.JPEG").write_bytes(data)
    shards = folder / "photographs.shards"
    subprocess.run([arguments.bin / "imgpack", "build", images.parent, shards, "--quiet"], check=True,
                   stdout=subprocess.DEVNULL)
    return shards


def text_of(values, digits=0):
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} - {max(values):.{digits}f})"


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench-python", add_help=False)
    parser.add_argument("--shards", type=pathlib.Path)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--bin", type=pathlib.Path, default=pathlib.Path("build/release/bin"))
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--consume", choices=("numpy", "torch"))
    arguments = parser.parse_args()
    if arguments.consume:
        consume(arguments)
        return
    arguments.bin = arguments.bin.absolute()
    with tempfile.TemporaryDirectory() as folder:
        if arguments.shards is None:
            arguments.shards = pack(arguments, pathlib.Path(folder))
        sides = {"C++": lambda: cpp_turn(arguments), "Python, NumPy": lambda: python_turn(arguments, "numpy"),
                 "Python, torch": lambda: python_turn(arguments, "torch")}
        rates = {name: [] for name in sides}
        for turn in range(arguments.rounds):
            # Each side comes first, second and last in turn.
            names = list(sides)
            for name in names[turn % 3:] + names[:turn % 3]:
                rates[name].append(sides[name]())
                print(f"round {turn + 1}, {name}: {rates[name][-1][0]:.0f} images/s, {rates[name][-1][1]:.0f} per CPU second",
                      file=sys.stderr)
    load = os.getloadavg()[0]
    result = {"message_type": "bench_python", "threads": arguments.threads, "batch": arguments.batch,
              "size": arguments.size, "load_average": load, "rounds": rates}
    if arguments.json:
        print(json.dumps(result))
        return
    print(f"{arguments.threads} threads, batch {arguments.batch}, {arguments.size} pixels, {arguments.rounds} rounds in turns; "
          f"load average at the end {load:.1f}\n")
    print(f"{'':15} {'images/s':>24} {'per CPU second':>24} {'share of C++':>22} {'of its CPU time':>22}")
    for name, values in rates.items():
        shares = [tuple(100 * mine / theirs for mine, theirs in zip(*pair)) for pair in zip(values, rates["C++"])]
        print(f"{name:15} {text_of([wall for wall, _ in values]):>24} {text_of([cpu for _, cpu in values]):>24} "
              f"{text_of([wall for wall, _ in shares], 1) + ' %':>22} {text_of([cpu for _, cpu in shares], 1) + ' %':>22}")


if __name__ == "__main__":
    main()
