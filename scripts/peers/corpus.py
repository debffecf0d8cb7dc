"""One set of JPEGs in every loader's own format.

    JPEGs --as they are--> files in class folders, WebDataset tars, MDS shards, TFRecords, our shards
          --re-encoded by FFCV itself--> .beton files
"""

import os
import pathlib
import shutil
import subprocess
import tarfile

CLASSES = 10
os.environ["TQDM_DISABLE"] = "1"  # FFCV draws a bar.


def make(source, folder, count, bin_dir, with_ffcv):
    """Everything under `folder`, unless it is there already. Returns the number of images."""
    files = folder / "files"
    done = folder / "complete"
    key = f"{pathlib.Path(source).resolve()} {count} ffcv={with_ffcv}"
    if done.exists() and done.read_text() == key:
        return count
    shutil.rmtree(folder, ignore_errors=True)
    files.mkdir(parents=True)
    jpegs = read_jpegs(source)
    samples = []
    for i in range(count):
        name, data = jpegs[i % len(jpegs)]
        label = i % CLASSES
        path = files / f"class{label}" / f"{pathlib.PurePath(name).stem}_{i // len(jpegs)}_{i}.JPEG"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        samples.append((path, label))
    samples.sort()
    write_webdataset(samples, folder / "webdataset")
    write_mds(samples, folder / "mds")
    write_tfrecords(samples, folder / "tfrecord")
    for name, options in (("original", []), ("max500", ["--resize-max", "500", "--reencode-probability", "1"])):
        subprocess.run(
            [f"{bin_dir}/imgpack", "build", files, folder / f"{name}.shards", "--quiet", *options],
            check=True,
            stdout=subprocess.DEVNULL,
        )
    if with_ffcv:
        write_ffcv(samples, folder / "original.beton", None)
        write_ffcv(samples, folder / "max500.beton", 500)
    done.write_text(key)
    return count


def read_jpegs(source):
    """(name, bytes) of every JPEG in a folder or a tar, in order of their names."""
    suffixes = (".jpg", ".jpeg")
    if pathlib.Path(source).is_dir():
        paths = sorted(p for p in pathlib.Path(source).rglob("*") if p.suffix.lower() in suffixes)
        found = [(p.name, p.read_bytes()) for p in paths]
    else:
        with tarfile.open(source) as tar:
            members = sorted((m for m in tar if m.name.lower().endswith(suffixes)), key=lambda m: m.name)
            found = [(m.name, tar.extractfile(m).read()) for m in members]
    if not found:
        raise SystemExit(f"{source}: no JPEG in it. Name a folder of JPEGs, or a tar of them")
    return found


def write_webdataset(samples, folder, shards=8):
    import webdataset

    folder.mkdir()
    for s in range(shards):
        with webdataset.TarWriter(str(folder / f"{s}.tar")) as tar:
            for i, (path, label) in enumerate(samples):
                if i % shards == s:
                    tar.write({"__key__": f"{i:06d}", "jpg": path.read_bytes(), "cls": str(label)})


def write_mds(samples, folder):
    import streaming

    with streaming.MDSWriter(out=str(folder), columns={"x": "bytes", "y": "int"}) as writer:
        for path, label in samples:
            writer.write({"x": path.read_bytes(), "y": label})


def write_tfrecords(samples, folder, shards=8):
    import tensorflow as tf

    folder.mkdir()
    for s in range(shards):
        with tf.io.TFRecordWriter(str(folder / f"{s}.tfrecord")) as writer:
            for path, label in samples[s::shards]:
                features = {
                    "x": tf.train.Feature(bytes_list=tf.train.BytesList(value=[path.read_bytes()])),
                    "y": tf.train.Feature(int64_list=tf.train.Int64List(value=[label])),
                }
                example = tf.train.Example(features=tf.train.Features(feature=features))
                writer.write(example.SerializeToString())


class Pictures:
    """What FFCV's writer reads: decoded pictures by number."""

    def __init__(self, samples):
        self.samples = samples

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, i):
        from PIL import Image

        path, label = self.samples[i]
        return Image.open(path).convert("RGB"), label


def write_ffcv(samples, path, max_resolution):
    from ffcv.fields import IntField, RGBImageField
    from ffcv.writer import DatasetWriter

    image = RGBImageField(write_mode="jpg", max_resolution=max_resolution, jpeg_quality=90)
    writer = DatasetWriter(str(path), {"image": image, "label": IntField()}, num_workers=2)
    writer.from_indexed_dataset(Pictures(samples), chunksize=100)
