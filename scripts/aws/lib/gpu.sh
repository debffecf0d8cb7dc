# shellcheck shell=bash
# The GPUs of this machine, and whether this build of libtorch can run on them.
readonly min_driver=580 min_capability=75

# check_gpus -> gpu_count. The driver may need a moment after boot.
check_gpus() {
  local readings driver capability name tries found
  need nvidia-smi
  for ((tries = 0; tries < 12; tries++)); do
    if readings=$(nvidia-smi --query-gpu=driver_version,compute_cap,name --format=csv,noheader 2>/dev/null) && [ -n "$readings" ]; then break; fi
    readings=
    pause 5
  done
  [ -n "$readings" ] || die "$exit_state" "nvidia-smi finds no GPU on this machine" "is the image one with the NVIDIA driver, and the type one with a GPU?"
  gpu_count=0
  while IFS=, read -r driver capability name; do
    capability=${capability// /} name=${name# }
    ((10#${driver%%.*} >= min_driver)) || die "$exit_state" "the NVIDIA driver is $driver: CUDA 13 needs $min_driver or newer" "a newer image: --ami"
    ((10#${capability/./} >= min_capability)) || die "$exit_state" "$name has compute capability $capability: this build of libtorch needs 7.5 or newer" "g4dn, g5, g6, g6e, p4d or p5 types have it"
    gpu_count=$((gpu_count + 1)) found="$name, driver $driver, compute capability $capability"
  done <<<"$readings"
  say "$gpu_count × $found"
}
