#!/usr/bin/env bash
# On the instance: brings the raw images onto the data volume, whole and checked, and says where they lie. What was
# fetched is never unpacked: imgpack reads archives as they are.
. "$(dirname "$0")/lib.sh"
. "$aws_scripts/lib/sources.sh"

about='fetches the raw images by torrent, from Kaggle, from the web, from S3, or takes a folder that is there'
option dest FOLDER ! 'where to: the mounted data volume'
option source SOURCE ! 'kaggle, torrent:ADDRESS, https://…, s3://BUCKET/PREFIX or /FOLDER'
option sha256 FILE '' 'a sha256sum file that names the archives'
option min-free GIB '' 'refuse unless this much is free (default: what is to be fetched, 170 for kaggle)'
option volume ID '' 'tag this volume with imgpack:state=downloaded'
option kaggle-parameter NAME '' 'SSM parameter (SecureString, user:key) with the Kaggle token'
examples='  fetch-imagenet.sh --dest /mnt/data --source torrent:/home/ubuntu/ILSVRC2017_CLS-LOC.torrent
  KAGGLE_USERNAME=… KAGGLE_KEY=… fetch-imagenet.sh --dest /mnt/data --source kaggle'
default_timeout=2d
parse_options "$@"

check_path "$opt_dest" dest
[ -d "$opt_dest" ] || die_usage "--dest $opt_dest: no such folder" "volume-mount.sh mounts the volume"
check_source "$opt_source"
[ -z "$opt_sha256" ] || [ -r "$opt_sha256" ] || die_usage "--sha256 $opt_sha256: no such file"
[ -z "$opt_min_free" ] || check_integer min-free "$opt_min_free" 1 65536 GiB
[ -z "$opt_volume" ] || check_volume_id "$opt_volume"
[ -z "$opt_kaggle_parameter" ] || check_parameter_name "$opt_kaggle_parameter" kaggle-parameter

readonly kaggle_competition=imagenet-object-localization-challenge kaggle_gib=170
books=$opt_dest/.imgpack incoming=$opt_dest/incoming
marker=$books/fetched # lines: source ADDRESS · path WHAT-IMGPACK-READS · archive SIZE SHA256 PATH

finish() {
  [ -z "$opt_volume" ] || set_tags "$opt_volume" "$tag_state=downloaded"
  result "path=$(sed -n 's/^path //p' "$marker")"
  exit 0
}

# The marker counts as long as every archive that it names still has its size.
already_fetched() {
  [ -f "$marker" ] && [ "$(sed -n 's/^source //p' "$marker")" = "$opt_source" ] || return 1
  local kind size sum file
  while read -r kind size sum file; do
    [ "$kind" != archive ] || [ "$(stat -c %s "$file" 2>/dev/null)" = "$size" ] || return 1
  done <"$marker"
}
if already_fetched; then
  say "$opt_source was fetched before"
  finish
fi

# need_free BYTES: asked before anything is fetched
need_free() {
  local wanted=$1 free
  [ -z "$opt_min_free" ] || wanted=$((opt_min_free << 30))
  free=$(df --output=avail -B1 "$opt_dest" | tail -n 1)
  ((free >= wanted)) || die "$exit_state" "$opt_dest has $((free >> 30)) GiB free, $(((wanted + (1 << 30) - 1) >> 30)) are needed" "a larger volume (volume-create.sh --size), then volume-mount.sh --grow"
}

