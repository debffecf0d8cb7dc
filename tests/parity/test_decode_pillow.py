"""The decoders' pixels against Pillow's, for the same crops.

Pixels of a crop must equal Pillow's full decode exactly. Resized ones must equal Pillow's resize done one axis after
the other (width first), and stay within a mean absolute difference of 1.0 of its one-call resize, which picks the order
of the axes itself. Runs on JPEGs made here with Pillow, and on the photographs of ../shared/data where they are present.
"""
import io
import os
import random
import subprocess
import sys
import tarfile
import tempfile

import numpy as np
from PIL import Image

BIN_DIR = os.environ["BIN_DIR"]
PHOTOGRAPHS = os.path.join(os.environ["PROJECT_DIR"], "..", "shared", "data", "imagenet-samples.tar")
MAX_MEAN_DIFFERENCE = 1.0
FILTERS = {"bilinear": Image.BILINEAR, "bicubic": Image.BICUBIC}


class Dump:
    """The program that decodes windows on request."""

    def __init__(self):
        self.process = subprocess.Popen(
            [os.path.join(BIN_DIR, "parity_decode_dump")], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def decode(self, path, window, size, filter_name="bilinear", flip=False, decoder="reference"):
        """window: (use_x, use_y, use_w, use_h, x0, y0, x1, y1); size: (width, height)."""
        words = [decoder, filter_name, *size, *window, int(flip), path]
        self.process.stdin.write((" ".join(str(w) for w in words) + "\n").encode())
        self.process.stdin.flush()
        if self.process.stdout.read(1) != b"\0":
            length = int.from_bytes(self.process.stdout.read(4), "little")
            raise RuntimeError(f"{path}: {self.process.stdout.read(length).decode()}")
        pixels = self.process.stdout.read(3 * size[0] * size[1])
        return np.frombuffer(pixels, np.uint8).reshape(size[1], size[0], 3)


def crop_window(x, y, w, h):
    return (x, y, w, h, x, y, x + w, y + h)


def mean_difference(a, b):
    return float(np.abs(a.astype(int) - b.astype(int)).mean())


def resize_by_axes(image, size, filter_name):
    across = image.resize((size[0], image.height), FILTERS[filter_name])
    return across.resize(size, FILTERS[filter_name])


def check_crop(dump, path, image, box, size, filter_name, flip):
    """Mean difference to Pillow's one-call resize; fails unless equal to its resize by axes."""
    x, y, w, h = box
    crop = image.crop((x, y, x + w, y + h))
    got = dump.decode(path, crop_window(x, y, w, h), size, filter_name, flip)
    orient = (lambda i: i.transpose(Image.FLIP_LEFT_RIGHT)) if flip else (lambda i: i)
    expected = np.asarray(orient(resize_by_axes(crop, size, filter_name)))
    assert np.array_equal(got, expected), f"{path}: crop {box} to {size} {filter_name} differs from Pillow by axes"
    return mean_difference(got, np.asarray(orient(crop.resize(size, FILTERS[filter_name]))))


def check_pixels(dump, path, image, box):
    x, y, w, h = box
    got = dump.decode(path, crop_window(x, y, w, h), (w, h))
    expected = np.asarray(image)[y:y + h, x:x + w]
    assert np.array_equal(got, expected), f"{path}: the pixels of {box} differ from Pillow's full decode"


def check_evaluation(dump, path, image, short, size, filter_name="bilinear"):
    """Resize so that the short side is `short`, then the centre: torchvision's evaluation transform."""
    width, height = image.size
    if width <= height:
        resized = (short, int(short * height / width))
    else:
        resized = (int(short * width / height), short)
    left, top = round((resized[0] - size) / 2), round((resized[1] - size) / 2)
    sx, sy = width / resized[0], height / resized[1]
    window = (0, 0, width, height, left * sx, top * sy, (left + size) * sx, (top + size) * sy)
    got = dump.decode(path, window, (size, size), filter_name)
    centre = (left, top, left + size, top + size)
    by_axes = np.asarray(resize_by_axes(image, resized, filter_name).crop(centre))
    # The window's offset is a rounded product, so a weight may differ in its last bit and a pixel by one.
    assert np.abs(got.astype(int) - by_axes.astype(int)).max() <= 1, f"{path}: evaluation window differs from Pillow"
    return mean_difference(got, np.asarray(image.resize(resized, FILTERS[filter_name]).crop(centre)))


def random_resized_crop(rng, width, height):
    for _ in range(10):
        area = width * height * rng.uniform(0.08, 1.0)
        ratio = np.exp(rng.uniform(np.log(3 / 4), np.log(4 / 3)))
        w, h = round((area * ratio) ** 0.5), round((area / ratio) ** 0.5)
        if 0 < w <= width and 0 < h <= height:
            return rng.randint(0, width - w), rng.randint(0, height - h), w, h
    return 0, 0, width, height


def picture(rng, width, height):
    """Smooth colours with edges and noise, so that every part of the decoder has something to do."""
    y, x = np.mgrid[0:height, 0:width]
    channels = [127 + 120 * np.sin(x / rng.uniform(3, 40) + rng.random()) * np.cos(y / rng.uniform(3, 40))
                for _ in range(3)]
    pixels = np.stack(channels, axis=2)
    pixels[(x // 17 + y // 11) % 5 == 0] = [rng.randint(0, 255) for _ in range(3)]
    noise = np.random.default_rng(rng.randint(0, 1 << 30)).normal(0, 12, pixels.shape)
    return Image.fromarray(np.clip(pixels + noise, 0, 255).astype(np.uint8))


def made_jpegs(rng):
    sizes = [(1, 1), (1, 9), (9, 1), (2, 2), (7, 5), (8, 8), (16, 16), (17, 33), (31, 15), (64, 48), (255, 129), (321, 243)]
    kinds = {
        "444": dict(subsampling="4:4:4", quality=95),
        "422": dict(subsampling="4:2:2", quality=85),
        "420": dict(subsampling="4:2:0", quality=75),
        "gray": dict(quality=90),
        "progressive420": dict(subsampling="4:2:0", quality=80, progressive=True),
        "progressive444": dict(subsampling="4:4:4", quality=92, progressive=True),
        "restart_blocks": dict(subsampling="4:2:0", quality=85, restart_marker_blocks=3),
        "restart_rows": dict(subsampling="4:4:4", quality=85, restart_marker_rows=1),
        "optimised": dict(subsampling="4:2:2", quality=60, optimize=True),
        "low": dict(subsampling="4:2:0", quality=5),
    }
    for name, options in kinds.items():
        for width, height in sizes:
            image = picture(rng, width, height)
            if name == "gray":
                image = image.convert("L")
            data = io.BytesIO()
            image.save(data, "JPEG", **options)
            yield f"{name}_{width}x{height}", data.getvalue()
    # Pillow cannot write 4:4:0: 4:2:2 of the turned picture, with the factors of its frame header turned as well.
    for width, height in sizes:
        data = io.BytesIO()
        picture(rng, width, height).save(data, "JPEG", subsampling="4:2:2", quality=85)
        yield f"440_{width}x{height}", swap_sampling(data.getvalue(), width, height)


def swap_sampling(jpeg, width, height):
    """The same blocks as 4:4:0: luma factors 1x2, and a size with as many MCUs as before."""
    mcus_across, mcus_down = -(-width // 16), -(-height // 8)
    at = jpeg.index(b"\xff\xc0")
    frame = bytearray(jpeg)
    frame[at + 5:at + 9] = (mcus_down * 16 - 3).to_bytes(2, "big") + (mcus_across * 8 - 3).to_bytes(2, "big")
    assert frame[at + 11] == 0x21
    frame[at + 11] = 0x12
    return bytes(frame)


def boxes(rng, width, height, count):
    yield 0, 0, width, height
    for _ in range(count):
        w, h = rng.randint(1, width), rng.randint(1, height)
        yield rng.randint(0, width - w), rng.randint(0, height - h), w, h


def test_made_jpegs(dump, folder):
    rng = random.Random(7)
    path = os.path.join(folder, "made.jpg")
    worst, images = 0.0, 0
    for name, data in made_jpegs(rng):
        with open(path, "wb") as file:
            file.write(data)
        image = Image.open(io.BytesIO(data)).convert("RGB")
        for box in boxes(rng, *image.size, 4):
            check_pixels(dump, path, image, box)
            size = rng.choice([(32, 32), (48, 16), (5, 70)])
            filter_name = rng.choice(list(FILTERS))
            difference = check_crop(dump, path, image, box, size, filter_name, rng.random() < 0.5)
            assert difference <= MAX_MEAN_DIFFERENCE, f"{name} {box}: mean absolute difference {difference:.3f}"
            worst = max(worst, difference)
        for filter_name in FILTERS:
            difference = check_evaluation(dump, path, image, 40, 35, filter_name)
            assert difference <= MAX_MEAN_DIFFERENCE, f"{name} {filter_name}: evaluation differs by {difference:.3f}"
            worst = max(worst, difference)
        images += 1
    print(f"made JPEGs: {images} images, largest mean absolute difference {worst:.3f}")


def test_photographs(dump, folder):
    if not os.path.exists(PHOTOGRAPHS):
        print(f"photographs: skipped, {PHOTOGRAPHS} is not here")
        return
    rng = random.Random(11)
    path = os.path.join(folder, "photograph.jpg")
    crops, evaluations = [], []
    with tarfile.open(PHOTOGRAPHS) as archive:
        for member in archive:
            if not member.isfile():
                continue
            data = archive.extractfile(member).read()
            with open(path, "wb") as file:
                file.write(data)
            image = Image.open(io.BytesIO(data)).convert("RGB")
            box = random_resized_crop(rng, *image.size)
            check_pixels(dump, path, image, box)
            crops.append(check_crop(dump, path, image, box, (224, 224), "bilinear", rng.random() < 0.5))
            crops.append(check_crop(dump, path, image, box, (224, 224), "bicubic", rng.random() < 0.5))
            evaluations.extend(check_evaluation(dump, path, image, 256, 224, name) for name in FILTERS)
    for name, values in (("crops", crops), ("evaluation", evaluations)):
        print(f"photographs, {name}: {len(values)}, mean absolute difference "
              f"{sum(values) / len(values):.4f}, largest {max(values):.4f}")
        assert max(values) <= MAX_MEAN_DIFFERENCE


def main():
    dump = Dump()
    with tempfile.TemporaryDirectory() as folder:
        test_made_jpegs(dump, folder)
        test_photographs(dump, folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
