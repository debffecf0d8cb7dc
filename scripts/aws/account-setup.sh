#!/usr/bin/env bash
# Once per project: a private bucket, and for each kind of machine a role that may do only what that machine does.
# Needs rights over IAM and S3 that nothing else here needs; --print shows the policies instead, for whoever has them.
. "$(dirname "$0")/lib.sh"

about='makes the bucket, the roles and the instance profiles of a project'
option name NAME ! 'the project'
option bucket NAME ! 'the bucket: packages, checkpoints, logs'
option print POLICY '' 'only print a policy: prep, train, operator or trust'
option account ID '' 'with --print: the account, instead of asking AWS'
parse_options "$@"

check_name "$opt_name"
check_bucket "$opt_bucket"
region=${opt_region:-us-east-1}
check_region "$region"
[ -z "$opt_account" ] || check_form account "$opt_account" '[0-9]{12}' 'an account number of 12 digits'

# render_policy KIND -> policy
render_policy() {
  policy=$(<"$aws_scripts/iam/$1-policy.json")
  policy=${policy//@REGION@/$region}
  policy=${policy//@ACCOUNT@/$account}
  policy=${policy//@BUCKET@/$opt_bucket}
  policy=${policy//@NAME@/$opt_name}
}

account=$opt_account
if [ -n "$opt_print" ]; then
  [[ $opt_print =~ ^(prep|train|operator|trust)$ ]] || die_usage "--print '$opt_print' is none of prep, train, operator, trust"
  if [ -z "$account" ]; then
    aws_read sts get-caller-identity --query Account --output text
    account=$aws_out
  fi
  render_policy "$opt_print"
  printf '%s\n' "$policy"
  exit 0
fi
take_lock "$opt_name"
aws_read sts get-caller-identity --query Account --output text
account=$aws_out
[[ $region != us-gov-* && $region != cn-* ]] || die_usage "region $region: the policies are written for the ordinary AWS partition"

if allow 404 NoSuchBucket 403 -- aws_read s3api head-bucket --bucket "$opt_bucket"; then
  say "bucket $opt_bucket is there already"
else
  [ "$aws_code" != 403 ] || die "$exit_state" "bucket $opt_bucket exists and is not yours to use" "another --bucket: names are unique among all accounts"
  location=()
  [ "$region" = us-east-1 ] || location=(--create-bucket-configuration "LocationConstraint=$region")
  allow BucketAlreadyOwnedByYou -- aws_change s3api create-bucket --bucket "$opt_bucket" "${location[@]}" || detail "$aws_error"
  is_dry_run || say "made bucket $opt_bucket"
fi
aws_change s3api put-public-access-block --bucket "$opt_bucket" \
  --public-access-block-configuration BlockPublicAcls=true,IgnorePublicAcls=true,BlockPublicPolicy=true,RestrictPublicBuckets=true
aws_change s3api put-bucket-encryption --bucket "$opt_bucket" \
  --server-side-encryption-configuration '{"Rules":[{"ApplyServerSideEncryptionByDefault":{"SSEAlgorithm":"AES256"}}]}'

for kind in prep train; do
  role=imgpack-$opt_name-$kind
  render_policy trust
  allow EntityAlreadyExists -- aws_change iam create-role --role-name "$role" --assume-role-policy-document "$policy" \
    --tags "Key=$tag_name,Value=$opt_name" --query Role.Arn --output text || say "role $role is there already"
  render_policy "$kind"
  # Written each time, so that a newer policy of this release arrives.
  aws_change iam put-role-policy --role-name "$role" --policy-name imgpack --policy-document "$policy"
  allow EntityAlreadyExists -- aws_change iam create-instance-profile --instance-profile-name "$role" --query InstanceProfile.Arn --output text ||
    detail "instance profile $role is there already"
  allow LimitExceeded EntityAlreadyExists -- aws_change iam add-role-to-instance-profile --instance-profile-name "$role" --role-name "$role" ||
    detail "instance profile $role has its role already"
done
if is_dry_run; then exit 0; fi
say "'$opt_name' is set up: bucket $opt_bucket, roles imgpack-$opt_name-prep and imgpack-$opt_name-train"
result "bucket=$opt_bucket" "account=$account"
