#!/usr/bin/env bats
# What it costs, what is still there, and what goes.
bats_require_minimum_version 1.5.0

setup_file() { load support/helper && start_aws; }
teardown_file() { load support/helper && stop_aws; }
setup() {
  load support/helper && use_aws
  pack=0123456789abcdef0123456789abcdef
}
hours_are() { awk "BEGIN { d = $1 - $2; exit !(d < 0.02 && d > -0.02) }"; }

@test "the table of the documentation is what the price table gives, to the cent" {
  script cost --plan table
  assert_status 0
  local expected='prep volume 390 GB, base, 24 h|1.03
prep volume 390 GB, 4000 IOPS + 500 MiB/s, 24 h|1.68
prep t3.xlarge, 24 h|3.99
snapshot 170 GiB, a month|8.50
train volume 420 GB, base, 20 h|0.92
train volume 420 GB, 500 MiB/s, 20 h|1.33
train volume 420 GB, 4000 IOPS + 1000 MiB/s, 20 h|2.02
train volume 420 GB, base, a month|33.60
train volume 420 GB, 500 MiB/s, a month|48.60
train volume 420 GB, 4000 IOPS + 1000 MiB/s, a month|73.60
filling 170 GiB at 300 MiB/s, per start|0.61
train g5.8xlarge, 20 h, spot|19
train g5.8xlarge, 20 h, on demand|49
train g5.12xlarge, 20 h, spot|43
train g5.12xlarge, 20 h, on demand|113
train g6.12xlarge, 20 h, spot|39
train g6.12xlarge, 20 h, on demand|92'
  local row
  while IFS= read -r row; do
    [ "$(grep -F "${row%%|*} " <<<"$output" | awk '{ print $NF }')" = "${row##*|}" ] || {
      echo "not as expected: $row" >&2
      return 1
    }
  done <<<"$expected"
  assert_calls DescribeVolumes 0
}

