#!/usr/bin/env bats
# The public headers as pages: doxygen has nothing to complain of, and contracts reach the page.

setup() {
  command -v doxygen >/dev/null || skip "no doxygen on this machine"
  cd "$PROJECT_DIR"
  export DOXYGEN_OUTPUT=$BATS_TEST_TMPDIR/pages
  mkdir -p "$DOXYGEN_OUTPUT"
}

@test "doxygen makes pages of the public headers without a warning, with their contracts" {
  run doxygen docs/doxygen/Doxyfile
  [ "$status" = 0 ] || { echo "$output"; return 1; }
  [ -z "$output" ] || { echo "$output"; return 1; }
  grep -q "nullopt: the epoch is complete" "$DOXYGEN_OUTPUT/html/classimgtrain_1_1data_1_1BatchPipeline.html"
  grep -q "count x size x size x 3" "$DOXYGEN_OUTPUT/html/structimgtrain_1_1data_1_1Batch.html"
}

@test "a comment that doxygen cannot read would be found" {
  cp -r "$PROJECT_DIR/docs" "$PROJECT_DIR/scripts" "$BATS_TEST_TMPDIR"
  mkdir -p "$BATS_TEST_TMPDIR/format" "$BATS_TEST_TMPDIR/engine/data"
  printf '// A file.\n/// \\nonsense here\nint value();\n' >"$BATS_TEST_TMPDIR/format/bad.h"
  sed -i 's/^FILTER_PATTERNS.*//' "$BATS_TEST_TMPDIR/docs/doxygen/Doxyfile"
  cd "$BATS_TEST_TMPDIR"
  run doxygen docs/doxygen/Doxyfile
  [ "$status" != 0 ]
}
