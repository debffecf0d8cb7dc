#!/usr/bin/env python3
"""Three recipes on tiny-ilsvrc in Python: torchvision's ResNet-18, trained with PyTorch and timm.

    train_tiny.py --data DIR [--recipe reference|ffcv|a3] [--seed 0] [--epochs N] [--threads 2] [--json OUT]
                  [--limit-batches N]

DIR is what tiny-ilsvrc.tar unpacks to (the Kaggle layout). Each recipe has the network, batch size, optimizer, schedule,
loss, augmentation and precision of its twin in imgtrain: `--recipe tiny-reference`, `--config tests/parity/tiny-ffcv.json`,
`--config tests/parity/tiny-a3.json`. Random numbers are PyTorch's, NumPy's and Python's own, so that runs agree in
distribution and not number by number. (That every step agrees number by number, given the same draws, is what
test_recipes.py is for.) Images are decoded once and kept in memory. Progress goes to stderr, one JSON object with the
result to stdout (or OUT).
"""

import argparse
import csv
import json
import pathlib
import random
import sys
import time

import numpy
import torch
import torchvision
from PIL import Image
from timm.data.mixup import Mixup
from timm.data.transforms_factory import transforms_imagenet_train
from timm.loss import BinaryCrossEntropy
from timm.optim import Lamb
from timm.scheduler import CosineLRScheduler
from torchvision.transforms import v2

from ffcv_blurpool import apply_blurpool

SIZE = 64
BATCH = 64
CLASSES = 10
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
SCALE = (0.25, 1.0)
A3_RATE, A3_SIZE = 0.005, 32


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


