"""imgpack.open: splits, classes, records, and their pixels."""

import concurrent.futures
import io
import multiprocessing
import pickle
import subprocess
import unittest

import numpy as np

import imgpack
import support

try:
    from PIL import Image
except ImportError:
    support.skip("Pillow is not here: scripts/setup --tests installs it")


def label_of(split, record):
    return split[record].label


class OpenedDataset(support.WithShards):
    def setUp(self):
        self.dataset = imgpack.open(self.shards)
        self.train = self.dataset["train"]

    def test_splits_and_classes_are_those_of_the_manifest(self):
        self.assertEqual(self.dataset.splits, ["train", "val", "test"])
        self.assertEqual([len(self.dataset[split]) for split in self.dataset.splits], [240, 60, 8])
        self.assertIn("train", self.dataset)
        self.assertNotIn("trian", self.dataset)
        self.assertEqual(len(self.dataset.classes), 4)
        wnids = [info.wnid for info in self.dataset.classes]
        self.assertEqual(wnids, sorted(wnids))  # Labels are ImageFolder's.
        self.assertEqual(str(self.dataset.path), str(self.shards))
        self.assertRegex(self.dataset.id, "^[0-9a-f]{16,}$")
        self.assertEqual(self.train.shards, 4)
        self.assertTrue(self.train.labeled)
        self.assertFalse(self.dataset["test"].labeled)
        self.assertEqual(repr(self.train), "Split('train', 240 records)")

    def test_records_are_the_files_that_were_packed(self):
        sources = {path.name: path for path in (self.folder / "images").rglob("*.JPEG")}
        same = 0
        for split in ("train", "val"):
            for i, record in enumerate(self.dataset[split]):
                data, label, name = record
                self.assertEqual((data, label, name), (record.data, record.label, record.name))
                self.assertEqual(record.id, self.dataset[split].ids[i])
                self.assertEqual(record.label, self.dataset[split].labels[i])
                source = sources[name.rpartition("/")[2]]
                same += data == source.read_bytes()
                if split == "train":
                    self.assertEqual(source.parent.name, self.dataset.classes[label].wnid)
        self.assertGreater(same, 280)  # All but the odd ones, which packing converts.

    def test_columns_look_into_the_index_and_cannot_be_written(self):
        for name, kind in (("labels", np.int32), ("ids", np.uint64), ("widths", np.uint32), ("heights", np.uint32)):
            column = getattr(self.train, name)
            self.assertEqual((column.dtype, column.shape), (kind, (240,)))
            with self.assertRaises(ValueError):
                column[0] = 0
        labels = imgpack.open(self.shards)["train"].labels  # Outlives everything that it came from.
        self.assertEqual(sorted(set(labels.tolist())), [0, 1, 2, 3])
        names = self.train.names()
        self.assertEqual(names[17], self.train[17].name)
        self.assertEqual(len(set(names)), 240)

    def test_a_record_without_a_label_has_minus_one(self):
        self.assertEqual(self.dataset["test"][0].label, -1)

    def test_positions_count_from_either_end(self):
        self.assertEqual(self.train[-1].name, self.train[239].name)
        for beyond in (240, -241):
            with self.assertRaisesRegex(IndexError, "train"):
                self.train[beyond]

    def test_pixels_are_pillows(self):
        for record in (self.train[i] for i in range(0, 240, 7)):
            image = Image.open(io.BytesIO(record.data)).convert("RGB")
            self.assertEqual(image.size, (record.width, record.height))
            np.testing.assert_array_equal(record.decode(decoder="reference"), np.asarray(image))
            if min(image.size) < 24:
                continue
            x, y, w, h = 3, 2, record.width - 5, record.height - 4
            fast = record.decode(box=(x, y, w, h), size=(20, 18), interpolation="bicubic", flip=True)
            self.assertEqual((fast.shape, fast.dtype), ((18, 20, 3), np.uint8))
            theirs = image.crop((x, y, x + w, y + h)).resize((20, 18), Image.BICUBIC).transpose(Image.FLIP_LEFT_RIGHT)
            self.assertLess(np.abs(fast.astype(int) - np.asarray(theirs)).mean(), 2.0)

    def test_arguments_out_of_range_say_what_was_expected(self):
        record = self.train[0]
        with self.assertRaisesRegex(imgpack.UsageError, "interpolation: expected bilinear or bicubic, found 'cubic'"):
            record.decode(interpolation="cubic")
        with self.assertRaisesRegex(imgpack.UsageError, "size: expected 1 to 65535"):
            record.decode(size=(0, 4))
        with self.assertRaises(imgpack.InvalidInputError):
            record.decode(box=(0, 0, record.width + 1, 4))
        with self.assertRaisesRegex(imgpack.InvalidInputError, "no split 'trian'|'trian'.*train"):
            self.dataset["trian"]
        with self.assertRaisesRegex(imgpack.InvalidInputError, "no label set 'real'"):
            self.dataset.label_set("real")
        self.assertEqual(self.dataset.label_sets, [])

    def test_a_dataset_that_is_not_there_is_an_os_error(self):
        with self.assertRaises(OSError) as raised:
            imgpack.open(self.folder / "nothing")
        self.assertIsInstance(raised.exception, imgpack.IoError)
        self.assertEqual(raised.exception.kind, "io")
        self.assertIn("nothing", raised.exception.path)
        self.assertIn("nothing", str(raised.exception))

    def test_a_damaged_record_names_shard_and_offset(self):
        damaged = imgpack.open(self.damaged(11))["train"]
        self.assertEqual(damaged[10].name, self.train[10].name)
        with self.assertRaisesRegex(imgpack.CorruptionError, r"train-0000\d.ipk@\d+: .*checksum") as raised:
            damaged[11]
        self.assertEqual(raised.exception.kind, "corruption")
        self.assertGreater(raised.exception.offset, 0)
        again = pickle.loads(pickle.dumps(raised.exception))  # As a worker process hands it over.
        self.assertEqual((str(again), again.offset), (str(raised.exception), raised.exception.offset))

    def test_a_shard_that_was_cut_off_is_damage(self):
        target = self.damaged()
        for shard in target.glob("train-*.ipk"):
            shard.write_bytes(shard.read_bytes()[:200])
        with self.assertRaises(imgpack.CorruptionError):
            imgpack.open(target)["train"][239]

    def test_threads_read_at_once(self):
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            names = list(pool.map(lambda i: self.train[i % 240].name, range(2000)))
        self.assertEqual(names, [self.train[i % 240].name for i in range(240)] * 8 + names[1920:])

    def test_splits_go_to_other_processes(self):
        self.train[0]  # Its shard is open: the file is shared, its position is not.
        for method in ("fork", "spawn"):
            with multiprocessing.get_context(method).Pool(2) as pool:
                found = pool.starmap(label_of, [(self.train, i) for i in range(20)])
            self.assertEqual(found, self.train.labels[:20].tolist())

    def test_ls_shows_the_same_records(self):
        lines = subprocess.run([support.BIN_DIR / "imgpack", "ls", self.shards], check=True, capture_output=True,
                               text=True).stdout
        for record in (self.train[0], self.train[239]):
            self.assertIn(record.name, lines)


if __name__ == "__main__":
    unittest.main()
