#!/usr/bin/env bats
# cmake --install, and a program of somebody else's on find_package(imgpack).

setup_file() {
  export OMP_NUM_THREADS=1 prefix=$BATS_FILE_TMPDIR/prefix
  cmake --install "$BIN_DIR/.." --prefix "$prefix" >"$BATS_FILE_TMPDIR/install.log" 2>&1 ||
    { cat "$BATS_FILE_TMPDIR/install.log"; return 1; }
}

@test "installed programs run from their prefix" {
  "$prefix/bin/imgpack" --version | grep -q '^imgpack '
  "$prefix/bin/imgtrain" --version | grep -q '^imgtrain '
  "$prefix/bin/imgbench" list | grep -q '^decode '
}

@test "pages, completions, recipes, schemas, scripts and docs lie under share" {
  local file
  for file in man/man1/imgpack-build.1 man/man1/imgtrain.1 bash-completion/completions/imgpack \
    zsh/site-functions/_imgtrain fish/vendor_completions.d/imgpack.fish imgpack/recipes/fast.json \
    imgpack/schemas/manifest.schema.json imgpack/scripts/aws/up.sh imgpack/scripts/requirements/torch.txt \
    doc/imgpack/README.md doc/imgpack/docs/shard-format.md; do
    [ -s "$prefix/share/$file" ] || { echo "$file is missing"; return 1; }
  done
  [ -x "$prefix/share/imgpack/scripts/aws/up.sh" ]
}

@test "docs/examples/consumer is built by find_package(imgpack) and reads batches" {
  # Nothing of the source tree: only the prefix. Two datasets tell that it is the data that it prints.
  cp -r "$PROJECT_DIR/docs/examples/consumer" "$BATS_TEST_TMPDIR/source"
  cmake -S "$BATS_TEST_TMPDIR/source" -B "$BATS_TEST_TMPDIR/build" -G Ninja -DCMAKE_BUILD_TYPE=Release \
    -DCMAKE_PREFIX_PATH="$prefix" >"$BATS_TEST_TMPDIR/log" 2>&1 || { cat "$BATS_TEST_TMPDIR/log"; return 1; }
  cmake --build "$BATS_TEST_TMPDIR/build" >"$BATS_TEST_TMPDIR/log" 2>&1 || { tail -30 "$BATS_TEST_TMPDIR/log"; return 1; }
  if grep -q -- "$PROJECT_DIR" "$BATS_TEST_TMPDIR/build/build.ninja"; then return 1; fi
  local classes
  for classes in 3 5; do
    imgpack sample "$BATS_TEST_TMPDIR/raw$classes" --classes "$classes" --train 24 --val 6 --test 0 --size 40 >/dev/null
    imgpack build "$BATS_TEST_TMPDIR/raw$classes" "$BATS_TEST_TMPDIR/shards$classes" -q >/dev/null
    [[ $("$BATS_TEST_TMPDIR/build/read_batches" "$BATS_TEST_TMPDIR/shards$classes") == "$classes classes, "*" images, sum of labels "* ]]
  done
  run "$BATS_TEST_TMPDIR/build/read_batches" /nowhere
  [ "$status" = 1 ]
}
