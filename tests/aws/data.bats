#!/usr/bin/env bats
# Fetching and packing on the machine: whole or not at all, and going on where it stopped.
bats_require_minimum_version 1.5.0

setup_file() { load support/helper && start_aws; }
teardown_file() { load support/helper && stop_aws; }
setup() {
  load support/helper && use_aws
  use_stand_ins imgpack
  export FAKE_LOG=$BATS_TEST_TMPDIR/log
  dest=$BATS_TEST_TMPDIR/data
  mkdir "$dest"
}
teardown() {
  release_disks
  [ -z "${web_pid-}" ] || kill "$web_pid" 2>/dev/null || :
}

# serve FOLDER -> web: its address
serve() {
  "$test_python" -u -c 'import functools, http.server, sys
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(http.server.SimpleHTTPRequestHandler, directory=sys.argv[1]))
print(server.server_port, flush=True)
server.serve_forever()' "$1" >"$BATS_TEST_TMPDIR/web.port" 2>/dev/null 3>&- &
  web_pid=$!
  wait_until test -s "$BATS_TEST_TMPDIR/web.port"
  web=http://127.0.0.1:$(<"$BATS_TEST_TMPDIR/web.port")
}
make_archive() { # FILE
  mkdir -p "$BATS_TEST_TMPDIR/tree/train/n01"
  head -c 200000 /dev/urandom >"$BATS_TEST_TMPDIR/tree/train/n01/a.JPEG"
  tar -czf "$1" -C "$BATS_TEST_TMPDIR" tree
}
fetch() { script fetch-imagenet --dest "$dest" --source "$@"; }
marker() { cat "$dest/.imgpack/fetched" 2>/dev/null; }

@test "an archive from the web is fetched, checked, and its name, size and hash are written down; again is nothing to do" {
  command -v aria2c >/dev/null || skip "needs aria2: scripts/setup --tests"
  mkdir "$BATS_TEST_TMPDIR/www"
  make_archive "$BATS_TEST_TMPDIR/www/set.tar.gz"
  (cd "$BATS_TEST_TMPDIR/www" && sha256sum set.tar.gz >"$BATS_TEST_TMPDIR/sums")
  serve "$BATS_TEST_TMPDIR/www"
  fetch "$web/set.tar.gz" --sha256 "$BATS_TEST_TMPDIR/sums"
  assert_status 0
  assert_output "$dest/incoming/set.tar.gz"
  [[ $(marker) == *"archive $(stat -c %s "$BATS_TEST_TMPDIR/www/set.tar.gz") $(cut -d' ' -f1 "$BATS_TEST_TMPDIR/sums") $dest/incoming/set.tar.gz"* ]]
  kill "$web_pid"
  fetch "$web/set.tar.gz" --sha256 "$BATS_TEST_TMPDIR/sums"
  assert_status 0
  assert_said 'fetched before'
}

@test "an archive with the wrong checksum is deleted, the exit code is 3, and nothing counts as fetched" {
  command -v aria2c >/dev/null || skip "needs aria2: scripts/setup --tests"
  mkdir "$BATS_TEST_TMPDIR/www"
  make_archive "$BATS_TEST_TMPDIR/www/set.tar.gz"
  echo "0000000000000000000000000000000000000000000000000000000000000000  set.tar.gz" >"$BATS_TEST_TMPDIR/sums"
  serve "$BATS_TEST_TMPDIR/www"
  fetch "$web/set.tar.gz" --sha256 "$BATS_TEST_TMPDIR/sums"
  assert_status 3
  assert_said 'checksum'
  assert_file_not_exist "$dest/incoming/set.tar.gz"
  assert_file_not_exist "$dest/.imgpack/fetched"
}

@test "what is not on the server is told, not retried for ever" {
  command -v aria2c >/dev/null || skip "needs aria2: scripts/setup --tests"
  mkdir "$BATS_TEST_TMPDIR/www"
  serve "$BATS_TEST_TMPDIR/www"
  fetch "$web/absent.tar.gz"
  assert_status 3
  assert_file_not_exist "$dest/.imgpack/fetched"
}

@test "an archive that was cut off is no fetched archive" {
  mkdir "$BATS_TEST_TMPDIR/in"
  make_archive "$BATS_TEST_TMPDIR/whole.tar.gz"
  head -c 50000 "$BATS_TEST_TMPDIR/whole.tar.gz" >"$BATS_TEST_TMPDIR/in/set.tar.gz"
  fetch "$BATS_TEST_TMPDIR/in"
  assert_status 3
  assert_said 'not whole'
  assert_file_not_exist "$dest/.imgpack/fetched"
  rm "$BATS_TEST_TMPDIR/in/set.tar.gz"
  gzip -dc "$BATS_TEST_TMPDIR/whole.tar.gz" | head -c 50000 >"$BATS_TEST_TMPDIR/in/set.tar"
  fetch "$BATS_TEST_TMPDIR/in"
  assert_status 3
  assert_file_not_exist "$dest/.imgpack/fetched"
  rm "$BATS_TEST_TMPDIR/in/set.tar"
  (cd "$BATS_TEST_TMPDIR" && "$test_python" -m zipfile -c whole.zip tree)
  head -c 50000 "$BATS_TEST_TMPDIR/whole.zip" >"$BATS_TEST_TMPDIR/in/set.zip"
  fetch "$BATS_TEST_TMPDIR/in"
  assert_status 3
  assert_file_not_exist "$dest/.imgpack/fetched"
}

