#!/usr/bin/env bash
# A run folder to and from S3: what the training machine does all the time, for a person.
. "$(dirname "$0")/lib.sh"
. "$aws_scripts/lib/store.sh"

about='stores a run folder in S3, or brings it back: run-store.sh push|pull|list'
option name NAME ! 'the project'
option bucket NAME ! 'its bucket'
option run RUN ! 'the run'
option folder FOLDER '' 'the run folder here (default: runs/RUN)'
option machine NAME '' 'push: who stores it (default: this host)'
option prune N 0 'push: then remove all but the newest N states; 0: keep all'
rest_metavar='push|pull|list'
examples='  run-store.sh pull --name imagenet --bucket my-bucket --run r1 --folder runs/r1'
default_timeout=2h
parse_options "$@"

check_name "$opt_name"
check_bucket "$opt_bucket"
check_run "$opt_run"
[ -z "$opt_machine" ] || check_form machine "$opt_machine" '[A-Za-z0-9-]{1,64}' "a machine's name"
check_integer prune "$opt_prune" 0 1000
folder=${opt_folder:-runs/$opt_run}
[ ${#rest[@]} = 1 ] || die_usage "say one of push, pull and list"
store_open "$opt_bucket" "$opt_name" "$opt_run"
case ${rest[0]} in
push)
  [ -d "$folder" ] || die_usage "$folder: no such folder"
  if is_dry_run; then
    log_line "would store $folder under $store_address"
    exit 0
  fi
  store_push "$folder" "${opt_machine:-${HOSTNAME//[^A-Za-z0-9-]/-}}"
  [ "$opt_prune" = 0 ] || store_prune "$folder" "$opt_prune"
  result "address=$store_address"
  ;;
pull)
  if is_dry_run; then
    log_line "would bring the newest state under $store_address to $folder"
    exit 0
  fi
  mkdir -p "$(dirname "$folder")"
  store_pull "$folder"
  [ "$pulled" = 1 ] || exit "$exit_state"
  result "folder=$folder"
  ;;
list)
  aws_read s3api list-objects-v2 --bucket "$store_bucket" --prefix "$store_prefix/manifests/" --query 'Contents[].[LastModified,Key]' --output text
  [ -z "$(text_or_empty "$aws_out")" ] || printf '%s\n' "$aws_out"
  ;;
*) die_usage "'${rest[0]}' is none of push, pull and list" ;;
esac
