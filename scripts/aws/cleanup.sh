#!/usr/bin/env bash
# What a project still has at AWS, with dollars a day; with --yes it is removed, in the order in which things depend on
# each other. Verified snapshots stay unless they are named, and so does a volume whose content exists nowhere else.
. "$(dirname "$0")/lib.sh"
. "$aws_scripts/lib/prices.sh"
. "$aws_scripts/lib/training.sh"

about='lists what a project has at AWS with dollars a day; with --yes removes it'
option name NAME ! 'the project'
option include-snapshots '' '' 'remove the snapshots too, verified ones as well'
option include-unsaved '' '' 'remove data volumes too whose content no verified snapshot holds'
option bucket NAME '' 'also say what the project has in this bucket (nothing is removed there)'
parse_options "$@"

check_name "$opt_name"
[ -z "$opt_bucket" ] || check_bucket "$opt_bucket"
take_lock "$opt_name"
training_names
price_region=${opt_region:-us-east-1}
daily=0
kept=()

# item TEXT DOLLARS-A-DAY
item() {
  dollars "$2"
  printf '%-76s %8s\n' "$1" "$amount_text"
  calculate "$daily + $2"
  daily=$amount
}
per_day() { calculate "$1 * 24 / $hours_per_month"; }
known_price() { find_price "$1" "$2" "$price_region" || price=0; }

printf '%-76s %8s\n' "'$opt_name' at AWS" '$/day'
has_group=0
if read_group; then
  has_group=1
  item "Auto Scaling group $group_name, wants $group_desired" 0
fi
aws_read ec2 describe-instances --filters "Name=tag:$tag_name,Values=$opt_name" Name=instance-state-name,Values=pending,running,stopping,stopped \
  --query 'Reservations[].Instances[].[InstanceId,InstanceType,State.Name,InstanceLifecycle]' --output text
instances=()
while IFS= read -r line; do
  [ -n "$line" ] || continue
  read_fields "$line" id type state lifecycle
  instances+=("$id")
  known_price "ec2.${lifecycle:-on-demand}" "$type"
  [ "$state" = running ] || price=0
  calculate "$price * 24"
  item "instance $id, $type ${lifecycle:-on-demand}, $state" "$amount"
done <<<"$aws_out"

find_verified_snapshots
verified=$found
aws_read ec2 describe-volumes --filters "Name=tag:$tag_name,Values=$opt_name" --output text \
  --query "Volumes[].[VolumeId,Size,Iops,Throughput,State,Tags[?Key=='$tag_role']|[0].Value,Tags[?Key=='$tag_state']|[0].Value,Tags[?Key=='$tag_pack']|[0].Value,SnapshotId]"
volumes=()
while IFS= read -r line; do
  [ -n "$line" ] || continue
  read_fields "$line" id size iops throughput state role tag_now pack origin
  known_price ebs.gp3.gib-month -
  amount=0
  if [ "$price" != 0 ]; then
    volume_month "$size" "${iops:-3000}" "${throughput:-125}"
    per_day "$amount"
  fi
  item "volume $id, $size GiB, ${role:-no role}, ${tag_now:-no state}, $state" "$amount"
  # Root disks, empty disks and copies of a snapshot hold nothing of their own.
  if [ "$role" = data ] && [ -z "$origin" ] && [ "$tag_now" != blank ] && [ "$opt_include_unsaved" = 0 ] &&
    ! grep -q -P "\t$id\t$pack\t$pack\$" <<<"$verified"; then
    kept+=("volume $id: no verified snapshot holds what is on it (--include-unsaved removes it)")
    continue
  fi
  volumes+=("$id")
done <<<"$aws_out"

aws_read ec2 describe-snapshots --owner-ids self --filters "Name=tag:$tag_name,Values=$opt_name" \
  --query "Snapshots[].[SnapshotId,VolumeSize,State,Tags[?Key=='$tag_verified']|[0].Value]" --output text
snapshots=()
while IFS= read -r line; do
  [ -n "$line" ] || continue
  read_fields "$line" id size state mark
  known_price ebs.snapshot.gib-month -
  calculate "$price * $size * 24 / $hours_per_month"
  item "snapshot $id, $size GiB at most, $state${mark:+, verified}" "$amount"
  if [ "$opt_include_snapshots" = 1 ] || [ -z "$mark" ]; then
    snapshots+=("$id")
  else
    kept+=("snapshot $id: verified (--include-snapshots removes it)")
  fi
