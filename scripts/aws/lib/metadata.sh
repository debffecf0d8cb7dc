# shellcheck shell=bash
# The instance metadata service, version 2 only: a token first, then every question with the token.
readonly metadata_endpoint=${AWS_EC2_METADATA_SERVICE_ENDPOINT:-http://169.254.169.254}
readonly metadata_token_ttl_s=${IMGPACK_METADATA_TTL:-21600}

metadata_token=
metadata_token_until=0

# metadata PATH -> metadata_answer. Returns 0 with the answer, 1 where there is nothing under this path (404), and 2
# where the service cannot be asked: a caller that watches for a notice must tell these apart.
metadata() {
  local attempt status answer
  metadata_answer=
  for attempt in 1 2; do
    if [ -z "$metadata_token" ] || ((EPOCHSECONDS >= metadata_token_until)); then
      metadata_token=$(curl -sf --max-time 2 -X PUT -H "X-aws-ec2-metadata-token-ttl-seconds: $metadata_token_ttl_s" \
        "$metadata_endpoint/latest/api/token") || metadata_token=
      [ -n "$metadata_token" ] || return 2
      metadata_token_until=$((EPOCHSECONDS + metadata_token_ttl_s * 9 / 10))
    fi
    answer=$(curl -s --max-time 2 -w '\n%{http_code}' -H "X-aws-ec2-metadata-token: $metadata_token" \
      "$metadata_endpoint/latest/$1") || return 2
    status=${answer##*$'\n'}
    case $status in
    200)
      metadata_answer=${answer%$'\n'*}
      return 0
      ;;
    404) return 1 ;;
    401) metadata_token= ;; # ran out before its time: ask for another, once
    *) return 2 ;;
    esac
  done
  return 2
}

# need_metadata PATH WHAT -> metadata_answer, or dies
need_metadata() {
  metadata "$1" || die "$exit_state" "the instance metadata service does not say $2" "this script runs on an EC2 instance"
}

# interruption_notice -> notice (`terminate 2026-…Z`): 0 if this machine is marked, 1 if not, 2 if nobody can say.
# What is no JSON with an action in it is taken for no answer.
interruption_notice() {
  local status=0
  metadata meta-data/spot/instance-action || status=$?
  [ "$status" = 0 ] || return "$status"
  [[ $metadata_answer =~ \"action\"[[:space:]]*:[[:space:]]*\"(terminate|stop|hibernate)\" ]] || return 2
  notice=${BASH_REMATCH[1]}
  [[ $metadata_answer =~ \"time\"[[:space:]]*:[[:space:]]*\"([0-9TZ:.-]+)\" ]] && notice+=" at ${BASH_REMATCH[1]}"
  return 0
}

# rebalance_recommended: EC2 thinks that this machine is likely to be interrupted soon. 0, 1 or 2 as above.
rebalance_recommended() {
  metadata meta-data/events/recommendations/rebalance || return $?
  [[ $metadata_answer == *noticeTime* ]] || return 2
}