@test "the documentation shows the table that cost.sh prints" {
  script cost --plan table
  local line text amount
  while IFS= read -r line; do
    text=$(sed 's/  *[0-9.]*$//' <<<"$line") amount=${line##* }
    grep -q -F "| $text | $amount |" "$repository/docs/aws.md" || {
      echo "docs/aws.md lacks: | $text | $amount |" >&2
      return 1
    }
  done < <(tail -n +2 <<<"$output")
}

@test "a type or region that is not in the table exits 2 and prints no half a plan" {
  script cost --plan train --types zz9.huge
  assert_status 2
  refute_output --partial 'volume'
  script cost --plan train --types g5.12xlarge --region eu-west-1
  assert_status 2
  script cost --plan nonsense
  assert_status 2
}

@test "today's spot prices can be asked for" {
  fault '{"action": "DescribeSpotPriceHistory", "kind": "reply", "times": 0, "body": "<DescribeSpotPriceHistoryResponse><spotPriceHistorySet><item><spotPrice>1.5</spotPrice></item><item><spotPrice>2.5</spotPrice></item></spotPriceHistorySet></DescribeSpotPriceHistoryResponse>"}'
  script cost --plan train --types g5.12xlarge --hours 10 --live
  assert_status 0
  assert_line --partial 'spot at 2.000000'
  assert_output --partial '20.00'
  forget
  script cost --plan train --types g5.12xlarge --live
  assert_status 3
}

@test "every price has its source and date" {
  run awk -F '\t' '!/^#/ && (NF != 6 || $4 !~ /^[0-9.]+$/ || $5 == "" || $6 == "") { print FILENAME ": " $0 }' "$scripts/prices.tsv"
  assert_output ''
}

@test "what a project has cost so far adds up volumes, snapshots, machines and the ledger of those that are gone" {
  aws s3api create-bucket --bucket bucket >/dev/null
  world "[{\"op\": \"volume\", \"size\": 390, \"age_hours\": 24, \"tags\": {\"imgpack:name\": \"n\", \"imgpack:role\": \"data\"}},
    {\"op\": \"snapshot\", \"volume\": \"@0\", \"age_hours\": 730, \"tags\": {\"imgpack:name\": \"n\"}},
    {\"op\": \"instance\", \"type\": \"c6i.4xlarge\", \"age_hours\": 10, \"tags\": {\"imgpack:name\": \"n\", \"imgpack:role\": \"prep\"}},
    {\"op\": \"volume\", \"size\": 1000, \"age_hours\": 1000, \"tags\": {\"imgpack:name\": \"other\"}}]"
  echo "g5.12xlarge us-east-1a spot 1000 $((1000 + 5 * 3600))" | aws s3 cp --quiet - s3://bucket/n/runs/r/ledger/i-0aaaaaaaaaaaaaaaa
  echo "g5.12xlarge us-east-1b on-demand 1000 $((1000 + 3600))" | aws s3 cp --quiet - s3://bucket/n/runs/r/ledger/i-0bbbbbbbbbbbbbbbb
  script cost --name n --bucket bucket --run r
  assert_status 0
  # 1.0258 + 19.50 + 6.80 + 10.70 + 5.672
  total=$(awk '/^so far/ { print $NF }' <<<"$output")
  hours_are "$total" 43.70
  # 1.0258 + 0.6411 + 16.32
  hours_are "$(awk '/^and a day/ { print $NF }' <<<"$output")" 17.99
  refute_output --partial '1000 GiB'
}

# --- cleaning up ----------------------------------------------------------------------------------------------------------

# a_project NAME -> id[]: 0 machine, 1 root disk, 2 saved volume, 3 its verified snapshot, 4 unsaved volume, 5 blank volume, 6 unverified snapshot
a_project() {
  world "[{\"op\": \"instance\", \"type\": \"g5.12xlarge\", \"spot\": true, \"tags\": {\"imgpack:name\": \"$1\", \"imgpack:role\": \"train\"}},
    {\"op\": \"volume\", \"size\": 8, \"tags\": {\"imgpack:name\": \"$1\", \"imgpack:role\": \"root\"}},
    {\"op\": \"volume\", \"size\": 390, \"tags\": {\"imgpack:name\": \"$1\", \"imgpack:role\": \"data\", \"imgpack:state\": \"snapshotted\", \"imgpack:pack\": \"$pack\"}},
    {\"op\": \"snapshot\", \"volume\": \"@2\", \"tags\": {\"imgpack:name\": \"$1\", \"imgpack:pack\": \"$pack\", \"imgpack:verified\": \"$pack\"}},
    {\"op\": \"volume\", \"size\": 390, \"tags\": {\"imgpack:name\": \"$1\", \"imgpack:role\": \"data\", \"imgpack:state\": \"packed\", \"imgpack:pack\": \"$pack\"}},
    {\"op\": \"volume\", \"size\": 10, \"tags\": {\"imgpack:name\": \"$1\", \"imgpack:role\": \"data\", \"imgpack:state\": \"blank\"}},
    {\"op\": \"snapshot\", \"volume\": \"@5\", \"tags\": {\"imgpack:name\": \"$1\"}}]"
}
there() { # VOLUME
  ec2 describe-volumes --volume-ids "$1" >/dev/null 2>&1
}
there_snapshot() { ec2 describe-snapshots --snapshot-ids "$1" >/dev/null 2>&1; }

@test "cleanup lists everything with dollars a day and removes nothing without --yes" {
  a_project n
  script cleanup --name n
  assert_status 0
  assert_output --partial "${id[0]}"
  assert_output --partial "${id[2]}, 390 GiB"
  assert_line --regexp "^instance ${id[0]}, g5.12xlarge spot, running +51.36\$"
  assert_line --regexp "^volume ${id[2]}, 390 GiB, data, snapshotted, available +1.03\$"
  [ -z "$(changing_calls)" ]
}

@test "cleanup with --yes removes what is replaceable, and keeps verified snapshots and volumes that nothing else holds" {
  a_project n
  script cleanup --name n --yes
  assert_status 0
  assert_said "kept: volume ${id[4]}"
  assert_said "kept: snapshot ${id[3]}"
  run ! there "${id[2]}"
  run ! there "${id[5]}"
  there "${id[4]}"
  there_snapshot "${id[3]}"
  run ! there_snapshot "${id[6]}"
  [ "$(ec2 describe-instances --instance-ids "${id[0]}" --query 'Reservations[0].Instances[0].State.Name')" = terminated ]
  script cleanup --name n --yes --include-unsaved
  run ! there "${id[4]}"
  there_snapshot "${id[3]}"
  script cleanup --name n --yes --include-snapshots
  run ! there_snapshot "${id[3]}"
  script cleanup --name n --yes
  assert_status 0
  assert_said 'nothing to remove'
}

@test "cleanup never touches another project, nor what has no tag" {
  a_project n
  mine=("${id[@]}")
  a_project other
  others=("${id[@]}")
  world '[{"op": "volume"}]'
  script cleanup --name n --yes --include-unsaved --include-snapshots
  assert_status 0
  there "${id[0]}"
  for volume in "${others[2]}" "${others[4]}" "${others[5]}"; do there "$volume"; done
  there_snapshot "${others[3]}"
  [ "$(ec2 describe-instances --instance-ids "${others[0]}" --query 'Reservations[0].Instances[0].State.Name')" = running ]
  run ! there "${mine[2]}"
}

@test "cleanup ends when EC2 cannot be asked which snapshots exist, before anything is removed" {
  a_project n
  fault '{"action": "DescribeSnapshots", "kind": "error", "code": "RequestLimitExceeded", "status": 503, "times": 0}'
  script cleanup --name n --yes
  assert_status 5
  [ -z "$(changing_calls)" ]
}

# --- the function ---------------------------------------------------------------------------------------------------------

make_image() { # TAG -> digest
  aws ecr create-repository --repository-name app >/dev/null 2>&1 || :
  aws ecr put-image --repository-name app --image-tag "$1" --image-manifest "{\"schemaVersion\": 2, \"mediaType\": \"application/vnd.docker.distribution.manifest.v2+json\", \"config\": {\"digest\": \"sha256:$(sha256sum <<<"$1" | cut -d' ' -f1)\"}, \"layers\": []}" --query image.imageId.imageDigest --output text
}
image_of() { aws lambda get-function --function-name f --query Code.ImageUri --output text; }

@test "a function is made once, by digest, and updated only when its image or limits change" {
  local uri=123456789012.dkr.ecr.us-east-1.amazonaws.com/app role
  role=$(aws iam create-role --role-name l --assume-role-policy-document '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"},"Action":"sts:AssumeRole"}]}' --query Role.Arn --output text)
  digest=$(make_image v1)
  script lambda-deploy --image "$uri:v1" --function f
  assert_status 2
  assert_said '--role'
  script lambda-deploy --image "$uri:v1" --function f --role "$role"
  assert_status 0
  assert_output "$uri@$digest"
  [ "$(image_of)" = "$uri@$digest" ]
  forget
  script lambda-deploy --image "$uri:v1" --function f
  assert_status 0
  [ -z "$(curl -sf "$server/_fault/log" | jq -r '.[].action | select(startswith("PUT") or startswith("POST"))')" ]
  digest=$(make_image v2)
  script lambda-deploy --image "$uri:v2" --function f --memory 2048
  assert_status 0
  [ "$(image_of)" = "$uri@$digest" ]
  [ "$(aws lambda get-function-configuration --function-name f --query MemorySize)" = 2048 ]
}

@test "an image that is not pushed, or lies in another region, is refused" {
  aws ecr create-repository --repository-name app >/dev/null
  script lambda-deploy --image 123456789012.dkr.ecr.us-east-1.amazonaws.com/app:absent --function f
  assert_status 3
  script lambda-deploy --image 123456789012.dkr.ecr.eu-west-1.amazonaws.com/app:v1 --function f
  assert_status 2
  script lambda-deploy --image docker.io/app:v1 --function f
  assert_status 2
}
