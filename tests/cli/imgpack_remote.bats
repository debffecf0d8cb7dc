#!/usr/bin/env bats
# Datasets behind a URL: a web server that misbehaves, and moto's S3 behind one that verifies every signature.
load support

setup_file() {
  . "$PROJECT_DIR/tests/remote/servers.bash"
  make_sample
  imgpack build "$BATS_FILE_TMPDIR/sample" "$BATS_FILE_TMPDIR/www/shards" --shards 3 -q >/dev/null
  serve web python3 "$remote_support/fault_proxy.py" "$BATS_FILE_TMPDIR/www"
  export WEB=http://127.0.0.1:$port SHARDS=$BATS_FILE_TMPDIR/www/shards
  local aws_python=$PROJECT_DIR/.venv-aws/bin/python
  if "$aws_python" -c 'import moto' 2>/dev/null; then
    serve moto "$aws_python" "$remote_support/moto_s3.py"
    serve s3 python3 "$remote_support/fault_proxy.py" "http://127.0.0.1:$port" --keys AKIDTEST:sEcReT/+k
    export S3=http://127.0.0.1:$port
  fi
}
teardown_file() {
  . "$PROJECT_DIR/tests/remote/servers.bash"
  stop_servers
}

setup() {
  . "$PROJECT_DIR/tests/remote/servers.bash"
  faults "$WEB" '[]'
  unset http_proxy HTTP_PROXY
}

# on_s3: keys for the S3 server, and a bucket of this test's own in $bucket
on_s3() {
  [ -n "${S3-}" ] || skip "moto is not installed: scripts/setup --tests brings it"
  s3_surroundings "$S3"
  faults "$S3" '[]'
  bucket=b-$BATS_TEST_NUMBER-$RANDOM
  curl -sf -o /dev/null -X PUT -H "Content-Type: text/plain" -H "x-amz-content-sha256: UNSIGNED-PAYLOAD" --aws-sigv4 aws:amz:us-east-1:s3 \
    -u "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY" "$S3/$bucket"
}

