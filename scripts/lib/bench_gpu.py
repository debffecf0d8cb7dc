"""The plan, the sides and the results of scripts/bench-gpu. Its Python side runs in processes of its own (--side)."""

import argparse
import dataclasses
import datetime
import json
import pathlib
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

SIDES = {
    "eager": "PyTorch eager",
    "compile": "torch.compile",
    "separate": "imgtrain --no-fused",
    "imgtrain": "imgtrain",
    "graphs": "imgtrain, CUDA graphs",
    "shards": "imgtrain, real shards",
}
# Seconds that a measurement takes at most on a card of the A10G's class, start-up and warm-up included.
ESTIMATE = {"eager": 25, "compile": 130, "separate": 30, "imgtrain": 30, "graphs": 30, "shards": 60}


@dataclasses.dataclass(frozen=True)
class Cell:
    """One measurement."""

    side: str
    precision: str
    size: int
    batch: int

    def name(self):
        return f"{SIDES[self.side]}, {self.precision}, {self.size} px, batch {self.batch}"


def batch_for(size, first_size, batch):
    """About as many pixels as the first size's batch has, in whole multiples of 32 where there are that many."""
    images = int(batch * first_size**2 / size**2)
    return images // 32 * 32 if images >= 32 else max(2, images)


def make_plan(precisions, sizes, batch, budget, with_compile=True):
    """(what is measured, what is left out): in the order of its weight, as far as the estimates fit the budget. What is
    compared with one another is measured together or not at all."""
    first = sizes[0]

    def pair(precision, size):
        return [Cell(side, precision, size, batch_for(size, first, batch)) for side in ("eager", "imgtrain")]

    groups = [pair(precision, first) for precision in precisions]
    if with_compile:
        groups += [[Cell("compile", precision, first, batch)] for precision in precisions]
    groups += [[Cell(side, precisions[0], first, batch)] for side in ("shards", "separate", "graphs")]
    groups += [pair(precision, size) for precision in precisions for size in sizes[1:]]
    groups += [[Cell("separate", precision, first, batch)] for precision in precisions[1:]]
    measured, left_out, seconds = [], [], 0
    for group in groups:
        cost = sum(ESTIMATE[cell.side] for cell in group)
        if not left_out and seconds + cost <= budget:
            measured += group
            seconds += cost
        else:
            left_out += group
    return measured, left_out


def spread(values):
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


# --- the Python sides -------------------------------------------------------------------------------------------------


def python_side(arguments):
    """Trains on one batch of finished numbers in the device's memory; prints one JSON object."""
    import torch
    import torchvision

    cuda = arguments.device == "cuda"
    torch.manual_seed(0)
    torch.backends.cudnn.benchmark = True
    torch.set_float32_matmul_precision("high")
    device = torch.device(arguments.device)
    dtype = torch.float16 if arguments.precision == "fp16" else torch.bfloat16
    model = getattr(torchvision.models, arguments.model)().to(device, memory_format=torch.channels_last).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9, weight_decay=1e-4, fused=True)
    scaler = torch.amp.GradScaler(arguments.device, enabled=cuda and arguments.precision == "fp16")
    shape = (arguments.batch, 3, arguments.size, arguments.size)
    images = torch.randn(shape, device=device).to(memory_format=torch.channels_last)
    labels = torch.randint(0, 1000, (arguments.batch,), device=device)
    network = torch.compile(model, mode="max-autotune") if arguments.side == "compile" else model

    def step():
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(arguments.device, dtype):
            loss = torch.nn.functional.cross_entropy(network(images), labels)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()

    def wait():
        if cuda:
            torch.cuda.synchronize()

    try:
        for _ in range(5 if cuda else 1):
            step()
        wait()
        rates = []
        for _ in range(arguments.rounds):
            start = time.perf_counter()
            for _ in range(arguments.steps):
                step()
            wait()
            rates.append(arguments.batch * arguments.steps / (time.perf_counter() - start))
    except torch.OutOfMemoryError:
        print(json.dumps({"out_of_memory": True}))
        return 0
    peak = torch.cuda.max_memory_reserved() if cuda else 0
    print(json.dumps({"images_per_second": spread(rates), "peak_bytes": peak, "torch": torch.__version__}))
    return 0


