#!/usr/bin/env bats
# From a torrent of raw images to a trained model, with the real imgpack and imgtrain and real disks: preparation, fetch,
# pack, verify, snapshot, launch, notice, another machine, done. The weights are those of a run that nothing interrupted.
bats_require_minimum_version 1.5.0

setup_file() {
  load support/helper
  BIN_DIR=${BIN_DIR:-$repository/build/release/bin}
  for program in imgpack imgtrain; do
    [ -x "$BIN_DIR/$program" ] || skip "$program is not built: cmake --build --preset release"
  done
  for tool in aria2c fio; do command -v $tool >/dev/null || skip "needs $tool: scripts/setup --tests"; done
  start_aws
}
teardown_file() { load support/helper && stop_aws; }
setup() {
  load support/helper
  need_loop_devices
  use_aws
  start_metadata
  use_stand_ins shutdown systemctl nvidia-smi
  export PATH="${BIN_DIR:=$repository/build/release/bin}:$PATH" FAKE_LOG=$BATS_TEST_TMPDIR/log FAKE_GPUS=1
  export FSTAB=$BATS_TEST_TMPDIR/fstab IMGPACK_UNITS=$BATS_TEST_TMPDIR IMGPACK_LOG=$BATS_TEST_TMPDIR/machine.log IMGPACK_HEARTBEAT=2
  cd "$BATS_TEST_TMPDIR"
}
teardown() {
  stop_metadata
  release_disks
  local job
  for job in $(jobs -p); do kill "$job" 2>/dev/null || :; done
}

# seed FOLDER -> seed.torrent: a tracker, and an aria2 that has all of FOLDER
seed() {
  "$test_python" "$support/torrent.py" track 0 >tracker.port 2>/dev/null 3>&- &
  wait_until test -s tracker.port
  "$test_python" "$support/torrent.py" make "$1" seed.torrent "http://127.0.0.1:$(<tracker.port)/announce"
  mkdir -p "$HOME/.aria2"
  printf 'enable-dht=false\nenable-dht6=false\nbt-enable-lpd=false\nenable-peer-exchange=false\ninterface=127.0.0.1\n' >"$HOME/.aria2/aria2.conf"
  aria2c --dir="$(dirname "$1")" --check-integrity=true --seed-ratio=0 --file-allocation=none --console-log-level=error --quiet=true seed.torrent >/dev/null 2>&1 3>&- &
}
# machine_configuration USER-DATA -> boot.conf: what cloud-init would have written on the machine
machine_configuration() {
  sed -n "/<<'CONFIGURATION'/,/^CONFIGURATION/p" <<<"$1" | sed '1d;$d'
}
# run_unit -> status: what systemd would run, as it would run it
run_unit() {
  local command
  command=$(sed -n 's/^ExecStart=//p' imgtrain.service)
  status=0
  $command >>machine.log 2>&1 3>&- || status=$?
}
# next_machine: a disk made from the snapshot, on a machine that was never there before
next_machine() {
  release_disks
  disks=()
  rm -rf "$IMGPACK_STATE"
  aws autoscaling describe-auto-scaling-groups >/dev/null # moto heals when it is looked at
  machine=$(ec2 describe-instances --filters Name=tag:imgpack:role,Values=train Name=instance-state-name,Values=running,pending --query 'Reservations[].Instances[].InstanceId')
  [[ $machine == i-* ]]
  volume=$(ec2 describe-volumes --filters "Name=attachment.instance-id,Values=$machine" Name=attachment.device,Values=/dev/sdf --query 'Volumes[0].VolumeId')
  cp --sparse=always snapshot.img "train-$machine.img"
  disk=$(losetup -f --show "train-$machine.img")
  disks+=("$disk")
  show_devices "$disk" "$volume"
  be_instance "$machine" g5.xlarge
}

