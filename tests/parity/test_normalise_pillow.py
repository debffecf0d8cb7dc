"""What the packer stores for unusual sources, against Pillow's reading of the same files.

CMYK and YCCK JPEGs, PNGs of every colour type, WebP, BMP and EXIF orientations must come out as the picture that
Pillow's convert("RGB") sees, to within what one JPEG encoding costs; shrinking must agree with Pillow's LANCZOS; and
the bytes must be the same without libjpeg-turbo's SIMD code and on every SIMD target of ours.
"""
import io
import os
import subprocess
import sys
import tempfile

import numpy as np
from PIL import Image, ImageOps

BIN_DIR = os.environ["BIN_DIR"]
# One encoding at quality 95, 4:4:4, of a detailed picture costs about 1.2.
MAX_ENCODING_DIFFERENCE = 2.5
SIMD_TARGETS = ["AVX3", "AVX2", "SSE4", "SSSE3", "NEON", "SCALAR", "EMU128"]


def normalise(path, *words, env=None):
    run = subprocess.run([os.path.join(BIN_DIR, "parity_normalise_dump")], check=False, capture_output=True,
                         input=" ".join([*words, f"path={path}"]).encode() + b"\n", env={**os.environ, **(env or {})})
    if run.returncode != 0:
        return None
    head, _, body = run.stdout.partition(b"\n")
    fields = head.decode().split(" ")
    assert fields[0] == "jpeg", f"{path} was quarantined: {head.decode()}"
    assert len(body) == int(fields[4])
    return body


def pixels(jpeg):
    return np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB")).astype(int)


def picture(width, height, channels):
    y, x = np.mgrid[0:height, 0:width]
    planes = [127 + 100 * np.sin(x / (9 + 4 * c) + c) * np.cos(y / (11 + 3 * c)) for c in range(channels)]
    image = np.stack(planes, axis=2)
    image[(x // 23 + y // 17) % 5 == 0] = np.arange(40, 40 + 50 * channels, 50)
    return image.astype(np.uint8)


def sources(folder):
    rgb = Image.fromarray(picture(123, 87, 3))
    cmyk = Image.fromarray(picture(123, 87, 4), "CMYK")
    rgba = Image.fromarray(picture(123, 87, 4), "RGBA")
    made = {
        "cmyk.jpg": (cmyk, dict(quality=100, subsampling="4:4:4")),
        "cmyk_75.jpg": (cmyk, dict(quality=75)),
        "rgb.png": (rgb, {}),
        "rgba.png": (rgba, {}),
        "gray.png": (rgb.convert("L"), {}),
        "gray_alpha.png": (rgba.convert("LA"), {}),
        "palette.png": (rgb.quantize(64), {}),
        "bilevel.png": (rgb.convert("1"), {}),
        "rgb.webp": (rgb, dict(quality=90)),
        "lossless.webp": (rgba, dict(lossless=True)),
        "rgb.bmp": (rgb, {}),
        "palette.bmp": (rgb.quantize(200), {}),
        "gray.bmp": (rgb.convert("L"), {}),
        "bilevel.bmp": (rgb.convert("1"), {}),
        "rgba.bmp": (rgba, {}),
    }
    for name, (image, options) in made.items():
        path = os.path.join(folder, name)
        image.save(path, **options)
        yield name, path


def ycck(folder):
    """Pillow writes no YCCK; a CMYK stream whose Adobe marker says YCCK is one."""
    data = io.BytesIO()
    Image.fromarray(picture(96, 64, 4), "CMYK").save(data, "JPEG", quality=100, subsampling="4:4:4")
    jpeg = bytearray(data.getvalue())
    at = jpeg.index(b"Adobe")
    assert jpeg[at + 11] == 0
    jpeg[at + 11] = 2
    path = os.path.join(folder, "ycck.jpg")
    with open(path, "wb") as file:
        file.write(jpeg)
    return "ycck.jpg", path


def test_conversions(folder):
    for name, path in [*sources(folder), ycck(folder)]:
        expected = np.asarray(Image.open(path).convert("RGB")).astype(int)
        difference = np.abs(pixels(normalise(path)) - expected).mean()
        print(f"{name}: mean absolute difference {difference:.3f}")
        assert difference <= MAX_ENCODING_DIFFERENCE, name


def test_orientations(folder):
    image = Image.fromarray(picture(90, 60, 3))
    for orientation in range(1, 9):
        path = os.path.join(folder, f"oriented{orientation}.jpg")
        exif = Image.Exif()
        exif[0x0112] = orientation
        image.save(path, quality=95, subsampling="4:4:4", exif=exif)
        expected = np.asarray(ImageOps.exif_transpose(Image.open(path))).astype(int)
        got = pixels(normalise(path, "orient"))
        assert got.shape == expected.shape, orientation
        assert np.abs(got - expected).mean() <= MAX_ENCODING_DIFFERENCE, orientation


def test_shrinking(folder):
    path = os.path.join(folder, "large.png")
    image = Image.fromarray(picture(640, 411, 3))
    image.save(path)
    for word, size in (("resize-max=250", (250, 161)), ("resize-short=100", (156, 100))):
        expected = image.resize((size[0], 411), Image.LANCZOS).resize(size, Image.LANCZOS)
        got = pixels(normalise(path, word))
        assert got.shape == (size[1], size[0], 3), got.shape
        reference = io.BytesIO()
        expected.save(reference, "JPEG", quality=90, subsampling="4:2:0")
        difference = np.abs(got - pixels(reference.getvalue())).mean()
        print(f"{word}: mean absolute difference to Pillow's LANCZOS and encoder {difference:.4f}")
        assert difference <= 0.05


def test_same_bytes_on_every_cpu(folder):
    path = os.path.join(folder, "large.png")
    cmyk = os.path.join(folder, "cmyk.jpg")
    for words in (("resize-max=250", path), ("resize-short=99", path), ("resize-max=77", cmyk), (None, cmyk)):
        options = [words[0]] if words[0] else []
        expected = normalise(words[1], *options)
        assert normalise(words[1], *options, env={"JSIMD_FORCENONE": "1"}) == expected, "libjpeg-turbo without SIMD"
        compared = 0
        for target in SIMD_TARGETS:
            got = normalise(words[1], *options, f"simd={target}")
            if got is not None:  # None: this CPU or build does not have it.
                assert got == expected, target
                compared += 1
        assert compared >= 2
        print(f"{' '.join(options) or 'convert'}: same bytes on {compared} SIMD targets and without libjpeg-turbo's SIMD")


def main():
    with tempfile.TemporaryDirectory() as folder:
        test_conversions(folder)
        test_orientations(folder)
        test_shrinking(folder)
        test_same_bytes_on_every_cpu(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
