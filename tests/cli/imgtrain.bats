#!/usr/bin/env bats
# imgtrain as a person meets it: help, errors, configuration, run folders. Training itself is in tests/e2e.
# Help texts are golden: UPDATE_GOLDEN=1 bats tests/cli/imgtrain.bats writes them anew.
load support

setup_file() {
  # Tests run side by side: one compute thread each.
  export OMP_NUM_THREADS=1
  make_sample
  imgpack build "$BATS_FILE_TMPDIR/sample" "$BATS_FILE_TMPDIR/shards" -q >/dev/null
}

setup() { shards=$BATS_FILE_TMPDIR/shards out=$BATS_TEST_TMPDIR/run; }

# A run of a few steps of a small network. Options given after these win.
tiny() {
  imgtrain --shards "$shards" --recipe smoke --threads 1 --input-threads 1 --batch 8 --bn-group 8 --train-size 32 \
    --eval-size 32 --eval-resize 36 --duration 2ba --precision fp32 -q "$@"
}

verbs() { imgtrain --help | sed -n '/^VERBS/,/^OPTIONS/p' | awk '/^  [a-z]/ { print $1 }'; }

same_as_golden() {
  local file=$BATS_TEST_DIRNAME/golden/$1.txt
  shift
  if [ -n "${UPDATE_GOLDEN-}" ]; then "$@" >"$file"; fi
  diff -u "$file" <("$@")
}

@test "help of the program and of every verb is the golden one, fits 80 columns and ends with EXIT STATUS" {
  same_as_golden imgtrain-help imgtrain --help
  for verb in $(verbs); do
    same_as_golden "imgtrain-$verb-help" imgtrain "$verb" --help
    imgtrain "$verb" --help | awk -v verb="$verb" 'length > 80 { print verb ": " $0; bad = 1 } END { exit bad }'
    imgtrain "$verb" --help | tail -16 | grep -q '^EXIT STATUS'
  done
}

@test "every field of the configuration is a flag of the help" {
  imgtrain train --help >"$BATS_TEST_TMPDIR/help"
  imgtrain config | jq -r 'keys[]' | tr _ - | while read -r field; do
    grep -q -- "--$field " "$BATS_TEST_TMPDIR/help" || { echo "--$field is not in the help"; return 1; }
  done
}

@test "mistyped recipes, options, keys and values name the nearest one" {
  fails_with 2 "unknown recipe 'referense'. Did you mean 'reference'?" imgtrain --shards "$shards" --recipe referense
  fails_with 2 "unknown option '--momentun'. Did you mean '--momentum'?" imgtrain --shards "$shards" --momentun 0.9
  fails_with 2 "--schedule: expected one of" imgtrain --shards "$shards" --schedule cosin
  echo '{"wieght_decay": 0.1}' >"$BATS_TEST_TMPDIR/my.json"
  fails_with 2 "unknown option 'wieght_decay' in $BATS_TEST_TMPDIR/my.json. Did you mean 'weight_decay'?" \
    imgtrain --shards "$shards" --config "$BATS_TEST_TMPDIR/my.json"
}

@test "values that cannot be are usage errors that say what was expected" {
  fails_with 2 "duration (the command line): expected a number with its unit, as in 16ep or 500ba, found '16'" \
    imgtrain --shards "$shards" --duration 16
  fails_with 2 "batch (the command line): expected a whole number from 1" imgtrain --shards "$shards" --batch 0
  fails_with 2 "bn_group: expected at most the batch of 8" imgtrain --shards "$shards" --batch 8 --bn-group 9
  fails_with 2 "shards: expected the folder of a data set" imgtrain --recipe smoke
}

@test "layers: recipe under --config under flags, the result is printed and can be given back" {
  echo '{"lr": 0.25, "momentum": 0.8}' >"$BATS_TEST_TMPDIR/my.json"
  imgtrain config --recipe smoke --config "$BATS_TEST_TMPDIR/my.json" --momentum 0.7 >"$BATS_TEST_TMPDIR/all.json"
  jq -e '.lr == 0.25 and .momentum == 0.7 and .model == "resnet18"' "$BATS_TEST_TMPDIR/all.json"
  diff "$BATS_TEST_TMPDIR/all.json" <(imgtrain config --config "$BATS_TEST_TMPDIR/all.json")
  imgtrain config --recipe smoke --config "$BATS_TEST_TMPDIR/my.json" --list | grep -E '^  lr +0.25 +# .*my.json$'
}

@test "what a schedule does is printed before anything is trained" {
  [ "$(imgtrain schedule --recipe reference --images 1281167 | wc -l)" = 42901 ]
  imgtrain schedule --recipe reference --stride 715 | sed -n 2p | grep -q '^0,0,0.00741'
}

