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
  local run=$1
  shift
  exec imgtrain --shards "$SHARDS" --recipe smoke --out "$run" --threads 1 --input-threads "${INPUT_THREADS-1}" --batch 8 \
    --bn-group 8 --train-size 32 --eval-size 32 --eval-resize 36 --duration 2ep --checkpoint-every 2ba -q "$@"
}
train() { (exec_train "$@"); }

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

# Moments that nobody chose: a share of the time of a whole run, drawn from a seed that is printed and can be given.
@test "kill -9 at five random moments of the whole run: the same weights" {
  seed=${RESUME_SEED:-$RANDOM}
  echo "RESUME_SEED=$seed"
  RANDOM=$seed
  start=$(date +%s%N)
  train "$BATS_TEST_TMPDIR/timed" >/dev/null
  whole_ms=$((($(date +%s%N) - start) / 1000000))
  for _ in 1 2 3 4 5; do
    INPUT_THREADS=$((RANDOM % 3 + 1)) exec_train "$out" >/dev/null 2>&1 &
    pid=$!
    sleep "$(awk -v ms="$((RANDOM % 1000 * whole_ms / 1000))" 'BEGIN { print ms / 1000 }')"
    kill -9 "$pid" 2>/dev/null || true
    wait "$pid" || true
  done
  train "$out" >/dev/null
  equals_the_straight_run
}

@test "SIGTERM: a checkpoint at the very step, exit status 75, and the run goes on" {
  [ "$(stop_with TERM 4)" = 75 ]
  grep -q "the checkpoint is saved: run the same command to go on" "$BATS_TEST_TMPDIR/stderr"
  [ "$(stop_with TERM 9)" = 75 ]
  train "$out" >/dev/null
  equals_the_straight_run
}

