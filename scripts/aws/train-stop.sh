#!/usr/bin/env bash
# Stops the training of a run: asks for a checkpoint, waits until it is stored, and then ends the machines. Snapshots,
# the bucket and a persistent volume stay.
. "$(dirname "$0")/lib.sh"
. "$aws_scripts/lib/store.sh"
. "$aws_scripts/lib/training.sh"

about='stops a run with a checkpoint, then ends its machines'
option name NAME ! 'the project'
option bucket NAME ! 'its bucket'
option run RUN ! 'the run'
option now '' '' 'do not wait for a checkpoint'
default_timeout=10m
parse_options "$@"

check_name "$opt_name"
check_bucket "$opt_bucket"
check_run "$opt_run"
take_lock "$opt_name"
training_names
confirm "stop run $opt_run and terminate the training machines of '$opt_name'" "$opt_run"
store_open "$opt_bucket" "$opt_name" "$opt_run"

# The machine looks for this object once a minute. It gives its lease back when the checkpoint is stored.
if ! store_has "done"; then store_note stop "$(id -un) $EPOCHSECONDS"; fi
lease_is_free() {
  local holder renewed
  store_get lease "$temp_folder/lease" || return 0
  read -r holder renewed <"$temp_folder/lease" || :
  # Not renewed for long: its machine is gone, and what it had stored is what there is.
  [[ ${renewed:-} =~ ^[0-9]+$ ]] && ((EPOCHSECONDS - renewed < 300)) || return 0
  return 1
}
if [ "$opt_now" = 0 ] && ! is_dry_run; then
  say "waiting until the checkpoint is stored"
  while ! lease_is_free; do
    ((EPOCHSECONDS < deadline)) || die "$exit_timeout" "no checkpoint was stored within $time_limit_s s; the machines are still there" "scripts/aws/train-logs.sh shows why; --now ends them without"
    pause 5
  done
fi

deadline=$((EPOCHSECONDS + 600))
if read_group; then
  aws_change autoscaling update-auto-scaling-group --auto-scaling-group-name "$group_name" --min-size 0 --desired-capacity 0
fi
find_instances train
machines=$(cut -f1 <<<"$found")
if [ -n "$machines" ]; then
  # shellcheck disable=SC2086  # a list of ids
  allow InvalidInstanceID.NotFound -- aws_change ec2 terminate-instances --instance-ids $machines || detail "$aws_error"
  if ! is_dry_run; then
    no_machine_is_left() {
      find_instances train
      [ -z "$found" ]
    }
    wait_for "the training machines of '$opt_name' terminated" 5 no_machine_is_left
  fi
fi
say "run $opt_run is stopped; train-launch.sh with the same --run goes on with it"
result "run=$opt_run"
