#!/usr/bin/env bats
# What recipes are made of, in whole runs: exact resume with everything switched on, and fine-tuning.
load ../cli/support

setup_file() {
  export OMP_NUM_THREADS=1
  imgpack sample "$BATS_FILE_TMPDIR/sample" --classes 4 --train 64 --val 16 --test 0 --size 48 >/dev/null
  export SHARDS=$BATS_FILE_TMPDIR/shards
  imgpack build "$BATS_FILE_TMPDIR/sample" "$SHARDS" -q >/dev/null
}

setup() { out=$BATS_TEST_TMPDIR/run; }

# RUN_BY=exec: the program takes the shell's place, so that a signal reaches the program itself.
small() {
  ${RUN_BY-} imgtrain --shards "$SHARDS" --recipe smoke --threads 1 --batch 8 --bn-group 4 --train-size 48 --eval-size 32 \
    --eval-resize 36 --duration 2ep --checkpoint-every 1ba -q "$@"
}

# Everything that draws random numbers or keeps state between steps.
everything() {
  small --out "$1" --optimizer lamb --lr 0.01 --ema composer --ema-every 2 --ema-half-life 4 --loss bce \
    --label-smoothing 0.1 --mixup 0.2 --cutmix 1 --auto-augment rand-m7-mstd0.5-inc1 --interpolation random \
    --jitter-brightness 0.3 --jitter-hue 0.1 --erase 0.3 --cutout 0.2 --repeats 2 --drop-path 0.2 --sam-rho 0.05 \
    --sam-interval 3 --clip-norm 5 --blurpool composer --stem deep --average-downsample true --eval-flip true \
    --progressive-size 32 --progressive-begin 0.2 --progressive-end 0.7 --progressive-multiple 4 \
    --progressive-by shrink --input-threads "$2"
}

@test "everything at once, killed twice, with other input threads: the weights and the average of an untouched run" {
  everything "$out.straight" 1 >/dev/null
  for step in 3 10; do
    (RUN_BY=exec everything "$out" $((step % 3 + 1))) >/dev/null 2>&1 &
    pid=$!
    for _ in $(seq 3000); do
      newest=$(tr -dc 0-9 <"$out/checkpoints/latest" 2>/dev/null || true)
      [ "$((10#${newest:-0}))" -lt "$step" ] || break
      [ -e "/proc/$pid" ] || break
      sleep 0.01
    done
    kill -9 "$pid" || true
    wait "$pid" || true
    [ ! -e "$out/result.json" ]
  done
  everything "$out" 2 >/dev/null
  cmp "$out/weights.safetensors" "$out.straight/weights.safetensors"
  [ "$(jq -r .weights_digest "$out/result.json")" = "$(jq -r .weights_digest "$out.straight/result.json")" ]
  last=$(cat "$out/checkpoints/latest")
  for part in weights optimizer average; do
    cmp "$out/checkpoints/$last.$part.safetensors" "$out.straight/checkpoints/$last.$part.safetensors"
  done
  # The result is the average.
  ! cmp -s "$out/checkpoints/$last.weights.safetensors" "$out/checkpoints/$last.average.safetensors"
  [ "$(jq -r .resumes "$out/result.json")" -ge 1 ]
  imgtrain eval --shards "$SHARDS" --checkpoint "$out" --threads 1 -q --json >"$BATS_TEST_TMPDIR/eval.json"
  jq -e --slurpfile run "$out/result.json" '(.loss - $run[0].loss) | fabs < 1e-5' "$BATS_TEST_TMPDIR/eval.json"
}

@test "growing images by decoding: the run goes through every size" {
  small --out "$out" --progressive-size 32 --progressive-begin 0.4 --progressive-end 0.5 --progressive-by decode \
    --progressive-multiple 16 >/dev/null
  [ "$(jq -r .steps "$out/result.json")" = 16 ]
}

