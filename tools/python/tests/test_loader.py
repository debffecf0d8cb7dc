"""imgpack.DataLoader: what it yields, in which order, for how long it stays valid, and how it ends."""

import gc
import json
import sys
import threading
import time
import types
import unittest

import numpy as np

import imgpack
import support
from support import SMALL


def loader_of(shards, **options):
    return imgpack.DataLoader(shards, **{"batch_size": 32, "output": "numpy", **SMALL, **options})


def copied(batches):
    return [(b.ids.copy(), b.labels.copy(), b.images.copy()) for b in batches]


class Loader(support.WithShards):
    def loader(self, **options):
        loader = loader_of(self.shards, **options)
        self.addCleanup(loader.close)
        return loader

    def assert_same(self, some, others):
        self.assertEqual(len(some), len(others))
        for mine, theirs in zip(some, others):
            for a, b in zip(mine, theirs):
                np.testing.assert_array_equal(a, b)


class Delivery(Loader):
    def test_an_epoch_is_every_sample_once_less_the_dropped_batch(self):
        loader = self.loader()
        self.assertEqual(len(loader), 7)
        split = imgpack.open(self.shards)["train"]
        label = dict(zip(split.ids.tolist(), split.labels.tolist()))
        seen = []
        for i, batch in enumerate(loader):
            images, labels = batch
            self.assertIs(images, batch.images)
            self.assertEqual((images.shape, images.dtype), ((32, 32, 32, 3), np.uint8))
            self.assertEqual((labels.shape, labels.dtype), ((32,), np.int64))
            self.assertEqual((batch.number, batch.epoch, batch.first, batch.global_count), (i, 0, 0, 32))
            self.assertEqual([label[sample] for sample in batch.ids.tolist()], labels.tolist())
            self.assertGreater(images.std(), 10)
            seen += batch.ids.tolist()
        self.assertEqual(len(set(seen)), 7 * 32)
        self.assertEqual(loader.dataset.name, "train")

    def test_evaluation_is_every_sample_once_in_record_order(self):
        loader = self.loader(split="val", batch_size=25)
        ids = np.concatenate([batch.ids for batch in loader])
        np.testing.assert_array_equal(ids, imgpack.open(self.shards)["val"].ids)
        self.assertEqual([len(labels) for _, labels in loader], [25, 25, 10])

    def test_epochs_differ_and_the_same_epoch_does_not(self):
        loader = self.loader()
        zero, one = copied(loader), copied(loader)
        self.assertFalse(np.array_equal(zero[0][0], one[0][0]))
        loader.set_epoch(0)
        self.assert_same(copied(loader), zero)
        self.assert_same(copied(loader), one)  # The one after it.
        loader.sampler.set_epoch(0)
        self.assert_same(copied(loader), zero)
        self.assertEqual(loader.epoch, 1)

    def test_seeds_differ_and_threads_do_not(self):
        expected = copied(self.loader())
        self.assert_same(copied(self.loader(threads=1, slots=2)), expected)
        self.assertFalse(np.array_equal(copied(self.loader(seed=1))[0][0], expected[0][0]))

    def test_ranks_share_the_global_batches(self):
        whole = copied(self.loader(global_batch_size=32, batch_size=None))
        parts = [list(map(list, copied(self.loader(batch_size=8, rank=rank, world_size=4)))) for rank in range(4)]
        self.assert_same([tuple(np.concatenate(columns) for columns in zip(*batch)) for batch in zip(*parts)], whole)

    def test_torch_tensors_share_the_memory(self):
        torch = torch_or_skip(self)
        batch = next(iter(self.loader(output="torch")))
        self.assertEqual((batch.images.dtype, batch.labels.dtype, batch.ids.dtype),
                         (torch.uint8, torch.int64, torch.uint64))
        self.assertEqual(batch.images.data_ptr() % 64, 0)
        again = torch.from_dlpack(batch.images.numpy())
        self.assertEqual(again.data_ptr(), batch.images.data_ptr())
        self.assertFalse(batch.copied)

    def test_dlpack_hands_numpy_arrays_on_without_a_copy(self):
        images = next(iter(self.loader())).images
        self.assertTrue(np.shares_memory(np.from_dlpack(images), images))
        images[0] = 0  # Its own until it is let go of.

    def test_boxes_to_blank_come_with_the_batch(self):
        batch = next(iter(self.loader(cutout=0.5, erase=1)))
        self.assertEqual(batch.blanks.shape, (32, 2, 4))
        x, y, w, h = batch.blanks[:, 1].T
        self.assertTrue(((w > 0) & (w <= 16) & (x >= 0) & (x + w <= 32) & (y + h <= 32)).all())
        self.assertFalse(next(iter(self.loader())).blanks.any())

    def test_images_may_grow(self):
        loader = self.loader()
        loader.set_epoch(0, size=16)
        self.assertEqual({batch.images.shape for batch in loader}, {(32, 16, 16, 3)})
        loader.set_epoch(1)
        self.assertEqual(next(iter(loader)).images.shape, (32, 32, 32, 3))
        loader.set_epoch(2, size=64)
        with self.assertRaisesRegex(imgpack.UsageError, "expected at most 32, found 64"):
            iter(loader)

    def test_normalize_is_what_a_network_takes(self):
        torch = torch_or_skip(self)
        batch = next(iter(self.loader(output="torch", cutout=0.5)))
        expected = (batch.images.permute(0, 3, 1, 2).double() / 255 - torch.tensor(
            [0.485, 0.456, 0.406]).view(3, 1, 1)) / torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
        normalize = imgpack.Normalize()
        found = normalize(batch.images)
        torch.testing.assert_close(found.double(), expected, atol=1e-5, rtol=1e-5)
        self.assertTrue(found.is_contiguous(memory_format=torch.channels_last))
        found = normalize(batch.images, batch.blanks)
        for image, blanked, (_, (x, y, w, h)) in zip(expected, found, batch.blanks.tolist()):
            image[:, y:y + h, x:x + w] = 0
            torch.testing.assert_close(blanked.double(), image, atol=1e-5, rtol=1e-5)

    def test_stats_say_where_the_time_went(self):
        loader = self.loader()
        copied(loader)
        stats = loader.stats()
        self.assertGreater(stats["seconds"]["decode"], 0)
        self.assertEqual(stats["counts"]["fast_path"] + stats["counts"]["reference_path"], 224)
        self.assertEqual(stats["counts"]["batches_copied"], 0)
        self.assertEqual(stats["threads"], 2)
        self.assertIn("page cache", stats["reading"])


