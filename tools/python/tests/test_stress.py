"""Loaders that are dropped, kept, raced and broken off, hundreds of times: nothing crashes, hangs, leaks or changes.

IMGPACK_STRESS multiplies the number of rounds.
"""

import gc
import os
import random
import resource
import threading
import unittest

import numpy as np

import imgpack
import support

ROUNDS = 150 * int(os.environ.get("IMGPACK_STRESS", "1"))


def peak_kib():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


class Stress(support.WithShards):
    def setUp(self):
        self.random = random.Random(5)
        self.dataset = imgpack.open(self.shards)
        self.expected = {}
        for epoch in range(3):
            loader = self.loader()
            loader.set_epoch(epoch)
            self.expected[epoch] = [batch.images.copy() for batch in loader]

    def loader(self, **options):
        return imgpack.DataLoader(self.dataset, 32, size=24, partitions=4, block_kib=64, output="numpy",
                                  **{"threads": 2, **options})

    def assert_pixels(self, epoch, index, images):
        np.testing.assert_array_equal(images, self.expected[epoch][index])

    def test_loaders_dropped_at_any_moment_while_their_arrays_live_on(self):
        kept = []
        for turn in range(ROUNDS):
            loader = self.loader(threads=self.random.choice((1, 2, 3)), slots=self.random.choice((1, 2, 3, 5)))
            epoch = turn % 3
            loader.set_epoch(epoch)
            for batch in loader:
                if self.random.random() < 0.3:
                    kept.append((epoch, batch.number, batch.images if self.random.random() < 0.5 else batch.images[:9]))
                if self.random.random() < 0.3:
                    break
            if self.random.random() < 0.5:
                loader.close()
            del loader, batch
            if len(kept) > 40:
                self.random.shuffle(kept)
                for epoch, index, images in kept[20:]:
                    np.testing.assert_array_equal(images, self.expected[epoch][index][:len(images)])
                del kept[20:], images
        for epoch, index, images in kept:
            np.testing.assert_array_equal(images, self.expected[epoch][index][:len(images)])

    def test_a_consumer_that_raises_leaves_nothing_behind(self):
        class Boom(Exception):
            pass

        loader = self.loader(slots=3)
        for turn in range(ROUNDS):
            epoch, at = turn % 3, turn % 7
            loader.set_epoch(epoch)
            try:
                for batch in loader:
                    self.assert_pixels(epoch, batch.number, batch.images)
                    if batch.number == at:
                        raise Boom
            except Boom:
                pass
            del batch
        gc.collect()
        self.assertEqual(loader.stats()["counts"]["slots_held"], 0)

    def test_two_loaders_at_once_on_one_thread_and_on_two(self):
        a, b = self.loader(), self.loader(threads=1, slots=2)
        for turn in range(ROUNDS // 5):
            a.set_epoch(turn % 3)
            b.set_epoch((turn + 1) % 3)
            for left, right in zip(a, b):
                self.assert_pixels(left.epoch, left.number, left.images)
                self.assert_pixels(right.epoch, right.number, right.images)
        failures = []

        def consume(loader, first):
            try:
                for turn in range(ROUNDS // 5):
                    loader.set_epoch((first + turn) % 3)
                    for batch in loader:
                        self.assert_pixels(batch.epoch, batch.number, batch.images)
            except BaseException as error:  # noqa: BLE001: the main thread reports it.
                failures.append(error)

        threads = [threading.Thread(target=consume, args=pair) for pair in ((a, 0), (b, 1))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])

    def test_threads_that_fight_over_one_loader_lose_no_batch(self):
        for turn in range(ROUNDS // 5):
            loader = self.loader(slots=4)
            loader.set_epoch(turn % 3)
            iteration, seen, lock = iter(loader), [], threading.Lock()

            def take():
                for batch in iteration:
                    with lock:
                        seen.append((batch.epoch, batch.number, batch.images))

            threads = [threading.Thread(target=take) for _ in range(3)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            self.assertEqual(sorted(index for _, index, _ in seen), list(range(7)))
            for epoch, index, images in seen:
                self.assert_pixels(epoch, index, images)

    def test_memory_does_not_grow(self):
        def rounds(count):
            for turn in range(count):
                loader = self.loader(slots=4)
                for batch in loader:
                    images = batch.images
                    if turn % 2:
                        break
                del loader, batch
            del images

        rounds(ROUNDS // 3)
        before = peak_kib()
        rounds(ROUNDS)
        # One loader's slots and blocks are 4 x 55 KiB and some MiB: a leak of either would show many times over.
        self.assertLess(peak_kib() - before, 16 << 10)


if __name__ == "__main__":
    unittest.main()