@test "too little space is told before anything is fetched" {
  command -v aria2c >/dev/null || skip "needs aria2: scripts/setup --tests"
  mkdir "$BATS_TEST_TMPDIR/www"
  make_archive "$BATS_TEST_TMPDIR/www/set.tar.gz"
  serve "$BATS_TEST_TMPDIR/www"
  fetch "$web/set.tar.gz" --min-free 60000
  assert_status 3
  assert_said 'are needed'
  assert_file_not_exist "$dest/incoming/set.tar.gz"
}

@test "a folder in S3 is copied, and its archives are tested" {
  aws s3api create-bucket --bucket images >/dev/null
  make_archive "$BATS_TEST_TMPDIR/set.tar.gz"
  aws s3 cp --only-show-errors "$BATS_TEST_TMPDIR/set.tar.gz" s3://images/raw/set.tar.gz
  world '[{"op": "volume", "tags": {"imgpack:name": "n"}}]'
  fetch s3://images/raw/ --volume "${id[0]}"
  assert_status 0
  cmp "$BATS_TEST_TMPDIR/set.tar.gz" "$dest/incoming/set.tar.gz"
  [ "$(tag_of "${id[0]}" imgpack:state)" = downloaded ]
  fetch s3://images/nothing/
  assert_status 3
}

@test "without the kaggle command, a token, or with a token that others can read, it is told what to do" {
  mkdir "$BATS_TEST_TMPDIR/few"
  PATH=/usr/bin:/bin fetch kaggle
  [ "$status" = 7 ] || skip "this machine has a kaggle command of its own"
  assert_said 'kaggle: command not found'
  stand_in kaggle <<<$'#!/bin/sh\nexit 0'
  fetch kaggle --min-free 1
  assert_status 3
  assert_said 'no Kaggle token'
  mkdir "$HOME/.kaggle"
  echo '{"username": "u", "key": "SECRETSECRET"}' >"$HOME/.kaggle/kaggle.json"
  chmod 644 "$HOME/.kaggle/kaggle.json"
  fetch kaggle --min-free 1
  assert_status 4
  assert_said 'chmod 600'
  refute_said SECRETSECRET
}

@test "a token that Kaggle does not accept is told, and the token never reaches log, disk or output" {
  stand_in kaggle <<'END'
#!/bin/sh
echo "401 - Unauthorized for key $KAGGLE_KEY"
exit 1
END
  export KAGGLE_USERNAME=u KAGGLE_KEY='SECRET/SE.CRET'
  fetch kaggle --min-free 1 -v
  assert_status 3
  assert_said '401'
  refute_said "$KAGGLE_KEY"
  run ! grep -rF "$KAGGLE_KEY" "$dest"
  unset KAGGLE_USERNAME KAGGLE_KEY
  world '[{"op": "parameter", "name": "/imgpack/n/kaggle", "value": "someone:SECRET/FROM.SSM", "type": "SecureString"}]'
  fetch kaggle --min-free 1 --kaggle-parameter /imgpack/n/kaggle -v
  assert_status 3
  assert_said '(token)'
  refute_said 'SECRET/FROM.SSM'
}

@test "rules of the competition that were not accepted are told" {
  stand_in kaggle <<<$'#!/bin/sh\necho "403 - Forbidden"\nexit 1'
  KAGGLE_USERNAME=u KAGGLE_KEY=k fetch kaggle --min-free 1
  assert_status 3
  assert_said 'rules'
}

# --- packing ------------------------------------------------------------------------------------------------------------

make_source() {
  mkdir -p "$BATS_TEST_TMPDIR/raw"
  head -c "${1:-100000}" /dev/urandom >"$BATS_TEST_TMPDIR/raw/a.JPEG"
}
prep() { script prep-data --dest "$dest" --source "$BATS_TEST_TMPDIR/raw" "$@"; }

@test "a pack is built, verified, renamed and tagged; run again, nothing is built" {
  make_source
  world '[{"op": "volume", "tags": {"imgpack:name": "n"}}]'
  prep --volume "${id[0]}"
  assert_status 0
  [[ $output =~ ^[0-9a-f]{32}$ ]]
  pack=$output
  assert_file_exist "$dest/pack/manifest.json"
  [ "$(tag_of "${id[0]}" imgpack:state) $(tag_of "${id[0]}" imgpack:pack)" = "verified $pack" ]
  prep --volume "${id[0]}"
  assert_status 0
  assert_output "$pack"
  [ "$(grep -c '^imgpack build' "$FAKE_LOG")" = 1 ]
  [ "$(grep -c '^imgpack verify' "$FAKE_LOG")" = 1 ]
}

