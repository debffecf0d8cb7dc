#!/usr/bin/env bash
# On the instance: what the GPUs do, as a CSV that grows by a line per GPU and interval, or one summary line.
. "$(dirname "$0")/lib.sh"

about='writes what the GPUs do to a CSV, or sums it up'
option out FILE '' 'append to this file until stopped'
option interval TIME 10s 'one line per GPU each'
option once '' '' 'one reading on stdout'
option summary FILE '' 'mean and least utilisation, peak memory and power from such a file'
parse_options "$@"

readonly fields=timestamp,index,utilization.gpu,utilization.memory,memory.used,memory.total,power.draw,temperature.gpu,clocks.sm
parse_duration "$opt_interval" || die_usage "--interval: '$opt_interval' is no duration"
if [ -n "$opt_summary" ]; then
  [ -f "$opt_summary" ] || die_usage "--summary $opt_summary: no such file"
  awk -F ', *' '
    NR == 1 || $3 !~ /^[0-9.]+$/ { next }
    { n[$2]++; sum[$2] += $3; if (n[$2] == 1 || $3 < low[$2]) low[$2] = $3; if ($5 > memory[$2]) memory[$2] = $5; if ($7 > watts[$2]) watts[$2] = $7 }
    END {
      for (gpu in n) printf "gpu %s: %.0f %% busy on average, %.0f %% at least, %.0f MiB and %.0f W at most, %d readings\n", gpu, sum[gpu] / n[gpu], low[gpu], memory[gpu], watts[gpu], n[gpu]
    }' "$opt_summary" | sort
  exit 0
fi
need nvidia-smi
query() { nvidia-smi --query-gpu="$fields" --format=csv,noheader,nounits; }
if [ "$opt_once" = 1 ]; then
  query
  exit 0
fi
[ -n "$opt_out" ] || die_usage "give --out, --once or --summary"
[ -s "$opt_out" ] || printf '%s\n' "${fields//,/, }" >"$opt_out"
trap 'exit 0' TERM INT
while query >>"$opt_out"; do
  sleep "${IMGPACK_POLL_SECONDS:-$duration_s}" &
  wait $! || :
done
die "$exit_failed" "nvidia-smi failed"
