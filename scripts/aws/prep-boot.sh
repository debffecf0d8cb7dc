#!/usr/bin/env bash
# On the preparation machine, at every boot: mount, fetch, pack, verify; then it powers off. Each step is found done or
# goes on where it stopped. A step that fails is written on the volume's tags, and the machine powers off too: start it
# again with prep-launch.sh. Without a source in its configuration it only mounts the volume.
. "$(dirname "$0")/lib.sh"
. "$aws_scripts/lib/config.sh"
. "$aws_scripts/lib/metadata.sh"
. "$aws_scripts/lib/store.sh"
. "$aws_scripts/lib/machine.sh"

about='what a preparation machine does after booting'
option config FILE /etc/imgpack/boot.conf 'what prep-launch.sh wrote'
default_timeout=3d
parse_options "$@"
need_root
read_config "$opt_config" name region package package_sha256 source kaggle_parameter mount
opt_name=$conf_name
opt_region=${conf_region:-$opt_region}
check_name "$conf_name"
point=${conf_mount:-/mnt/data}
who_am_i
wait_for "the data volume of '$conf_name' attached to $machine" 5 data_volume_is_here

step=mount
finish() {
  local status=$1
  if is_dry_run || [ -z "$conf_source" ]; then return 0; fi
  deadline=$((EPOCHSECONDS + 120))
  if [ "$status" != 0 ]; then set_tags "$volume_id" "$tag_error=$step failed with exit status $status"; fi
  sync
  if mountpoint -q "$point"; then umount "$point" || warn "$point cannot be unmounted"; fi
  change shutdown -h +1 "imgpack: preparation ended in step $step" || warn "shutdown failed"
}
# shellcheck disable=SC2016  # expanded when it runs
at_exit 'finish "$exit_status"'

common_flags
"$aws_scripts/volume-mount.sh" --volume "$volume_id" --mount "$point" --mkfs "${common[@]}" >/dev/null
if [ -z "$conf_source" ]; then
  say "no source is configured: $point is yours"
  exit 0
fi
if [ "$conf_source" = kaggle ] && ! command -v kaggle >/dev/null; then
  step='installing the kaggle command'
  tools=$state_folder/kaggle requirements=${aws_scripts%/scripts/aws}/scripts/requirements/kaggle.txt
  if [ ! -x "$tools/bin/kaggle" ]; then
    [ -f "$requirements" ] || die "$exit_state" "there is no kaggle command, and $requirements is not in the package"
    say "$step"
    change mkdir -p "$state_folder"
    change python3 -m venv "$tools" || die "$exit_failed" "python3 cannot make an environment in $tools"
    change "$tools/bin/python" -m pip install --quiet --disable-pip-version-check -r "$requirements" || die "$exit_failed" "pip cannot install $requirements"
  fi
  export PATH=$tools/bin:$PATH
fi
step=fetch
common_flags
fetch=("$aws_scripts/fetch-imagenet.sh" --dest "$point" --source "$conf_source" --volume "$volume_id" "${common[@]}")
[ -z "$conf_kaggle_parameter" ] || fetch+=(--kaggle-parameter "$conf_kaggle_parameter")
"${fetch[@]}" >/dev/null
step=pack
common_flags
"$aws_scripts/prep-data.sh" --dest "$point" --volume "$volume_id" "${common[@]}" >/dev/null
step='done'
# An error of an earlier boot is overcome.
aws_change ec2 delete-tags --resources "$volume_id" --tags "Key=$tag_error"
say "the pack is built and verified: scripts/aws/prep-finish.sh --name $conf_name"
