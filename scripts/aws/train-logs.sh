#!/usr/bin/env bash
# The logs of a run's machines, from the bucket; or what a machine wrote to its console while booting.
. "$(dirname "$0")/lib.sh"
. "$aws_scripts/lib/store.sh"

about="shows the logs of a run's machines, the newest unless another is named"
option name NAME ! 'the project'
option bucket NAME ! 'its bucket'
option run RUN ! 'the run'
option machine ID '' 'this machine'
option lines N 50 'how many lines from the end'
option follow '' '' 'go on showing what comes, until --timeout or Ctrl-C'
option console '' '' 'what --machine wrote to its console (boot problems)'
option list '' '' 'only list the machines that have logs'
default_timeout=1d
parse_options "$@"

check_name "$opt_name"
check_bucket "$opt_bucket"
check_run "$opt_run"
[ -z "$opt_machine" ] || check_instance_id "$opt_machine"
check_integer lines "$opt_lines" 1 1000000
store_open "$opt_bucket" "$opt_name" "$opt_run"
if [ "$opt_console" = 1 ]; then
  [ -n "$opt_machine" ] || die_usage "--console needs --machine"
  aws_read ec2 get-console-output --instance-id "$opt_machine" --latest --query Output --output text
  printf '%s\n' "$aws_out" | tail -n "$opt_lines"
  exit 0
fi
store_newest logs imgtrain.log || die "$exit_state" "no machine has stored a log of run $opt_run yet" "--console --machine shows what it wrote while booting"
if [ "$opt_list" = 1 ]; then
  printf '%s\n' "$newest_list"
  exit 0
fi
key=$newest_key
[ -z "$opt_machine" ] || key=logs/$opt_machine/imgtrain.log
shown=$temp_folder/shown
store_get "$key" "$shown" || die "$exit_state" "$opt_machine has stored no log of run $opt_run"
say "${key#logs/}"
tail -n "$opt_lines" "$shown"
while [ "$opt_follow" = 1 ] && ((EPOCHSECONDS < deadline)); do
  pause 30
  store_get "$key" "$temp_folder/now" || continue
  # The stored log is the last megabyte: what is new begins after the last line that was shown.
  awk -v last="$(tail -n 1 "$shown")" 'NR == FNR { if ($0 == last) at = FNR; next } FNR > at' "$temp_folder/now" "$temp_folder/now"
  mv "$temp_folder/now" "$shown"
done