@test "fine-tuning: --init takes weights of another number of classes and begins the classifier anew" {
  small --out "$out" --duration 2ba >/dev/null
  imgpack sample "$BATS_TEST_TMPDIR/other" --classes 3 --train 24 --val 6 --test 0 --size 48 >/dev/null
  imgpack build "$BATS_TEST_TMPDIR/other" "$BATS_TEST_TMPDIR/other.shards" -q >/dev/null
  SHARDS=$BATS_TEST_TMPDIR/other.shards small --out "$out.tuned" --duration 1ba --lr 0 --weight-decay 0 \
    --init "$out/weights.safetensors" >/dev/null
  "$PYTHON" - "$out/weights.safetensors" "$out.tuned/weights.safetensors" <<'PYTHON'
import sys, torch
from safetensors.torch import load_file
before, after = map(load_file, sys.argv[1:])
assert after["fc.weight"].shape == (3, 512) and before["fc.weight"].shape == (4, 512)
for name in before:
    if "running" not in name and "tracked" not in name and not name.startswith("fc."):
        assert torch.equal(before[name], after[name]), name
PYTHON
  # Weights of another network are refused by name.
  fails_with 1 "weights of another model: expected resnet18 with 4 classes, stem deep" \
    small --out "$out.deep" --stem deep --init "$out/weights.safetensors"
}

@test "weights of a .pth file go in through the converter" {
  "$PYTHON" -c "
import torch, torchvision
torch.save({'model': {'module.' + n: t for n, t in torchvision.models.resnet18(num_classes=4).state_dict().items()}}, '$BATS_TEST_TMPDIR/w.pth')"
  "$PYTHON" "$PROJECT_DIR/docs/examples/pth_to_safetensors.py" "$BATS_TEST_TMPDIR/w.pth" "$BATS_TEST_TMPDIR/w.safetensors"
  imgtrain eval --shards "$SHARDS" --checkpoint "$BATS_TEST_TMPDIR/w.safetensors" --eval-size 32 --eval-resize 36 \
    --threads 1 -q
}

@test "export --best: the card has the accuracy of the best evaluation, also where that was the last" {
  small --out "$out" --optimizer sgd --lr 0.02 --evaluate-every 1ep --duration 3ep >/dev/null
  best=$(jq -s '[.[] | select(.message_type == "evaluation").accuracy] | max' "$out/metrics.jsonl")
  imgtrain export "$out" --best --out "$BATS_TEST_TMPDIR/best" --format card >/dev/null
  jq -e --argjson best "$best" '[.. | .top1? // empty] == [$best]' "$BATS_TEST_TMPDIR"/best/*.json
  # As if the last had been the best: its line of the log decides.
  last=$(jq -s '[.[] | select(.message_type == "evaluation")][-1].step' "$out/metrics.jsonl")
  jq -c --argjson step "$last" 'if .message_type == "evaluation" and .step == $step then .accuracy = 99.5 else . end' "$out/metrics.jsonl" >"$out/new"
  mv "$out/new" "$out/metrics.jsonl"
  imgtrain export "$out" --best --out "$BATS_TEST_TMPDIR/last" --format card >/dev/null
  jq -e '[.. | .top1? // empty] == [99.5]' "$BATS_TEST_TMPDIR"/last/*.json
}

@test "--decoder reference: every image goes by libjpeg-turbo, in training and in eval" {
  paths() { jq -rs 'map(select(has("reference_path"))) | "\(map(.fast_path) | add) \(map(.reference_path) | add)"' "$1/metrics.jsonl"; }
  small --out "$out" --duration 1ep --train-split val >/dev/null
  read -r fast reference <<<"$(paths "$out")"
  [ "$fast" -gt 0 ]
  small --out "$out.2" --duration 1ep --train-split val --decoder reference >/dev/null
  [ "$(paths "$out.2")" = "0 $((fast + reference))" ]
  # What eval says of a model follows the pixels.
  for decoder in auto reference; do
    imgtrain eval --shards "$SHARDS" --checkpoint "$out" --threads 1 --decoder "$decoder" --json -q >"$BATS_TEST_TMPDIR/$decoder.json"
  done
  [ "$(jq .loss "$BATS_TEST_TMPDIR/auto.json")" != "$(jq .loss "$BATS_TEST_TMPDIR/reference.json")" ]
}
