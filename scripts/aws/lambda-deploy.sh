#!/usr/bin/env bash
# Deploys the prediction server's container image as a Lambda function: by digest, so that what runs is what was pushed.
. "$(dirname "$0")/lib.sh"

about='makes or updates a Lambda function from a container image in ECR, pinned by its digest'
option image URI ! 'ACCOUNT.dkr.ecr.REGION.amazonaws.com/REPOSITORY:TAG'
option function NAME ! 'the function'
option role ARN '' 'its execution role; needed to make it'
option memory MIB 3008 'memory, 128 to 10240 MiB; processors come with it'
option run-time SECONDS 60 'longest time of one request, 1 to 900'
default_timeout=10m
parse_options "$@"

[[ $opt_image =~ ^([0-9]{12})\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com/([a-z0-9._/-]+):([A-Za-z0-9._-]+)$ ]] ||
  die_usage "--image '$opt_image' is no image in ECR with a tag" "123456789012.dkr.ecr.us-east-1.amazonaws.com/imgtrain:v1"
account=${BASH_REMATCH[1]} image_region=${BASH_REMATCH[2]} repository=${BASH_REMATCH[3]} image_tag=${BASH_REMATCH[4]}
check_form function "$opt_function" '[A-Za-z0-9_-]{1,64}' "a function's name"
[ -z "$opt_role" ] || check_form role "$opt_role" 'arn:aws[a-z-]*:iam::[0-9]{12}:role/[A-Za-z0-9+=,.@_/-]+' 'the ARN of a role'
check_integer memory "$opt_memory" 128 10240 MiB
check_integer run-time "$opt_run_time" 1 900 seconds
opt_region=${opt_region:-$image_region}
[ "$opt_region" = "$image_region" ] || die_usage "the image lies in $image_region, and Lambda takes images of its own region only, here $opt_region"

allow ImageNotFoundException RepositoryNotFoundException -- aws_read ecr describe-images --registry-id "$account" --repository-name "$repository" \
  --image-ids "imageTag=$image_tag" --query 'imageDetails[0].imageDigest' --output text || die "$exit_state" "$opt_image is not in ECR" "docker push $opt_image"
digest=$(text_or_empty "$aws_out")
[[ $digest =~ ^sha256:[0-9a-f]{64}$ ]] || die "$exit_state" "$opt_image has no digest"
pinned=${opt_image%:*}@$digest

function_is_ready() {
  aws_read lambda get-function-configuration --function-name "$opt_function" --query '[State,LastUpdateStatus,StateReason,LastUpdateStatusReason]' --output text
  read_fields "$aws_out" state update reason update_reason
  [ "$state" != Failed ] && [ "$update" != Failed ] || die "$exit_api" "function $opt_function: ${reason:-$update_reason}"
  [ "${state:-Active}" = Active ] && [ "${update:-Successful}" = Successful ]
}

if allow ResourceNotFoundException -- aws_read lambda get-function --function-name "$opt_function" --output text \
  --query '[Configuration.PackageType,Configuration.MemorySize,Configuration.Timeout,Code.ImageUri,Code.ResolvedImageUri]'; then
  read_fields "$aws_out" package memory run_time image resolved
  [ "$package" = Image ] || die "$exit_state" "function $opt_function exists and is no container function"
  if [ "$image" != "$pinned" ] && [ "$resolved" != "$pinned" ]; then
    aws_change lambda update-function-code --function-name "$opt_function" --image-uri "$pinned" --query FunctionArn --output text
    is_dry_run || wait_for "function $opt_function updated" 2 function_is_ready
  fi
  if [ "$memory" != "$opt_memory" ] || [ "$run_time" != "$opt_run_time" ]; then
    aws_change lambda update-function-configuration --function-name "$opt_function" --memory-size "$opt_memory" --timeout "$opt_run_time" --query FunctionArn --output text
    is_dry_run || wait_for "function $opt_function updated" 2 function_is_ready
  fi
else
  [ -n "$opt_role" ] || die_usage "function $opt_function does not exist yet: give --role"
  aws_change lambda create-function --function-name "$opt_function" --package-type Image --code "ImageUri=$pinned" --role "$opt_role" \
    --architectures x86_64 --memory-size "$opt_memory" --timeout "$opt_run_time" --query FunctionArn --output text
  is_dry_run || wait_for "function $opt_function active" 2 function_is_ready
fi
if is_dry_run; then exit 0; fi
say "$opt_function runs $pinned"
result "image=$pinned" "function=$opt_function"
