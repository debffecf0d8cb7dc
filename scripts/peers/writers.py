"""The writers that scripts/bench-writers compares. As a program: `writers.py NAME IMAGES OUT THREADS` writes the folder
of JPEGs IMAGES to OUT with one of them and prints what that took as one line of JSON.

Every writer reads the files itself and stores image and class; none is given pixels.
"""

import dataclasses
import json
import multiprocessing
import os
import pathlib
import resource
import subprocess
import sys
import time
from typing import Callable


@dataclasses.dataclass
class Writer:
    title: str
    write: Callable  # (files, out, threads); a dictionary of figures where it has its own.
    share: float = 1.0  # Of the images that are written: slow writers get fewer.


def files_of(folder):
    """(path, class number), sorted."""
    classes = {path.name: number for number, path in enumerate(sorted(folder.iterdir()))}
    return [(path, classes[path.parent.name]) for path in sorted(folder.rglob("*.JPEG"))]


# Ours: the program as people run it, and the same library without waiting for the disk, as the peers write.


def imgpack(*options):
    def write(files, out, threads):
        source = link_tree(files, out)
        start = time.perf_counter()
        subprocess.run(
            [program("imgpack"), "build", source, str(out / "shards"), "-q", "-j", str(threads), *options],
            check=True, stdout=subprocess.DEVNULL)
        return {"wall_seconds": time.perf_counter() - start}

    return write


def imgbench(workload):
    def write(files, out, threads):
        source = link_tree(files, out)
        environment = dict(os.environ, TMPDIR=str(out))
        command = [program("imgbench"), "run", workload, "--source", source, "--threads", str(threads), "--seconds", "0"]
        done = subprocess.run([*command, "--repetitions", "1", "--json"], check=True, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, env=environment)
        repetition = json.loads(done.stdout)["workloads"][0]["repetitions"][0]
        return {"wall_seconds": repetition["wall_seconds"], "cpu_seconds": repetition["cpu_seconds"]}

    return write


def program(name):
    return str(pathlib.Path(os.environ["BIN_DIR"]) / name)


def link_tree(files, out):
    """The same files as a class-folder tree of their own, so that a share of them can be named as a source."""
    source = out / "source"
    for path, _ in files:
        (source / path.parent.name).mkdir(parents=True, exist_ok=True)
        os.link(path, source / path.parent.name / path.name)
    return str(source)


# The peers. Imports come before the clock starts.


def webdataset(sync):
    def write(files, out, threads):
        import webdataset as wds

        shards = str(out / "train-%05d.tar")
        start, cpu = time.perf_counter(), cpu_seconds()
        with wds.ShardWriter(shards, maxsize=512 << 20, maxcount=1 << 30, verbose=0) as sink:
            for path, label in files:
                sink.write({"__key__": path.stem, "jpg": path.read_bytes(), "cls": str(label).encode()})
        if sync:
            for path in out.glob("*.tar"):
                descriptor = os.open(path, os.O_RDONLY)
                os.fsync(descriptor)
                os.close(descriptor)
        return since(start, cpu)

    return write


def mds(**options):
    def write(files, out, threads):
        from streaming import MDSWriter

        start, cpu = time.perf_counter(), cpu_seconds()
        with MDSWriter(out=str(out / "mds"), columns={"image": "bytes", "label": "int"}, size_limit=512 << 20,
                       **options) as sink:
            for path, label in files:
                sink.write({"image": path.read_bytes(), "label": label})
        return since(start, cpu)

    return write


def ffcv(**options):
    def write(files, out, threads):
        from ffcv.fields import IntField, RGBImageField
        from ffcv.writer import DatasetWriter

        start, cpu = time.perf_counter(), cpu_seconds()
        fields = {"image": RGBImageField(jpeg_quality=90, **options), "label": IntField()}
        DatasetWriter(str(out / "train.beton"), fields, num_workers=threads).from_indexed_dataset(PilFiles(files))
        return since(start, cpu)

    return write


class PilFiles:
    """FFCV takes decoded images: PIL decodes them, as in its own ImageNet script."""

    def __init__(self, files):
        self.files = files

    def __len__(self):
        return len(self.files)

    def __getitem__(self, i):
        from PIL import Image

        path, label = self.files[i]
        return Image.open(path).convert("RGB"), label


def cpu_seconds():
    return sum(usage.ru_utime + usage.ru_stime for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)))


def since(start, cpu):
    wall = time.perf_counter() - start
    for worker in multiprocessing.active_children():  # Their CPU time counts once they have ended.
        worker.join(10)
    return {"wall_seconds": wall, "cpu_seconds": cpu_seconds() - cpu}


WRITERS = {
    "imgpack": Writer("imgpack build (default: every stream proved whole, entropy index)", imgpack()),
    "imgpack-header": Writer(
        "imgpack build --entropy-index none --check header", imgpack("--entropy-index", "none", "--check", "header")),
    "imgpack-header-unsynced": Writer("the same without waiting for the disk", imgbench("pack-header-unsynced")),
    "imgpack-max500": Writer("imgpack build --resize-max 500", imgpack("--resize-max", "500"), 0.34),
    "webdataset": Writer("WebDataset tar, as is", webdataset(sync=False)),
    "webdataset-synced": Writer("WebDataset tar, as is, then fsync", webdataset(sync=True)),
    "mds": Writer("MosaicML MDS, as is, no hashes", mds()),
    "mds-hashes": Writer("MosaicML MDS, as is, sha1 and xxh64", mds(hashes=["sha1", "xxh64"])),
    "ffcv-jpg": Writer("FFCV, JPEG q90 at full size", ffcv(write_mode="jpg"), 0.34),
    "ffcv-recipe": Writer(
        "FFCV, its ResNet-50 recipe (long side ≤ 500, half JPEG, half raw)",
        ffcv(write_mode="proportion", max_resolution=500, compress_probability=0.5), 0.34),
}


def main():
    name, images, out, threads = sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3]), int(sys.argv[4])
    writer = WRITERS[name]
    files = files_of(images)
    files = files[: max(1, int(len(files) * writer.share))]
    size = sum(len(path.read_bytes()) for path, _ in files)  # Also warms the page cache.
    out.mkdir(parents=True)
    before = cpu_seconds()
    result = writer.write(files, out, threads)
    result.setdefault("cpu_seconds", cpu_seconds() - before)
    source = out / "source"
    written = sum(path.stat().st_size for path in out.rglob("*") if path.is_file() and source not in path.parents)
    own = name.startswith("imgpack")
    peak = resource.getrusage(resource.RUSAGE_CHILDREN if own else resource.RUSAGE_SELF).ru_maxrss
    if not own:
        peak = max(peak, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
    print(json.dumps({"images": len(files), "bytes": size, "written_bytes": written, "peak_mib": peak / 1024, **result}))


if __name__ == "__main__":
    main()