# --- measuring --------------------------------------------------------------------------------------------------------


class Watch:
    """Power and clocks of the GPU while something runs, from nvidia-smi; nothing where there is none."""

    FIELDS = ("power_w", "sm_mhz", "memory_mhz", "temperature_c")

    def __enter__(self):
        self.process = None
        if shutil.which("nvidia-smi"):
            query = "power.draw,clocks.sm,clocks.mem,temperature.gpu"
            words = ["nvidia-smi", "-i", "0", f"--query-gpu={query}", "--format=csv,noheader,nounits", "-lms", "500"]
            self.process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        return self

    def __exit__(self, *_):
        self.seen = {}
        if self.process is None:
            return
        self.process.terminate()
        lines = self.process.communicate()[0].splitlines()
        self.seen = watched(lines)


def watched(lines):
    """Medians of what nvidia-smi printed; fields that it does not know are left out."""
    columns = {name: [] for name in Watch.FIELDS}
    for line in lines:
        for name, text in zip(Watch.FIELDS, line.split(",")):
            try:
                columns[name].append(float(text))
            except ValueError:
                pass
    return {name: statistics.median(values) for name, values in columns.items() if values}


def words_of(cell, arguments, shards):
    """The command that measures a cell."""
    if cell.side in ("eager", "compile"):
        words = [sys.executable, __file__, "--side", cell.side, "--device", arguments.device, "--model", arguments.model,
                 "--size", cell.size, "--batch", cell.batch, "--precision", cell.precision, "--rounds", arguments.rounds,
                 "--steps", arguments.steps]
    else:
        words = [arguments.bin / "imgtrain", "profile", "--json", "-q", "--device", arguments.device, "--model",
                 arguments.model, "--train-size", cell.size, "--batch", cell.batch, "--bn-group", cell.batch,
                 "--precision", cell.precision, "--rounds", arguments.rounds, "--steps", arguments.steps]
        if cell.side == "separate":
            words.append("--no-fused")
        if cell.side == "graphs":
            words += ["--cuda-graphs", "true"]
        if cell.side == "shards":
            words += ["--shards", shards]
    return [str(word) for word in words]


