#!/usr/bin/env bash
# Starts training machines for a verified snapshot: an Auto Scaling group that replaces what is taken away (asg), one
# request over all types and zones (fleet), or machine by machine (one). Shows the price first. Run it again to change
# or resume: what is there is found by its name and tags.
. "$(dirname "$0")/lib.sh"
. "$aws_scripts/lib/volumes.sh"
. "$aws_scripts/lib/ec2.sh"
. "$aws_scripts/lib/launch.sh"
. "$aws_scripts/lib/store.sh"
. "$aws_scripts/lib/training.sh"

about='starts the training machine, or several, with the pack on a volume made from its snapshot'
option name NAME ! 'the project'
option snapshot ID '' 'the verified snapshot (default: the newest of the project)'
option bucket NAME ! 'bucket of the project: takes checkpoints, lease and logs'
option run RUN ! 'name of the run'
option recipe RECIPE fast 'recipe of imgtrain'
option arguments TEXT '' 'further arguments of imgtrain'
option types LIST g5.12xlarge,g6.12xlarge 'instance types, best first'
option mode MODE asg 'asg, fleet or one'
option on-demand '' '' 'on-demand instead of spot'
option max-price DOLLARS '' 'the most to pay for a spot hour (default: the on-demand price)'
option az-ids LIST '' 'only these zones (use1-az4,use1-az6)'
option subnet ID '' 'a subnet of your own'
option volume KIND per-instance 'per-instance: made from the snapshot with each machine; persistent: one that travels, in one zone'
option size GIB 420 'size of the volume'
option iops N 3000 'its IOPS'
option throughput MIBPS 500 'its MiB/s'
option init-rate MIBPS 300 'rate at which EBS fills it, 100 to 300; 0: no promised rate'
option warm HOW before 'read the pack once: before training, beside it, or none'
option warm-rate MIBPS 0 'MiB/s at most for that; 0: no limit'
option nodes N 1 'machines that train one run together'
option max-hours H 24 'stop with a checkpoint after this many hours, whatever happens'
option sync TIME 5m 'how often the run folder is stored in the bucket'
option ami ID "$train_image_parameter" 'image, or the SSM parameter that names it; with an NVIDIA driver, 580 or newer'
option key NAME '' 'key pair, if you want to log in'
option ssh-from CIDR '' 'let these addresses reach port 22'
option sg ID '' 'a security group of your own; refused if it is open to the world'
option instance-profile NAME '' 'instance profile (default: imgpack-NAME-train)'
option package FILE ! 'package of the programs (.tar.gz, or its s3:// address)'
examples='  train-launch.sh --name imagenet --bucket my-bucket --run r1 --package imgpack.tar.gz --types g5.12xlarge,g6.12xlarge
  train-launch.sh --name imagenet --bucket my-bucket --run r2 --package imgpack.tar.gz --nodes 2 --types p4d.24xlarge --on-demand'
default_timeout=30m
parse_options "$@"

