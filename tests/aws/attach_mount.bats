#!/usr/bin/env bats
# From a volume id to a mounted file system: the right device, formatted only when it is provably blank.
bats_require_minimum_version 1.5.0

setup_file() { load support/helper && start_aws; }
teardown_file() { load support/helper && stop_aws; }
setup() {
  load support/helper && use_aws
  export FSTAB=$BATS_TEST_TMPDIR/fstab
  printf '# the machine itself\nUUID=11111111-2222-3333-4444-555555555555 / ext4 defaults 0 1\n' >"$FSTAB"
  point=$BATS_TEST_TMPDIR/data
}
teardown() { release_disks; }

# blank_volume MIB -> disk, volume: a loop device that shows the volume's serial number, and the volume as EC2 knows it,
# attached to a machine
blank_volume() {
  make_disk "$1"
  world '[{"op": "instance"}, {"op": "volume", "instance": "@0", "tags": {"imgpack:name": "n", "imgpack:role": "data", "imgpack:state": "blank"}}]'
  volume=${id[1]}
  show_devices "$disk" "$volume"
}
mount_volume() { script volume-mount --volume "$volume" --mount "$point" "$@"; }
digest() { cksum <"$1"; }
# refuses_and_keeps MESSAGE: --mkfs is refused with 4, and not one byte changes
refuses_and_keeps() {
  local before
  before=$(digest "$disk")
  mount_volume --mkfs
  assert_status 4
  assert_said "$1"
  [ "$(digest "$disk")" = "$before" ]
  run ! mountpoint -q "$point"
  run ! grep -q "$point" "$FSTAB"
}

@test "a volume in another zone is refused before the call" {
  world '[{"op": "instance", "zone": "us-east-1a"}, {"op": "volume", "zone": "us-east-1b"}]'
  script volume-attach --volume "${id[1]}" --instance "${id[0]}"
  assert_status 3
  assert_said 'us-east-1b'
  assert_calls AttachVolume 0
}

@test "a volume that is attached elsewhere is named and never detached" {
  world '[{"op": "instance"}, {"op": "instance"}, {"op": "volume", "instance": "@0"}]'
  script volume-attach --volume "${id[2]}" --instance "${id[1]}"
  assert_status 3
  assert_said "${id[0]}"
  assert_calls AttachVolume 0
  assert_calls DetachVolume 0
}

@test "attaching twice is one attachment, and a lost answer is no second one" {
  world '[{"op": "instance"}, {"op": "volume"}]'
  fault '{"action": "AttachVolume", "kind": "drop", "times": 1}'
  script volume-attach --volume "${id[1]}" --instance "${id[0]}"
  assert_status 0
  script volume-attach --volume "${id[1]}" --instance "${id[0]}"
  assert_status 0
  assert_calls AttachVolume 2 # the lost one, and the one that was told so
  script volume-attach --volume vol-0123456789abcdef0 --instance "${id[0]}"
  assert_status 3
}

@test "a volume is not attached to a machine that is gone" {
  world '[{"op": "instance"}, {"op": "volume"}, {"op": "terminate", "id": "@0"}]'
  script volume-attach --volume "${id[1]}" --instance "${id[0]}"
  assert_status 3
  assert_calls AttachVolume 0
}

@test "a device that appears only after some polls is found" {
  need_loop_devices
  blank_volume 64
  stand_in lsblk <<END
#!/bin/sh
echo >>'$BATS_TEST_TMPDIR/asked'
[ "\$(wc -l <'$BATS_TEST_TMPDIR/asked')" -lt 4 ] || cat '$BATS_TEST_TMPDIR/lsblk.table'
END
  mount_volume --mkfs
  assert_status 0
  mountpoint -q "$point"
}

@test "a device that never appears is a timeout" {
  need_loop_devices
  blank_volume 16
  show_devices
  IMGPACK_MAX_POLLS=3 mount_volume --mkfs
  assert_status 6
  # The clock ends it too.
  mount_volume --mkfs --timeout 1s
  assert_status 6
}

@test "two devices with the serial number of the volume are not chosen between" {
  need_loop_devices
  blank_volume 16
  first=$disk
  make_disk 16
  show_devices "$first" "$volume" "$disk" "$volume"
  mount_volume --mkfs
  assert_status 3
  [ "$(blkid -p "$first" "$disk" | wc -l)" = 0 ]
}

