#!/usr/bin/env bats
# Where labels come from and where they go: valprep.sh, the devkit, a user's file, relabel, add-labels.
load support

setup_file() { make_sample; }
setup() {
  source=$BATS_TEST_TMPDIR/source out=$BATS_TEST_TMPDIR/out.shards
  copy_sample "$source"
  cls=$source/ILSVRC/Data/CLS-LOC
}

# rows COMMAND…: every row of the solution as `image wnid`.
rows() { tail -n +2 "$source/LOC_val_solution.csv" | tr ',' ' ' | cut -d ' ' -f 1,2; }

@test "valprep.sh is read beside the source, compared, and never run" {
  rows | while read -r image wnid; do echo "mv $image.JPEG $wnid/"; done >"$source/valprep.sh"
  echo "touch $BATS_TEST_TMPDIR/was-run" >>"$source/valprep.sh"
  imgpack plan "$source" "$out" 2>"$BATS_TEST_TMPDIR/stderr" >/dev/null
  grep -qF "labels: LOC_val_solution.csv, Annotations XML, valprep.sh: all agree" "$BATS_TEST_TMPDIR/stderr"
  [ ! -e "$BATS_TEST_TMPDIR/was-run" ]
  sed -i '1s/n9000000[1-4]/n90000009/' "$source/valprep.sh"
  run imgpack plan "$source" "$out"
  [ "$status" = 1 ]
  [[ $output == *"label sources disagree on 1 of the 12 images of val"*"valprep.sh says n90000009"* ]]
}

@test "a user's own file labels val, alone or beside the rest" {
  rows | tr ' ' ',' >"$BATS_TEST_TMPDIR/mine.csv"
  rm -r "$source/LOC_val_solution.csv" "$source/ILSVRC/Annotations"
  fails_with 1 "12 of the 12 images of val have no label" imgpack build "$source" "$out" -q
  imgpack build "$source" "$out" -q --labels "$BATS_TEST_TMPDIR/mine.csv" >/dev/null
  jq -e '.provenance["labels of val"] == "mine.csv"' "$out/manifest.json"
  fails_with 1 "labels for a split that the source lacks: test" \
    imgpack plan "$cls/train" "$out" -q --labels "test=$BATS_TEST_TMPDIR/mine.csv"
}

@test "the devkit's ids are names of classes and never numbers of them" {
  mkdir -p "$source/devkit/data"
  # Ids in another order than the sorted one: 4, 3, 2, 1.
  for c in 1 2 3 4; do echo "$((5 - c)) n9000000$c"; done >"$source/devkit/data/map_clsloc.txt"
  rows | sort | while read -r _ wnid; do grep " $wnid" "$source/devkit/data/map_clsloc.txt" | cut -d ' ' -f 1; done \
    >"$source/devkit/data/ILSVRC2012_validation_ground_truth.txt"
  imgpack plan "$source" "$out" 2>"$BATS_TEST_TMPDIR/stderr" >/dev/null
  grep -qF "ILSVRC2012_validation_ground_truth.txt (ids by map_clsloc.txt): all agree" "$BATS_TEST_TMPDIR/stderr"
  rm "$source/devkit/data/map_clsloc.txt"
  fails_with 1 "ids cannot be told from classes: expected the 50,000 lines of ILSVRC2012, found 12" imgpack plan "$source" "$out" -q
}

@test "relabel sorts val into class folders by links, copies, and says so once" {
  for kind in hard symbolic copy; do
    tree=$BATS_TEST_TMPDIR/$kind
    says "12 images in 4 class folders" imgpack relabel "$source" "$tree" -q --links "$kind"
    rows | while read -r image wnid; do cmp "$tree/val/$wnid/$image.JPEG" "$cls/val/$image.JPEG"; done
    says "left alone" imgpack relabel "$source" "$tree" -q --links "$kind"
  done
  [ -L "$(find "$BATS_TEST_TMPDIR/symbolic/val" -name '*.JPEG' | head -1)" ]
  [ "$(find "$cls/val" -name '*.JPEG' -links 2 | wc -l)" = 12 ]
  mkdir "$BATS_TEST_TMPDIR/full" && touch "$BATS_TEST_TMPDIR/full/file"
  fails_with 1 "output folder is not empty" imgpack relabel "$source" "$BATS_TEST_TMPDIR/full" -q
}

@test "relabel --csv reads an archive as it reads its folder; a tree of links wants files" {
  tar cf "$BATS_TEST_TMPDIR/all.tar" -C "$source" .
  imgpack relabel "$source" "$BATS_TEST_TMPDIR/folder.csv" -q --csv >/dev/null
  imgpack relabel "$BATS_TEST_TMPDIR/all.tar" "$BATS_TEST_TMPDIR/archive.csv" -q --csv >/dev/null
  cmp "$BATS_TEST_TMPDIR/folder.csv" "$BATS_TEST_TMPDIR/archive.csv"
  fails_with 1 "an archive has no files to link to" imgpack relabel "$BATS_TEST_TMPDIR/all.tar" "$BATS_TEST_TMPDIR/tree" -q
}

