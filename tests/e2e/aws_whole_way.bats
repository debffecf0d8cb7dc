#!/usr/bin/env bats
# The whole way of docs/aws.md, with the real programs, a stand-in for AWS and real disks: raw images by torrent and from
# a folder, a pack, a snapshot, a spot machine that is taken back in the middle, another that goes on. In the end: the
# weights of a run that nothing ever happened to, bit for bit.
#
# What EC2 does with disks is done here: a volume is a loop device, a snapshot a copy of its file. Machines are name
# spaces that run the user data of their launch (tests/aws/support/machine.bash).
bats_require_minimum_version 1.5.0

setup_file() { load ../aws/support/helper && start_aws; }
teardown_file() { load ../aws/support/helper && stop_aws; }
setup() {
  load ../aws/support/helper
  load ../aws/support/machine
  need_machines
  command -v imgpack >/dev/null && command -v imgtrain >/dev/null || skip "needs imgpack and imgtrain on PATH"
  command -v aria2c >/dev/null || skip "needs aria2: scripts/setup --tests"
  use_aws
  started=()
}
teardown() {
  [ -z "${machine_pid-}" ] || power_off
  stop_metadata
  for job in "${started[@]-}"; do [ -z "$job" ] || kill "$job" 2>/dev/null || :; done
  release_disks
}

# seed FOLDER TORRENT: a tracker and a client that has all of it, on loopback
seed() {
  "$test_python" -u "$support/torrent.py" track 0 >"$BATS_TEST_TMPDIR/tracker" 2>/dev/null 3>&- &
  started+=($!)
  wait_until test -s "$BATS_TEST_TMPDIR/tracker"
  "$test_python" "$support/torrent.py" make "$1" "$2" "http://127.0.0.1:$(<"$BATS_TEST_TMPDIR/tracker")/announce"
  aria2c --dir="$(dirname "$1")" --check-integrity=true --seed-ratio=0 --enable-dht=false --quiet "$2" >/dev/null 2>&1 3>&- &
  started+=($!)
}

# be_machine INSTANCE ROLE TYPE: what the metadata service says of it, its role's keys among that
be_machine() {
  be_instance "$1" "$3"
  local keys=$metadata/meta-data/iam/security-credentials
  rm -rf "$keys" "$metadata/meta-data/spot/instance-action"
  mkdir -p "$keys"
  printf '{"Code": "Success", "Type": "AWS-HMAC", "AccessKeyId": "%s", "SecretAccessKey": "ROLESECRET", "Token": "ROLETOKEN", "Expiration": "2099-01-01T00:00:00Z"}' "$2" >"$keys/$2"
}
# policy_covers KIND KEY: whatever was called with this access key is an action of this policy
policy_covers() {
  local allowed call
  allowed=$("$scripts/account-setup.sh" --print "$1" --name n --bucket bucket --account 123456789012 | jq -r '.Statement[].Action | if type == "array" then .[] else . end')
  while read -r call; do
    case $call in
    s3:HeadObject) call=s3:GetObject ;;
    s3:PostUploads | s3:PutUploadId | s3:PostUploadId) call=s3:PutObject ;; # in parts
    s3:ListObjectsV2) call=s3:ListBucket ;;
    esac
    grep -q -x -F "$call" <<<"$allowed" || {
      echo "the $1 policy lacks $call" >&2
      return 1
    }
  done < <(curl -sf "$server/_fault/log" | jq -r --arg key "$2" '[.[] | select(.key == $key) | .service + ":" + .action] | unique[]')
}
# operator NAME ARGUMENT…: a script, under the operator's access key
operator() { AWS_ACCESS_KEY_ID=operator script "$@"; }
# show MACHINE COMMAND…: with the machine's log, if the command fails
show() {
  "${@:2}" || {
    machine_log "$1" >&2
    return 1
  }
}
fact() { jq -r ".$2" "$1/result.json"; }
readonly recipe_arguments='--threads 1 --input-threads 1 --batch 8 --bn-group 8 --train-size 32 --eval-size 32 --eval-resize 36 --duration 24ba --checkpoint-every 2ba'
readonly prep_image=/aws/service/canonical/ubuntu/server/24.04/stable/current/amd64/hvm/ebs-gp3/ami-id
readonly train_image=/aws/service/deeplearning/ami/x86_64/base-oss-nvidia-driver-gpu-ubuntu-24.04/latest/ami-id
train_launch() { operator train-launch --name n --bucket bucket --run r --package p.tar.gz --recipe smoke --arguments "$recipe_arguments" --size 1 --yes; }

