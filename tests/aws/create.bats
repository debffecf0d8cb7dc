#!/usr/bin/env bats
# Making things: once, whatever is lost on the way, and nothing left behind where it cannot be.
bats_require_minimum_version 1.5.0

setup_file() { load support/helper && start_aws; }
teardown_file() { load support/helper && stop_aws; }
setup() { load support/helper && use_aws; }

pack=0123456789abcdef0123456789abcdef

# make_bucket_and_image -> ami: what launches need
make_bucket_and_image() {
  aws s3api create-bucket --bucket bucket >/dev/null
  make_package "$BATS_TEST_TMPDIR/p.tar.gz"
  world '[{"op": "image"}, {"op": "profile", "name": "imgpack-n-prep"}, {"op": "profile", "name": "imgpack-n-train"}]'
  ami=${id[0]}
}
prep_launch() { script prep-launch --name n --size 10 --ami "$ami" "$@"; }
train_launch() { script train-launch --name n --bucket bucket --run r --package "$BATS_TEST_TMPDIR/p.tar.gz" --ami "$ami" --size 10 --yes "$@"; }
make_verified_snapshot() {
  world "[{\"op\": \"volume\", \"size\": 10, \"tags\": {\"imgpack:name\": \"gone\"}},
    {\"op\": \"snapshot\", \"volume\": \"@0\", \"tags\": {\"imgpack:name\": \"n\", \"imgpack:role\": \"data\", \"imgpack:pack\": \"$pack\", \"imgpack:verified\": \"$pack\"}},
    {\"op\": \"delete_volume\", \"id\": \"@0\"}]"
  snapshot=${id[1]}
}

@test "the whole preparation leaves a verified snapshot and nothing else, and each step run again makes nothing new" {
  make_bucket_and_image
  script account-setup --name n --bucket bucket
  assert_status 0
  script account-setup --name n --bucket bucket
  assert_status 0
  assert_calls CreateRole 4 # tried, and refused as there already
  forget

  prep_launch --package "$BATS_TEST_TMPDIR/p.tar.gz" --bucket bucket --source kaggle --json
  assert_status 0
  volume=$(jq -r .volume <<<"$output") instance=$(jq -r .instance <<<"$output")
  prep_launch --package "$BATS_TEST_TMPDIR/p.tar.gz" --bucket bucket --source kaggle --json
  assert_status 0
  [ "$(jq -r .volume <<<"$output") $(jq -r .instance <<<"$output")" = "$volume $instance" ]
  assert_calls CreateVolume 1
  assert_calls RunInstances 1
  assert_calls AttachVolume 1
  assert_calls PutObject 1

  # What the machine does, said by its tags.
  world "[{\"op\": \"tag\", \"id\": \"$volume\", \"tags\": {\"imgpack:state\": \"verified\", \"imgpack:pack\": \"$pack\"}}]"
  script prep-finish --name n --yes
  assert_status 0
  snapshot=$output
  [ "$(tag_of "$snapshot" imgpack:verified)" = "$pack" ]
  [ "$(ec2 describe-volumes --filters Name=tag:imgpack:name,Values=n Name=tag:imgpack:role,Values=data --query 'length(Volumes)')" = 0 ]
  [ "$(ec2 describe-instances --instance-ids "$instance" --query 'Reservations[0].Instances[0].State.Name')" = terminated ]
  [ "$(call_order CreateSnapshot TerminateInstances DeleteVolume)" = 'CreateSnapshot TerminateInstances DeleteVolume' ]

  script prep-finish --name n --yes
  assert_status 0
  assert_output "$snapshot"
  assert_calls CreateSnapshot 1
  assert_calls DeleteVolume 1
}

@test "a launched machine asks for IMDSv2, has encrypted disks, stops rather than terminates, and lets nothing in" {
  make_bucket_and_image
  prep_launch --package "$BATS_TEST_TMPDIR/p.tar.gz" --bucket bucket --source kaggle
  assert_status 0
  [ "$(parameter RunInstances MetadataOptions.HttpTokens)" = required ]
  [ "$(parameter RunInstances BlockDeviceMapping.1.Ebs.Encrypted)" = true ]
  [ "$(parameter CreateVolume Encrypted)" = true ]
  [ "$(parameter RunInstances InstanceInitiatedShutdownBehavior)" = stop ]
  group=$(parameter RunInstances SecurityGroupId.1)
  [ "$(ec2 describe-security-groups --group-ids "$group" --query 'length(SecurityGroups[0].IpPermissions)')" = 0 ]
  assert_calls AuthorizeSecurityGroupIngress 0
}

@test "a zone id is turned into this account's zone before the volume is made" {
  script volume-create --name n --size 10 --az-id use1-az1
  assert_status 0
  [ "$(parameter CreateVolume AvailabilityZone)" = us-east-1b ]
  script volume-create --name m --size 10 --az-id use1-az99
  assert_status 2
}

@test "a volume from a snapshot takes its state and pack along, and cannot be smaller" {
  make_verified_snapshot
  script volume-create --name n --size 9 --az us-east-1a --snapshot "$snapshot"
  assert_status 2
  assert_calls CreateVolume 0
  script volume-create --name n --size 12 --az us-east-1a --snapshot "$snapshot" --init-rate 300
  assert_status 0
  [ "$(tag_of "$output" imgpack:pack)" = "$pack" ]
  [ "$(tag_of "$output" imgpack:state)" != blank ]
  [ "$(parameter CreateVolume VolumeInitializationRate)" = 300 ]
}

@test "a volume that is there with another size is named and left alone" {
  script volume-create --name n --size 10 --az us-east-1a
  script volume-create --name n --size 11 --az us-east-1a
  assert_status 3
  assert_said '10 GiB, not 11'
  assert_calls CreateVolume 1
}

@test "answers of CreateVolume and RunInstances that are lost leave one volume and one machine" {
  make_bucket_and_image
  fault '{"action": "CreateVolume", "kind": "drop", "times": 0}'
  IMGPACK_ATTEMPTS=2 prep_launch
  assert_status 5
  forget
  fault '{"action": "RunInstances", "kind": "drop", "times": 0}'
  IMGPACK_ATTEMPTS=2 prep_launch
  assert_status 5
  forget
  prep_launch
  assert_status 0
  [ "$(ec2 describe-volumes --filters Name=tag:imgpack:name,Values=n Name=tag:imgpack:role,Values=data --query 'length(Volumes)')" = 1 ]
  [ "$(ec2 describe-instances --filters Name=tag:imgpack:name,Values=n --query 'length(Reservations[].Instances[])')" = 1 ]
}

@test "one lost answer is made good within the same run, by the client token" {
  fault '{"action": "CreateVolume", "kind": "drop", "times": 1}'
  script volume-create --name n --size 10 --az us-east-1a
  assert_status 0
  assert_calls CreateVolume 2
  [ "$(ec2 describe-volumes --query 'length(Volumes)')" = 1 ]
}

@test "after a volume was deleted the same command makes another, although its token is known" {
  script volume-create --name n --size 10 --az us-east-1a
  first=$output
  aws ec2 delete-volume --volume-id "$first"
  script volume-create --name n --size 10 --az us-east-1a
  assert_status 0
  [ "$output" != "$first" ]
}

@test "two volumes of one project are not chosen between" {
  world '[{"op": "volume", "tags": {"imgpack:name": "n", "imgpack:role": "data"}}, {"op": "volume", "tags": {"imgpack:name": "n", "imgpack:role": "data"}}]'
  script volume-create --name n --size 1 --az us-east-1a
  assert_status 3
  assert_said "${id[0]}"
  assert_said "${id[1]}"
  assert_calls CreateVolume 0
}

@test "throttling twice is waited out; throttling without end is an API error" {
  fault '{"action": "DescribeVolumes", "kind": "error", "code": "RequestLimitExceeded", "status": 503, "times": 2}'
  script volume-create --name n --size 10 --az us-east-1a
  assert_status 0
  fault '{"action": "DescribeVolumes", "kind": "error", "code": "RequestLimitExceeded", "status": 503, "times": 0}'
  script volume-create --name m --size 10 --az us-east-1a
  assert_status 5
  assert_said RequestLimitExceeded
  assert_calls CreateVolume 1
}

@test "an error that will not go away is not tried again" {
  fault '{"action": "CreateVolume", "kind": "error", "code": "UnauthorizedOperation", "status": 403, "times": 0}'
  script volume-create --name n --size 10 --az us-east-1a
  assert_status 5
  assert_said UnauthorizedOperation
  assert_calls CreateVolume 1
}

@test "a call that never answers ends with 6 within --timeout" {
  fault '{"action": "DescribeVolumes", "kind": "hang", "times": 0}'
  before=$SECONDS
  script volume-create --name n --size 10 --az us-east-1a --timeout 2s
  assert_status 6
  ((SECONDS - before < 200)) # far from the hour that it would take
}

@test "without capacity the next zone and type are tried in order" {
  make_bucket_and_image
  make_verified_snapshot
  fault '{"action": "RunInstances", "kind": "error", "code": "InsufficientInstanceCapacity", "status": 500, "times": 0, "where": {"InstanceType": "g5.12xlarge"}}'
  train_launch --mode one --types g5.12xlarge,g6.12xlarge --az-ids use1-az6,use1-az1
  assert_status 0
  [ "$(ec2 describe-instances --instance-ids "$(jq -r . <<<"\"$output\"")" --query 'Reservations[0].Instances[0].InstanceType')" = g6.12xlarge ]
  assert_calls RunInstances 3
}

@test "without capacity anywhere the exit code is 5, all refusals are named, and no machine is left" {
  make_bucket_and_image
  make_verified_snapshot
  fault '{"action": "RunInstances", "kind": "error", "code": "InsufficientInstanceCapacity", "status": 500, "times": 0}'
  train_launch --mode one --types g5.12xlarge,g6.12xlarge --az-ids use1-az6
  assert_status 5
  assert_said 'g5.12xlarge in us-east-1a: InsufficientInstanceCapacity'
  assert_said 'g6.12xlarge in us-east-1a: InsufficientInstanceCapacity'
  [ "$(ec2 describe-instances --query 'length(Reservations)')" = 0 ]
  forget
  prep_launch
  assert_status 0
}

@test "a fleet without capacity exits 5 with EC2's reason" {
  make_bucket_and_image
  make_verified_snapshot
  fault '{"action": "CreateFleet", "kind": "reply", "body": "<CreateFleetResponse><errorSet><item><errorCode>InsufficientInstanceCapacity</errorCode></item></errorSet><fleetInstanceSet/></CreateFleetResponse>", "times": 0}'
  train_launch --mode fleet
  assert_status 5
  assert_said InsufficientInstanceCapacity
}

@test "the account's limit on spot machines is told at once, and not tried again" {
  make_bucket_and_image
  make_verified_snapshot
  fault '{"action": "RunInstances", "kind": "error", "code": "MaxSpotInstanceCountExceeded", "status": 400, "times": 0}'
  train_launch --mode one --types g5.12xlarge,g6.12xlarge
  assert_status 5
  assert_said MaxSpotInstanceCountExceeded
  assert_calls RunInstances 1
}

@test "a security group of one's own that is open to the world is refused, and so are wide address ranges" {
  make_bucket_and_image
  group=$(ec2 create-security-group --group-name mine --description mine --query GroupId)
  aws ec2 authorize-security-group-ingress --group-id "$group" --protocol tcp --port 22 --cidr 0.0.0.0/0 >/dev/null
  prep_launch --sg "$group"
  assert_status 4
  assert_said 'open to the world'
  prep_launch --ssh-from 0.0.0.0/0
  assert_status 4
  prep_launch --ssh-from 10.0.0.0/8
  assert_status 4
  assert_calls RunInstances 0
  forget
  prep_launch --ssh-from 203.0.113.7/32
  assert_status 0
  [ "$(parameter AuthorizeSecurityGroupIngress IpPermissions.1.IpRanges.1.CidrIp)" = 203.0.113.7/32 ]
}

@test "a project's own group that someone opened since is refused" {
  make_bucket_and_image
  prep_launch
  assert_status 0
  group=$(ec2 describe-security-groups --filters Name=group-name,Values=imgpack-n-prep --query 'SecurityGroups[0].GroupId')
  aws ec2 authorize-security-group-ingress --group-id "$group" --ip-permissions 'IpProtocol=tcp,FromPort=22,ToPort=22,Ipv6Ranges=[{CidrIpv6=::/0}]' >/dev/null
  aws ec2 terminate-instances --instance-ids "$output" >/dev/null
  prep_launch
  assert_status 4
}

@test "an instance profile that does not exist is waited for, and then named with the way out" {
  make_bucket_and_image
  prep_launch --instance-profile not-made
  assert_status 3
  assert_said 'account-setup.sh'
  fault '{"action": "RunInstances", "kind": "error", "code": "InvalidParameterValue", "message": "Value (imgpack-n-prep) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name", "times": 2}'
  prep_launch
  assert_status 0
}

@test "a missing image parameter names the way out" {
  make_bucket_and_image
  script prep-launch --name n --size 10
  assert_status 3
  assert_said '--ami'
  assert_calls RunInstances 0
}
