#!/usr/bin/env bats
# What bad input gets: an error that names the file and what was expected, the right exit status, nothing half-written.
load support

setup_file() { make_sample; }
setup() {
  source=$BATS_TEST_TMPDIR/source out=$BATS_TEST_TMPDIR/out.shards
  copy_sample "$source"
  cls=$source/ILSVRC/Data/CLS-LOC
}

# nothing_written: no dataset, no shard, no temporary file.
nothing_written() { [ ! -e "$out" ] || [ -z "$(ls -A "$out")" ]; }

@test "a source that is not there" {
  fails_with 1 "$BATS_TEST_TMPDIR/nowhere: no such file or folder" imgpack build "$BATS_TEST_TMPDIR/nowhere" "$out"
  nothing_written
}

@test "a source without images" {
  mkdir "$BATS_TEST_TMPDIR/empty"
  fails_with 1 "no image found: expected" imgpack build "$BATS_TEST_TMPDIR/empty" "$out"
  nothing_written
}

@test "an unreadable folder" {
  command -v setpriv >/dev/null || skip "no setpriv to become an ordinary user with"
  [ "$(id -u)" = 0 ] || skip "only root can become another user to be refused"
  chmod -R a+rX "$BATS_RUN_TMPDIR"
  for folder in "$BATS_RUN_TMPDIR" "$BATS_FILE_TMPDIR" "$BATS_TEST_TMPDIR"; do chmod a+rx "$folder"; done
  chmod 000 "$cls/train/n90000002"
  chmod 777 "$BATS_TEST_TMPDIR"
  setpriv --reuid=65534 --clear-groups ls "$source" >/dev/null || skip "an ordinary user cannot reach the test's folder"
  setpriv --reuid=65534 --clear-groups imgpack --version >/dev/null || skip "an ordinary user cannot run the program here"
  fails_with 1 "n90000002: cannot list the folder: Permission denied" setpriv --reuid=65534 --clear-groups imgpack build "$source" "$out"
  chmod 755 "$cls/train/n90000002"
  nothing_written
}

@test "an empty class folder" {
  mkdir "$cls/train/n90000009"
  fails_with 1 "n90000009: class folder has no image: expected" imgpack build "$source" "$out"
  nothing_written
}

@test "a label file for other images" {
  printf 'ImageId,PredictionString\nCOCO_0001,n90000001 0 0 1 1\n' >"$source/LOC_val_solution.csv"
  fails_with 1 "LOC_val_solution.csv: label file is for other images" imgpack build "$source" "$out"
  nothing_written
}

@test "label sources that disagree" {
  sed -i '/_00000003,/s/n9000000[0-9]/n90000004/; /_00000005,/s/n9000000[0-9]/n90000004/' "$source/LOC_val_solution.csv"
  fails_with 1 "label sources disagree on" imgpack build "$source" "$out"
  grep -q "ILSVRC2012_val_0000000[35].JPEG: LOC_val_solution.csv says n90000004, Annotations XML says n9000000" "$BATS_TEST_TMPDIR/stderr"
  nothing_written
}

@test "validation images without any label" {
  rm -r "$source/LOC_val_solution.csv" "$source/ILSVRC/Annotations"
  fails_with 1 "12 of the 12 images of val have no label" imgpack build "$source" "$out"
  nothing_written
}

@test "a validation class that train lacks" {
  rm -r "$source/LOC_synset_mapping.txt" "$cls/train/n90000003"
  fails_with 1 "are of classes that are not in the class folders of train" imgpack build "$source" "$out"
  nothing_written
}

@test "a class of LOC_synset_mapping.txt without a folder" {
  rm -r "$cls/train/n90000003"
  fails_with 1 "1 of the 4 classes of the LOC_synset_mapping.txt have no folder in train: n90000003" imgpack build "$source" "$out"
  nothing_written
}

@test "a damaged annotation" {
  echo "<annotation><object>" >"$source/ILSVRC/Annotations/CLS-LOC/val/ILSVRC2012_val_00000002.xml"
  fails_with 1 "ILSVRC2012_val_00000002.xml: XML is damaged" imgpack build "$source" "$out"
  nothing_written
}

@test "an output folder that is something else" {
  mkdir "$out"
  echo x >"$out/thesis.tex"
  fails_with 1 "$out: output folder is something else: expected a new or empty folder, or an earlier build, found 'thesis.tex'" imgpack build "$source" "$out" -q
  fails_with 1 "found 'thesis.tex'" imgpack build "$source" "$out" -q --fresh
  [ "$(ls "$out")" = thesis.tex ]
}

