#!/usr/bin/env bats
# A volume goes only when a completed snapshot of exactly this volume and pack exists; anything else keeps it.
bats_require_minimum_version 1.5.0

setup_file() { load support/helper && start_aws; }
teardown_file() { load support/helper && stop_aws; }
setup() {
  load support/helper && use_aws
  pack=0123456789abcdef0123456789abcdef
  other=ffffffffffffffffffffffffffffffff
}

# verified_volume [STATE] -> volume: a free data volume with a verified pack on it
verified_volume() {
  world "[{\"op\": \"volume\", \"size\": 10, \"tags\": {\"imgpack:name\": \"n\", \"imgpack:role\": \"data\", \"imgpack:state\": \"${1:-verified}\", \"imgpack:pack\": \"$pack\"}}]"
  volume=${id[0]}
}
# add_snapshot VOLUME STATE PACK VERIFIED -> snapshot
add_snapshot() {
  local tags="\"imgpack:name\": \"n\", \"imgpack:role\": \"data\", \"imgpack:pack\": \"$3\""
  [ -z "$4" ] || tags+=", \"imgpack:verified\": \"$4\""
  world "[{\"op\": \"snapshot\", \"volume\": \"$1\", \"state\": \"$2\", \"tags\": {$tags}}]"
  snapshot=${id[0]}
}
take_snapshot() { script snapshot --volume "$volume" --pack "$pack" "$@"; }
delete_volume() { script volume-delete --volume "$volume" --pack "$pack" "$@"; }
# keeps CODE: deletion is refused with this exit code, without a call
keeps() {
  delete_volume --yes
  assert_status "$1"
  assert_calls DeleteVolume 0
}

@test "a snapshot is marked as verified only after it is completed" {
  verified_volume
  fault '{"action": "CreateSnapshot", "kind": "sub", "find": "completed", "put": "pending"}' \
    '{"action": "DescribeSnapshots", "kind": "sub", "find": "completed", "put": "pending", "nth": 1, "times": 4}'
  take_snapshot
  assert_status 0
  assert_said 'under way'
  [ "$(call_order CreateSnapshot CreateTags)" = 'CreateSnapshot CreateTags CreateTags' ]
  # Three questions were answered with "pending" between the making and the marking.
  run -0 bash -c "curl -sf $server/_fault/log | jq -r '[.[].action] | .[index(\"CreateSnapshot\"):index(\"CreateTags\")] | map(select(. == \"DescribeSnapshots\")) | length'"
  ((output >= 4))
  [ "$(tag_of "$(ec2 describe-snapshots --filters Name=tag:imgpack:name,Values=n --query 'Snapshots[0].SnapshotId')" imgpack:verified)" = "$pack" ]
  [ "$(tag_of "$volume" imgpack:state)" = snapshotted ]
}

@test "a snapshot that ends in error exits 5, marks nothing, and keeps the volume" {
  verified_volume
  fault '{"action": "DescribeSnapshots", "kind": "sub", "find": "completed", "put": "error", "times": 0}'
  take_snapshot --delete-volume --yes
  assert_status 5
  assert_said 'state error'
  assert_calls CreateTags 0
  assert_calls DeleteVolume 0
}

@test "after a snapshot in error the same command takes another" {
  verified_volume
  add_snapshot "$volume" error "$pack" ''
  take_snapshot
  assert_status 0
  assert_calls CreateSnapshot 1
}

@test "a snapshot that takes longer than it may exits 6, and the same command goes on with it" {
  verified_volume
  fault '{"action": "CreateSnapshot", "kind": "sub", "find": "completed", "put": "pending"}' \
    '{"action": "DescribeSnapshots", "kind": "sub", "find": "completed", "put": "pending", "times": 0}'
  IMGPACK_MAX_POLLS=3 take_snapshot
  assert_status 6
  assert_calls CreateSnapshot 1
  assert_calls CreateTags 0
  forget
  take_snapshot
  assert_status 0
  assert_calls CreateSnapshot 0
  [ "$(ec2 describe-snapshots --filters Name=tag:imgpack:name,Values=n --query 'length(Snapshots)')" = 1 ]
}

@test "an answer of CreateSnapshot that is lost makes no second snapshot" {
  verified_volume
  fault '{"action": "CreateSnapshot", "kind": "drop", "times": 1}'
  take_snapshot
  assert_status 0
  assert_calls CreateSnapshot 1
  [ "$(ec2 describe-snapshots --filters Name=tag:imgpack:name,Values=n --query 'length(Snapshots)')" = 1 ]
}

@test "a volume whose pack was not verified, or is another, is not snapshotted" {
  verified_volume packed
  take_snapshot
  assert_status 3
  verified_volume
  pack=$other take_snapshot
  assert_status 3
  assert_calls CreateSnapshot 0
}