def measure(cell, arguments, shards, seconds):
    """One cell's result; halves the batch until the device has room for it."""
    while True:
        start = time.monotonic()
        with Watch() as watch:
            try:
                done = subprocess.run(words_of(cell, arguments, shards), capture_output=True, text=True,
                                      timeout=max(10, seconds))
            except subprocess.TimeoutExpired:
                return {"cell": dataclasses.asdict(cell), "failure": f"not done after {seconds:.0f} s"}
        elapsed = time.monotonic() - start
        seconds -= elapsed
        result = {"cell": dataclasses.asdict(cell), "seconds": elapsed, "gpu": watch.seen}
        raw = json.loads(done.stdout) if done.returncode == 0 else {}
        no_room = raw.get("out_of_memory") or "out of memory" in done.stderr
        if no_room and cell.batch >= 4 and seconds > 0:
            cell = dataclasses.replace(cell, batch=cell.batch // 2)
            continue
        if done.returncode != 0 or no_room:
            return {**result, "failure": (done.stderr.strip().splitlines() or ["out of memory"])[-1]}
        return {**result, "images_per_second": raw["images_per_second"], "peak_bytes": raw["peak_bytes"], "raw": raw}


def generated_shards(arguments, size, batch, folder):
    """A data set of a few epochs' batches, made for the purpose."""
    images = max(2 * batch, 64)
    quiet = {"check": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run([arguments.bin / "imgpack", "sample", folder / "sample", "--classes", "10", "--train", str(images),
                    "--val", "10", "--test", "0", "--size", str(size + 64)], **quiet)
    subprocess.run([arguments.bin / "imgpack", "build", folder / "sample", folder / "shards", "-q"], **quiet)
    return folder / "shards"


# --- results ----------------------------------------------------------------------------------------------------------


def limit(result):
    """Images a second that the bytes of all layers allow at the bandwidth measured beside them; None: not known."""
    raw = result.get("raw", {})
    bandwidth = raw.get("roofline", {}).get("bytes_per_second")
    if not bandwidth:
        return None
    moved = sum(layer[way]["bytes"] for layer in raw["layers"] for way in ("forward", "backward"))
    return raw["batch"] * bandwidth / moved


def rate(result):
    return result["images_per_second"]["median"]


def find(results, side, precision, size):
    for result in results:
        cell = result["cell"]
        if (cell["side"], cell["precision"], cell["size"]) == (side, precision, size) and "failure" not in result:
            return result
    return None


def table(results, left_out, facts):
    """The results as Markdown."""
    lines = [f"# Training {facts['model']} on {facts['device']}", ""]
    lines += [f"{facts['date']}, {facts['host']}. Medians over {facts['rounds']} rounds of {facts['steps']} steps, and "
              "the smallest and largest. `of eager` compares with PyTorch eager at the same size and precision; "
              "`of limit` with what the bytes that the layers move allow at the bandwidth of a copy measured in the "
              "same minute.", ""]
    lines += ["| side | precision | px | batch | images/s | from, to | of eager | of compile | of limit | peak MiB | W | SM MHz |",
              "|---|---|---|---|---|---|---|---|---|---|---|---|"]
    for result in results:
        cell = result["cell"]
        row = [SIDES[cell["side"]], cell["precision"], str(cell["size"]), str(cell["batch"])]
        if "failure" in result:
            lines.append("| " + " | ".join(row + [f"failed: {result['failure']}"] + [""] * 7) + " |")
            continue
        numbers = result["images_per_second"]
        row += [f"{numbers['median']:.1f}", f"{numbers['min']:.1f}, {numbers['max']:.1f}"]
        for other in ("eager", "compile"):
            against = find(results, other, cell["precision"], cell["size"])
            row.append(f"{rate(result) / rate(against):.2f}" if against and against is not result else "")
        most = limit(result)
        row.append(f"{100 * rate(result) / most:.0f} %" if most else "")
        row.append(f"{result['peak_bytes'] / 2**20:.0f}" if result["peak_bytes"] else "")
        gpu = result.get("gpu", {})
        row += [f"{gpu[name]:.0f}" if name in gpu else "" for name in ("power_w", "sm_mhz")]
        lines.append("| " + " | ".join(row) + " |")
    shards = next((r for r in results if r["cell"]["side"] == "shards" and "failure" not in r), None)
    if shards:
        cell = shards["cell"]
        cores = shards["raw"]["cores_used"] / (rate(shards) / 1000)
        text = f"From real shards {rate(shards):.1f} images/s"
        made_up = find(results, "imgtrain", cell["precision"], cell["size"])
        if made_up:
            text += f", {100 * rate(shards) / rate(made_up):.1f} % of the rate on made-up batches"
        lines += ["", f"{text}; {cores:.1f} CPU cores per 1,000 images/s."]
    if left_out:
        lines += ["", "Left out, since the budget had no room: " + "; ".join(cell.name() for cell in left_out) + "."]
    return "\n".join(lines) + "\n"


def plot_script(results, facts, picture):
    """gnuplot's commands for one cluster of bars per size and precision; None: there is nothing to draw."""
    good = [result for result in results if "failure" not in result]
    if not good:
        return None
    groups = list(dict.fromkeys((r["cell"]["size"], r["cell"]["precision"]) for r in good))
    sides = [side for side in SIDES if any(r["cell"]["side"] == side for r in good)]
    rows = []
    for size, precision in groups:
        row = [f'"{size} px, {precision}"']
        for side in sides:
            result = find(good, side, precision, size)
            row.append(f"{rate(result):.6g}" if result else "NaN")
        rows.append(" ".join(row))
    columns = ", ".join(f"$data using {i + 2}:xtic(1) title '{SIDES[side]}'" for i, side in enumerate(sides))
    return "\n".join([
        f"set terminal pngcairo size 1000,600 font 'DejaVu Sans,11'",
        f"set output '{picture}'",
        f"set title '{facts['model']} on {facts['device']}' noenhanced",
        "set ylabel 'images per second'",
        "set yrange [0:*]",
        "set grid ytics",
        "set key outside bottom center horizontal",
        "set style data histograms",
        "set style histogram clustered gap 1",
        "set style fill solid 0.9 border -1",
        "$data << EOD", *rows, "EOD",
        f"plot {columns}", ""])


def draw(results, facts, folder):
    script = plot_script(results, facts, folder / "plot.png")
    if script is None:
        return
    (folder / "plot.gp").write_text(script)
    if not shutil.which("gnuplot"):
        print("bench-gpu: no gnuplot here: plot.gp is what it would be given", file=sys.stderr)
        return
    subprocess.run(["gnuplot", folder / "plot.gp"], check=True)


def write(results, left_out, facts, folder):
    """results.json, table.md, plot.png; called after every measurement, so that an end by force loses nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    everything = {"facts": facts, "results": results, "left_out": [dataclasses.asdict(cell) for cell in left_out]}
    (folder / "results.json").write_text(json.dumps(everything, indent=1) + "\n")
    (folder / "table.md").write_text(table(results, left_out, facts))


def device_name(arguments):
    import torch

    if arguments.device == "cpu":
        return "the CPU"
    return torch.cuda.get_device_name(0) if torch.cuda.is_available() else None


def numbers(text):
    try:
        values = [int(word) for word in text.split(",")]
    except ValueError:
        values = []
    if not values or min(values) < 1:
        raise argparse.ArgumentTypeError(f"expected sizes with commas between them, found '{text}'")
    return values


def names(text):
    words = text.split(",")
    if not set(words) <= {"fp16", "bf16"}:
        raise argparse.ArgumentTypeError(f"expected fp16, bf16 or both, found '{text}'")
    return words


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench-gpu", add_help=False)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("runs/bench-gpu"))
    parser.add_argument("--shards")
    parser.add_argument("--budget", type=float, default=600)
    parser.add_argument("--model", default="resnet50")
    parser.add_argument("--sizes", type=numbers, default=[224, 128, 160, 192])
    parser.add_argument("--precision", default="fp16,bf16")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--no-compile", action="store_true")
    parser.add_argument("--plan", action="store_true")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--bin", type=pathlib.Path, default=pathlib.Path("build/release/bin"))
    parser.add_argument("--side", choices=["eager", "compile"], help=argparse.SUPPRESS)
    parser.add_argument("--size", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        return python_side(arguments)
    try:
        precisions = names(arguments.precision)
    except argparse.ArgumentTypeError as error:
        parser.error(str(error))

    plan, left_out = make_plan(precisions, arguments.sizes, arguments.batch, arguments.budget,
                               not arguments.no_compile)
    if arguments.plan:
        for cell in plan:
            print(f"{ESTIMATE[cell.side]:4} s  {cell.name()}")
        for cell in left_out:
            print(f"  left out  {cell.name()}")
        return 0
    device = device_name(arguments)
    if device is None:
        print("bench-gpu: error: there is no CUDA device here; --device cpu tries the script itself", file=sys.stderr)
        return 1
    facts = {"device": device, "model": arguments.model, "rounds": arguments.rounds, "steps": arguments.steps,
             "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
             "host": platform.platform(), "plan": [dataclasses.asdict(cell) for cell in plan]}
    begun = time.monotonic()
    # What is quicker than its estimate leaves room for more.
    results, wanted, left_out = [], plan + left_out, []
    with tempfile.TemporaryDirectory(prefix="bench-gpu-") as text:
        for cell in wanted:
            remaining = arguments.budget - (time.monotonic() - begun)
            if remaining < ESTIMATE[cell.side]:
                left_out.append(cell)
                continue
            print(f"bench-gpu: {cell.name()}", file=sys.stderr)
            shards = arguments.shards
            if cell.side == "shards" and shards is None:
                shards = generated_shards(arguments, cell.size, cell.batch, pathlib.Path(text))
            results.append(measure(cell, arguments, shards, remaining))
            write(results, left_out, facts, arguments.out)
    write(results, left_out, facts, arguments.out)
    draw(results, facts, arguments.out)
    print((arguments.out / "table.md").read_text(), end="")
    return 0 if any("failure" not in result for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
