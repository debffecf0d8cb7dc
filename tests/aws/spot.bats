#!/usr/bin/env bats
# The watcher of interruption notices, for everything that runs on a spot machine beside imgtrain.
bats_require_minimum_version 1.5.0

setup() {
  load support/helper
  [ -x "$test_python" ] || skip "the AWS test tools are not installed: scripts/setup --tests"
  quick
  start_metadata
  use_stand_ins imgtrain imgpack
  export FAKE_LOG=$BATS_TEST_TMPDIR/log
  run_folder=$BATS_TEST_TMPDIR/run
}
teardown() { stop_metadata; }

watch() { script spot-watch --poll 1s "$@"; }

@test "a notice ends the command with a checkpoint and 75; going on later gives what an uninterrupted run gives" {
  FAKE_STEPS=40 imgtrain --out "$BATS_TEST_TMPDIR/straight"
  notice_after test -f "$run_folder/checkpoints/latest"
  FAKE_STEPS=40 FAKE_STEP_SECONDS=0.3 watch -- imgtrain --out "$run_folder"
  assert_status 75
  assert_said 'terminate at 2030-01-01'
  assert_file_not_exist "$run_folder/final"
  rm "$metadata/meta-data/spot/instance-action"
  FAKE_STEPS=40 watch -- imgtrain --out "$run_folder"
  assert_status 0
  cmp "$run_folder/final" "$BATS_TEST_TMPDIR/straight/final"
  [ "$(grep -c resumed "$run_folder/train.log")" = 1 ]
}

@test "without a notice the command's own exit code is kept" {
  watch -- sh -c 'exit 0'
  assert_status 0
  watch -- sh -c 'exit 3'
  assert_status 3
  watch -- sh -c 'echo out; echo err >&2; exit 41'
  assert_status 41
  assert_output out
}

@test "a metadata service that is down, refuses, is slow or talks nonsense does not stop the work, and says so once" {
  printf 'this is not JSON' >"$metadata/meta-data/spot/instance-action"
  FAKE_STEPS=30 watch -- imgtrain --out "$run_folder"
  assert_status 0
  assert_said 'gives no answer'
  [ "$(grep -c 'gives no answer' <<<"$stderr")" = 1 ]
  rm "$metadata/meta-data/spot/instance-action"
  local trouble
  for trouble in _no_token _deny _slow; do
    touch "$metadata/$trouble"
    FAKE_STEPS=30 FAKE_STEP_SECONDS=0.03 watch -- imgtrain --out "$BATS_TEST_TMPDIR/run$trouble"
    assert_status 0
    assert_file_exist "$BATS_TEST_TMPDIR/run$trouble/final"
    rm "$metadata/$trouble"
  done
  stop_metadata
  FAKE_STEPS=30 watch -- imgtrain --out "$BATS_TEST_TMPDIR/run-down"
  assert_status 0
}

@test "tokens are renewed before they run out, and asked for again when one is refused" {
  IMGPACK_METADATA_TTL=1 FAKE_STEPS=60 FAKE_STEP_SECONDS=0.05 watch -- imgtrain --out "$run_folder"
  assert_status 0
  (($(grep -c '^PUT /latest/api/token 200' "$metadata/_log") >= 2))
  run ! grep -q ' 401$' "$metadata/_log"
}

@test "every question carries a token: the first version of the service is never used" {
  FAKE_STEPS=10 watch -- imgtrain --out "$run_folder"
  [ "$(head -n 1 "$metadata/_log")" = 'PUT /latest/api/token 200' ]
  run ! grep -q ' 401$' "$metadata/_log"
}

@test "a command that ignores SIGTERM is killed after --grace, with all its children" {
  before=$SECONDS
  notice_after test -s "$BATS_TEST_TMPDIR/grandchild"
  watch --grace 1s -- sh -c 'trap "" TERM; sleep 300 & echo $! >'"$BATS_TEST_TMPDIR"'/grandchild; wait; wait'
  assert_status 75
  assert_said SIGKILL
  ((SECONDS - before < 200)) # far from the hour that it would take
  run ! runs "$(<"$BATS_TEST_TMPDIR/grandchild")"
}

@test "SIGTERM to the watcher reaches the command, and the exit code is 75" {
  FAKE_STEPS=1000 FAKE_STEP_SECONDS=0.1 "$scripts/spot-watch.sh" -- imgtrain --out "$run_folder" 3>&- &
  watcher=$!
  wait_until test -f "$run_folder/checkpoints/latest"
  kill -TERM "$watcher"
  status=0
  wait "$watcher" || status=$?
  [ "$status" = 75 ]
  (($(cut -d' ' -f1 "$run_folder/checkpoints/$(<"$run_folder/checkpoints/latest")") >= 5))
}

