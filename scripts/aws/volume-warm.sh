#!/usr/bin/env bash
# On the instance: reads a volume that was made from a snapshot once, so that EBS brings all blocks from S3 before
# training asks for them. With --files the reading is `imgpack verify`: check and warm-up in one pass, in training order.
. "$(dirname "$0")/lib.sh"
. "$aws_scripts/lib/disk.sh"
. "$aws_scripts/lib/programs.sh"

about='reads a fresh volume once, at a limited rate, and checks the pack on the way'
option volume ID ! 'the volume'
option files FOLDER '' 'the pack on it: read in training order, every checksum checked'
option device '' '' 'the whole device instead, unchecked'
option rate MIBPS 0 'MiB/s at most; 0: no limit'
option status '' '' 'only say how far EBS is by itself'
default_timeout=1d
parse_options "$@"

check_volume_id "$opt_volume"
[ -z "$opt_files" ] || check_path "$opt_files" files
check_integer rate "$opt_rate" 0 10000 MiB/s
if [ "$opt_status" = 1 ]; then
  aws_read ec2 describe-volume-status --volume-ids "$opt_volume" --output text \
    --query 'VolumeStatuses[0].InitializationStatusDetails.[InitializationType,Progress,EstimatedTimeToCompleteInSeconds]'
  read_fields "${aws_out:-None}" kind progress left
  if [ -z "$kind" ]; then
    say "$opt_volume: EC2 says nothing about its initialization"
  else
    say "$opt_volume: $kind initialization, ${progress:-?} %${left:+, about $left s left}"
  fi
  result "progress=${progress:-unknown}" "type=${kind:-unknown}" "left_s=${left:-unknown}"
  exit 0
fi
[ -n "$opt_files" ] || [ "$opt_device" = 1 ] || die_usage "give --files or --device"
[ -z "$opt_files" ] || [ "$opt_device" = 0 ] || die_usage "give one of --files and --device"

# A volume is warmed once in its life: its id is the marker, since the mount point may be another volume tomorrow.
marker=${IMGPACK_STATE:-/var/lib/imgpack}/warm-$opt_volume
if [ -f "$marker" ]; then
  say "$opt_volume was warmed before"
  exit 0
fi
gently=(nice -n 10)
! command -v ionice >/dev/null || gently+=(ionice -c 2 -n 7)
status=0
if [ -n "$opt_files" ]; then
  need imgpack
  [ -f "$opt_files/manifest.json" ] || is_dry_run || die "$exit_state" "$opt_files is no pack: it has no manifest.json"
  rate=()
  [ "$opt_rate" = 0 ] || rate=(--rate "$opt_rate")
  change "${gently[@]}" imgpack verify --level checksums --warm "${rate[@]}" "$opt_files" >&2 || status=$?
  map_status imgpack "$status"
  [ "$mapped" = 0 ] || exit "$mapped"
else
  need_root
  need fio lsblk
  find_device "$opt_volume" || die "$exit_state" "$opt_volume is not attached to this machine"
  rate=()
  [ "$opt_rate" = 0 ] || rate=("--rate=${opt_rate}m")
  change "${gently[@]}" fio --name=volume-initialize --filename="$device" --readonly --rw=read --bs=1M --iodepth=32 --ioengine=libaio \
    --direct=1 --eta=always --eta-newline=60 "${rate[@]}" >&2 || die "$exit_failed" "fio failed on $device"
fi
if is_dry_run; then exit 0; fi
mkdir -p "$(dirname "$marker")"
: >"$marker"
say "$opt_volume is warm"
