#!/usr/bin/env bats
# imgtrain serve, watch and export --space as a person meets them. Pages, hostile clients, the API document and Lambda
# are in tests/serve.
load support

setup_file() {
  # Tests run side by side: one compute thread each.
  export OMP_NUM_THREADS=1
  make_sample
  imgpack build "$BATS_FILE_TMPDIR/sample" "$BATS_FILE_TMPDIR/shards" -q >/dev/null
  imgtrain --shards "$BATS_FILE_TMPDIR/shards" --recipe smoke --threads 1 --input-threads 1 --batch 8 --bn-group 8 \
    --train-size 32 --eval-size 32 --eval-resize 36 --duration 4ba --precision fp32 \
    --dashboard-port 0 --out "$BATS_FILE_TMPDIR/run" >/dev/null 2>"$BATS_FILE_TMPDIR/training.log"
  mkdir "$BATS_FILE_TMPDIR/val"
  imgpack extract "$BATS_FILE_TMPDIR/shards" "$BATS_FILE_TMPDIR/val" --split val >/dev/null
}

setup() {
  shards=$BATS_FILE_TMPDIR/shards run=$BATS_FILE_TMPDIR/run val=$BATS_FILE_TMPDIR/val
  image=$(find "$val" -name '*.JPEG' | LC_ALL=C sort | head -1)
  server=
}
teardown() { [ -z "$server" ] || kill -9 "$server" 2>/dev/null || true; }

# start WORD…: a server on a free port; its URL is in $url.
start() {
  imgtrain "$@" --port 0 >"$BATS_TEST_TMPDIR/url" 2>"$BATS_TEST_TMPDIR/log" 3>&- &
  server=$!
  until [ -s "$BATS_TEST_TMPDIR/url" ]; do
    kill -0 "$server" || { cat "$BATS_TEST_TMPDIR/log"; return 1; }
    sleep 0.1
  done
  url=$(cat "$BATS_TEST_TMPDIR/url")
}

# ends_with SIGNAL STATUS: the server, on that signal.
ends_with() {
  local got=0
  kill "-$1" "$server"
  wait "$server" || got=$?
  server=
  [ "$got" = "$2" ] || { echo "expected exit status $2, found $got"; cat "$BATS_TEST_TMPDIR/log"; return 1; }
}

predict() { curl -sS --data-binary "@$image" -H 'Content-Type: image/jpeg' "${url}v1/predict$1"; }