@test "a relabelled tree packs to the same validation set" {
  imgpack build "$source" "$out" -q >/dev/null
  imgpack relabel "$source" "$BATS_TEST_TMPDIR/tree" -q --split train --split val >/dev/null
  imgpack build "$BATS_TEST_TMPDIR/tree" "$out.2" -q >/dev/null
  imgpack diff "$out" "$out.2" >"$BATS_TEST_TMPDIR/diff" || true
  grep -qF "split test: only in the first" "$BATS_TEST_TMPDIR/diff"
  grep -qF "60 records the same, 0 other images, 0 other labels, 6 only in the first, 0 only in the second" "$BATS_TEST_TMPDIR/diff"
}

@test "relabel --csv writes a table that --labels reads back; build --relabel-only is the same tree" {
  imgpack relabel "$source" "$BATS_TEST_TMPDIR/val.csv" -q --csv >/dev/null
  [ "$(head -1 "$BATS_TEST_TMPDIR/val.csv")" = image,wnid,label ]
  imgpack plan "$source" "$out" --labels "$BATS_TEST_TMPDIR/val.csv" 2>&1 >/dev/null | grep -qF "labels: val.csv, LOC_val_solution.csv, Annotations XML: all agree"
  says "12 images in 4 class folders" imgpack build "$source" -q --relabel-only
  [ -d "$source.relabeled/val/n90000001" ]
  [ ! -e "$source.shards" ]
}

@test "ReaL labels of the ILSVRC2012 set are refused for other images" {
  imgpack build "$source" "$out" -q >/dev/null
  echo '[[1]]' >"$BATS_TEST_TMPDIR/real.json"
  fails_with 1 "expected one row for each of the 50,000 validation images, found 1" imgpack add-labels "$out" "$BATS_TEST_TMPDIR/real.json"
  jq -nc '[range(50000) | [0]]' >"$BATS_TEST_TMPDIR/real.json"
  fails_with 1 "ReaL labels are for other images" imgpack add-labels "$out" "$BATS_TEST_TMPDIR/real.json"
  fails_with 1 "the dataset has no label set 'real'" imgpack add-labels "$out" --remove
  fails_with 2 "FILE is missing" imgpack add-labels "$out"
}

@test "ReaL labels become a label set that inspect shows and an independent reader reads" {
  # Images of the true names and classes: 1, 2 and 3 are n01751748 (65), n09193705 (970) and n02105855 (230).
  mkdir -p "$BATS_TEST_TMPDIR/true/"{train,val}/{n01751748,n09193705,n02105855}
  cp "$cls/train/n90000001/n90000001_3.JPEG" "$BATS_TEST_TMPDIR/true/train/n01751748/a.JPEG"
  cp "$cls/train/n90000001/n90000001_4.JPEG" "$BATS_TEST_TMPDIR/true/train/n09193705/b.JPEG"
  cp "$cls/train/n90000001/n90000001_5.JPEG" "$BATS_TEST_TMPDIR/true/train/n02105855/c.JPEG"
  cp "$cls/train/n90000002/n90000002_3.JPEG" "$BATS_TEST_TMPDIR/true/val/n01751748/ILSVRC2012_val_00000001.JPEG"
  cp "$cls/train/n90000002/n90000002_4.JPEG" "$BATS_TEST_TMPDIR/true/val/n09193705/ILSVRC2012_val_00000002.JPEG"
  cp "$cls/train/n90000002/n90000002_5.JPEG" "$BATS_TEST_TMPDIR/true/val/n02105855/ILSVRC2012_val_00000003.JPEG"
  jq -nc '[[], [970, 795], [230, 65]] + [range(49997) | []]' >"$BATS_TEST_TMPDIR/real.json"
  imgpack build "$BATS_TEST_TMPDIR/true" "$out" --real "$BATS_TEST_TMPDIR/real.json" 2>&1 >/dev/null | grep -qF "label set real of val: 2 of 3 images have labels"
  imgpack inspect "$out" | grep -qF "real for val"
  imgpack verify "$out" >/dev/null
  # Classes in sorted order: n01751748 0, n02105855 1, n09193705 2; class 795 is not here.
  [ "$(jq -c '.labels | sort' "$out/labels-real.json")" = "[[],[0,1],[2]]" ]
  "$PYTHON" "$PROJECT_DIR/docs/examples/read_shards.py" "$out" | grep -qxF "label set real"
  says "was there before" imgpack add-labels "$out" "$BATS_TEST_TMPDIR/real.json"
  says "removed" imgpack add-labels "$out" --remove
  [ ! -e "$out/labels-real.json" ]
  imgpack verify "$out" >/dev/null
}
