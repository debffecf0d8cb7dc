#!/usr/bin/env bats
# Several ranks on this machine, over Gloo: the run of one rank, whatever their number, and an end within seconds, with
# the culprit's name, whatever happens to one of them.
load ../cli/support

setup_file() {
  export OMP_NUM_THREADS=1
  imgpack sample "$BATS_FILE_TMPDIR/sample" --classes 4 --train 96 --val 18 --test 0 --size 40 >/dev/null
  export SHARDS=$BATS_FILE_TMPDIR/shards
  imgpack build "$BATS_FILE_TMPDIR/sample" "$SHARDS" -q >/dev/null
  # 6 steps an epoch, each of four groups, in a precision in which the order of sums does not show.
  train "$BATS_FILE_TMPDIR/alone" --precision fp64 >/dev/null
}

setup() { out=$BATS_TEST_TMPDIR/run errors=$BATS_TEST_TMPDIR/stderr hands=(); }

exec_train() {
  local run=$1
  shift
  exec imgtrain --shards "$SHARDS" --recipe smoke --out "$run" --threads 1 --input-threads 1 --batch 16 --bn-group 4 \
    --train-size 32 --eval-size 32 --eval-resize 36 --duration 1ep --checkpoint-every 2ba --lr 0.001 "$@"
}
train() { (exec_train "$@"); }

# ranks_of PID: the processes that a launcher started.
ranks_of() { pgrep -P "$1" || true; }

# same_order RUN OTHER: the samples of another run, in its order, none of them twice and none left out.
same_order() {
  for name in order_digest steps samples_repeated samples_skipped; do
    [ "$(fact "$1" "$name")" = "$(fact "$2" "$name")" ] || { echo "$name differs"; return 1; }
  done
  [ "$(fact "$1" samples_repeated)" = 0 ]
  [ "$(fact "$1" samples_skipped)" = 0 ]
}

# same_run RUN [OTHER]: its weights too, to the tolerance of sums in another order. So small a network in groups of four
# images multiplies a difference by ten in every step: six steps from 1e-15 are far below this, a wrong gradient is not.
same_run() {
  local other=${2-$BATS_FILE_TMPDIR/alone}
  same_order "$1" "$other"
  "$PYTHON" - "$1" "$other" <<'END'
import sys
from safetensors.numpy import load_file
one, other = (load_file(f"{run}/weights.safetensors") for run in sys.argv[1:])
assert one.keys() == other.keys()
for name in one:
    norm = max(1e-12, float(abs(other[name]).max()))
    worst = float(abs(one[name].astype(float) - other[name].astype(float)).max()) / norm
    assert worst < 1e-7, f"{name}: {worst}"
END
}

# exchanges_per_parameter RUN BYTES: of ResNet-18 with 4 classes, in a step; buckets add some padding.
exchanges_per_parameter() {
  jq -s -e --argjson bytes "$2" 'map(select(.message_type == "epoch"))[0].exchanged_bytes_per_step
    | . > $bytes * 11178564 and . < 1.01 * $bytes * 11178564' "$1/metrics.jsonl"
}

# long_run OPTIONS…: starts a run in the background that would take hours, and waits until it trains. Sets $pid.
long_run() {
  exec_train "$out" --duration 100000ep --checkpoint-every 10ba --log-seconds 1 "$@" >/dev/null 2>"$errors" 3>&- &
  pid=$!
  wait_for_checkpoint
}

wait_for_checkpoint() {
  for _ in $(seq 1200); do
    [ ! -e "$out/checkpoints/latest" ] || return 0
    [ -e "/proc/$pid" ] || break
    sleep 0.05
  done
  echo "it never came to train:"
  cat "$errors"
  return 1
}

