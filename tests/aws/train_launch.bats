#!/usr/bin/env bats
# Launching a training, looking at it and stopping it: template, group, fleet, several machines.
bats_require_minimum_version 1.5.0

setup_file() { load support/helper && start_aws; }
teardown_file() { load support/helper && stop_aws; }
setup() { load support/helper && load support/training && use_training; }
teardown() { end_training; }

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

# --- stopping, looking ----------------------------------------------------------------------------------------------------

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
  [[ $(call_order UpdateAutoScalingGroup TerminateInstances) == UpdateAutoScalingGroup* ]]
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
  "$scripts/gpu-monitor.sh" --out "$BATS_TEST_TMPDIR/gpu.csv" --interval 1s 3>&- &
  monitor=$!
  has_readings() { (($(wc -l <"$BATS_TEST_TMPDIR/gpu.csv") >= 3)); } # the head and one of each GPU
  wait_until has_readings
  kill -TERM "$monitor"
  wait "$monitor"
  script gpu-monitor --summary "$BATS_TEST_TMPDIR/gpu.csv"
  assert_status 0
  assert_line --partial 'gpu 0: 97 % busy on average'
  assert_line --partial 'gpu 1: 93 %'
}
