#!/usr/bin/env bash
# What it will cost (from the table in prices.tsv, offline), and what a project has cost so far (from what is tagged).
. "$(dirname "$0")/lib.sh"
. "$aws_scripts/lib/prices.sh"
. "$aws_scripts/lib/volumes.sh"
. "$aws_scripts/lib/store.sh"

about='what preparing and training cost: planned, offline; or so far, of a project'
option plan PLAN '' 'prep, train, or table (the summary in docs/aws.md)'
option hours H '' 'for how long (prep: 24, train: 20, unless given)'
option types LIST '' 'instance types, separated by commas'
option snapshot-gib GIB 170 'what the snapshot holds'
option size GIB '' 'size of the volume (prep: 390, train: 420, unless given)'
option iops N 3000 'its IOPS'
option throughput MIBPS 125 'its MiB/s'
option init-rate MIBPS 300 'train: rate at which EBS fills the volume'
option starts N 1 'train: how often it is filled, once for each start of a machine'
option nodes N 1 'train: machines'
option on-demand '' '' 'train: on-demand instead of spot'
option live '' '' "ask AWS for today's spot prices instead of the table's"
option name NAME '' 'what this project has cost so far, and costs now'
option bucket NAME '' 'with --name and --run: add what the training machines have cost, from their ledger'
option run RUN '' 'the run'
examples='  cost.sh --plan train --types g5.12xlarge,g6.12xlarge --hours 20
  cost.sh --name imagenet --bucket my-bucket --run r1'
parse_options "$@"

price_region=${opt_region:-us-east-1}
[ -n "$opt_plan$opt_name" ] || die_usage "give --plan or --name"
check_form hours "${opt_hours:-1}" '[0-9]{1,5}(\.[0-9]{1,2})?' 'a number of hours'
check_integer snapshot-gib "$opt_snapshot_gib" 1 65536 GiB
check_gp3 "${opt_size:-390}" "$opt_iops" "$opt_throughput"
check_init_rate "$opt_init_rate"
check_integer starts "$opt_starts" 1 1000
check_integer nodes "$opt_nodes" 1 64
IFS=, read -r -a types <<<"$opt_types"
for type in "${types[@]}"; do check_instance_type "$type" types; done

# row TEXT AMOUNT [DIGITS]
row() {
  dollars "$2" "${3:-2}"
  if [ "$opt_json" = 1 ]; then printf '{"item": "%s", "dollars": %s}\n' "$(json_text "$1")" "$amount_text"; else printf '%-66s %10s\n' "$1" "$amount_text"; fi
}
heading() { if [ "$opt_json" = 0 ]; then printf '%-66s %10s\n' "$1" '$'; fi; }

# spot_price TYPE -> price: the table's, or the mean over the zones of what AWS says now
spot_price() {
  if [ "$opt_live" = 0 ]; then
    price ec2.spot "$1"
    return
  fi
  aws_read ec2 describe-spot-price-history --instance-types "$1" --product-descriptions Linux/UNIX \
    --start-time "$(TZ=UTC printf '%(%Y-%m-%dT%H:%M:%SZ)T' -1)" --query 'SpotPriceHistory[].SpotPrice' --output text
  price=$(tr '\t' '\n' <<<"$aws_out" | awk '$1 + 0 > 0 { sum += $1; n++ } END { if (n) printf "%.6f", sum / n }')
  [ -n "$price" ] || die "$exit_state" "AWS has no spot price for $1 in $price_region"
}

plan_prep() {
  local hours=${opt_hours:-24} size=${opt_size:-390} total=0
  for type in "${types[@]}"; do price ec2.on-demand "$type"; done
  heading "preparation, $hours h"
  volume_hours "$size" "$opt_iops" "$opt_throughput" "$hours"
  row "volume $size GiB, $opt_iops IOPS, $opt_throughput MiB/s" "$amount"
  total=$amount
  for type in "${types[@]:-c6i.4xlarge}"; do
    machine_hours "$type" on-demand "$hours"
    row "$type" "$amount"
    calculate "$total + $amount"
    row "together with $type" "$amount"
  done
  snapshot_month "$opt_snapshot_gib"
  row "then, a month: snapshot of $opt_snapshot_gib GiB" "$amount"
}

