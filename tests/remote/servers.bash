# shellcheck shell=bash
# The servers of the remote tests: moto's S3, and the web server that misbehaves on demand. Needs $PROJECT_DIR.

export remote_support=$PROJECT_DIR/tests/remote

# serve NAME COMMAND…: runs it in the background until stop_servers; its first line is its port, left in $port.
serve() {
  local name=$1 tries
  shift
  "$@" >"$BATS_FILE_TMPDIR/$name.port" 2>"$BATS_FILE_TMPDIR/$name.log" 3>&- &
  echo $! >>"$BATS_FILE_TMPDIR/servers.pid"
  for ((tries = 0; tries < 600; tries++)); do
    [ ! -s "$BATS_FILE_TMPDIR/$name.port" ] || break
    sleep 0.1
  done
  port=$(<"$BATS_FILE_TMPDIR/$name.port")
  [ -n "$port" ] || { cat "$BATS_FILE_TMPDIR/$name.log"; return 1; }
}
stop_servers() {
  local pid
  [ -f "$BATS_FILE_TMPDIR/servers.pid" ] || return 0
  while read -r pid; do kill "$pid" 2>/dev/null || :; done <"$BATS_FILE_TMPDIR/servers.pid"
}

# faults URL JSON: what goes wrong there from now on. The log begins anew.
faults() {
  curl -sf -X PUT --data-binary "$2" "$1/_faults"
  curl -sf -X DELETE "$1/_log" >/dev/null
}
# all_met URL: every fault did happen; what a test says of them is worth nothing otherwise.
all_met() { ! curl -sf "$1/_faults" | grep -qx 0 || { echo "a fault was not met:"; curl -sf "$1/_faults"; log_of "$1"; return 1; }; }
# await_fault URL: until one has happened.
await_fault() {
  local tries
  for ((tries = 0; tries < 600; tries++)); do
    ! curl -sf "$1/_faults" | grep -q '[1-9]' || return 0
    sleep 0.05
  done
  echo "no fault was met"
  return 1
}
log_of() { curl -sf "$1/_log"; }

# s3_surroundings ENDPOINT: an AWS user with keys for it, and nothing of the person's own.
s3_surroundings() {
  export AWS_ENDPOINT_URL=$1 AWS_ACCESS_KEY_ID=AKIDTEST AWS_SECRET_ACCESS_KEY=sEcReT/+k AWS_REGION=us-east-1
  export AWS_EC2_METADATA_DISABLED=true AWS_CONFIG_FILE=/dev/null AWS_SHARED_CREDENTIALS_FILE=/dev/null
}
