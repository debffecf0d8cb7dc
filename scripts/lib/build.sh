# Sourced by the scripts: configures and builds one preset, quietly unless it fails.
# shellcheck shell=bash
build_preset() {
  local preset=$1 log=build/$1.log
  mkdir -p build
  say "building preset $preset (log: $log)"
  cmake --preset "$preset" >"$log" 2>&1 || { tail -20 "$log" >&2; fail "configuring preset $preset failed: see the lines above, or $log"; }
  cmake --build --preset "$preset" >>"$log" 2>&1 || { grep -A 12 -E 'error|FAILED' "$log" | head -60 >&2; fail "building preset $preset failed: see the lines above, or $log"; }
}