plan_train() {
  local hours=${opt_hours:-20} size=${opt_size:-420} volume fill kind=spot
  [ "$opt_on_demand" = 0 ] || kind=on-demand
  if [ "$opt_live" = 0 ]; then
    for type in "${types[@]}"; do price "ec2.$kind" "$type"; done # an unknown type before the first line
  fi
  heading "training, $hours h, $opt_nodes machine(s), $opt_starts start(s)"
  volume_hours "$size" "$opt_iops" "$opt_throughput" "$hours"
  calculate "$amount * $opt_nodes"
  volume=$amount
  row "volume $size GiB, $opt_iops IOPS, $opt_throughput MiB/s" "$volume"
  initialization "$opt_snapshot_gib" "$opt_init_rate"
  calculate "$amount * $opt_starts * $opt_nodes"
  fill=$amount
  printf -v minutes '%.1f' "$(awk "BEGIN { print $opt_snapshot_gib * 1024 / $opt_init_rate / 60 }")"
  row "filling it from $opt_snapshot_gib GiB at $opt_init_rate MiB/s ($minutes min each)" "$fill"
  for type in "${types[@]:-g5.12xlarge}"; do
    if [ "$kind" = spot ]; then spot_price "$type"; else price ec2.on-demand "$type"; fi
    calculate "$price * $hours * $opt_nodes"
    row "$type, $kind at $price" "$amount"
    calculate "$amount + $volume + $fill"
    row "together with $type" "$amount"
  done
}

# The table of docs/aws.md, from the same functions.
plan_table() {
  local type
  heading 'us-east-1'
  volume_hours 390 3000 125 24
  row 'prep volume 390 GB, base, 24 h' "$amount"
  volume_hours 390 4000 500 24
  row 'prep volume 390 GB, 4000 IOPS + 500 MiB/s, 24 h' "$amount"
  machine_hours t3.xlarge on-demand 24
  row 'prep t3.xlarge, 24 h' "$amount"
  machine_hours c6i.4xlarge on-demand 24
  row 'prep c6i.4xlarge, 24 h' "$amount"
  snapshot_month 170
  row 'snapshot 170 GiB, a month' "$amount"
  volume_hours 420 3000 125 20
  row 'train volume 420 GB, base, 20 h' "$amount"
  volume_hours 420 3000 500 20
  row 'train volume 420 GB, 500 MiB/s, 20 h' "$amount"
  volume_hours 420 4000 1000 20
  row 'train volume 420 GB, 4000 IOPS + 1000 MiB/s, 20 h' "$amount"
  volume_month 420 3000 125
  row 'train volume 420 GB, base, a month' "$amount"
  volume_month 420 3000 500
  row 'train volume 420 GB, 500 MiB/s, a month' "$amount"
  volume_month 420 4000 1000
  row 'train volume 420 GB, 4000 IOPS + 1000 MiB/s, a month' "$amount"
  initialization 170 300
  row 'filling 170 GiB at 300 MiB/s, per start' "$amount"
  for type in g5.8xlarge g5.12xlarge g6.12xlarge; do
    machine_hours "$type" spot 20
    row "train $type, 20 h, spot" "$amount" 0
    machine_hours "$type" on-demand 20
    row "train $type, 20 h, on demand" "$amount" 0
  done
}

# hours_since ISO-TIME -> hours
hours_since() { hours=$(awk -v now="$EPOCHSECONDS" -v then="$(date -ud "$1" +%s)" 'BEGIN { printf "%.4f", (now - then) / 3600 }'); }

