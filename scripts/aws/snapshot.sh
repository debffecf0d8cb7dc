#!/usr/bin/env bash
# Takes a snapshot of a data volume whose pack was verified, or finds the one that is there, waits until it is complete,
# and only then marks it as verified. Prints its id.
. "$(dirname "$0")/lib.sh"
. "$aws_scripts/lib/volumes.sh"

about='takes, or finds, a complete snapshot of a verified data volume and marks it as verified'
option volume ID ! 'the volume'
option pack ID ! 'the pack on it, as prep-data.sh printed it'
option delete-volume '' '' 'then delete the volume, as volume-delete.sh does'
option live '' '' 'take it while a running machine has the volume: only what was synced is in it'
default_timeout=4h
parse_options "$@"

check_volume_id "$opt_volume"
check_pack_id "$opt_pack"
read_volume "$opt_volume" || die "$exit_state" "there is no volume $opt_volume in ${opt_region:-this region}"
[ -n "$volume_name" ] || die "$exit_state" "volume $opt_volume has no tag $tag_name: it does not belong to a project"
opt_name=$volume_name
[ "$volume_tag_pack" = "$opt_pack" ] || die "$exit_state" "volume $opt_volume is tagged with pack ${volume_tag_pack:-none}, not $opt_pack"
case $volume_tag_state in
verified | snapshotted) ;;
*) die "$exit_state" "volume $opt_volume is $volume_tag_state, not verified: a snapshot of it would vouch for nothing" "scripts/aws/prep-data.sh verifies the pack" ;;
esac
if [ -n "$volume_instance" ] && [ "$opt_live" = 0 ]; then
  read_instance "$volume_instance" || instance_state=unknown
  [ "$instance_state" = stopped ] || die "$exit_state" "volume $opt_volume is attached to $volume_instance, which is $instance_state: what it has not written yet would be missing" "stop that instance first, or unmount the volume there and give --live"
fi
take_lock "$opt_name"

# find_snapshot -> snapshot_id: the newest one of this volume and pack that is complete, else one that is under way
find_snapshot() {
  aws_read ec2 describe-snapshots --owner-ids self --filters "Name=volume-id,Values=$opt_volume" "Name=tag:$tag_pack,Values=$opt_pack" \
    --query 'sort_by(Snapshots,&StartTime)[].[SnapshotId,State]' --output text
  snapshot_id=$(awk '$2 == "completed" { c = $1 } $2 == "pending" { p = $1 } END { print (c ? c : p) }' <<<"$aws_out")
}

find_snapshot
if [ -n "$snapshot_id" ]; then
  say "snapshot $snapshot_id of this volume and pack is there already"
else
  tag_spec snapshot "$tag_name=$opt_name" "$tag_role=data" "$tag_state=snapshotted" "$tag_pack=$opt_pack" "Name=imgpack-$opt_name"
  # CreateSnapshot has no client token. Where its answer is lost, the snapshot may exist all the same: look for it.
  if allow connection -- aws_change ec2 create-snapshot --volume-id "$opt_volume" --description "imgpack $opt_name, pack $opt_pack" \
    --tag-specifications "$tag_specification" --query SnapshotId --output text; then
    snapshot_id=$aws_out
  else
    pause 5
    find_snapshot
    [ -n "$snapshot_id" ] || die "$exit_api" "create-snapshot: $aws_error, and there is no snapshot of $opt_volume now" "run the same command again"
  fi
  if is_dry_run; then exit 0; fi
  say "snapshot $snapshot_id is under way"
fi

snapshot_is_complete() {
  read_snapshot "$1" || return 1
  [ "$snapshot_state" != error ] || die "$exit_api" "snapshot $1 ended in state error; volume $opt_volume is kept" "run the same command again: it takes another"
  [ "$snapshot_state" = completed ]
}
if is_dry_run && ! snapshot_is_complete "$snapshot_id"; then exit 0; fi
wait_for "snapshot $snapshot_id completed" 15 snapshot_is_complete "$snapshot_id"
[ "$snapshot_volume" = "$opt_volume" ] && ((snapshot_size >= volume_size)) ||
  die "$exit_state" "snapshot $snapshot_id is of ${snapshot_volume:-nothing} with $snapshot_size GiB, not of $opt_volume with $volume_size GiB"
if [ "$snapshot_verified" != "$opt_pack" ]; then set_tags "$snapshot_id" "$tag_verified=$opt_pack"; fi
if [ "$volume_tag_state" != snapshotted ]; then set_tags "$opt_volume" "$tag_state=snapshotted"; fi
say "snapshot $snapshot_id is complete and marked as verified"
if [ "$opt_delete_volume" = 1 ]; then
  common_flags
  [ "$opt_yes" = 0 ] || common+=(--yes)
  "$aws_scripts/volume-delete.sh" --volume "$opt_volume" --pack "$opt_pack" "${common[@]}" >/dev/null
fi
result "id=$snapshot_id" "pack=$opt_pack"
