# shellcheck shell=bash
# The frame that every script stands in.
#
#   about=…; option …; parse_options "$@"     one table: flags, defaults, help
#   say / detail / warn / die CODE MESSAGE    log on stderr, UTC time, script name
#   result id=… az=…                          the answer, alone on stdout (--json: as one JSON object)
#   confirm WHAT ID                           --yes, or ID typed on a terminal; else exit 4
#   change COMMAND…                           runs it; with --dry-run prints it instead
#   wait_for WHAT PREDICATE…                  polls until --timeout; then exit 6
#
# For the tests alone, so that none of them depends on a clock or on another machine's folders:
#
#   IMGPACK_POLL_SECONDS   pause between two looks, whatever it is otherwise
#   IMGPACK_MAX_POLLS      wait_for gives up after so many looks, as if the time were up
#   IMGPACK_BACKOFF_MS     first pause before a call to AWS is tried again     IMGPACK_ATTEMPTS  how often it is tried
#   IMGPACK_HEARTBEAT      seconds between two renewals of the lease           IMGPACK_LEASE_TTL  how long one holds
#   IMGPACK_METADATA_TTL   lifetime to ask for of a token of the metadata service
#   IMGPACK_LOCK_DIR, IMGPACK_STATE, IMGPACK_LOG, IMGPACK_UNITS, IMGPACK_SYS, FSTAB   other places than the machine's own
#
# Rules that hold in all files: a function that can fail dies with an exit code of its own and never returns "nothing
# found" for "could not ask". Answers come back in named variables, not through $(…), so that `die` ends the script and
# not a subshell, and so that no `local x=$(…)` can swallow a failure. Bash ignores errexit in everything that runs as
# part of a condition (`if f`, `f || …`, `! f`): only functions that merely ask are called there; what acts is called
# plainly, or as a process of its own, or checks each of its steps.

# Exit codes. imgpack's and imgtrain's own codes are mapped onto these in lib/programs.sh.
readonly exit_failed=1 exit_usage=2 exit_state=3 exit_refused=4 exit_api=5 exit_timeout=6 exit_tool=7
readonly exit_interrupted=75
exit_status_help="EXIT STATUS
  0 done, or nothing was left to do      1 a program that was called failed
  2 usage                                3 wrong state (the message says what was expected)
  4 refused for safety                   5 AWS or its API failed
  6 timed out                            7 a tool is missing
  75 interrupted, progress is saved: run the same command again"

script_name=$(basename "$0" .sh)

# --- log -------------------------------------------------------------------------------------------------------------

log_line() { printf '%s %s: %s\n' "$(TZ=UTC printf '%(%Y-%m-%dT%H:%M:%SZ)T' -1)" "$script_name" "$*" >&2; }
say() { [ "${opt_quiet:-0}" = 1 ] || log_line "$@"; }
detail() { [ "${opt_verbose:-0}" = 0 ] || log_line "$@"; }
warn() { log_line "warning: $*"; }

# die CODE MESSAGE [HINT]
die() {
  log_line "error: $2"
  [ -z "${3-}" ] || log_line "hint: $3"
  exit "$1"
}
die_usage() { die "$exit_usage" "$1" "${2:-$script_name.sh --help}"; }