same_dataset() { diff <(cd "$1" && sha256sum ./*) <(cd "$2" && sha256sum ./*); }

# --- a web server ---

@test "web: verify reads everything and finds no damage; inspect and ls say what they say of the folder" {
  says "no damage at level decode: 9 shards, 66 records" imgpack verify "$WEB/shards" -q
  diff <(imgpack inspect "$WEB/shards" | sed "s|$WEB/shards|HERE|") <(imgpack inspect "$SHARDS" | sed "s|$SHARDS|HERE|")
  diff <(imgpack ls "$WEB/shards" --long) <(imgpack ls "$SHARDS" --long)
  name=$(imgpack ls "$SHARDS" --split val | head -1)
  cmp <(imgpack cat "$WEB/shards" "$name") <(imgpack cat "$SHARDS" "$name")
}

@test "web: pull brings every byte, and a second time nothing but the manifest" {
  says "dataset" imgpack pull "$WEB/shards" "$BATS_TEST_TMPDIR/out" -q
  same_dataset "$SHARDS" "$BATS_TEST_TMPDIR/out"
  faults "$WEB" '[]'
  says "11 (" imgpack pull "$WEB/shards" "$BATS_TEST_TMPDIR/out" -q
  [ "$(log_of "$WEB" | grep -vc 'manifest.json')" = 0 ]
}

@test "web: 500, 503, cut connections, short and long answers, wrong ranges and silence are tried again" {
  for fault in '"kind":"status","status":500' '"kind":"status","status":503,"headers":{"Retry-After":"1"}' '"kind":"hang_up"' \
    '"kind":"cut","after":1000' '"kind":"short"' '"kind":"longer"' '"kind":"range"' '"kind":"stall","after":500,"seconds":3' \
    '"kind":"slow","rate":2000000'; do
    faults "$WEB" "[{\"match\":\"^GET /shards/train-00001.ipk bytes=0-[1-9]\",\"times\":1,$fault}]"
    rm -rf "$BATS_TEST_TMPDIR/out"
    says "dataset" timeout 60 imgpack pull "$WEB/shards" "$BATS_TEST_TMPDIR/out" -q --retry-seconds 10 || { echo "with $fault"; return 1; }
    same_dataset "$SHARDS" "$BATS_TEST_TMPDIR/out"
    all_met "$WEB" || { echo "with $fault"; return 1; }
  done
}

@test "web: a connection that is cut behind a redirect is tried again, one that leads in a circle is not" {
  redirect='{"match":"^GET /shards/train-00001.ipk","times":0,"kind":"status","status":302,"headers":{"Location":"/shards/../shards/train-00001.ipk"}}'
  # Three times: libcurl itself tries a connection that it used before once more.
  faults "$WEB" "[$redirect,{\"match\":\"^GET /shards/../shards/train-00001.ipk\",\"times\":3,\"kind\":\"hang_up\"}]"
  imgpack pull "$WEB/shards" "$BATS_TEST_TMPDIR/out" -q >/dev/null
  same_dataset "$SHARDS" "$BATS_TEST_TMPDIR/out"
  all_met "$WEB"
  faults "$WEB" '[{"match":"train-00001.ipk","times":0,"kind":"status","status":302,"headers":{"Location":"/shards/train-00001.ipk"}}]'
  fails_with 1 "train-00001.ipk: cannot read: Maximum (5) redirects followed" timeout 20 imgpack pull "$WEB/shards" "$BATS_TEST_TMPDIR/circle" -q
}

@test "web: where the system gives fewer threads than files at once, those it gives do the work" {
  # Each thread's stack takes a quarter of the address space.
  (ulimit -S -s 1048576 && ulimit -v 4194304 && imgpack pull "$WEB/shards" "$BATS_TEST_TMPDIR/out" -q --connections 9 >/dev/null)
  same_dataset "$SHARDS" "$BATS_TEST_TMPDIR/out"
}

@test "web: what came before a connection was cut is not fetched again" {
  faults "$WEB" '[{"match":"^GET /shards/train-00001.ipk bytes=0-[1-9]","kind":"cut","after":1000}]'
  imgpack pull "$WEB/shards" "$BATS_TEST_TMPDIR/out" -q >/dev/null
  log_of "$WEB" | grep -q '^GET /shards/train-00001.ipk bytes=1000-'
  all_met "$WEB"
}

@test "web: Retry-After is respected" {
  faults "$WEB" '[{"match":"manifest","kind":"status","status":503,"headers":{"Retry-After":"2"}}]'
  begin=$(date +%s%N)
  imgpack inspect "$WEB/shards" >/dev/null
  [ $((($(date +%s%N) - begin) / 1000000)) -ge 1900 ] # The time itself is what the header asks for.
  all_met "$WEB"
}

@test "web: faults that stay end in an error that says what, where and for how long" {
  faults "$WEB" '[{"match":"train-00001","times":0,"kind":"status","status":503}]'
  fails_with 1 "train-00001.ipk: cannot read: HTTP 503; given up after" imgpack pull "$WEB/shards" "$BATS_TEST_TMPDIR/out" -q --retry-seconds 1
  [ ! -e "$BATS_TEST_TMPDIR/out/manifest.json" ]
  faults "$WEB" '[{"match":"manifest","kind":"status","status":503,"headers":{"Retry-After":"3600"}}]'
  fails_with 1 "the server asks to come back in 3600 s" imgpack verify "$WEB/shards" -q --retry-seconds 1
  faults "$WEB" '[{"match":"train","times":0,"kind":"whole"}]'
  fails_with 1 "does not answer with the range that was asked for" imgpack pull "$WEB/shards" "$BATS_TEST_TMPDIR/out" -q
}

@test "web: wrong bytes never get into a folder" {
  faults "$WEB" '[{"match":"train-00001.ipk bytes=0-[1-9]","kind":"flip","at":3000}]'
  imgpack pull "$WEB/shards" "$BATS_TEST_TMPDIR/out" -q >/dev/null
  same_dataset "$SHARDS" "$BATS_TEST_TMPDIR/out"
  all_met "$WEB"
  rm -r "$BATS_TEST_TMPDIR/out"
  faults "$WEB" '[{"match":"train-00001.ipk bytes=0-[1-9]","kind":"flip","at":3000,"times":0}]'
  fails_with 4 "differs from the manifest's digest" imgpack pull "$WEB/shards" "$BATS_TEST_TMPDIR/out" -q
  [ ! -e "$BATS_TEST_TMPDIR/out/train-00001.ipk" ]
  run imgpack verify "$WEB/shards" -q
  [ "$status" = 4 ]
  [[ $output == *"record"*"checksum"* ]] || [[ $output == *"mismatch"* ]]
}

@test "web: an object that was replaced while it was read is noticed" {
  faults "$WEB" '[{"match":"train-00001.ipk bytes=0-[1-9]","kind":"etag","value":"\"another\""}]'
  fails_with 1 "the object was replaced while it was in use" imgpack pull "$WEB/shards" "$BATS_TEST_TMPDIR/out" -q
}

@test "web: no server, no dataset, no scheme, no list, no writing: each says so" {
  fails_with 1 "there is no dataset here: expected manifest.json" imgpack inspect "$WEB/nowhere"
  fails_with 1 "cannot open: there is no such object. Hint: the URL is that of the folder" imgpack pull "$WEB/nowhere" "$BATS_TEST_TMPDIR/out" -q
  fails_with 2 "expected s3://BUCKET/PREFIX" imgpack inspect gs://bucket/x
  fails_with 2 "web servers are only read from" imgpack push "$SHARDS" "$WEB/new" -q
  fails_with 1 "given up after" imgpack verify http://127.0.0.1:9/x -q --retry-seconds 1
  fails_with 2 "a user name in a URL is not taken" imgpack inspect http://me:secret@127.0.0.1/x
  faults "$WEB" '[{"match":"manifest","kind":"status","status":403}]'
  fails_with 1 "cannot read: HTTP 403" imgpack inspect "$WEB/shards"
}

@test "web: pull that is killed and run again ends with the same folder" {
  faults "$WEB" '[{"match":"train-0000[12].ipk bytes=0-[1-9]","times":0,"kind":"slow","rate":20000}]'
  imgpack pull "$WEB/shards" "$BATS_TEST_TMPDIR/out" -q >/dev/null 2>&1 &
  pid=$!
  for _ in $(seq 200); do [ ! -e "$BATS_TEST_TMPDIR/out/train-00000.ipk" ] || break; sleep 0.02; done
  kill -9 "$pid"
  wait "$pid" || true
  [ ! -e "$BATS_TEST_TMPDIR/out/manifest.json" ]
  faults "$WEB" '[]'
  imgpack pull "$WEB/shards" "$BATS_TEST_TMPDIR/out" -q >/dev/null
  same_dataset "$SHARDS" "$BATS_TEST_TMPDIR/out"
  [ "$(log_of "$WEB" | grep -c 'train-00000.ipk')" = 0 ]
}

@test "web: Ctrl-C and SIGTERM end a pull whose server has fallen silent, whatever was asked for last" {
  # In the middle of a shard, before its size is known, and before there is a manifest. A silent server is given up by
  # itself only after 20 s.
  for what in 'train.*bytes=0-[1-9]:100' 'train.*bytes=0-0$:0' 'manifest.*bytes=0-0$:0'; do
    for signal in INT:130 TERM:75; do
      faults "$WEB" "[{\"match\":\"${what%:*}\",\"times\":0,\"kind\":\"stall\",\"after\":${what##*:},\"seconds\":60}]"
      imgpack pull "$WEB/shards" "$BATS_TEST_TMPDIR/out" -q >/dev/null 2>&1 &
      pid=$!
      await_fault "$WEB"
      kill "-${signal%:*}" "$pid"
      begin=$SECONDS
      got=0
      wait "$pid" || got=$?
      [ "$got" = "${signal#*:}" ] || { echo "$what, $signal: exit status $got"; return 1; }
      [ $((SECONDS - begin)) -lt 15 ] || { echo "$what, $signal: took $((SECONDS - begin)) s"; return 1; }
      [ ! -e "$BATS_TEST_TMPDIR/out/manifest.json" ]
    done
  done
}

@test "https: a certificate that is not trusted is an error at once, one that is named is taken" {
  openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost \
    -keyout "$BATS_TEST_TMPDIR/key" -out "$BATS_TEST_TMPDIR/certificate" 2>/dev/null || skip "no openssl command here"
  serve tls python3 "$remote_support/fault_proxy.py" "$BATS_FILE_TMPDIR/www" --tls "$BATS_TEST_TMPDIR/certificate" "$BATS_TEST_TMPDIR/key"
  CURL_CA_BUNDLE='' SSL_CERT_FILE='' fails_with 1 "certificate" timeout 20 imgpack inspect "https://localhost:$port/shards"
  CURL_CA_BUNDLE=$BATS_TEST_TMPDIR/certificate says "train" imgpack inspect "https://localhost:$port/shards"
}

# --- S3 ---

@test "s3: what was pushed is verified there and pulled back byte for byte; every request is signed rightly" {
  on_s3
  says "dataset" imgpack push "$SHARDS" "s3://$bucket/data sets/a+b=c" -q
  says "no damage at level decode" imgpack verify "s3://$bucket/data sets/a+b=c" -q
  imgpack pull "s3://$bucket/data sets/a+b=c" "$BATS_TEST_TMPDIR/out" -q >/dev/null
  same_dataset "$SHARDS" "$BATS_TEST_TMPDIR/out"
  log_of "$S3" | grep -v -e ' -> 20[0-9] ' -e ' -> 404 ' && return 1
  # The manifest is the last object that is written.
  log_of "$S3" | grep '^PUT' | tail -1 | grep -q manifest.json
}

@test "s3: push again sends nothing; an object that is missing or another is sent again" {
  on_s3
  imgpack push "$SHARDS" "s3://$bucket/p" -q >/dev/null
  faults "$S3" '[]'
  says "11 (" imgpack push "$SHARDS" "s3://$bucket/p" -q
  [ "$(log_of "$S3" | grep -c '^PUT')" = 0 ]
  sign=(-H "x-amz-content-sha256: UNSIGNED-PAYLOAD" --aws-sigv4 aws:amz:us-east-1:s3 -u "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY")
  curl -sf -X DELETE "${sign[@]}" "$S3/$bucket/p/train-00001.ipk"
  head -c "$(stat -c %s "$SHARDS/train-00002.ipk")" /dev/zero >"$BATS_TEST_TMPDIR/zeros"
  curl -sf -T "$BATS_TEST_TMPDIR/zeros" "${sign[@]}" "$S3/$bucket/p/train-00002.ipk"
  says "9 (" imgpack push "$SHARDS" "s3://$bucket/p" -q
  says "no damage" imgpack verify "s3://$bucket/p" -q
}

@test "s3: another dataset under the prefix is left alone; a damaged shard is not pushed" {
  on_s3
  imgpack push "$SHARDS" "s3://$bucket/p" -q >/dev/null
  imgpack split "$SHARDS" "$BATS_TEST_TMPDIR/part" --split val -q >/dev/null
  fails_with 1 "another dataset lies here" imgpack push "$BATS_TEST_TMPDIR/part" "s3://$bucket/p" -q
  cp -r "$SHARDS" "$BATS_TEST_TMPDIR/damaged"
  printf X | dd of="$BATS_TEST_TMPDIR/damaged/train-00001.ipk" bs=1 seek=3000 conv=notrunc status=none
  fails_with 4 "differs from the manifest's digest" imgpack push "$BATS_TEST_TMPDIR/damaged" "s3://$bucket/q" -q
  sign=(-H "x-amz-content-sha256: UNSIGNED-PAYLOAD" --aws-sigv4 aws:amz:us-east-1:s3 -u "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY")
  [ "$(curl -s -o /dev/null -w '%{http_code}' "${sign[@]}" "$S3/$bucket/q/manifest.json")" = 404 ]
  [ "$(curl -s -o /dev/null -w '%{http_code}' "${sign[@]}" "$S3/$bucket/q/train-00001.ipk")" = 404 ]
}

@test "s3: a shard larger than a part goes in parts, faults on the way included; what fails leaves no upload behind" {
  on_s3
  imgpack sample "$BATS_TEST_TMPDIR/sample" --classes 2 --train 60 --val 4 --test 0 --size 700 >/dev/null
  imgpack build "$BATS_TEST_TMPDIR/sample" "$BATS_TEST_TMPDIR/big" --shards 1 -q >/dev/null
  [ "$(stat -c %s "$BATS_TEST_TMPDIR/big/train-00000.ipk")" -gt $((5 << 20)) ]
  faults "$S3" '[{"match":"^PUT .*partNumber=1","kind":"status","status":503,"body":"<Error><Code>SlowDown</Code><Message>m</Message></Error>"},
    {"match":"^PUT .*partNumber=2","kind":"hang_up"},{"match":"^POST .*uploadId","kind":"status","status":200,"body":"<Error><Code>InternalError</Code><Message>m</Message></Error>"}]'
  imgpack push "$BATS_TEST_TMPDIR/big" "s3://$bucket/p" --part-size 5MiB -q >/dev/null
  all_met "$S3"
  says "no damage" imgpack verify "s3://$bucket/p" -q
  faults "$S3" '[{"match":"^PUT .*partNumber=2","times":0,"kind":"status","status":500}]'
  fails_with 1 "cannot write: HTTP 500" imgpack push "$BATS_TEST_TMPDIR/big" "s3://$bucket/q" --part-size 5MiB -q --retry-seconds 1
  log_of "$S3" | grep -q '^DELETE .*uploadId=.* -> 204'
  # What lay under the name before is as long, but nobody's upload: the answer "no such upload" does not mean "done".
  head -c "$(stat -c %s "$BATS_TEST_TMPDIR/big/train-00000.ipk")" /dev/zero >"$BATS_TEST_TMPDIR/zeros"
  curl -sf -T "$BATS_TEST_TMPDIR/zeros" -H "x-amz-content-sha256: UNSIGNED-PAYLOAD" --aws-sigv4 aws:amz:us-east-1:s3 \
    -u "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY" "$S3/$bucket/r/train-00000.ipk"
  faults "$S3" '[{"match":"^POST .*uploadId","times":0,"kind":"status","status":404,"body":"<Error><Code>NoSuchUpload</Code><Message>m</Message></Error>"}]'
  fails_with 1 "NoSuchUpload" imgpack push "$BATS_TEST_TMPDIR/big" "s3://$bucket/r" --part-size 5MiB -q --retry-seconds 1
}

@test "s3: no bucket, no key, no right, wrong keys, no keys: each says what it was asked with" {
  on_s3
  fails_with 1 "NoSuchBucket" imgpack inspect s3://no-such-bucket-here/p
  fails_with 1 "there is no dataset here" imgpack inspect "s3://$bucket/nothing"
  AWS_SECRET_ACCESS_KEY=other fails_with 1 "SignatureDoesNotMatch" imgpack inspect "s3://$bucket/p"
  grep -qF "bucket $bucket, key p/manifest.json, region us-east-1, endpoint $S3, credentials: from the environment" "$BATS_TEST_TMPDIR/stderr"
  AWS_ACCESS_KEY_ID='' AWS_SECRET_ACCESS_KEY='' fails_with 1 "none were found in the environment or the shared files" imgpack inspect "s3://$bucket/p"
  AWS_SECRET_ACCESS_KEY='' fails_with 2 "half a pair of AWS keys" imgpack inspect "s3://$bucket/p"
  faults "$S3" '[{"match":"manifest","times":0,"kind":"status","status":403,"body":"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"}]'
  fails_with 1 "HTTP 403 AccessDenied: Access Denied. Hint: who asks may not do that, or the object is not there" imgpack inspect "s3://$bucket/p"
  faults "$S3" '[{"match":"manifest","times":0,"kind":"status","status":403,"body":"<Error><Code>RequestTimeTooSkewed</Code><Message>m</Message></Error>"}]'
  fails_with 1 "set this machine's clock" imgpack inspect "s3://$bucket/p"
}

# listing TOKEN FILE…: a page of the bucket's listing, as a JSON string
listing() {
  local token=$1 file
  shift
  {
    printf '<ListBucketResult>'
    [ -z "$token" ] || printf '<IsTruncated>true</IsTruncated><NextContinuationToken>%s</NextContinuationToken>' "$token"
    for file in "$@"; do printf '<Contents><Key>p/%s</Key><Size>%s</Size></Contents>' "${file##*/}" "$(stat -c %s "$file")"; done
    printf '</ListBucketResult>'
  } | jq -Rs .
}

