# shellcheck shell=bash
# A run folder kept in S3, so that a machine may vanish at any moment. Under s3://BUCKET/NAME/runs/RUN:
#
#   objects/SHA256        the content of files, each stored once
#   manifests/TIME-ID     one line per file: `file SHA256 SIZE PATH` or `link TARGET PATH`: the run folder at that time
#   latest                `MANIFEST SHA256`: written last, so that it only ever names what is there as a whole
#   lease                 who may train (lib/lease.sh)
#   ledger/INSTANCE       what each machine was and how long it lived (cost.sh)
#   logs/INSTANCE/…       its logs
#   stop, done, failed    why nothing trains any more (train-stop.sh, train-run.sh)

# What was stored from here, and under which names, is written in a folder beside the run folder: imgtrain takes only
# a run folder, or an empty one, for its own.
# books_of RUN-FOLDER -> books
books_of() { books=$(dirname "$1")/.$(basename "$1").store; }

# store_open BUCKET NAME RUN
store_open() {
  store_bucket=$1
  store_prefix=$2/runs/$3
  store_address=s3://$store_bucket/$store_prefix
  make_temp_folder
}

# store_get KEY FILE: returns 1 where there is no such object
store_get() {
  allow NoSuchKey 404 -- aws_read s3api get-object --bucket "$store_bucket" --key "$store_prefix/$1" "$2" --query ETag --output text
}
# store_put KEY FILE [ARGUMENT…] -> store_etag; returns 1 with a code that was allowed
store_put() {
  # Called under `allow`, where errexit does not hold: a refusal must be handed on by hand.
  aws_change s3api put-object --bucket "$store_bucket" --key "$store_prefix/$1" --body "$2" "${@:3}" --query ETag --output text || return 1
  store_etag=$aws_out
}
# store_has KEY
store_has() {
  allow NoSuchKey 404 -- aws_read s3api head-object --bucket "$store_bucket" --key "$store_prefix/$1" --query ContentLength --output text
}
# store_note KEY TEXT: a small object of text
store_note() {
  printf '%s\n' "$2" >"$temp_folder/note"
  store_put "$1" "$temp_folder/note"
}
# store_newest FOLDER NAME -> newest_key, and newest_list (lines of time, size, key, the newest last): the objects of this
# name under FOLDER/; returns 1 where there is none
store_newest() {
  # shellcheck disable=SC2016  # the backquotes are part of the query
  aws_read s3api list-objects-v2 --bucket "$store_bucket" --prefix "$store_prefix/$1/" \
    --query 'sort_by(Contents || `[]`,&LastModified)[].[LastModified,Size,Key]' --output text
  newest_list=$(text_or_empty "$aws_out" | awk -F '\t' -v name="/$2" 'substr($3, length($3) - length(name) + 1) == name')
  newest_key=$(tail -n 1 <<<"$newest_list" | cut -f3)
  newest_key=${newest_key#"$store_prefix/"}
  [ -n "$newest_key" ]
}
store_remove() { aws_change s3api delete-object --bucket "$store_bucket" --key "$store_prefix/$1"; }

# What a run folder holds that is published: temporary files are on their way to another name, a lock is of this machine.
list_run_folder() {
  find "$1" \( -type f -o -type l \) ! -name .lock ! -name '*.tmp*' ! -name '*.partial' ! -name '*.part' -printf '%y\t%P\t%s\t%T@\t%l\n' | LC_ALL=C sort -t $'\t' -k2,2
}
# What must be equal before and after copying; logs and metrics may grow meanwhile.
unchanging() { grep -v -P '\.(log|csv|jsonl)\t' <<<"$1" || :; }

# store_push RUN-FOLDER MACHINE: stores the folder as it is now. The pointer moves only when everything it names is
# there, so a push that fails half-way leaves the last one valid.
store_push() {
  local folder=$1 machine=$2 books before after tries stage manifest name
  books_of "$folder"
  stage=$temp_folder/stage manifest=$temp_folder/manifest
  mkdir -p "$books"
  touch "$books/known" "$books/sums"
  for ((tries = 0; ; tries++)); do
    before=$(list_run_folder "$folder")
    [ -n "$before" ] || return 0
    rm -rf "$stage"
    mkdir -p "$stage"
    stage_files "$folder" "$before" "$stage" "$manifest"
    if [ "$staged" = 1 ]; then
      after=$(list_run_folder "$folder")
      [ "$(unchanging "$before")" != "$(unchanging "$after")" ] || break
    fi
    ((tries < 10)) || die "$exit_state" "$folder changes faster than it can be copied"
    sleep 0.2
  done
  [ ! -f "$books/pushed" ] || ! cmp -s "$manifest" "$books/manifest" || return 0 # nothing new
  if [ -n "$(ls -A "$stage")" ]; then
    aws_change s3 cp --recursive --only-show-errors "$stage" "$store_address/objects/"
    ls "$stage" >>"$books/known"
  fi
  name=manifests/$(TZ=UTC printf '%(%Y%m%dT%H%M%S)T' -1)-$machine-$(printf '%06d' "$(next_number "$books/count")")
  store_put "$name" "$manifest"
  store_note latest "$name $(sha256sum <"$manifest" | cut -d' ' -f1)"
  cp "$manifest" "$books/manifest"
  printf '%s\n' "$name" >"$books/pushed.new"
  mv "$books/pushed.new" "$books/pushed"
  detail "stored $folder as $name"
}
next_number() {
  local number=0
  [ ! -f "$1" ] || number=$(<"$1")
  printf '%d\n' $((number + 1)) >"$1"
  printf '%d' $((number + 1))
}

# stage_files FOLDER LISTING STAGE MANIFEST -> staged: copies what is not stored yet, under its hash; staged=0 if a file
# vanished meanwhile. The hash of a file that has not changed since the last push is taken from the books.
stage_files() {
  local folder=$1 listing=$2 stage=$3 manifest=$4 kind path size time target sum
  staged=0
  local -A known=() sums=()
  while read -r sum; do known[$sum]=1; done <"$books/known"
  while IFS=$'\t' read -r sum path; do sums[$path]=$sum; done <"$books/sums"
  : >"$manifest"
  : >"$temp_folder/sums"
  while IFS=$'\t' read -r kind path size time target; do
    if [ "$kind" = l ]; then
      printf 'link\t%s\t-\t%s\n' "$target" "$path" >>"$manifest"
      continue
    fi
    sum=${sums["$path $size $time"]-}
    if [ -z "$sum" ]; then
      if ! cp --reflink=auto -- "$folder/$path" "$stage/.copy" 2>"$temp_folder/cp"; then
        [ ! -e "$folder/$path" ] || die "$exit_failed" "$folder/$path cannot be copied: $(<"$temp_folder/cp")"
        return 0
      fi
      sum=$(sha256sum <"$stage/.copy")
      sum=${sum%% *}
      size=$(stat -c %s "$stage/.copy")
      if [ -n "${known[$sum]-}" ]; then rm -f "$stage/.copy"; else mv "$stage/.copy" "$stage/$sum"; fi
    fi
    printf '%s\t%s\n' "$sum" "$path $size $time" >>"$temp_folder/sums"
    printf 'file\t%s\t%s\t%s\n' "$sum" "$size" "$path" >>"$manifest"
  done <<<"$listing"
  cp "$temp_folder/sums" "$books/sums"
  staged=1
}

# store_pull RUN-FOLDER -> pulled: brings the newest run folder that is whole; a manifest with anything missing or altered
# is passed over, loudly, for the one before. Where nothing is stored yet the folder is left alone, and pulled=0.
store_pull() {
  local folder=$1 newest sum names name books
  books_of "$folder"
  pulled=1
  if ! store_get latest "$temp_folder/latest"; then
    say "nothing is stored for this run yet"
    pulled=0
    return 0
  fi
  read -r newest sum <"$temp_folder/latest"
  if [ -d "$folder" ] && [ -f "$books/pushed" ] && [ "$(<"$books/pushed")" = "$newest" ]; then
    say "$folder is what was stored last from here"
    return 0
  fi
  fetch_manifest "$newest" "$sum" "$folder"
  [ "$whole" = 0 ] || return 0
  aws_read s3api list-objects-v2 --bucket "$store_bucket" --prefix "$store_prefix/manifests/" --query 'Contents[].Key' --output text
  names=$(tr '\t' '\n' <<<"$aws_out" | grep -v -x -F "$store_prefix/$newest" | LC_ALL=C sort -r || :)
  for name in $names; do
    fetch_manifest "${name#"$store_prefix/"}" '' "$folder"
    if [ "$whole" = 1 ]; then
      warn "the newest stored state is not whole: going on from ${name##*/}"
      return 0
    fi
  done
  die "$exit_state" "no stored state of this run is whole: $store_address" "what is there lies under objects/; train anew under another --run"
}

# fetch_manifest NAME SHA256 FOLDER -> whole: 0, and FOLDER as before, if it or anything that it names is missing or altered
fetch_manifest() {
  local name=$1 sum=$2 folder=$3 manifest=$temp_folder/pulled stage=$3.pulling kind hash size path include=() cache=$3.pulling/.objects
  whole=0
  if ! store_get "$name" "$manifest"; then
    warn "${name##*/} is missing in the store"
    return 0
  fi
  if [ -n "$sum" ] && [ "$(sha256sum <"$manifest" | cut -d' ' -f1)" != "$sum" ]; then
    warn "${name##*/} is not what the pointer says"
    return 0
  fi
  rm -rf "$stage"
  mkdir -p "$cache"
  while IFS=$'\t' read -r kind hash size path; do
    [[ $path != /* && /$path/ != */../* ]] || die "$exit_refused" "${name##*/} names a path outside of the run folder: $path"
    case $kind in
    file) [[ $hash =~ ^[0-9a-f]{64}$ ]] && include+=(--include "$hash") ;;
    link) [[ $hash != /* && /$hash/ != */../* ]] || die "$exit_refused" "${name##*/} has a link out of the run folder: $path -> $hash" ;;
    *) die "$exit_state" "${name##*/} is no manifest of a run folder" ;;
    esac
  done <"$manifest"
  if [ ${#include[@]} != 0 ]; then
    aws_read s3 cp --recursive --only-show-errors "$store_address/objects/" "$cache" --exclude '*' "${include[@]}"
  fi
  while IFS=$'\t' read -r kind hash size path; do
    mkdir -p "$stage/$(dirname "$path")"
    if [ "$kind" = link ]; then
      ln -s "$hash" "$stage/$path"
      continue
    fi
    if [ ! -f "$cache/$hash" ] || [ "$(sha256sum <"$cache/$hash" | cut -d' ' -f1)" != "$hash" ]; then
      warn "${name##*/}: $path is missing or altered in the store"
      rm -rf "$stage"
      return 0
    fi
    cp --reflink=auto "$cache/$hash" "$stage/$path"
  done <"$manifest"
  # The books of what was here go first and the new ones come last: without books everything is stored again, with those
  # of another state something might not be.
  rm -rf "$books"
  ls "$cache" >"$temp_folder/known"
  rm -rf "$cache"
  # What lies here from an earlier boot is older, and kept.
  if [ -e "$folder" ] && [ -n "$(ls -A "$folder")" ]; then mv "$folder" "$folder.before-$EPOCHSECONDS"; fi
  rm -rf "$folder"
  mv "$stage" "$folder"
  mkdir -p "$books.new"
  mv "$temp_folder/known" "$books.new/known"
  : >"$books.new/sums"
  cp "$manifest" "$books.new/manifest"
  printf '%s\n' "$name" >"$books.new/pushed"
  mv "$books.new" "$books"
  whole=1
  say "brought the run folder as of ${name##*/}"
}

# store_prune RUN-FOLDER KEEP: removes all but the newest manifests, and the objects that only the removed ones name.
store_prune() {
  local keep=$2 names name kept=$temp_folder/kept objects books
  books_of "$1"
  aws_read s3api list-objects-v2 --bucket "$store_bucket" --prefix "$store_prefix/manifests/" --query 'Contents[].Key' --output text
  names=$(tr '\t' '\n' <<<"$aws_out" | LC_ALL=C sort)
  (($(wc -l <<<"$names") > keep)) || return 0
  : >"$kept"
  for name in $(tail -n "$keep" <<<"$names"); do
    store_get "${name#"$store_prefix/"}" "$temp_folder/manifest-kept" || return 0
    awk -F '\t' '$1 == "file" { print $2 }' "$temp_folder/manifest-kept" >>"$kept"
  done
  # Manifests go first: an object is never gone while a manifest that is listed names it.
  for name in $(head -n -"$keep" <<<"$names"); do store_remove "${name#"$store_prefix/"}"; done
  aws_read s3api list-objects-v2 --bucket "$store_bucket" --prefix "$store_prefix/objects/" --query 'Contents[].Key' --output text
  objects=$(tr '\t' '\n' <<<"$aws_out" | grep -v -F -f "$kept" || :)
  sort -u "$kept" >"$books/known"
  for name in $objects; do store_remove "${name#"$store_prefix/"}"; done
}
