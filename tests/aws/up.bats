#!/usr/bin/env bats
# up.sh: everything from one file, resumable at every stage. The machines are played by their own boot scripts.
bats_require_minimum_version 1.5.0

setup_file() { load support/helper && start_aws; }
teardown_file() { load support/helper && stop_aws; }
setup() {
  load support/helper && use_aws
  use_stand_ins imgpack imgtrain shutdown systemctl nvidia-smi
  export FAKE_LOG=$BATS_TEST_TMPDIR/log FSTAB=$BATS_TEST_TMPDIR/fstab
  : >"$FAKE_LOG"
  pack=0123456789abcdef0123456789abcdef
  make_package "$BATS_TEST_TMPDIR/p.tar.gz"
  world '[{"op": "image"}, {"op": "parameter", "name": "/aws/service/canonical/ubuntu/server/24.04/stable/current/amd64/hvm/ebs-gp3/ami-id", "value": "@0"},
    {"op": "parameter", "name": "/aws/service/deeplearning/ami/x86_64/base-oss-nvidia-driver-gpu-ubuntu-24.04/latest/ami-id", "value": "@0"}]'
  printf '%s\n' 'name = n' 'region = us-east-1' 'bucket = bucket' 'package = p.tar.gz' 'source = kaggle' 'run = r' 'prep_size = 10' 'train_size = 10' >"$BATS_TEST_TMPDIR/n.conf"
  cd "$BATS_TEST_TMPDIR"
}
up() { script up --config n.conf "$@"; }

@test "the plan and its price come first, and nothing is made without consent" {
  up
  assert_status 4
  assert_said 'Plan for n'
  assert_said 'c6i.4xlarge'
  assert_said 'g5.12xlarge, spot at 2.14'
  [ -z "$(changing_calls)" ]
  up --plan
  assert_status 0
  [ -z "$(changing_calls)" ]
  up --yes --dry-run
  assert_status 0
  [ -z "$(changing_calls)" ]
}

# begin_up SAYING ARGUMENT…: up.sh in the background, until it has said this; then it is ended as Ctrl-C would
begin_up() {
  local saying=$1
  shift
  "$scripts/up.sh" --config n.conf --yes "$@" </dev/null >/dev/null 2>err 3>&- &
  wait_until grep -q "$saying" err
}
end_up() {
  kill -TERM $!
  wait $! || :
}

@test "each stage is done once, wherever the command was ended, and the result is here in the end" {
  up --yes --only account
  assert_status 0
  [ "$(aws s3api get-public-access-block --bucket bucket --query 'PublicAccessBlockConfiguration.BlockPublicAcls')" = true ]
  # Ended while the machine prepares.
  begin_up 'fetches and packs' --only prep
  end_up
  assert_calls RunInstances 1
  volume=$(ec2 describe-volumes --filters Name=tag:imgpack:role,Values=data --query 'Volumes[0].VolumeId')
  # The machine failed in a step: told, with the way to go on.
  world "[{\"op\": \"tag\", \"id\": \"$volume\", \"tags\": {\"imgpack:error\": \"fetch failed with exit status 3\"}}]"
  up --yes --only prep
  assert_status 1
  assert_said 'fetch failed'
  # It went on, and is done.
  aws ec2 delete-tags --resources "$volume" --tags Key=imgpack:error
  world "[{\"op\": \"tag\", \"id\": \"$volume\", \"tags\": {\"imgpack:state\": \"verified\", \"imgpack:pack\": \"$pack\"}}]"
  up --yes --only prep
  assert_status 0
  snapshot=$output
  assert_calls RunInstances 1
  assert_calls DeleteVolume 1
  # Training: out of time while it trains, then done.
  IMGPACK_MAX_POLLS=3 up --yes
  assert_status 6
  assert_calls CreateAutoScalingGroup 1
  assert_calls CreateSnapshot 1
  start_metadata
  be_instance i-0aaaaaaaaaaaaaaaa
  FAKE_STEPS=10 "$scripts/train-run.sh" --name n --bucket bucket --run r --group imgpack-n-train --folder "$BATS_TEST_TMPDIR/there/r" -- imgtrain --out "$BATS_TEST_TMPDIR/there/r" 2>"$BATS_TEST_TMPDIR/err"
  stop_metadata
  up --yes
  assert_status 0
  assert_output runs/r
  cmp runs/r/final there/r/final
  assert_said 'so far'
  # Again: nothing left to do but to have the result.
  forget
  up --yes --only train
  assert_status 0
  assert_calls CreateAutoScalingGroup 0
  assert_calls RunInstances 0
}

