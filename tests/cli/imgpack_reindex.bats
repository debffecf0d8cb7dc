#!/usr/bin/env bats
# imgpack reindex: entropy indexes of finished shards, also after kill -9.
load support

setup_file() {
  imgpack sample "$BATS_FILE_TMPDIR/sample" --classes 4 --train 600 --val 40 --test 0 --size 64 >/dev/null
  imgpack build "$BATS_FILE_TMPDIR/sample" "$BATS_FILE_TMPDIR/plain" -q --shards 64 --entropy-index none >/dev/null
}

setup() {
  data=$BATS_TEST_TMPDIR/data
  cp -r "$BATS_FILE_TMPDIR/plain" "$data"
}

dataset_id() { imgpack inspect "$1" --json | sed -n 's/.*"dataset_id": "\([0-9a-f]*\)".*/\1/p' | head -1; }

@test "indexes are added and removed; the dataset id stays, every byte is sound" {
  # One of the sample is progressive.
  says "entropy index written anew (16), in 639 of 640 records" imgpack reindex "$data" -q
  [ "$(dataset_id "$data")" = "$(dataset_id "$BATS_FILE_TMPDIR/plain")" ]
  imgpack verify "$data" -q >/dev/null
  says "had this entropy index before, left alone" imgpack reindex "$data" -q
  imgpack reindex "$data" -q --entropy-index none >/dev/null
  [ "$(digest_of "$data")" = "$(digest_of "$BATS_FILE_TMPDIR/plain")" ]
}

@test "kill -9: nothing reads half of it, and the same command goes on to the same bytes" {
  imgpack reindex "$data" -q >/dev/null
  local whole status=0
  whole=$(digest_of "$data")
  rm -r "$data"
  cp -r "$BATS_FILE_TMPDIR/plain" "$data"
  imgpack reindex "$data" -q -j 1 >/dev/null 2>&1 &
  local pid=$!
  for _ in $(seq 500); do
    grep -qF '"file": "train-00003.ipk"' "$data/reindex.json" 2>/dev/null && break
    sleep 0.005
  done
  kill -KILL "$pid"
  wait "$pid" || status=$?
  [ "$status" = 137 ]
  fails_with 1 "this dataset is being reindexed" imgpack inspect "$data"
  imgpack reindex "$data" -q >/dev/null
  [ "$(digest_of "$data")" = "$whole" ]
}

@test "mistakes are named" {
  fails_with 2 "--entropy-index: expected a whole number, 1 to 65535, found" imgpack reindex "$data" --entropy-index rows
  fails_with 1 "there is no dataset here" imgpack reindex "$BATS_TEST_TMPDIR"
}