@test "from a torrent to a trained model, with an interruption on the way" {
  cd "$BATS_TEST_TMPDIR"
  imgpack sample raw --classes 4 --train 120 --val 16 --test 0 --size 48 >/dev/null
  seed "$PWD/raw" "$PWD/raw.torrent"

  # The package: the programs that were built, and the scripts.
  mkdir -p package/bin
  for program in imgpack imgtrain; do
    printf '#!/bin/sh\nexec %s "$@"\n' "$(command -v "$program")" >"package/bin/$program"
    chmod +x "package/bin/$program"
  done
  make_package p.tar.gz
  world "[{\"op\": \"image\"}, {\"op\": \"parameter\", \"name\": \"$prep_image\", \"value\": \"@0\"}, {\"op\": \"parameter\", \"name\": \"$train_image\", \"value\": \"@0\"}]"

  # --- account, preparation
  script account-setup --name n --bucket bucket
  assert_status 0
  operator prep-launch --name n --size 1 --package p.tar.gz --bucket bucket --source "torrent:$PWD/raw.torrent" --json
  assert_status 0
  machine=$(jq -r .instance <<<"$output") volume=$(jq -r .volume <<<"$output")
  parameter RunInstances UserData | base64 -d >prep-data.sh
  make_disk 300
  volume_image=$image
  show_devices "$disk" "$volume"
  start_metadata
  be_machine "$machine" imgpack-n-prep c6i.4xlarge
  new_machine prep
  boot prep "$PWD/prep-data.sh"
  show prep wait_until is_off prep
  [ "$(<machines/prep/ended/imgpack-boot.service)" = 0 ] || show prep false
  [ "$(tag_of "$volume" imgpack:state)" = verified ]
  pack=$(tag_of "$volume" imgpack:pack)
  aws ec2 stop-instances --instance-ids "$machine" >/dev/null # as its shutdown behaviour says

  # The same images from a folder give the same pack.
  mkdir by-hand
  script fetch-imagenet --dest "$PWD/by-hand" --source "$PWD/raw"
  assert_status 0
  script prep-data --dest "$PWD/by-hand"
  assert_status 0
  assert_output "$pack"

  # --- snapshot; machine and volume go
  operator prep-finish --name n --yes
  assert_status 0
  snapshot=$output
  [ "$(tag_of "$snapshot" imgpack:verified)" = "$pack" ]
  assert_calls DeleteVolume 1
  cp --sparse=always "$volume_image" snapshot.img
  release_disks

  # --- training, until EC2 takes the machine back
  train_launch
  assert_status 0
  aws ec2 describe-launch-template-versions --launch-template-name imgpack-n-train --versions '$Latest' --query 'LaunchTemplateVersions[0].LaunchTemplateData.UserData' --output text | base64 -d >train-data.sh
  training_machine() { ec2 describe-instances --filters Name=tag:imgpack:role,Values=train Name=instance-state-name,Values=pending,running --query 'Reservations[].Instances[].InstanceId'; }
  # give_disk INSTANCE: its volume from the snapshot, as the launch template asks for it
  give_disk() {
    volume=$(ec2 describe-volumes --filters "Name=attachment.instance-id,Values=$1" Name=attachment.device,Values=/dev/sdf --query 'Volumes[].VolumeId')
    if [ -z "$volume" ]; then # moto's groups make none
      world "[{\"op\": \"volume\", \"snapshot\": \"$snapshot\", \"instance\": \"$1\", \"zone\": \"$(ec2 describe-instances --instance-ids "$1" --query 'Reservations[0].Instances[0].Placement.AvailabilityZone')\", \"tags\": {\"imgpack:name\": \"n\", \"imgpack:role\": \"train\"}}]"
      volume=${id[0]}
    fi
    world "[{\"op\": \"tag\", \"id\": \"$volume\", \"tags\": {\"imgpack:name\": \"n\", \"imgpack:role\": \"train\"}}]" # as the template says
    cp --sparse=always snapshot.img "$1.img"
    disk=$(losetup -f --show "$1.img")
    disks+=("$disk")
    show_devices "$disk" "$volume"
  }
  first=$(training_machine)
  [ -n "$first" ]
  give_disk "$first"
  be_machine "$first" imgpack-n-train g5.12xlarge
  new_machine first
  boot first "$PWD/train-data.sh"
  log=machines/first/var-log/imgpack/imgtrain.log run_folder=machines/first/var-lib/imgpack/runs/r
  has_checkpoint() { test -f "$run_folder/checkpoints/latest"; }
  show first wait_until has_checkpoint
  # It stands still while the notice comes, so that it cannot be done before.
  trainer=$(processes_of_machine imgtrain)
  kill -STOP $trainer
  give_notice
  show first wait_until grep -q 'EC2 is going to terminate' "$log"
  kill -CONT $trainer
  show first wait_until ended first imgtrain.service
  [ "$(<machines/first/ended/imgtrain.service)" = 75 ] || show first false
  power_off # with everything that was on it
  release_disks
  aws ec2 terminate-instances --instance-ids "$first" >/dev/null
  run ! aws s3api head-object --bucket bucket --key n/runs/r/done
  rm -rf machines/first "$first.img"

  # --- the group has another one, which goes on
  aws autoscaling describe-auto-scaling-groups >/dev/null # moto heals when it is looked at
  second=$(training_machine)
  [ -n "$second" ]
  [ "$second" != "$first" ]
  give_disk "$second"
  be_machine "$second" imgpack-n-train g5.12xlarge
  new_machine second
  boot second "$PWD/train-data.sh"
  show second wait_until is_off second
  [ "$(<machines/second/ended/imgtrain.service)" = 0 ] || show second false
  [ "$(aws autoscaling describe-auto-scaling-groups --query 'AutoScalingGroups[0].DesiredCapacity' --output text)" = 0 ]

  # --- the result, beside that of an uninterrupted run
  operator run-store pull --name n --bucket bucket --run r --folder "$PWD/result"
  assert_status 0
  # shellcheck disable=SC2086  # a list of words
  OMP_NUM_THREADS=1 AWS_EC2_METADATA_DISABLED=true imgtrain --shards by-hand/pack --recipe smoke --out straight $recipe_arguments -q >/dev/null
  cmp result/weights.safetensors straight/weights.safetensors
  for name in weights_digest order_digest accuracy loss steps; do [ "$(fact result "$name")" = "$(fact straight "$name")" ]; done
  [ "$(fact result resumes)" = 1 ]
  [ "$(fact result samples_repeated)$(fact result samples_skipped)" = 00 ]

  # --- what was called is what the roles may do
  policy_covers prep imgpack-n-prep
  policy_covers train imgpack-n-train

  # --- no secret anywhere; and in the end nothing is left
  run ! grep -r -l -e ROLESECRET -e ROLETOKEN machines result
  operator train-status --name n --bucket bucket --run r
  assert_status 0
  assert_output --partial 'state     done'
  operator cleanup --name n --yes --include-snapshots
  assert_status 0
  operator cleanup --name n --yes
  assert_said 'nothing to remove'
  policy_covers operator operator
}
