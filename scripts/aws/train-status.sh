#!/usr/bin/env bash
# How a run stands: machines, lease, last stored state, last metrics, GPUs, cost.
. "$(dirname "$0")/lib.sh"
. "$aws_scripts/lib/store.sh"
. "$aws_scripts/lib/training.sh"

about='how a run stands: machines, lease, checkpoint, metrics, GPUs, cost'
option name NAME ! 'the project'
option bucket NAME ! 'its bucket'
option run RUN ! 'the run'
parse_options "$@"

check_name "$opt_name"
check_bucket "$opt_bucket"
check_run "$opt_run"
training_names
store_open "$opt_bucket" "$opt_name" "$opt_run"

state=waiting line=''
find_instances train
machines=$found
[ -z "$machines" ] || state=starting
lease=free
if store_get lease "$temp_folder/lease"; then
  read -r holder renewed <"$temp_folder/lease"
  lease="$holder, renewed $((EPOCHSECONDS - renewed)) s ago"
  state=training
fi
for reason in stop failed "done"; do
  if store_get "$reason" "$temp_folder/reason"; then
    state=$reason
    line=$(head -c 300 "$temp_folder/reason")
  fi
done
[ "$state" != stop ] || state=stopped
newest=none metrics='' gpus=''
# file_of PATTERN FILE: the content of the first file of the newest state whose path matches
file_of() {
  local sum
  sum=$(awk -F '\t' -v pattern="$1" '$1 == "file" && $4 ~ pattern { print $2; exit }' "$temp_folder/manifest")
  [ -n "$sum" ] && store_get "objects/$sum" "$2"
}
if store_get latest "$temp_folder/latest"; then
  read -r newest _ <"$temp_folder/latest"
  if store_get "$newest" "$temp_folder/manifest"; then
    if file_of '(^|/)metrics[.]csv$' "$temp_folder/metrics"; then metrics=$(tail -n 2 "$temp_folder/metrics"); fi
  fi
fi
if store_newest logs gpu.csv && store_get "$newest_key" "$temp_folder/gpu"; then gpus=$("$aws_scripts/gpu-monitor.sh" --summary "$temp_folder/gpu"); fi
if [ "$opt_json" = 1 ]; then
  result "state=$state" "run=$opt_run" "machines=$(cut -f1 <<<"$machines" | paste -sd,)" "lease=$lease" "stored=${newest##*/}" "note=$line"
  exit 0
fi
printf 'run       %s\nstate     %s%s\n' "$opt_run" "$state" "${line:+ ($line)}"
if read_group; then printf 'group     %s wants %s machine(s)\n' "$group_name" "$group_desired"; fi
while IFS= read -r line; do
  [ -n "$line" ] || continue
  read_fields "$line" id machine_state zone type started _ lifecycle
  printf 'machine   %s %s %s %s %s since %s\n' "$id" "$type" "${lifecycle:-on-demand}" "$zone" "$machine_state" "$started"
done <<<"$machines"
printf 'lease     %s\nstored    %s\n' "$lease" "${newest##*/}"
[ -z "$metrics" ] || printf 'metrics   %s\n' "${metrics//$'\n'/$'\n'          }"
[ -z "$gpus" ] || printf '%s\n' "$gpus"
"$aws_scripts/cost.sh" --name "$opt_name" --bucket "$opt_bucket" --run "$opt_run" ${opt_region:+--region "$opt_region"} ${opt_profile:+--profile "$opt_profile"} |
  tail -n 2 || warn "the cost is not known"
