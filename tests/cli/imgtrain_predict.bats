#!/usr/bin/env bats
# imgtrain predict and export as a person meets them. What exported files compute is in tests/parity.
load support

setup_file() {
  # Tests run side by side: one compute thread each.
  export OMP_NUM_THREADS=1
  make_sample
  imgpack build "$BATS_FILE_TMPDIR/sample" "$BATS_FILE_TMPDIR/shards" -q >/dev/null
  imgtrain --shards "$BATS_FILE_TMPDIR/shards" --recipe smoke --threads 1 --input-threads 1 --batch 8 --bn-group 8 \
    --train-size 32 --eval-size 32 --eval-resize 36 --duration 4ba --precision fp32 -q \
    --out "$BATS_FILE_TMPDIR/run" >/dev/null
  # The sample's classes are made up; these are real ones, not in order.
  printf '%s\n' 'n02123045 tabby, tabby cat' 'n01440764 tench, Tinca tinca' 'n15075141 toilet tissue, toilet paper' \
    'n01443537 goldfish, Carassius auratus' >"$BATS_FILE_TMPDIR/names"
  mkdir "$BATS_FILE_TMPDIR/val"
  imgpack extract "$BATS_FILE_TMPDIR/shards" "$BATS_FILE_TMPDIR/val" --split val >/dev/null
}

setup() {
  shards=$BATS_FILE_TMPDIR/shards run=$BATS_FILE_TMPDIR/run val=$BATS_FILE_TMPDIR/val names=$BATS_FILE_TMPDIR/names
  image=$(find "$val" -name '*.JPEG' | LC_ALL=C sort | head -1)
}

predict() { imgtrain predict "$run" --threads 1 "$@"; }

# Writes one picture as FILE of any format that Pillow knows by its ending.
picture() { "$PYTHON" -c 'import sys; from PIL import Image; Image.radial_gradient("L").convert("RGB").save(sys.argv[1], lossless=True)' "$1"; }

@test "predict: the likeliest classes with names, most probable first" {
  predict "$image" --classes "$names" >"$BATS_TEST_TMPDIR/out"
  [ "$(head -1 "$BATS_TEST_TMPDIR/out")" = "$image" ]
  [ "$(wc -l <"$BATS_TEST_TMPDIR/out")" = 5 ] # the model has four classes
  tail -n +2 "$BATS_TEST_TMPDIR/out" | grep -cE '^ +[0-9]+\.[0-9]{2} %  [a-z].* \(n[0-9]{8}\)$' | grep -qx 4
  # Without it the names are those of the data set.
  predict "$image" | grep -cE '^ +[0-9.]+ %  [a-z]+, synthetic sample \(n9000000[1-4]\)$' | grep -qx 4
  predict "$image" --classes "$names" --json --top 2 >"$BATS_TEST_TMPDIR/json"
  width=$("$PYTHON" -c 'import sys; from PIL import Image; print(Image.open(sys.argv[1]).width)' "$image")
  jq -e --arg image "$image" --argjson width "$width" '.message_type == "prediction" and .image == $image and (.top | length) == 2
    and .top[0].probability >= .top[1].probability and .width == $width and (.top[0].wnid | startswith("n")) and (.top[0].name | length) > 4' "$BATS_TEST_TMPDIR/json"
  predict "$image" --json | jq -e '([.top[].probability] | add) - 1 | fabs < 1e-9'
}

@test "predict: a folder, a list and the split itself give the same answers" {
  predict "$val" --json | jq -c '[(.image | sub(".*/"; "")), .top]' | sort >"$BATS_TEST_TMPDIR/folder"
  [ "$(wc -l <"$BATS_TEST_TMPDIR/folder")" = 12 ]
  find "$val" -name '*.JPEG' | predict - --json | jq -c '[(.image | sub(".*/"; "")), .top]' | sort >"$BATS_TEST_TMPDIR/list"
  diff "$BATS_TEST_TMPDIR/folder" "$BATS_TEST_TMPDIR/list"
  predict --shards "$shards" --split val --json -q >"$BATS_TEST_TMPDIR/split.json"
  jq -e -s 'all(.label >= 0) and length == 12' "$BATS_TEST_TMPDIR/split.json"
  # Another batch size sums in another order: probabilities agree to rounding.
  jq -c '[(.image | sub(".*/"; "")), .top]' "$BATS_TEST_TMPDIR/split.json" | sort >"$BATS_TEST_TMPDIR/split"
  jq -e -n --slurpfile a "$BATS_TEST_TMPDIR/folder" --slurpfile b "$BATS_TEST_TMPDIR/split" \
    '[range(12)] | all(. as $i | $a[$i][0] == $b[$i][0] and $a[$i][1][0].wnid == $b[$i][1][0].wnid
      and ($a[$i][1][0].probability - $b[$i][1][0].probability | fabs) < 1e-5)'
}