@test "recipes: every one is listed with source and standing" {
  imgtrain recipes --json | jq -e 'length >= 5 and all(.source != "" and .reproduced != "")'
  says '"lr": 0.18525' imgtrain recipes reference
  fails_with 2 "Did you mean 'reference'?" imgtrain recipes referenc
}

@test "no data set, no split, no labels: errors that list what there is" {
  fails_with 1 "$BATS_TEST_TMPDIR/nothing" imgtrain --shards "$BATS_TEST_TMPDIR/nothing" --recipe smoke --out "$out"
  [ ! -e "$out" ]
  fails_with 1 "trian" tiny --out "$out" --train-split trian
  grep -q "train" "$BATS_TEST_TMPDIR/stderr"
  fails_with 1 "split 'test' has no labels" tiny --out "$out.2" --val-split test
}

@test "a folder that is something else is left alone" {
  mkdir "$out"
  echo precious >"$out/thesis.txt"
  fails_with 1 "expected a run folder or an empty one, found other files ('thesis.txt')" tiny --out "$out"
  [ "$(ls -A "$out")" = thesis.txt ]
}

@test "a finished run is left alone, another configuration is an error that lists it, --fresh goes beside it" {
  tiny --out "$out" >"$BATS_TEST_TMPDIR/first"
  grep -q "top-1" "$BATS_TEST_TMPDIR/first"
  before=$(digest_of "$out")
  tiny --out "$out" >"$BATS_TEST_TMPDIR/second"
  diff "$BATS_TEST_TMPDIR/first" "$BATS_TEST_TMPDIR/second"
  [ "$(digest_of "$out")" = "$before" ]
  fails_with 2 "lr: 0.05 before, 0.5 now" tiny --out "$out" --lr 0.5
  tiny --out "$out" --lr 0.5 --fresh >/dev/null
  [ -e "$out-2/result.json" ]
  [ "$(digest_of "$out")" = "$before" ]
}

@test "eval gives the numbers of the run's own evaluation, from the folder and from the weights file" {
  tiny --out "$out" --json >"$BATS_TEST_TMPDIR/trained.json"
  for checkpoint in "$out" "$out/weights.safetensors"; do
    imgtrain eval --shards "$shards" --checkpoint "$checkpoint" --threads 1 --precision fp32 -q --json >"$BATS_TEST_TMPDIR/eval.json"
    jq -e --slurpfile run "$BATS_TEST_TMPDIR/trained.json" \
      '.images == 12 and .accuracy == $run[0].accuracy and ((.loss - $run[0].loss) | fabs) < 1e-5' "$BATS_TEST_TMPDIR/eval.json"
  done
}

@test "eval of what does not fit together is refused" {
  tiny --out "$out" >/dev/null
  imgpack sample "$BATS_TEST_TMPDIR/other" --classes 3 --train 9 --val 6 --test 0 --size 40 >/dev/null
  imgpack build "$BATS_TEST_TMPDIR/other" "$BATS_TEST_TMPDIR/other.shards" -q >/dev/null
  fails_with 1 "4" imgtrain eval --shards "$BATS_TEST_TMPDIR/other.shards" --checkpoint "$out" -q
  grep -qi "class" "$BATS_TEST_TMPDIR/stderr"
  fails_with 1 "expected a run folder" imgtrain eval --shards "$shards" --checkpoint "$BATS_TEST_TMPDIR" -q
  fails_with 1 "cannot open" imgtrain eval --shards "$shards" --checkpoint "$BATS_TEST_TMPDIR/no.safetensors" -q
  fails_with 1 "nowhere" imgtrain eval --shards "$shards" --checkpoint "$out" --split nowhere -q
  printf 'damaged' | dd of="$out/weights.safetensors" bs=1 seek=500000 conv=notrunc status=none
  fails_with 4 "weights.safetensors" imgtrain eval --shards "$shards" --checkpoint "$out" -q
}

@test "files of a run are what their schemas say, and every recipe is a configuration" {
  tiny --out "$out" --duration 9ba --checkpoint-every 2ba >/dev/null
  "$PYTHON" - "$PROJECT_DIR/schemas" "$out" <(imgtrain recipes --json) <<'PYTHON'
import glob, json, sys
from jsonschema import Draft202012Validator as Validator
schemas, run, recipes = sys.argv[1:]
def validator(name):
    schema = json.load(open(f"{schemas}/{name}.schema.json"))
    Validator.check_schema(schema)
    return Validator(schema)
config = validator("run_config")
config.validate(json.load(open(f"{run}/config.json")))
for recipe in json.load(open(recipes)):
    config.validate(recipe["config"])
event = validator("metrics_event")
lines = [json.loads(line) for line in open(f"{run}/metrics.jsonl")]
for line in lines:
    event.validate(line)
assert {"start", "epoch", "evaluation", "checkpoint", "finish"} <= {line["message_type"] for line in lines}, lines
checkpoint = validator("checkpoint")
states = glob.glob(f"{run}/checkpoints/*.json")
assert states
for path in states:
    state = json.load(open(path))
    checkpoint.validate(state)
    config.validate(state["state"]["config"])
assert not config.is_valid({"momentun": 0.9}) and not config.is_valid({"duration": "16"})
PYTHON
}

