# shellcheck shell=bash
# Is this id, size, type or zone possible at all? Asked before any call, so that nonsense costs nothing and nothing a
# user types reaches a shell or a filter unchecked. Every function dies with exit code 2, naming the option.

# check_form OPTION VALUE REGEX WHAT
check_form() { [[ $2 =~ ^($3)$ ]] || die_usage "--$1 '$2' is not $4"; }

check_name() { check_form "${2:-name}" "$1" '[a-z0-9][a-z0-9-]{0,31}' "a project name: small letters, digits and dashes, 32 at most"; }
check_run() { check_form run "$1" '[A-Za-z0-9][A-Za-z0-9._-]{0,63}' "a run's name: letters, digits, dots and dashes, 64 at most"; }
check_volume_id() { check_form volume "$1" 'vol-[0-9a-f]{8,17}' "a volume id (vol-…)"; }
check_instance_id() { check_form instance "$1" 'i-[0-9a-f]{8,17}' "an instance id (i-…)"; }
check_snapshot_id() { check_form snapshot "$1" 'snap-[0-9a-f]{8,17}' "a snapshot id (snap-…)"; }
check_image_id() { check_form ami "$1" 'ami-[0-9a-f]{8,17}' "an image id (ami-…)"; }
check_group_id() { check_form sg "$1" 'sg-[0-9a-f]{8,17}' "a security group id (sg-…)"; }
check_subnet_id() { check_form subnet "$1" 'subnet-[0-9a-f]{8,17}' "a subnet id (subnet-…)"; }
check_pack_id() { check_form pack "$1" '[0-9a-f]{32}' "a pack id: 32 hexadecimal digits, as prep-data.sh prints it"; }
check_region() { check_form region "$1" '[a-z]{2}(-[a-z]+)+-[0-9]{1,2}' "a region (us-east-1, …)"; }
check_zone() { check_form az "$1" '[a-z]{2}(-[a-z]+)+-[0-9]{1,2}[a-z]' "an availability zone (us-east-1a, …)"; }
check_zone_id() { check_form "${2:-az-id}" "$1" '[a-z]{3,6}[0-9]{1,2}-az[0-9]{1,2}' "an availability zone id (use1-az1, …)"; }
check_instance_type() { check_form "${2:-type}" "$1" '[a-z0-9-]{2,16}\.[a-z0-9-]{2,16}' "an instance type (c6i.4xlarge, …)"; }
check_device() { check_form device "$1" '/dev/(sd[f-p]|xvd[b-z])' "a device name that EC2 leaves free (/dev/sdf … /dev/sdp)"; }
check_bucket() { check_form bucket "$1" '[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]' "a bucket name"; }
check_iam_name() { check_form "$2" "$1" '[A-Za-z0-9+=,.@_-]{1,64}' "an IAM name"; }
check_key_name() { check_form key "$1" '[A-Za-z0-9 _.@/-]{1,255}' "the name of a key pair"; }
check_path() { check_form "$2" "$1" '/[A-Za-z0-9/._@+-]*' "an absolute path without spaces"; }
check_parameter_name() { check_form "$2" "$1" '/[A-Za-z0-9/._-]{1,500}' "the name of an SSM parameter (/imgpack/…)"; }

# check_integer OPTION VALUE LOW HIGH [UNIT]
check_integer() {
  [[ $2 =~ ^[0-9]{1,9}$ ]] && ((10#$2 >= $3 && 10#$2 <= $4)) || die_usage "--$1 '$2' is not a whole number from $3 to $4${5:+ $5}"
}

check_price() { check_form "$1" "$2" '[0-9]{1,4}(\.[0-9]{1,4})?' "a price in dollars an hour"; }

# The limits of a gp3 volume, as the CreateVolume reference has them, and the ratios between them: at most 500 IOPS per
# GiB, and at most 0.25 MiB/s per IOPS, so that 1,000 MiB/s needs 4,000 IOPS.
readonly gp3_min_iops=3000 gp3_max_iops=80000 gp3_min_mibps=125 gp3_max_mibps=2000 gp3_max_gib=65536
check_gp3() {
  local size=$1 iops=$2 throughput=$3
  check_integer size "$size" 1 "$gp3_max_gib" GiB
  check_integer iops "$iops" "$gp3_min_iops" "$gp3_max_iops"
  check_integer throughput "$throughput" "$gp3_min_mibps" "$gp3_max_mibps" MiB/s
  ((iops <= 500 * size || iops == gp3_min_iops)) || die_usage "--iops $iops is more than 500 for each of the $size GiB" "at most $((500 * size)), or a larger --size"
  ((4 * throughput <= iops)) || die_usage "--throughput $throughput MiB/s needs --iops $((4 * throughput)) or more (0.25 MiB/s for each), not $iops"
}

# The rate at which EBS fills a new volume from its snapshot: MiB/s, and only where there is a snapshot.
check_init_rate() { check_integer init-rate "$1" 100 300 MiB/s; }

# Only addresses of one's own may be let in: no wide open ranges.
check_cidr() {
  [[ $2 =~ ^([0-9]{1,3})\.([0-9]{1,3})\.([0-9]{1,3})\.([0-9]{1,3})/([0-9]{1,2})$ ]] || die_usage "--$1 '$2' is not an address range (203.0.113.7/32)"
  local part
  for part in "${BASH_REMATCH[@]:1:4}"; do ((10#$part <= 255)) || die_usage "--$1 '$2' is not an address range (203.0.113.7/32)"; done
  ((10#${BASH_REMATCH[5]} <= 32)) || die_usage "--$1 '$2' is not an address range (203.0.113.7/32)"
  ((10#${BASH_REMATCH[5]} >= 24)) || die "$exit_refused" "--$1 $2 lets in more than 256 addresses" "give your own address: $2 with /32 at the end"
}

# GPUs that the libtorch build of this project cannot run on: it has code for compute capability 7.5 and newer.
check_gpu_type() {
  local type=$1 capability
  check_instance_type "$type" types
  case ${type%%.*} in
  p2) capability="K80, compute capability 3.7" ;;
  p3 | p3dn) capability="V100, compute capability 7.0" ;;
  g2) capability="K520, compute capability 3.0" ;;
  g3 | g3s) capability="M60, compute capability 5.2" ;;
  g4ad) capability="Radeon Pro V520, no CUDA" ;;
  g5g) capability="T4G with an Arm processor; the programs are built for x86_64" ;;
  *) return 0 ;;
  esac
  die "$exit_usage" "--types: $type cannot train here ($capability): this build of libtorch needs compute capability 7.5 or newer" "g4dn, g5, g6, g6e, p4d or p5 types can"
}
