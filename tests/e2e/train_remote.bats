#!/usr/bin/env bats
# Training from S3 and from a web server ends with the weights of a training from the disk, bit for bit: with a cache and
# without, through faults, killed, and two runs at once.
load ../cli/support

setup_file() {
  . "$PROJECT_DIR/tests/remote/servers.bash"
  export OMP_NUM_THREADS=1
  imgpack sample "$BATS_FILE_TMPDIR/sample" --classes 4 --train 120 --val 16 --test 0 --size 160 >/dev/null
  mkdir "$BATS_FILE_TMPDIR/www"
  imgpack build "$BATS_FILE_TMPDIR/sample" "$BATS_FILE_TMPDIR/www/shards" --shards 3 -q >/dev/null
  serve web python3 "$remote_support/fault_proxy.py" "$BATS_FILE_TMPDIR/www"
  export WEB=http://127.0.0.1:$port SHARDS=$BATS_FILE_TMPDIR/www/shards
  train "$SHARDS" "$BATS_FILE_TMPDIR/straight" >/dev/null
  local aws_python=$PROJECT_DIR/.venv-aws/bin/python
  if "$aws_python" -c 'import moto' 2>/dev/null; then
    serve moto "$aws_python" "$remote_support/moto_s3.py"
    serve s3 python3 "$remote_support/fault_proxy.py" "http://127.0.0.1:$port" --keys AKIDTEST:sEcReT/+k
    export S3=http://127.0.0.1:$port
    s3_surroundings "$S3"
    curl -sf -o /dev/null -X PUT -H "Content-Type: text/plain" -H "x-amz-content-sha256: UNSIGNED-PAYLOAD" --aws-sigv4 aws:amz:us-east-1:s3 \
      -u "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY" "$S3/bucket"
    imgpack push "$SHARDS" s3://bucket/shards -q >/dev/null
  fi
}
teardown_file() {
  . "$PROJECT_DIR/tests/remote/servers.bash"
  stop_servers
}

setup() {
  . "$PROJECT_DIR/tests/remote/servers.bash"
  faults "$WEB" '[]'
  [ -z "${S3-}" ] || faults "$S3" '[]'
  out=$BATS_TEST_TMPDIR/run
}
needs_s3() { [ -n "${S3-}" ] || skip "moto is not installed: scripts/setup --tests brings it"; }

# 2 epochs of 15 steps.
exec_train() {
  local shards=$1 run=$2
  shift 2
  exec imgtrain --shards "$shards" --recipe smoke --out "$run" --threads 1 --input-threads 1 --batch 8 --bn-group 8 \
    --train-size 32 --eval-size 32 --eval-resize 36 --duration 2ep --checkpoint-every 2ba --block-kib 64 --partitions 4 -q "$@"
}
train() { (exec_train "$@"); }

fact() { jq -r ".$2" "$1/result.json"; }

equals_the_one_from_disk() {
  for name in weights_digest order_digest accuracy loss steps; do
    [ "$(fact "$1" "$name")" = "$(fact "$BATS_FILE_TMPDIR/straight" "$name")" ] || { echo "$name differs"; return 1; }
  done
  cmp "$1/weights.safetensors" "$BATS_FILE_TMPDIR/straight/weights.safetensors"
}

@test "s3: the weights of a training from the disk; evaluation too" {
  needs_s3
  train s3://bucket/shards "$out" >/dev/null
  equals_the_one_from_disk "$out"
  diff <(imgtrain eval --shards s3://bucket/shards --checkpoint "$out" --json -q | jq 'del(.seconds)') \
    <(imgtrain eval --shards "$SHARDS" --checkpoint "$out" --json -q | jq 'del(.seconds)')
}

@test "predict and report say the same of a data set behind a URL as of one on the disk" {
  local run=$BATS_FILE_TMPDIR/straight
  diff <(imgtrain predict "$run" --shards "$WEB/shards" --split val --json -q) <(imgtrain predict "$run" --shards "$SHARDS" --split val --json -q)
  for place in "$WEB/shards" "$SHARDS"; do
    imgtrain report "$run" --shards "$place" --out "$BATS_TEST_TMPDIR/page.html" --json "$BATS_TEST_TMPDIR/numbers.json" -q >/dev/null
    jq '[.images, .loss, .accuracy, .classes]' "$BATS_TEST_TMPDIR/numbers.json" >>"$BATS_TEST_TMPDIR/numbers"
  done
  jq -es '.[0] == .[1] and .[0][0] > 0' "$BATS_TEST_TMPDIR/numbers"
}

@test "s3 with a cache: a second run fetches no record, the weights are the same" {
  needs_s3
  train s3://bucket/shards "$out" --cache-dir "$BATS_TEST_TMPDIR/cache" >/dev/null
  equals_the_one_from_disk "$out"
  # Every byte once, whatever the number of epochs.
  log_of "$S3" | awk '/train-.*\.ipk bytes=[0-9]+-[1-9]/ { n += $NF } END { exit !(n < '"$(cat "$SHARDS"/train-*.ipk | wc -c)"') }'
  faults "$S3" '[{"match":"train-.*ipk","times":0,"kind":"status","status":500}]'
  train s3://bucket/shards "$BATS_TEST_TMPDIR/again" --cache-dir "$BATS_TEST_TMPDIR/cache" --retry-seconds 2 >/dev/null
  equals_the_one_from_disk "$BATS_TEST_TMPDIR/again"
}

@test "through 500, SlowDown, cut connections, silence, wrong bytes and wrong ranges: the same weights" {
  faults "$WEB" '[
    {"match":"ipk bytes=[0-9]+-[1-9]","nth":2,"kind":"status","status":500},
    {"match":"ipk bytes=[0-9]+-[1-9]","nth":3,"times":2,"kind":"status","status":503,"body":"<Error><Code>SlowDown</Code></Error>"},
    {"match":"ipk bytes=[0-9]+-[1-9]","nth":5,"kind":"cut","after":700},
    {"match":"ipk bytes=[0-9]+-[1-9]","nth":6,"kind":"flip","at":900},
    {"match":"ipk bytes=[0-9]+-[1-9]","nth":7,"kind":"range"},
    {"match":"ipk bytes=[0-9]+-[1-9]","nth":8,"kind":"stall","after":300,"seconds":3},
    {"match":"ipk bytes=[0-9]+-[1-9]","nth":9,"kind":"hang_up"},
    {"match":"ipk bytes=[0-9]+-[1-9]","nth":10,"kind":"slow","rate":100000}]'
  train "$WEB/shards" "$out" --retry-seconds 10 >/dev/null
  equals_the_one_from_disk "$out"
  for trace in " -> 500 " " -> 503 " " -> 206 700$" " -> 206 300$" " -> 0 0$"; do log_of "$WEB" | grep -q -- "$trace"; done
}

