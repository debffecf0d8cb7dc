#!/usr/bin/env python3
"""The Python twin of the recipe `tiny-reference`: torchvision's ResNet-18 on tiny-ilsvrc, trained with PyTorch.

    train_tiny.py --data DIR [--seed 0] [--epochs 15] [--threads 2] [--json OUT] [--limit-batches N]

DIR is what tiny-ilsvrc.tar unpacks to (the Kaggle layout). Same network, batch size, optimizer, schedule, loss,
augmentation and precision as `imgtrain --recipe tiny-reference`; random numbers are PyTorch's own, so that runs agree
in distribution and not number by number. Images are decoded once and kept in memory, so that the time per epoch is
that of augmentation and training. Progress goes to stderr, one JSON object with the result to stdout (or OUT).
"""

import argparse
import csv
import json
import pathlib
import sys
import time

import numpy
import torch
import torchvision
from PIL import Image
from torchvision.transforms import v2

SIZE = 64
BATCH = 64
CLASSES = 10
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


def load(data: pathlib.Path) -> dict[str, tuple[list[Image.Image], torch.Tensor]]:
    """Split -> images and labels; a label is the position of its class among the sorted folder names."""
    folder = data / "ILSVRC" / "Data" / "CLS-LOC"
    classes = sorted(path.name for path in (folder / "train").iterdir())
    assert len(classes) == CLASSES, f"expected {CLASSES} classes in {folder}, found {len(classes)}"
    train = [(path, classes.index(path.parent.name)) for path in sorted((folder / "train").glob("*/*.JPEG"))]
    with open(data / "LOC_val_solution.csv", newline="") as file:
        solution = {row["ImageId"]: row["PredictionString"].split()[0] for row in csv.DictReader(file)}
    val = [(path, classes.index(solution[path.stem])) for path in sorted((folder / "val").glob("*.JPEG"))]

    def decoded(samples):
        images = [Image.open(path).convert("RGB") for path, _ in samples]
        for image in images:
            image.load()
        return images, torch.tensor([label for _, label in samples])

    return {"train": decoded(train), "val": decoded(val)}


def to_batch(images: list[Image.Image]) -> torch.Tensor:
    """Normalised floats in channels_last."""
    pixels = torch.from_numpy(numpy.stack([numpy.asarray(image) for image in images])).permute(0, 3, 1, 2)
    return v2.functional.normalize(pixels.float().div_(255), MEAN, STD).contiguous(memory_format=torch.channels_last)


def evaluate(model: torch.nn.Module, images: list[Image.Image], labels: torch.Tensor) -> dict[str, float]:
    model.eval()
    loss = top1 = top5 = 0.0
    with torch.no_grad():
        for at in range(0, len(images), 100):
            expected = labels[at : at + 100]
            with torch.autocast("cpu", torch.bfloat16):
                logits = model(to_batch(images[at : at + 100]))
            loss += torch.nn.functional.cross_entropy(
                logits.float(), expected, label_smoothing=0.1, reduction="sum"
            ).item()
            ranked = logits.float().topk(5).indices.eq(expected[:, None])
            top1 += ranked[:, 0].sum().item()
            top5 += ranked.sum().item()
    return {"loss": loss / len(images), "top1": 100 * top1 / len(images), "top5": 100 * top5 / len(images)}


def train(arguments: argparse.Namespace) -> dict:
    torch.manual_seed(arguments.seed)
    torch.set_num_threads(arguments.threads)
    splits = load(arguments.data)
    images, labels = splits["train"]
    model = torchvision.models.resnet18(num_classes=CLASSES).to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
    steps_per_epoch = len(images) // BATCH  # The last partial batch is dropped.
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=0.1, total_steps=steps_per_epoch * arguments.epochs, pct_start=0.3, cycle_momentum=False
    )
    augment = v2.Compose([v2.RandomResizedCrop(SIZE, scale=(0.25, 1.0)), v2.RandomHorizontalFlip()])
    epochs = []
    for epoch in range(arguments.epochs):
        start = time.monotonic()
        model.train()
        total = 0.0
        order = torch.randperm(len(images)).tolist()
        steps = steps_per_epoch if arguments.limit_batches is None else min(steps_per_epoch, arguments.limit_batches)
        for step in range(steps):
            chosen = order[step * BATCH : (step + 1) * BATCH]
            batch = to_batch([augment(images[i]) for i in chosen])
            with torch.autocast("cpu", torch.bfloat16):
                logits = model(batch)
            loss = torch.nn.functional.cross_entropy(logits.float(), labels[chosen], label_smoothing=0.1)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
        seconds = time.monotonic() - start
        result = {"epoch": epoch + 1, "train_loss": total / steps, "seconds": seconds, **evaluate(model, *splits["val"])}
        epochs.append(result)
        print(
            f"epoch {epoch + 1}/{arguments.epochs}  train loss {result['train_loss']:.4f}  val loss {result['loss']:.4f}"
            f"  top-1 {result['top1']:.2f} %  top-5 {result['top5']:.2f} %  {seconds:.1f} s"
            f"  {steps * BATCH / seconds:.0f} images/s",
            file=sys.stderr,
        )
    return {
        "seed": arguments.seed,
        "threads": arguments.threads,
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "top1": epochs[-1]["top1"],
        "top5": epochs[-1]["top5"],
        "train_seconds": sum(epoch["seconds"] for epoch in epochs),
        "epochs": epochs,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=pathlib.Path, help="where the result goes; standard output by default")
    parser.add_argument("--limit-batches", type=int, help="only so many batches per epoch, for a trial")
    arguments = parser.parse_args()
    text = json.dumps(train(arguments), indent=1)
    if arguments.json:
        arguments.json.write_text(text + "\n")
    else:
        print(text)


if __name__ == "__main__":
    main()