# result KEY=VALUE…: the first value alone, or with --json all of them as one object. Values are ids, names and numbers.
result() {
  if [ "${opt_json:-0}" = 0 ]; then
    printf '%s\n' "${1#*=}"
    return
  fi
  local pair json=
  for pair in "$@"; do
    json+="${json:+, }\"${pair%%=*}\": \"$(json_text "${pair#*=}")\""
  done
  printf '{%s}\n' "$json"
}

# The inside of a JSON string. Control characters other than newline and tab do not occur in what is passed here.
json_text() {
  local text=$1
  text=${text//\\/\\\\}
  text=${text//\"/\\\"}
  text=${text//$'\n'/\\n}
  printf '%s' "${text//$'\t'/\\t}"
}

# --- options ---------------------------------------------------------------------------------------------------------

# option FLAG METAVAR DEFAULT HELP: METAVAR empty makes it a switch; DEFAULT `!` makes it required.
# The value lands in opt_FLAG (dashes become underscores); switches are 0 or 1.
option_flags=() option_metavars=() option_defaults=() option_helps=()
option() {
  option_flags+=("$1")
  option_metavars+=("$2")
  option_defaults+=("$3")
  option_helps+=("$4")
}

# Set by a script that takes words after `--` (the words land in rest) or plain words (the same).
rest_metavar=
rest=()
about=
examples=

parse_options() {
  local own_options=${#option_flags[@]} given=$# index flag value variable nearest
  local -A seen=()
  option region REGION '' 'AWS region (default: AWS_REGION, then the AWS configuration)'
  option profile PROFILE '' 'profile of the AWS configuration'
  option timeout TIME '' "longest time to wait in all, as 90s, 10m or 4h (default: ${default_timeout:=30m})"
  option dry-run '' '' 'print every change that would be made, and make none'
  option yes '' '' 'do not ask before destructive or costly steps'
  option json '' '' 'the result as JSON'
  option quiet '' '' 'only warnings and errors (-q)'
  option verbose '' '' 'also every call to AWS (-v)'

  for index in "${!option_flags[@]}"; do
    variable=opt_${option_flags[index]//-/_}
    value=${option_defaults[index]}
    [ "$value" != '!' ] || value=
    [ -n "${option_metavars[index]}" ] || value=0
    printf -v "$variable" '%s' "$value"
  done

  while [ $# -gt 0 ]; do
    case $1 in
    -h | --help)
      print_help "$own_options"
      exit 0
      ;;
    -q) set -- --quiet "${@:2}" ;;
    -v) set -- --verbose "${@:2}" ;;
    esac
    if [ "$1" = -- ] && [ -n "$rest_metavar" ]; then
      shift
      rest=("$@")
      break
    fi
    case $1 in
    --*=*)
      flag=${1%%=*}
      set -- "$flag" "${1#*=}" "${@:2}"
      ;;
    --*) flag=$1 ;;
    *)
      [ -n "$rest_metavar" ] || die_usage "unexpected argument '$1'"
      rest+=("$1")
      shift
      continue
      ;;
    esac
    flag=${flag#--}
    find_option "$flag" || {
      nearest=$(nearest_option "$flag")
      die_usage "unknown option '--$flag'" "${nearest:+did you mean --$nearest? }$script_name.sh --help"
    }
    index=$found_option
    [ -z "${seen[$flag]-}" ] || die_usage "--$flag is given twice"
    seen[$flag]=1
    variable=opt_${flag//-/_}
    if [ -z "${option_metavars[index]}" ]; then
      printf -v "$variable" 1
      shift
    else
      [ $# -ge 2 ] || die_usage "--$flag needs a value (${option_metavars[index]})"
      [ -n "$2" ] || die_usage "--$flag needs a value that is not empty"
      printf -v "$variable" '%s' "$2"
      shift 2
    fi
  done

  for index in "${!option_flags[@]}"; do
    flag=${option_flags[index]}
    if [ "${option_defaults[index]}" = '!' ] && [ -z "${seen[$flag]-}" ]; then
      [ "$given" != 0 ] || print_help "$own_options" >&2
      die_usage "--$flag ${option_metavars[index]} is required"
    fi
  done
  # An environment variable of the same meaning is how up.sh hands these to the scripts that it calls.
  [ -n "$opt_region" ] || opt_region=${AWS_REGION:-${AWS_DEFAULT_REGION:-}}
  parse_duration "${opt_timeout:-$default_timeout}" || die_usage "--timeout: '$opt_timeout' is no duration; write 90s, 10m or 4h"
  time_limit_s=$duration_s
  deadline=$((EPOCHSECONDS + time_limit_s))
}

find_option() {
  local index
  for index in "${!option_flags[@]}"; do
    if [ "${option_flags[index]}" = "$1" ]; then
      found_option=$index
      return 0
    fi
  done
  return 1
}

# The option that shares the longest beginning or contains the word; empty if none does.
nearest_option() {
  local wanted=$1 flag length best='' best_length=2
  for flag in "${option_flags[@]}"; do
    if [[ $flag == *"$wanted"* || $wanted == *"$flag"* ]]; then
      printf '%s' "$flag"
      return
    fi
    for ((length = ${#wanted}; length > best_length; length--)); do
      if [[ $flag == "${wanted:0:length}"* ]]; then
        best=$flag best_length=$length
        break
      fi
    done
  done
  printf '%s' "$best"
}

print_help() {
  local own=$1 index name
  printf '%s.sh: %s\n\n' "$script_name" "$about"
  printf 'USAGE\n  scripts/aws/%s.sh' "$script_name"
  for ((index = 0; index < own; index++)); do
    name="--${option_flags[index]}${option_metavars[index]:+ ${option_metavars[index]}}"
    if [ "${option_defaults[index]}" = '!' ]; then printf ' %s' "$name"; fi
  done
  printf ' [options]%s\n\nOPTIONS\n' "${rest_metavar:+ $rest_metavar}"
  for index in "${!option_flags[@]}"; do
    [ "$index" != "$own" ] || printf '\nCOMMON OPTIONS\n'
    name="--${option_flags[index]}${option_metavars[index]:+ ${option_metavars[index]}}"
    printf '  %-24s %s' "$name" "${option_helps[index]}"
    case ${option_defaults[index]} in
    '') printf '\n' ;;
    '!') printf ' (required)\n' ;;
    *) printf ' (default: %s)\n' "${option_defaults[index]}" ;;
    esac
  done
  [ -z "$examples" ] || printf '\nEXAMPLES\n%s\n' "$examples"
  printf '\n%s\n' "$exit_status_help"
}

# parse_duration 90|90s|10m|4h -> duration_s
parse_duration() {
  [[ $1 =~ ^([0-9]{1,7})([smhd]?)$ ]] || return 1
  case ${BASH_REMATCH[2]} in
  m) duration_s=$((10#${BASH_REMATCH[1]} * 60)) ;;
  h) duration_s=$((10#${BASH_REMATCH[1]} * 3600)) ;;
  d) duration_s=$((10#${BASH_REMATCH[1]} * 86400)) ;;
  *) duration_s=$((10#${BASH_REMATCH[1]})) ;;
  esac
}

# --- safety and time -------------------------------------------------------------------------------------------------

need() {
  local tool
  for tool in "$@"; do
    command -v "$tool" >/dev/null && continue
    case $tool in
    aws) die "$exit_tool" "aws: command not found" "install the AWS command line: https://docs.aws.amazon.com/cli/" ;;
    aria2c) die "$exit_tool" "aria2c: command not found" "apt-get install aria2" ;;
    kaggle) die "$exit_tool" "kaggle: command not found" "python3 -m pip install kaggle" ;;
    imgpack | imgtrain) die "$exit_tool" "$tool: command not found" "put the folder of the built programs on PATH (build/release/bin)" ;;
    *) die "$exit_tool" "$tool: command not found" ;;
    esac
  done
}

need_root() {
  [ "$(id -u)" = 0 ] || die "$exit_usage" "this script changes devices and mounts: run it as root" "sudo $script_name.sh …"
}

is_dry_run() { [ "${opt_dry_run:-0}" = 1 ]; }

# change COMMAND ARG…: anything that changes this machine.
change() {
  if is_dry_run; then
    log_line "would run: ${*@Q}"
  else
    detail "running: ${*@Q}"
    "$@"
  fi
}

# confirm WHAT ID: what is going to happen, and the id to type. Nothing is asked for with --yes or --dry-run.
confirm() {
  local what=$1 id=$2 answer
  if is_dry_run || [ "$opt_yes" = 1 ]; then return 0; fi
  [ -t 0 ] || die "$exit_refused" "$what: refused without --yes, and there is no terminal to ask on"
  log_line "$what"
  read -r -p "Type $id to go on: " answer || answer=
  [ "$answer" = "$id" ] || die "$exit_refused" "$what: not confirmed, nothing was changed"
}

# common_flags: what a script hands on to another one that it calls.
common_flags() {
  common=(--timeout "$(remaining_s)s")
  [ -z "$opt_region" ] || common+=(--region "$opt_region")
  [ -z "$opt_profile" ] || common+=(--profile "$opt_profile")
  [ "$opt_dry_run" = 0 ] || common+=(--dry-run)
  [ "$opt_quiet" = 0 ] || common+=(--quiet)
  [ "$opt_verbose" = 0 ] || common+=(--verbose)
}

# take_lock NAME: one changing script per project and machine at a time. Scripts called by the holder inherit the lock.
take_lock() {
  local name=$1 file
  [ "${IMGPACK_LOCK_HELD-}" != "$name" ] || return 0
  need flock
  file=${IMGPACK_LOCK_DIR:-${XDG_RUNTIME_DIR:-/tmp}}/imgpack-$(id -u)-$name.lock
  exec 9>>"$file" || die "$exit_state" "$file: cannot be opened for the lock of '$name'"
  flock -n 9 || die "$exit_state" "another script is at work on '$name' on this machine" "wait for it to end; the lock is $file"
  export IMGPACK_LOCK_HELD=$name
}

remaining_s() { printf '%d' "$((deadline > EPOCHSECONDS ? deadline - EPOCHSECONDS : 0))"; }

# Without the lock: where a script is ended, what it left behind must not keep the next one out.
pause() { sleep "${IMGPACK_POLL_SECONDS:-$1}" 9>&-; }

# wait_for WHAT SECONDS PREDICATE ARG…: 0 from the predicate ends the wait, 1 goes on; it may also die.
wait_for() {
  local what=$1 interval=$2 started=$EPOCHSECONDS told=$EPOCHSECONDS looks=0
  shift 2
  while ! "$@"; do
    ((EPOCHSECONDS < deadline && ++looks != ${IMGPACK_MAX_POLLS:-0})) || die "$exit_timeout" "$what: not within $((EPOCHSECONDS - started)) s" "run the same command again to go on waiting, or give a longer --timeout"
    if ((EPOCHSECONDS - told >= 60)); then
      say "still waiting: $what ($((EPOCHSECONDS - started)) s)"
      told=$EPOCHSECONDS
    fi
    pause "$interval"
  done
}

# at_exit COMMAND: run when the script ends, the latest first; it may look at $exit_status. Files and child processes only: resources are never
# removed by a trap.
exit_actions=()
at_exit() {
  exit_actions=("$1" "${exit_actions[@]}")
  trap 'run_exit_actions $?' EXIT
}
run_exit_actions() {
  local exit_status=$1 action
  set +e # each of them gets its turn
  for action in "${exit_actions[@]}"; do eval "$action"; done
}

# One folder for temporary files: temp_folder.
make_temp_folder() {
  [ -z "${temp_folder-}" ] || return 0
  temp_folder=$(mktemp -d "${TMPDIR:-/tmp}/imgpack-aws.XXXXXX")
  # shellcheck disable=SC2016  # expanded when it runs
  at_exit 'rm -rf "$temp_folder"'
}