run_aria2() {
  need aria2c
  local status=0
  change timeout --foreground --signal=TERM "$(($(remaining_s) + 1))" aria2c --dir="$incoming" --continue=true --check-integrity=true --file-allocation=none --auto-file-renaming=false \
    --allow-overwrite=true --summary-interval=60 --console-log-level=warn --download-result=hide --max-tries=5 --retry-wait=5 \
    --seed-time=0 --bt-stop-timeout=1800 --follow-torrent=false "$@" >&2 || status=$?
  case $status in
  0) ;;
  3 | 4) die "$exit_state" "aria2c: there is nothing under $opt_source (exit status $status)" ;;
  9) die "$exit_state" "aria2c: $opt_dest is full" "a larger volume" ;;
  32)
    # What has the wrong sum is worth nothing, and the next run would go on with it.
    discard_parts
    die "$exit_state" "$opt_source: the checksum is wrong; the part that was fetched is deleted" "is --sha256 of this very file? Otherwise fetch it again"
    ;;
  124) die "$exit_timeout" "not fetched within $time_limit_s s; the part that was fetched is kept" "run the same command again, or give a longer --timeout" ;;
  7 | 130 | 143) die "$exit_interrupted" "interrupted; the part that was fetched is kept" "run the same command again" ;;
  *) die "$exit_failed" "aria2c failed (exit status $status): the lines above say why; what was fetched is kept" "run the same command again: it goes on" ;;
  esac
}
discard_parts() {
  local control
  for control in "$incoming"/*.aria2; do
    [ -e "$control" ] || continue
    rm -rf -- "$control" "${control%.aria2}"
  done
  [ -z "${fetched_file-}" ] || rm -f -- "$fetched_file"
}

fetch_torrent() {
  local torrent=$1 total
  need aria2c
  case $torrent in
  magnet:*)
    change aria2c --dir="$incoming" --bt-metadata-only=true --bt-save-metadata=true --summary-interval=0 --bt-stop-timeout=600 "$torrent" >&2 ||
      die "$exit_state" "no peer answers for this magnet link" "a .torrent file works without them"
    torrent=$(find "$incoming" -maxdepth 1 -name '*.torrent' | head -n 1)
    ;;
  http*)
    change curl -fsSL --max-time 60 -o "$incoming/source.torrent" "$torrent" || die "$exit_state" "$torrent cannot be fetched"
    torrent=$incoming/source.torrent
    ;;
  esac
  if is_dry_run; then return 0; fi
  [ -f "$torrent" ] || die_usage "$torrent: no such torrent file"
  total=$(aria2c --show-files "$torrent" | sed -n 's/^Total Length: .*(\([0-9,]*\)).*/\1/p' | tr -d ,)
  [ -n "$total" ] || die "$exit_state" "$torrent is no torrent file that aria2c can read"
  need_free "$total"
  run_aria2 "$torrent"
  rm -f "$incoming"/*.torrent
}

fetch_address() {
  local address=$1 name length sum
  name=${address##*/}
  name=${name%%\?*}
  [[ $name =~ ^[A-Za-z0-9._-]+$ ]] || die_usage "$address does not end in the name of a file"
  fetched_file=$incoming/$name
  length=$(curl -sIL --max-time 60 "$address" | tr -d '\r' | sed -n 's/^[Cc]ontent-[Ll]ength: //p' | tail -n 1)
  need_free "${length:-0}"
  sum=
  if [ -n "$opt_sha256" ]; then
    sum=$(awk -v name="$name" '{ sub("^[*]", "", $2); sub(".*/", "", $2) } $2 == name { print $1 }' "$opt_sha256")
    [[ $sum =~ ^[0-9a-f]{64}$ ]] || die_usage "--sha256 $opt_sha256 has no line for $name"
  fi
  run_aria2 ${sum:+--checksum=sha-256=$sum} --out="$name" "$address"
}

fetch_s3() {
  local total
  allow nothing NoSuchBucket -- aws_read s3 ls --recursive --summarize "$1" || die "$exit_state" "there is nothing under $1"
  total=$(sed -n 's/^ *Total Size: \([0-9]*\)$/\1/p' <<<"$aws_out")
  [ "${total:-0}" != 0 ] || die "$exit_state" "there is nothing under $1"
  need_free "$total"
  # Not aws_change: a day of copying is no single call, and `sync` goes on by itself where it stopped.
  local where=()
  [ -z "$opt_region" ] || where=(--region "$opt_region")
  change aws s3 sync --only-show-errors "$1" "$incoming" "${where[@]}" >&2 || die "$exit_api" "aws s3 sync failed: the lines above say why" "run the same command again: it goes on"
}

