#!/usr/bin/env python3
"""A ResNet trained with PyTorch from imgpack's shards: a loop of one's own on our loader.

    train_with_python.py imagenet.shards --model resnet50 --epochs 16 --save run.pt
    torchrun --nproc-per-node 8 train_with_python.py imagenet.shards --batch-size 2048 --save run.pt

The same command again goes on where the last one was stopped, inside an epoch too, and on another number of processes.
Needs torch, torchvision and imgpack (docs/python.md).
"""

from __future__ import annotations

import argparse
import os
import time

import imgpack
import torch
import torch.distributed as dist
import torchvision


def main() -> None:
    parser = argparse.ArgumentParser(description="Train a ResNet from shards.")
    parser.add_argument("shards")
    parser.add_argument("--model", default="resnet50")
    parser.add_argument("--epochs", type=int, default=16)
    parser.add_argument("--batch-size", type=int, default=256, help="of all processes together")
    parser.add_argument("--size", type=int, default=176)
    parser.add_argument("--eval-size", type=int, default=224)
    parser.add_argument("--lr", type=float, default=2.0, help="at 1024 images a batch")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=0, help="that decode; 0: this process's share of the cores")
    parser.add_argument("--save", default="run.pt")
    parser.add_argument("--save-every", type=int, default=500, help="batches")
    parser.add_argument("--max-batches", type=int, default=0, help="stop after so many; 0: never")
    options = parser.parse_args()

    cuda = torch.cuda.is_available()
    if "WORLD_SIZE" in os.environ:  # torchrun
        dist.init_process_group("nccl" if cuda else "gloo")
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if cuda else torch.device("cpu")

    # After init_process_group: the loader takes rank and world size from there.
    dataset = imgpack.open(options.shards)
    train = imgpack.DataLoader(
        dataset, global_batch_size=options.batch_size, size=options.size, seed=options.seed, threads=options.threads
    )
    val = imgpack.DataLoader(dataset, global_batch_size=options.batch_size, split="val", size=options.eval_size,
                             threads=options.threads)

    torch.manual_seed(options.seed)
    network = torchvision.models.get_model(options.model, num_classes=len(dataset.classes))
    network = network.to(device, memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(network.parameters(), lr=1, momentum=0.9, weight_decay=5e-5, nesterov=True)
    if os.path.exists(options.save):
        saved = torch.load(options.save, map_location=device, weights_only=True)
        network.load_state_dict(saved["network"])
        optimizer.load_state_dict(saved["optimizer"])
        train.load_state_dict(saved["loader"])
    model = torch.nn.parallel.DistributedDataParallel(network) if dist.is_initialized() else network

    normalize = imgpack.Normalize(device)
    steps = options.epochs * len(train)
    done, begun = 0, time.monotonic()

    def save() -> None:
        if train.rank == 0:
            state = {"network": network.state_dict(), "optimizer": optimizer.state_dict(), "loader": train.state_dict()}
            torch.save(state, options.save + ".tmp")
            os.replace(options.save + ".tmp", options.save)

    for epoch in range(train.epoch, options.epochs):
        train.set_epoch(epoch)
        model.train()
        for batch in train:
            step = epoch * len(train) + batch.number
            rate = options.lr * options.batch_size / 1024 * min(1.0, (step + 1) / (0.1 * steps)) * (1 - step / steps)
            optimizer.param_groups[0]["lr"] = rate
            with torch.autocast(device.type, torch.bfloat16):
                logits = model(normalize(batch.images, batch.blanks))
            loss = torch.nn.functional.cross_entropy(logits.float(), batch.labels.to(device), label_smoothing=0.1)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            done += 1
            if done % 100 == 0 or done == options.max_batches:
                images = done * options.batch_size / (time.monotonic() - begun)
                print(f"epoch {epoch} batch {batch.number} of {len(train)}: loss {loss.item():.3f}, {images:.0f} images/s")
            if done % options.save_every == 0:
                save()
            if done == options.max_batches:
                save()
                return
        right = evaluate(model, val, normalize, device)
        if train.rank == 0:
            print(f"epoch {epoch}: top-1 {100 * right:.2f} %", flush=True)
        save()


def evaluate(
    model: torch.nn.Module, val: imgpack.DataLoader, normalize: imgpack.Normalize, device: torch.device
) -> float:
    """Every image of the split once, on any number of processes."""
    model.eval()
    counts = torch.zeros(2, dtype=torch.float64, device=device)  # Right, all.
    with torch.no_grad():
        for images, labels in val:
            if len(labels) == 0:  # The last batch may not have one for every process.
                continue
            with torch.autocast(device.type, torch.bfloat16):
                guesses = model(normalize(images)).argmax(1)
            counts += torch.stack([(guesses == labels.to(device)).sum(), torch.tensor(len(labels), device=device)])
    if dist.is_initialized():
        dist.all_reduce(counts)
    return float(counts[0] / counts[1])


if __name__ == "__main__":
    main()
    if dist.is_initialized():
        dist.destroy_process_group()
