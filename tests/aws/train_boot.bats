#!/usr/bin/env bats
# A training machine after booting: GPUs, volume, warm-up, unit, and how several machines find each other.
bats_require_minimum_version 1.5.0

setup_file() { load support/helper && start_aws; }
teardown_file() { load support/helper && stop_aws; }
setup() { load support/helper && load support/training && use_training; }
teardown() { end_training; }

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

@test "a machine of several does not wait for the others for ever" {
  pack_on_disk
  printf '%s\n' name=n region=us-east-1 bucket=bucket run=r recipe=smoke "mount=$BATS_TEST_TMPDIR/data" nodes=2 >"$BATS_TEST_TMPDIR/boot.conf"
  IMGPACK_MAX_POLLS=5 IMGPACK_UNITS=$BATS_TEST_TMPDIR FSTAB=$BATS_TEST_TMPDIR/fstab script train-boot --config "$BATS_TEST_TMPDIR/boot.conf"
  assert_status 6
}
