#!/usr/bin/env bash
# Ends the preparation: snapshot, then the machine goes, then the volume. The order is fixed, and whatever fails leaves
# the volume where it is. Prints the snapshot's id.
. "$(dirname "$0")/lib.sh"
. "$aws_scripts/lib/volumes.sh"

about='takes the snapshot, terminates the preparation machine and deletes the volume, in this order'
option name NAME ! 'the project'
default_timeout=5h
parse_options "$@"

check_name "$opt_name"
take_lock "$opt_name"
find_volumes data
one_of "data volume of '$opt_name'" "$found"
if [ -z "$only" ]; then
  find_verified_snapshots
  [ -n "$found" ] || die "$exit_state" "'$opt_name' has neither a data volume nor a verified snapshot" "scripts/aws/prep-launch.sh --name $opt_name starts the preparation"
  read_fields "${found%%$'\n'*}" snapshot_id
fi
read_fields "${only:-None}" volume_id volume_state _ volume_size _ _ _ volume_tag_state volume_tag_pack
find_instances prep
one_of "preparation machine of '$opt_name'" "$found"
read_fields "${only:-None}" instance_id instance_state

if [ -n "$volume_id" ]; then
  case $volume_tag_state in
  verified | snapshotted) ;;
  *) die "$exit_state" "volume $volume_id is ${volume_tag_state:-untagged}, not verified" "wait for the machine to finish, or run prep-data.sh on it" ;;
  esac
  check_pack_id "$volume_tag_pack"
fi
confirm "take a snapshot of ${volume_id:-nothing (it is gone)}, terminate ${instance_id:-no machine} and delete the volume" "$opt_name"

if [ -n "$volume_id" ]; then
  if [ -n "$instance_id" ] && [ "$instance_state" != stopped ]; then
    aws_change ec2 stop-instances --instance-ids "$instance_id"
    is_dry_run || wait_for "instance $instance_id stopped" 5 instance_is "$instance_id" stopped
  fi
  common_flags
  if is_dry_run; then
    log_line "would run: snapshot.sh --volume $volume_id --pack $volume_tag_pack, and wait until it is complete"
  else
    snapshot_id=$("$aws_scripts/snapshot.sh" --volume "$volume_id" --pack "$volume_tag_pack" "${common[@]}")
  fi
fi
if [ -n "$instance_id" ]; then
  aws_change ec2 terminate-instances --instance-ids "$instance_id"
  is_dry_run || wait_for "instance $instance_id terminated" 5 instance_is_gone "$instance_id"
fi
if [ -n "$volume_id" ]; then
  if is_dry_run; then
    log_line "would run: volume-delete.sh --volume $volume_id --pack $volume_tag_pack"
  else
    volume_is_free() { ! read_volume "$1" || [ "$volume_state" = available ]; }
    wait_for "volume $volume_id free" 5 volume_is_free "$volume_id"
    common_flags
    "$aws_scripts/volume-delete.sh" --volume "$volume_id" --pack "$volume_tag_pack" --yes "${common[@]}" >/dev/null
  fi
fi
if is_dry_run; then exit 0; fi
say "'$opt_name' is prepared: snapshot $snapshot_id"
result "snapshot=$snapshot_id"
