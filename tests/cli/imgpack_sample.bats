#!/usr/bin/env bats
# imgpack sample: the same pictures for the same options, in the exact layout of the Kaggle download.
load support

small=(--classes 3 --train 12 --val 6 --test 3 --size 32)

@test "the same options give the same bytes, other seeds others" {
  imgpack sample "$BATS_TEST_TMPDIR/a" "${small[@]}" -j 1 >/dev/null
  imgpack sample "$BATS_TEST_TMPDIR/b" "${small[@]}" -j 4 >/dev/null
  imgpack sample "$BATS_TEST_TMPDIR/c" "${small[@]}" --seed 1 >/dev/null
  [ "$(digest_of "$BATS_TEST_TMPDIR/a")" = "$(digest_of "$BATS_TEST_TMPDIR/b")" ]
  [ "$(digest_of "$BATS_TEST_TMPDIR/a")" != "$(digest_of "$BATS_TEST_TMPDIR/c")" ]
}

@test "the layout is Kaggle's" {
  cd "$BATS_TEST_TMPDIR"
  imgpack sample s "${small[@]}" >/dev/null
  [ "$(find s/ILSVRC/Data/CLS-LOC/train -name '*.JPEG' | wc -l)" = 12 ]
  [ -f s/ILSVRC/Data/CLS-LOC/val/ILSVRC2012_val_00000006.JPEG ]
  [ -f s/ILSVRC/Annotations/CLS-LOC/val/ILSVRC2012_val_00000006.xml ]
  [ "$(head -1 s/LOC_val_solution.csv)" = ImageId,PredictionString ]
  [ "$(wc -l <s/ILSVRC/ImageSets/CLS-LOC/train_cls.txt)" = 12 ]
  [ "$(head -1 s/LOC_synset_mapping.txt)" = "n90000001 stripes, synthetic sample" ]
  # Not in the order of the numbers, as the real one.
  [ "$(tail -n +2 s/LOC_val_solution.csv)" != "$(tail -n +2 s/LOC_val_solution.csv | sort)" ]
}

@test "a sample is left alone by the same command and never mixed with another" {
  cd "$BATS_TEST_TMPDIR"
  imgpack sample s "${small[@]}" >/dev/null
  before=$(digest_of s)
  says "made before, left alone" imgpack sample s "${small[@]}"
  [ "$before" = "$(digest_of s)" ]
  fails_with 1 "another sample is here" imgpack sample s "${small[@]}" --seed 2
  mkdir t && echo x >t/x
  fails_with 1 "output folder is something else" imgpack sample t "${small[@]}"
  [ "$(ls t)" = x ]
  [ -z "$(find . -name '*.partial*')" ]
}

@test "options out of range are named" {
  fails_with 2 "classes: expected 2 to 12, found 13" imgpack sample "$BATS_TEST_TMPDIR/s" --classes 13
  fails_with 2 "train images: expected 12 to" imgpack sample "$BATS_TEST_TMPDIR/s" --train 3
}

@test "odd images of each kind are there, and Pillow agrees on what they are" {
  "$PYTHON" -c 'import PIL' 2>/dev/null || skip "no Python with Pillow in .venv"
  cd "$BATS_TEST_TMPDIR"
  imgpack sample s "${small[@]}" >/dev/null
  "$PYTHON" - <<'END'
import json
from PIL import Image
odd = json.load(open("s/sample.json"))["odd_images"]
seen = {}
for path, what in odd.items():
    image = Image.open("s/" + path)
    image.load()
    seen[what] = (image.mode, image.format, image.size, image.info.get("progressive", 0), image.getexif().get(274, 0))
assert seen["grayscale"][0] == "L", seen
assert seen["CMYK with inverted inks"][0] == "CMYK", seen
assert seen["a PNG named .JPEG"][1] == "PNG", seen
assert seen["EXIF orientation 6"][4] == 6, seen
assert seen["progressive"][3] == 1, seen
assert seen["very wide"][2] == (900, 30), seen
assert seen["one pixel high"][2] == (64, 1), seen
END
}
