#!/usr/bin/env bats
# Launching, keeping and stopping a training: template, group, lease, stored checkpoints, several machines.
bats_require_minimum_version 1.5.0

setup_file() { load support/helper && start_aws; }
teardown_file() { load support/helper && stop_aws; }
setup() {
  load support/helper && use_aws
  start_metadata
  be_instance i-0aaaaaaaaaaaaaaaa
  use_stand_ins imgtrain imgpack shutdown systemctl nvidia-smi
  export FAKE_LOG=$BATS_TEST_TMPDIR/log IMGPACK_HEARTBEAT=1 IMGPACK_LOG=$BATS_TEST_TMPDIR/machine.log
  : >"$FAKE_LOG"
  pack=0123456789abcdef0123456789abcdef
  run_folder=$BATS_TEST_TMPDIR/run
  aws s3api create-bucket --bucket bucket >/dev/null
}
teardown() {
  stop_metadata
  release_disks
  local job
  for job in $(jobs -p); do kill "$job" 2>/dev/null || :; done
}

ready_to_launch() {
  make_package "$BATS_TEST_TMPDIR/p.tar.gz"
  world "[{\"op\": \"image\"}, {\"op\": \"profile\", \"name\": \"imgpack-n-train\"}, {\"op\": \"volume\", \"size\": 10},
    {\"op\": \"snapshot\", \"volume\": \"@2\", \"tags\": {\"imgpack:name\": \"n\", \"imgpack:role\": \"data\", \"imgpack:pack\": \"$pack\", \"imgpack:verified\": \"$pack\"}},
    {\"op\": \"delete_volume\", \"id\": \"@2\"}]"
  ami=${id[0]} snapshot=${id[3]}
}
launch() { script train-launch --name n --bucket bucket --run r --package "$BATS_TEST_TMPDIR/p.tar.gz" --ami "$ami" --size 10 --yes "$@"; }
train_run() { "$scripts/train-run.sh" --name n --bucket bucket --run r "$@"; }
train() { run --separate-stderr train_run --folder "$run_folder" "$@" -- imgtrain --out "$run_folder" </dev/null; }
# in the background, where the job's own pid must be the script's
exec_train_run() { exec "$scripts/train-run.sh" --name n --bucket bucket --run r "$@"; }
object() { aws s3 cp --quiet "s3://bucket/n/runs/r/$1" - 2>/dev/null; }
has_object() { aws s3api head-object --bucket bucket --key "n/runs/r/$1" >/dev/null 2>&1; }
put_object() { aws s3 cp --quiet - "s3://bucket/n/runs/r/$1" <<<"$2"; }
user_data() { # of the newest template version
  ec2 describe-launch-template-versions --launch-template-name imgpack-n-train --versions '$Latest' --query 'LaunchTemplateVersions[0].LaunchTemplateData.UserData' | base64 -d
}
template() { aws ec2 describe-launch-template-versions --launch-template-name imgpack-n-train --versions '$Latest' --query "LaunchTemplateVersions[0].LaunchTemplateData.$1" --output text; }

# --- launching ----------------------------------------------------------------------------------------------------------

@test "types that cannot run this build are refused with the reason, before a call" {
  script train-launch --name n --bucket bucket --run r --package p --types p3.2xlarge
  assert_status 2
  assert_said 'compute capability 7.0'
  script train-launch --name n --bucket bucket --run r --package p --types g5.12xlarge,p2.8xlarge
  assert_status 2
  assert_said '3.7'
  script train-launch --name n --bucket bucket --run r --package p --types g5g.4xlarge
  assert_status 2
  assert_calls DescribeInstanceTypes 0
}

@test "types without an NVIDIA GPU, and types that do not exist, are refused" {
  ready_to_launch
  launch --types c6i.4xlarge
  assert_status 2
  assert_said 'no NVIDIA GPU'
  launch --types zz9.huge
  assert_status 2
  assert_calls CreateLaunchTemplate 0
}

@test "a snapshot that is not completed, or not marked as verified, is not trained from" {
  ready_to_launch
  world "[{\"op\": \"volume\"}, {\"op\": \"snapshot\", \"volume\": \"@0\", \"tags\": {\"imgpack:pack\": \"$pack\"}}, {\"op\": \"snapshot\", \"volume\": \"@0\", \"state\": \"pending\", \"tags\": {\"imgpack:pack\": \"$pack\", \"imgpack:verified\": \"$pack\"}}]"
  launch --snapshot "${id[1]}"
  assert_status 4
  launch --snapshot "${id[2]}"
  assert_status 3
  assert_calls CreateLaunchTemplate 0
}

@test "the group wants one spot machine of any of the types, in all zones, with its disk from the snapshot" {
  ready_to_launch
  launch
  assert_status 0
  assert_output imgpack-n-train
  [ "$(aws autoscaling describe-auto-scaling-groups --query 'AutoScalingGroups[0].[MinSize,MaxSize,DesiredCapacity,CapacityRebalance]' --output text)" = $'0\t1\t1\tTrue' ]
  [ "$(template 'MetadataOptions.HttpTokens')" = required ]
  [ "$(template 'InstanceInitiatedShutdownBehavior')" = terminate ]
  [ "$(template 'BlockDeviceMappings[1].Ebs.[SnapshotId,VolumeSize,DeleteOnTermination]')" = "$snapshot"$'\t10\tTrue' ]
  [ "$(template 'BlockDeviceMappings[0].Ebs.Encrypted')" = True ]
  [ "$(parameter CreateLaunchTemplate LaunchTemplateData.BlockDeviceMapping.2.Ebs.VolumeInitializationRate)" = 300 ]
  [ "$(parameter CreateAutoScalingGroup MixedInstancesPolicy.InstancesDistribution.SpotAllocationStrategy)" = price-capacity-optimized ]
  [[ $(user_data) == *$'\nrun=r\n'* ]]
  user_data | bash -n
  run ! grep -q -e testing -e AWS_ACCESS -e AWS_SECRET <(user_data)
  # The same again changes nothing.
  launch
  assert_status 0
  assert_calls CreateAutoScalingGroup 1
  assert_calls CreateLaunchTemplate 1
  assert_calls CreateLaunchTemplateVersion 0
  # Another recipe is another version.
  launch --recipe v2
  assert_calls CreateLaunchTemplateVersion 1
}

@test "the price is shown and asked for before anything is made" {
  ready_to_launch
  run --separate-stderr "$scripts/train-launch.sh" --name n --bucket bucket --run r --package "$BATS_TEST_TMPDIR/p.tar.gz" --ami "$ami" --size 10 </dev/null
  assert_status 4
  assert_said 'g5.12xlarge, spot at 2.14'
  assert_calls CreateLaunchTemplate 0
  assert_calls CreateSecurityGroup 0
}

@test "a fleet and single machines start one machine, and the same command again none" {
  ready_to_launch
  launch --mode fleet
  assert_status 0
  machine=$output
  launch --mode one
  assert_status 0
  assert_output "$machine"
  [ "$(ec2 describe-instances --query 'length(Reservations[].Instances[])')" = 1 ]
  assert_calls RunInstances 0
}

@test "a run that is done is not started again, and one that was stopped or failed is" {
  ready_to_launch
  put_object stop 'somebody'
  put_object failed 'something'
  launch
  assert_status 0
  run ! has_object stop
  run ! has_object failed
  put_object 'done' machine
  launch
  assert_status 3
  assert_said 'done already'
}

@test "several machines share a placement group, talk among themselves only, and use EFA where the types have it" {
  ready_to_launch
  launch --nodes 2 --types g5.12xlarge
  assert_status 0
  [ "$(template 'Placement.GroupName')" = imgpack-n-train ]
  [ "$(template 'NetworkInterfaces[0].InterfaceType')" = efa ]
  [ "$(aws autoscaling describe-auto-scaling-groups --query 'AutoScalingGroups[0].[MaxSize,DesiredCapacity]' --output text)" = $'2\t2' ]
  # One zone only.
  [[ $(aws autoscaling describe-auto-scaling-groups --query 'AutoScalingGroups[0].VPCZoneIdentifier' --output text) != *,* ]]
  group=$(ec2 describe-security-groups --filters Name=group-name,Values=imgpack-n-train --query 'SecurityGroups[0].GroupId')
  [ "$(ec2 describe-security-groups --group-ids "$group" --query 'SecurityGroups[0].IpPermissions[].UserIdGroupPairs[].GroupId')" = "$group" ]
  [ "$(ec2 describe-security-groups --group-ids "$group" --query 'length(SecurityGroups[0].IpPermissions[].IpRanges[])')" = 0 ]
  launch --nodes 2 --types g5.xlarge
  assert_status 0
  [ "$(template 'NetworkInterfaces')" = None ]
  launch --nodes 2 --volume persistent
  assert_status 2
}

@test "a persistent volume is made once, in the zone of the machines" {
  ready_to_launch
  launch --volume persistent --az-ids use1-az1
  assert_status 0
  [ "$(ec2 describe-volumes --filters Name=tag:imgpack:role,Values=data --query 'Volumes[].[AvailabilityZone,SnapshotId]')" = "us-east-1b"$'\t'"$snapshot" ]
  [[ $(user_data) == *$'\nvolume=vol-'* ]]
  [ "$(template 'length(BlockDeviceMappings)')" = 1 ]
}

# --- one trainer, its checkpoints, its end --------------------------------------------------------------------------------

@test "a run from beginning to end stores its folder, marks itself as done, wants no more machines, and frees the lease" {
  FAKE_STEPS=20 train --group imgpack-n-train
  # The group does not exist here: what matters comes before.
  assert_file_exist "$run_folder/final"
  has_object latest
  has_object 'done'
  run ! has_object lease
  has_object ledger/i-0aaaaaaaaaaaaaaaa
  [[ $(object ledger/i-0aaaaaaaaaaaaaaaa) == 'g5.12xlarge us-east-1a spot '* ]]
}

@test "the end of a run sets the group to none and powers off" {
  ready_to_launch
  launch
  FAKE_STEPS=10 train --group imgpack-n-train
  assert_status 0
  [ "$(aws autoscaling describe-auto-scaling-groups --query 'AutoScalingGroups[0].DesiredCapacity' --output text)" = 0 ]
  grep -q '^shutdown -h' "$FAKE_LOG"
  # A machine that boots into a run that is done goes at once.
  : >"$FAKE_LOG"
  train
  assert_status 0
  run ! grep -q '^imgtrain' "$FAKE_LOG"
  grep -q '^shutdown -h' "$FAKE_LOG"
}

# scenario 46, with the checkpoints on their way over S3
@test "interrupted on one machine and resumed on another, the run ends with the weights of an uninterrupted one" {
  FAKE_STEPS=40 imgtrain --out "$BATS_TEST_TMPDIR/straight"
  FAKE_NOTICE=$metadata/meta-data/spot/instance-action
  export FAKE_NOTICE
  (
    wait_until test -f "$run_folder/checkpoints/latest"
    give_notice
  ) 3>&- &
  FAKE_STEPS=40 FAKE_STEP_SECONDS=0.1 train
  assert_status 75
  run ! has_object lease
  # The machine is gone, with everything on it.
  rm -rf "$run_folder" "$IMGPACK_STATE" "$FAKE_NOTICE"
  be_instance i-0bbbbbbbbbbbbbbbb
  FAKE_STEPS=40 train
  assert_status 0
  cmp "$run_folder/final" "$BATS_TEST_TMPDIR/straight/final"
  grep -q resumed "$run_folder/train.log"
}

@test "a notice that imgtrain does not see by itself reaches it as SIGTERM" {
  (
    wait_until test -f "$run_folder/checkpoints/latest"
    give_notice
  ) 3>&- &
  FAKE_STEPS=1000 FAKE_STEP_SECONDS=0.1 train
  assert_status 75
  assert_said 'terminate at 2030-01-01'
  has_object latest
}

@test "SIGTERM from the system ends imgtrain with a checkpoint that is stored, and 75" {
  FAKE_STEPS=1000 FAKE_STEP_SECONDS=0.1 exec_train_run --folder "$run_folder" -- imgtrain --out "$run_folder" >/dev/null 2>"$BATS_TEST_TMPDIR/err" 3>&- &
  service=$!
  wait_until test -f "$run_folder/checkpoints/latest"
  kill -TERM "$service"
  status=0
  wait "$service" || status=$?
  [ "$status" = 75 ]
  script run-store pull --name n --bucket bucket --run r --folder "$BATS_TEST_TMPDIR/there"
  assert_status 0
  diff -r --exclude .store --exclude gpu.csv "$run_folder" "$BATS_TEST_TMPDIR/there"
}

# scenario 50
@test "a rebalance recommendation alone stores the run folder early, and ends nothing" {
  mkdir -p "$metadata/meta-data/events/recommendations"
  echo '{"noticeTime": "2030-01-01T00:00:00Z"}' >"$metadata/meta-data/events/recommendations/rebalance"
  FAKE_STEPS=80 FAKE_STEP_SECONDS=0.1 train --sync 1h
  assert_status 0
  assert_said 'rebalance'
  (($(curl -sf "$server/_fault/log" | jq '[.[] | select(.action == "PutObject" and (.params.key | endswith("/latest")))] | length') >= 2))
}

# scenario 51
@test "a checkpoint that cannot be stored is kept on the machine, told, and the exit code is 75" {
  export FAKE_NOTICE=$metadata/meta-data/spot/instance-action
  fault '{"action": "PutObject", "kind": "error", "code": "SlowDown", "status": 503, "times": 0, "where": {"key": "manifests"}}'
  (
    wait_until test -f "$run_folder/checkpoints/latest"
    give_notice
  ) 3>&- &
  IMGPACK_ATTEMPTS=2 FAKE_STEPS=1000 FAKE_STEP_SECONDS=0.1 train
  assert_status 75
  assert_said 'could not be stored'
  assert_said "$run_folder"
  assert_file_exist "$run_folder/checkpoints/latest"
  run ! has_object latest
}

@test "a run that is finished but could not be stored is not marked as done" {
  fault '{"action": "PutObject", "kind": "error", "code": "SlowDown", "status": 503, "times": 0, "where": {"key": "manifests"}}'
  IMGPACK_ATTEMPTS=2 FAKE_STEPS=10 train
  assert_status 75
  run ! has_object 'done'
  forget
  FAKE_STEPS=10 train
  assert_status 0
  has_object 'done'
}

# scenario 52
@test "a torn newest state is passed over, loudly, for the one before" {
  export FAKE_NOTICE=$metadata/meta-data/spot/instance-action
  local stop
  for stop in 1 2; do
    rm -f "$FAKE_NOTICE"
    (
      sleep 1.5
      give_notice
    ) 3>&- &
    FAKE_STEPS=1000 FAKE_STEP_SECONDS=0.1 train
    assert_status 75
  done
  rm "$FAKE_NOTICE"
  newest=$(object latest | cut -d' ' -f1)
  torn=$(object "$newest" | awk -F '\t' '$4 ~ /latest$/ { print $2 }')
  put_object "objects/$torn" 'torn'
  rm -rf "$run_folder"
  be_instance i-0bbbbbbbbbbbbbbbb
  script run-store pull --name n --bucket bucket --run r --folder "$run_folder"
  assert_status 0
  assert_said 'missing or altered'
  assert_said 'going on from'
  [ "$(<"$run_folder/.store/pushed")" != "$newest" ]
  FAKE_STEPS=$(($(wc -l <"$run_folder/metrics.csv") * 5 + 100)) FAKE_STEP_SECONDS=0 train
  assert_status 0
}

@test "when nothing that was stored is whole, training does not silently begin anew" {
  FAKE_NOTICE=/dev/null FAKE_STEPS=1000 train
  rm -rf "$run_folder"
  aws s3 rm --quiet --recursive s3://bucket/n/runs/r/objects/
  be_instance i-0bbbbbbbbbbbbbbbb
  train
  assert_status 3
  assert_said 'no stored state of this run is whole'
  [ "$(grep -c '^imgtrain' "$FAKE_LOG")" = 1 ]
}

# scenario 54
@test "a second trainer of the same run exits 3 and trains nothing" {
  put_object lease "i-0bbbbbbbbbbbbbbbb $EPOCHSECONDS"
  world '[{"op": "instance"}]'
  put_object lease "${id[0]} $EPOCHSECONDS"
  train
  assert_status 3
  assert_said "${id[0]}"
  run ! grep -q '^imgtrain' "$FAKE_LOG"
  [ "$(object lease | cut -d' ' -f1)" = "${id[0]}" ]
  # The holder is terminated: the lease is free although it was renewed just now.
  world "[{\"op\": \"terminate\", \"id\": \"${id[0]}\"}]" || :
  FAKE_STEPS=10 train
  assert_status 0
}

@test "a lease that was not renewed for long is taken over" {
  world '[{"op": "instance"}]'
  put_object lease "${id[0]} $((EPOCHSECONDS - 1000))"
  FAKE_STEPS=10 train
  assert_status 0
  assert_said 'taking it over'
}

@test "of two machines that try at the same moment, S3 lets one have the lease" {
  world '[{"op": "instance"}]'
  fault '{"action": "PutObject", "kind": "error", "code": "PreconditionFailed", "status": 412, "times": 1, "where": {"key": "lease"}}'
  train
  assert_status 3
  run ! grep -q '^imgtrain' "$FAKE_LOG"
}

@test "a lease that is lost while training ends the training, and stores nothing over the other's state" {
  FAKE_STEPS=1000 FAKE_STEP_SECONDS=0.1 exec_train_run --folder "$run_folder" -- imgtrain --out "$run_folder" >/dev/null 2>"$BATS_TEST_TMPDIR/err" 3>&- &
  service=$!
  wait_until test -f "$run_folder/checkpoints/latest"
  put_object lease "i-0bbbbbbbbbbbbbbbb $EPOCHSECONDS"
  status=0
  wait "$service" || status=$?
  [ "$status" = 3 ]
  run ! has_object latest
  [ "$(object lease | cut -d' ' -f1)" = i-0bbbbbbbbbbbbbbbb ]
}

@test "a request to stop ends the training with a stored checkpoint" {
  FAKE_STEPS=1000 FAKE_STEP_SECONDS=0.1 exec_train_run --folder "$run_folder" -- imgtrain --out "$run_folder" >/dev/null 2>"$BATS_TEST_TMPDIR/err" 3>&- &
  service=$!
  wait_until test -f "$run_folder/checkpoints/latest"
  put_object stop somebody
  wait "$service"
  has_object latest
  run ! has_object lease
  run ! has_object 'done'
}

@test "when the time is up the run ends with a stored checkpoint, and no machine is wanted any more" {
  FAKE_STEPS=1000 FAKE_STEP_SECONDS=0.1 train --until $((EPOCHSECONDS + 3))
  assert_status 0
  assert_said 'time that was allowed'
  has_object latest
  has_object stop
  grep -q '^shutdown' "$FAKE_LOG"
}

@test "imgtrain's exit codes are mapped, and three failures in a row end the machines" {
  FAKE_TRAIN_STATUS=4 train
  assert_status 3
  FAKE_TRAIN_STATUS=2 train
  assert_status 1
  run ! has_object failed
  run ! grep -q '^shutdown' "$FAKE_LOG"
  FAKE_TRAIN_STATUS=1 train
  assert_status 0
  has_object failed
  grep -q '^shutdown' "$FAKE_LOG"
}

@test "old states are removed from the store, with what only they hold" {
  mkdir -p "$run_folder"
  local round
  for round in 1 2 3 4; do
    echo "checkpoint $round" >"$run_folder/checkpoint"
    script run-store push --name n --bucket bucket --run r --folder "$run_folder" --prune 2
    assert_status 0
  done
  [ "$(aws s3 ls s3://bucket/n/runs/r/manifests/ | wc -l)" = 2 ]
  [ "$(aws s3 ls s3://bucket/n/runs/r/objects/ | wc -l)" = 2 ]
  # What was removed and comes back is stored again.
  echo 'checkpoint 1' >"$run_folder/checkpoint"
  script run-store push --name n --bucket bucket --run r --folder "$run_folder"
  script run-store pull --name n --bucket bucket --run r --folder "$BATS_TEST_TMPDIR/there"
  assert_status 0
  [ "$(<"$BATS_TEST_TMPDIR/there/checkpoint")" = 'checkpoint 1' ]
}

@test "a manifest that names paths outside of the run folder writes nothing" {
  echo content >"$BATS_TEST_TMPDIR/content"
  sum=$(sha256sum <"$BATS_TEST_TMPDIR/content" | cut -d' ' -f1)
  aws s3 cp --quiet "$BATS_TEST_TMPDIR/content" "s3://bucket/n/runs/r/objects/$sum"
  for path in ../outside /outside a/../../outside; do
    printf 'file\t%s\t8\t%s\n' "$sum" "$path" >"$BATS_TEST_TMPDIR/manifest"
    aws s3 cp --quiet "$BATS_TEST_TMPDIR/manifest" s3://bucket/n/runs/r/manifests/m
    put_object latest "manifests/m $(sha256sum <"$BATS_TEST_TMPDIR/manifest" | cut -d' ' -f1)"
    script run-store pull --name n --bucket bucket --run r --folder "$BATS_TEST_TMPDIR/folder/run"
    assert_status 4
    assert_file_not_exist "$BATS_TEST_TMPDIR/folder/outside"
  done
}

# scenario 53
@test "a machine that the group put in place of a lost one goes on with the run" {
  ready_to_launch
  launch
  first=$(ec2 describe-instances --filters Name=tag:imgpack:role,Values=train Name=instance-state-name,Values=running,pending --query 'Reservations[].Instances[].InstanceId')
  be_instance "$first"
  export FAKE_NOTICE=$metadata/meta-data/spot/instance-action
  (
    wait_until test -f "$run_folder/checkpoints/latest"
    give_notice
  ) 3>&- &
  FAKE_STEPS=40 FAKE_STEP_SECONDS=0.1 train
  assert_status 75
  aws ec2 terminate-instances --instance-ids "$first" >/dev/null
  rm -rf "$run_folder" "$IMGPACK_STATE" "$FAKE_NOTICE"
  aws autoscaling describe-auto-scaling-groups >/dev/null # moto heals when it is looked at
  second=$(ec2 describe-instances --filters Name=tag:imgpack:role,Values=train Name=instance-state-name,Values=running,pending --query 'Reservations[].Instances[].InstanceId')
  [ -n "$second" ]
  [ "$second" != "$first" ]
  be_instance "$second"
  FAKE_STEPS=40 train
  assert_status 0
  grep -q resumed "$run_folder/train.log"
}

# --- stopping, looking ----------------------------------------------------------------------------------------------------

# scenario 56
@test "train-stop asks for a checkpoint, then wants no machine, then terminates, in this order" {
  ready_to_launch
  launch
  put_object lease "i-0bbbbbbbbbbbbbbbb $EPOCHSECONDS"
  (
    wait_until has_object stop
    aws s3 rm --quiet s3://bucket/n/runs/r/lease
  ) 3>&- &
  script train-stop --name n --bucket bucket --run r --yes
  assert_status 0
  [ "$(call_order UpdateAutoScalingGroup TerminateInstances)" != 'TerminateInstances UpdateAutoScalingGroup' ]
  [ "$(aws autoscaling describe-auto-scaling-groups --query 'AutoScalingGroups[0].DesiredCapacity' --output text)" = 0 ]
  [ "$(ec2 describe-instances --filters Name=instance-state-name,Values=running,pending --query 'length(Reservations)')" = 0 ]
  assert_calls DeleteSnapshot 0
}

@test "train-stop without a group terminates the machine after its checkpoint" {
  ready_to_launch
  launch --mode one
  script train-stop --name n --bucket bucket --run r --yes
  assert_status 0
  assert_calls TerminateInstances 1
  assert_calls UpdateAutoScalingGroup 0
}

@test "train-stop keeps the machines when no checkpoint comes, unless told otherwise" {
  ready_to_launch
  launch --mode one
  put_object lease "i-0bbbbbbbbbbbbbbbb $EPOCHSECONDS"
  script train-stop --name n --bucket bucket --run r --yes --timeout 2s
  assert_status 6
  assert_calls TerminateInstances 0
  script train-stop --name n --bucket bucket --run r
  assert_status 4
  script train-stop --name n --bucket bucket --run r --yes --now
  assert_status 0
  assert_calls TerminateInstances 1
}

@test "train-status tells state, lease, last stored state and cost; train-logs shows the log" {
  script train-status --name n --bucket bucket --run r
  assert_status 0
  assert_output --partial 'waiting'
  echo 'a line of the log' >"$IMGPACK_LOG"
  FAKE_STEPS=10 train
  script train-status --name n --bucket bucket --run r
  assert_status 0
  assert_output --partial 'state     done'
  assert_output --partial 'metrics'
  assert_output --partial 'so far'
  script train-status --name n --bucket bucket --run r --json
  [ "$(jq -r .state <<<"$output")" = 'done' ]
  script train-logs --name n --bucket bucket --run r
  assert_status 0
  assert_output 'a line of the log'
  script train-logs --name n --bucket bucket --run none
  assert_status 3
}

@test "what the GPUs do is written down and summed up" {
  script gpu-monitor --once
  assert_status 0
  assert_output --partial '97'
  timeout 2 "$scripts/gpu-monitor.sh" --out "$BATS_TEST_TMPDIR/gpu.csv" --interval 1s || :
  script gpu-monitor --summary "$BATS_TEST_TMPDIR/gpu.csv"
  assert_status 0
  assert_line --partial 'gpu 0: 97 % busy on average'
  assert_line --partial 'gpu 1: 93 %'
}

# --- booting --------------------------------------------------------------------------------------------------------------

# boot_machine SETTING…: train-boot.sh with this configuration, on a machine with its volume attached
boot_machine() {
  printf '%s\n' name=n region=us-east-1 bucket=bucket run=r recipe=smoke "mount=$BATS_TEST_TMPDIR/data" "$@" >"$BATS_TEST_TMPDIR/boot.conf"
  IMGPACK_UNITS=$BATS_TEST_TMPDIR FSTAB=$BATS_TEST_TMPDIR/fstab script train-boot --config "$BATS_TEST_TMPDIR/boot.conf" --timeout 2m
}
pack_on_disk() {
  need_loop_devices
  make_disk 32
  mkfs.ext4 -q "$disk"
  mkdir "$BATS_TEST_TMPDIR/fill"
  mount "$disk" "$BATS_TEST_TMPDIR/fill"
  echo images >"$BATS_TEST_TMPDIR/raw"
  imgpack build "$BATS_TEST_TMPDIR/raw" "$BATS_TEST_TMPDIR/fill/pack"
  umount "$BATS_TEST_TMPDIR/fill"
  world '[{"op": "instance", "tags": {"imgpack:name": "n", "imgpack:role": "train"}}, {"op": "volume", "instance": "@0", "tags": {"imgpack:name": "n", "imgpack:role": "train"}}]'
  be_instance "${id[0]}"
  volume=${id[1]}
  show_devices "$disk" "$volume"
}

@test "a booting machine mounts the pack read-only, warms it, and starts the unit" {
  pack_on_disk
  boot_machine
  assert_status 0
  [[ $(findmnt -n -o OPTIONS --mountpoint "$BATS_TEST_TMPDIR/data") == ro* ]]
  grep -q 'imgpack verify --level checksums --warm' "$FAKE_LOG"
  grep -q 'systemctl restart --no-block imgtrain.service' "$FAKE_LOG"
  grep -q -- "-- imgtrain --shards $BATS_TEST_TMPDIR/data/pack --recipe smoke --out .*/runs/r --gpus all" "$BATS_TEST_TMPDIR/imgtrain.service"
  # At the next boot everything is found done.
  boot_machine
  assert_status 0
  [ "$(grep -c 'imgpack verify' "$FAKE_LOG")" = 1 ]
}

@test "the unit that is written is one that systemd accepts without a word" {
  command -v systemd-analyze >/dev/null || skip "needs systemd-analyze"
  pack_on_disk
  boot_machine
  run --separate-stderr systemd-analyze verify "$BATS_TEST_TMPDIR/imgtrain.service"
  assert_status 0
  [ -z "$output$stderr" ] || { echo "$output$stderr" >&2; false; }
}

@test "a driver that is too old, and a GPU that is, are refused with the reason; the third failed boot ends the machines" {
  FAKE_DRIVER=570.86.15 boot_machine
  assert_status 3
  assert_said '580'
  FAKE_CAPABILITY=7.0 FAKE_GPU=V100 boot_machine
  assert_status 3
  assert_said 'compute capability 7.0'
  run ! grep -q '^shutdown' "$FAKE_LOG"
  FAKE_DRIVER=570.86.15 boot_machine
  has_object failed
  grep -q '^shutdown' "$FAKE_LOG"
}

@test "machines of one run find the same head by themselves; the others follow it" {
  pack_on_disk
  first=${id[0]}
  world '[{"op": "instance", "tags": {"imgpack:name": "n", "imgpack:role": "train"}}]'
  second=${id[0]}
  boot_machine nodes=2
  assert_status 0
  address=$(ec2 describe-instances --instance-ids "$first" --query 'Reservations[0].Instances[0].PrivateIpAddress')
  head=$(grep -o 'rdzv-endpoint=[0-9.]*' "$BATS_TEST_TMPDIR/imgtrain.service")
  grep -q 'torchrun --no-python --nnodes=2 --nproc-per-node=4' "$BATS_TEST_TMPDIR/imgtrain.service"
  # The other machine, with the same question.
  aws ec2 detach-volume --volume-id "$volume" --instance-id "$first" >/dev/null
  aws ec2 attach-volume --volume-id "$volume" --instance-id "$second" --device /dev/sdf >/dev/null
  followers=$(grep -c -- --follower "$BATS_TEST_TMPDIR/imgtrain.service" || :)
  be_instance "$second"
  boot_machine nodes=2
  assert_status 0
  [ "$(grep -o 'rdzv-endpoint=[0-9.]*' "$BATS_TEST_TMPDIR/imgtrain.service")" = "$head" ]
  followers=$((followers + $(grep -c -- --follower "$BATS_TEST_TMPDIR/imgtrain.service" || :)))
  [ "$followers" = 1 ]
  [ -n "$address" ]
}

@test "a machine of several waits for the others no longer than --timeout" {
  pack_on_disk
  printf '%s\n' name=n region=us-east-1 bucket=bucket run=r recipe=smoke "mount=$BATS_TEST_TMPDIR/data" nodes=2 >"$BATS_TEST_TMPDIR/boot.conf"
  IMGPACK_UNITS=$BATS_TEST_TMPDIR FSTAB=$BATS_TEST_TMPDIR/fstab script train-boot --config "$BATS_TEST_TMPDIR/boot.conf" --timeout 15s
  assert_status 6
}
