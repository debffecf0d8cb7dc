# shellcheck shell=bash
# What the AWS tests stand on: a fault server (moto) per file, tools by PATH, loop devices, a metadata stub.
# Everything is on loopback and in the test's own temporary folders; what is started here is stopped here.

repository=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
support=$repository/tests/aws/support
scripts=${AWS_SCRIPTS:-$repository/scripts/aws} # the mutation check points this at a changed copy
test_python=${AWS_TESTS_PYTHON:-$repository/.venv-aws/bin/python}
bats_load_library bats-support
bats_load_library bats-assert
bats_load_library bats-file

# --- per file: the server -----------------------------------------------------------------------------------------------

. "$support/servers.bash"
start_aws() {
  [ -x "$test_python" ] || skip "the AWS test tools are not installed: scripts/setup --tests"
  # Many runs one after the other (the mutation check) share what it started.
  if [ -n "${AWS_TESTS_SERVERS-}" ]; then cp -r "$AWS_TESTS_SERVERS/tools" "$AWS_TESTS_SERVERS/port" "$BATS_FILE_TMPDIR"; else start_servers "$BATS_FILE_TMPDIR"; fi
}
stop_aws() { stop_servers "$BATS_FILE_TMPDIR"; }

# --- per test -----------------------------------------------------------------------------------------------------------

use_aws() {
  server=http://127.0.0.1:$(<"$BATS_FILE_TMPDIR/port")
  export AWS_ENDPOINT_URL=$server AWS_ACCESS_KEY_ID=testing AWS_SECRET_ACCESS_KEY=testing AWS_REGION=us-east-1 AWS_DEFAULT_REGION=us-east-1
  export AWS_CONFIG_FILE=/dev/null AWS_SHARED_CREDENTIALS_FILE=/dev/null AWS_EC2_METADATA_DISABLED=true
  export PATH="$BATS_FILE_TMPDIR/tools:$PATH" HOME=$BATS_TEST_TMPDIR
  quick
  curl -sf -o /dev/null -X POST "$server/_fault/reset"
}
# Waits and pauses in milliseconds instead of seconds.
quick() {
  export IMGPACK_POLL_SECONDS=0.1 IMGPACK_BACKOFF_MS=20 IMGPACK_LOCK_DIR=$BATS_TEST_TMPDIR IMGPACK_STATE=$BATS_TEST_TMPDIR/state
  export TMPDIR=$BATS_TEST_TMPDIR
}

# script NAME ARGUMENT…: runs one of the scripts; its stdout is $output, its stderr $stderr
script() {
  local name=$1
  shift
  run --separate-stderr "$scripts/$name.sh" "$@" </dev/null
}
# shows what a failed assertion needs
assert_status() {
  [ "$status" = "$1" ] || {
    printf 'expected exit status %s, found %s\nstdout: %s\nstderr: %s\n' "$1" "$status" "$output" "${stderr-}" >&2
    return 1
  }
}
assert_said() {
  [[ ${stderr-} == *"$1"* ]] || {
    printf 'expected on stderr: %s\nfound: %s\n' "$1" "${stderr-}" >&2
    return 1
  }
}
refute_said() {
  [[ ${stderr-} != *"$1"* ]] || {
    printf 'unexpected on stderr: %s\nin: %s\n' "$1" "$stderr" >&2
    return 1
  }
}

