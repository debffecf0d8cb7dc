#!/usr/bin/env bats
# What is refused before anything is asked of AWS, and what --dry-run keeps from happening.
bats_require_minimum_version 1.5.0

setup_file() { load support/helper && start_aws; }
teardown_file() { load support/helper && stop_aws; }
setup() { load support/helper && use_aws; }

every_script() {
  local file
  for file in "$scripts"/*.sh; do
    [ "$(basename "$file")" = lib.sh ] || basename "$file" .sh
  done
}

@test "every script without its required options exits 2 and shows its usage" {
  local name
  for name in $(every_script); do
    case $name in prep-boot | train-boot | gpu-monitor | spot-watch | cost) continue ;; esac # nothing is required, or a configuration file with a default place
    script "$name"
    assert_status 2
    assert_said "USAGE"
    assert_said "is required"
  done
  for name in prep-boot train-boot gpu-monitor spot-watch cost; do
    run --separate-stderr "$scripts/$name.sh" --config /nonexistent --out ''
    assert_status 2
  done
  assert_calls DescribeVolumes 0
}

@test "every script explains itself with --help, ends it with the exit codes, and calls nothing" {
  local name
  for name in $(every_script); do
    script "$name" --help
    assert_status 0
    assert_output --partial "$name.sh: "
    assert_output --partial 'EXIT STATUS'
  done
  [ "$(curl -sf "$server/_fault/log")" = '[]' ]
}

@test "impossible ids, sizes, zones and names exit 2 without a call" {
  local id
  for id in 'vol-' 'vol-12 34' '$(touch pwned)' 'vol-0123456789abcdef0;ls' 'i-0123456789abcdef0'; do
    script volume-attach --volume "$id" --instance i-0123456789abcdef0
    assert_status 2
    script volume-delete --volume "$id" --pack 0123456789abcdef0123456789abcdef
    assert_status 2
    script volume-mount --volume "$id"
    assert_status 2
  done
  for size in 0 -1 65537 12GB '1 2' ''; do
    script volume-create --name n --size "$size" --az us-east-1a
    assert_status 2
  done
  script volume-create --name n --size 10 --az 'us-east-1'
  assert_status 2
  script volume-create --name n --size 10 --az-id 'use1'
  assert_status 2
  script volume-create --name 'N n' --size 10 --az us-east-1a
  assert_status 2
  script volume-create --name n --size 10
  assert_status 2
  script volume-create --name n --size 10 --az us-east-1a --az-id use1-az4
  assert_status 2
  script train-launch --name n --bucket bucket --run r --package p --az-ids 'use1-az4,$(x)'
  assert_status 2
  script prep-launch --name n --source 'https://x/$(id)' --package p --bucket bucket
  assert_status 2
  assert_file_not_exist pwned
  [ "$(curl -sf "$server/_fault/log")" = '[]' ]
}

@test "a folder in S3 or a parameter that the machine's role could not read is refused before a call" {
  script prep-launch --name n --package p --bucket bucket --source s3://other/images/
  assert_status 2
  assert_said 's3://bucket/n/source/'
  script prep-launch --name n --package p --bucket bucket --source s3://bucket/images/
  assert_status 2
  script prep-launch --name n --package p --bucket bucket --source kaggle --kaggle-parameter /imgpack/other/kaggle
  assert_status 2
  assert_said '/imgpack/n/'
  [ "$(curl -sf "$server/_fault/log")" = '[]' ]
  script prep-launch --name n --package p --bucket bucket --source s3://bucket/n/source/images/
  refute_said 'role may read'
  script prep-launch --name n --package p --bucket bucket --source s3://other/images/ --instance-profile mine
  refute_said 'role may read'
}

@test "an unknown option names the nearest one" {
  script volume-create --name n --size 10 --troughput 125
  assert_status 2
  script volume-create --name n --size 10 --through 125
  assert_status 2
  assert_said 'did you mean --throughput?'
}

@test "IOPS, throughput and initialization rates outside of EC2's limits exit 2 without a call" {
  script volume-create --name n --size 400 --az us-east-1a --iops 2999
  assert_status 2
  script volume-create --name n --size 400 --az us-east-1a --iops 80001
  assert_status 2
  script volume-create --name n --size 400 --az us-east-1a --throughput 2001
  assert_status 2
  script volume-create --name n --size 400 --az us-east-1a --throughput 1000
  assert_status 2
  assert_said '4000'
  script volume-create --name n --size 8 --az us-east-1a --iops 4001
  assert_status 2
  for rate in 99 301; do
    script volume-create --name n --size 400 --az us-east-1a --snapshot snap-0123456789abcdef0 --init-rate "$rate"
    assert_status 2
  done
  script volume-create --name n --size 400 --az us-east-1a --init-rate 300
  assert_status 2
  assert_said 'snapshot'
  [ "$(curl -sf "$server/_fault/log")" = '[]' ]
}

@test "750 MiB/s at 3000 IOPS and 2000 MiB/s at 8000 are the most that is let through" {
  script volume-create --name a --size 400 --az us-east-1a --iops 3000 --throughput 750
  assert_status 0
  script volume-create --name b --size 400 --az us-east-1a --iops 8000 --throughput 2000
  assert_status 0
}

@test "without the aws command the exit code is 7 and the message names it" {
  mkdir "$BATS_TEST_TMPDIR/few"
  local tool
  for tool in bash env dirname basename timeout flock id mktemp rm sha256sum cut tr sed grep; do ln -s "$(command -v "$tool")" "$BATS_TEST_TMPDIR/few/$tool"; done
  PATH=$BATS_TEST_TMPDIR/few script volume-create --name n --size 10 --az us-east-1a
  assert_status 7
  assert_said 'aws: command not found'
}

@test "the installed aws command, started anew for each call, gives the same as the one kept loaded" {
  mkdir "$BATS_TEST_TMPDIR/real"
  ln -s "$(dirname "$test_python")/aws" "$BATS_TEST_TMPDIR/real/aws"
  PATH=$BATS_TEST_TMPDIR/real:$PATH script volume-create --name n --size 10 --az us-east-1a
  assert_status 0
  first=$output
  script volume-create --name n --size 10 --az us-east-1a
  assert_status 0
  assert_output "$first"
}

@test "without credentials the exit code is 5 and the message says so" {
  unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY
  script volume-create --name n --size 10 --az us-east-1a
  assert_status 5
  assert_said 'credentials'
  refute_said 'testing'
}

@test "without a region the exit code is 2 and the message says so" {
  unset AWS_REGION AWS_DEFAULT_REGION
  script volume-create --name n --size 10 --az us-east-1a
  assert_status 2
  assert_said 'region'
}

@test "--dry-run of every script that changes something only asks, and says what it would do" {
  make_package "$BATS_TEST_TMPDIR/p.tar.gz"
  aws s3api create-bucket --bucket bucket >/dev/null
  world '[{"op": "image"}, {"op": "parameter", "name": "/imgpack/ami", "value": "@0"},
    {"op": "instance", "zone": "us-east-1a", "tags": {"imgpack:name": "there", "imgpack:role": "prep"}},
    {"op": "volume", "size": 10, "zone": "us-east-1a", "instance": "@2", "tags": {"imgpack:name": "there", "imgpack:role": "data", "imgpack:state": "verified", "imgpack:pack": "0123456789abcdef0123456789abcdef"}},
    {"op": "volume", "size": 10, "zone": "us-east-1a", "tags": {"imgpack:name": "free", "imgpack:role": "data", "imgpack:state": "snapshotted", "imgpack:pack": "0123456789abcdef0123456789abcdef"}},
    {"op": "snapshot", "volume": "@4", "tags": {"imgpack:name": "free", "imgpack:pack": "0123456789abcdef0123456789abcdef", "imgpack:verified": "0123456789abcdef0123456789abcdef"}}]'
  forget
  local pack=0123456789abcdef0123456789abcdef
  dry() {
    script "$@" --dry-run
    assert_status 0
    assert_said 'would'
  }
  dry account-setup --name n --bucket another-bucket
  dry volume-create --name n --size 10 --az us-east-1a
  dry volume-attach --volume "${id[4]}" --instance "${id[2]}"
  dry volume-delete --volume "${id[4]}" --pack "$pack"
  dry snapshot --volume "${id[3]}" --pack "$pack" --live
  dry prep-launch --name n --size 10 --ami "${id[0]}" --package "$BATS_TEST_TMPDIR/p.tar.gz" --bucket bucket --ssh-from 203.0.113.7/32
  dry prep-finish --name there
  for mode in asg fleet one; do
    dry train-launch --name free --bucket bucket --run r --package "$BATS_TEST_TMPDIR/p.tar.gz" --ami "${id[0]}" --mode "$mode" --size 10
  done
  dry train-launch --name free --bucket bucket --run r --package "$BATS_TEST_TMPDIR/p.tar.gz" --ami "${id[0]}" --nodes 2 --size 10
  dry train-stop --name free --bucket bucket --run r
  dry cleanup --name free
  [ -z "$(changing_calls)" ] || { changing_calls >&2; false; }
}

@test "--dry-run on a machine changes no disk, no folder and no tag" {
  need_loop_devices
  use_stand_ins imgpack imgtrain shutdown systemctl nvidia-smi
  export FAKE_LOG=$BATS_TEST_TMPDIR/log FSTAB=$BATS_TEST_TMPDIR/fstab IMGPACK_UNITS=$BATS_TEST_TMPDIR/units
  : >"$FAKE_LOG"
  make_disk 16
  world '[{"op": "instance", "tags": {"imgpack:name": "n", "imgpack:role": "prep"}}, {"op": "volume", "instance": "@0", "tags": {"imgpack:name": "n", "imgpack:role": "data", "imgpack:state": "blank"}}]'
  local machine=${id[0]} volume=${id[1]}
  show_devices "$disk" "$volume"
  aws s3api create-bucket --bucket bucket >/dev/null
  mkdir "$BATS_TEST_TMPDIR/raw" "$BATS_TEST_TMPDIR/data" "$BATS_TEST_TMPDIR/units" "$BATS_TEST_TMPDIR/run"
  echo image >"$BATS_TEST_TMPDIR/raw/a.JPEG"
  echo weights >"$BATS_TEST_TMPDIR/run/final"
  start_metadata
  be_instance "$machine"
  printf '%s\n' name=n region=us-east-1 "source=$BATS_TEST_TMPDIR/raw" "mount=$BATS_TEST_TMPDIR/data" >"$BATS_TEST_TMPDIR/prep.conf"
  printf '%s\n' name=n region=us-east-1 bucket=bucket run=r recipe=smoke "mount=$BATS_TEST_TMPDIR/data" >"$BATS_TEST_TMPDIR/train.conf"
  forget
  local before
  everything() { find "$BATS_TEST_TMPDIR/raw" "$BATS_TEST_TMPDIR/data" "$BATS_TEST_TMPDIR/units" "$BATS_TEST_TMPDIR/run" "$disk" -type b,f,d -exec cksum {} + 2>&1; }
  before=$(everything)
  dry() {
    script "$@" --dry-run
    assert_status 0
    assert_said 'would'
  }
  local dest=(--dest "$BATS_TEST_TMPDIR/data")
  dry volume-mount --volume "$volume" --mount "$BATS_TEST_TMPDIR/data" --mkfs --owner nobody
  dry fetch-imagenet "${dest[@]}" --source "torrent:/$BATS_TEST_TMPDIR/x.torrent" --volume "$volume"
  dry fetch-imagenet "${dest[@]}" --source "$BATS_TEST_TMPDIR/raw" --volume "$volume"
  dry prep-data "${dest[@]}" --source "$BATS_TEST_TMPDIR/raw" --volume "$volume"
  dry volume-warm --volume "$volume" --files "$BATS_TEST_TMPDIR/raw"
  dry prep-boot --config "$BATS_TEST_TMPDIR/prep.conf"
  mkfs.ext4 -q "$disk"
  before=$(everything)
  dry train-boot --config "$BATS_TEST_TMPDIR/train.conf"
  assert_said '4 × NVIDIA A10G, driver 595'
  dry run-store push --name n --bucket bucket --run r --folder "$BATS_TEST_TMPDIR/run"
  dry run-store pull --name n --bucket bucket --run r --folder "$BATS_TEST_TMPDIR/run"
  script train-run --name n --bucket bucket --run r --folder "$BATS_TEST_TMPDIR/run" --dry-run -- imgtrain
  assert_status 0
  assert_said 'would'
  script spot-watch --dry-run -- rm -rf "$BATS_TEST_TMPDIR/raw"
  assert_status 0
  assert_said 'would'
  stop_metadata
  [ "$(everything)" = "$before" ]
  release_disks
  [ ! -s "$FAKE_LOG" ] || ! grep -E '^(imgpack|imgtrain|systemctl|shutdown)' "$FAKE_LOG"
  [ ! -e "$FSTAB" ]
  [ -z "$(changing_calls)" ] || { changing_calls >&2; false; }
}

@test "a second script on the same project is told to wait, and touches nothing" {
  exec 7>>"$BATS_TEST_TMPDIR/imgpack-$(id -u)-n.lock"
  flock -n 7
  script volume-create --name n --size 10 --az us-east-1a
  assert_status 3
  assert_said 'another script is at work'
  assert_calls CreateVolume 0
  exec 7>&-
}

@test "a configuration file with an unknown key, a double key or no sense is refused by line" {
  printf 'name = n\nbukket = b\n' >"$BATS_TEST_TMPDIR/c"
  script up --config "$BATS_TEST_TMPDIR/c"
  assert_status 2
  assert_said "c:2: unknown key 'bukket'"
  printf 'name = n\nname = m\n' >"$BATS_TEST_TMPDIR/c"
  script up --config "$BATS_TEST_TMPDIR/c"
  assert_status 2
  assert_said "set twice"
  printf 'name = n\n$(touch pwned)\n' >"$BATS_TEST_TMPDIR/c"
  script up --config "$BATS_TEST_TMPDIR/c"
  assert_status 2
  assert_said "c:2:"
  assert_file_not_exist pwned
}
