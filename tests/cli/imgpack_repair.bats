#!/usr/bin/env bats
# What is done with datasets that exist: repair, diff, split.
load support

setup_file() { make_sample; imgpack build "$BATS_FILE_TMPDIR/sample" "$BATS_FILE_TMPDIR/s.shards" -q --shards 2 >/dev/null; }
setup() {
  source=$BATS_FILE_TMPDIR/sample out=$BATS_TEST_TMPDIR/s.shards
  cp -r "$BATS_FILE_TMPDIR/s.shards" "$out"
  before=$(digest_of "$out")
}

# break FILE OFFSET: the byte there becomes another one.
break_byte() { printf '\xa5' | dd of="$out/$1" bs=1 seek="$2" conv=notrunc status=none; }

@test "a whole dataset is left alone" {
  says "nothing to repair in 6 shards" imgpack repair "$out"
  [ "$(digest_of "$out")" = "$before" ]
}

@test "a lost footer, a lost index and a damaged header come back to the byte without a source" {
  truncate -s -100 "$out/train-00000.ipk"
  break_byte val-00000.ipk 30
  rm "$out/index.ipx"
  run imgpack verify "$out" --level checksums
  [ "$status" = 4 ]
  [[ $output == *"imgpack repair $out"* ]]
  says "can be repaired; nothing was changed" imgpack repair "$out" --dry-run
  says "as before" imgpack repair "$out"
  [ "$(digest_of "$out")" = "$before" ]
}

@test "damaged and lost records are packed again from the source, with the options in the manifest" {
  imgpack build "$source" "$out.small" -q --resize-max 30 --quality 80 --baseline >/dev/null
  small=$(digest_of "$out.small")
  break_byte ../s.shards.small/train-00000.ipk 600
  rm "$out.small/val-00000.ipk"
  run imgpack repair "$out.small"
  [ "$status" = 4 ]
  [[ $output == *"13 records cannot be brought back"* || $output == *"12 records cannot be brought back"* ]]
  says "as before" imgpack repair "$out.small" --source "$source" -q
  [ "$(digest_of "$out.small")" = "$small" ]
}

@test "the source of a repair may be the archive that was packed: a record, a lost shard, a lost manifest" {
  tar czf "$BATS_TEST_TMPDIR/all.tar.gz" -C "$source" .
  imgpack build "$BATS_TEST_TMPDIR/all.tar.gz" "$out.tar" -q --shards 2 >/dev/null
  packed=$(digest_of "$out.tar")
  break_byte ../s.shards.tar/train-00001.ipk 200
  rm "$out.tar/val-00000.ipk"
  says "nothing was changed" imgpack repair "$out.tar" --source "$BATS_TEST_TMPDIR/all.tar.gz" --dry-run -q
  says "every byte as it was" imgpack repair "$out.tar" --source "$BATS_TEST_TMPDIR/all.tar.gz" -q
  [ "$(digest_of "$out.tar")" = "$packed" ]
  [ -z "$(find "$BATS_TEST_TMPDIR" -name '*.tmp')" ]

  # Without its manifest nobody knows how a record was made: classes come from the archive, images do not.
  rm "$out.tar/manifest.json"
  says "manifest.json: it is missing; rebuilt" imgpack repair "$out.tar" --source "$BATS_TEST_TMPDIR/all.tar.gz" -q
}

@test "accepted loss is taken out, listed, and ends in 3" {
  break_byte train-00001.ipk 200
  run imgpack repair "$out" --accept-loss --json
  [ "$status" = 3 ]
  jq -e '.lost | length == 1' <<<"$output"
  jq -e '.skipped | length == 1 and (.[0].reason | startswith("taken out by repair"))' "$out/manifest.json"
  says "no damage" imgpack verify "$out"
  says "repaired, dataset $(jq -r .dataset_id "$BATS_FILE_TMPDIR/s.shards/manifest.json")" imgpack repair "$out" --source "$source" -q
  [ "$(digest_of "$out")" = "$before" ]
}

@test "an image that was damaged when it was packed is packed after all" {
  cp -r "$source" "$BATS_TEST_TMPDIR/src"
  image=$BATS_TEST_TMPDIR/src/ILSVRC/Data/CLS-LOC/train/n90000002/n90000002_7.JPEG
  cp "$image" "$BATS_TEST_TMPDIR/good.JPEG"
  truncate -s 300 "$image"
  imgpack build "$BATS_TEST_TMPDIR/src" "$out.2" -q --accept-skipped --shards 2 >/dev/null
  [ "$(jq '.skipped | length' "$out.2/manifest.json")" = 1 ]
  cp "$BATS_TEST_TMPDIR/good.JPEG" "$image"
  says "1 record packed from the source" imgpack repair "$out.2" --source "$BATS_TEST_TMPDIR/src" -q
  [ "$(jq '.skipped | length' "$out.2/manifest.json")" = 0 ]
  says "the same content" imgpack diff "$out" "$out.2"
}

