# Sourced by the scripts: how they talk. Talk goes to stderr, so that a script's result can stand on stdout.
# shellcheck shell=bash
say() { printf '==> %s\n' "$*" >&2; }
fail() { printf 'error: %s\n' "$*" >&2; exit 1; }
fail_usage() { printf 'error: %s\n' "$*" >&2; exit 2; }

# timed NAME COMMAND…: runs it and says how long it took. The command runs in this shell, so its failure ends the script.
timed() {
  local name=$1 start=$SECONDS
  shift
  "$@"
  say "$name: $((SECONDS - start)) s"
}