@test "predict: as many first guesses are right as eval counts" {
  right=$(predict --shards "$shards" --split val --json -q | jq -s 'map(select(.label == .top[0].index)) | length')
  imgtrain eval --shards "$shards" --checkpoint "$run" --threads 1 --precision fp32 -q --json |
    jq -e --argjson right "$right" '((.accuracy / 100 * .images) - $right) | fabs < 1e-6'
}

@test "predict: - takes the bytes of one image" {
  predict - --json <"$image" >"$BATS_TEST_TMPDIR/stdin"
  jq -e '.image == "-"' "$BATS_TEST_TMPDIR/stdin"
  diff <(jq -c .top "$BATS_TEST_TMPDIR/stdin") <(predict "$image" --json | jq -c .top)
  fails_with 1 "standard input: expected an image or a list of files, found nothing" predict - </dev/null
}

@test "predict: JPEG, PNG, WebP and BMP by content, whatever they are called" {
  for kind in png webp bmp; do
    picture "$BATS_TEST_TMPDIR/p.$kind"
    mv "$BATS_TEST_TMPDIR/p.$kind" "$BATS_TEST_TMPDIR/$kind.jpg"
    predict "$BATS_TEST_TMPDIR/$kind.jpg" --json | jq -c .top >"$BATS_TEST_TMPDIR/$kind.top"
  done
  diff "$BATS_TEST_TMPDIR/png.top" "$BATS_TEST_TMPDIR/webp.top"
  diff "$BATS_TEST_TMPDIR/png.top" "$BATS_TEST_TMPDIR/bmp.top"
}

@test "predict: bad images are reported, the rest goes on, exit status 3" {
  mkdir "$BATS_TEST_TMPDIR/mixed"
  cp "$image" "$BATS_TEST_TMPDIR/mixed/b.jpg"
  head -c 300 "$image" >"$BATS_TEST_TMPDIR/mixed/a.jpg"
  echo "no image" >"$BATS_TEST_TMPDIR/mixed/c.png"
  echo "not looked at" >"$BATS_TEST_TMPDIR/mixed/notes.txt"
  status=0
  predict "$BATS_TEST_TMPDIR/mixed" "$BATS_TEST_TMPDIR/missing.jpg" --json >"$BATS_TEST_TMPDIR/out" 2>"$BATS_TEST_TMPDIR/stderr" || status=$?
  [ "$status" = 3 ]
  jq -e -s 'map(.message_type) == ["error", "prediction", "error", "error"] and (.[0].error | contains("damaged"))
    and (.[2].error | contains("not-an-image"))' "$BATS_TEST_TMPDIR/out"
  grep -q "warning: $BATS_TEST_TMPDIR/mixed/a.jpg: this image cannot be used (damaged)" "$BATS_TEST_TMPDIR/stderr"
  grep -q "3 of 4 images could not be used" "$BATS_TEST_TMPDIR/stderr"
  # A name that no file can have is one of them.
  status=0
  predict "$(printf 'x%.0s' {1..300}).jpg" "$image" --json >"$BATS_TEST_TMPDIR/out" 2>"$BATS_TEST_TMPDIR/stderr" || status=$?
  [ "$status" = 3 ]
  jq -e -s 'map(.message_type) == ["error", "prediction"] and (.[0].error | contains("File name too long"))' "$BATS_TEST_TMPDIR/out"
}

