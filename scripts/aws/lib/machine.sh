# shellcheck shell=bash
# The machine that a script runs on: who it is, and how it ends. Needs lib/metadata.sh and lib/store.sh.
readonly state_folder=${IMGPACK_STATE:-/var/lib/imgpack}
readonly log_file=${IMGPACK_LOG:-/var/log/imgpack/imgtrain.log}

# who_am_i -> machine, machine_type, machine_zone, machine_lifecycle (spot or on-demand)
who_am_i() {
  need_metadata meta-data/instance-id 'which instance this is'
  machine=$metadata_answer
  need_metadata meta-data/instance-type 'its type'
  machine_type=$metadata_answer
  need_metadata meta-data/placement/availability-zone 'its zone'
  machine_zone=$metadata_answer
  machine_lifecycle=on-demand
  if metadata meta-data/instance-life-cycle; then machine_lifecycle=$metadata_answer; fi
  [ -n "$opt_region" ] || opt_region=${machine_zone%?}
}

# my_data_volume -> volume_id: the volume of this project that is attached here under /dev/sdf, once it is
data_volume_is_here() {
  aws_read ec2 describe-volumes --filters "Name=attachment.instance-id,Values=$machine" Name=attachment.device,Values=/dev/sdf \
    "Name=tag:$tag_name,Values=$opt_name" --query 'Volumes[].VolumeId' --output text
  volume_id=$(text_or_empty "$aws_out")
  [ -n "$volume_id" ]
}

# end_machine WHY: no more machines for this run. An Auto Scaling group would replace one that merely goes away, so its
# wish is set to none first; a single machine terminates when it shuts down.
end_machine() {
  say "$1: this machine is not needed any more"
  if [ -n "${conf_group-}" ]; then
    aws_change autoscaling update-auto-scaling-group --auto-scaling-group-name "$conf_group" --min-size 0 --desired-capacity 0
  fi
  change shutdown -h +1 "imgpack: $1" || warn "shutdown failed"
}

# tell_of_machine: what this machine is and that it lived until now (cost.sh adds these up), what its GPUs do, and the end
# of its log
tell_of_machine() {
  mkdir -p "$state_folder"
  [ -f "$state_folder/started" ] || printf '%s\n' "$EPOCHSECONDS" >"$state_folder/started"
  store_note "ledger/$machine" "$machine_type $machine_zone $machine_lifecycle $(<"$state_folder/started") $EPOCHSECONDS"
  if [ -f "$state_folder/gpu.csv" ]; then
    tail -n 10000 "$state_folder/gpu.csv" >"$temp_folder/gpu"
    store_put "logs/$machine/gpu.csv" "$temp_folder/gpu"
  fi
  [ -f "$log_file" ] || return 0
  tail -c 1000000 "$log_file" >"$temp_folder/log"
  store_put "logs/$machine/imgtrain.log" "$temp_folder/log"
}
