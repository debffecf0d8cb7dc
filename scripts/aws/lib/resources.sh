# shellcheck shell=bash
# What belongs to a project, and how it is known: by tags alone, so that any machine can go on where another stopped.
#
#   imgpack:name      the project                       on everything
#   imgpack:role      data | prep | train               on volumes, instances, groups, templates
#   imgpack:state     blank | formatted | downloaded | packed | verified | snapshotted     on the data volume
#   imgpack:pack      pack id: hash of the manifest     on the data volume and its snapshots
#   imgpack:verified  the same pack id                  on a snapshot that is complete and was taken of a verified pack

readonly tag_name=imgpack:name tag_role=imgpack:role tag_state=imgpack:state tag_pack=imgpack:pack
readonly tag_verified=imgpack:verified tag_error=imgpack:error

# tag_spec TYPE KEY=VALUE… -> tag_specification, the argument of --tag-specifications; values were checked before
tag_spec() {
  local type=$1 pair tags=
  shift
  for pair in "$@"; do
    tags+="${tags:+,}{Key=${pair%%=*},Value=${pair#*=}}"
  done
  tag_specification="ResourceType=$type,Tags=[$tags]"
}

# set_tags ID KEY=VALUE…
set_tags() {
  local id=$1 pair tags=()
  shift
  for pair in "$@"; do tags+=("Key=${pair%%=*},Value=${pair#*=}"); done
  aws_change ec2 create-tags --resources "$id" --tags "${tags[@]}"
}

# client_token STEP EPOCH DETAIL… -> token. The same wish of the same project gives the same token, on any machine, so
# a request that was sent twice is carried out once. EPOCH goes up when what the token once made is gone for good.
client_token() {
  local sum
  sum=$(printf '%s\n' "$opt_name" "$@" | sha256sum)
  token=imgpack-${sum:0:40}
}

# one_of WHAT ANSWER -> only: the one line of ANSWER, or empty; two or more are a state that no script may guess about
one_of() {
  local what=$1 answer=$2
  only=$answer
  [[ $answer == *$'\n'* ]] || return 0
  die "$exit_state" "more than one $what: $(cut -f1 <<<"$answer" | tr '\n' ' ')" "remove what is not needed: scripts/aws/cleanup.sh --name $opt_name"
}

# find_volumes ROLE -> found: lines of id, state, zone, size, iops, throughput, snapshot, imgpack:state, imgpack:pack
readonly volume_fields="[VolumeId,State,AvailabilityZone,Size,Iops,Throughput,SnapshotId,Tags[?Key=='$tag_state']|[0].Value,Tags[?Key=='$tag_pack']|[0].Value]"
find_volumes() {
  aws_read ec2 describe-volumes --filters "Name=tag:$tag_name,Values=$opt_name" "Name=tag:$tag_role,Values=$1" \
    Name=status,Values=creating,available,in-use --query "Volumes[].$volume_fields" --output text
  found=$aws_out
}

# read_volume ID -> volume_state volume_zone volume_size volume_iops volume_throughput volume_snapshot volume_tag_state
# volume_tag_pack volume_instance volume_device volume_name; returns 1 where there is no such volume
read_volume() {
  allow InvalidVolume.NotFound -- aws_read ec2 describe-volumes --volume-ids "$1" --output text \
    --query "Volumes[0].[State,AvailabilityZone,Size,Iops,Throughput,SnapshotId,Tags[?Key=='$tag_state']|[0].Value,Tags[?Key=='$tag_pack']|[0].Value,Attachments[0].InstanceId,Attachments[0].Device,Tags[?Key=='$tag_name']|[0].Value,Attachments[0].State]" ||
    return 1
  read_fields "$aws_out" volume_state volume_zone volume_size volume_iops volume_throughput volume_snapshot \
    volume_tag_state volume_tag_pack volume_instance volume_device volume_name volume_attachment
}

# read_fields LINE NAME…: the tab-separated fields of one line into variables; None becomes empty.
read_fields() {
  local _values _index=0 _target                      # names that no caller has: what it asks for must not land in here
  mapfile -t -d $'\t' _values < <(printf '%s\t' "$1") # not `read`: it would run empty fields together
  shift
  for _target in "$@"; do
    printf -v "$_target" '%s' "$(text_or_empty "${_values[_index]:-None}")"
    _index=$((_index + 1))
  done
}

# find_instances ROLE -> found: lines of id, state, zone, type, launch time, private address, lifecycle
find_instances() {
  aws_read ec2 describe-instances --filters "Name=tag:$tag_name,Values=$opt_name" "Name=tag:$tag_role,Values=$1" \
    Name=instance-state-name,Values=pending,running,stopping,stopped --output text \
    --query 'Reservations[].Instances[].[InstanceId,State.Name,Placement.AvailabilityZone,InstanceType,LaunchTime,PrivateIpAddress,InstanceLifecycle]'
  found=$aws_out
}

# read_instance ID -> instance_state instance_zone instance_type; returns 1 where there is no such instance
read_instance() {
  allow InvalidInstanceID.NotFound -- aws_read ec2 describe-instances --instance-ids "$1" --output text \
    --query 'Reservations[0].Instances[0].[State.Name,Placement.AvailabilityZone,InstanceType]' || return 1
  read_fields "$aws_out" instance_state instance_zone instance_type
}

# find_verified_snapshots -> found: lines of id, state, start time, size, volume, pack, verified; newest first
find_verified_snapshots() {
  aws_read ec2 describe-snapshots --owner-ids self --filters "Name=tag:$tag_name,Values=$opt_name" \
    Name=tag-key,Values=$tag_verified Name=status,Values=completed --output text \
    --query "reverse(sort_by(Snapshots,&StartTime))[].[SnapshotId,State,StartTime,VolumeSize,VolumeId,Tags[?Key=='$tag_pack']|[0].Value,Tags[?Key=='$tag_verified']|[0].Value]"
  found=$aws_out
}

# zone_of_id ZONE-ID -> zone. Letters differ between accounts, ids do not.
zone_of_id() {
  aws_read ec2 describe-availability-zones --query "AvailabilityZones[?ZoneId=='$1'].ZoneName | [0]" --output text
  zone=$(text_or_empty "$aws_out")
  [ -n "$zone" ] || die "$exit_usage" "there is no availability zone '$1' in ${opt_region:-this region}" "aws ec2 describe-availability-zones --query 'AvailabilityZones[].[ZoneId,ZoneName]'"
}

# Predicates for wait_for. Each answers 0 (so far), 1 (not yet), or dies because it can never come true.
volume_is() {
  read_volume "$1" || return 1
  [ "$volume_state" != error ] || die "$exit_api" "volume $1 is in state error: EC2 could not make it" "delete it in the console (it is empty) and run the command again"
  [ "$volume_state" = "$2" ]
}
instance_is() {
  read_instance "$1" || return 1
  if [ "$2" = running ]; then
    case $instance_state in
    shutting-down | terminated) die "$exit_api" "instance $1 is $instance_state before it ever ran" "aws ec2 describe-instances --instance-ids $1 --query 'Reservations[0].Instances[0].StateReason'" ;;
    esac
  fi
  [ "$instance_state" = "$2" ]
}
instance_is_gone() { ! read_instance "$1" || [ "$instance_state" = terminated ]; }
