#!/usr/bin/env bats
# Stop it, kill it, damage its newest checkpoint: the same command again ends with the weights of a run that nothing
# ever happened to, bit for bit.
load ../cli/support

setup_file() {
  export OMP_NUM_THREADS=1
  imgpack sample "$BATS_FILE_TMPDIR/sample" --classes 4 --train 120 --val 16 --test 0 --size 48 >/dev/null
  export SHARDS=$BATS_FILE_TMPDIR/shards
  imgpack build "$BATS_FILE_TMPDIR/sample" "$SHARDS" -q >/dev/null
  train "$BATS_FILE_TMPDIR/straight" >/dev/null
}

setup() { out=$BATS_TEST_TMPDIR/run; }

# 2 epochs of 15 steps, a checkpoint every 2 of them. In the background the program takes the shell's place, so that a
# signal reaches the program itself.
exec_train() {
  exec imgtrain --shards "$SHARDS" --recipe smoke --out "$1" --threads 1 --input-threads "${INPUT_THREADS-1}" --batch 8 \
    --bn-group 8 --train-size 32 --eval-size 32 --eval-resize 36 --duration 2ep --checkpoint-every 2ba -q
}
train() { (exec_train "$@"); }

fact() { jq -r ".$2" "$1/result.json"; }

equals_the_straight_run() {
  for name in weights_digest order_digest accuracy loss steps; do
    [ "$(fact "$out" "$name")" = "$(fact "$BATS_FILE_TMPDIR/straight" "$name")" ] || { echo "$name differs"; return 1; }
  done
  cmp "$out/weights.safetensors" "$BATS_FILE_TMPDIR/straight/weights.safetensors"
  [ "$(fact "$out" samples_repeated)" = 0 ]
  [ "$(fact "$out" samples_skipped)" = 0 ]
  # The table is that of one run: the same rows, no header again. Only times differ.
  diff <(cut -d, -f1-6 "$out/metrics.csv") <(cut -d, -f1-6 "$BATS_FILE_TMPDIR/straight/metrics.csv")
}

# stop_with SIGNAL STEP: starts the run and sends SIGNAL once a checkpoint of STEP or later is there. Prints the status.
stop_with() {
  local status=0 newest
  exec_train "$out" >/dev/null 2>"$BATS_TEST_TMPDIR/stderr" &
  local pid=$!
  for _ in $(seq 3000); do
    newest=$(cat "$out/checkpoints/latest" 2>/dev/null | tr -dc 0-9 || true)
    [ "$((10#${newest:-0}))" -lt "$2" ] || break
    [ -e "/proc/$pid" ] || break
    sleep 0.01
  done
  kill -"$1" "$pid" 2>/dev/null || true
  wait "$pid" || status=$?
  echo "$status"
}

@test "kill -9 at five moments, other input threads each time: the same weights" {
  local threads=1
  for step in 2 7 11 16 23; do
    threads=$((threads % 3 + 1))
    INPUT_THREADS=$threads stop_with KILL "$step" >/dev/null
    [ ! -e "$out/result.json" ]
  done
  train "$out" >/dev/null
  [ "$(fact "$out" resumes)" -ge 4 ]
  equals_the_straight_run
}

@test "SIGTERM: a checkpoint at the very step, exit status 75, and the run goes on" {
  [ "$(stop_with TERM 4)" = 75 ]
  grep -q "the checkpoint is saved: run the same command to go on" "$BATS_TEST_TMPDIR/stderr"
  [ "$(stop_with TERM 9)" = 75 ]
  train "$out" >/dev/null
  equals_the_straight_run
}

@test "Ctrl-C: exit status 130, and the run goes on" {
  set -m
  [ "$(stop_with INT 3)" = 130 ]
  train "$out" >/dev/null
  equals_the_straight_run
}

@test "a damaged newest checkpoint: the one before it is taken, loudly, with the same end" {
  stop_with KILL 8 >/dev/null
  newest=$(cat "$out/checkpoints/latest")
  printf 'damage' | dd of="$out/checkpoints/$newest.weights.safetensors" bs=1 seek=300000 conv=notrunc status=none
  train "$out" >/dev/null 2>"$BATS_TEST_TMPDIR/stderr"
  grep -q "warning: damaged checkpoint set aside, going back to the one before it" "$BATS_TEST_TMPDIR/stderr"
  [ -e "$out/checkpoints/$newest.json.damaged" ]
  equals_the_straight_run
}

@test "a save that was cut off in the middle leaves no trace" {
  stop_with KILL 6 >/dev/null
  head -c 100000 "$BATS_FILE_TMPDIR/straight/weights.safetensors" >"$out/checkpoints/step-000000099.weights.safetensors"
  head -c 100000 "$BATS_FILE_TMPDIR/straight/weights.safetensors" >"$out/checkpoints/step-000000098.optimizer.safetensors.tmp"
  train "$out" >/dev/null
  [ -z "$(find "$out" -name '*.tmp' -o -name 'step-000000099*')" ]
  equals_the_straight_run
}

@test "killed before the first checkpoint: it starts again" {
  exec_train "$out" >/dev/null 2>&1 &
  pid=$!
  for _ in $(seq 1000); do
    [ ! -e "$out/run.json" ] || break
    sleep 0.01
  done
  kill -9 "$pid"
  wait "$pid" || true
  train "$out" >/dev/null
  equals_the_straight_run
}

@test "another data set under the same run is an error" {
  stop_with TERM 4 >/dev/null
  imgpack build "$BATS_FILE_TMPDIR/sample" "$BATS_TEST_TMPDIR/other" -q --seed 9 >/dev/null
  SHARDS=$BATS_TEST_TMPDIR/other fails_with 2 "data set:" train "$out"
}

@test "two programs in one run folder: the second is refused" {
  exec_train "$out" >/dev/null 2>&1 &
  pid=$!
  for _ in $(seq 1000); do
    [ ! -e "$out/run.json" ] || break
    sleep 0.01
  done
  fails_with 1 "another program is training into this folder" train "$out"
  kill -9 "$pid"
  wait "$pid" || true
}
