#!/usr/bin/env bats
# The tarball of imgpack alone in a bare Debian 12 root, which has none of the libraries that it needs. Slow: it may have
# to make the root first.

@test "imgpack packs and verifies in a bare Debian 12 root" {
  local tool=$PROJECT_DIR/../shared/tools/bare-root root=${BARE_ROOT:-/tmp/imgpack-bare-root}
  [ -x "$tool" ] || skip "../shared/tools/bare-root is not here"
  [ "$(id -u)" = 0 ] || skip "needs root"
  "$PROJECT_DIR/scripts/package" --build "$BIN_DIR/.." --out "$BATS_TEST_TMPDIR/out" imgpack 2>/dev/null
  # The checkout that is laid into the root holds the tarball and nothing else.
  git init -q "$BATS_TEST_TMPDIR/checkout"
  cp "$BATS_TEST_TMPDIR"/out/imgpack-*.tar.gz "$BATS_TEST_TMPDIR/checkout/imgpack.tar.gz"
  git -C "$BATS_TEST_TMPDIR/checkout" add .
  git -C "$BATS_TEST_TMPDIR/checkout" -c user.name=test -c user.email=test@localhost commit -q -m package
  run "$tool" "$root" "$BATS_TEST_TMPDIR/checkout" bash -euc '
    if ldconfig -p | grep -E "libtbb|libarchive|libjpeg|libboost"; then exit 9; fi
    rm -rf /opt/imgpack && mkdir -p /opt/imgpack
    tar -xzf imgpack.tar.gz -C /opt/imgpack --strip-components=1
    /opt/imgpack/bin/imgpack --version
    /opt/imgpack/bin/imgpack sample /tmp/raw --classes 3 --train 12 --val 3 --test 0 --size 40
    /opt/imgpack/bin/imgpack build /tmp/raw /tmp/shards -q
    /opt/imgpack/bin/imgpack verify /tmp/shards
    ls /opt/imgpack/share/man/man1/imgpack-build.1'
  echo "$output"
  [ "$status" = 0 ]
  [[ $output == *"no damage"* ]]
}