@test "a run that failed is told with its reason, and the same command tries again" {
  world "[{\"op\": \"volume\", \"size\": 10}, {\"op\": \"snapshot\", \"volume\": \"@0\", \"tags\": {\"imgpack:name\": \"n\", \"imgpack:role\": \"data\", \"imgpack:pack\": \"$pack\", \"imgpack:verified\": \"$pack\"}}]"
  begin_up 'training; this command'
  echo 'imgtrain ended with exit status 2, 3 times' | aws s3 cp --quiet - s3://bucket/n/runs/r/failed
  status=0
  wait $! || status=$?
  [ "$status" = 1 ]
  grep -q 'run r failed: imgtrain ended with exit status 2' err
  grep -q 'train-logs.sh --name n --bucket bucket --run r' err
  # Cleared by the launch, which tries again.
  begin_up 'training; this command'
  run ! aws s3api head-object --bucket bucket --key n/runs/r/failed
  end_up
}

@test "a preparation machine does everything by itself, says so by tags, and powers off; a failed step is told and tried again" {
  need_loop_devices
  start_metadata
  make_disk 64
  world '[{"op": "instance", "zone": "us-east-1a", "tags": {"imgpack:name": "n", "imgpack:role": "prep"}}, {"op": "volume", "instance": "@0", "tags": {"imgpack:name": "n", "imgpack:role": "data", "imgpack:state": "blank"}}]'
  machine=${id[0]} volume=${id[1]}
  be_instance "$machine" c6i.4xlarge
  show_devices "$disk" "$volume"
  mkdir raw
  head -c 100000 /dev/urandom >raw/a.JPEG
  printf '%s\n' name=n region=us-east-1 "source=$BATS_TEST_TMPDIR/raw" "mount=$BATS_TEST_TMPDIR/data" >boot.conf
  FAKE_VERIFY_STATUS=4 script prep-boot --config boot.conf
  stop_metadata
  assert_status 3
  [ "$(tag_of "$volume" imgpack:error)" = 'pack failed with exit status 3' ]
  grep -q '^shutdown' "$FAKE_LOG"
  run ! mountpoint -q data
  start_metadata
  be_instance "$machine" c6i.4xlarge
  script prep-boot --config boot.conf
  stop_metadata
  assert_status 0
  [ "$(tag_of "$volume" imgpack:state)" = verified ]
  [ "$(tag_of "$volume" imgpack:error)" = None ]
  [ "$(grep -c '^imgpack build' "$FAKE_LOG")" = 1 ]
  run ! mountpoint -q data
  release_disks
}

@test "a preparation machine without the kaggle command installs the pinned one, once, and fetches with the project's token" {
  need_loop_devices
  start_metadata
  make_disk 64
  world '[{"op": "instance", "zone": "us-east-1a", "tags": {"imgpack:name": "n", "imgpack:role": "prep"}}, {"op": "volume", "instance": "@0", "tags": {"imgpack:name": "n", "imgpack:role": "data", "imgpack:state": "blank"}},
    {"op": "parameter", "name": "/imgpack/n/kaggle", "value": "someone:SECRETSECRET", "type": "SecureString"}]'
  local volume=${id[1]}
  be_instance "${id[0]}" c6i.4xlarge
  show_devices "$disk" "$volume"
  # The environment that pip would fill.
  stand_in python3 <<'END'
#!/bin/bash
[ "$2" = venv ] || exec /usr/bin/python3 "$@"
echo "venv $3" >>"$FAKE_LOG"
mkdir -p "$3/bin"
cat >"$3/bin/python" <<'PYTHON'
#!/bin/bash
echo "pip $*" >>"$FAKE_LOG"
cat >"${0%/*}/kaggle" <<'KAGGLE'
#!/bin/bash
[ "$KAGGLE_USERNAME:$KAGGLE_KEY" = someone:SECRETSECRET ] || exit 1
echo "kaggle $*" >>"$FAKE_LOG"
mkdir "$6/train"
echo image >"$6/train/a.JPEG"
KAGGLE
chmod +x "${0%/*}/kaggle"
PYTHON
chmod +x "$3/bin/python"
END
  # 170 GiB free is a stand-in's word, too.
  stand_in df <<<$'#!/bin/sh\nprintf "Size Avail\\n"; case $* in *size*) echo 400000000000 300000000000 ;; *) echo 300000000000 ;; esac'
  printf '%s\n' name=n region=us-east-1 source=kaggle kaggle_parameter=/imgpack/n/kaggle "mount=$BATS_TEST_TMPDIR/data" >boot.conf
  PATH=$BATS_TEST_TMPDIR/bin:$BATS_FILE_TMPDIR/tools:/usr/sbin:/usr/bin:/sbin:/bin script prep-boot --config boot.conf
  assert_status 0
  [ "$(tag_of "$volume" imgpack:state)" = verified ]
  grep -q "^pip .*-r .*/scripts/requirements/kaggle.txt" "$FAKE_LOG"
  grep -q '^kaggle competitions download -c imagenet-object-localization-challenge' "$FAKE_LOG"
  refute_said SECRETSECRET
  PATH=$BATS_TEST_TMPDIR/bin:$BATS_FILE_TMPDIR/tools:/usr/sbin:/usr/bin:/sbin:/bin script prep-boot --config boot.conf
  assert_status 0
  [ "$(grep -c '^pip' "$FAKE_LOG")" = 1 ]
  stop_metadata
  release_disks
}