class Lifetime(Loader):
    def test_whoever_keeps_an_array_keeps_its_pixels(self):
        expected = [images for _, _, images in copied(self.loader())]
        loader = self.loader(slots=3)
        batches = list(loader)  # More than there are slots.
        self.assertEqual([batch.copied for batch in batches], [False, False] + [True] * 5)
        self.assertEqual(loader.stats()["counts"]["slots_held"], 2)
        loader.set_epoch(3)
        for _ in loader:
            pass
        for batch, images in zip(batches, expected):
            np.testing.assert_array_equal(batch.images, images)

    def test_a_plain_loop_copies_nothing(self):
        loader = self.loader(slots=3)
        for images, _ in loader:
            self.assertLessEqual(loader.stats()["counts"]["slots_held"], 2)
        self.assertEqual(loader.stats()["counts"]["batches_copied"], 0)
        del images
        self.assertEqual(loader.stats()["counts"]["slots_held"], 0)

    def test_labels_and_ids_keep_no_slot(self):
        loader = self.loader()
        kept = [(batch.labels, batch.ids, batch.blanks) for batch in loader]
        self.assertEqual(loader.stats()["counts"]["slots_held"], 0)
        self.assertEqual(loader.stats()["counts"]["batches_copied"], 0)
        self.assertEqual(len(kept), 7)

    def test_views_and_tensors_keep_the_slot(self):
        torch = torch_or_skip(self)
        loader = self.loader(output="torch")
        view = next(iter(loader)).images[3].permute(2, 0, 1)
        expected = view.clone()
        self.assertEqual(loader.stats()["counts"]["slots_held"], 1)
        for _ in range(3):
            copied(loader_numpy(batch) for batch in loader)
        self.assertTrue(torch.equal(view, expected))
        del view
        self.assertEqual(loader.stats()["counts"]["slots_held"], 0)

    def test_arrays_outlive_their_loader(self):
        for output in ("numpy", "torch") if "torch" in sys.modules or has_torch() else ("numpy",):
            loader = self.loader(output=output)
            images = next(iter(loader)).images
            expected = np.asarray(images).copy()
            loader.close()
            del loader
            gc.collect()
            np.testing.assert_array_equal(np.asarray(images), expected)

    def test_a_slot_may_be_let_go_of_on_any_thread(self):
        loader = self.loader()
        kept = [next(iter(loader)).images]
        thread = threading.Thread(target=kept.clear)
        thread.start()
        thread.join()
        self.assertEqual(loader.stats()["counts"]["slots_held"], 0)

    def test_a_single_slot_works(self):
        loader = self.loader(slots=1)
        self.assertTrue(all(batch.copied for batch in loader))


