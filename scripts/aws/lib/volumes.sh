# shellcheck shell=bash
# Making, attaching and checking EBS volumes; the scripts volume-*.sh, prep-launch.sh and train-launch.sh share this.

# ensure_volume ZONE SIZE IOPS THROUGHPUT SNAPSHOT INIT-RATE -> volume_id: the project's data volume, found by its tags or made
ensure_volume() {
  local zone=$1 size=$2 iops=$3 throughput=$4 snapshot=$5 init_rate=$6
  find_volumes data
  one_of "data volume of '$opt_name'" "$found"
  if [ -n "$only" ]; then
    adopt_volume "$only" "$zone" "$size" "$iops" "$throughput" "$snapshot"
    return
  fi
  local tags=("$tag_name=$opt_name" "$tag_role=data" "$tag_state=blank") arguments=()
  if [ -n "$snapshot" ]; then
    need_completed_snapshot "$snapshot"
    ((size >= snapshot_size)) || die_usage "--size $size GiB is smaller than snapshot $snapshot ($snapshot_size GiB)"
    tags=("$tag_name=$opt_name" "$tag_role=data" "$tag_state=${snapshot_tag_state:-snapshotted}")
    [ -z "$snapshot_pack" ] || tags+=("$tag_pack=$snapshot_pack")
    arguments=(--snapshot-id "$snapshot")
    [ -z "$init_rate" ] || arguments+=(--volume-initialization-rate "$init_rate")
  fi
  tag_spec volume "${tags[@]}"
  arguments+=(--availability-zone "$zone" --size "$size" --volume-type gp3 --iops "$iops" --throughput "$throughput"
    --encrypted --tag-specifications "$tag_specification" --query VolumeId --output text)

  local epoch
  for ((epoch = 0; epoch < 20; epoch++)); do
    client_token create-volume "$epoch" "${arguments[@]}"
    aws_change ec2 create-volume --client-token "$token" "${arguments[@]}"
    volume_id=${aws_out:-planned-volume}
    if is_dry_run; then return 0; fi
    # A token answers with what it made before, even if that was deleted since.
    if volume_appears "$volume_id"; then
      [ "$volume_state" = available ] || wait_for "volume $volume_id available" 2 volume_is "$volume_id" available
      say "made volume $volume_id: $size GiB in $zone, $iops IOPS, $throughput MiB/s${snapshot:+, from $snapshot}"
      return 0
    fi
    detail "$volume_id was deleted before: asking for another"
  done
  die "$exit_state" "create-volume answers with volumes that do not exist any more" "wait an hour: EC2 forgets tokens after a while"
}

# A new volume may take some seconds to become visible.
volume_appears() {
  local tries
  for ((tries = 0; tries < 5; tries++)); do
    if read_volume "$1"; then return 0; fi
    pause 2
  done
  return 1
}

# adopt_volume LINE ZONE SIZE IOPS THROUGHPUT SNAPSHOT: the volume that is there, if it is the one that was asked for
adopt_volume() {
  local state zone size iops throughput snapshot differences=
  read_fields "$1" volume_id state zone size iops throughput snapshot
  [ -z "$2" ] || [ "$zone" = "$2" ] || differences+=" zone $zone, not $2;"
  [ "$size" = "$3" ] || differences+=" $size GiB, not $3;"
  [ "$iops" = "$4" ] || differences+=" $iops IOPS, not $4;"
  # DescribeVolumes leaves the throughput out where it is the base rate.
  [ "${throughput:-$gp3_min_mibps}" = "$5" ] || differences+=" ${throughput:-$gp3_min_mibps} MiB/s, not $5;"
  [ "$snapshot" = "$6" ] || differences+=" made from ${snapshot:-nothing}, not ${6:-nothing};"
  [ -z "$differences" ] || die "$exit_state" "'$opt_name' has a data volume already, $volume_id, but it is another:${differences%;}" "repeat the command with those values, or remove the volume: scripts/aws/cleanup.sh --name $opt_name"
  wait_for "volume $volume_id usable" 2 volume_is_usable "$volume_id"
  say "data volume $volume_id is there already"
}
volume_is_usable() { volume_is "$1" available || [ "$volume_state" = in-use ]; }

# read_snapshot ID -> snapshot_state snapshot_size snapshot_volume snapshot_pack snapshot_verified snapshot_tag_state snapshot_name; 1: none
read_snapshot() {
  allow InvalidSnapshot.NotFound -- aws_read ec2 describe-snapshots --snapshot-ids "$1" --output text \
    --query "Snapshots[0].[State,VolumeSize,VolumeId,Tags[?Key=='$tag_pack']|[0].Value,Tags[?Key=='$tag_verified']|[0].Value,Tags[?Key=='$tag_state']|[0].Value,Tags[?Key=='$tag_name']|[0].Value]" ||
    return 1
  read_fields "$aws_out" snapshot_state snapshot_size snapshot_volume snapshot_pack snapshot_verified snapshot_tag_state snapshot_name
}

need_completed_snapshot() {
  read_snapshot "$1" || die "$exit_state" "there is no snapshot $1 in ${opt_region:-this region}"
  [ "$snapshot_state" = completed ] || die "$exit_state" "snapshot $1 is $snapshot_state, not completed"
}

# ensure_attached VOLUME INSTANCE DEVICE. Never detaches: a volume that is elsewhere stays there.
ensure_attached() {
  local volume=$1 instance=$2 device=$3
  read_volume "$volume" || die "$exit_state" "there is no volume $volume in ${opt_region:-this region}"
  read_instance "$instance" || die "$exit_state" "there is no instance $instance in ${opt_region:-this region}"
  refuse_other_attachment "$volume" "$instance"
  if [ "$volume_instance" != "$instance" ]; then
    [ "$volume_state" = available ] || die "$exit_state" "volume $volume is $volume_state, not available"
    [ "$volume_zone" = "$instance_zone" ] || die "$exit_state" "volume $volume lies in $volume_zone, instance $instance in $instance_zone: a volume can be attached in its own zone only" "launch the instance in $volume_zone, or make the volume there from a snapshot"
    case $instance_state in
    running | stopped) ;;
    *) die "$exit_state" "instance $instance is $instance_state, neither running nor stopped" ;;
    esac
    # VolumeInUse may mean that our own first request got through and its answer was lost.
    allow VolumeInUse -- aws_change ec2 attach-volume --volume-id "$volume" --instance-id "$instance" --device "$device" || detail "$aws_error"
    if is_dry_run; then return 0; fi
  fi
  wait_for "volume $volume attached to $instance" 2 volume_is_attached "$volume" "$instance"
}
volume_is_attached() {
  read_volume "$1" || return 1
  refuse_other_attachment "$1" "$2"
  [ "$volume_instance" = "$2" ] && [ "$volume_attachment" = attached ]
}
refuse_other_attachment() {
  [ -z "$volume_instance" ] || [ "$volume_instance" = "$2" ] ||
    die "$exit_state" "volume $1 is attached to $volume_instance, not to $2" "detach it there first, when nothing uses it any more"
}