@test "a command that is done when the notice comes is done" {
  # It gives the notice itself, and its last steps hold out however late the machine comes to them.
  export metadata
  export -f give_notice
  watch -- bash -c 'trap "" TERM; give_notice'
  assert_status 0
  # One that ends its work well after SIGTERM is done too.
  rm "$metadata/meta-data/spot/instance-action"
  notice_after test -e "$BATS_TEST_TMPDIR/ready"
  watch -- bash -c 'trap "exit 0" TERM; : >"$1"; while :; do sleep 0.05; done' bash "$BATS_TEST_TMPDIR/ready"
  assert_status 0
  assert_said 'notice to terminate'
}

@test "a notice that comes before the command has begun ends it without --grace" {
  give_notice
  stand_in setsid <<<$'#!/bin/bash\nexec sleep 300'
  before=$SECONDS
  watch --grace 200s -- imgtrain --out "$run_folder"
  assert_status 75
  refute_said SIGKILL
  ((SECONDS - before < 150))
}

@test "a rebalance recommendation alone ends nothing" {
  mkdir -p "$metadata/meta-data/events/recommendations"
  echo '{"noticeTime": "2030-01-01T00:00:00Z"}' >"$metadata/meta-data/events/recommendations/rebalance"
  FAKE_STEPS=20 watch -- imgtrain --out "$run_folder"
  assert_status 0
}

@test "a notice while warming exits 75, and the volume does not count as warm" {
  mkdir "$BATS_TEST_TMPDIR/pack"
  echo images >"$BATS_TEST_TMPDIR/raw"
  imgpack build "$BATS_TEST_TMPDIR/raw" "$BATS_TEST_TMPDIR/pack"
  before=$(find "$BATS_TEST_TMPDIR/pack" -type f -exec sha256sum {} + | sort)
  volume=vol-0123456789abcdef0
  notice_after grep -q verify "$FAKE_LOG"
  FAKE_VERIFY_SECONDS=60 watch --grace 5s -- "$scripts/volume-warm.sh" --volume "$volume" --files "$BATS_TEST_TMPDIR/pack"
  assert_status 75
  assert_file_not_exist "$IMGPACK_STATE/warm-$volume"
  [ "$(find "$BATS_TEST_TMPDIR/pack" -type f -exec sha256sum {} + | sort)" = "$before" ]
  rm "$metadata/meta-data/spot/instance-action"
  watch -- "$scripts/volume-warm.sh" --volume "$volume" --files "$BATS_TEST_TMPDIR/pack" --rate 200
  assert_status 0
  assert_file_exist "$IMGPACK_STATE/warm-$volume"
  grep -q -e '--warm --rate 200' "$FAKE_LOG"
  # Once in the life of a volume.
  before=$(wc -l <"$FAKE_LOG")
  script volume-warm --volume "$volume" --files "$BATS_TEST_TMPDIR/pack"
  assert_status 0
  [ "$(wc -l <"$FAKE_LOG")" = "$before" ]
}

@test "damage that is found while warming is no refusal but a wrong state, and the volume is not warm" {
  mkdir "$BATS_TEST_TMPDIR/pack"
  echo images >"$BATS_TEST_TMPDIR/raw"
  imgpack build "$BATS_TEST_TMPDIR/raw" "$BATS_TEST_TMPDIR/pack"
  echo damage >>"$BATS_TEST_TMPDIR/pack/train-00000.ipk"
  script volume-warm --volume vol-0123456789abcdef0 --files "$BATS_TEST_TMPDIR/pack"
  assert_status 3
  assert_file_not_exist "$IMGPACK_STATE/warm-vol-0123456789abcdef0"
}

@test "a whole device is warmed read-only" {
  need_loop_devices
  command -v fio >/dev/null || skip "needs fio: scripts/setup --tests"
  make_disk 32
  head -c 1000000 /dev/urandom | dd of="$disk" conv=notrunc status=none
  before=$(sha256sum <"$disk")
  show_devices "$disk" vol-0123456789abcdef0
  script volume-warm --volume vol-0123456789abcdef0 --device
  release_disks
  assert_status 0
  [ "$(sha256sum <"$image")" = "$before" ]
}
