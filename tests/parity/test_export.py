"""What imgpack export writes is read by those it is for: PIL and torchvision's layout, tarfile and the webdataset package,
and a TFRecord reader of twenty lines that checks the masked CRC-32C.
"""
import io
import json
import os
import subprocess
import tarfile
import tempfile
import unittest
from pathlib import Path

import webdataset
from PIL import Image

IMGPACK = Path(os.environ["BIN_DIR"]) / "imgpack"


def imgpack(*arguments):
    return subprocess.run([IMGPACK, *map(str, arguments)], check=True, capture_output=True, text=True).stdout


def crc32c(data, table=[]):
    if not table:
        for byte in range(256):
            for _ in range(8):
                byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
            table.append(byte)
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ table[(crc ^ byte) & 255]
    return crc ^ 0xFFFFFFFF


def masked(data):
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def tfrecords(path):
    data, at = path.read_bytes(), 0
    while at < len(data):
        length = int.from_bytes(data[at:at + 8], "little")
        assert masked(data[at:at + 8]) == int.from_bytes(data[at + 8:at + 12], "little"), "length checksum"
        body = data[at + 12:at + 12 + length]
        assert masked(body) == int.from_bytes(data[at + 12 + length:at + 16 + length], "little"), "data checksum"
        yield body
        at += 16 + length


def varint(data, at):
    value = shift = 0
    while True:
        value |= (data[at] & 127) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 128:
            return value, at


def fields(data):
    """(number, bytes or integer) of a protocol buffer message."""
    at = 0
    while at < len(data):
        tag, at = varint(data, at)
        value, at = varint(data, at)
        if tag & 7 == 2:
            value, at = data[at:at + value], at + value
        yield tag >> 3, value


def example(message):
    features = {}
    (_, all_features), = fields(message)
    for _, entry in fields(all_features):
        entry = dict(fields(entry))
        (kind, value_list), = fields(entry[2])
        (_, value), = fields(value_list)
        if kind == 3:  # Packed 64-bit integers.
            value = varint(value, 0)[0]
            value -= (value >> 63) << 64
        features[entry[1].decode()] = value
    return features


class Exports(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory()
        cls.folder = Path(cls.temporary.name)
        cls.source, cls.shards = cls.folder / "source", cls.folder / "s.shards"
        imgpack("sample", cls.source, "--classes", 4, "--train", 48, "--val", 12, "--test", 6, "--size", 40)
        imgpack("build", cls.source, cls.shards, "-q", "--shards", 2)
        imgpack("extract", cls.shards, cls.folder / "x")
        cls.records = {(row["split"], row["name"]): row
                       for row in map(json.loads, imgpack("ls", cls.shards, "--json").splitlines())}
        cls.images = {key: (cls.folder / "x" / key[0] / key[1]).read_bytes() for key in cls.records}

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()

    def test_image_folder_is_read_by_pil_and_packs_to_the_same_dataset(self):
        out = self.folder / "imagefolder"
        imgpack("export", self.shards, out, "-q")
        for (split, name), image in self.images.items():
            row = self.records[split, name]
            path = out / split / Path(name).name if row["label"] < 0 else out / split / row["class"] / Path(name).name
            self.assertEqual(path.read_bytes(), image)
            with Image.open(path) as picture:
                picture.load()
                self.assertEqual(picture.size, (row["width"], row["height"]))
        files = [path for path in out.rglob("*") if path.is_file() and path.name != "classes.txt"]
        self.assertEqual(len(files), len(self.images))
        classes = sorted({row["class"] for row in self.records.values() if row["label"] >= 0})
        self.assertEqual([line.split()[0] for line in (out / "classes.txt").read_text().splitlines()], classes)
        imgpack("build", out, self.folder / "again.shards", "-q")
        self.assertIn("the same content", imgpack("diff", self.shards, self.folder / "again.shards"))

    def test_tars_are_read_by_tarfile_and_by_the_webdataset_package(self):
        out = self.folder / "wds"
        imgpack("export", self.shards, out, "-q", "--format", "webdataset", "--file-size", 20000)
        tars = sorted(out.glob("train-*.tar"))
        self.assertGreater(len(tars), 1)
        with tarfile.open(tars[0]) as tar:
            member = tar.getmembers()[0]
            self.assertTrue(member.isreg() and member.name.endswith(".jpg"))
        for split in ("train", "val", "test"):
            urls = [str(path) for path in sorted(out.glob(f"{split}-*.tar"))]
            found = {}
            for sample in webdataset.WebDataset(urls, shardshuffle=False):
                facts = json.loads(sample["json"])
                found[split, facts["name"]] = sample["jpg"]
                row = self.records[split, facts["name"]]
                self.assertEqual(facts["label"], row["label"])
                self.assertEqual(sample.get("cls"), None if row["label"] < 0 else str(row["label"]).encode())
            self.assertEqual(found, {key: image for key, image in self.images.items() if key[0] == split})

    def test_tfrecords_have_sound_checksums_and_the_usual_features(self):
        out = self.folder / "tfrecord"
        imgpack("export", self.shards, out, "-q", "--format", "tfrecord", "--file-size", 20000)
        count = len(list(out.glob("train-*")))
        self.assertEqual({path.name for path in out.glob("train-*")},
                         {f"train-{i:05d}-of-{count:05d}" for i in range(count)})
        found = {}
        for path in sorted(out.glob("*-of-*")):
            for message in tfrecords(path):
                features = example(message)
                key = path.name.split("-")[0], features["image/filename"].decode()
                found[key] = features["image/encoded"]
                row = self.records[key]
                self.assertEqual(features["image/class/label"], row["label"])
                self.assertEqual((features["image/width"], features["image/height"]), (row["width"], row["height"]))
                self.assertEqual(features["image/class/synset"].decode(), row["class"] if row["label"] >= 0 else "")
                picture = Image.open(io.BytesIO(features["image/encoded"]))
                self.assertEqual(features["image/channels"], len(picture.getbands()))
        self.assertEqual(found, self.images)


if __name__ == "__main__":
    unittest.main()
