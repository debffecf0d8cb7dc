#!/usr/bin/env bats
# Ctrl-C, SIGTERM and kill -9 in the middle of a build, and the same command again.
load support

setup_file() {
  imgpack sample "$BATS_FILE_TMPDIR/sample" --classes 4 --train 600 --val 40 --test 0 --size 64 >/dev/null
  imgpack build "$BATS_FILE_TMPDIR/sample" "$BATS_FILE_TMPDIR/whole" -q --shards 64 >/dev/null
}

setup() { source=$BATS_FILE_TMPDIR/sample out=$BATS_TEST_TMPDIR/out; }

# stop_with SIGNAL [FILE]: starts the build, sends SIGNAL when FILE of OUT is there (train-00003.ipk), for a temporary one
# at the latest when it has its name, prints the exit status. The build stands still while FILE is looked for, so that it
# gets no further on a busy machine.
stop_with() {
  local status=0 file=${2-train-00003.ipk}
  imgpack build "$source" "$out" -q -j 1 --shards 64 >/dev/null 2>"$BATS_TEST_TMPDIR/stderr" &
  local pid=$!
  for _ in $(seq 20000); do
    kill -STOP "$pid" 2>/dev/null || break
    case $(<"/proc/$pid/stat") in *") Z "*) break ;; esac
    if [ -e "$out/$file" ] || [ -e "$out/${file%.tmp}" ]; then break; fi
    kill -CONT "$pid"
    sleep 0.001
  done
  kill "-$1" "$pid" 2>/dev/null || true
  kill -CONT "$pid" 2>/dev/null || true
  wait "$pid" || status=$?
  echo "$status"
}

goes_on_to_the_same_bytes() {
  imgpack build "$source" "$out" -q --shards 64 >/dev/null
  [ "$(digest_of "$out")" = "$(digest_of "$BATS_FILE_TMPDIR/whole")" ]
}

@test "kill -9: the same command goes on to the same bytes" {
  [ "$(stop_with KILL)" = 137 ]
  [ ! -e "$out/manifest.json" ]
  goes_on_to_the_same_bytes
}

@test "kill -9 again and again, from the first file to the last: the same bytes in the end" {
  local file status killed=0
  for file in build.lock build.json train-00000.ipk.tmp train-00001.ipk train-00009.ipk train-00030.ipk.tmp train-00063.ipk \
    val-00000.ipk val-00031.ipk.tmp val-00063.ipk index.ipx.tmp; do
    [ ! -e "$out/manifest.json" ] || break
    status=$(stop_with KILL "$file")
    [ "$status" = 137 ] || [ "$status" = 0 ]
    [ "$status" = 0 ] || killed=$((killed + 1))
  done
  echo "killed $killed times"
  [ "$killed" -ge 8 ]
  goes_on_to_the_same_bytes
}

@test "SIGTERM: exit status 75, no temporary file, the same command goes on" {
  [ "$(stop_with TERM)" = 75 ]
  grep -q "finished shards are kept, run the same command to go on" "$BATS_TEST_TMPDIR/stderr"
  [ -z "$(find "$out" -name '*.tmp')" ]
  goes_on_to_the_same_bytes
}

@test "Ctrl-C: exit status 130" {
  # A background job of a shell ignores SIGINT; setsid with its own job control does not.
  set -m
  [ "$(stop_with INT)" = 130 ]
  goes_on_to_the_same_bytes
}

@test "an unfinished build with other options is an error that lists them" {
  [ "$(stop_with TERM)" = 75 ]
  fails_with 1 "an unfinished build of another source or with other options is here" imgpack build "$source" "$out" -q --shards 64 --seed 3
  grep -q "seed: 0 there, 3 now" "$BATS_TEST_TMPDIR/stderr"
}
