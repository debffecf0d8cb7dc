"""The turns of scripts/bench-train, and its Python side (--twin)."""

import argparse
import csv
import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time

WARM_UP = 2


def twin(arguments):
    """Trains on one batch in memory; prints the wall seconds and the CPU seconds of every timed step."""
    import torch
    import torchvision

    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    model = getattr(torchvision.models, arguments.model)(num_classes=10).to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)
    pixels = torch.randint(0, 256, (arguments.batch, arguments.size, arguments.size, 3), dtype=torch.uint8)
    labels = torch.randint(0, 10, (arguments.batch,))
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    wall, cpu = [], []
    for _ in range(WARM_UP + arguments.steps):
        start, cpu_start = time.perf_counter(), time.process_time()
        images = ((pixels.float() / 255 - mean) / std).permute(0, 3, 1, 2)
        with torch.autocast("cpu", torch.bfloat16, enabled=arguments.precision == "bf16"):
            logits = model(images)
        loss = torch.nn.functional.cross_entropy(logits.float(), labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        loss.item()
        wall.append(time.perf_counter() - start)
        cpu.append(time.process_time() - cpu_start)
    print(json.dumps({"wall": wall[WARM_UP:], "cpu": sum(cpu[WARM_UP:])}))


def python_turn(arguments, precision):
    words = [sys.executable, __file__, "--twin", "--model", arguments.model, "--size", arguments.size, "--batch",
             arguments.batch, "--threads", arguments.threads, "--steps", arguments.steps, "--precision", precision]
    result = subprocess.run([str(word) for word in words], check=True, capture_output=True, text=True)
    return json.loads(result.stdout)


def imgtrain_turn(arguments, precision, shards, folder, turn):
    """A run of its own. Its CPU time is that of `steps` further steps: of a longer run less that of a shorter one."""
    def run(steps, name):
        out = folder / f"{name}-{precision}-{turn}"
        words = [arguments.bin / "imgtrain", "--shards", shards, "--out", out, "--model", arguments.model, "--train-size",
                 arguments.size, "--eval-size", 32, "--eval-resize", 32, "--batch", arguments.batch, "--bn-group",
                 arguments.batch, "--threads", arguments.threads, "--input-threads", 1, "--precision", precision,
                 "--duration", f"{steps}ba", "--schedule", "constant", "--lr", 0.01, "--step-times", "true", "-q"]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([str(word) for word in words], check=True, stdout=subprocess.DEVNULL,
                       stderr=None if arguments.verbose else subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        with open(out / "step_times.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        return [float(row["seconds"]) for row in rows], cpu

    short_cpu = run(WARM_UP, "short")[1] if arguments.cpu_time else 0
    wall, cpu = run(WARM_UP + arguments.steps, "long")
    return {"wall": wall[WARM_UP:], "cpu": cpu - short_cpu if arguments.cpu_time else None}


def spread(values):
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench-train", add_help=False)
    parser.add_argument("--model", default="resnet50")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--precision", default="fp32,bf16")
    parser.add_argument("--bin", type=pathlib.Path, default=pathlib.Path("build/release/bin"))
    parser.add_argument("--cpu-time", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--verbose", action="store_true")
    parser.add_argument("--twin", action="store_true")
    arguments = parser.parse_args()
    if arguments.twin:
        return twin(arguments)

    with tempfile.TemporaryDirectory(prefix="bench-train-") as text:
        folder = pathlib.Path(text)
        images = arguments.batch * (WARM_UP + arguments.steps + 2)
        quiet = {"check": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        subprocess.run([arguments.bin / "imgpack", "sample", folder / "sample", "--classes", "10", "--train", str(images),
                        "--val", "10", "--test", "0", "--size", str(arguments.size + 32)], **quiet)
        subprocess.run([arguments.bin / "imgpack", "build", folder / "sample", folder / "shards", "-q"], **quiet)
        for precision in arguments.precision.split(","):
            turns = {"imgtrain": [], "python": []}
            for turn in range(arguments.rounds):
                sides = ["imgtrain", "python"] if turn % 2 == 0 else ["python", "imgtrain"]
                for side in sides:
                    turns[side].append(
                        python_turn(arguments, precision) if side == "python"
                        else imgtrain_turn(arguments, precision, folder / "shards", folder, turn))
            report(arguments, precision, turns)
    return 0


def report(arguments, precision, turns):
    result = {"model": arguments.model, "size": arguments.size, "batch": arguments.batch, "threads": arguments.threads,
              "precision": precision, "rounds": arguments.rounds, "steps": arguments.steps}
    for side, measured in turns.items():
        result[side] = {"images_per_second": spread([arguments.batch / s for turn in measured for s in turn["wall"]])}
        if arguments.cpu_time:
            result[side]["images_per_cpu_second"] = spread(
                [arguments.batch * arguments.steps / turn["cpu"] for turn in measured])
    # Pairs of neighbours in time, so that a slow minute counts for both sides.
    result["ratio"] = spread([statistics.median(b["wall"]) / statistics.median(a["wall"])
                              for a, b in zip(turns["imgtrain"], turns["python"])])
    if arguments.cpu_time:
        result["cpu_ratio"] = spread([b["cpu"] / a["cpu"] for a, b in zip(turns["imgtrain"], turns["python"])])
    if arguments.json:
        print(json.dumps(result))
        return
    print(f"{arguments.model} at {arguments.size} px, batch {arguments.batch}, {precision}, {arguments.threads} threads, "
          f"{arguments.rounds} turns of {arguments.steps} steps")
    for side in turns:
        for unit, values in result[side].items():
            print(f"  {side:9} {values['median']:8.2f} {unit} (from {values['min']:.2f} to {values['max']:.2f})")
    for name in ("ratio", "cpu_ratio"):
        if name in result:
            values = result[name]
            print(f"  imgtrain / python, {name}: {values['median']:.3f} (from {values['min']:.3f} to {values['max']:.3f})")


if __name__ == "__main__":
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    sys.exit(main())
