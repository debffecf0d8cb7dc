# shellcheck shell=bash
# Block devices on the instance. Device names say nothing on Nitro machines: the order can change at any boot, and
# instance-store disks share the name space. The one thing that identifies an EBS volume is its serial number, which is
# its id without the dash. And no volume is formatted unless it is proved to be blank.

readonly fstab=${FSTAB:-/etc/fstab}
readonly probe_window_bytes=1048576 probe_windows=65 whole_probe_bytes=1073741824

# find_device VOLUME-ID -> device; returns 1 while there is none; dies where there are two
find_device() {
  local serial=${1/-/} names
  names=$(lsblk -dnro NAME,SERIAL | awk -v serial="$serial" '{ gsub("-", "", $2) } $2 == serial { print $1 }') ||
    die "$exit_failed" "lsblk cannot list the block devices of this machine"
  [ -n "$names" ] || return 1
  [[ $names != *$'\n'* ]] || die "$exit_state" "two devices carry the serial number of $1: $(tr '\n' ' ' <<<"$names")" "a multipath or a copied serial; this script will not choose"
  device=/dev/$names
}

# device_holds DEVICE -> holds: ext4, or what else a low-level probe sees (swap, dos, xfs, …), or empty. lsblk and the
# udev database are not asked: they may be empty or stale.
device_holds() {
  local status=0
  [ -b "$1" ] || die "$exit_state" "$1 is no block device"
  holds=$(blkid -p -o export "$1" 2>/dev/null) || status=$?
  case $status in
  0) holds=$(sed -n 's/^\(TYPE\|PTTYPE\)=//p' <<<"$holds" | head -n 1) && holds=${holds:-something} ;;
  2) holds= ;;                     # nothing that libblkid knows
  8) holds='several signatures' ;; # ambivalent
  *) die "$exit_failed" "blkid cannot probe $1 (exit status $status)" ;;
  esac
}

# device_is_zero DEVICE: nothing but zeros, in all of a small device, and in 65 windows of 1 MiB, spread evenly from the
# first byte to the last, of a large one. Random data, a wiped superblock or data deep in the disk are invisible to
# blkid; here they are not. What cannot be read proves nothing: dies.
device_is_zero() {
  local bytes window offset=0 length stride=0 windows=1 status
  bytes=$(blockdev --getsize64 "$1") || die "$exit_failed" "$1: its size cannot be read"
  length=$bytes
  if ((bytes > whole_probe_bytes)); then
    length=$probe_window_bytes windows=$probe_windows
    stride=$(((bytes - length) / (windows - 1)))
  fi
  for ((window = 0; window < windows; window++)); do
    offset=$((window * stride)) status=0
    cmp -s -i "$offset:0" -n "$length" "$1" /dev/zero || status=$?
    case $status in
    0) ;;
    1) return 1 ;;
    *) die "$exit_failed" "$1: $length bytes from byte $offset on cannot be read" ;;
    esac
  done
}

filesystem_uuid() { # DEVICE -> uuid
  uuid=$(blkid -p -s UUID -o value "$1") && [ -n "$uuid" ] || die "$exit_state" "$1: its file system has no UUID"
}

# mounted_from MOUNTPOINT -> source, empty if nothing is mounted there
mounted_from() {
  source=
  if mountpoint -q "$1"; then source=$(findmnt -n -o SOURCE --mountpoint "$1"); fi
}

# fstab_claim MOUNTPOINT -> claim: the first field of its line in fstab, empty if it has none
fstab_claim() {
  claim=
  [ ! -e "$fstab" ] || claim=$(awk -v point="$1" '$1 !~ /^#/ && $2 == point { print $1; exit }' "$fstab")
}

# add_fstab_line UUID MOUNTPOINT OPTIONS: unless the mount point has its line (whose it is was asked before, fstab_claim);
# other lines stay as they are, also those that make no sense. nofail and a short device time-out, since a volume that is
# not there must not keep the machine from booting.
add_fstab_line() {
  local uuid=$1 point=$2 options=$3 temporary
  fstab_claim "$point"
  [ -z "$claim" ] || return 0
  if is_dry_run; then
    log_line "would add to $fstab: UUID=$uuid $point ext4 $options 0 2"
    return 0
  fi
  temporary=$(mktemp "$fstab.XXXXXX")
  if [ -e "$fstab" ]; then
    cat "$fstab" >"$temporary"
    chmod --reference="$fstab" "$temporary"
    [ -z "$(tail -c 1 "$fstab")" ] || echo >>"$temporary"
  else
    chmod 644 "$temporary"
  fi
  printf 'UUID=%s %s ext4 %s,nofail,noatime,x-systemd.device-timeout=30 0 2\n' "$uuid" "$point" "$options" >>"$temporary"
  sync "$temporary"
  mv "$temporary" "$fstab"
}
