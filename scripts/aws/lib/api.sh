# shellcheck shell=bash
# The only door to the `aws` command.
#
#   aws_read   SERVICE OPERATION ARG…   asks; the answer is in aws_out
#   aws_change SERVICE OPERATION ARG…   changes; with --dry-run it is printed and not run, and aws_out is empty
#   allow CODE… -- aws_read …           returns 1, with the code in aws_code, where it fails with one of these codes
#
# Everything else that goes wrong ends the script: 5 for an error of the service (its code is in the message), 6 when
# the time is up, 7 without `aws`. Throttling, server errors and broken connections are tried again, with growing
# pauses: they say nothing about the request. A broken connection may hide a change that was made, so what is changed
# here is safe to send twice: it carries a client token, or is the same when repeated. The one exception, CreateSnapshot,
# is called with `allow connection` and looks for what it may have made (snapshot.sh).

readonly transient_codes='Throttling ThrottlingException ThrottledException RequestThrottled RequestThrottledException
  RequestLimitExceeded TooManyRequestsException SlowDown InternalError InternalFailure ServerInternal
  ServiceUnavailable ServiceUnavailableException Unavailable RequestTimeout 500 502 503 504'
readonly max_attempts=${IMGPACK_ATTEMPTS:-6}

aws_out=   # the answer of the last call
aws_code=  # the error code of the last failed call, or connection, credentials, timeout
aws_error= # its message
aws_allowed=

aws_read() { aws_call "$@"; }

aws_change() {
  if is_dry_run; then
    aws_out=
    log_line "would call: aws ${*@Q}"
    return 0
  fi
  aws_call "$@"
}

# allow CODE… -- COMMAND…
allow() {
  local codes=
  while [ "$1" != -- ]; do
    codes+=" $1 "
    shift
  done
  shift
  local status=0
  aws_allowed=$codes
  "$@" || status=$?
  aws_allowed=
  return "$status"
}

aws_call() {
  local allowed=$aws_allowed attempt pause_ms=${IMGPACK_BACKOFF_MS:-1000}
  aws_allowed=
  detail "aws ${*@Q}"
  for ((attempt = 1; ; attempt++)); do
    aws_attempt "$@" && return 0
    [[ $allowed != *" $aws_code "* ]] || return 1
    case $aws_code in
    timeout) die "$exit_timeout" "aws $1 $2: no answer within $time_limit_s s" "run the same command again, or give a longer --timeout" ;;
    credentials) die "$exit_api" "aws $1 $2: no credentials: $aws_error" "aws configure, or --profile; on an instance: does it have its instance profile?" ;;
    region) die "$exit_usage" "no region is set" "give --region, or set AWS_REGION" ;;
    esac
    if ! is_transient "$aws_code" || ((attempt >= max_attempts || $(remaining_s) * 1000 <= pause_ms)); then
      die "$exit_api" "aws $1 $2: ${aws_code}: $aws_error"
    fi
    say "aws $1 $2: $aws_code; trying again in $pause_ms ms ($attempt of $max_attempts)"
    sleep "$((pause_ms / 1000)).$(printf '%03d' $((pause_ms % 1000)))" 9>&-
    pause_ms=$((pause_ms * 2))
  done
}

is_transient() {
  [ "$1" = connection ] || [[ " ${transient_codes//$'\n'/ } " == *" $1 "* ]]
}

# One call, within the time that is left. Sets aws_out, or aws_code and aws_error.
aws_attempt() {
  local arguments=("$@") status=0
  need aws timeout
  make_temp_folder
  [ -z "${opt_region-}" ] || arguments+=(--region "$opt_region")
  [ -z "${opt_profile-}" ] || arguments+=(--profile "$opt_profile")
  # The command's own retries are off: they would be silent, and would not know about --timeout.
  aws_out=$(AWS_PAGER='' AWS_MAX_ATTEMPTS=1 timeout --kill-after=2 "$(($(remaining_s) + 1))" \
    aws "${arguments[@]}" 2>"$temp_folder/stderr" 9>&-) || status=$?
  [ "$status" != 0 ] || return 0
  aws_error=$(tr '\n' ' ' <"$temp_folder/stderr" | sed 's/^ *//; s/ *$//')
  if [ "$status" = 124 ] || [ "$status" = 137 ]; then
    aws_code=timeout
  elif [[ $aws_error =~ An\ error\ occurred\ \(([A-Za-z0-9._]+)\) ]]; then
    aws_code=${BASH_REMATCH[1]}
    aws_error=${aws_error##*operation*: }
  elif [[ $aws_error == *[Uu]nable\ to\ locate\ credentials* || $aws_error == *'could not be found'*profile* ]]; then
    aws_code=credentials
  elif [[ $aws_error == *[Mm]ust\ specify\ a\ region* ]]; then
    aws_code=region
  elif [[ $aws_error == *'onnect to the endpoint'* || $aws_error == *'onnection was closed'* ||
    $aws_error == *'imeout on endpoint'* || $aws_error == *'Unable to parse response'* ]]; then
    aws_code=connection
  elif [ "$status" = 1 ] && [ -z "$aws_error" ]; then
    aws_code=nothing # `aws s3 ls` of what is not there
    aws_error='there is nothing'
  else
    aws_code=unknown
    [ -n "$aws_error" ] || aws_error="exit status $status"
  fi
  return 1
}

# text_or_empty TEXT: `--output text` writes None where there is nothing.
text_or_empty() { [ "$1" = None ] || printf '%s' "$1"; }
