#!/usr/bin/env bash
# Deletes a data volume, but only when a complete, verified snapshot of exactly this volume and pack exists.
. "$(dirname "$0")/lib.sh"
. "$aws_scripts/lib/volumes.sh"

about='deletes a volume, only if a completed snapshot of it is tagged as verified with the same pack'
option volume ID ! 'the volume'
option pack ID ! 'the pack on it, as prep-data.sh printed it'
default_timeout=10m
parse_options "$@"

check_volume_id "$opt_volume"
check_pack_id "$opt_pack"

# The proof, read anew each time it is asked for: volume free, snapshot of it complete, large enough and verified.
need_proof() {
  aws_read ec2 describe-snapshots --owner-ids self --filters "Name=volume-id,Values=$opt_volume" "Name=tag:$tag_verified,Values=$opt_pack" \
    --query 'Snapshots[].[SnapshotId,State,VolumeSize,VolumeId]' --output text
  local id state size volume line proof=
  while IFS= read -r line; do
    read_fields "$line" id state size volume
    [ "$state" = completed ] && [ "$volume" = "$opt_volume" ] && [ "${size:-0}" -ge "$volume_size" ] && proof=$id
  done <<<"$aws_out"
  [ -n "$proof" ] || die "$exit_refused" "$opt_volume stays: there is no completed snapshot of it that is tagged $tag_verified=$opt_pack" "scripts/aws/snapshot.sh --volume $opt_volume --pack $opt_pack"
  detail "snapshot $proof holds all of $opt_volume"
}
need_free_volume() {
  [ -z "$volume_instance" ] || die "$exit_state" "volume $opt_volume is attached to $volume_instance" "stop or terminate that instance first"
  [ "$volume_state" = available ] || die "$exit_state" "volume $opt_volume is $volume_state, not available"
}

if ! read_volume "$opt_volume"; then
  say "there is no volume $opt_volume any more"
  exit 0
fi
need_free_volume
need_proof
confirm "delete volume $opt_volume ($volume_size GiB)" "$opt_volume"
# Between the first look and the call lies a person, or at least a second: look again.
if ! read_volume "$opt_volume"; then
  say "there is no volume $opt_volume any more"
  exit 0
fi
need_free_volume
need_proof
allow InvalidVolume.NotFound -- aws_change ec2 delete-volume --volume-id "$opt_volume" || detail "$aws_error"
if is_dry_run; then exit 0; fi
volume_is_gone() { ! read_volume "$1" || [ "$volume_state" = deleting ]; }
wait_for "volume $opt_volume deleted" 2 volume_is_gone "$opt_volume"
say "deleted volume $opt_volume"
result "id=$opt_volume"
