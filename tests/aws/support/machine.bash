# shellcheck shell=bash
# A whole machine for the tests: a mount and process name space of its own with /etc, /opt, /mnt, /var/lib and /var/log in
# the test's folder, in which user data runs as cloud-init would run it and units run as systemd would run them. What
# is killed with it is gone, as with a machine that EC2 takes back. Its processes have no AWS keys: the role's keys come from
# the metadata service.
#
#   new_machine NAME         its folders, first
#   boot NAME [USER-DATA]    starts it; with USER-DATA it is the first boot
#   machine_log NAME         what its boot and its unit have written
#   ended NAME UNIT          the unit has ended; its status is in the file
#   power_off                pulls the plug of the one that runs

need_machines() {
  need_loop_devices
  unshare --mount --pid --fork true 2>/dev/null || skip "needs name spaces, and this machine gives none"
}

new_machine() {
  local root=$BATS_TEST_TMPDIR/machines/$1
  mkdir -p "$root"/{opt,mnt,var-lib,var-log,local-bin,ended}
  cp -a /etc "$root/etc"
  : >"$root/etc/fstab"
  cp "$support"/machine/{systemctl,shutdown} "$support/bin/nvidia-smi" "$BATS_FILE_TMPDIR/tools/aws" "$BATS_TEST_TMPDIR/bin/lsblk" "$root/local-bin/"
}

boot() {
  local root=$BATS_TEST_TMPDIR/machines/$1
  rm -f "$root/ended/"* "$root/off"
  env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin MACHINE="$root" AWS_ENDPOINT_URL="$AWS_ENDPOINT_URL" \
    AWS_EC2_METADATA_SERVICE_ENDPOINT="$AWS_EC2_METADATA_SERVICE_ENDPOINT" AWS_CONFIG_FILE=/dev/null AWS_SHARED_CREDENTIALS_FILE=/dev/null \
    IMGPACK_POLL_SECONDS=0.2 IMGPACK_HEARTBEAT=2 OMP_NUM_THREADS=1 FAKE_GPUS=1 \
    unshare --mount --pid --fork --kill-child --mount-proc bash "$support/machine/init" "$root" "${2-}" >>"$root/console" 2>&1 </dev/null 3>&- &
  machine_pid=$!
}
machine_log() { cat "$BATS_TEST_TMPDIR/machines/$1/console" "$BATS_TEST_TMPDIR/machines/$1"/var-log/*.log "$BATS_TEST_TMPDIR/machines/$1"/var-log/imgpack/*.log 2>/dev/null || :; }
ended() { [ -s "$BATS_TEST_TMPDIR/machines/$1/ended/$2" ]; }
is_off() { [ -e "$BATS_TEST_TMPDIR/machines/$1/off" ]; }
power_off() {
  local init
  init=$(pgrep -P "$machine_pid") || return 0
  disown "$machine_pid" 2>/dev/null || : # nobody is told that it was killed
  kill -KILL "$machine_pid" 2>/dev/null || :
  while runs "$init"; do sleep 0.05; done
}
# processes_of_machine NAME -> process ids, as seen from here, of the programs of this name on the machine that runs
processes_of_machine() { pgrep --ns "$(pgrep -P "$machine_pid")" --nslist pid -x "$1"; }