# So far: what exists is billed from its birth; training machines that are gone are known from the run's ledger.
so_far() {
  local total=0 daily=0 line id state zone type started lifecycle size iops throughput hours
  heading "'$opt_name' so far"
  aws_read ec2 describe-volumes --filters "Name=tag:$tag_name,Values=$opt_name" --query 'Volumes[].[VolumeId,Size,Iops,Throughput,CreateTime]' --output text
  while IFS= read -r line; do
    [ -n "$line" ] || continue
    read_fields "$line" id size iops throughput started
    hours_since "$started"
    volume_hours "$size" "${iops:-3000}" "${throughput:-125}" "$hours"
    row "volume $id, $size GiB, $hours h" "$amount"
    calculate "$total + $amount"
    total=$amount
    volume_hours "$size" "${iops:-3000}" "${throughput:-125}" 24
    calculate "$daily + $amount"
    daily=$amount
  done <<<"$aws_out"
  aws_read ec2 describe-snapshots --owner-ids self --filters "Name=tag:$tag_name,Values=$opt_name" --query 'Snapshots[].[SnapshotId,VolumeSize,StartTime]' --output text
  while IFS= read -r line; do
    [ -n "$line" ] || continue
    read_fields "$line" id size started
    hours_since "$started"
    snapshot_month "$size"
    calculate "$amount * $hours / $hours_per_month"
    row "snapshot $id, $size GiB at most, $hours h" "$amount"
    calculate "$total + $amount"
    total=$amount
    snapshot_month "$size"
    calculate "$daily + $amount * 24 / $hours_per_month"
    daily=$amount
  done <<<"$aws_out"
  for role in prep train; do
    find_instances "$role"
    while IFS= read -r line; do
      [ -n "$line" ] || continue
      read_fields "$line" id state zone type started _ lifecycle
      [ "$state" = running ] || continue
      machine_rate "$type" "${lifecycle:-on-demand}"
      hours_since "$started"
      calculate "$price * 24 + $daily"
      daily=$amount
      # What has a ledger is counted from it, not twice.
      if [ "$role" = train ] && [ -n "$opt_run" ]; then continue; fi
      calculate "$price * $hours"
      row "$role $id, $type ${lifecycle:-on-demand} at $price, $hours h" "$amount"
      calculate "$total + $amount"
      total=$amount
    done <<<"$found"
  done
  if [ -n "$opt_run" ]; then
    ledger
    calculate "$total + $ledger_total"
    total=$amount
  fi
  row 'so far' "$total"
  row 'and a day, as it stands' "$daily"
}
machine_rate() {
  find_price "ec2.$2" "$1" "$price_region" || find_price ec2.on-demand "$1" "$price_region" || {
    warn "prices.tsv has no price for $1 in $price_region: counted as 0"
    price=0
  }
}

ledger() {
  local keys key type zone lifecycle started ended
  ledger_total=0
  store_open "$opt_bucket" "$opt_name" "$opt_run"
  aws_read s3api list-objects-v2 --bucket "$store_bucket" --prefix "$store_prefix/ledger/" --query 'Contents[].Key' --output text
  keys=$(text_or_empty "$aws_out")
  for key in $keys; do
    store_get "${key#"$store_prefix/"}" "$temp_folder/entry" || continue
    read -r type zone lifecycle started ended <"$temp_folder/entry"
    machine_rate "$type" "$lifecycle"
    calculate "$price * ($ended - $started) / 3600"
    row "train ${key##*/}, $type $lifecycle in $zone at $price, $(awk "BEGIN { printf \"%.2f\", ($ended - $started) / 3600 }") h" "$amount"
    calculate "$ledger_total + $amount"
    ledger_total=$amount
  done
}

case $opt_plan in
prep) plan_prep ;;
train) plan_train ;;
table) plan_table ;;
'') ;;
*) die_usage "--plan '$opt_plan' is none of prep, train, table" ;;
esac
if [ -n "$opt_name" ]; then
  check_name "$opt_name"
  if [ -n "$opt_run$opt_bucket" ]; then
    check_run "$opt_run"
    check_bucket "$opt_bucket"
  fi
  so_far
fi
