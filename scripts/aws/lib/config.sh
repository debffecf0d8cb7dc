# shellcheck shell=bash
# Configuration files: `key = value` lines, blank lines and # comments. They are read, never executed.

# read_config FILE KEY… -> conf_KEY for each KEY, empty where the file does not have it. Anything else is an error.
read_config() {
  local file=$1 line number=0 key value
  shift
  local -A allowed=() seen=()
  for key in "$@"; do
    allowed[$key]=1
    printf -v "conf_$key" ''
  done
  [ -r "$file" ] || die_usage "$file: no such configuration file"
  while IFS= read -r line || [ -n "$line" ]; do
    number=$((number + 1))
    [[ ! $line =~ ^[[:space:]]*(#.*)?$ ]] || continue
    [[ $line =~ ^[[:space:]]*([a-z_0-9]+)[[:space:]]*=[[:space:]]*(.*[^[:space:]])?[[:space:]]*$ ]] || die_usage "$file:$number: neither 'key = value' nor a comment: $line"
    key=${BASH_REMATCH[1]} value=${BASH_REMATCH[2]}
    [ -n "${allowed[$key]-}" ] || die_usage "$file:$number: unknown key '$key'" "$(nearest_key "$key" "$@")"
    [ -z "${seen[$key]-}" ] || die_usage "$file:$number: '$key' is set twice"
    seen[$key]=1
    printf -v "conf_$key" '%s' "$value"
  done <"$file"
}

nearest_key() {
  local wanted=$1 key
  shift
  for key in "$@"; do
    if [[ $key == "${wanted:0:4}"* || $wanted == "${key:0:4}"* ]]; then
      printf 'did you mean %s?' "$key"
      return
    fi
  done
  printf 'known keys: %s' "$*"
}
