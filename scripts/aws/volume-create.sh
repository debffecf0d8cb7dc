#!/usr/bin/env bash
# Makes the data volume of a project, or finds the one that is there. Prints its id.
. "$(dirname "$0")/lib.sh"
. "$aws_scripts/lib/volumes.sh"

about="makes the project's gp3 data volume, encrypted, or finds the one that is there"
option name NAME ! 'the project'
option size GIB ! 'size in GiB'
option az ZONE '' 'availability zone (us-east-1a)'
option az-id ID '' 'the same as an id (use1-az4): ids mean the same place in every account'
option snapshot ID '' 'fill it from this snapshot'
option iops N 3000 "IOPS, $gp3_min_iops to $gp3_max_iops, at most 500 a GiB"
option throughput MIBPS 125 "MiB/s, $gp3_min_mibps to $gp3_max_mibps, at most a quarter of the IOPS"
option init-rate MIBPS '' 'with --snapshot: rate at which EBS fills it, 100 to 300 MiB/s (costs extra: cost.sh)'
examples='  volume-create.sh --name imagenet --size 390 --az-id use1-az4 --throughput 250'
parse_options "$@"

check_name "$opt_name"
check_gp3 "$opt_size" "$opt_iops" "$opt_throughput"
[ -z "$opt_region" ] || check_region "$opt_region"
[ -z "$opt_az" ] || check_zone "$opt_az"
[ -z "$opt_az_id" ] || check_zone_id "$opt_az_id"
if [ -z "$opt_az$opt_az_id" ] || { [ -n "$opt_az" ] && [ -n "$opt_az_id" ]; }; then die_usage "give one of --az and --az-id"; fi
if [ -n "$opt_snapshot" ]; then check_snapshot_id "$opt_snapshot"; fi
if [ -n "$opt_init_rate" ]; then
  check_init_rate "$opt_init_rate"
  [ -n "$opt_snapshot" ] || die_usage "--init-rate is for volumes made from a snapshot: give --snapshot too"
fi
take_lock "$opt_name"

zone=$opt_az
if [ -n "$opt_az_id" ]; then zone_of_id "$opt_az_id"; fi
ensure_volume "$zone" "$opt_size" "$opt_iops" "$opt_throughput" "$opt_snapshot" "$opt_init_rate"
if is_dry_run; then exit 0; fi
result "id=$volume_id" "zone=$zone"