# The metadata service of an EC2 machine, from a folder of files; its port is free a moment before.
start_metadata() {
  metadata=$BATS_TEST_TMPDIR/metadata
  mkdir -p "$metadata/meta-data/spot" "$metadata/meta-data/events/recommendations"
  local port
  port=$("$PYTHON" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
  "$PYTHON" "$PROJECT_DIR/tests/aws/support/imds_stub.py" "$port" "$metadata" >/dev/null 2>&1 3>&- &
  metadata_pid=$!
  export AWS_EC2_METADATA_SERVICE_ENDPOINT=http://127.0.0.1:$port
  for _ in $(seq 200); do
    ! curl -s -o /dev/null "$AWS_EC2_METADATA_SERVICE_ENDPOINT/" || return 0
    sleep 0.05
  done
}

teardown() { [ -z "${metadata_pid-}" ] || kill "$metadata_pid"; }

@test "an interruption notice: saved, exit status 75, and the run goes on; a rebalance hint saves and goes on at once" {
  start_metadata
  echo '{"action": "terminate", "time": "2026-11-23T10:20:30Z"}' >"$metadata/meta-data/spot/instance-action"
  status=0
  train "$out" >/dev/null 2>"$BATS_TEST_TMPDIR/stderr" || status=$?
  [ "$status" = 75 ]
  grep -q "EC2 takes this machine back: terminate at 2026-11-23T10:20:30Z" "$BATS_TEST_TMPDIR/stderr"
  [ -e "$out/checkpoints/latest" ]
  rm "$metadata/meta-data/spot/instance-action"
  echo '{"noticeTime": "2026-11-23T10:25:30Z"}' >"$metadata/meta-data/events/recommendations/rebalance"
  train "$out" >/dev/null 2>"$BATS_TEST_TMPDIR/stderr"
  grep -q "rebalance recommendation" "$BATS_TEST_TMPDIR/stderr"
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

# epochs_of RUN: how many epochs its metrics.csv has.
epochs_of() { grep -c '^train' "$1/metrics.csv"; }

@test "--extend: a finished run goes on for longer, and says the learning rates at the seam" {
  train "$out" >/dev/null
  fails_with 2 "--extend to change these on the way" train "$out" --duration 3ep
  [ -e "$out/result.json" ]
  imgtrain --config "$out/config.json" --out "$out" --duration 3ep --extend >/dev/null 2>"$BATS_TEST_TMPDIR/stderr"
  grep -q "extended at step 30: duration: 2ep before, 3ep now" "$BATS_TEST_TMPDIR/stderr"
  grep -qE "learning rate at the seam: [0-9.e-]+ at the last step, [0-9.e-]+ at the next \(training had been over" "$BATS_TEST_TMPDIR/stderr"
  [ "$(epochs_of "$out")" = 3 ]
  [ "$(fact "$out" steps)" = 45 ]
  [ "$(jq -r 'select(.message_type == "extend") | .step' "$out/metrics.jsonl")" = 30 ]
  # The configuration is the run's from now on.
  imgtrain --config "$out/config.json" --out "$out" -q | grep -q "after 3 epochs"
}

@test "--extend with another batch goes on from the last whole epoch, counts it in its own steps, and survives kill -9" {
  stop_with TERM 20 >/dev/null
  for _ in 1 2; do
    imgtrain --config "$out/config.json" --out "$out" --batch 4 --bn-group 4 --extend >/dev/null 2>>"$BATS_TEST_TMPDIR/stderr" &
    pid=$!
    sleep 1.5
    kill -9 "$pid" 2>/dev/null || true
    wait "$pid" || true
  done
  imgtrain --config "$out/config.json" --out "$out" --batch 4 --bn-group 4 --extend >/dev/null 2>>"$BATS_TEST_TMPDIR/stderr"
  grep -q "another batch can only begin with an epoch: going back from step" "$BATS_TEST_TMPDIR/stderr"
  grep -q "extended at step 30: batch: 8 before, 4 now" "$BATS_TEST_TMPDIR/stderr"
  [ "$(fact "$out" steps)" = 60 ]
  [ "$(epochs_of "$out")" = 2 ]
  [ "$(fact "$out" samples_repeated)" = 0 ]
  [ "$(fact "$out" samples_skipped)" = 0 ]
}

@test "--extend does not cover what would make another experiment" {
  stop_with TERM 4 >/dev/null
  fails_with 2 "seed: 0 before, 5 now" imgtrain --config "$out/config.json" --out "$out" --seed 5 --extend
  fails_with 2 "nothing is left to train" imgtrain --config "$out/config.json" --out "$out" --duration 1ba --extend
  train "$out" >/dev/null
  equals_the_straight_run
}

@test "checkpoints: the latest, the best and every second epoch stay" {
  train "$out" --duration 5ep --checkpoint-every 1ep --keep-checkpoints 2 --keep-every 2 >/dev/null
  for step in 30 60 75; do [ -e "$out/checkpoints/step-0000000$step.json" ]; done
  best=$(cat "$out/checkpoints/best")
  [ -e "$out/checkpoints/$best.json" ]
  accuracy=$(awk -F, '$1 == "val" && $4 > best { best = $4 } END { print best + 0 }' "$out/metrics.csv")
  [ "$(imgtrain eval --shards "$SHARDS" --checkpoint "$out" --best --threads 1 -q --json | jq .accuracy)" = "$accuracy" ]
}

@test "a loss that is no number: stopped at the step, named with its images, the checkpoint from before stays good" {
  status=0
  train "$out" --lr 1e6 --precision fp32 --schedule constant >/dev/null 2>"$BATS_TEST_TMPDIR/stderr" || status=$?
  [ "$status" = 1 ]
  grep -qE "no longer (a number|numbers)" "$BATS_TEST_TMPDIR/stderr"
  if [ -e "$out/diagnosis.json" ]; then
    jq -e '.learning_rate == 1e6 and .precision == "fp32" and (.images | length) == 8 and (.images[0] | endswith(".JPEG"))' "$out/diagnosis.json"
    [ "$(jq -r 'select(.message_type == "diagnosis") | .step' "$out/metrics.jsonl")" = "$(jq .step "$out/diagnosis.json")" ]
  fi
  [ ! -e "$out/result.json" ]
}

@test "stage times of every step, whole after kill -9 too, and their sums in every epoch" {
  stop_with KILL 8 >/dev/null
  train "$out" --step-times true >/dev/null
  head -1 "$out/step_times.csv" | grep -qx "step,images,seconds,read,decode,wait,copy,forward_backward,exchange,optimizer"
  tail -n +2 "$out/step_times.csv" | awk -F, '{ if (NR > 1 && $1 != last + 1) exit 1; last = $1; if ($8 <= 0) exit 1 }'
  [ "$(tail -1 "$out/step_times.csv" | cut -d, -f1)" = 29 ]
  jq -e -s 'map(select(.message_type == "epoch" and .epoch == 2))[0].stages | .steps == 15 and .forward_backward > .optimizer' \
    "$out/metrics.jsonl"
}