@test "s3: a listing of several pages is put together; one whose pages lead back to themselves is an error" {
  on_s3
  imgpack push "$SHARDS" "s3://$bucket/p" -q >/dev/null
  local first second
  echo 1 >"$BATS_TEST_TMPDIR/stranger-1"
  echo 2 >"$BATS_TEST_TMPDIR/stranger-2"
  first=$(listing t1 "$SHARDS"/* "$BATS_TEST_TMPDIR/stranger-1") second=$(listing '' "$BATS_TEST_TMPDIR/stranger-2")
  faults "$S3" '[{"match":"continuation-token=t1","times":0,"kind":"status","status":200,"body":'"$second"'},
    {"match":"list-type=2","times":0,"kind":"status","status":200,"body":'"$first"'}]'
  says "no damage at level structure: 9 shards" imgpack verify "s3://$bucket/p" --level structure
  all_met "$S3"
  for name in stranger-1 stranger-2; do
    grep -qF "$name does not belong to the dataset" "$BATS_TEST_TMPDIR"/std*
  done
  faults "$S3" '[{"match":"list-type=2","times":0,"kind":"status","status":200,"body":'"$first"'}]'
  fails_with 1 "the page after this one is this one again" imgpack verify "s3://$bucket/p" --level structure -q
}

@test "s3: a bucket of another region is asked for there" {
  on_s3
  imgpack push "$SHARDS" "s3://$bucket/p" -q >/dev/null
  faults "$S3" '[{"match":"manifest","kind":"status","status":301,"headers":{"x-amz-bucket-region":"eu-west-3"},"body":"<Error><Code>PermanentRedirect</Code><Message>m</Message></Error>"}]'
  says "train" imgpack inspect "s3://$bucket/p"
  all_met "$S3"
  faults "$S3" '[{"match":"manifest","kind":"status","status":400,"body":"<Error><Code>AuthorizationHeaderMalformed</Code><Message>m</Message><Region>eu-west-3</Region></Error>"}]'
  says "train" imgpack inspect "s3://$bucket/p"
  all_met "$S3"
  faults "$S3" '[{"match":"manifest","times":0,"kind":"status","status":301,"body":"<Error><Code>PermanentRedirect</Code><Message>m</Message></Error>"}]'
  fails_with 1 "HTTP 301 PermanentRedirect" imgpack inspect "s3://$bucket/p"
}

@test "s3: keys of a profile, of a container and of the machine's role are taken, session tokens and all" {
  on_s3
  imgpack push "$SHARDS" "s3://$bucket/p" -q >/dev/null
  unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY
  printf '[default]\naws_access_key_id = no\naws_secret_access_key = no\n[train]\naws_access_key_id = AKIDTEST\naws_secret_access_key = sEcReT/+k\n' >"$BATS_TEST_TMPDIR/credentials"
  AWS_PROFILE=train AWS_SHARED_CREDENTIALS_FILE=$BATS_TEST_TMPDIR/credentials says "train" imgpack inspect "s3://$bucket/p"

  moto_port=$(<"$BATS_FILE_TMPDIR/moto.port")
  serve token python3 "$remote_support/fault_proxy.py" "http://127.0.0.1:$moto_port" --keys ASIATEST:other/KEY:session+token==
  export AWS_ENDPOINT_URL=http://127.0.0.1:$port
  keys='{"Code":"Success","AccessKeyId":"ASIATEST","SecretAccessKey":"other/KEY","Token":"session+token==","Expiration":"2099-01-01T00:00:00Z"}'
  mkdir -p "$BATS_TEST_TMPDIR/imds/meta-data/iam/security-credentials" "$BATS_TEST_TMPDIR/imds/meta-data/placement" "$BATS_TEST_TMPDIR/container"
  printf '%s' "$keys" >"$BATS_TEST_TMPDIR/imds/meta-data/iam/security-credentials/trainer"
  printf 'eu-west-1' >"$BATS_TEST_TMPDIR/imds/meta-data/placement/region"
  serve imds python3 "$PROJECT_DIR/tests/aws/support/imds_stub.py" 0 "$BATS_TEST_TMPDIR/imds"
  imds=http://127.0.0.1:$port
  unset AWS_REGION AWS_EC2_METADATA_DISABLED
  AWS_EC2_METADATA_SERVICE_ENDPOINT=$imds says "train" imgpack inspect "s3://$bucket/p"
  AWS_EC2_METADATA_SERVICE_ENDPOINT=$imds fails_with 1 "region eu-west-1, endpoint $AWS_ENDPOINT_URL, credentials: from the machine's role trainer" imgpack inspect s3://no-such-bucket-here/p

  printf '%s' "$keys" >"$BATS_TEST_TMPDIR/container/creds"
  serve container python3 "$remote_support/fault_proxy.py" "$BATS_TEST_TMPDIR/container"
  AWS_CONTAINER_CREDENTIALS_FULL_URI=http://127.0.0.1:$port/creds says "train" imgpack inspect "s3://$bucket/p"
}

@test "s3: keys that have ended are looked up again once" {
  on_s3
  imgpack push "$SHARDS" "s3://$bucket/p" -q >/dev/null
  faults "$S3" '[{"match":"manifest","kind":"status","status":400,"body":"<Error><Code>ExpiredToken</Code><Message>m</Message></Error>"}]'
  says "train" imgpack inspect "s3://$bucket/p"
  all_met "$S3"
  faults "$S3" '[{"match":"manifest","times":0,"kind":"status","status":400,"body":"<Error><Code>ExpiredToken</Code><Message>m</Message></Error>"}]'
  fails_with 1 "the keys are not taken" imgpack inspect "s3://$bucket/p"
}

@test "s3: push that is killed at some moment and run again ends with the whole dataset" {
  on_s3
  faults "$S3" '[{"match":"^PUT .*train-0000[12]","times":0,"kind":"delay","seconds":30}]'
  imgpack push "$SHARDS" "s3://$bucket/p" -q >/dev/null 2>&1 &
  pid=$!
  for _ in $(seq 200); do [ "$(log_of "$S3" | grep -c '^PUT .*-> 200')" -lt 2 ] || break; sleep 0.02; done
  kill -9 "$pid"
  wait "$pid" || true
  faults "$S3" '[]'
  fails_with 1 "there is no dataset here" imgpack inspect "s3://$bucket/p"
  faults "$S3" '[]'
  imgpack push "$SHARDS" "s3://$bucket/p" -q >/dev/null
  says "no damage" imgpack verify "s3://$bucket/p" -q
}