class Reference:
    """SGD, OneCycle, cross-entropy with label smoothing: the reference run's style."""

    epochs, evaluation_size = 15, SIZE
    flip_in_evaluation = False

    def __init__(self, model: torch.nn.Module, epochs: int, steps_per_epoch: int):
        self.optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer, max_lr=0.1, total_steps=steps_per_epoch * epochs, pct_start=0.3, cycle_momentum=False
        )
        self.augment = v2.Compose([v2.RandomResizedCrop(SIZE, scale=SCALE), v2.RandomHorizontalFlip()])
        self.loss = torch.nn.CrossEntropyLoss(label_smoothing=0.1)

    def start_epoch(self, epoch: int) -> None:
        pass

    def before_step(self, step: int) -> None:
        pass

    def mix(self, images: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return images, labels

    def after_step(self) -> None:
        self.schedule.step()


class Ffcv:
    """ffcv-imagenet's style: BlurPool, tri-linear rate, images that grow, no decay of batch norms, flip in evaluation."""

    epochs, evaluation_size = 10, SIZE
    flip_in_evaluation = True

    def __init__(self, model: torch.nn.Module, epochs: int, steps_per_epoch: int):
        self.epochs, self.steps_per_epoch = epochs, steps_per_epoch
        named = list(model.named_parameters())
        self.optimizer = torch.optim.SGD(
            [
                {"params": [p for n, p in named if "bn" in n], "weight_decay": 0.0},
                {"params": [p for n, p in named if "bn" not in n], "weight_decay": 5e-4},
            ],
            lr=1,
            momentum=0.9,
        )
        apply_blurpool(model)
        model.to(memory_format=torch.channels_last)
        self.loss = torch.nn.CrossEntropyLoss(label_smoothing=0.1)

    def rate(self, epoch: int) -> float:
        return float(numpy.interp([epoch], [0, 2, self.epochs], [1e-4 * 0.1, 0.1, 0])[0])

    def start_epoch(self, epoch: int) -> None:
        # get_resolution with min_res 32, max_res 64, start_ramp 6, end_ramp 9 of 10 epochs
        ramp = [0.6 * self.epochs, 0.9 * self.epochs]
        size = int(numpy.round(numpy.interp([epoch], ramp, [32, SIZE])[0] / 32)) * 32
        self.augment = v2.Compose([v2.RandomResizedCrop(size, scale=SCALE), v2.RandomHorizontalFlip()])
        begin, end = self.rate(epoch), self.rate(epoch + 1)
        self.rates = numpy.interp(numpy.arange(self.steps_per_epoch), [0, self.steps_per_epoch], [begin, end])

    def before_step(self, step: int) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = self.rates[step]

    def mix(self, images: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return images, labels

    def after_step(self) -> None:
        pass


class A3:
    """timm's procedure A3: LAMB, binary cross-entropy, RandAugment, mixup and CutMix, bicubic crops."""

    epochs, evaluation_size = 8, A3_SIZE
    flip_in_evaluation = False

    def __init__(self, model: torch.nn.Module, epochs: int, steps_per_epoch: int):
        decay = [p for p in model.parameters() if p.ndim > 1]
        rest = [p for p in model.parameters() if p.ndim <= 1]
        self.optimizer = Lamb(
            [{"params": rest, "weight_decay": 0.0}, {"params": decay, "weight_decay": 0.02}], lr=A3_RATE
        )
        self.schedule = CosineLRScheduler(
            self.optimizer, t_initial=epochs, lr_min=1e-6, warmup_t=1, warmup_lr_init=1e-4 * A3_RATE
        )
        augment = transforms_imagenet_train(
            A3_SIZE, scale=SCALE, auto_augment="rand-m6-mstd0.5-inc1", interpolation="bicubic", color_jitter=None,
            mean=MEAN, std=STD, use_prefetcher=True,
        )
        # The factory ends with channels first, for a loader of its own.
        self.augment = lambda image: numpy.asarray(augment(image)).transpose(1, 2, 0)
        self.loss = BinaryCrossEntropy(smoothing=0.0)
        self.mixer = Mixup(mixup_alpha=0.1, cutmix_alpha=1.0, label_smoothing=0.0, num_classes=CLASSES)

    def start_epoch(self, epoch: int) -> None:
        self.schedule.step(epoch)

    def before_step(self, step: int) -> None:
        pass

    def mix(self, images: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.mixer(images, labels)

    def after_step(self) -> None:
        pass


RECIPES = {"reference": Reference, "ffcv": Ffcv, "a3": A3}


def evaluate(recipe, model: torch.nn.Module, images: list[Image.Image], labels: torch.Tensor) -> dict[str, float]:
    model.eval()
    loss = top1 = top5 = 0.0
    smoothed = torch.nn.CrossEntropyLoss(label_smoothing=0.1, reduction="sum")
    with torch.no_grad():
        for at in range(0, len(images), 100):
            expected = labels[at : at + 100]
            # Images are of 64 x 64 pixels: at that size nothing happens to them.
            size = (recipe.evaluation_size, recipe.evaluation_size)
            batch = to_batch([image.resize(size, Image.Resampling.BICUBIC) for image in images[at : at + 100]])
            with torch.autocast("cpu", torch.bfloat16):
                logits = model(batch)
                if recipe.flip_in_evaluation:
                    logits = (logits + model(batch.flip(3))) / 2
            loss += smoothed(logits.float(), expected).item()
            ranked = logits.float().topk(5).indices.eq(expected[:, None])
            top1 += ranked[:, 0].sum().item()
            top5 += ranked.sum().item()
    return {"loss": loss / len(images), "top1": 100 * top1 / len(images), "top5": 100 * top5 / len(images)}


def train(arguments: argparse.Namespace) -> dict:
    torch.manual_seed(arguments.seed)
    random.seed(arguments.seed)
    numpy.random.seed(arguments.seed)
    torch.set_num_threads(arguments.threads)
    splits = load(arguments.data)
    images, labels = splits["train"]
    model = torchvision.models.resnet18(num_classes=CLASSES).to(memory_format=torch.channels_last)
    steps_per_epoch = len(images) // BATCH  # The last partial batch is dropped.
    epochs_in_all = arguments.epochs or RECIPES[arguments.recipe].epochs
    recipe = RECIPES[arguments.recipe](model, epochs_in_all, steps_per_epoch)
    epochs = []
    for epoch in range(epochs_in_all):
        start = time.monotonic()
        model.train()
        total = 0.0
        order = torch.randperm(len(images)).tolist()
        steps = steps_per_epoch if arguments.limit_batches is None else min(steps_per_epoch, arguments.limit_batches)
        recipe.start_epoch(epoch)
        for step in range(steps):
            chosen = order[step * BATCH : (step + 1) * BATCH]
            recipe.before_step(step)
            batch, target = recipe.mix(to_batch([recipe.augment(images[i]) for i in chosen]), labels[chosen])
            with torch.autocast("cpu", torch.bfloat16):
                logits = model(batch)
            loss = recipe.loss(logits.float(), target)
            recipe.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            recipe.optimizer.step()
            recipe.after_step()
            total += loss.item()
        seconds = time.monotonic() - start
        accuracy = evaluate(recipe, model, *splits["val"])
        result = {"epoch": epoch + 1, "train_loss": total / steps, "seconds": seconds, **accuracy}
        epochs.append(result)
        print(
            f"epoch {epoch + 1}/{epochs_in_all}  train loss {result['train_loss']:.4f}  val loss {result['loss']:.4f}"
            f"  top-1 {result['top1']:.2f} %  top-5 {result['top5']:.2f} %  {seconds:.1f} s"
            f"  {steps * BATCH / seconds:.0f} images/s",
            file=sys.stderr,
        )
    return {
        "recipe": arguments.recipe,
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
    parser.add_argument("--recipe", choices=RECIPES, default="reference")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, help="those of the recipe by default: 15, of ffcv 10, of a3 8")
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
