#!/usr/bin/env bats
# imgpack doctor and imgtrain doctor: what they say of this machine can be read by a script and follows their schema.
load support

setup() {
  # A stand-in is asked where a test wants an answer; the network's own service is no part of these tests.
  export AWS_EC2_METADATA_DISABLED=true OMP_NUM_THREADS=1
  server=
}
teardown() { [ -z "$server" ] || kill "$server" 2>/dev/null || true; }

check_schema() {
  "$PYTHON" - "$PROJECT_DIR/schemas/doctor_report.schema.json" "$1" <<'PYTHON'
import json, sys
from jsonschema import Draft202012Validator as Validator
schema = json.load(open(sys.argv[1]))
Validator.check_schema(schema)
Validator(schema).validate(json.load(open(sys.argv[2])))
PYTHON
}

@test "imgpack doctor measures a folder, leaves it empty and says it as JSON too" {
  mkdir "$BATS_TEST_TMPDIR/disk"
  imgpack doctor "$BATS_TEST_TMPDIR/disk" --probe-mib 16 --json >"$BATS_TEST_TMPDIR/report.json" || [ $? = 1 ]
  check_schema "$BATS_TEST_TMPDIR/report.json"
  jq -e '.facts.folders[0].write_mib_s > 0 and .facts.folders[0].read_mib_s > 0' "$BATS_TEST_TMPDIR/report.json"
  [ -z "$(ls -A "$BATS_TEST_TMPDIR/disk")" ]
}

@test "imgtrain doctor knows libtorch and GPUs" {
  imgtrain doctor --json >"$BATS_TEST_TMPDIR/report.json" || [ $? = 1 ]
  check_schema "$BATS_TEST_TMPDIR/report.json"
  jq -e '.facts.torch.version == "2.11.0" and .facts.torch.matches' "$BATS_TEST_TMPDIR/report.json"
  jq -e '[.findings[].check] | contains(["torch"]) and (contains(["gpu"]) or contains(["gpu.driver"]))' "$BATS_TEST_TMPDIR/report.json"
}

@test "a folder that is not there is a problem with a fix, and exit status 1" {
  run imgpack doctor /nowhere/at/all
  [ "$status" = 1 ]
  [[ $output == *"problem  folder"*"/nowhere/at/all: No such file or directory"* ]]
  [[ $output == *"-> name a folder that exists"* ]]
}

@test "few open files are a problem that names ulimit" {
  run bash -c 'ulimit -n 256 && imgpack doctor'
  [ "$status" = 1 ]
  [[ $output == *"256 files may be open at once"* ]]
  [[ $output == *"ulimit -n 8192"* ]]
}

@test "a metadata service that answers is recognised, and a silent one is not waited for" {
  unset AWS_EC2_METADATA_DISABLED
  "$PYTHON" - "$BATS_TEST_TMPDIR/port" 3>&- <<'PYTHON' &
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_PUT(self):
        self.send_response(200); self.send_header("Content-Length", "5"); self.end_headers(); self.wfile.write(b"token")
    def log_message(self, *_): pass
server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
open(sys.argv[1] + ".tmp", "w").write(str(server.server_port))
import os; os.rename(sys.argv[1] + ".tmp", sys.argv[1])
server.timeout = 60  # Nobody asks: that is a failure, not a reason to wait for ever.
server.handle_timeout = lambda: sys.exit("nobody asked")
server.handle_request()
PYTHON
  server=$!
  for _ in $(seq 100); do [ -e "$BATS_TEST_TMPDIR/port" ] && break; sleep 0.1; done
  export AWS_EC2_METADATA_SERVICE_ENDPOINT=http://127.0.0.1:$(cat "$BATS_TEST_TMPDIR/port")
  imgpack doctor --json | jq -e '.facts.metadata.answered'
  wait "$server"
  server=
  AWS_EC2_METADATA_SERVICE_ENDPOINT=http://127.0.0.1:9 imgpack doctor --json | jq -e '.facts.metadata.answered | not'
  fails_with 2 "expected http://HOST:PORT" env AWS_EC2_METADATA_SERVICE_ENDPOINT=nonsense imgpack doctor
}