@test "from a torrent to a trained model, interrupted once, with the weights of an uninterrupted run" {
  imgpack sample --quiet --classes 2 --train 64 --val 8 --test 4 --size 64 "$BATS_TEST_TMPDIR/seeded/sample" >/dev/null 2>&1 ||
    imgpack sample --classes 2 --train 64 --val 8 --test 4 --size 64 "$BATS_TEST_TMPDIR/seeded/sample" >/dev/null 2>&1
  tar -czf package.tar.gz -C "$repository" scripts/aws scripts/requirements
  world '[{"op": "image"}]'
  ami=${id[0]}
  common=(--name n)

  # The account, the machine, the disk.
  script account-setup "${common[@]}" --bucket bucket
  assert_status 0
  script prep-launch "${common[@]}" --size 1 --ami "$ami" --package package.tar.gz --bucket bucket --source "torrent:$BATS_TEST_TMPDIR/seed.torrent" --json
  assert_status 0
  instance=$(jq -r .instance <<<"$output") volume=$(jq -r .volume <<<"$output")
  machine_configuration "$(parameter RunInstances UserData | base64 -d)" >boot.conf
  grep -q -x 'name=n' boot.conf
  echo "mount=$BATS_TEST_TMPDIR/data" >>boot.conf
  make_disk 1024
  prep_image=$image
  show_devices "$disk" "$volume"
  be_instance "$instance" c6i.4xlarge

  # What the machine does: mount, fetch, pack, verify, power off.
  seed "$BATS_TEST_TMPDIR/seeded/sample"
  script prep-boot --config boot.conf
  assert_status 0
  [ "$(tag_of "$volume" imgpack:state)" = verified ]
  pack=$(tag_of "$volume" imgpack:pack)
  grep -q '^shutdown' "$FAKE_LOG"

  # The folder that was seeded gives the same pack as its torrent.
  mkdir from-folder
  script prep-data --dest "$BATS_TEST_TMPDIR/from-folder" --source "$BATS_TEST_TMPDIR/seeded/sample"
  assert_status 0
  assert_output "$pack"

  # Snapshot; machine and volume go. What is on the disk now is what the snapshot holds.
  losetup -d "$disk"
  cp --sparse=always "$prep_image" snapshot.img
  script prep-finish "${common[@]}" --yes
  assert_status 0
  snapshot=$output

  # The training, with a group; what it will run is in its user data.
  arguments='--model resnet18 --train-size 32 --eval-size 32 --eval-resize 36 --batch 8 --duration 8ba --checkpoint-every 2ba --precision fp32 --threads 1 --input-threads 1 --device cpu'
  script train-launch "${common[@]}" --bucket bucket --run r --recipe smoke --arguments "$arguments" --types g5.xlarge --ami "$ami" --size 1 --package package.tar.gz --yes
  assert_status 0
  user_data=$(ec2 describe-launch-template-versions --launch-template-name imgpack-n-train --versions '$Latest' --query 'LaunchTemplateVersions[0].LaunchTemplateData.UserData' | base64 -d)
  machine_configuration "$user_data" >boot.conf
  echo "mount=$BATS_TEST_TMPDIR/data" >>boot.conf
  next_machine
  script train-boot --config boot.conf
  assert_status 0
  grep -q 'imgtrain --shards' imgtrain.service

  # A notice comes after the first checkpoint.
  (
    wait_until test -e "$IMGPACK_STATE/runs/r/checkpoints/latest"
    give_notice
  ) 3>&- &
  run_unit
  [ "$status" = 75 ] || { cat machine.log >&2; false; }
  ! grep -q 'top-1.*after 1 epochs' machine.log
  aws ec2 terminate-instances --instance-ids "$machine" >/dev/null
  rm "$metadata/meta-data/spot/instance-action"

  # Another machine, another disk from the snapshot, the run folder from the bucket.
  next_machine
  script train-boot --config boot.conf
  assert_status 0
  run_unit
  [ "$status" = 0 ] || { cat machine.log >&2; false; }
  script train-status "${common[@]}" --bucket bucket --run r --json
  [ "$(jq -r .state <<<"$output")" = 'done' ]
  [ "$(aws autoscaling describe-auto-scaling-groups --query 'AutoScalingGroups[0].DesiredCapacity' --output text)" = 0 ]
  script run-store pull "${common[@]}" --bucket bucket --run r --folder "$BATS_TEST_TMPDIR/result"
  assert_status 0

  # The same without machines, notices and buckets.
  # shellcheck disable=SC2086  # a list of words
  imgtrain --shards "$BATS_TEST_TMPDIR/from-folder/pack" --recipe smoke --out "$BATS_TEST_TMPDIR/straight" $arguments 2>straight.log
  cmp result/weights.safetensors straight/weights.safetensors
  [ "$(grep -o 'order digest [0-9a-f]*, 0 samples repeated, 0 skipped' machine.log | tail -n 1)" = "$(grep -o 'order digest [0-9a-f]*, 0 samples repeated, 0 skipped' straight.log)" ]

  # And nothing is left but the snapshot and the bucket.
  script cleanup "${common[@]}" --yes
  assert_status 0
  [ "$(ec2 describe-volumes --filters Name=tag:imgpack:name,Values=n --query 'length(Volumes)')" = 0 ]
  [ "$(ec2 describe-snapshots --filters Name=tag:imgpack:name,Values=n --query 'Snapshots[].SnapshotId')" = "$snapshot" ]
}