@test "a lost manifest is rebuilt from the shards, classes and all" {
  rm "$out/manifest.json"
  says "manifest.json: it is missing; rebuilt" imgpack repair "$out"
  says "no damage" imgpack verify "$out"
  says "the same content" imgpack diff "$out" "$BATS_FILE_TMPDIR/s.shards"
}

@test "an unfinished build is not repaired but continued" {
  mkdir "$BATS_TEST_TMPDIR/half" && touch "$BATS_TEST_TMPDIR/half/build.json"
  fails_with 1 "this is an unfinished build" imgpack repair "$BATS_TEST_TMPDIR/half"
}

@test "diff tells other images from other packing" {
  imgpack build "$source" "$out.4" -q --shards 4 --entropy-index none >/dev/null
  run imgpack diff "$out" "$out.4"
  [ "$status" = 0 ]
  [[ $output == *"the same content: 66 records"*"packed with other options: entropy_index: 16 and none"* ]]
  imgpack build "$source" "$out.small" -q --resize-max 20 >/dev/null
  run imgpack diff "$out" "$out.small" --json
  [ "$status" = 1 ]
  jq -e '.same == false and .images > 50 and .labels == 0 and .only_in_first == 0' <<<"$output"
}

@test "split holds a validation set out of train, the same one every time" {
  says "minival: 8 images" imgpack split "$out" "$BATS_TEST_TMPDIR/a" --hold-out 2/class --to minival -q
  imgpack split "$out" "$BATS_TEST_TMPDIR/b" --hold-out 2/class --to minival -q >/dev/null
  [ "$(digest_of "$BATS_TEST_TMPDIR/a")" = "$(digest_of "$BATS_TEST_TMPDIR/b")" ]
  says "no damage" imgpack verify "$BATS_TEST_TMPDIR/a"
  imgpack ls "$BATS_TEST_TMPDIR/a" --split minival --json | jq -es 'group_by(.class) | map(length) == [2, 2, 2, 2]'
  imgpack split "$out" "$BATS_TEST_TMPDIR/c" --class n90000002 --class n90000004 -q >/dev/null
  imgpack ls "$BATS_TEST_TMPDIR/c" --split val --json | jq -es 'map(.label) | unique == [0, 1]'
  fails_with 2 "nothing to do" imgpack split "$out" "$BATS_TEST_TMPDIR/d"
  fails_with 2 "--hold-out: expected a share" imgpack split "$out" "$BATS_TEST_TMPDIR/d" --hold-out 2
  fails_with 1 "the dataset has no class 'n90000003x'" imgpack split "$out" "$BATS_TEST_TMPDIR/d" --class n90000003x
}

@test "every packing option is recorded in the manifest" {
  imgpack build "$source" "$out.all" -q --resize-short 25 --resize-max 60 --quality 77 --subsampling 4:2:2 \
    --reencode-probability 0.25 --no-larger --baseline --optimize --strip-metadata --apply-orientation \
    --convert-quality 88 --check header --entropy-index row --seed 9 >/dev/null
  jq -e '.options == {"seed": "9", "shard_bytes": "536870912", "shards": "by size", "resize_short": "25",
    "resize_max": "60", "reencode": "no", "reencode_probability": "0.25", "quality": "77", "subsampling": "4:2:2",
    "convert_quality": "88", "no_larger": "yes", "to_baseline": "yes", "optimise_huffman": "yes",
    "strip_metadata": "yes", "apply_orientation": "yes", "check": "header", "entropy_index": "row"}' "$out.all/manifest.json"
  # And read back: the same bytes come from the source.
  all=$(digest_of "$out.all")
  rm "$out.all/train-00000.ipk"
  says "as before" imgpack repair "$out.all" --source "$source" -q
  [ "$(digest_of "$out.all")" = "$all" ]
}

@test "verify --warm reads every record once, in training order, and finds damage" {
  says "no damage at level checksums: 6 shards, 66 records" imgpack verify "$out" --warm --rate 500
  says "66 images decoded" imgpack verify "$out" --warm --level decode --seed 3 --epoch 2
  break_byte train-00001.ipk 300
  run imgpack verify "$out" --warm --json -q
  [ "$status" = 4 ]
  jq -e '.counts.record == 1 and (.repair | startswith("imgpack repair"))' <<<"$output"
}