@test "serve: the guesses of the API are those of imgtrain predict" {
  start serve "$run" --threads 1
  [[ $url == http://127.0.0.1:* ]]
  imgtrain predict "$run" --threads 1 --json --top 3 "$image" | jq -c '[.top[] | [.index, .wnid, .name, (.probability * 1e4 | round)]]' >"$BATS_TEST_TMPDIR/expected"
  predict '?top=3' | jq -c '[.predictions[0].guesses[] | [.index, .wnid, .name, (.probability * 1e4 | round)]]' >"$BATS_TEST_TMPDIR/found"
  diff "$BATS_TEST_TMPDIR/expected" "$BATS_TEST_TMPDIR/found"
  # Several at once, as JSON.
  find "$val" -name '*.JPEG' | head -3 | while read -r file; do base64 -w0 "$file" | jq -R .; done | jq -cs '{images: ., top: 1}' >"$BATS_TEST_TMPDIR/body"
  curl -sS -H 'Content-Type: application/json' --data-binary "@$BATS_TEST_TMPDIR/body" "${url}v1/predict" |
    jq -e '(.predictions | length) == 3 and .model == "resnet18" and all(.predictions[]; .guesses[0].probability > 0.2)'
  ends_with TERM 75
  grep -q "every request that was taken is answered" "$BATS_TEST_TMPDIR/log"
}

@test "serve: Grad-CAM is a picture of the size that the model sees, for the class asked for" {
  start serve "$run" --threads 1
  curl -sS --data-binary "@$image" -H 'Content-Type: image/jpeg' -D "$BATS_TEST_TMPDIR/header" -o "$BATS_TEST_TMPDIR/heat.jpg" "${url}v1/explain?class=2"
  grep -qi '^X-Class-Index: 2' "$BATS_TEST_TMPDIR/header"
  "$PYTHON" -c 'import sys; from PIL import Image; i = Image.open(sys.argv[1]); assert (i.format, i.size) == ("JPEG", (32, 32)), (i.format, i.size)' "$BATS_TEST_TMPDIR/heat.jpg"
  curl -sS --data-binary "@$image" -H 'Content-Type: image/jpeg' "${url}v1/explain?class=4" | jq -e '.status == 400'
  ends_with INT 130
}

@test "serve: the page, the model, health, metrics and examples" {
  start serve "$run" --threads 1 --examples "$(dirname "$image")"
  curl -sS "$url" | grep -q '<title>What is in the picture?'
  curl -sS "${url}v1/model" | jq -e '.classes == 4 and .size == 32 and .resize == 36 and (.examples | length) > 0 and (.digest | test("^[0-9a-f]{16}$"))'
  curl -sS "${url}examples/0" | cmp - "$image"
  curl -sS "${url}healthz" | jq -e '.status == "ok"'
  predict '' >/dev/null
  curl -sS "${url}metrics" | grep -q '^imgtrain_http_requests_total{route="predict",status="200"} 1$'
  curl -sS "${url}openapi.json" | jq -e '.openapi == "3.1.0"'
  [ "$(curl -sS -o /dev/null -w '%{http_code}' "${url}etc/passwd")" = 404 ]
  [ "$(curl -sS -X PUT -o /dev/null -w '%{http_code}' "${url}v1/model")" = 405 ]
}

@test "serve: limits are options" {
  start serve "$run" --threads 1 --max-pixels 100 --max-body 100KiB
  predict '' | jq -e '.status == 422 and (.detail | contains("at most 100 pixels, found "))'
  head -c 200000 /dev/zero >"$BATS_TEST_TMPDIR/large"
  [ "$(curl -sS --data-binary "@$BATS_TEST_TMPDIR/large" -H 'Content-Type: image/png' -o /dev/null -w '%{http_code}' "${url}v1/predict")" = 413 ]
}

@test "serve: what cannot work is said before anything listens" {
  fails_with 1 "no_such" imgtrain serve "$BATS_TEST_TMPDIR/no_such" --port 0
  fails_with 2 "expected an IP address" imgtrain serve "$run" --threads 1 --address localhost --port 0
  fails_with 2 "layer: expected one of" imgtrain serve "$run" --layer layer5 --port 0
  fails_with 2 "port: expected" imgtrain serve "$run" --port 70000
  fails_with 2 "AWS_LAMBDA_RUNTIME_API is not set" imgtrain serve "$run" --lambda
  fails_with 1 "found none" imgtrain serve "$run" --examples "$BATS_TEST_TMPDIR" --port 0
  start serve "$run" --threads 1
  fails_with 1 "another --port" imgtrain serve "$run" --threads 1 --port "$(sed 's/.*:\([0-9]*\).*/\1/' <<<"$url")"
}

@test "watch: a finished run as a page and as JSON, with its cost" {
  start watch "$run" --instance g5.12xlarge
  curl -sS "$url" | grep -q '<title>imgtrain watch'
  curl -sS "${url}v1/run" >"$BATS_TEST_TMPDIR/run.json"
  jq -e '.state == "finished" and .step == 4 and .total_steps == 4 and .dollars.per_hour > 0 and (.result.accuracy >= 0)
    and (.curves.val_loss.at == [4]) and .name == "run" and .recipe == "smoke"' "$BATS_TEST_TMPDIR/run.json"
  # Said only in live.jsonl: what the console heard, and how busy the machine was.
  jq -e 'any(.lines[]; .text | startswith("input: "))' "$BATS_TEST_TMPDIR/run.json"
  ends_with TERM 75
}

@test "watch: no run, no price, no such port" {
  fails_with 1 "expected a run folder" imgtrain watch "$BATS_TEST_TMPDIR" --port 0
  fails_with 2 "no price of 'x1.mega'" imgtrain watch "$run" --instance x1.mega --port 0
}

@test "train --dashboard: the URL is said, and a port that is taken is a warning" {
  grep -q '^dashboard: http://127.0.0.1:[0-9]*/$' "$BATS_FILE_TMPDIR/training.log"
  start watch "$run"
  imgtrain --shards "$shards" --recipe smoke --threads 1 --input-threads 1 --batch 8 --bn-group 8 --train-size 32 --eval-size 32 \
    --eval-resize 36 --duration 1ba --precision fp32 -q --out "$BATS_TEST_TMPDIR/second" \
    --dashboard-port "$(sed 's/.*:\([0-9]*\).*/\1/' <<<"$url")" >/dev/null 2>"$BATS_TEST_TMPDIR/second.log"
  grep -q 'warning: no dashboard: cannot listen on' "$BATS_TEST_TMPDIR/second.log"
  [ -f "$BATS_TEST_TMPDIR/second/result.json" ]
}

@test "export --space: a folder whose start command serves the page" {
  imgtrain export "$run" --space "$BATS_TEST_TMPDIR/space" --image example.org/imgtrain:1 --examples "$(dirname "$image")" >"$BATS_TEST_TMPDIR/out"
  cd "$BATS_TEST_TMPDIR/space"
  [ "$(find . -type f | LC_ALL=C sort | head -3 | tr '\n' ' ')" = "./.gitattributes ./Dockerfile ./README.md " ]
  [ -s model/resnet18.safetensors ]
  [ -s model/model-card.json ]
  head -1 README.md | grep -qx -- ---
  grep -qx 'sdk: docker' README.md
  port=$(sed -n 's/^app_port: //p' README.md)
  grep -qx "EXPOSE $port" Dockerfile
  # The command of the Dockerfile, at another place and port.
  mapfile -t command < <(sed -n 's/^CMD //p' Dockerfile | jq -r '.[]' | sed "s|^/space|$PWD|; s|^$port\$|0|")
  [ "${command[0]}" = serve ]
  for word in "${command[@]}"; do [[ $word != /* ]] || [ -e "$word" ]; done
  cd "$BATS_TEST_TMPDIR"
  start "${command[@]}" --address 127.0.0.1 --threads 1
  curl -sS "${url}v1/model" | jq -e --slurpfile card space/model/model-card.json \
    '.classes == 4 and .size == 32 and (.examples | length) > 0 and .digest == $card[0].model.weights_digest'
  predict '?top=1' | jq -e '.predictions[0].guesses[0].wnid | startswith("n")'
  fails_with 1 "space" imgtrain export "$run" --space "$BATS_TEST_TMPDIR/space"
  # An image name that cannot be is said before the model is looked for.
  fails_with 2 "image: expected the name of a container image" imgtrain export "$BATS_TEST_TMPDIR/no_such" --space "$BATS_TEST_TMPDIR/other" --image 'a b'
  fails_with 2 "do not go with it" imgtrain export "$run" --space "$BATS_TEST_TMPDIR/other" --out "$BATS_TEST_TMPDIR/out2"
}

@test "bench-serve: options without a value are usage errors" {
  for option in --seconds --clients; do fails_with 2 "error: $option needs a value" "$PROJECT_DIR/scripts/bench-serve" $option; done
}

@test "serve --lambda: the real model answers an event" {
  cat >"$BATS_TEST_TMPDIR/api.py" <<'PY'
import base64, http.server, json, sys, threading
image = base64.b64encode(open(sys.argv[1], "rb").read()).decode()
handed_out = False
class Api(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        global handed_out
        if handed_out: threading.Event().wait()
        handed_out = True
        body = json.dumps({"images": [image], "top": 1}).encode()
        self.send_response(200)
        for name, value in (("Lambda-Runtime-Aws-Request-Id", "7"), ("Content-Length", str(len(body)))): self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
    def do_POST(self):
        print(self.path, self.rfile.read(int(self.headers["Content-Length"])).decode(), flush=True)
        self.send_response(202); self.send_header("Content-Length", "0"); self.end_headers()
    def log_message(self, *_): pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Api)
server.daemon_threads = True
print(server.server_port, flush=True)
server.serve_forever()
PY
  "$PYTHON" "$BATS_TEST_TMPDIR/api.py" "$image" >"$BATS_TEST_TMPDIR/api" 3>&- &
  server=$!
  until [ -s "$BATS_TEST_TMPDIR/api" ]; do sleep 0.1; done
  AWS_LAMBDA_RUNTIME_API=127.0.0.1:$(head -1 "$BATS_TEST_TMPDIR/api") imgtrain serve "$run" --lambda --threads 1 2>"$BATS_TEST_TMPDIR/log" 3>&- &
  lambda=$!
  for _ in $(seq 300); do grep -q invocation "$BATS_TEST_TMPDIR/api" && break; sleep 0.1; done
  kill -TERM "$lambda"
  status=0
  wait "$lambda" || status=$?
  [ "$status" = 75 ]
  grep -q '^/2018-06-01/runtime/invocation/7/response {"model": *"resnet18"' "$BATS_TEST_TMPDIR/api"
}
