#!/usr/bin/env bats
# Two network namespaces and a cable between them as two hosts, torchrun on both: the cable is cut while they train, all
# ranks end and name the host that is lost, and the same command goes on once the cable is back. Root only.
load ../cli/support

left=imgtrain-left-$$ right=imgtrain-right-$$

setup() {
  [ "$(id -u)" = 0 ] || skip "network namespaces need root"
  command -v ip >/dev/null || skip "no ip command (iproute2)"
  torchrun=$PROJECT_DIR/.venv/bin/torchrun
  [ -x "$torchrun" ] || skip "no torchrun in .venv"
  ip netns add "$left" 2>/dev/null || skip "this machine lets nobody make network namespaces"
  ip netns add "$right"
  ip -n "$left" link add cable type veth peer name cable netns "$right" ||
    skip "this machine lets nobody lay a cable between namespaces"
  for side in "$left 1" "$right 2"; do
    read -r name number <<<"$side"
    ip -n "$name" addr add "10.213.77.$number/24" dev cable
    ip -n "$name" link set cable up
    ip -n "$name" link set lo up
  done
  export OMP_NUM_THREADS=1
  imgpack sample "$BATS_TEST_TMPDIR/sample" --classes 4 --train 96 --val 18 --test 0 --size 40 >/dev/null
  imgpack build "$BATS_TEST_TMPDIR/sample" "$BATS_TEST_TMPDIR/shards" -q >/dev/null
  out=$BATS_TEST_TMPDIR/run
}

teardown() {
  for name in "$left" "$right"; do
    # shellcheck disable=SC2046 # one word a process
    kill -9 $(ip netns pids "$name" 2>/dev/null) 2>/dev/null || true
    ip netns delete "$name" 2>/dev/null || true
  done
}

options() {
  echo --shards "$BATS_TEST_TMPDIR/shards" --recipe smoke --threads 1 --input-threads 1 --batch 16 --bn-group 4 \
    --train-size 32 --eval-size 32 --eval-resize 36 --duration 10ep --checkpoint-every 1ba --precision fp32
}

# on_host SIDE NODE: its agent with one rank, in the background. Only the left one is given the run folder.
on_host() {
  local folder=$out
  [ "$2" = 0 ] || folder=$BATS_TEST_TMPDIR/elsewhere
  # shellcheck disable=SC2046 # the options have no spaces
  ip netns exec "$1" "$torchrun" --no-python --nnodes 2 --nproc-per-node 1 --node-rank "$2" \
    --master-addr 10.213.77.1 --master-port 29577 "$BIN_DIR/imgtrain" $(options) --out "$folder" \
    >"$BATS_TEST_TMPDIR/stdout.$2" 2>"$BATS_TEST_TMPDIR/stderr.$2" 3>&- &
}

# The imgtrain processes of a namespace.
ranks_in() {
  local process
  for process in $(ip netns pids "$1"); do
    [ "$(cat "/proc/$process/comm" 2>/dev/null)" != imgtrain ] || echo "$process"
  done
}


@test "the cable is cut: all ranks end within 30 s and name the other host; back again, the same command finishes the run" {
  # shellcheck disable=SC2046 # the options have no spaces
  imgtrain $(options) --out "$BATS_TEST_TMPDIR/whole" --ranks 2 -q >/dev/null
  on_host "$left" 0
  first=$!
  on_host "$right" 1
  second=$!
  for _ in $(seq 1200); do
    [ ! -e "$out/checkpoints/latest" ] || break
    sleep 0.05
  done
  [ -e "$out/checkpoints/latest" ] || { cat "$BATS_TEST_TMPDIR"/stderr.*; return 1; }
  ip -n "$left" link set cable down
  began=$SECONDS
  [ ! -e "$out/result.json" ]
  while [ -n "$(ranks_in "$left")$(ranks_in "$right")" ]; do
    [ $((SECONDS - began)) -le 30 ] || { cat "$BATS_TEST_TMPDIR"/stderr.*; return 1; }
    sleep 0.2
  done
  echo "# all ranks ended $((SECONDS - began)) s after the cut" >&3
  # Agents that wait for one another are torchrun's affair.
  for agent in "$first" "$second"; do
    for _ in $(seq 50); do
      [ -e "/proc/$agent" ] || break
      sleep 0.1
    done
    kill -9 "$agent" 2>/dev/null || true
    status=0
    wait "$agent" || status=$?
    [ "$status" != 0 ]
  done
  grep -qE "error: rank 0 of 2: .*rank 1 of 2 on .*\(10.213.77.2\) is lost: silent for [0-9]+ s, last seen in" "$BATS_TEST_TMPDIR/stderr.0"
  grep -qE "error: rank 1 of 2: .*10.213.77.1.* is lost" "$BATS_TEST_TMPDIR/stderr.1"
  [ ! -e "$out/result.json" ]

  ip -n "$left" link set cable up
  on_host "$left" 0
  first=$!
  on_host "$right" 1
  second=$!
  wait "$first" || { cat "$BATS_TEST_TMPDIR"/stderr.*; return 1; }
  wait "$second"
  [ "$(fact "$out" resumes)" = 1 ]
  for name in weights_digest order_digest steps samples_repeated samples_skipped; do
    [ "$(fact "$out" "$name")" = "$(fact "$BATS_TEST_TMPDIR/whole" "$name")" ] || { echo "$name differs"; return 1; }
  done
  [ ! -e "$BATS_TEST_TMPDIR/elsewhere" ]
}