@test "predict: --csv writes a submission, in the order of ids or of a sample" {
  says "6 images of split test" predict --shards "$shards" --split test --classes "$names" --csv "$BATS_TEST_TMPDIR/s.csv" -q
  [ "$(head -1 "$BATS_TEST_TMPDIR/s.csv")" = "ImageId,PredictionString" ]
  # Four classes: four groups of number and the whole image.
  tail -n +2 "$BATS_TEST_TMPDIR/s.csv" | grep -cE '^ILSVRC2012_test_[0-9]{8},([0-9]{1,4} 0 0 [0-9]+ [0-9]+ ){3}[0-9]{1,4} 0 0 [0-9]+ [0-9]+$' | grep -qx 6
  tail -n +2 "$BATS_TEST_TMPDIR/s.csv" | LC_ALL=C sort -c
  tac "$BATS_TEST_TMPDIR/s.csv" | grep -v ImageId >"$BATS_TEST_TMPDIR/reversed"
  { echo ImageId,PredictionString; cut -d, -f1 "$BATS_TEST_TMPDIR/reversed" | sed 's/$/,/'; } >"$BATS_TEST_TMPDIR/sample.csv"
  predict --shards "$shards" --split test --classes "$names" --csv "$BATS_TEST_TMPDIR/r.csv" --sample "$BATS_TEST_TMPDIR/sample.csv" -q >/dev/null
  diff <(tail -n +2 "$BATS_TEST_TMPDIR/r.csv") "$BATS_TEST_TMPDIR/reversed"
  sed -i '$d' "$BATS_TEST_TMPDIR/sample.csv"
  fails_with 1 "the sample submission has no row for image" \
    predict --shards "$shards" --split test --classes "$names" --csv "$BATS_TEST_TMPDIR/x.csv" --sample "$BATS_TEST_TMPDIR/sample.csv" -q
  [ ! -e "$BATS_TEST_TMPDIR/x.csv" ]
}

@test "predict: numbers of a submission are those of the guessed classes" {
  predict --shards "$shards" --split test --classes "$names" --csv "$BATS_TEST_TMPDIR/n.csv" -q >/dev/null
  predict --shards "$shards" --split test --classes "$names" --csv "$BATS_TEST_TMPDIR/w.csv" --csv-classes wnid -q >/dev/null
  predict --shards "$shards" --split test --classes "$names" --json -q |
    jq -r '[(.image | rtrimstr(".JPEG")), .top[0].wnid] | join(",")' | sort >"$BATS_TEST_TMPDIR/json"
  diff "$BATS_TEST_TMPDIR/json" <(tail -n +2 "$BATS_TEST_TMPDIR/w.csv" | cut -d' ' -f1)
  # Numbers count the lines of LOC_synset_mapping.txt from 1.
  sed -e 's/n02123045/282/g; s/n01440764/1/g; s/n15075141/1000/g; s/n01443537/2/g' "$BATS_TEST_TMPDIR/w.csv" |
    diff - "$BATS_TEST_TMPDIR/n.csv"
  fails_with 1 "a submission numbers the 1,000 classes of ILSVRC2012, and 'n9" \
    predict --shards "$shards" --split test --csv "$BATS_TEST_TMPDIR/x.csv" -q
  [ ! -e "$BATS_TEST_TMPDIR/x.csv" ]
  fails_with 1 "$BATS_TEST_TMPDIR/missing: there is no such folder to write x.csv to" \
    predict --shards "$BATS_TEST_TMPDIR/nothing" --csv "$BATS_TEST_TMPDIR/missing/x.csv" -q
  # Said before the work: no image was looked at, not even the damaged one.
  cp -r "$shards" "$BATS_TEST_TMPDIR/damaged"
  "$PYTHON" - "$BATS_TEST_TMPDIR"/damaged/test-*.ipk <<'PY'
import sys
with open(sys.argv[1], "r+b") as shard:
    shard.seek(600)
    shard.write(b"\xff" * 64)
PY
  fails_with 4 "" predict --shards "$BATS_TEST_TMPDIR/damaged" --split test --csv "$BATS_TEST_TMPDIR/x.csv" --classes "$names" -q
  fails_with 1 "a submission numbers the 1,000 classes of ILSVRC2012" \
    predict --shards "$BATS_TEST_TMPDIR/damaged" --split test --csv "$BATS_TEST_TMPDIR/x.csv" -q
}

@test "predict: names may come from a file; one that does not fit is refused" {
  printf 'n%d my class %d\n' 1 1 2 2 3 3 4 4 >"$BATS_TEST_TMPDIR/names"
  predict "$image" --classes "$BATS_TEST_TMPDIR/names" | sed -n 2p | grep -qE 'my class [1-4] \(n[1-4]\)$'
  sed -i '$d' "$BATS_TEST_TMPDIR/names"
  fails_with 1 "expected a line for each of the model's 4 classes, found 3" predict "$image" --classes "$BATS_TEST_TMPDIR/names"
}