class Resume(Loader):
    def test_a_state_goes_on_behind_the_last_batch_that_was_yielded(self):
        straight = self.loader()
        straight.set_epoch(2)
        batches = list(straight)
        expected = copied(batches)
        for done in (0, 1, 4, 7):
            first = self.loader()
            first.set_epoch(2)
            iteration = iter(first)
            for _ in range(done):
                next(iteration)
            state = json.loads(json.dumps(first.state_dict()))
            second = self.loader(threads=1, slots=2)
            second.load_state_dict(state)
            second.set_epoch(2)  # As a loop over epochs does.
            rest = list(second)
            self.assert_same(copied(rest), expected[done:])
            if rest:
                self.assertEqual(rest[-1].order_digest, batches[-1].order_digest)
            self.assertEqual(second.state_dict()["epoch"], 3)
            self.assertEqual(next(iter(second)).epoch, 3)

    def test_a_state_of_numpys_numbers_is_plain_numbers(self):
        numbers = {"seed": 3, "partitions": 4, "block_kib": 64, "window_blocks": 2, "repeats": 1}
        plain = self.loader(**numbers)
        plain.set_epoch(5)
        loader = self.loader(batch_size=np.int32(32), **{name: np.int64(value) for name, value in numbers.items()})
        loader.set_epoch(np.int64(5))
        self.assertEqual(json.loads(json.dumps(loader.state_dict())), plain.state_dict())
        whole = self.loader(batch_size=None, global_batch_size=np.uint16(32), **numbers)
        whole.set_epoch(5)
        self.assertEqual(json.loads(json.dumps(whole.state_dict())), plain.state_dict())
        self.assertEqual((loader.batch_size, whole.batch_size), (32, 32))

    def test_another_number_of_ranks_may_go_on(self):
        def loader(rank, world):
            return self.loader(batch_size=None, global_batch_size=24, rank=rank, world_size=world)

        expected = copied(loader(0, 1))
        first = [loader(rank, 2) for rank in range(2)]
        iterations = [iter(one) for one in first]
        for _ in range(3):
            for iteration in iterations:
                next(iteration)
        self.assertEqual(first[0].state_dict(), first[1].state_dict())
        resumed = [loader(rank, 3) for rank in range(3)]
        for one in resumed:
            one.load_state_dict(first[0].state_dict())
        rest = [copied(one) for one in resumed]
        self.assert_same([tuple(np.concatenate(columns) for columns in zip(*batch)) for batch in zip(*rest)],
                         expected[3:])

    def test_another_epoch_begins_at_its_beginning(self):
        loader = self.loader()
        next(iter(loader))
        other = self.loader()
        other.load_state_dict(loader.state_dict())
        other.set_epoch(5)
        self.assertEqual([(batch.epoch, batch.number) for batch in other][:2], [(5, 0), (5, 1)])

    def test_a_state_of_another_order_is_refused_by_name(self):
        state = self.loader().state_dict()
        with self.assertRaisesRegex(imgpack.UsageError, "seed: 0 in the state, 1 here; global_batch_size: 32 .* 16 here"):
            self.loader(seed=1, batch_size=16).load_state_dict(state)
        with self.assertRaisesRegex(imgpack.UsageError, "not a state of this loader"):
            self.loader().load_state_dict({"epoch": 1})
        with self.assertRaisesRegex(imgpack.UsageError, "batch: expected .* 0 to 7, found 8"):
            self.loader().load_state_dict({**state, "batch": 8})


