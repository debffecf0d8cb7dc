#!/usr/bin/env bats
# Real photographs in the exact Kaggle layout (shared/data/tiny-ilsvrc.tar), and full-size ones (imagenet-samples.tar).
load ../cli/support

setup_file() {
  export DATA=$PROJECT_DIR/../shared/data
  [ -f "$DATA/tiny-ilsvrc.tar" ] || return 0
  mkdir "$BATS_FILE_TMPDIR/tiny"
  tar -xf "$DATA/tiny-ilsvrc.tar" -C "$BATS_FILE_TMPDIR/tiny"
}

setup() {
  [ -f "$DATA/tiny-ilsvrc.tar" ] || skip "$DATA/tiny-ilsvrc.tar is not here"
  source=$BATS_FILE_TMPDIR/tiny out=$BATS_TEST_TMPDIR/out
}

@test "tiny-ilsvrc: counts, labels as in the CSV, sound, and the built-in labels kept away" {
  imgpack build "$source" "$out" --shard-size 1MiB >/dev/null 2>"$BATS_TEST_TMPDIR/stderr"
  grep -qF "built-in ILSVRC2012 labels: not applied" "$BATS_TEST_TMPDIR/stderr"
  grep -qF "labels: LOC_val_solution.csv, Annotations XML: all agree" "$BATS_TEST_TMPDIR/stderr"
  imgpack inspect "$out" --json | jq -e '.splits | map(.records) == [5000, 500, 100]'
  tail -n +2 "$source/LOC_val_solution.csv" | sed -E 's/^([^,]+),(n[0-9]+) .*/\1 \2/' | sort >"$BATS_TEST_TMPDIR/expected"
  imgpack ls "$out" --split val --json | jq -r '(.name | rtrimstr(".JPEG")) + " " + .class' | sort >"$BATS_TEST_TMPDIR/found"
  [ "$(wc -l <"$BATS_TEST_TMPDIR/found")" = 500 ]
  diff "$BATS_TEST_TMPDIR/expected" "$BATS_TEST_TMPDIR/found"
  imgpack ls "$out" --split train --json | jq -e -s 'all(.class == (.name | split("/")[0]))' >/dev/null
  imgpack ls "$out" --split test --json | jq -e -s 'all(.label == -1)' >/dev/null
  says "5,600 images decoded" imgpack verify "$out"
}

@test "tiny-ilsvrc: the same bytes for 1 and 3 threads and after kill -9" {
  imgpack build "$source" "$out.1" -q -j 1 --shard-size 512KiB >/dev/null
  imgpack build "$source" "$out.3" -q -j 3 --shard-size 512KiB >/dev/null
  [ "$(digest_of "$out.1")" = "$(digest_of "$out.3")" ]
  imgpack build "$source" "$out" -q -j 1 --shard-size 512KiB >/dev/null &
  pid=$!
  for _ in $(seq 500); do
    [ -e "$out/train-00005.ipk" ] && break
    sleep 0.005
  done
  kill -9 "$pid"
  wait "$pid" || true
  [ ! -e "$out/manifest.json" ]
  imgpack build "$source" "$out" -q --shard-size 512KiB >/dev/null
  [ "$(digest_of "$out.1")" = "$(digest_of "$out")" ]
}

@test "full-size photographs: class folders made from names pack, verify and come back byte for byte" {
  [ -f "$DATA/imagenet-samples.tar" ] || skip "$DATA/imagenet-samples.tar is not here"
  mkdir "$BATS_TEST_TMPDIR/flat" "$BATS_TEST_TMPDIR/tree"
  tar -xf "$DATA/imagenet-samples.tar" -C "$BATS_TEST_TMPDIR/flat"
  for file in "$BATS_TEST_TMPDIR"/flat/*.JPEG; do
    wnid=$(basename "$file" | cut -d _ -f 1)
    mkdir -p "$BATS_TEST_TMPDIR/tree/$wnid"
    mv "$file" "$BATS_TEST_TMPDIR/tree/$wnid/"
  done
  imgpack build "$BATS_TEST_TMPDIR/tree" "$out" >/dev/null 2>"$BATS_TEST_TMPDIR/stderr"
  grep -qF "250 of the 1,000 ILSVRC2012 classes, numbered 0 to 249 by themselves" "$BATS_TEST_TMPDIR/stderr"
  says "250 images decoded" imgpack verify "$out"
  imgpack extract "$out" "$BATS_TEST_TMPDIR/back" >/dev/null
  diff -r "$BATS_TEST_TMPDIR/tree" "$BATS_TEST_TMPDIR/back/train"
}
