#!/usr/bin/env bats
# imgpack build: what it says and does with good sources.
load support

setup_file() { make_sample; }
setup() {
  source=$BATS_TEST_TMPDIR/source out=$BATS_TEST_TMPDIR/out.shards
  copy_sample "$source"
}

@test "builds beside the source, verifies, and is left alone the second time" {
  says "train: 48 images in 1 shard" imgpack build "$source"
  [ -f "$source.shards/manifest.json" ]
  says "no damage at level decode" imgpack verify "$source.shards"
  before=$(digest_of "$source.shards")
  says "finished before with the same options, left alone" imgpack build "$source"
  [ "$before" = "$(digest_of "$source.shards")" ]
}

@test "a trailing slash and a relative source mean the same OUT" {
  cd "$BATS_TEST_TMPDIR"
  imgpack build source/ -q >/dev/null
  [ -f source.shards/manifest.json ]
  cd source
  says "left alone" imgpack build .
}

@test "names what it recognised, the labels and their agreement" {
  imgpack build "$source" "$out" >/dev/null 2>"$BATS_TEST_TMPDIR/stderr"
  grep -qF "source: Kaggle or torrent tree (ILSVRC/Data/CLS-LOC)" "$BATS_TEST_TMPDIR/stderr"
  grep -qF "labels: LOC_val_solution.csv, Annotations XML: all agree" "$BATS_TEST_TMPDIR/stderr"
  grep -qF "built-in ILSVRC2012 labels: not applied, because val has 12 images" "$BATS_TEST_TMPDIR/stderr"
}

@test "quiet says nothing on standard error" {
  [ -z "$(imgpack build "$source" "$out" -q 2>&1 >/dev/null)" ]
}

@test "json is one object that a script reads" {
  imgpack build "$source" "$out" -q --json | jq -e '.message_type == "build" and .outcome == "built" and .exit_status == 0 and (.splits | map(.records)) == [48, 12, 6]'
  imgpack build "$source" "$out" -q --json | jq -e '.outcome == "already-finished"'
  imgpack plan "$source" "$out" -q --json | jq -e '(.splits | map(.images)) == [48, 12, 6]'
}

@test "the same bytes for 1 and 5 threads" {
  imgpack build "$source" "$out" -q -j 1 --shards 4 >/dev/null
  imgpack build "$source" "$out.5" -q -j 5 --shards 4 >/dev/null
  [ "$(digest_of "$out")" = "$(digest_of "$out.5")" ]
}

@test "Kaggle tree, prepared validation folders and plain split folders hold the same images" {
  imgpack build "$source" "$out" -q >/dev/null
  cls=$source/ILSVRC/Data/CLS-LOC
  tail -n +2 "$source/LOC_val_solution.csv" | while IFS=', ' read -r image wnid _; do
    mkdir -p "$cls/val/$wnid"
    mv "$cls/val/$image.JPEG" "$cls/val/$wnid/"
  done
  imgpack build "$source" "$out.prepared" -q >/dev/null
  mkdir "$BATS_TEST_TMPDIR/imagenet"
  mv "$cls/train" "$cls/val" "$cls/test" "$BATS_TEST_TMPDIR/imagenet"
  imgpack build "$BATS_TEST_TMPDIR/imagenet" "$out.plain" -q >/dev/null
  for other in prepared plain; do
    [ "$(imgpack inspect "$out" --json | jq .dataset_id)" = "$(imgpack inspect "$out.$other" --json | jq .dataset_id)" ]
  done
}

@test "odd images are converted and flagged; every other image keeps its bytes" {
  imgpack build "$source" "$out" -q >/dev/null
  [ "$(imgpack ls "$out" --long | grep -c converted)" = 2 ]
  imgpack ls "$out" --long | grep n90000001_0.JPEG | grep -q gray
  for name in $(imgpack ls "$out" --long | grep -v converted | cut -f 6); do
    file=$source/ILSVRC/Data/CLS-LOC/$name
    imgpack cat "$out" "$name" | cmp - "$file"
  done
}

@test "extract gives back the tree; nothing is overwritten" {
  imgpack build "$source" "$out" -q >/dev/null
  says "6 images" imgpack extract "$out" "$BATS_TEST_TMPDIR/x" --split test
  diff -r "$BATS_TEST_TMPDIR/x/test" "$source/ILSVRC/Data/CLS-LOC/test"
  fails_with 1 "file exists already" imgpack extract "$out" "$BATS_TEST_TMPDIR/x" --split test
}

@test "class folders alone become a train split" {
  says "train: 48 images" imgpack build "$source/ILSVRC/Data/CLS-LOC/train" "$out"
  imgpack inspect "$out" --json | jq -e '.splits | length == 1'
}

@test "images that cannot be packed are skipped, listed, and exit with 3 unless accepted" {
  imgpack sample "$BATS_TEST_TMPDIR/bad" --classes 4 --train 48 --val 12 --test 6 --size 40 --damaged 3 >/dev/null
  run imgpack build "$BATS_TEST_TMPDIR/bad" "$out"
  [ "$status" = 3 ]
  [[ $output == *"skipped train/n90000004/n90000004_11.JPEG: damaged"* ]]
  [[ $output == *"not-an-image"* && $output == *"empty"* ]]
  [ "$(jq '.skipped | length' "$out/manifest.json")" = 3 ]
  says "no damage" imgpack verify "$out"
  imgpack build "$BATS_TEST_TMPDIR/bad" "$out.2" -q --accept-skipped
}

@test "images that the ImageSets lists name and the tree lacks exit with 3 unless accepted" {
  rm "$source/ILSVRC/Data/CLS-LOC/train/n90000002/n90000002_3.JPEG"
  run imgpack build "$source" "$out"
  [ "$status" = 3 ]
  [[ $output == *"train: expected 48 images, found 47; missing: n90000002/n90000002_3"* ]]
  imgpack build "$source" "$out.2" -q --accept-missing
}

@test "options change the bytes and are recorded" {
  imgpack build "$source" "$out" -q --resize-max 30 --quality 80 >/dev/null
  [ "$(jq -r '.options.resize_max + " " + .options.quality' "$out/manifest.json")" = "30 80" ]
  imgpack ls "$out" --json | jq -e -s 'all(.width <= 30 and .height <= 30)' >/dev/null
  says "no damage" imgpack verify "$out"
}
