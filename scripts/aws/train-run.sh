#!/usr/bin/env bash
# On the training machine, under imgtrain.service: lease, stored checkpoints, imgtrain, stored checkpoints, lease.
#
#   take the lease -> bring the run folder -> imgtrain … -> store the run folder -> give the lease back
#                                              |  every 5 s:     look for an interruption notice
#                                              |  every minute:  renew the lease, look for a request to stop
#                                              |  every --sync:  store the run folder, in the background; every minute
#                                              |                 once EC2 has recommended a rebalance
#
# On a notice imgtrain gets SIGTERM, saves and exits 75 (it may have seen the notice itself: the same then happens a
# little earlier). What ends here with 75 is tried again, on this machine or on the next. When the run is done, asked to stop, out of time, or failing again and again, no machine
# is needed any more, and the Auto Scaling group is told so.
. "$(dirname "$0")/lib.sh"
. "$aws_scripts/lib/programs.sh"
. "$aws_scripts/lib/metadata.sh"
. "$aws_scripts/lib/store.sh"
. "$aws_scripts/lib/lease.sh"
. "$aws_scripts/lib/machine.sh"

about='trains under a lease, with the run folder kept in S3'
option name NAME ! 'the project'
option bucket NAME ! 'its bucket'
option run RUN ! 'the run'
option folder FOLDER ! 'the run folder on this machine'
option group NAME '' 'the Auto Scaling group that this machine belongs to'
option until EPOCH '' 'stop with a checkpoint at this time (seconds since 1970)'
option sync TIME 5m 'how often to store the run folder'
option grace TIME 90s 'from SIGTERM to SIGKILL'
option follower '' '' 'train without lease and without storing: the head of the group does both'
rest_metavar='-- imgtrain ARGUMENT…'
default_timeout=10m
parse_options "$@"

check_name "$opt_name"
check_bucket "$opt_bucket"
check_run "$opt_run"
check_path "$opt_folder" folder
[ -z "$opt_until" ] || check_form until "$opt_until" '[0-9]{10}' 'a time in seconds since 1970'
parse_duration "$opt_sync" || die_usage "--sync: '$opt_sync' is no duration"
sync_s=$duration_s
parse_duration "$opt_grace" || die_usage "--grace: '$opt_grace' is no duration"
grace_s=$duration_s
[ ${#rest[@]} != 0 ] || die_usage "there is no command after --"
conf_group=$opt_group
readonly heartbeat_s=${IMGPACK_HEARTBEAT:-60} max_failures=3
need curl setsid
if is_dry_run; then
  log_line "would take the lease of $opt_run, bring its folder to $opt_folder and run: ${rest[*]@Q}"
  exit 0
fi
who_am_i
store_open "$opt_bucket" "$opt_name" "$opt_run"
mkdir -p "$state_folder" "$(dirname "$opt_folder")"

# Every call from here on gets a time of its own: this script lives for days.
fresh_time() { deadline=$((EPOCHSECONDS + $1)); }
# attempt COMMAND…: in a subshell with a little time of its own, so that what fails is told and survived. Only for calls
# that check themselves: errexit does not hold in there.
attempt() (
  fresh_time 20
  "$@"
)

fresh_time 120
for reason in "done" stop failed; do
  if store_has "$reason"; then
    store_get "$reason" "$temp_folder/reason"
    end_machine "the run is marked '$reason' ($(head -c 200 "$temp_folder/reason"))"
    exit 0
  fi
done
if [ "$opt_follower" = 0 ]; then lease_take "$machine"; fi
store_pull "$opt_folder"
mkdir -p "$opt_folder"
[ "$opt_follower" = 1 ] || attempt tell_of_machine || warn "ledger and log cannot be stored"

setsid "${rest[@]}" &
child=$!
ended_by='' sync_job='' monitor='' lease_held=1 renewed=$EPOCHSECONDS synced=$EPOCHSECONDS hinted=0
trap 'ended_by=${ended_by:-signal}' TERM INT
signal_family() { kill "-$1" -- "-$child" 2>/dev/null || :; }
alive() { kill -0 "$child" 2>/dev/null; }
nap() {
  sleep "$1" &
  wait -n "$child" $! 2>/dev/null || :
  kill $! 2>/dev/null || :
}
if command -v nvidia-smi >/dev/null; then
  "$aws_scripts/gpu-monitor.sh" --out "$state_folder/gpu.csv" --interval 30s &
  monitor=$!
fi

# Storing is a process of its own: it may fail half-way without ending the training.
push_command=("$aws_scripts/run-store.sh" push --name "$opt_name" --bucket "$opt_bucket" --run "$opt_run" --folder "$opt_folder" --machine "$machine")
[ -z "$opt_region" ] || push_command+=(--region "$opt_region")
store_in_background() {
  synced=$EPOCHSECONDS
  if [ -n "$sync_job" ] && kill -0 "$sync_job" 2>/dev/null; then return 0; fi
  {
    "${push_command[@]}" --timeout "$opt_sync" --prune 5 >/dev/null || warn "storing the run folder failed; the next try is in $sync_s s"
    attempt tell_of_machine || warn "ledger and log cannot be stored"
  } &
  sync_job=$!
}

# Who renews in a subshell cannot hand back the new ETag; so this one call stays here, with little time.
heartbeat() {
  local status=0
  renewed=$EPOCHSECONDS
  attempt store_has stop || status=$?
  [ "$status" != 0 ] || ended_by=stop
  status=0
  attempt renew_and_tell || status=$?
  case $status in
  0) lease_etag=$(<"$temp_folder/etag") last_renewal=$EPOCHSECONDS ;;
  "$exit_state")
    lease_held=0
    ended_by=lease
    ;;
  *)
    # Nobody can say who holds it now; when it would have run out, another machine may begin.
    if ((EPOCHSECONDS - last_renewal >= lease_ttl_s)); then
      lease_held=0
      ended_by=lease
    fi
    ;;
  esac
}
# shellcheck disable=SC2317  # called through attempt
renew_and_tell() {
  lease_renew "$machine" || return "$exit_state"
  printf '%s' "$lease_etag" >"$temp_folder/etag"
}
last_renewal=$EPOCHSECONDS