@test "a checkpoint's checksum is what its schema says, and its tensors open in Python" {
  tiny --out "$out" >/dev/null
  "$PYTHON" - "$out" <<'PYTHON'
import glob, json, sys, torch, torchvision, xxhash
from safetensors.torch import load_file
run = sys.argv[1]
state_file = sorted(glob.glob(f"{run}/checkpoints/*.json"))[-1]
text = open(state_file, "rb").read()
covered, _, rest = text.rpartition(b',\n  "checksum": "')
assert rest[:16].decode() == xxhash.xxh3_64(covered).hexdigest()
for facts in json.loads(text)["files"].values():
    data = open(f"{run}/checkpoints/{facts['file']}", "rb").read()
    assert len(data) == facts["bytes"] and xxhash.xxh3_64(data).hexdigest() == facts["xxh3_64"]
model = torchvision.models.resnet18(num_classes=4)
model.load_state_dict(load_file(f"{run}/weights.safetensors"), strict=True)
PYTHON
}

@test "augment-preview writes a picture of the images that a recipe makes" {
  imgtrain augment-preview --shards "$shards" --recipe a3 --train-size 48 --images 3 --columns 4 --png "$out.png" |
    grep -q "212 x 324 pixels"
  "$PYTHON" - "$out.png" <<'PYTHON'
import sys
from PIL import Image
import numpy as np
sheet = np.asarray(Image.open(sys.argv[1]))
assert sheet.shape == (324, 212, 3)
crops, augmented = sheet[4:52, 4:52], sheet[168:216, 4:52]
assert crops.std() > 5 and not np.array_equal(crops, augmented)
PYTHON
  fails_with 2 "expected at most as many pictures as the split has images" \
    imgtrain augment-preview --shards "$shards" --images 60 --columns 10 --png "$out.png"
  fails_with 2 "auto_augment: expected none, autoaugment" imgtrain augment-preview --shards "$shards" --auto-augment ran
}

@test "eval at several sizes, per class and by ReaL labels" {
  tiny --out "$out" >/dev/null
  imgtrain eval --shards "$shards" --checkpoint "$out" --threads 1 --precision fp32 -q --json --sizes 32/36,48/48 \
    --per-class "$BATS_TEST_TMPDIR/classes.csv" >"$BATS_TEST_TMPDIR/sizes.json"
  jq -e -s 'length == 2 and .[0].eval_size == 32 and .[1].eval_resize == 48 and all(.images == 12)' "$BATS_TEST_TMPDIR/sizes.json"
  # One size of the pass is what it is alone, and the classes add up to it.
  imgtrain eval --shards "$shards" --checkpoint "$out" --threads 1 --precision fp32 -q --json --eval-size 48 --eval-resize 48 \
    >"$BATS_TEST_TMPDIR/alone.json"
  jq -e -s --slurpfile alone "$BATS_TEST_TMPDIR/alone.json" \
    '.[1].accuracy == $alone[0].accuracy and ((.[1].loss - $alone[0].loss) | fabs) < 1e-6' "$BATS_TEST_TMPDIR/sizes.json"
  for size in 32-36 48-48; do
    # From the end: names hold commas.
    awk -F, 'NR > 1 { images += $(NF - 4); top1 += $(NF - 3) } END { print images, top1 }' "$BATS_TEST_TMPDIR/classes-$size.csv" >>"$BATS_TEST_TMPDIR/sums"
  done
  diff "$BATS_TEST_TMPDIR/sums" <(jq -r '"\(.images) \(.accuracy * .images / 100 | round)"' "$BATS_TEST_TMPDIR/sizes.json")
  fails_with 2 "expected pairs CROP/RESIZE" imgtrain eval --shards "$shards" --checkpoint "$out" --sizes 64
  fails_with 2 "crop at most resize" imgtrain eval --shards "$shards" --checkpoint "$out" --sizes 64/32
}

