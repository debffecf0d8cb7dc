#!/usr/bin/env bats
# Images to shards to a model that has learned something: the whole way at its smallest.
load ../cli/support

setup_file() {
  export OMP_NUM_THREADS=1
  imgpack sample "$BATS_FILE_TMPDIR/sample" --classes 4 --train 160 --val 40 --test 0 --size 48 >/dev/null
  export SHARDS=$BATS_FILE_TMPDIR/shards
  imgpack build "$BATS_FILE_TMPDIR/sample" "$SHARDS" -q >/dev/null
}

setup() { out=$BATS_TEST_TMPDIR/run; }

train() {
  imgtrain --shards "$SHARDS" --recipe demo --out "$out" --threads 1 --input-threads 1 --batch 16 --bn-group 16 \
    --train-size 32 --eval-size 32 --eval-resize 36 --duration 4ep -q "$@"
}

@test "the loss falls and the model does better than chance" {
  train --lr 0.005 --duration 12ep --json >"$BATS_TEST_TMPDIR/result.json"
  awk -F, '$1 == "train" { if (!first) first = $3; last = $3 } END { exit !(last < 0.8 * first) }' "$out/metrics.csv"
  jq -e '.accuracy > 40 and .samples_repeated == 0 and .samples_skipped == 0' "$BATS_TEST_TMPDIR/result.json"
  [ "$(wc -l <"$out/metrics.csv")" = 25 ]
}

@test "every model depth takes a step" {
  for model in resnet18 resnet34 resnet50 resnet101 resnet152; do
    train --model "$model" --duration 1ba --fresh >/dev/null
  done
}

@test "fewer steps than an epoch, a last partial batch, and evaluation now and then" {
  train --duration 1.5ep --drop-last false --batch 24 --bn-group 8 --evaluate-every 2ep >/dev/null
  [ "$(jq .steps "$out/result.json")" = 11 ]
  [ "$(grep -c '^val' "$out/metrics.csv")" = 1 ]
}