@test "predict: what does not go together is a usage error" {
  fails_with 2 "expected images, a folder of images or - for standard input, or --shards" predict
  fails_with 2 "--csv is about a split of a data set: give --shards too" predict "$image" --csv x.csv
  fails_with 2 "images were named beside it" predict "$image" --shards "$shards"
  fails_with 2 "--sample is the order of a --csv" predict --shards "$shards" --sample x.csv
  fails_with 2 "--csv-classes is about the classes in a --csv" predict --shards "$shards" --csv-classes wnid
  fails_with 2 "--csv-classes is about a split of a data set" predict "$image" --csv-classes wnid
  fails_with 2 "stands alone" predict "$image" -
  fails_with 2 "eval_resize" predict "$image" --eval-size 64
  fails_with 2 "keeps no average" predict "$image" --ema yes
  fails_with 2 "a choice that a run folder offers" imgtrain predict "$run/weights.safetensors" "$image" --ema no
  fails_with 1 "nothing.safetensors" imgtrain predict nothing.safetensors "$image"
  fails_with 1 "expected images in the folder" predict "$BATS_TEST_TMPDIR"
  fails_with 1 "other classes than the data set" imgtrain predict "$run" --shards "$shards" --split val --classes "$names"
}

@test "predict: the best checkpoint and the averaged and trained weights are told apart" {
  imgtrain --shards "$shards" --recipe smoke --threads 1 --input-threads 1 --batch 8 --bn-group 8 --train-size 32 \
    --eval-size 32 --eval-resize 36 --duration 4ba --precision fp32 -q --ema composer --ema-half-life 4 \
    --out "$BATS_TEST_TMPDIR/averaged" >/dev/null
  top() { imgtrain predict "$BATS_TEST_TMPDIR/averaged" "$image" --json --threads 1 "$@" | jq -c '[.top[] | [.index, .probability]]'; }
  [ "$(top)" = "$(top --ema yes)" ]
  [ "$(top)" != "$(top --ema no)" ]
  [ "$(top)" = "$(top --best)" ] # one evaluation, at the end
}

@test "export: every format and a card that knows the run, whole or not at all" {
  imgtrain export "$run" --out "$BATS_TEST_TMPDIR/out" >"$BATS_TEST_TMPDIR/said"
  [ "$(ls "$BATS_TEST_TMPDIR/out")" = "$(printf '%s\n' model-card.json model-card.md resnet18.onnx resnet18.pth resnet18.safetensors resnet18.torchscript.pt)" ]
  [ "$(wc -l <"$BATS_TEST_TMPDIR/said")" = 6 ]
  jq -e --slurpfile result "$run/result.json" --slurpfile manifest "$shards/manifest.json" \
    '.accuracy.top1 == $result[0].accuracy and .accuracy.split == "val" and .training.recipe == "smoke"
      and .training.dataset_id == $manifest[0].dataset_id and .preprocessing.size == 32
      and ([.classes[].wnid] == [$manifest[0].classes[].wnid])' "$BATS_TEST_TMPDIR/out/model-card.json"
  grep -qE '^Top-1 [0-9.]+ %, top-5 [0-9.]+ % on the split .val.' "$BATS_TEST_TMPDIR/out/model-card.md"
  # The weights are a model like the run: the same answers, the same names.
  diff <(predict "$image" --json | jq -c .top) \
    <(imgtrain predict "$BATS_TEST_TMPDIR/out/resnet18.safetensors" "$image" --threads 1 --json | jq -c .top)
}

@test "export: options that no format can follow are usage errors, and nothing is written" {
  fails_with 2 "fold-bn: torchvision's names have no place for a folded network" \
    imgtrain export "$run" --out "$BATS_TEST_TMPDIR/out" --format pth --fold-bn
  fails_with 2 "with-preprocessing: a weights file holds no program" \
    imgtrain export "$run" --out "$BATS_TEST_TMPDIR/out" --format safetensors --with-preprocessing
  fails_with 2 "freeze: only TorchScript has this" imgtrain export "$run" --out "$BATS_TEST_TMPDIR/out" --format onnx --freeze
  fails_with 2 "--format: expected one of" imgtrain export "$run" --out "$BATS_TEST_TMPDIR/out" --format keras
  fails_with 2 "--out" imgtrain export "$run"
  [ ! -e "$BATS_TEST_TMPDIR/out" ]
}
