#!/usr/bin/env bats
# The input side of imgtrain as a person meets it: damaged records, the local copy, SIGUSR1.
load support

setup_file() {
  export OMP_NUM_THREADS=1
  make_sample
  imgpack build "$BATS_FILE_TMPDIR/sample" "$BATS_FILE_TMPDIR/shards" -q >/dev/null
  # One record of each split, damaged.
  cp -r "$BATS_FILE_TMPDIR/shards" "$BATS_FILE_TMPDIR/damaged"
  for split in train val; do
    shard=$BATS_FILE_TMPDIR/damaged/$split-00000.ipk
    printf 'damaged by tests' | dd of="$shard" bs=1 seek=$(($(stat -c %s "$shard") / 3)) conv=notrunc status=none
  done
}

setup() { out=$BATS_TEST_TMPDIR/run; }

# One epoch of 48 images, each of them seen.
epoch_of() {
  local shards=$1
  shift
  imgtrain --shards "$shards" --recipe smoke --out "$out" --threads 1 --input-threads 1 --batch 8 --bn-group 8 \
    --train-size 32 --eval-size 32 --eval-resize 36 --duration 1ep --precision fp32 "$@"
}

@test "a damaged record stops a run, with its place and its name" {
  fails_with 4 "train-00000.ipk@" epoch_of "$BATS_FILE_TMPDIR/damaged" -q
  grep -q "record [0-9]* of split train" "$BATS_TEST_TMPDIR/stderr"
}

@test "--on-bad-record skip:N leaves it out, named and counted" {
  epoch_of "$BATS_FILE_TMPDIR/damaged" --on-bad-record skip:1 --json >"$BATS_TEST_TMPDIR/result" 2>"$BATS_TEST_TMPDIR/talk"
  jq -e '.samples_skipped == 1 and .samples_repeated == 0' "$BATS_TEST_TMPDIR/result"
  [ "$(grep -c "damaged record left out: .*train-00000.ipk@" "$BATS_TEST_TMPDIR/talk")" = 1 ]
  [ "$(grep -c "damaged record left out: .*val-00000.ipk@" "$BATS_TEST_TMPDIR/talk")" = 1 ]
  grep -q "1 damaged records left out" "$BATS_TEST_TMPDIR/talk"
  jq -es 'map(select(.message_type == "epoch")) | .[0].left_out == 1' "$out/metrics.jsonl"
  jq -es 'map(select(.message_type == "evaluation")) | .[0].images == 11' "$out/metrics.jsonl"
}

@test "--on-bad-record takes stop and skip:N and nothing else" {
  for wrong in skip skip:0 skip:-1 skip:x skip:3x ignore; do
    fails_with 2 'on_bad_record (the command line): expected "stop", or "skip:N"' \
      imgtrain --shards "$BATS_FILE_TMPDIR/shards" --on-bad-record "$wrong"
  done
  says '"on_bad_record": "skip:7"' imgtrain config --on-bad-record skip:7
}

@test "--cache-dir copies the shards and says so; a second run uses them" {
  for turn in 1 2; do
    epoch_of "$BATS_FILE_TMPDIR/shards" --cache-dir "$BATS_TEST_TMPDIR/fast" --fresh --json >"$BATS_TEST_TMPDIR/result$turn" \
      2>"$BATS_TEST_TMPDIR/talk"
    grep -q "page cache: .*; local copy: " "$BATS_TEST_TMPDIR/talk"
  done
  id=$(jq -r .dataset_id "$BATS_FILE_TMPDIR/shards/manifest.json")
  for split in train val; do
    cmp "$BATS_FILE_TMPDIR/shards/$split-00000.ipk" "$BATS_TEST_TMPDIR/fast/$id/$split-00000.ipk"
  done
  jq -e --slurpfile first "$BATS_TEST_TMPDIR/result1" '.weights_digest == $first[0].weights_digest' "$BATS_TEST_TMPDIR/result2"
}

@test "SIGUSR1 makes a run say where the time goes, and go on" {
  exec 3>&- # bats waits for whatever holds it.
  (exec imgtrain --shards "$BATS_FILE_TMPDIR/shards" --recipe smoke --out "$out" --threads 1 --input-threads 1 --batch 8 \
    --bn-group 8 --train-size 32 --eval-size 32 --eval-resize 36 --duration 2ep --evaluate-every 2ep --precision fp32 \
    2>"$BATS_TEST_TMPDIR/talk" >/dev/null) &
  run_pid=$!
  while ! grep -q "input: 1 decoding threads" "$BATS_TEST_TMPDIR/talk"; do
    kill -0 "$run_pid"
    sleep 0.02
  done
  # Until the answer is there or the run is over, which then has failed the test.
  while [ "$(grep -c "epoch [12]/2  input  .*-bound.*read .* %, check .* %, decode " "$BATS_TEST_TMPDIR/talk")" -lt 3 ]; do
    kill -USR1 "$run_pid" || break
    sleep 0.02
  done
  wait "$run_pid"
  [ "$(grep -c "epoch [12]/2  input  .*-bound.*read .* %, check .* %, decode " "$BATS_TEST_TMPDIR/talk")" -ge 3 ]
}
