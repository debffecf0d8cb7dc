#!/usr/bin/env bash
# Attaches a volume to an instance; already attached to it is fine, attached elsewhere is left alone.
. "$(dirname "$0")/lib.sh"
. "$aws_scripts/lib/volumes.sh"

about='attaches a volume to an instance of the same zone; never detaches one from anywhere'
option volume ID ! 'the volume'
option instance ID ! 'the instance'
option device NAME /dev/sdf 'the device name that EC2 records (the machine itself calls it something else)'
default_timeout=10m
parse_options "$@"

check_volume_id "$opt_volume"
check_instance_id "$opt_instance"
check_device "$opt_device"
ensure_attached "$opt_volume" "$opt_instance" "$opt_device"
if is_dry_run; then exit 0; fi
say "$opt_volume is attached to $opt_instance"
result "id=$opt_volume" "instance=$opt_instance"