done <<<"$aws_out"

aws_read ec2 describe-launch-templates --filters "Name=tag:$tag_name,Values=$opt_name" --query 'LaunchTemplates[].LaunchTemplateId' --output text
read -r -a templates <<<"$(text_or_empty "$aws_out")"
for id in "${templates[@]}"; do item "launch template $id" 0; done
aws_read ec2 describe-security-groups --filters "Name=tag:$tag_name,Values=$opt_name" --query 'SecurityGroups[].GroupId' --output text
read -r -a groups <<<"$(text_or_empty "$aws_out")"
for id in "${groups[@]}"; do item "security group $id" 0; done
aws_read ec2 describe-placement-groups --filters "Name=tag:$tag_name,Values=$opt_name" --query 'PlacementGroups[].GroupName' --output text
read -r -a placements <<<"$(text_or_empty "$aws_out")"
for id in "${placements[@]}"; do item "placement group $id" 0; done
if [ -n "$opt_bucket" ]; then
  allow nothing NoSuchBucket -- aws_read s3 ls --recursive --summarize "s3://$opt_bucket/$opt_name/" || aws_out=
  bytes=$(sed -n 's/^ *Total Size: \([0-9]*\)$/\1/p' <<<"$aws_out")
  item "s3://$opt_bucket/$opt_name/, $((${bytes:-0} >> 20)) MiB (kept: aws s3 rm --recursive removes it)" 0
fi
dollars "$daily"
printf '%-76s %8s\n' 'together' "$amount_text"
for line in "${kept[@]}"; do say "kept: $line"; done

total=$((has_group + ${#instances[@]} + ${#volumes[@]} + ${#snapshots[@]} + ${#templates[@]} + ${#groups[@]} + ${#placements[@]}))
if [ "$total" = 0 ]; then
  say "there is nothing to remove"
  exit 0
fi
if [ "$opt_yes" = 0 ] && [ "$opt_dry_run" = 0 ] && [ ! -t 0 ]; then
  say "only listed; --yes removes what is not kept"
  exit 0
fi
confirm "remove $total things of '$opt_name'" "$opt_name"

if [ "$has_group" = 1 ]; then aws_change autoscaling delete-auto-scaling-group --auto-scaling-group-name "$group_name" --force-delete; fi
if [ ${#instances[@]} != 0 ]; then
  allow InvalidInstanceID.NotFound -- aws_change ec2 terminate-instances --instance-ids "${instances[@]}" || detail "$aws_error"
  if ! is_dry_run; then
    for id in "${instances[@]}"; do wait_for "instance $id terminated" 5 instance_is_gone "$id"; done
  fi
fi
volume_can_go() { ! read_volume "$1" || [ "$volume_state" = available ] || [ "$volume_state" = error ] || [ "$volume_state" = deleting ]; }
for id in "${volumes[@]}"; do
  # Volumes that were made with a machine went with it.
  if ! is_dry_run; then
    wait_for "volume $id free" 5 volume_can_go "$id"
    read_volume "$id" && [ "$volume_state" != deleting ] || continue
  fi
  allow InvalidVolume.NotFound -- aws_change ec2 delete-volume --volume-id "$id" || detail "$aws_error"
done
for id in "${snapshots[@]}"; do
  allow InvalidSnapshot.NotFound -- aws_change ec2 delete-snapshot --snapshot-id "$id" || detail "$aws_error"
done
for id in "${templates[@]}"; do aws_change ec2 delete-launch-template --launch-template-id "$id" --query LaunchTemplate.LaunchTemplateId --output text; done
for id in "${groups[@]}"; do
  allow InvalidGroup.NotFound DependencyViolation -- aws_change ec2 delete-security-group --group-id "$id" --output text ||
    warn "security group $id: $aws_error; run the command again in a minute"
done
for id in "${placements[@]}"; do allow InvalidPlacementGroup.Unknown -- aws_change ec2 delete-placement-group --group-name "$id" || detail "$aws_error"; done
is_dry_run || say "removed $total things of '$opt_name'"