check_name "$opt_name"
[ -z "$opt_region" ] || check_region "$opt_region"
[ -z "$opt_snapshot" ] || check_snapshot_id "$opt_snapshot"
check_bucket "$opt_bucket"
check_run "$opt_run"
check_form recipe "$opt_recipe" '[A-Za-z0-9._-]{1,64}' "a recipe's name"
check_form arguments "$opt_arguments" '[A-Za-z0-9 ._/=:,+-]*' 'arguments without quotes and odd characters'
for type in ${opt_types//,/ }; do check_gpu_type "$type"; done
[[ $opt_mode =~ ^(asg|fleet|one)$ ]] || die_usage "--mode '$opt_mode' is none of asg, fleet, one"
[ -z "$opt_max_price" ] || check_price max-price "$opt_max_price"
[ -z "$opt_max_price" ] || [ "$opt_on_demand" = 0 ] || die_usage "--max-price is for spot machines"
for id in ${opt_az_ids//,/ }; do check_zone_id "$id" az-ids; done
[ -z "$opt_subnet" ] || check_subnet_id "$opt_subnet"
[[ $opt_volume =~ ^(per-instance|persistent)$ ]] || die_usage "--volume '$opt_volume' is none of per-instance, persistent"
check_gp3 "$opt_size" "$opt_iops" "$opt_throughput"
[ "$opt_init_rate" = 0 ] || check_init_rate "$opt_init_rate"
[[ $opt_warm =~ ^(before|beside|none)$ ]] || die_usage "--warm '$opt_warm' is none of before, beside, none"
check_integer warm-rate "$opt_warm_rate" 0 10000 MiB/s
check_integer nodes "$opt_nodes" 1 64
[ "$opt_nodes" = 1 ] || [ "$opt_volume" = per-instance ] || die_usage "a persistent volume serves one machine: --nodes 1"
check_integer max-hours "$opt_max_hours" 1 2000
parse_duration "$opt_sync" || die_usage "--sync: '$opt_sync' is no duration"
[[ $opt_ami == /* ]] && check_parameter_name "$opt_ami" ami || check_image_id "$opt_ami"
[ -z "$opt_key" ] || check_key_name "$opt_key"
[ -z "$opt_ssh_from" ] || check_cidr ssh-from "$opt_ssh_from"
[ -z "$opt_sg" ] || check_group_id "$opt_sg"
[ -z "$opt_sg" ] || [ -z "$opt_ssh_from" ] || die_usage "--ssh-from is for the group made here, not for your own --sg"
check_iam_name "${opt_instance_profile:=imgpack-$opt_name-train}" instance-profile
take_lock "$opt_name"
training_names

# The data: a snapshot that is complete and vouches for a verified pack.
if [ -z "$opt_snapshot" ]; then
  find_verified_snapshots
  [ -n "$found" ] || die "$exit_state" "'$opt_name' has no verified snapshot" "scripts/aws/prep-finish.sh --name $opt_name makes it"
  read_fields "${found%%$'\n'*}" opt_snapshot
fi
need_completed_snapshot "$opt_snapshot"
[ -n "$snapshot_verified" ] && [ "$snapshot_verified" = "$snapshot_pack" ] ||
  die "$exit_refused" "snapshot $opt_snapshot is not marked as verified ($tag_verified)" "scripts/aws/snapshot.sh marks it once the pack on it was verified"
((opt_size >= snapshot_size)) || die_usage "--size $opt_size GiB is smaller than snapshot $opt_snapshot ($snapshot_size GiB)"

# A machine that trains this project already, outside of a group, is what was asked for.
find_instances train
running=$found
if [ "$opt_mode" != asg ] && [ -n "$running" ]; then
  (($(wc -l <<<"$running") == opt_nodes)) || die "$exit_state" "$(wc -l <<<"$running") training machines of '$opt_name' are there, $opt_nodes were asked for" "scripts/aws/train-stop.sh --name $opt_name first"
  say "training machines of '$opt_name' are there already"
  result "instance=$(cut -f1 <<<"$running" | paste -sd,)" "snapshot=$opt_snapshot"
  exit 0
fi

check_types "$opt_types"
if uses_efa && [ "$opt_mode" = fleet ]; then die_usage "several machines with the Elastic Fabric Adapter: --mode asg or one"; fi
find_training_places "$opt_types" "$opt_az_ids" "$opt_subnet"
find_image "$opt_ami"
# Several machines, and a volume that travels, live in one zone.
if [ "$opt_nodes" -gt 1 ] || [ "$opt_volume" = persistent ]; then places=${places%%$'\n'*}; fi
read_fields "${places%%$'\n'*}" zone _ vpc

# The price, before anything is made.
kind=()
[ "$opt_on_demand" = 0 ] || kind=(--on-demand)
"$aws_scripts/cost.sh" --plan train --types "$opt_types" --hours "$opt_max_hours" --nodes "$opt_nodes" --size "$opt_size" --iops "$opt_iops" \
  --throughput "$opt_throughput" --init-rate "$([ "$opt_init_rate" = 0 ] && echo 100 || echo "$opt_init_rate")" \
  --region "${opt_region:-us-east-1}" "${kind[@]}" >&2 || warn "the price is not known: prices.tsv lacks a type or this region"
confirm "start $opt_nodes training machine(s) for at most $opt_max_hours h" "$opt_run"

volume_id=
if [ "$opt_volume" = persistent ]; then
  ensure_volume "$zone" "$opt_size" "$opt_iops" "$opt_throughput" "$opt_snapshot" "$([ "$opt_init_rate" = 0 ] || echo "$opt_init_rate")"
fi
group=$opt_sg
if [ -n "$group" ]; then check_group_is_closed "$group"; else ensure_group train "$vpc"; fi
[ -z "$opt_ssh_from" ] || allow_ssh "$group" "$opt_ssh_from"
if [ "$opt_nodes" -gt 1 ]; then
  [ -n "$opt_sg" ] || allow_each_other "$group"
  ensure_placement_group
fi
ensure_package "$opt_package" "$opt_bucket"

# What an earlier stop or failure left in the store would end the machine at once.
store_open "$opt_bucket" "$opt_name" "$opt_run"
if store_has "done"; then die "$exit_state" "run $opt_run is done already" "another --run, or run-store.sh pull to have its folder"; fi
for reason in stop failed; do
  if store_has "$reason"; then store_remove "$reason"; fi
done

# The hour at which it must end is part of the template; a repeated launch within the same hour makes no new version.
until=$(((EPOCHSECONDS / 3600 + 1 + opt_max_hours) * 3600))
make_user_data train "name=$opt_name" "region=${zone%?}" "package=$package_uri" "package_sha256=$package_sha256" "bucket=$opt_bucket" "run=$opt_run" \
  "recipe=$opt_recipe" "arguments=$opt_arguments" "volume=$volume_id" "warm=$opt_warm" "warm_rate=$opt_warm_rate" "nodes=$opt_nodes" \
  "group=$([ "$opt_mode" != asg ] || echo "$group_name")" "until=$until" "sync=$opt_sync"
ensure_template
case $opt_mode in
asg)
  launch_group
  is_dry_run || say "Auto Scaling group $group_name wants $opt_nodes machine(s)"
  ;;
fleet) launch_fleet ;;
one) launch_each ;;
esac
if is_dry_run; then exit 0; fi
if [ "$opt_mode" = asg ]; then result "group=$group_name" "snapshot=$opt_snapshot"; else result "instance=$instance_id" "snapshot=$opt_snapshot"; fi
