#!/usr/bin/env bash
# The whole way from one configuration file: account, preparation, snapshot, training, results. Shows the plan and its
# price first. What is done is found done, so the same command goes on after anything that ended it.
. "$(dirname "$0")/lib.sh"
. "$aws_scripts/lib/config.sh"
. "$aws_scripts/lib/sources.sh"
. "$aws_scripts/lib/store.sh"
. "$aws_scripts/lib/training.sh"

about='from raw images to a trained model, resumable at any stage, with the plan and its price first'
option config FILE ! 'the configuration: see docs/aws.md and scripts/aws/example.conf'
option only STAGE '' 'stop after this stage: account, prep or train'
option plan '' '' 'only show the plan'
examples='  up.sh --config imagenet.conf --plan
  up.sh --config imagenet.conf'
default_timeout=4d
parse_options "$@"
[[ $opt_only =~ ^(|account|prep|train)$ ]] || die_usage "--only '$opt_only' is none of account, prep, train"

readonly general_keys='name region bucket package account_setup'
readonly prep_keys='source kaggle_parameter prep_type prep_size prep_iops prep_throughput prep_az_id'
readonly train_keys='run recipe arguments types mode on_demand max_price az_ids volume train_size train_iops train_throughput init_rate warm nodes max_hours sync'
# shellcheck disable=SC2086  # lists of words
read_config "$opt_config" $general_keys $prep_keys $train_keys
for key in name region bucket package source run; do
  value=conf_$key
  [ -n "${!value}" ] || die_usage "$opt_config: '$key' is missing"
done
opt_name=$conf_name
check_name "$conf_name"
check_region "$conf_region"
check_bucket "$conf_bucket"
check_run "$conf_run"
check_source "$conf_source"
[[ ${conf_account_setup:-yes} =~ ^(yes|no)$ ]] || die_usage "$opt_config: account_setup is yes or no"
[[ ${conf_on_demand:-no} =~ ^(yes|no)$ ]] || die_usage "$opt_config: on_demand is yes or no"
# A package beside the configuration file is named from there.
[[ $conf_package == s3://* || $conf_package == /* ]] || conf_package=$(cd "$(dirname "$opt_config")" && pwd)/$conf_package
opt_region=$conf_region
take_lock "$conf_name"
training_names
store_open "$conf_bucket" "$conf_name" "$conf_run"

# --- where it stands, and what is left -------------------------------------------------------------------------------

find_verified_snapshots
snapshot=${found%%$'\n'*}
snapshot=${snapshot%%$'\t'*}
find_volumes data
one_of "data volume of '$conf_name'" "$found"
read_fields "${only:-None}" volume _ _ _ _ _ _ volume_tag_state
finished=0
if allow NoSuchBucket -- store_has "done"; then finished=1; fi

flag() { # FLAG VALUE: adds it to the command that is being put together, if it has a value
  [ -z "$2" ] || command+=("--$1" "$2")
}
prep_launch() {
  command=("$aws_scripts/prep-launch.sh" --name "$conf_name" --bucket "$conf_bucket" --package "$conf_package" --source "$conf_source")
  flag kaggle-parameter "$conf_kaggle_parameter"
  flag type "$conf_prep_type"
  flag size "$conf_prep_size"
  flag iops "$conf_prep_iops"
  flag throughput "$conf_prep_throughput"
  flag az-id "$conf_prep_az_id"
}
train_launch() {
  command=("$aws_scripts/train-launch.sh" --name "$conf_name" --bucket "$conf_bucket" --package "$conf_package" --run "$conf_run")
  flag recipe "$conf_recipe"
  flag arguments "$conf_arguments"
  flag types "$conf_types"
  flag mode "$conf_mode"
  [ "$conf_on_demand" != yes ] || command+=(--on-demand)
  flag max-price "$conf_max_price"
  flag az-ids "$conf_az_ids"
  flag volume "$conf_volume"
  flag size "$conf_train_size"
  flag iops "$conf_train_iops"
  flag throughput "$conf_train_throughput"
  flag init-rate "$conf_init_rate"
  flag warm "$conf_warm"
  flag nodes "$conf_nodes"
  flag max-hours "$conf_max_hours"
  flag sync "$conf_sync"
}
stage() { printf '  %-10s %s\n' "$1" "$2" >&2; }
show_plan() {
  printf 'Plan for %s (%s)\n' "$conf_name" "$conf_region" >&2
  stage account "$([ "${conf_account_setup:-yes}" = yes ] && echo "bucket $conf_bucket and two roles, where they are missing" || echo 'left as it is')"
  if [ -n "$snapshot" ]; then
    stage prep "done: snapshot $snapshot"
  else
    stage prep "fetch ($conf_source), pack, verify${volume:+: goes on with $volume, $volume_tag_state}; then snapshot, and machine and volume go"
  fi
  if [ "$finished" = 1 ]; then
    stage train "done: run $conf_run"
  else
    stage train "run $conf_run, recipe ${conf_recipe:-fast}, on ${conf_types:-g5.12xlarge,g6.12xlarge}, at most ${conf_max_hours:-24} h"
  fi
  stage results "to runs/$conf_run"
  printf '\n' >&2
  local kind=()
  [ "$conf_on_demand" != yes ] || kind=(--on-demand)
  if [ -z "$snapshot" ]; then
    "$aws_scripts/cost.sh" --plan prep --types "${conf_prep_type:-c6i.4xlarge}" --size "${conf_prep_size:-390}" --iops "${conf_prep_iops:-3000}" \
      --throughput "${conf_prep_throughput:-250}" --region "$conf_region" >&2 || warn "the price of the preparation is not known"
  fi
  if [ "$finished" = 0 ]; then
    "$aws_scripts/cost.sh" --plan train --types "${conf_types:-g5.12xlarge,g6.12xlarge}" --size "${conf_train_size:-420}" --iops "${conf_train_iops:-3000}" \
      --throughput "${conf_train_throughput:-500}" --nodes "${conf_nodes:-1}" --hours "${conf_max_hours:-24}" --region "$conf_region" "${kind[@]}" >&2 ||
      warn "the price of the training is not known"
  fi
}

show_plan
if [ "$opt_plan" = 1 ]; then exit 0; fi
confirm "do this" "$conf_name"

# --- account ---------------------------------------------------------------------------------------------------------

if [ "${conf_account_setup:-yes}" = yes ]; then
  common_flags
  "$aws_scripts/account-setup.sh" --name "$conf_name" --bucket "$conf_bucket" "${common[@]}" >/dev/null
fi
if [ "$opt_only" = account ]; then exit 0; fi

# --- preparation -----------------------------------------------------------------------------------------------------

# What the machine does is told by the tags of its volume.
volume_is_verified() {
  local before=$volume_tag_state problem
  find_volumes data
  one_of "data volume of '$conf_name'" "$found"
  read_fields "${only:-None}" volume _ _ _ _ _ _ volume_tag_state
  [ -n "$volume" ] || die "$exit_state" "the data volume of '$conf_name' is gone"
  [ "$volume_tag_state" = "$before" ] || say "preparation: $volume_tag_state"
  case $volume_tag_state in verified | snapshotted) return 0 ;; esac
  aws_read ec2 describe-volumes --volume-ids "$volume" --query "Volumes[0].Tags[?Key=='$tag_error']|[0].Value" --output text
  problem=$(text_or_empty "$aws_out")
  [ -z "$problem" ] || die "$exit_failed" "preparation: $problem" "the same command tries again; /var/log/imgpack-boot.log on the machine has the details"
  return 1
}
if [ -z "$snapshot" ]; then
  case $volume_tag_state in
  verified | snapshotted) ;;
  *)
    prep_launch
    common_flags
    "${command[@]}" "${common[@]}" >/dev/null
    if is_dry_run; then exit 0; fi
    say "the machine fetches and packs; this takes hours, and this command may be ended and started again meanwhile"
    wait_for "the pack of '$conf_name' verified" 60 volume_is_verified
    ;;
  esac
  common_flags
  snapshot=$("$aws_scripts/prep-finish.sh" --name "$conf_name" --yes "${common[@]}")