class Endings(Loader):
    def test_a_later_iteration_ends_an_earlier_one(self):
        loader = self.loader()
        first = iter(loader)
        next(first)
        second = iter(loader)
        with self.assertRaisesRegex(imgpack.UsageError, "a later one of the same loader began"):
            next(first)
        self.assertEqual(next(second).epoch, 1)

    def test_an_iteration_that_is_over_stays_over(self):
        iteration = iter(self.loader())
        self.assertEqual(len(list(iteration)), 7)
        self.assertEqual(list(iteration), [])

    def test_a_closed_loader_says_so(self):
        with self.loader() as loader:
            iteration = iter(loader)
            next(iteration)
        with self.assertRaisesRegex(imgpack.UsageError, "this loader is closed"):
            next(iteration)
        loader.close()

    def test_closing_ends_a_wait_on_another_thread(self):
        # All threads of the machine decode large images, so that something is waited for.
        loader = self.loader(batch_size=240, size=640, slots=1)
        failures = []

        def consume():
            try:
                while True:
                    for _ in loader:
                        pass
            except imgpack.UsageError as error:
                failures.append(str(error))

        thread = threading.Thread(target=consume)
        thread.start()
        time.sleep(0.1)
        loader.close()
        thread.join(30)
        self.assertFalse(thread.is_alive())
        self.assertEqual(len(failures), 1)
        self.assertIn("closed", failures[0])

    def test_a_damaged_record_raises_in_its_place_and_keeps_raising(self):
        order = [batch.ids.copy() for batch in self.loader()]
        ids = imgpack.open(self.shards)["train"].ids.tolist()
        shards = self.damaged(ids.index(order[3][5]))
        loader = loader_of(shards)
        iteration = iter(loader)
        for _ in range(3):
            next(iteration)
        for _ in range(2):
            with self.assertRaisesRegex(imgpack.CorruptionError, r"\.ipk@\d+: record checksum.*sample .*Hint: .*imgpack verify"):
                next(iteration)
        # Left out where the caller says that it may be.
        lenient = loader_of(shards, max_bad_records=1)
        with self.assertLogs("imgpack", "WARNING") as logged:
            batches = list(lenient)
        self.assertEqual(batches[3].ids.tolist(), [sample for sample in order[3].tolist() if sample != order[3][5]])
        self.assertEqual((len(batches[3].left_out), batches[3].global_count), (1, 32))
        self.assertIn("left out: ", logged.output[0])
        self.assertEqual(len(lenient.state_dict()["digest"]), 16)

    def test_options_out_of_range_say_what_was_expected(self):
        for options, words in (
            ({"batch_size": 0}, "batch_size: expected a whole number from 1 .*, found 0"),
            ({"batch_size": 2.5}, "batch_size: expected a whole number .*, found 2.5"),
            ({"batch_size": 8, "global_batch_size": 8}, "expected one of the two"),
            ({"rank": 2, "world_size": 2}, "rank: expected a whole number from 0 to 1, found 2"),
            ({"rank": 0}, "expected both or neither"),
            ({"seed": -1}, "seed: expected"),
            ({"transform": "test"}, "transform: expected train or eval, found 'test'"),
            ({"transform": "eval", "shuffle": True}, "shuffle: transform 'eval'"),
            ({"transform": "eval", "resize": 16}, "resize smaller than the crop"),
            ({"transform": "eval", "interpolation": "random"}, "random is of the training transform"),
            ({"interpolation": "nearest"}, "expected bilinear or bicubic, found 'nearest'"),
            ({"auto_augment": "lots"}, "auto_augment: .*lots"),
            ({"crop_scale": (1, 0.5)}, "crop_scale: expected the smaller number first"),
            ({"crop_scale": (-1, 0.5)}, "scale"),
            ({"jitter": (1, 2)}, "jitter: expected brightness, contrast, saturation and hue"),
            ({"page_cache": "yes"}, "page_cache: expected auto, keep, drop or direct, found 'yes'"),
            ({"decoder": "slow"}, "decoder: expected fast or reference"),
            ({"output": "jax"}, "output: expected torch or numpy"),
            ({"slots": 0}, "slots: expected"),
            ({"slots": 5000}, "slots out of range"),
        ):
            with self.subTest(options), self.assertRaisesRegex(imgpack.UsageError, words):
                loader_of(self.shards, **options)
        with self.assertRaises(imgpack.InvalidInputError):
            loader_of(self.shards, split="valid")
        with self.assertRaises(TypeError):
            loader_of(self.shards, num_workers=4)