@test "imgpack's own exit codes are mapped: skipped images are a success, damage is no refusal" {
  make_source
  world '[{"op": "volume", "tags": {"imgpack:name": "n", "imgpack:state": "downloaded"}}]'
  FAKE_VERIFY_STATUS=4 prep --volume "${id[0]}"
  assert_status 3
  assert_said 'damage'
  [ "$(tag_of "${id[0]}" imgpack:state)" = packed ]
  FAKE_VERIFY_STATUS=5 prep
  assert_status 3
  FAKE_VERIFY_STATUS=75 prep
  assert_status 75
  FAKE_VERIFY_STATUS=1 prep
  assert_status 1
  prep
  assert_status 0
  rm -rf "$dest/pack" "$dest/.imgpack"
  FAKE_BUILD_STATUS=3 prep --volume "${id[0]}"
  assert_status 0
  assert_said 'skipped'
  [ "$(tag_of "${id[0]}" imgpack:skipped)" = 1 ]
  rm -rf "$dest/pack" "$dest/.imgpack"
  FAKE_BUILD_STATUS=2 prep
  assert_status 1
}

@test "a full disk is told as such, and no step counts as done" {
  need_loop_devices
  make_disk 16
  mkfs.ext4 -q -m 0 "$disk"
  mount "$disk" "$dest"
  make_source 30000000
  prep
  assert_status 3
  assert_said 'is full'
  assert_file_not_exist "$dest/pack/manifest.json"
  run ! ls "$dest"/.imgpack/built-* "$dest"/.imgpack/verified-*
}

@test "a disk that fails while verifying leaves no verified mark" {
  need_loop_devices
  make_disk 64
  mkfs.ext4 -q "$disk"
  mount "$disk" "$dest"
  make_source 20000000
  world '[{"op": "volume", "tags": {"imgpack:name": "n", "imgpack:state": "downloaded"}}]'
  FAKE_VERIFY_STATUS=75 prep --volume "${id[0]}"
  umount "$dest"
  mount "$disk" "$dest" # what follows must come from the disk, not from the page cache
  truncate -s 8M "$image"
  blockdev --flushbufs "$disk"
  prep --volume "${id[0]}"
  [ "$status" != 0 ]
  [ "$(tag_of "${id[0]}" imgpack:state)" != verified ]
  run ! ls "$dest"/.imgpack/verified-*
}

@test "after kill -9 in the middle of a build the same command completes it, with the same pack id" {
  make_source
  FAKE_BUILD_SECONDS=30 setsid "$scripts/prep-data.sh" --dest "$dest" --source "$BATS_TEST_TMPDIR/raw" >/dev/null 2>&1 3>&- &
  wait_until test -f "$dest/pack.building/train-00000.ipk.tmp"
  kill -KILL -- "-$!"
  assert_file_not_exist "$dest/pack"
  prep
  assert_status 0
  interrupted=$output
  mkdir "$BATS_TEST_TMPDIR/other"
  script prep-data --dest "$BATS_TEST_TMPDIR/other" --source "$BATS_TEST_TMPDIR/raw"
  assert_output "$interrupted"
}

@test "archives that were fetched go when the pack is verified, and only they" {
  mkdir -p "$dest/incoming"
  make_archive "$BATS_TEST_TMPDIR/set.tar.gz"
  aws s3api create-bucket --bucket images >/dev/null
  aws s3 cp --only-show-errors "$BATS_TEST_TMPDIR/set.tar.gz" s3://images/raw/set.tar.gz
  fetch s3://images/raw/
  echo mine >"$dest/incoming/notes.txt"
  # A line that names a file elsewhere must not be followed.
  cp "$BATS_TEST_TMPDIR/set.tar.gz" "$BATS_TEST_TMPDIR/elsewhere.tar.gz"
  echo "archive 1 x $BATS_TEST_TMPDIR/elsewhere.tar.gz" >>"$dest/.imgpack/fetched"
  FAKE_VERIFY_STATUS=4 script prep-data --dest "$dest"
  assert_status 3
  assert_file_exist "$dest/incoming/set.tar.gz"
  script prep-data --dest "$dest" --keep-archives
  assert_status 0
  assert_file_exist "$dest/incoming/set.tar.gz"
  script prep-data --dest "$dest"
  assert_status 0
  assert_file_not_exist "$dest/incoming/set.tar.gz"
  assert_file_exist "$dest/incoming/notes.txt"
  assert_file_exist "$BATS_TEST_TMPDIR/elsewhere.tar.gz"
}

@test "a pack that was changed after it was verified is not vouched for" {
  make_source
  prep
  echo '{"dataset_id": "another"}' >"$dest/pack/manifest.json"
  prep
  assert_status 3
  assert_said 'not the pack that was verified'
}
