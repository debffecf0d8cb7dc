#!/usr/bin/env bats
# scripts/package: what it makes is unpacked into an empty folder and used there. PROJECT_DIR's build is the source.

setup_file() {
  export OMP_NUM_THREADS=1 out=$BATS_FILE_TMPDIR/out
  "$PROJECT_DIR/scripts/package" --build "$BIN_DIR/.." --out "$out" >"$BATS_FILE_TMPDIR/files" 2>"$BATS_FILE_TMPDIR/log" ||
    { cat "$BATS_FILE_TMPDIR/log"; return 1; }
  mkdir "$BATS_FILE_TMPDIR/small" "$BATS_FILE_TMPDIR/full" "$BATS_FILE_TMPDIR/deb"
  tar -xzf "$out"/imgpack-*.tar.gz -C "$BATS_FILE_TMPDIR/small" --strip-components=1
  tar -xzf "$out"/imgtrain-*.tar.gz -C "$BATS_FILE_TMPDIR/full" --strip-components=1
  dpkg-deb -x "$out"/imgpack_*.deb "$BATS_FILE_TMPDIR/deb"
}

setup() {
  small=$BATS_FILE_TMPDIR/small full=$BATS_FILE_TMPDIR/full deb=$BATS_FILE_TMPDIR/deb
  # As on a machine that has nothing of this project and no torch that could be found by chance.
  bare=(env -i "HOME=$BATS_TEST_TMPDIR" PATH=/usr/bin:/bin OMP_NUM_THREADS=1)
  torch=$(echo "$PROJECT_DIR"/.venv/lib/python3*/site-packages/torch)
}

make_and_verify() {
  "${bare[@]}" "$1" sample "$BATS_TEST_TMPDIR/raw" --classes 3 --train 12 --val 3 --test 0 --size 40 >/dev/null
  "${bare[@]}" "$1" build "$BATS_TEST_TMPDIR/raw" "$BATS_TEST_TMPDIR/shards" -q >/dev/null
  "${bare[@]}" "$1" verify "$BATS_TEST_TMPDIR/shards" -q
}