@test "a blank instance-store disk beside it is not touched while the volume is absent" {
  need_loop_devices
  blank_volume 16
  show_devices "$disk" AWS1234567890ABCDEF
  before=$(digest "$disk")
  IMGPACK_MAX_POLLS=3 mount_volume --mkfs # attached, they say, but not here yet
  assert_status 6
  world "[{\"op\": \"detach\", \"id\": \"$volume\", \"instance\": \"${id[0]}\"}]"
  mount_volume --mkfs
  assert_status 3
  assert_said 'attached to no machine'
  volume=vol-0123456789abcdef0 mount_volume --mkfs
  assert_status 3
  [ "$(digest "$disk")" = "$before" ]
}

@test "a blank volume gets ext4, an owner and one line in fstab; run again it keeps files and UUID" {
  need_loop_devices
  blank_volume 64
  mount_volume --mkfs --owner nobody
  assert_status 0
  [ "$(stat -c %U "$point")" = nobody ]
  [ "$(tag_of "$volume" imgpack:state)" = formatted ]
  uuid=$(blkid -p -s UUID -o value "$disk")
  echo precious >"$point/file"
  mount_volume --mkfs --owner nobody
  assert_status 0
  [ "$(<"$point/file")" = precious ]
  umount "$point"
  mount_volume --mkfs
  assert_status 0
  [ "$(<"$point/file")" = precious ]
  [ "$(blkid -p -s UUID -o value "$disk")" = "$uuid" ]
  [ "$(grep -c "UUID=$uuid $point ext4 .*nofail.*x-systemd.device-timeout=30" "$FSTAB")" = 1 ]
  [ "$(wc -l <"$FSTAB")" = 3 ]
  run findmnt --verify --tab-file "$FSTAB"
  assert_output --partial '0 parse errors'
}

@test "a blank volume without --mkfs stays blank" {
  need_loop_devices
  blank_volume 16
  mount_volume
  assert_status 3
  assert_said '--mkfs'
  [ "$(tr -d '\0' <"$disk" | wc -c)" = 0 ]
}

@test "ext4 with files is kept, whatever --mkfs says" {
  need_loop_devices
  blank_volume 64
  mkfs.ext4 -q "$disk"
  uuid=$(blkid -p -s UUID -o value "$disk")
  mount_volume --mkfs
  assert_status 0
  [ "$(blkid -p -s UUID -o value "$disk")" = "$uuid" ]
}

@test "random data at the beginning is no blank disk" {
  need_loop_devices
  blank_volume 64
  dd if=/dev/urandom of="$disk" bs=4096 count=1 conv=notrunc status=none
  refuses_and_keeps 'not empty'
}

@test "data deep in the disk is no blank disk" {
  need_loop_devices
  blank_volume 128
  printf 'one byte is enough' | dd of="$disk" bs=1M seek=99 conv=notrunc status=none
  refuses_and_keeps 'not empty'
}

@test "in a large disk the first and the last byte and 63 places between are looked at" {
  need_loop_devices
  blank_volume 1088
  printf x | dd of="$disk" bs=1 seek=$((1088 * 1048576 - 1)) conv=notrunc status=none
  refuses_and_keeps 'not empty'
  printf '\0' | dd of="$disk" bs=1 seek=$((1088 * 1048576 - 1)) conv=notrunc status=none
  printf x | dd of="$disk" bs=1 seek=$((31 * (1087 * 1048576 / 64) + 1000)) conv=notrunc status=none
  refuses_and_keeps 'not empty'
}

@test "swap is neither mounted nor formatted" {
  need_loop_devices
  blank_volume 64
  mkswap "$disk" >/dev/null 2>&1
  refuses_and_keeps swap
}

@test "a partition table is neither mounted nor formatted" {
  need_loop_devices
  blank_volume 64
  # An MBR: one Linux partition from sector 2048 on, and the signature.
  printf '\x00\x20\x21\x00\x83\x00\x00\x00\x00\x08\x00\x00\x00\xf0\x01\x00' | dd of="$disk" bs=1 seek=446 conv=notrunc status=none
  printf '\x55\xaa' | dd of="$disk" bs=1 seek=510 conv=notrunc status=none
  refuses_and_keeps dos
}

@test "a file system whose superblock was wiped is not blank" {
  need_loop_devices
  blank_volume 64
  mkfs.ext4 -q "$disk"
  dd if=/dev/zero of="$disk" bs=64K count=1 conv=notrunc status=none
  refuses_and_keeps 'not empty'
}