# world JSON: makes state without the command line; the ids land in id[0], id[1], …
world() {
  local answer
  answer=$(curl -s -X POST "$server/_world" -d "$1")
  mapfile -t id < <(jq -r '.[]' <<<"$answer") && [ ${#id[@]} != 0 ] || {
    echo "fixture: $answer" >&2
    return 1
  }
}
# fault JSON-OBJECT…: rules of the fault server
fault() {
  local IFS=,
  curl -sf -o /dev/null -X POST "$server/_fault/rules" -d "[$*]"
}
forget() { curl -sf -o /dev/null -X POST "$server/_fault/forget"; }
# calls ACTION -> how often it was called
calls() { curl -sf "$server/_fault/log" | jq --arg action "$1" '[.[] | select(.action == $action)] | length'; }
# call_order ACTION…: the calls of these actions, in the order in which they came
call_order() { curl -sf "$server/_fault/log" | jq -r --args '[.[].action | select(IN($ARGS.positional[]))] | join(" ")' "$@"; }
# changing_calls: all calls that are no questions
changing_calls() { curl -sf "$server/_fault/log" | jq -r '.[].action | select(test("^(Describe|Get|List|Head)") | not)'; }
# parameter ACTION NAME -> the parameter of the first such call
parameter() { curl -sf "$server/_fault/log" | jq -r --arg action "$1" --arg name "$2" '[.[] | select(.action == $action)][0].params[$name] // empty'; }
assert_calls() {
  local found
  found=$(calls "$1")
  [ "$found" = "$2" ] || {
    echo "expected $2 calls of $1, found $found; the log: $(curl -s "$server/_fault/log" | jq -c '[.[].action]')" >&2
    return 1
  }
}
# ec2 ARGUMENT…: asks the server as text
ec2() { aws ec2 "$@" --output text; }
tag_of() { aws ec2 describe-tags --filters "Name=resource-id,Values=$1" "Name=key,Values=$2" --query 'Tags[0].Value' --output text; }

# a small package that --package takes
make_package() {
  mkdir -p "$BATS_TEST_TMPDIR/package/scripts"
  cp -r "$scripts" "$BATS_TEST_TMPDIR/package/scripts/aws"
  tar -czf "$1" -C "$BATS_TEST_TMPDIR/package" .
}

# --- stand-ins ----------------------------------------------------------------------------------------------------------

# stand_in NAME <<SCRIPT: a tool of this name, first on PATH
stand_in() {
  mkdir -p "$BATS_TEST_TMPDIR/bin"
  cat >"$BATS_TEST_TMPDIR/bin/$1"
  chmod +x "$BATS_TEST_TMPDIR/bin/$1"
  [[ :$PATH: == *":$BATS_TEST_TMPDIR/bin:"* ]] || export PATH="$BATS_TEST_TMPDIR/bin:$PATH"
}
# use_stand_ins NAME…: those that lie in support/bin
use_stand_ins() {
  local name
  for name in "$@"; do stand_in "$name" <"$support/bin/$name"; done
}

# --- the metadata service -----------------------------------------------------------------------------------------------

start_metadata() {
  metadata=$BATS_TEST_TMPDIR/metadata
  mkdir -p "$metadata/meta-data/placement" "$metadata/meta-data/spot"
  rm -f "$BATS_TEST_TMPDIR/metadata.port" # of an earlier one
  "$test_python" "$support/imds_stub.py" 0 "$metadata" >"$BATS_TEST_TMPDIR/metadata.port" 2>"$BATS_TEST_TMPDIR/metadata.err" 3>&- &
  metadata_pid=$!
  wait_until test -s "$BATS_TEST_TMPDIR/metadata.port"
  export AWS_EC2_METADATA_SERVICE_ENDPOINT=http://127.0.0.1:$(<"$BATS_TEST_TMPDIR/metadata.port")
}
stop_metadata() { [ -z "${metadata_pid-}" ] || kill "$metadata_pid" 2>/dev/null || :; }
# be_instance ID [TYPE] [ZONE]
be_instance() {
  printf '%s' "$1" >"$metadata/meta-data/instance-id"
  printf '%s' "${2:-g5.12xlarge}" >"$metadata/meta-data/instance-type"
  printf '%s' "${3:-us-east-1a}" >"$metadata/meta-data/placement/availability-zone"
  printf 'spot' >"$metadata/meta-data/instance-life-cycle"
}
give_notice() { printf '{"action": "terminate", "time": "2030-01-01T00:02:00Z"}' >"$metadata/meta-data/spot/instance-action"; }

# wait_until COMMAND…: for what runs in the background; the limit is for what never comes, not for a busy machine
wait_until() {
  local until=$((SECONDS + 300))
  while ((SECONDS < until)); do
    if "$@" 2>/dev/null; then return 0; fi
    sleep 0.05
  done
  echo "never came: $*" >&2
  return 1
}
# notice_after COMMAND…: in the background, the notice, once the command succeeds
notice_after() {
  (
    wait_until "$@"
    give_notice
  ) 3>&- &
}
# runs PID: a process that is there and no zombie
runs() { [ -e "/proc/$1/stat" ] && [ "$(sed 's/.*) //' "/proc/$1/stat" | cut -c1)" != Z ]; }

# --- disks --------------------------------------------------------------------------------------------------------------

need_loop_devices() {
  [ "$(id -u)" = 0 ] || skip "needs root, for loop devices and mounts"
  local probe=$BATS_TEST_TMPDIR/probe.img found
  truncate -s 1M "$probe"
  found=$(losetup -f --show "$probe" 2>/dev/null) || skip "needs loop devices, and this machine gives none"
  losetup -d "$found"
  rm "$probe"
}
# make_disk MIB -> disk (a loop device), image (its file)
make_disk() {
  image=$BATS_TEST_TMPDIR/disk$RANDOM.img
  truncate -s "$1M" "$image"
  disk=$(losetup -f --show "$image")
  disks+=("$disk")
}
disks=()
# Lazy, since a test may end with something still mounted; only what lies in this test's own folder.
release_disks() {
  local point
  while read -r point; do umount -l "$point"; done < <(awk -v folder="$BATS_TEST_TMPDIR/" 'index($2, folder) == 1 { print $2 }' /proc/mounts | tac)
  for point in "${disks[@]}"; do losetup -d "$point" 2>/dev/null || :; done
}
# show_devices NAME SERIAL …: what lsblk will say
show_devices() {
  : >"$BATS_TEST_TMPDIR/lsblk.table"
  while [ $# -gt 0 ]; do
    printf '%s %s\n' "${1#/dev/}" "${2/-/}" >>"$BATS_TEST_TMPDIR/lsblk.table"
    shift 2
  done
  stand_in lsblk <<END
#!/bin/sh
cat '$BATS_TEST_TMPDIR/lsblk.table'
END
}