@test "a volume on a running machine is not snapshotted behind its back, on a stopped one it is" {
  world "[{\"op\": \"instance\"}, {\"op\": \"volume\", \"instance\": \"@0\", \"tags\": {\"imgpack:name\": \"n\", \"imgpack:role\": \"data\", \"imgpack:state\": \"verified\", \"imgpack:pack\": \"$pack\"}}]"
  volume=${id[1]}
  take_snapshot
  assert_status 3
  assert_said "${id[0]}"
  assert_calls CreateSnapshot 0
  aws ec2 stop-instances --instance-ids "${id[0]}" >/dev/null
  take_snapshot
  assert_status 0
}

@test "without a snapshot the volume stays" {
  verified_volume
  keeps 4
}

@test "a snapshot that is not completed does not let the volume go" {
  verified_volume
  add_snapshot "$volume" pending "$pack" "$pack"
  keeps 4
  world "[{\"op\": \"snapshot_state\", \"id\": \"$snapshot\", \"state\": \"error\"}]" || :
  keeps 4
}

@test "a completed snapshot that was not marked as verified does not let the volume go" {
  verified_volume
  add_snapshot "$volume" completed "$pack" ''
  keeps 4
}

@test "a verified snapshot of another pack does not let the volume go" {
  verified_volume
  add_snapshot "$volume" completed "$other" "$other"
  keeps 4
}

@test "a verified snapshot of another volume does not let the volume go" {
  verified_volume
  first=$volume
  verified_volume
  add_snapshot "$first" completed "$pack" "$pack"
  keeps 4
}

@test "when snapshots cannot be asked about, the exit code is 5 and not 4, and the volume stays" {
  verified_volume
  add_snapshot "$volume" completed "$pack" "$pack"
  fault '{"action": "DescribeSnapshots", "kind": "error", "code": "RequestLimitExceeded", "status": 503, "times": 0}'
  keeps 5
}

@test "with the right snapshot the volume is deleted exactly once, and again is nothing to do" {
  verified_volume
  add_snapshot "$volume" completed "$pack" "$pack"
  delete_volume --yes
  assert_status 0
  assert_calls DeleteVolume 1
  delete_volume --yes
  assert_status 0
  assert_calls DeleteVolume 1
}

@test "a volume that is attached is not deleted" {
  world "[{\"op\": \"instance\"}, {\"op\": \"volume\", \"instance\": \"@0\", \"tags\": {\"imgpack:name\": \"n\", \"imgpack:role\": \"data\"}}]"
  volume=${id[1]} machine=${id[0]}
  add_snapshot "$volume" completed "$pack" "$pack"
  keeps 3
  assert_said "is attached to $machine"
}

@test "without --yes and without a terminal nothing is deleted" {
  verified_volume
  add_snapshot "$volume" completed "$pack" "$pack"
  delete_volume
  assert_status 4
  assert_said '--yes'
  assert_calls DeleteVolume 0
}

@test "on a terminal the id must be typed" {
  verified_volume
  add_snapshot "$volume" completed "$pack" "$pack"
  command -v script >/dev/null || skip "needs script(1) for a terminal"
  run -4 bash -c "echo yes | command script -qec '$scripts/volume-delete.sh --volume $volume --pack $pack' /dev/null"
  assert_calls DeleteVolume 0
  run -0 bash -c "echo $volume | command script -qec '$scripts/volume-delete.sh --volume $volume --pack $pack' /dev/null"
  assert_calls DeleteVolume 1
}

@test "a snapshot that vanishes between the check and the call keeps the volume" {
  verified_volume
  add_snapshot "$volume" completed "$pack" "$pack"
  fault "{\"action\": \"DescribeSnapshots\", \"kind\": \"act\", \"nth\": 2, \"do\": {\"op\": \"delete_snapshot\", \"id\": \"$snapshot\"}}"
  keeps 4
}

@test "prep-finish keeps machine and volume when the snapshot fails, and the volume when the machine does not end" {
  world "[{\"op\": \"instance\", \"tags\": {\"imgpack:name\": \"n\", \"imgpack:role\": \"prep\"}},
    {\"op\": \"volume\", \"instance\": \"@0\", \"tags\": {\"imgpack:name\": \"n\", \"imgpack:role\": \"data\", \"imgpack:state\": \"verified\", \"imgpack:pack\": \"$pack\"}}]"
  fault '{"action": "DescribeSnapshots", "kind": "sub", "find": "completed", "put": "error", "times": 0}'
  script prep-finish --name n --yes
  assert_status 5
  assert_calls TerminateInstances 0
  assert_calls DeleteVolume 0
  forget
  fault '{"action": "TerminateInstances", "kind": "error", "code": "OperationNotPermitted", "status": 400, "times": 0}'
  script prep-finish --name n --yes
  assert_status 5
  assert_calls DeleteVolume 0
  forget
  script prep-finish --name n --yes
  assert_status 0
  assert_calls CreateSnapshot 0
  assert_calls DeleteVolume 1
}

@test "prep-finish does nothing before the pack is verified, nor without --yes" {
  verified_volume packed
  script prep-finish --name n --yes
  assert_status 3
  world "[{\"op\": \"tag\", \"id\": \"$volume\", \"tags\": {\"imgpack:state\": \"verified\"}}]" || :
  script prep-finish --name n
  assert_status 4
  assert_calls CreateSnapshot 0
  script prep-finish --name absent --yes
  assert_status 3
}