@test "lr-find: a curve, a suggestion, a picture, and nothing left behind" {
  cd "$BATS_TEST_TMPDIR"
  status=0
  tiny_options=(--shards "$shards" --recipe smoke --threads 1 --input-threads 1 --batch 8 --bn-group 8 --train-size 32 --precision fp32)
  imgtrain lr-find "${tiny_options[@]}" --steps 40 --from 1e-5 -q --json --csv lr.csv --plot lr.svg >found.json || status=$?
  [ "$status" -le 1 ]
  jq -e '.message_type == "learning_rate_range" and .steps > 4' found.json
  head -2 lr.csv | tail -1 | grep -qE '^0,1e-05,'
  grep -q '<svg' lr.svg
  [ "$(find . -name '*.tmp' -o -name 'runs' -o -name '*.gnuplot*' | wc -l)" = 0 ]
  fails_with 2 "expected a file that ends in .png or .svg" imgtrain lr-find "${tiny_options[@]}" --steps 10 -q --plot lr.pdf
  fails_with 2 "--from: expected a rate below --to" imgtrain lr-find "${tiny_options[@]}" --from 1 --to 0.5
}

@test "batch-find: more memory, a larger batch" {
  options=(--model resnet18 --train-size 32 --classes 4 --threads 1 --precision fp32 --most 64 -q --json)
  imgtrain batch-find "${options[@]}" --memory 64GiB >"$BATS_TEST_TMPDIR/much.json"
  jq -e '.largest == 64 and .estimated and all(.trials[]; .fits and .peak_bytes > 0)' "$BATS_TEST_TMPDIR/much.json"
  status=0
  imgtrain batch-find "${options[@]}" --memory 1MiB >"$BATS_TEST_TMPDIR/little.json" || status=$?
  [ "$status" = 1 ]
  jq -e '.largest == 0' "$BATS_TEST_TMPDIR/little.json"
}

@test "profile: every layer of a step with its time, as a table, as JSON and as a trace" {
  cd "$BATS_TEST_TMPDIR"
  options=(--model resnet18 --train-size 32 --batch 4 --bn-group 2 --threads 1 --rounds 2 --observed 1 -q)
  imgtrain profile "${options[@]}" --precision bf16 --classes 7 --json --trace step.json >profile.json
  jq -e '.message_type == "profile" and .model == "resnet18" and .precision == "bf16" and .input == "synthetic" and
    .fused == false and .steps == 1 and .rounds == 2 and .batch == 4 and .group == 2 and
    .images_per_second.median > 0 and .peak_bytes > 0 and .cores_used > 0 and
    .roofline.bytes_per_second > 0 and .roofline.flops_per_second > 0' profile.json
  # The step's layers: input, 20 convolutions, 20 norms, 2 poolings, classifier, loss; two groups are two calls of each.
  jq -e '(.layers | length) == 45 and all(.layers[]; .calls == 2 and .forward.seconds > 0) and
    ([.layers[] | select(.name != "input") | .backward.seconds > 0] | all) and
    ([.kinds[].calls] | add) == 90 and .observed_seconds > 0 and .optimizer_seconds > 0' profile.json
  # Names of layers stand in the trace beside libtorch's operators.
  jq -e '[.traceEvents[].name] | (index("layer1.0.conv1") != null) and (index("aten::conv2d") != null)' step.json
  imgtrain profile "${options[@]}" --precision fp32 --shards "$shards" >table.txt
  grep -qE '^resnet18 at 32 px, batch 4 in groups of 2, fp32, separate kernels, on ' table.txt
  grep -qE 'images/s from shards, [0-9.]+ CPU cores in use' table.txt
  grep -qE '^batch norm \+ add \+ ReLU +16 calls .*%$' table.txt
  grep -qE '^layer4\.1\.conv2 +512x1x1 ' table.txt
  [ "$(find . -name runs | wc -l)" = 0 ]
  fails_with 2 "rounds" imgtrain profile "${options[@]}" --rounds 0
}

@test "config: a switch turns off what is on by default, and the last word counts" {
  imgtrain config --no-fused | jq -e '.fused == false and .drop_last and .keep_best'
  imgtrain config --fused false --fused true | jq -e '.fused'
  imgtrain config --fused true --no-fused --no-drop-last | jq -e '(.fused or .drop_last) | not'
  imgtrain config --no-fused --fused true | jq -e '.fused'
  fails_with 2 "unknown option '--no-nesterov'" imgtrain config --no-nesterov
}

@test "estimate: this machine and rented ones, each with its limit" {
  imgtrain estimate --shards "$shards" --recipe smoke --duration 60ep --batch 8 --bn-group 8 --train-size 32 --threads 1 \
    --images 1281167 --seconds 3 -q --json >"$BATS_TEST_TMPDIR/estimate.json"
  jq -e '.probe.images == 1281167 and .probe.decode_per_core > 0 and .probe.train_per_second > 0 and .probe.read_mib_s > 0' \
    "$BATS_TEST_TMPDIR/estimate.json"
  jq -e '.estimates | length > 5 and .[0].measured and (.[1:] | all(.measured == false and .source != "")) and
    all(.hours > 0 and (.limit | IN("compute", "decode", "read")) and .lift != "")' "$BATS_TEST_TMPDIR/estimate.json"
}