# ends_within SECONDS: waits for $pid, sets $status; its ranks are gone too.
ends_within() {
  local ranks began=$SECONDS
  ranks=$(ranks_of "$pid")
  while [ -e "/proc/$pid" ] && [ "$(ps -o stat= -p "$pid")" != Z ] && [ $((SECONDS - began)) -le "$1" ]; do sleep 0.1; done
  [ $((SECONDS - began)) -le "$1" ] || { echo "not ended after $1 s"; cat "$errors"; kill -9 "$pid"; return 1; }
  status=0
  wait "$pid" || status=$?
  for rank in $ranks; do [ ! -e "/proc/$rank" ] || { echo "rank process $rank is left"; return 1; }; done
}

teardown() {
  local process
  for process in "${pid-}" "${hands[@]}"; do
    [ -z "$process" ] || kill -9 "$process" 2>/dev/null || true
  done
}

@test "2, 3 and 4 ranks: the order and the weights of one rank" {
  for world in 2 3 4; do
    train "$out-$world" --ranks $world --precision fp64 >"$BATS_TEST_TMPDIR/stdout" 2>"$errors"
    grep -q "ranks: $world, $world of them here (imgtrain)" "$errors"
    [ "$(grep -c '^top-1' "$BATS_TEST_TMPDIR/stdout")" = 1 ]
    same_run "$out-$world"
    [ "$(fact "$out-$world" ranks)" = $world ]
  done
  # ResNet-18 of 4 classes in double precision, and the padding of buckets.
  exchanges_per_parameter "$out-2" 8
}

@test "synchronised batch norm: three ranks train what one does with the whole batch as its group" {
  train "$BATS_TEST_TMPDIR/one" --bn-group 16 --precision fp64 -q >/dev/null
  train "$out" --ranks 3 --bn-group 0 --sync-bn true --precision fp64 -q >/dev/null
  same_run "$out" "$BATS_TEST_TMPDIR/one"
  fails_with 2 "sync_bn: mixup and cutmix stay inside a bn_group" train "$out-2" --bn-group 0 --sync-bn true --mixup 0.1 -q
}

@test "gradients may travel in half the bytes" {
  train "$out" --ranks 2 --grad-exchange bf16 --precision fp32 -q >/dev/null
  exchanges_per_parameter "$out" 2
}

@test "evaluation counts every image once where neither ranks nor batches divide them" {
  [ "$(imgtrain eval --ranks 4 --shards "$SHARDS" --checkpoint "$BATS_FILE_TMPDIR/alone" --eval-batch 5 --threads 1 \
    -q --json | jq -c '[.images, .accuracy]')" = "[18,$(fact "$BATS_FILE_TMPDIR/alone" accuracy | jq .)]" ]
}

@test "fewer images than ranks: nobody hangs" {
  imgpack sample "$BATS_TEST_TMPDIR/few" --classes 2 --train 4 --val 2 --test 0 --size 40 >/dev/null
  imgpack build "$BATS_TEST_TMPDIR/few" "$BATS_TEST_TMPDIR/few.shards" -q >/dev/null
  SHARDS=$BATS_TEST_TMPDIR/few.shards train "$out" --ranks 3 --batch 2 --bn-group 2 --train-size 64 -q >/dev/null
  [ "$(fact "$out" steps)" = 2 ]
}

@test "1, then 4, then 2 ranks across two interruptions: one run" {
  status=0
  train "$BATS_TEST_TMPDIR/straight" --precision fp32 --duration 4ep -q >/dev/null
  stop_after() {
    exec_train "$out" --precision fp32 --duration 4ep -q "${@:2}" >/dev/null 2>"$errors" 3>&- &
    pid=$!
    for _ in $(seq 2000); do
      newest=$(cat "$out/checkpoints/latest" 2>/dev/null | tr -dc 0-9 || true)
      [ "$((10#${newest:-0}))" -lt "$1" ] || break
      [ -e "/proc/$pid" ] || break
      sleep 0.01
    done
    kill -TERM "$pid" 2>/dev/null || true
    ends_within 60
    [ "$status" = 75 ] || { cat "$errors"; return 1; }
  }
  # Slow enough to be stopped on the way: one checkpoint a step.
  stop_after 1 --checkpoint-every 1ba
  stop_after 8 --checkpoint-every 1ba --ranks 4
  grep -q "warning: another machine than the checkpoint's" "$errors"
  train "$out" --ranks 2 --precision fp32 --duration 4ep -q >/dev/null
  same_order "$out" "$BATS_TEST_TMPDIR/straight"
  [ "$(fact "$out" resumes)" = 2 ]
}

