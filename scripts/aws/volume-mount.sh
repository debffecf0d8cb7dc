#!/usr/bin/env bash
# On the instance: mounts a volume by its id, formats it only if it is proved to be blank, and keeps it in fstab.
. "$(dirname "$0")/lib.sh"
. "$aws_scripts/lib/disk.sh"

about='mounts an attached volume, found by its id alone; formats it only with --mkfs and only if it is provably blank'
option volume ID ! 'the volume'
option mount FOLDER /mnt/data 'where to mount it'
option owner USER '' 'who owns the top folder'
option mkfs '' '' 'put ext4 on it if it is blank; a file system that is there is kept'
option grow '' '' 'let the file system fill a volume that became larger'
option read-only '' '' 'mount it read-only'
examples='  sudo volume-mount.sh --volume vol-0123456789abcdef0 --mkfs --owner ubuntu'
default_timeout=5m
parse_options "$@"

check_volume_id "$opt_volume"
check_path "$opt_mount" mount
[ -z "$opt_owner" ] || check_form owner "$opt_owner" '[a-z_][a-z0-9_-]{0,31}' 'a user name'
[ "$opt_mkfs$opt_read_only" != 11 ] || die_usage "--mkfs and --read-only exclude each other"
need_root
need lsblk blkid findmnt mountpoint awk
point=${opt_mount%/}

device_is_there() { find_device "$opt_volume"; }
if ! device_is_there; then
  # What is attached nowhere will not appear, however long one waits.
  read_volume "$opt_volume" || die "$exit_state" "EC2 knows no volume $opt_volume"
  [ -n "$volume_instance" ] || die "$exit_state" "volume $opt_volume is attached to no machine" "scripts/aws/volume-attach.sh --volume $opt_volume --instance i-…"
  say "waiting for the device of $opt_volume"
  wait_for "a device with the serial number of $opt_volume" 2 device_is_there
fi
say "$opt_volume is $device on this machine"

# The proof of blankness: nothing that libblkid knows, zeros wherever one looks, and a volume that was made empty and
# never marked as anything else. Any one of these alone has been fooled before.
prove_blank() {
  read_volume "$opt_volume" || die "$exit_state" "EC2 knows no volume $opt_volume"
  [ -z "$volume_snapshot" ] || die "$exit_refused" "$opt_volume was made from snapshot $volume_snapshot: it has content, even if no file system can be read on it" "check the snapshot; nothing was changed"
  [ "$volume_tag_state" = blank ] || die "$exit_refused" "$opt_volume is tagged $tag_state=${volume_tag_state:-nothing}, not blank: it is not formatted"
  device_is_zero "$device" || die "$exit_refused" "$device ($opt_volume) has no file system that is known here, but it is not empty either: it is not formatted" "look at it first: file -s $device; nothing was changed"
}

# The mount point first: nothing is formatted for a place where it cannot be mounted.
device_holds "$device"
uuid=
[ "$holds" != ext4 ] || filesystem_uuid "$device"
fstab_claim "$point"
[ -z "$claim" ] || [ "$claim" = "UUID=$uuid" ] || die "$exit_state" "$fstab: $point belongs to $claim, not to ${uuid:+UUID=$uuid on }$device" "choose another --mount, or remove that line"
mounted_from "$point"
if [ -n "$source" ]; then
  [ "$(readlink -f "$source")" = "$(readlink -f "$device")" ] || die "$exit_state" "$point is taken by $source" "choose another --mount, or unmount it"
fi

case $holds in
ext4) ;;
'')
  [ "$opt_mkfs" = 1 ] || die "$exit_state" "$device ($opt_volume) holds no file system" "--mkfs puts one on it, if it is blank"
  prove_blank
  change mkfs.ext4 -q -L imgpack -m 0 -E lazy_itable_init=1 "$device" </dev/null || die "$exit_failed" "mkfs.ext4 failed on $device"
  set_tags "$opt_volume" "$tag_state=formatted"
  if is_dry_run; then exit 0; fi
  filesystem_uuid "$device"
  ;;
*) die "$exit_refused" "$device ($opt_volume) holds $holds, not ext4: it is neither mounted nor formatted" ;;
esac

options=defaults
[ "$opt_read_only" = 0 ] || options=ro
if [ -n "$source" ]; then
  say "$device is mounted on $point already"
else
  # A file system that was in use elsewhere until the power went may need its journal replayed before it can grow.
  if [ "$opt_grow" = 1 ]; then
    change e2fsck -f -p "$device" >&2 || [ $? = 1 ] || die "$exit_state" "$device: e2fsck found what it does not repair by itself" "e2fsck $device"
    change resize2fs "$device" >&2 || die "$exit_failed" "resize2fs failed on $device"
    opt_grow=0
  fi
  add_fstab_line "$uuid" "$point" "$options"
  change mkdir -p "$point"
  change mount -t ext4 -o "$options,noatime" "$device" "$point" || die "$exit_failed" "mounting $device on $point failed"
  if is_dry_run; then exit 0; fi
  # `mount` has been seen to return 0 without mounting anything (nofail): look.
  mounted_from "$point"
  [ -n "$source" ] && [ "$(readlink -f "$source")" = "$(readlink -f "$device")" ] || die "$exit_state" "$point is not what was just mounted (found: ${source:-nothing})"
fi
if [ "$opt_grow" = 1 ]; then change resize2fs "$device" >&2 || die "$exit_failed" "resize2fs failed on $device while mounted"; fi
if [ -n "$opt_owner" ] && [ "$opt_read_only" = 0 ]; then change chown "$opt_owner" "$point"; fi
say "$opt_volume is mounted on $point"
result "mount=$point" "device=$device" "uuid=$uuid"
