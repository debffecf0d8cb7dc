#!/usr/bin/env bats
# Both tarballs in a bare Debian 12 root, which has none of the libraries that they need. Slow: it may have to make the
# root first.

setup() {
  tool=$PROJECT_DIR/../shared/tools/bare-root root=${BARE_ROOT:-/tmp/imgpack-bare-root}
  [ -x "$tool" ] || skip "../shared/tools/bare-root is not here"
  [ "$(id -u)" = 0 ] || skip "needs root"
}

# in_bare_root TARBALL COMMANDS: unpacked at /opt/imgpack there. The checkout that is laid into the root holds the tarball
# and nothing else.
in_bare_root() {
  git init -q "$BATS_TEST_TMPDIR/checkout"
  cp "$1" "$BATS_TEST_TMPDIR/checkout/package.tar.gz"
  git -C "$BATS_TEST_TMPDIR/checkout" add .
  git -C "$BATS_TEST_TMPDIR/checkout" -c user.name=test -c user.email=test@localhost commit -q -m package
  run "$tool" "$root" "$BATS_TEST_TMPDIR/checkout" bash -euc "
    if ldconfig -p | grep -E 'libtbb|libarchive|libjpeg|libboost|libtorch'; then exit 9; fi
    rm -rf /opt/imgpack && mkdir -p /opt/imgpack
    tar -xzf package.tar.gz -C /opt/imgpack --strip-components=1
    PATH=/opt/imgpack/bin:\$PATH
    imgpack --version
    imgpack sample /tmp/raw --classes 3 --train 12 --val 3 --test 0 --size 40
    imgpack build /tmp/raw /tmp/shards -q
    imgpack verify /tmp/shards
    $2"
  echo "$output"
  [ "$status" = 0 ]
  [[ $output == *"no damage"* ]]
}

@test "imgpack packs and verifies in a bare Debian 12 root" {
  "$PROJECT_DIR/scripts/package" --build "$BIN_DIR/.." --out "$BATS_TEST_TMPDIR/out" imgpack 2>/dev/null
  in_bare_root "$BATS_TEST_TMPDIR"/out/imgpack-*.tar.gz 'ls /opt/imgpack/share/man/man1/imgpack-build.1'
}

@test "imgtrain trains and evaluates there, with nothing but a torch wheel beside it" {
  "$PROJECT_DIR/scripts/package" --build "$BIN_DIR/.." --out "$BATS_TEST_TMPDIR/out" full 2>/dev/null
  # The wheels of this machine, as pip would lay them: linked where the root is on the same disk.
  local site
  site=$(echo "$PROJECT_DIR"/.venv/lib/python3*/site-packages)
  mkdir -p "$root/opt"
  rm -rf "$root/opt/wheels"
  mkdir "$root/opt/wheels"
  cp -al "$site/torch" "$site/nvidia" "$root/opt/wheels/" 2>/dev/null || cp -a "$site/torch" "$site/nvidia" "$root/opt/wheels/"
  in_bare_root "$BATS_TEST_TMPDIR"/out/imgtrain-*.tar.gz '
    export IMGTRAIN_LIBTORCH=/opt/wheels/torch OMP_NUM_THREADS=1
    imgtrain --version
    imgtrain --shards /tmp/shards --recipe smoke --threads 1 --input-threads 1 --batch 8 --bn-group 8 --train-size 32 \
      --eval-size 32 --eval-resize 36 --duration 2ba --precision fp32 -q --out /tmp/run
    imgtrain eval --shards /tmp/shards --checkpoint /tmp/run --json'
  rm -rf "$root/opt/wheels"
  [[ $output == *'"message_type"'*'"evaluation"'* ]]
}