@test "SIGTERM to the launcher, SIGINT to one rank: all stop at the same step with one checkpoint" {
  long_run --ranks 3
  kill -TERM "$pid"
  ends_within 30
  [ "$status" = 75 ]
  grep -q "stopped at step [0-9]* of 600000; the checkpoint is in" "$errors"
  rm -r "$out"
  long_run --ranks 2
  kill -INT "$(ranks_of "$pid" | tail -1)"
  ends_within 30
  [ -e "$out/checkpoints/latest" ]
  [ "$status" = 130 ] || [ "$status" = 75 ]
}

@test "kill -9 of one rank of four: the others end within seconds and name it, and the run goes on" {
  long_run --ranks 4
  kill -9 "$(ranks_of "$pid" | sed -n 3p)"
  ends_within 20
  [ "$status" = 1 ]
  grep -qE "warning: rank 2 of 4 \(process [0-9]+\) was killed by signal 9" "$errors"
  grep -qE "error: rank [013] of 4: .* failed: rank 2 of 4 on $(hostname) \(127.0.0.1\) is lost: silent for [0-9]+ s, last seen in [a-z]+ at step [0-9]+" "$errors"
}

@test "kill -9 of rank 0, which holds the meeting point: named too" {
  long_run --ranks 3
  kill -9 "$(ranks_of "$pid" | head -1)"
  ends_within 20
  [ "$status" = 1 ]
  grep -qE "error: rank [12] of 3: .* rank 0 of 3" "$errors"
}

@test "SIGSTOP of one rank: named with host and stage within ten seconds of the limit of 15" {
  long_run --ranks 3
  began=$SECONDS
  stopped=$(ranks_of "$pid" | sed -n 2p)
  kill -STOP "$stopped"
  until grep -qE "warning: .*rank 1 of 3 on $(hostname) \(127.0.0.1\) is lost: silent for [0-9]+ s, last seen in" "$errors"; do
    [ $((SECONDS - began)) -le 25 ] || { cat "$errors"; return 1; }
    sleep 0.1
  done
  ends_within 30
  [ "$status" = 1 ]
}

@test "kill -9 of the launcher: its ranks save and end" {
  long_run --ranks 2
  ranks=$(ranks_of "$pid")
  kill -9 "$pid"
  wait "$pid" || true
  for rank in $ranks; do
    for _ in $(seq 300); do
      [ -e "/proc/$rank" ] || break
      sleep 0.1
    done
    [ ! -e "/proc/$rank" ]
  done
  grep -q "stopped at step" "$errors"
}

@test "a damaged record on one rank ends all with its message and exit status 4" {
  cp -r "$SHARDS" "$BATS_TEST_TMPDIR/damaged"
  shard=$(ls "$BATS_TEST_TMPDIR"/damaged/train-*.ipk | head -1)
  printf 'damage' | dd of="$shard" bs=1 seek=9000 conv=notrunc status=none
  began=$SECONDS
  SHARDS=$BATS_TEST_TMPDIR/damaged fails_with 4 "checksum mismatch" train "$out" --ranks 3 -q
  [ $((SECONDS - began)) -le 40 ]
  grep -qE "error: rank [012] of 3: .*rank [012] of 3 on $(hostname) \(127.0.0.1\) failed in (reading|decoding|compute) at step [0-9]+: .*checksum mismatch" "$BATS_TEST_TMPDIR/stderr"
}

