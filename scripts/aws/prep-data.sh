#!/usr/bin/env bash
# On the instance: builds the pack from what was fetched and verifies it. Restarts at the first missing step; nothing
# counts as a pack before `imgpack verify` has read all of it. Prints the pack id.
. "$(dirname "$0")/lib.sh"
. "$aws_scripts/lib/programs.sh"

about='imgpack build and imgpack verify, restarting at the first missing step'
option dest FOLDER ! 'the mounted data volume; the pack becomes FOLDER/pack'
option source PATH '' 'the raw images (default: what fetch-imagenet.sh fetched)'
option jobs N '' 'threads (default: all cores)'
option keep-archives '' '' 'keep the archives that fetch-imagenet.sh fetched, when the pack is verified'
option volume ID '' 'tag this volume with the state and the pack id'
default_timeout=2d
parse_options "$@"

check_path "$opt_dest" dest
[ -d "$opt_dest" ] || die_usage "--dest $opt_dest: no such folder"
[ -z "$opt_source" ] || check_path "$opt_source" source
[ -z "$opt_jobs" ] || check_integer jobs "$opt_jobs" 1 1024
[ -z "$opt_volume" ] || check_volume_id "$opt_volume"
need imgpack sha256sum
books=$opt_dest/.imgpack
fetched=$books/fetched
pack=$opt_dest/pack
building=$opt_dest/pack.building

source_path=$opt_source
if [ -z "$source_path" ]; then
  if is_dry_run && [ ! -f "$fetched" ]; then
    log_line "would build and verify a pack of what fetch-imagenet.sh fetches to $opt_dest"
    exit 0
  fi
  [ -f "$fetched" ] || die "$exit_state" "there is no --source, and fetch-imagenet.sh has fetched nothing to $opt_dest"
  source_path=$(sed -n 's/^path //p' "$fetched")
fi
[ -e "$source_path" ] || [ -e "$pack/manifest.json" ] || die "$exit_state" "$source_path is not there"

# Steps are marked by the hash of their input, so that another source starts anew.
if [ -z "$opt_source" ]; then
  input=$(sha256sum <"$fetched")
elif [ -d "$source_path" ]; then
  input=$(find "$source_path" -type f -printf '%P %s\n' | LC_ALL=C sort | sha256sum)
else
  input=$(printf '%s %s\n' "${source_path##*/}" "$(stat -c %s "$source_path" 2>/dev/null)" | sha256sum)
fi
input=${input:0:16}
readonly step_built=$books/built-$input step_verified=$books/verified-$input

# A pack's id is the hash of its manifest, which in turn has the digest of every shard and of the index.
read_pack_id() {
  pack_id=$(sha256sum "$1/manifest.json") || die "$exit_state" "$1 has no manifest.json that can be read: it is no finished pack"
  pack_id=${pack_id:0:32}
}
tag_volume() { [ -z "$opt_volume" ] || set_tags "$opt_volume" "$@"; }
mark() { # FILE TEXT
  printf '%s\n' "$2" >"$1.new" && sync "$1.new" && mv "$1.new" "$1"
}

# run_imgpack ARGUMENT…: one call, its exit code mapped; does not return if it failed
run_imgpack() {
  local status=0 size free
  change imgpack "$@" >&2 || status=$?
  map_status imgpack "$status"
  [ "$mapped" != 0 ] || return 0
  read -r size free < <(df --output=size,avail -B1 "$opt_dest" | tail -n 1)
  ((free > size / 50)) || die "$exit_state" "$opt_dest is full" "a larger volume (and volume-mount.sh --grow), or remove what is not needed there; then run the same command again"
  exit "$mapped"
}

change mkdir -p "$books"
if [ -f "$step_verified" ] && [ -f "$pack/manifest.json" ]; then
  read_pack_id "$pack"
  [ "$pack_id" = "$(<"$step_verified")" ] || die "$exit_state" "$pack is not the pack that was verified ($pack_id, verified was $(<"$step_verified"))" "remove $step_verified to have it verified again"
  say "pack $pack_id was built and verified before"
else
  if [ ! -f "$step_built" ]; then
    say "building the pack from $source_path"
    run_imgpack build "$source_path" "$building" ${opt_jobs:+--threads "$opt_jobs"}
    if is_dry_run; then
      log_line "would verify the pack, and rename it to $pack"
      exit 0
    fi
    mark "$step_built" "skipped=$skipped"
    tag_volume "$tag_state=packed" "imgpack:skipped=$skipped"
  fi
  say "verifying the pack"
  # The rename may have happened in a run that ended before its marker was written.
  [ -d "$building" ] || building=$pack
  run_imgpack verify "$building"
  if is_dry_run; then exit 0; fi
  read_pack_id "$building"
  if [ "$building" != "$pack" ]; then
    [ ! -e "$pack" ] || die "$exit_state" "$pack is in the way: it is another pack" "rename or remove it"
    mv "$building" "$pack"
  fi
  sync -f "$pack"
  mark "$step_verified" "$pack_id"
fi
tag_volume "$tag_state=verified" "$tag_pack=$pack_id"

# Only archives that fetch-imagenet.sh fetched to this very volume, listed by name in its marker.
if [ "$opt_keep_archives" = 0 ] && [ -z "$opt_source" ]; then
  while read -r kind _ _ archive; do
    [ "$kind" = archive ] && [[ $archive == "$opt_dest/incoming/"* ]] && [ -e "$archive" ] || continue
    say "removing $archive: it is packed and verified (--keep-archives keeps it)"
    change rm -f -- "$archive"
  done <"$fetched"
fi
say "pack $pack_id is in $pack"
result "pack=$pack_id" "path=$pack"