@test "an output that is a file" {
  echo x >"$out"
  fails_with 1 "$out: cannot list the folder: Not a directory" imgpack build "$source" "$out" -q
  [ "$(cat "$out")" = x ]
}

@test "an output inside the source" {
  fails_with 2 "OUT lies inside SOURCE" imgpack build "$source" "$source/shards"
  [ ! -e "$source/shards" ]
}

@test "a finished build with other options" {
  imgpack build "$source" "$out" -q >/dev/null
  before=$(digest_of "$out")
  fails_with 1 "seed: 0 there, 5 now" imgpack build "$source" "$out" -q --seed 5
  [ "$before" = "$(digest_of "$out")" ]
  imgpack build "$source" "$out" -q --seed 5 --fresh >/dev/null
  [ "$(jq .seed "$out/manifest.json")" = 5 ]
}

@test "a disk that is too small, noticed before" {
  mkdir "$BATS_TEST_TMPDIR/disk"
  mount -t tmpfs -o size=32k tmpfs "$BATS_TEST_TMPDIR/disk" 2>/dev/null || skip "cannot mount a small disk here"
  fails_with 1 "not enough space on this disk: expected about" imgpack build "$source" "$BATS_TEST_TMPDIR/disk/out" -q || failed=1
  [ ! -e "$BATS_TEST_TMPDIR/disk/out" ] || failed=1
  umount "$BATS_TEST_TMPDIR/disk"
  [ -z "${failed-}" ]
}

@test "a disk that gets full while packing, and the build that goes on after" {
  mkdir "$BATS_TEST_TMPDIR/disk"
  mount -t tmpfs -o size=160k tmpfs "$BATS_TEST_TMPDIR/disk" 2>/dev/null || skip "cannot mount a small disk here"
  # Encoded at quality 100 the images are larger than their sources, which nobody can know before.
  fails_with 1 "No space left on device" imgpack build "$source" "$BATS_TEST_TMPDIR/disk/out" -q --reencode-probability 1 --quality 100 --shards 8 || failed=1
  [ -z "$(find "$BATS_TEST_TMPDIR/disk/out" -name '*.tmp' -o -name manifest.json)" ] || failed=1
  mount -o remount,size=4m "$BATS_TEST_TMPDIR/disk"
  imgpack build "$source" "$BATS_TEST_TMPDIR/disk/out" -q --reencode-probability 1 --quality 100 --shards 8 >/dev/null || failed=1
  imgpack verify "$BATS_TEST_TMPDIR/disk/out" -q || failed=1
  umount "$BATS_TEST_TMPDIR/disk"
  [ -z "${failed-}" ]
}

@test "another build of the same folder at the same time" {
  mkdir "$out"
  exec 9>"$out/build.lock"
  flock -n 9
  fails_with 1 "$out: another build or pull is writing to this folder" imgpack build "$source" "$out" -q
  exec 9>&-
  imgpack build "$source" "$out" -q >/dev/null
}

@test "a shard with a flipped bit" {
  imgpack build "$source" "$out" -q >/dev/null
  printf '\x5a' | dd of="$out/train-00000.ipk" bs=1 seek=20000 conv=notrunc status=none
  run imgpack verify "$out" -q
  [ "$status" = 4 ]
  [[ $output == *"train-00000.ipk@"*"checksum"* ]]
}

@test "a shard set of another version" {
  "$PYTHON" -c 'import xxhash' 2>/dev/null || skip "no Python with xxhash in .venv, to seal the changed manifest with"
  imgpack build "$source" "$out" -q >/dev/null
  "$PYTHON" - "$out/manifest.json" <<'END'
import sys, xxhash
body = open(sys.argv[1]).read().split('  "checksum"')[0].replace('"major": 1', '"major": 9')
open(sys.argv[1], "w").write(body + '  "checksum": "%016x"\n}\n' % xxhash.xxh3_64_intdigest(body.encode()))
END
  fails_with 5 "manifest.json" imgpack inspect "$out"
  fails_with 5 "manifest.json" imgpack ls "$out"
}

@test "a folder that is no dataset" {
  fails_with 1 "manifest.json" imgpack verify "$source" -q
  fails_with 1 "manifest.json" imgpack inspect "$source"
}

@test "a record that is not there" {
  imgpack build "$source" "$out" -q >/dev/null
  fails_with 1 "the dataset has no record 'val/nothing.JPEG'" bash -c "imgpack cat '$out' val/nothing.JPEG | cat; exit \${PIPESTATUS[0]}"
  fails_with 2 "the dataset has no class 'n90000008'" imgpack ls "$out" --class n90000008
}