# by_hand RANK WORLD PORT OPTIONS…: one rank as a person starts it, in the background.
by_hand() {
  RANK=$1 WORLD_SIZE=$2 LOCAL_RANK=$1 MASTER_ADDR=127.0.0.1 MASTER_PORT=$3 \
    exec_train "$out" -q "${@:4}" >/dev/null 2>"$BATS_TEST_TMPDIR/stderr.$1" 3>&- &
  hands+=($!)
}

free_port() { "$PYTHON" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

@test "a rank whose data set is not there: all end with its message" {
  port=$(free_port) began=$SECONDS
  by_hand 0 2 "$port"
  first=$!
  SHARDS=$BATS_TEST_TMPDIR/nowhere by_hand 1 2 "$port"
  second=$!
  status=0
  wait "$second" || status=$?
  [ "$status" != 0 ]
  status=0
  wait "$first" || status=$?
  [ "$status" != 0 ]
  [ $((SECONDS - began)) -le 40 ]
  grep -qE "rank 1 of 2 on $(hostname) \(127.0.0.1\) failed in starting at step 0: .*nowhere" "$BATS_TEST_TMPDIR/stderr.0"

  # Evaluations meet before they look for their data, too.
  port=$(free_port) began=$SECONDS
  for rank in 0 1; do
    shards=("$SHARDS" "$BATS_TEST_TMPDIR/nowhere")
    RANK=$rank WORLD_SIZE=2 LOCAL_RANK=$rank MASTER_ADDR=127.0.0.1 MASTER_PORT=$port timeout 60 imgtrain eval --shards "${shards[rank]}" \
      --checkpoint "$BATS_FILE_TMPDIR/alone" --threads 1 -q >/dev/null 2>"$BATS_TEST_TMPDIR/stderr.$rank" 3>&- &
    hands+=($!)
  done
  for process in "${hands[@]: -2}"; do
    status=0
    wait "$process" || status=$?
    [ "$status" = 1 ]
  done
  [ $((SECONDS - began)) -le 40 ]
  grep -qE "rank 1 of 2 .* failed in starting at step 0: .*nowhere" "$BATS_TEST_TMPDIR/stderr.0"
}

@test "of two hosts each needs only its half of the training shards; one that it needs and lacks ends all, named" {
  imgpack build "$BATS_FILE_TMPDIR/sample" "$BATS_TEST_TMPDIR/left" --shard-size 24KiB -q >/dev/null
  cp -r "$BATS_TEST_TMPDIR/left" "$BATS_TEST_TMPDIR/right"
  [ "$(find "$BATS_TEST_TMPDIR/left" -name 'train-*.ipk' | wc -l)" = 8 ]
  # The halves meet inside a shard.
  rm "$BATS_TEST_TMPDIR"/left/train-0000[567].ipk "$BATS_TEST_TMPDIR"/right/train-0000[012].ipk
  port=$(free_port)
  SHARDS=$BATS_TEST_TMPDIR/left by_hand 0 2 "$port" --precision fp32 --block-kib 64
  first=$!
  SHARDS=$BATS_TEST_TMPDIR/right by_hand 1 2 "$port" --precision fp32 --block-kib 64
  wait $! || { cat "$BATS_TEST_TMPDIR"/stderr.*; return 1; }
  wait "$first"
  [ "$(fact "$out" steps)" = 6 ]

  rm -r "$out" "$BATS_TEST_TMPDIR/right/train-00007.ipk"
  port=$(free_port) began=$SECONDS
  SHARDS=$BATS_TEST_TMPDIR/left by_hand 0 2 "$port" --precision fp32 --block-kib 64
  first=$!
  SHARDS=$BATS_TEST_TMPDIR/right by_hand 1 2 "$port" --precision fp32 --block-kib 64
  wait $! && return 1
  wait "$first" && return 1
  [ $((SECONDS - began)) -le 40 ]
  grep -qE "rank 1 of 2 on $(hostname) \(127.0.0.1\) failed in reading at step [0-9]+: .*train-00007.ipk" "$BATS_TEST_TMPDIR/stderr.0"
}

@test "two runs on one port: the second says so" {
  port=$(free_port)
  by_hand 0 2 "$port" --rank-timeout 30
  first=$!
  for _ in $(seq 200); do
    ! (exec 5<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || break
    sleep 0.1
  done
  began=$SECONDS
  RANK=0 WORLD_SIZE=2 MASTER_ADDR=127.0.0.1 MASTER_PORT=$port fails_with 1 "set MASTER_PORT to a free one on every rank" \
    train "$out-2" -q --rank-timeout 30
  [ $((SECONDS - began)) -le 20 ]
  kill -9 "$first"
  wait "$first" || true
}

@test "ranks that were given different runs are told so" {
  port=$(free_port)
  by_hand 0 2 "$port"
  first=$!
  by_hand 1 2 "$port" --lr 0.7
  status=0
  wait $! || status=$?
  [ "$status" = 2 ]
  grep -q "rank 1 was given another run than rank 0" "$BATS_TEST_TMPDIR/stderr.1"
  grep -qE "  lr: [0-9.]+ before, 0.7 now" "$BATS_TEST_TMPDIR/stderr.1"
  status=0
  wait "$first" || status=$?
  [ "$status" = 2 ]
}

@test "torchrun: a killed rank, a restart, and the run goes on from its checkpoint" {
  torchrun=$PROJECT_DIR/.venv/bin/torchrun
  [ -x "$torchrun" ] || skip "no torchrun in .venv"
  "$torchrun" --no-python --nnodes 1 --nproc-per-node 2 --max-restarts 1 --rdzv-backend c10d --rdzv-endpoint 127.0.0.1:0 \
    --local-addr 127.0.0.1 \
    "$BIN_DIR/imgtrain" --shards "$SHARDS" --recipe smoke --out "$out" --threads 1 --input-threads 1 --batch 16 \
    --bn-group 4 --train-size 32 --eval-size 32 --eval-resize 36 --duration 4ep --checkpoint-every 1ba --precision fp32 \
    >"$BATS_TEST_TMPDIR/stdout" 2>"$errors" 3>&- &
  pid=$!
  wait_for_checkpoint
  kill -9 "$(ranks_of "$pid" | tail -1)"
  ends_within 120
  [ "$status" = 0 ] || { cat "$errors"; return 1; }
  grep -q "ranks: 2, 2 of them here (torchrun)" "$errors"
  [ "$(fact "$out" resumes)" = 1 ]
  [ "$(fact "$out" samples_repeated)" = 0 ]
  [ "$(fact "$out" samples_skipped)" = 0 ]
  [ "$(fact "$out" steps)" = 24 ]
}

@test "--trace: exchanges of gradients begin before backward ends" {
  train "$out" --ranks 2 --trace "$BATS_TEST_TMPDIR/trace.json" -q >/dev/null
  "$PYTHON" - "$BATS_TEST_TMPDIR/trace.json" <<'END'
import json
import sys
events = [e for e in json.load(open(sys.argv[1]))["traceEvents"] if "ts" in e and "name" in e]
backward = [e for e in events if e["name"].startswith("autograd::engine::evaluate_function")]
exchange = [e for e in events if "all_reduce" in e["name"] or "allreduce" in e["name"]]
assert backward and exchange, sorted({e["name"] for e in events})
end = max(e["ts"] + e.get("dur", 0) for e in backward)
early = [e for e in exchange if e["ts"] < end]
assert early, "no exchange began before backward ended"
print(f"{len(early)} of {len(exchange)} exchanges began before backward ended")
END
}

@test "--gpus and --ranks are refused where they cannot be" {
  command -v nvidia-smi >/dev/null || fails_with 2 "--gpus: expected a CUDA device and the driver, found 0" train "$out" --gpus all
  fails_with 2 "--gpus and --ranks: expected one of the two" train "$out" --gpus 1 --ranks 2
  RANK=1 WORLD_SIZE=2 MASTER_ADDR=127.0.0.1 fails_with 2 "this process is rank 1 of 2 already" train "$out" --ranks 2
}