@test "a server that stays broken ends the run with what it said, and the run goes on when it is mended" {
  faults "$WEB" '[{"match":"ipk bytes=[0-9]+-[1-9]","nth":8,"times":0,"kind":"status","status":503}]'
  fails_with 1 "HTTP 503; given up after" train "$WEB/shards" "$out" --retry-seconds 2
  faults "$WEB" '[]'
  train "$WEB/shards" "$out" >/dev/null
  equals_the_one_from_disk "$out"
}

@test "bytes that are never the same twice end the run; a record that is damaged there is named" {
  faults "$WEB" '[{"match":"ipk bytes=[0-9]+-[1-9]","times":0,"kind":"noise"}]'
  fails_with 1 "every fetch brings other bytes" train "$WEB/shards" "$out"
  faults "$WEB" '[{"match":"train-00001.ipk bytes=[0-9]+-[1-9]","times":0,"kind":"flip","at":2000}]'
  fails_with 4 "train-00001.ipk@" train "$WEB/shards" "$out" --fresh
}

@test "an object that is replaced during a run is noticed" {
  faults "$WEB" '[{"match":"train-00001.ipk bytes=[0-9]+-[1-9]","nth":3,"times":0,"kind":"etag","value":"\"new\""}]'
  fails_with 1 "the object was replaced while it was in use" train "$WEB/shards" "$out"
}

@test "kill -9 at four moments with a cache: the same weights, and nothing in the cache is fetched again" {
  cache=$BATS_TEST_TMPDIR/cache
  for step in 1 6 12 20; do
    exec_train "$WEB/shards" "$out" --cache-dir "$cache" >/dev/null 2>&1 &
    pid=$!
    for _ in $(seq 3000); do
      newest=$(tr -dc 0-9 2>/dev/null <"$out/checkpoints/latest" || true)
      [ "$((10#${newest:-0}))" -lt "$step" ] || break
      [ -e "/proc/$pid" ] || break
      sleep 0.01
    done
    kill -9 "$pid" 2>/dev/null || true
    wait "$pid" || true
  done
  train "$WEB/shards" "$out" --cache-dir "$cache" >/dev/null
  equals_the_one_from_disk "$out"
  faults "$WEB" '[{"match":"train-.*ipk","times":0,"kind":"status","status":500}]'
  train "$WEB/shards" "$BATS_TEST_TMPDIR/again" --cache-dir "$cache" --retry-seconds 2 >/dev/null
  equals_the_one_from_disk "$BATS_TEST_TMPDIR/again"
}

@test "two runs at once share a cache: every byte is fetched once, both have the weights" {
  cache=$BATS_TEST_TMPDIR/cache
  faults "$WEB" '[{"match":"train-.*ipk bytes=[0-9]+-[1-9]","times":0,"kind":"slow","rate":400000}]'
  exec_train "$WEB/shards" "$BATS_TEST_TMPDIR/one" --cache-dir "$cache" >/dev/null 2>"$BATS_TEST_TMPDIR/one.err" &
  one=$!
  train "$WEB/shards" "$BATS_TEST_TMPDIR/two" --cache-dir "$cache" >/dev/null
  wait "$one"
  equals_the_one_from_disk "$BATS_TEST_TMPDIR/one"
  equals_the_one_from_disk "$BATS_TEST_TMPDIR/two"
  log_of "$WEB" | awk '/train-.*\.ipk bytes=[0-9]+-[1-9]/ { n += $NF } END { exit !(n < '"$(cat "$SHARDS"/train-*.ipk | wc -c)"') }'
}
