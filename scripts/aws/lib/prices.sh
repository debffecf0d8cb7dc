# shellcheck shell=bash
# Prices and the arithmetic of them. prices.tsv has one row a price, with its source and date; nothing here knows a
# number of its own but the hours of a month, 730, which is how AWS turns a month's price into an hour's.
#
# Amounts are computed by awk in double precision and rounded once, when they are printed.
readonly hours_per_month=730

# price KEY [NAME] [REGION] -> price; dies with 2 where the table has no such row
price() {
  local key=$1 name=${2:--} region=${3:-${price_region:-us-east-1}}
  find_price "$key" "$name" "$region" || die_usage "prices.tsv has no $key${2:+ for $2} in $region" "known: $(awk -F '\t' -v key="$key" '$1 == key { printf "%s ", $2 }' "$aws_scripts/prices.tsv")"
}
find_price() {
  price=$(awk -F '\t' -v key="$1" -v name="$2" -v region="$3" '$1 == key && $2 == name && $3 == region { print $4; exit }' "$aws_scripts/prices.tsv")
  [ -n "$price" ]
}

# calculate EXPRESSION -> amount
calculate() { amount=$(awk "BEGIN { printf \"%.10f\", $1 }"); }
# dollars AMOUNT [DIGITS] -> amount_text
dollars() { printf -v amount_text '%.*f' "${2:-2}" "$(awk "BEGIN { printf \"%.10f\", $1 + 0.00000001 }")"; }

# volume_month SIZE IOPS THROUGHPUT -> amount: dollars a month for a gp3 volume
volume_month() {
  local gib iops mibps
  price ebs.gp3.gib-month
  gib=$price
  price ebs.gp3.iops-month
  iops=$price
  price ebs.gp3.mibps-month
  mibps=$price
  calculate "$1 * $gib + ($2 > 3000 ? $2 - 3000 : 0) * $iops + ($3 > 125 ? $3 - 125 : 0) * $mibps"
}
# volume_hours SIZE IOPS THROUGHPUT HOURS -> amount
volume_hours() {
  volume_month "$1" "$2" "$3"
  calculate "$amount * $4 / $hours_per_month"
}
# snapshot_month GIB -> amount
snapshot_month() {
  price ebs.snapshot.gib-month
  calculate "$1 * $price"
}
# initialization SNAPSHOT-GIB RATE -> amount, once for each volume that is filled
initialization() {
  price ebs.initialization.gib-mibps
  calculate "$1 * $2 * $price"
}
# machine_hours TYPE LIFECYCLE HOURS -> amount; LIFECYCLE spot or on-demand
machine_hours() {
  price "ec2.$2" "$1"
  calculate "$price * $3"
}