fi
if [ "$opt_only" = prep ]; then
  result "snapshot=$snapshot"
  exit 0
fi

# --- training --------------------------------------------------------------------------------------------------------

run_is_done() {
  if store_has "done"; then return 0; fi
  if store_get failed "$temp_folder/reason"; then
    die "$exit_failed" "run $conf_run failed: $(head -c 300 "$temp_folder/reason")" "scripts/aws/train-logs.sh --name $conf_name --bucket $conf_bucket --run $conf_run"
  fi
  if store_get stop "$temp_folder/reason"; then
    die "$exit_state" "run $conf_run was stopped: $(head -c 300 "$temp_folder/reason")" "the same command goes on with it"
  fi
  return 1
}
if [ "$finished" = 0 ]; then
  train_launch
  common_flags
  "${command[@]}" --snapshot "$snapshot" --yes "${common[@]}" >/dev/null
  if is_dry_run; then exit 0; fi
  say "training; this command may be ended and started again meanwhile. How it stands: scripts/aws/train-status.sh --name $conf_name --bucket $conf_bucket --run $conf_run"
  wait_for "run $conf_run done" 60 run_is_done
fi
if is_dry_run; then exit 0; fi

# --- results ---------------------------------------------------------------------------------------------------------

common_flags
"$aws_scripts/run-store.sh" pull --name "$conf_name" --bucket "$conf_bucket" --run "$conf_run" "${common[@]}" >/dev/null
"$aws_scripts/cost.sh" --name "$conf_name" --bucket "$conf_bucket" --run "$conf_run" "${common[@]}" >&2 || warn "the cost is not known"
say "the run is in runs/$conf_run; what is left at AWS: scripts/aws/cleanup.sh --name $conf_name --bucket $conf_bucket"
result "run=runs/$conf_run"
