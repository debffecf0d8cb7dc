#!/usr/bin/env bash
# On the training machine, at every boot: GPUs fit? volume, mount (read-only), warm-up, then imgtrain.service. Each step
# is safe to repeat. After three failed boots in a row the run is marked as failed and no machine is wanted any more: a
# machine that cannot train must not go on costing money.
. "$(dirname "$0")/lib.sh"
. "$aws_scripts/lib/config.sh"
. "$aws_scripts/lib/metadata.sh"
. "$aws_scripts/lib/store.sh"
. "$aws_scripts/lib/machine.sh"
. "$aws_scripts/lib/volumes.sh"
. "$aws_scripts/lib/gpu.sh"
. "$aws_scripts/lib/rendezvous.sh"

about='what a training machine does after booting'
option config FILE /etc/imgpack/boot.conf 'what train-launch.sh wrote'
default_timeout=2h
parse_options "$@"
need_root
readonly units=${IMGPACK_UNITS:-/etc/systemd/system} home=${aws_scripts%/scripts/aws}
read_config "$opt_config" name region package package_sha256 bucket run recipe arguments mount volume warm warm_rate nodes group until sync
opt_name=$conf_name
opt_region=${conf_region:-$opt_region}
check_name "$conf_name"
check_bucket "$conf_bucket"
check_run "$conf_run"
point=${conf_mount:-/mnt/data}
nodes=${conf_nodes:-1}
run_folder=$state_folder/runs/$conf_run
environment=$state_folder/imgtrain.env
who_am_i
store_open "$conf_bucket" "$conf_name" "$conf_run"
mkdir -p "$state_folder" "$(dirname "$run_folder")" "$(dirname "$log_file")"

boot_failures=$state_folder/boot-failures
count_failure() {
  local status=$1 count
  case $status in
  0 | "$exit_interrupted")
    rm -f "$boot_failures"
    return
    ;;
  esac
  deadline=$((EPOCHSECONDS + 120))
  count=$(next_number "$boot_failures")
  if ((count >= 3)); then
    store_note failed "$machine $EPOCHSECONDS booting failed $count times, last with exit status $status"
    end_machine "booting failed $count times"
  fi
}
# shellcheck disable=SC2016  # expanded when it runs
at_exit 'count_failure "$exit_status"'

check_gpus

# libtorch: in the package, or as the wheel that its requirements name.
if ! imgtrain --version >/dev/null 2>&1; then
  need imgtrain python3
  requirements=$home/scripts/requirements/torch.txt
  [ -f "$requirements" ] || die "$exit_state" "imgtrain does not start and $requirements is not in the package" "imgtrain --version says what it misses"
  say "installing libtorch (about 2 GB)"
  [ -x "$home/.venv/bin/python" ] || change python3 -m venv "$home/.venv"
  change "$home/.venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$requirements" || die "$exit_failed" "pip cannot install $requirements"
fi
libraries=
for folder in "$home"/.venv/lib/python3*/site-packages/torch/lib "$home"/.venv/lib/python3*/site-packages/nvidia/*/lib; do
  [ ! -d "$folder" ] || libraries+=${libraries:+:}$folder
done
{
  [ -z "$libraries" ] || printf 'LD_LIBRARY_PATH=%s\n' "$libraries"
  # An Elastic Fabric Adapter shows up as an InfiniBand device; NCCL's plugin for it is in the image.
  [ -z "$(ls -A "${IMGPACK_SYS:-/sys}/class/infiniband" 2>/dev/null)" ] || printf 'FI_PROVIDER=efa\n'
} >"$environment"
[ -z "$libraries" ] || export LD_LIBRARY_PATH=$libraries

# The volume: made with the machine from the snapshot, or one that travels from machine to machine.
if [ -n "$conf_volume" ]; then
  check_volume_id "$conf_volume"
  volume_is_free_or_mine() {
    read_volume "$1" || die "$exit_state" "there is no volume $1 any more"
    [ -z "$volume_instance" ] || [ "$volume_instance" = "$machine" ]
  }
  wait_for "volume $conf_volume free of its last machine" 10 volume_is_free_or_mine "$conf_volume"
  ensure_attached "$conf_volume" "$machine" /dev/sdf
fi
wait_for "the data volume of '$conf_name' attached to $machine" 5 data_volume_is_here
common_flags
"$aws_scripts/volume-mount.sh" --volume "$volume_id" --mount "$point" --read-only "${common[@]}" >/dev/null
shards=$point/pack
if is_dry_run && ! mountpoint -q "$point"; then
  log_line "would warm the pack in $shards, write $units/imgtrain.service and start it"
  exit 0
fi
[ -f "$shards/manifest.json" ] || die "$exit_state" "$volume_id is mounted, but $shards is no pack"

warm() { "$aws_scripts/spot-watch.sh" -- "$aws_scripts/volume-warm.sh" --volume "$volume_id" --files "$shards" --rate "${conf_warm_rate:-0}" "${common[@]}"; }
case ${conf_warm:-before} in
before) warm ;;
beside) warm & ;;
none) ;;
*) die_usage "warm is '$conf_warm', none of before, beside, none" ;;
esac

# The command of the unit: train-run.sh with everything that it needs.
command=("$aws_scripts/train-run.sh" --name "$conf_name" --bucket "$conf_bucket" --run "$conf_run" --folder "$run_folder" --region "$opt_region")
[ -z "$conf_group" ] || command+=(--group "$conf_group")
[ -z "$conf_until" ] || command+=(--until "$conf_until")
[ -z "$conf_sync" ] || command+=(--sync "$conf_sync")
training=(imgtrain)
if ((nodes > 1)); then
  find_head "$nodes"
  rendezvous_command "$nodes" "$gpu_count" "$conf_run"
  training=("${rendezvous[@]}" imgtrain)
  [ "$head" = "$machine" ] || command+=(--follower)
  say "one of $nodes machines; the head is $head at $head_address"
fi
training+=(--shards "$shards" --recipe "$conf_recipe" --out "$run_folder")
if ((nodes == 1 && gpu_count > 1)); then
  if imgtrain train --help | grep -q -e '--gpus'; then
    training+=(--gpus all)
  else
    warn "this imgtrain has no option --gpus: it trains on one of $gpu_count GPUs"
  fi
fi
read -r -a extra <<<"$conf_arguments"
command+=(-- "${training[@]}" "${extra[@]}")

unit=$(<"$aws_scripts/imgtrain.service.in")
line="${command[*]}"
for pair in "RUN=$conf_run" "MOUNT=$point" "BIN=$home/bin:$home/.venv/bin" "ENVIRONMENT=$environment" "COMMAND=${line//%/%%}" "LOG=$log_file"; do
  unit=${unit//@${pair%%=*}@/"${pair#*=}"}
done
if is_dry_run; then
  log_line "would write $units/imgtrain.service and start it: $line"
  exit 0
fi
printf '%s\n' "$unit" >"$units/imgtrain.service"
change systemctl daemon-reload
change systemctl restart --no-block imgtrain.service
say "imgtrain.service is started: run $conf_run, recipe $conf_recipe"