while alive && [ -z "$ended_by" ]; do
  nap "${IMGPACK_POLL_SECONDS:-5}"
  if [ -n "$opt_until" ] && ((EPOCHSECONDS >= opt_until)); then ended_by=deadline; fi
  if interruption_notice; then ended_by=notice; fi
  [ "$opt_follower" = 0 ] || continue
  if [ -z "$ended_by" ] && ((EPOCHSECONDS - renewed >= heartbeat_s)); then heartbeat; fi
  if [ "$hinted" = 0 ] && rebalance_recommended; then
    say "EC2 may soon take this machine back (rebalance recommendation): storing the run folder now, and more often"
    hinted=1 synced=0 sync_s=$((sync_s < heartbeat_s ? sync_s : heartbeat_s))
  fi
  if ((EPOCHSECONDS - synced >= sync_s)) && alive; then store_in_background; fi
done

case $ended_by in
stop) say "asked to stop: ending imgtrain with a checkpoint" ;;
deadline) say "the time that was allowed is up: ending imgtrain with a checkpoint" ;;
lease) warn "the lease of this run is lost: ending imgtrain, storing nothing" ;;
notice) say "EC2 is going to $notice: ending imgtrain with a checkpoint" ;;
signal) say "SIGTERM: ending imgtrain with a checkpoint" ;;
esac
if [ -n "$ended_by" ]; then
  signal_family TERM
  limit=$((EPOCHSECONDS + grace_s))
  while alive && ((EPOCHSECONDS < limit)); do nap 0.2; done
  if alive; then
    warn "imgtrain runs on after $grace_s s: SIGKILL"
    signal_family KILL
  fi
fi
status=0
wait "$child" || status=$?
trap '' TERM INT # from here on only storing is left, and it must come to its end
[ -z "$monitor" ] || kill "$monitor" 2>/dev/null || :
[ -z "$sync_job" ] || wait "$sync_job" 2>/dev/null || :
if ((status > 128)) && [ -n "$ended_by" ]; then status=$exit_interrupted; fi
map_status imgtrain "$status"

if [ "$opt_follower" = 1 ]; then
  if [ "$mapped" = 0 ] || [ "$ended_by" = deadline ]; then end_machine "this part of the run has ended"; fi
  exit "$mapped"
fi
if [ "$lease_held" = 0 ]; then exit "$exit_state"; fi

# What is here is the only copy of the last minutes. If it cannot be stored it stays where it is, and says so.
stored=1
"${push_command[@]}" --timeout 80s >/dev/null || {
  stored=0
  warn "the run folder could not be stored; it is kept in $opt_folder on $machine"
}
attempt tell_of_machine || warn "ledger and log cannot be stored"
attempt lease_release || warn "the lease could not be given back: it runs out in $lease_ttl_s s"

failures=$state_folder/failures-$opt_run
if [ "$mapped" = 0 ] && [ "$stored" = 0 ]; then exit "$exit_interrupted"; fi # done, but not yet safe: again, imgtrain will only say "finished"
if [ "$mapped" = 0 ]; then
  rm -f "$failures"
  fresh_time 60
  store_note "done" "$machine $EPOCHSECONDS"
  end_machine "the run is done"
  exit 0
fi
case $ended_by in
stop)
  end_machine "asked to stop"
  exit 0
  ;;
deadline)
  fresh_time 60
  store_note stop "$machine $EPOCHSECONDS the time that was allowed is up"
  end_machine "the time that was allowed is up"
  exit 0
  ;;
esac
if [ "$mapped" != "$exit_interrupted" ]; then
  count=$(next_number "$failures")
  if ((count >= max_failures)); then
    fresh_time 60
    store_note failed "$machine $EPOCHSECONDS imgtrain ended with exit status $status, $count times"
    end_machine "imgtrain failed $count times"
    exit 0
  fi
fi
exit "$mapped"