class Processes(Loader):
    def test_ctrl_c_interrupts_a_wait_and_nothing_is_lost(self):
        code = """
import os, signal, sys, threading, time
import imgpack

def loader(size):
    return imgpack.DataLoader(sys.argv[1], 240, size=size, slots=2, threads=1, partitions=1, output="numpy")

expected = [batch.ids.tolist() for batch in loader(16)]
main = threading.get_ident()

def interrupt():  # As soon as the main thread waits for the first batch, which takes most of a second.
    while sys._current_frames()[main].f_code.co_name != "_next":
        time.sleep(0.001)
    os.kill(os.getpid(), signal.SIGINT)

iteration = iter(loader(640))
threading.Thread(target=interrupt).start()
try:
    next(iteration)
except KeyboardInterrupt:
    print("interrupted")
assert [batch.ids.tolist() for batch in iteration] == expected
"""
        self.assertEqual(support.run_python(code, self.shards), "interrupted\n")

    def test_other_threads_run_while_one_waits(self):
        loader = self.loader(batch_size=120, size=512, slots=2)
        turns, done = 0, threading.Event()

        def count():
            nonlocal turns
            while not done.is_set():
                turns += 1
                time.sleep(0.0005)

        thread = threading.Thread(target=count)
        thread.start()
        self.addCleanup(done.set)
        for _ in range(3):
            for _ in loader:
                pass
        done.set()
        thread.join()
        self.assertGreater(turns, 10)

    def test_a_loader_that_came_by_fork_refuses_and_the_child_ends(self):
        code = """
import os, sys, imgpack
loader = imgpack.DataLoader(sys.argv[1], 32, size=16, output="numpy")
iteration = iter(loader)
images = next(iteration).images
child = os.fork()
if child == 0:
    for attempt in (lambda: next(iteration), lambda: iter(loader),
                    lambda: imgpack.DataLoader(sys.argv[1], 32, size=16, output="numpy")):
        try:
            attempt()
        except imgpack.UsageError as error:
            assert "fork" in str(error) and "spawn" in str(error), error
        else:
            os._exit(1)
    assert images.shape[0] == 32
    records = imgpack.open(sys.argv[1])["train"]  # Single records need no threads.
    assert records[0].decode().shape[2] == 3
    loader.close()
    del images, iteration, loader
    sys.exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert len(list(iteration)) == 6  # The parent goes on.
"""
        support.run_python(code, self.shards)

    def test_a_child_may_have_the_first_loader(self):
        code = """
import os, sys, imgpack
dataset = imgpack.open(sys.argv[1])
dataset["train"][0]
child = os.fork()
if child == 0:
    assert len(list(imgpack.DataLoader(dataset, 32, size=16, output="numpy"))) == 7
    sys.exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert len(list(imgpack.DataLoader(dataset, 32, size=16, output="numpy"))) == 7
"""
        support.run_python(code, self.shards)

    def test_torchs_own_loader_works_over_a_split_beside_ours(self):
        torch_or_skip(self)
        code = """
import sys, imgpack, torch.utils.data
split = imgpack.open(sys.argv[1])["train"]
ours = iter(imgpack.DataLoader(sys.argv[1], 32, size=16))
next(ours)
theirs = torch.utils.data.DataLoader(split, batch_size=60, num_workers=2, multiprocessing_context="fork",
                                     collate_fn=lambda records: [record.label for record in records])
assert sum(theirs, []) == split.labels.tolist()
assert len(list(ours)) == 6
"""
        support.run_python(code, self.shards)

    def test_a_program_may_end_in_the_middle_of_an_epoch(self):
        code = """
import sys, imgpack
loader = imgpack.DataLoader(sys.argv[1], 32, size=64, output="numpy")
keep = [iter(loader)]
images = next(keep[0]).images
keep.append(keep)  # A cycle that nobody breaks.
sys.exit(0)
"""
        for _ in range(3):
            support.run_python(code, self.shards)

    def test_numpy_output_needs_no_torch(self):
        code = """
import sys
sys.modules["torch"] = None  # Cannot be imported.
import imgpack
assert len(list(imgpack.DataLoader(sys.argv[1], 32, size=16, output="numpy"))) == 7
try:
    imgpack.DataLoader(sys.argv[1], 32, size=16)
except imgpack.UsageError as error:
    assert "needs torch" in str(error) and "output='numpy'" in str(error)
"""
        support.run_python(code, self.shards)


def loader_numpy(batch):
    return types.SimpleNamespace(ids=batch.ids.numpy(), labels=batch.labels.numpy(), images=batch.images.numpy())


def has_torch():
    try:
        import torch  # noqa: F401
    except ImportError:
        return False
    return True


def torch_or_skip(test):
    try:
        import torch
    except ImportError:
        test.skipTest("torch is not here")
    return torch


if __name__ == "__main__":
    unittest.main()