@test "both tarballs stay below 60 MiB, and SHA256SUMS holds" {
  (cd "$out" && sha256sum -c --quiet SHA256SUMS)
  local file
  for file in "$out"/*.tar.gz "$out"/*.deb; do
    [ "$(stat -c %s "$file")" -lt $((60 << 20)) ] || { ls -l "$file"; return 1; }
  done
}

@test "the same build gives the same bytes" {
  "$PROJECT_DIR/scripts/package" --build "$BIN_DIR/.." --out "$BATS_TEST_TMPDIR/again" imgpack deb 2>/dev/null
  cmp "$out"/imgpack-*.tar.gz "$BATS_TEST_TMPDIR"/again/imgpack-*.tar.gz
  cmp "$out"/imgpack_*.deb "$BATS_TEST_TMPDIR"/again/imgpack_*.deb
}

@test "imgpack alone: everything but glibc is inside, nothing of torch is" {
  make_and_verify "$small/bin/imgpack"
  "${bare[@]}" "$small/bin/imgbench" list | grep -q '^decode '
  local foreign
  foreign=$("${bare[@]}" ldd "$small/bin/imgpack" | grep -E '=> /(usr/)?lib' |
    grep -vE '/(libc|libm|libdl|libpthread|librt|libresolv|ld-linux-x86-64)\.so' || true)
  [ -z "$foreign" ] || { echo "$foreign"; return 1; }
  [ ! -e "$small/bin/imgtrain" ]
  [ -z "$(find "$small" -name '*imgtrain*' -path '*/man1/*')" ]
}

@test "full: programs, pages, completions, recipes, schemas and scripts are in it" {
  make_and_verify "$full/bin/imgpack"
  local file
  for file in share/man/man1/imgtrain-train.1 share/bash-completion/completions/imgtrain share/imgpack/recipes/fast.json \
    share/imgpack/schemas/run_config.schema.json scripts/aws/up.sh \
    scripts/requirements/torch.txt share/doc/imgpack/docs/training.md; do
    [ -s "$full/$file" ] || { echo "$file is missing"; return 1; }
  done
}

@test "imgtrain finds libtorch by --libtorch, IMGTRAIN_LIBTORCH, a folder beside it and a virtual environment" {
  "${bare[@]}" "$full/bin/imgtrain" --libtorch "$torch" --version | grep -q '^libtorch 2\.11\.0'
  "${bare[@]}" IMGTRAIN_LIBTORCH="$torch" "$full/bin/imgtrain" --version | grep -q '^imgtrain '
  "${bare[@]}" IMGTRAIN_LIBTORCH="$torch/.." "$full/bin/imgtrain" --version | grep -q '^imgtrain '
  "${bare[@]}" VIRTUAL_ENV="$PROJECT_DIR/.venv" "$full/bin/imgtrain" --version | grep -q '^imgtrain '
  ln -s "$torch" "$full/libtorch"
  "${bare[@]}" "$full/bin/imgtrain" --version | grep -q '^imgtrain '
  rm "$full/libtorch"
}

@test "the packaged imgtrain trains, and evaluates what it trained" {
  make_and_verify "$full/bin/imgpack"
  "${bare[@]}" IMGTRAIN_LIBTORCH="$torch" "$full/bin/imgtrain" --shards "$BATS_TEST_TMPDIR/shards" --recipe smoke \
    --threads 1 --input-threads 1 --batch 8 --bn-group 8 --train-size 32 --eval-size 32 --eval-resize 36 --duration 2ba \
    --precision fp32 -q --out "$BATS_TEST_TMPDIR/run" >/dev/null
  "${bare[@]}" IMGTRAIN_LIBTORCH="$torch" "$full/bin/imgtrain" eval --shards "$BATS_TEST_TMPDIR/shards" \
    --checkpoint "$BATS_TEST_TMPDIR/run" --json | jq -e '.message_type == "evaluation"'
}

@test "without libtorch, or with another one, imgtrain says what to do" {
  run "${bare[@]}" IMGTRAIN_LIBTORCH=/nowhere "$full/bin/imgtrain" --version
  [ "$status" = 2 ]
  [[ $output == *"no libtorch in /nowhere"* ]]
  mkdir -p "$BATS_TEST_TMPDIR/old/lib"
  touch "$BATS_TEST_TMPDIR/old/lib/libtorch_cpu.so"
  echo "__version__ = '2.10.0+cu130'" >"$BATS_TEST_TMPDIR/old/version.py"
  run "${bare[@]}" "$full/bin/imgtrain" --libtorch "$BATS_TEST_TMPDIR/old" --version
  [ "$status" = 2 ]
  [[ $output == *"is version 2.10.0, this program was built with 2.11.0"* ]]
  echo "__version__ = '2.11.0+cpu'" >"$BATS_TEST_TMPDIR/old/version.py"
  run "${bare[@]}" "$full/bin/imgtrain" --libtorch="$BATS_TEST_TMPDIR/old" --version
  [ "$status" = 2 ]
  # A program that was built without CUDA runs on any build of this version.
  if readelf -d "$full/libexec/imgpack/imgtrain" | grep -q libtorch_cuda; then [[ $output == *"is a CPU build"* ]]; fi
  run "${bare[@]}" "$full/bin/imgtrain" --libtorch
  [ "$status" = 2 ]
}

@test "no path of the machine that built them is left in the programs' run paths" {
  local program
  for program in "$full"/bin/imgpack "$full"/libexec/imgpack/imgtrain "$small"/bin/imgpack; do
    readelf -d "$program" | grep -E 'RPATH|RUNPATH' | grep -q '\[\$ORIGIN/[^:]*\]'
  done
  [ -z "$(readelf -d "$deb/usr/bin/imgpack" | grep -E 'RPATH|RUNPATH')" ]
}

@test "deb: Debian's own libraries, named as dependencies" {
  make_and_verify "$deb/usr/bin/imgpack"
  dpkg-deb -f "$out"/imgpack_*.deb Depends | grep -q 'libarchive13'
  dpkg-deb -f "$out"/imgpack_*.deb Depends | grep -q 'libtbb12'
  [ -s "$deb/usr/share/man/man1/imgpack-build.1.gz" ]
  "${bare[@]}" IMGTRAIN_LIBTORCH="$torch" "$deb/usr/bin/imgtrain" --version | grep -q '^imgtrain '
}

@test "unknown arguments and absent builds are named" {
  for option in --build --out; do
    run "$PROJECT_DIR/scripts/package" $option
    [ "$status" = 2 ]
    [ "$output" = "error: $option needs a folder" ]
  done
  run "$PROJECT_DIR/scripts/package" --nonsense
  [ "$status" = 2 ]
  run "$PROJECT_DIR/scripts/package" --build "$BATS_TEST_TMPDIR" imgpack
  [ "$status" = 1 ]
  [[ $output == *"no programs in"* ]]
}