@test "a volume made from a snapshot is not formatted, even if nothing can be read on it" {
  need_loop_devices
  make_disk 64
  world '[{"op": "volume", "tags": {"imgpack:name": "n"}}, {"op": "snapshot", "volume": "@0"},
    {"op": "volume", "snapshot": "@1", "tags": {"imgpack:name": "n", "imgpack:role": "data", "imgpack:state": "blank"}}]'
  volume=${id[2]}
  show_devices "$disk" "$volume"
  refuses_and_keeps 'snapshot'
}

@test "a volume that was marked as anything but blank is not formatted" {
  need_loop_devices
  blank_volume 64
  for state in formatted downloaded verified; do
    world "[{\"op\": \"tag\", \"id\": \"$volume\", \"tags\": {\"imgpack:state\": \"$state\"}}]"
    refuses_and_keeps "$state"
  done
}

@test "a disk that cannot be read is not taken for a blank one" {
  need_loop_devices
  blank_volume 64
  truncate -s 8M "$image" # reading behind this is an I/O error
  blockdev --flushbufs "$disk"
  stand_in mkfs.ext4 <<<$'#!/bin/sh\ntouch "$TMPDIR/formatted"'
  mount_volume --mkfs
  assert_status 1
  assert_said 'cannot be read'
  assert_file_not_exist "$BATS_TEST_TMPDIR/formatted"
  run ! mountpoint -q "$point"
}

@test "when EC2 cannot be asked about the volume, nothing is formatted" {
  need_loop_devices
  blank_volume 64
  fault '{"action": "DescribeVolumes", "kind": "error", "code": "RequestLimitExceeded", "status": 503, "times": 0}'
  before=$(digest "$disk")
  mount_volume --mkfs
  assert_status 5
  [ "$(digest "$disk")" = "$before" ]
}

@test "a mount point that something else uses is left alone" {
  need_loop_devices
  blank_volume 64
  mkdir "$point"
  mount -t tmpfs tmpfs "$point"
  mount_volume --mkfs
  assert_status 3
  assert_said 'tmpfs'
  [ "$(findmnt -n -o FSTYPE --mountpoint "$point")" = tmpfs ]
  [ "$(tr -d '\0' <"$disk" | wc -c)" = 0 ] # and nothing was formatted for it
}

@test "a mount point that fstab promises to another disk is left alone, although that disk is missing" {
  need_loop_devices
  blank_volume 64
  echo "UUID=99999999-2222-3333-4444-555555555555 $point ext4 defaults,nofail 0 2" >>"$FSTAB"
  before=$(<"$FSTAB")
  mount_volume --mkfs
  assert_status 3
  assert_said '99999999-2222-3333-4444-555555555555'
  [ "$(<"$FSTAB")" = "$before" ]
  [ "$(tr -d '\0' <"$disk" | wc -c)" = 0 ]
  run ! mountpoint -q "$point"
}

@test "a mount that reports success without mounting is noticed" {
  need_loop_devices
  blank_volume 64
  stand_in mount <<<$'#!/bin/sh\nexit 0'
  mount_volume --mkfs
  assert_status 3
}

@test "a line in fstab that makes no sense is kept, and ours is added once" {
  need_loop_devices
  blank_volume 64
  printf 'this is not a line of fstab' >>"$FSTAB" # without an end of line, too
  mount_volume --mkfs
  assert_status 0
  grep -q -x 'this is not a line of fstab' "$FSTAB"
  [ "$(grep -c " $point ext4 " "$FSTAB")" = 1 ]
}

@test "--grow lets the file system fill a volume that became larger" {
  need_loop_devices
  blank_volume 64
  mount_volume --mkfs
  echo precious >"$point/file"
  umount "$point"
  losetup -d "$disk"
  truncate -s 128M "$image"
  disk=$(losetup -f --show "$image")
  disks+=("$disk")
  show_devices "$disk" "$volume"
  mount_volume --grow
  assert_status 0
  (($(df --output=size -BM "$point" | tail -n 1 | tr -d 'M ') > 100))
  [ "$(<"$point/file")" = precious ]
}

@test "--read-only mounts so, and says so in fstab" {
  need_loop_devices
  blank_volume 64
  mkfs.ext4 -q "$disk"
  mount_volume --read-only
  assert_status 0
  run ! touch "$point/file"
  grep -q " $point ext4 ro," "$FSTAB"
  script volume-mount --volume "$volume" --mount "$point" --read-only --mkfs
  assert_status 2
}