# The token is handed over in the environment of the one command that needs it, never written, never logged.
fetch_kaggle() {
  need kaggle
  local config=${KAGGLE_CONFIG_DIR:-$HOME/.kaggle}/kaggle.json user=${KAGGLE_USERNAME-} key=${KAGGLE_KEY-} mode output status=0
  if [ -n "$opt_kaggle_parameter" ]; then
    allow ParameterNotFound -- aws_read ssm get-parameter --with-decryption --name "$opt_kaggle_parameter" --query Parameter.Value --output text ||
      die "$exit_state" "there is no SSM parameter $opt_kaggle_parameter" "aws ssm put-parameter --type SecureString --name $opt_kaggle_parameter --value USER:KEY"
    user=${aws_out%%:*} key=${aws_out#*:}
    [ -n "$user" ] && [ -n "$key" ] && [ "$user" != "$aws_out" ] || die "$exit_state" "SSM parameter $opt_kaggle_parameter is not of the form USER:KEY"
    aws_out=
  fi
  if [ -z "$user" ] || [ -z "$key" ]; then
    [ -f "$config" ] || die "$exit_state" "no Kaggle token: neither KAGGLE_USERNAME and KAGGLE_KEY, nor $config, nor --kaggle-parameter" "kaggle.com > Settings > API > Create New Token"
    mode=$(stat -c %a "$config")
    [[ $mode == [46]00 ]] || die "$exit_refused" "$config can be read by others (mode $mode)" "chmod 600 $config"
  fi
  need_free $((kaggle_gib << 30))
  make_temp_folder
  output=$temp_folder/kaggle
  if is_dry_run; then
    log_line "would run: kaggle competitions download -c $kaggle_competition -p $incoming"
    return 0
  fi
  (
    [ -z "$user" ] || export KAGGLE_USERNAME=$user KAGGLE_KEY=$key
    kaggle competitions download -c "$kaggle_competition" -p "$incoming"
  ) >"$output" 2>&1 || status=$?
  [ -z "$key" ] || sed -i "s/$(printf '%s' "$key" | sed 's/[^A-Za-z0-9]/\\&/g')/(token)/g" "$output"
  [ "$status" != 0 ] || return 0
  tail -n 5 "$output" >&2
  if grep -q -E '401|[Uu]nauthorized' "$output"; then
    die "$exit_state" "Kaggle does not accept the token (401)" "make a new one: kaggle.com > Settings > API"
  elif grep -q -E '403|[Ff]orbidden' "$output"; then
    die "$exit_state" "Kaggle refuses the download (403)" "accept the rules of the competition: kaggle.com/c/$kaggle_competition/rules"
  fi
  die "$exit_failed" "kaggle failed (exit status $status): the lines above say why"
}

change mkdir -p "$incoming" "$books"
case $opt_source in
torrent:*) fetch_torrent "${opt_source#torrent:}" ;;
http*) fetch_address "$opt_source" ;;
s3://*) fetch_s3 "$opt_source" ;;
kaggle) fetch_kaggle ;;
/*)
  incoming=$opt_source
  [ -d "$incoming" ] && [ -r "$incoming" ] || die_usage "$incoming: no folder that can be read"
  [ -n "$(find "$incoming" -mindepth 1 -print -quit)" ] || die "$exit_state" "$incoming is empty"
  ;;
esac
if is_dry_run; then exit 0; fi

# test_archive FILE -> archive_sum: reads it once, for its checksum and to see that it is whole
test_archive() {
  local file=$1
  make_temp_folder
  say "reading ${file##*/} through ($(du -h "$file" | cut -f1))"
  archive_sum=$(sha256sum "$file") || die "$exit_state" "$file cannot be read"
  archive_sum=${archive_sum%% *}
  case $file in
  *.tar.gz | *.tgz) gzip -t "$file" ;;
  *.tar) tar -tf "$file" ;;
  *.zip) python3 -m zipfile -l "$file" ;;
  esac >/dev/null 2>"$temp_folder/test" || die "$exit_state" "$file is not whole: $(tail -n 1 "$temp_folder/test")" "delete it and fetch it again"
  if [ -n "$opt_sha256" ]; then
    local wanted
    wanted=$(awk -v name="${file##*/}" '{ sub("^[*]", "", $2); sub(".*/", "", $2) } $2 == name { print $1 }' "$opt_sha256")
    [ -z "$wanted" ] || [ "$wanted" = "$archive_sum" ] || die "$exit_state" "$file has SHA-256 $archive_sum, not $wanted" "delete it and fetch it again"
  fi
}

# Where there is one thing, an archive or the folder that a torrent made, that one is what imgpack reads.
path=$incoming
entries=$(find "$incoming" -mindepth 1 -maxdepth 1 | head -n 2)
if [ -e "$entries" ] && [ "$incoming" != "$opt_source" ]; then path=$entries; fi
{
  printf 'source %s\npath %s\n' "$opt_source" "$path"
  while IFS= read -r -d '' archive; do
    test_archive "$archive"
    printf 'archive %s %s %s\n' "$(stat -c %s "$archive")" "$archive_sum" "$archive"
  done < <(find "$incoming" -maxdepth 3 -type f \( -name '*.tar' -o -name '*.tar.gz' -o -name '*.tgz' -o -name '*.zip' \) -print0 | sort -z)
} >"$marker.new"
sync "$marker.new"
mv "$marker.new" "$marker"
say "fetched $opt_source: $path"
finish
