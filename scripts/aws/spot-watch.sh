#!/usr/bin/env bash
# Runs a command until it ends or EC2 takes the machine back: on an interruption notice the command gets SIGTERM, and
# after --grace seconds SIGKILL, and the exit code is 75. For fetching, packing and warming up; imgtrain watches by itself.
. "$(dirname "$0")/lib.sh"
. "$aws_scripts/lib/metadata.sh"

about='runs a command, and ends it in time when EC2 announces an interruption'
option grace TIME 90s 'from SIGTERM to SIGKILL; the notice comes two minutes ahead'
option poll TIME 5s 'how often to ask'
rest_metavar='-- COMMAND [ARGUMENT…]'
examples='  spot-watch.sh -- fetch-imagenet.sh --dest /mnt/data --source kaggle'
parse_options "$@"

parse_duration "$opt_grace" || die_usage "--grace: '$opt_grace' is no duration"
grace_s=$duration_s
parse_duration "$opt_poll" || die_usage "--poll: '$opt_poll' is no duration"
poll_s=$duration_s
[ ${#rest[@]} != 0 ] || die_usage "there is no command after --"
need curl setsid
if is_dry_run; then
  log_line "would run: ${rest[*]@Q}"
  exit 0
fi

stopped_by='' stop_status=$exit_interrupted mute=0
trap 'stopped_by="signal TERM"' TERM
trap 'stopped_by="signal INT" stop_status=130' INT
# A session of its own, so that the whole family of the command can be reached.
setsid "${rest[@]}" &
child=$!
# For a moment the family is the one process that is about to make the session.
signal_family() { kill "-$1" -- "-$child" 2>/dev/null || kill "-$1" "$child" 2>/dev/null || :; }
alive() { kill -0 "$child" 2>/dev/null; }
# nap SECONDS: ends early when the command ends or a signal comes
nap() {
  sleep "$1" &
  wait -n "$child" $! 2>/dev/null || :
  kill $! 2>/dev/null || :
}

while alive && [ -z "$stopped_by" ]; do
  status=0
  interruption_notice || status=$?
  case $status in
  0)
    stopped_by="notice to $notice"
    break
    ;;
  2)
    # No notice can be read while the service is away. The work goes on: most machines live on.
    [ "$mute" = 1 ] || warn "the metadata service gives no answer: an interruption would not be noticed"
    mute=1
    ;;
  *)
    [ "$mute" = 0 ] || say "the metadata service answers again"
    mute=0
    ;;
  esac
  nap "${IMGPACK_POLL_SECONDS:-$poll_s}"
done

if [ -n "$stopped_by" ]; then
  say "$stopped_by: ending the command, $grace_s s at most"
  signal_family TERM
  limit=$((EPOCHSECONDS + grace_s))
  while alive && ((EPOCHSECONDS < limit)); do nap 0.1; done
  if alive; then
    warn "the command runs on after $grace_s s: SIGKILL"
    signal_family KILL
  fi
fi
status=0
wait "$child" || status=$?
# A command that was done at the very moment of the notice is done.
[ -z "$stopped_by" ] || [ "$status" = 0 ] || exit "$stop_status"
exit "$status"
