# shellcheck shell=bash
# Starting machines: where a type is offered, and one request that is carried out once.

readonly metadata_options=HttpTokens=required,HttpEndpoint=enabled,HttpPutResponseHopLimit=1
# What a request for a machine can meet without anything being wrong with it: another type or zone may have room.
readonly capacity_codes='InsufficientInstanceCapacity InsufficientHostCapacity SpotMaxPriceTooLow Unsupported InstanceLimitExceeded VcpuLimitExceeded'

# find_places TYPE -> places: lines of zone, subnet, VPC: the default subnets in zones that offer the type
find_places() {
  local offered
  aws_read ec2 describe-instance-type-offerings --location-type availability-zone --filters "Name=instance-type,Values=$1" \
    --query 'InstanceTypeOfferings[].Location' --output text
  offered=$(tr '\t' '\n' <<<"$aws_out")
  [ -n "$offered" ] && [ "$offered" != None ] || die "$exit_usage" "instance type $1 is not offered in ${opt_region:-this region}"
  aws_read ec2 describe-subnets --filters "Name=default-for-az,Values=true" \
    --query 'sort_by(Subnets,&AvailabilityZone)[].[AvailabilityZone,SubnetId,VpcId]' --output text
  places=$(awk -F '\t' 'NR == FNR { offered[$1] = 1; next } $1 in offered' <(printf '%s\n' "$offered") <(printf '%s\n' "$aws_out"))
  [ -n "$places" ] || die "$exit_state" "no default subnet lies in a zone that offers $1 (it is offered in: ${offered//$'\n'/ })" "name a subnet: --subnet subnet-…"
}

# launch_machine ROLE ARGUMENT… -> instance_id. Returns 1, with aws_code, if there is no capacity for this request.
# Uses user_data_file, image and image_root_device; encrypts the root volume and demands version 2 of the metadata service.
launch_machine() {
  local role=$1 epoch
  shift
  local arguments=("$@" --image-id "$image" --metadata-options "$metadata_options" --count 1
    --block-device-mappings "DeviceName=$image_root_device,Ebs={Encrypted=true,VolumeType=gp3,DeleteOnTermination=true}")
  tag_spec instance "$tag_name=$opt_name" "$tag_role=$role" "Name=imgpack-$opt_name-$role"
  arguments+=(--tag-specifications "$tag_specification")
  tag_spec volume "$tag_name=$opt_name" "$tag_role=root"
  arguments+=("$tag_specification")
  local content='no user data' user_data=()
  if [ -n "${user_data_file-}" ]; then
    content=$(sha256sum <"$user_data_file")
    user_data=(--user-data "file://$user_data_file")
  fi
  for ((epoch = 0; epoch < 20; epoch++)); do
    client_token "launch-$role" "$epoch" "$content" "${arguments[@]}"
    request_machines --client-token "$token" "${arguments[@]}" "${user_data[@]}" --query 'Instances[0].InstanceId' --output text
    [ "$granted" = 1 ] || return 1
    instance_id=${aws_out:-planned-instance}
    if is_dry_run; then return 0; fi
    # A token answers with the machine that it made before, even if that one is gone since.
    if instance_appears "$instance_id"; then
      case $instance_state in
      terminated | shutting-down) detail "$instance_id was terminated before: asking for another" ;;
      *) return 0 ;;
      esac
    fi
  done
  die "$exit_state" "run-instances answers with machines that do not exist any more" "wait: EC2 forgets tokens after a while"
}

# request_machines ARGUMENT… -> granted, and the answer in aws_out, or the reason in aws_code. A role that was made a
# moment ago may not be known everywhere yet: that is waited for.
request_machines() {
  local tries
  granted=1
  for ((tries = 0; ; tries++)); do
    # shellcheck disable=SC2086  # a list of words
    if allow $capacity_codes NoSuchEntity InvalidParameterValue -- aws_change ec2 run-instances "$@"; then return 0; fi
    case $aws_code in
    NoSuchEntity | InvalidParameterValue)
      [[ $aws_error == *[Ii]nstance\ [Pp]rofile* ]] || die "$exit_api" "aws ec2 run-instances: $aws_code: $aws_error"
      ((tries < 6)) || die "$exit_state" "the instance profile $opt_instance_profile does not exist: $aws_error" "scripts/aws/account-setup.sh makes it"
      pause 5
      ;;
    *)
      granted=0
      return 0
      ;;
    esac
  done
}

instance_appears() {
  local tries
  for ((tries = 0; tries < 5; tries++)); do
    if read_instance "$1"; then return 0; fi
    pause 2
  done
  return 1
}
