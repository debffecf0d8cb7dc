# Loaded by the bats files: short words for what they have in common.
# shellcheck shell=bash

# fails_with STATUS TEXT COMMAND…: it ends with STATUS and says TEXT on standard error; standard output stays empty.
fails_with() {
  local status=$1 text=$2 got=0
  shift 2
  "$@" >"$BATS_TEST_TMPDIR/stdout" 2>"$BATS_TEST_TMPDIR/stderr" || got=$?
  [ "$got" = "$status" ] || { echo "expected exit status $status, found $got"; cat "$BATS_TEST_TMPDIR/stderr"; return 1; }
  grep -qF -- "$text" "$BATS_TEST_TMPDIR/stderr" || { echo "expected on standard error: $text"; cat "$BATS_TEST_TMPDIR/stderr"; return 1; }
  [ ! -s "$BATS_TEST_TMPDIR/stdout" ] || { echo "expected nothing on standard output"; cat "$BATS_TEST_TMPDIR/stdout"; return 1; }
}

# says TEXT COMMAND…: it succeeds with TEXT on standard output.
says() {
  local text=$1
  shift
  "$@" >"$BATS_TEST_TMPDIR/stdout" 2>"$BATS_TEST_TMPDIR/stderr" || { echo "exit status $?"; cat "$BATS_TEST_TMPDIR/stderr"; return 1; }
  grep -qF -- "$text" "$BATS_TEST_TMPDIR/stdout" || { echo "expected on standard output: $text"; cat "$BATS_TEST_TMPDIR/stdout"; return 1; }
}

# One digest of all files of a folder, by name.
digest_of() { (cd "$1" && find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum); }

# A small sample, made once per file; tests copy it before they change it.
make_sample() {
  imgpack sample "$BATS_FILE_TMPDIR/sample" --classes 4 --train 48 --val 12 --test 6 --size 40 >/dev/null
}
copy_sample() { cp -r "$BATS_FILE_TMPDIR/sample" "$1"; }

# fact RUN NAME: what result.json of a finished run says.
fact() { jq -r ".$2" "$1/result.json"; }
