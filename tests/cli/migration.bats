#!/usr/bin/env bats
# The way from WebDataset's tars that docs/comparison.md shows: its own lines are run, not a copy of them.
load support

@test "the commands of docs/comparison.md turn WebDataset tars into the same images with the same labels" {
  make_sample
  imgpack build "$BATS_FILE_TMPDIR/sample" "$BATS_TEST_TMPDIR/first" -q >/dev/null
  imgpack export "$BATS_TEST_TMPDIR/first" "$BATS_TEST_TMPDIR/tars" --format webdataset --split train -q >/dev/null
  cd "$BATS_TEST_TMPDIR/tars"
  sed -n '/^### From WebDataset/,/^Whole numbers/p' "$PROJECT_DIR/docs/comparison.md" | grep '^    ' >"$BATS_TEST_TMPDIR/commands"
  [ "$(wc -l <"$BATS_TEST_TMPDIR/commands")" = 3 ]
  OUT=$BATS_TEST_TMPDIR/second
  sed "s|OUT\$|$OUT -q|" "$BATS_TEST_TMPDIR/commands" | bash -e >/dev/null
  labels() { imgpack ls "$1" --split train --json | jq -r .label | sort | uniq -c; }
  diff <(labels "$BATS_TEST_TMPDIR/first") <(labels "$OUT")
  bytes() { imgpack ls "$1" --split train --json | jq -r .image_bytes | sort; }
  diff <(bytes "$BATS_TEST_TMPDIR/first") <(bytes "$OUT")
}
