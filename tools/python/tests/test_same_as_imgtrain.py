"""The same batches as imgtrain's, byte for byte: tests/parity/batch_dump.cc runs the trainer's own configuration."""

import itertools
import json
import subprocess
import unittest

import numpy as np

import imgpack
import support

# imgtrain's options -> the loader's.
PLAIN = {"batch": 32, "train_size": 32, "partitions": 4, "block_kib": 64, "seed": 7}
AUGMENTED = {**PLAIN, "interpolation": "random", "crop_scale_min": 0.25, "crop_ratio_max": 1.5, "flip": 0.3,
             "auto_augment": "rand-m6-mstd0.5-inc1", "jitter_brightness": 0.4, "jitter_hue": 0.1, "erase": 0.5,
             "erase_scale_max": 0.2, "cutout": 0.25, "repeats": 3, "window_blocks": 1, "drop_last": False,
             "bn_group": 8}
EVALUATION = {"eval_batch": 24, "eval_size": 40, "eval_resize": 48, "interpolation": "bicubic", "block_kib": 64}
SQUARES = {"eval_batch": 60, "eval_size": 40, "eval_crop_ratio": 0.875}


def options_of(config):
    """The loader's options for a configuration of imgtrain's."""
    names = {"batch": "global_batch_size", "train_size": "size", "eval_batch": "global_batch_size", "eval_size": "size",
             "eval_resize": "resize", "eval_crop_ratio": "center_ratio"}
    ranges = {"crop_scale": (0.08, 1), "crop_ratio": (3 / 4, 4 / 3), "erase_scale": (0.02, 0.33)}
    options = {names.get(key, key): value for key, value in config.items()
               if not key.startswith("jitter_") and not key.endswith(("_min", "_max"))}
    for name, (least, most) in ranges.items():
        options[name] = (config.get(f"{name}_min", least), config.get(f"{name}_max", most))
    options["jitter"] = tuple(config.get(f"jitter_{what}", 0) for what in ("brightness", "contrast", "saturation", "hue"))
    return options


class SameAsImgtrain(support.WithShards):
    def imgtrain(self, config, split, rank, world, epoch, first):
        """What batch_dump prints: a tuple for every batch."""
        path = self.folder / "config.json"
        path.write_text(json.dumps({"shards": str(self.shards), **config}))
        words = [support.BIN_DIR / "parity_batch_dump", self.shards, path, split, rank, world, epoch, first]
        output = subprocess.run([str(word) for word in words], check=True, stdout=subprocess.PIPE).stdout
        at = 0
        while at < len(output):
            end = output.index(b"\n", at)
            index, first, count, global_count, size, digest = map(int, output[at:end].split())
            at = end + 1
            columns = []
            for kind, shape in ((np.uint64, (count,)), (np.int64, (count,)), (np.int32, (count, 2, 4)),
                                (np.uint8, (count, size, size, 3))):
                column = np.frombuffer(output, kind, int(np.prod(shape)), at).reshape(shape)
                at += column.nbytes
                columns.append(column)
            yield (index, first, global_count, digest), columns

    def check(self, config, split="train", rank=0, world=1, epoch=0, first=0):
        loader = imgpack.DataLoader(self.shards, split=split, rank=rank, world_size=world, output="numpy", threads=2,
                                    **options_of(config))
        begin = loader.state_dict()
        loader.load_state_dict({**begin, "epoch": epoch, "batch": first})
        count = 0
        theirs = self.imgtrain(config, split, rank, world, epoch, first)
        for (facts, columns), batch in itertools.zip_longest(theirs, loader):
            self.assertEqual(facts, (batch.number, batch.first, batch.global_count, batch.order_digest))
            for column, ours in zip(columns, (batch.ids, batch.labels, batch.blanks, batch.images)):
                np.testing.assert_array_equal(ours, column)
            count += 1
        self.assertEqual(count, len(loader) - first)
        self.assertGreater(count, 0)

    def test_training(self):
        for epoch in (0, 3):
            self.check(PLAIN, epoch=epoch)

    def test_training_with_everything_that_changes_pixels(self):
        self.check(AUGMENTED, epoch=2)

    def test_a_share_of_the_batches(self):
        for rank in range(3):
            self.check({**AUGMENTED, "repeats": 1}, rank=rank, world=3, epoch=1)

    def test_resumed_inside_an_epoch(self):
        self.check(PLAIN, epoch=5, first=4)

    def test_evaluation(self):
        self.check(EVALUATION, "val")
        self.check(EVALUATION, "val", rank=1, world=2)
        self.check(SQUARES, "val")

    def test_defaults_are_imgtrains(self):
        self.check({"batch": 256, "train_size": 224} | {"drop_last": True}, "train")


if __name__ == "__main__":
    unittest.main()
