# shellcheck shell=bash
# What a launch needs besides the machine: an image, a subnet, a closed security group, user data. All of it is found
# first and made only where it is missing.

readonly prep_image_parameter=/aws/service/canonical/ubuntu/server/24.04/stable/current/amd64/hvm/ebs-gp3/ami-id
readonly train_image_parameter=/aws/service/deeplearning/ami/x86_64/base-oss-nvidia-driver-gpu-ubuntu-24.04/latest/ami-id
readonly max_user_data_bytes=16384 # EC2's limit; checked after base64, which is the stricter reading

# find_image AMI-ID|PARAMETER -> image, image_root_device
find_image() {
  image=$1
  if [[ $image == /* ]]; then
    allow ParameterNotFound ParameterVersionNotFound -- aws_read ssm get-parameter --name "$image" --query Parameter.Value --output text ||
      die "$exit_state" "there is no SSM parameter $image in ${opt_region:-this region}" "name an image yourself: --ami ami-…"
    image=$aws_out
    check_image_id "$image"
  fi
  local architecture state
  allow InvalidAMIID.NotFound InvalidAMIID.Unavailable -- aws_read ec2 describe-images --image-ids "$image" \
    --query 'Images[0].[Architecture,State,RootDeviceName]' --output text || die "$exit_usage" "there is no image $image in ${opt_region:-this region}"
  read_fields "$aws_out" architecture state image_root_device
  [ "$architecture" = x86_64 ] || die "$exit_usage" "image $image is for ${architecture:-no known processor}, the programs are built for x86_64"
  [ "$state" = available ] || die "$exit_state" "image $image is $state, not available"
}

# find_subnet ZONE SUBNET -> subnet, subnet_zone, vpc. SUBNET empty: the default subnet of ZONE.
find_subnet() {
  local filters=()
  if [ -n "$2" ]; then
    filters=("Name=subnet-id,Values=$2")
  else
    filters=("Name=default-for-az,Values=true" "Name=availability-zone,Values=$1")
  fi
  aws_read ec2 describe-subnets --filters "${filters[@]}" --query 'Subnets[].[SubnetId,AvailabilityZone,VpcId]' --output text
  one_of "default subnet in $1" "$aws_out"
  [ -n "$only" ] || die "$exit_state" "there is no ${2:-default subnet in $1}" "name one: --subnet subnet-…"
  read_fields "$only" subnet subnet_zone vpc
  [ -z "$1" ] || [ "$subnet_zone" = "$1" ] || die "$exit_state" "subnet $subnet lies in $subnet_zone, not in $1, where the volume is or shall be"
}

# ensure_group ROLE VPC -> group: a group that lets nothing in
ensure_group() {
  local role=$1 vpc=$2 group_name=imgpack-$opt_name-$1
  aws_read ec2 describe-security-groups --filters "Name=group-name,Values=$group_name" "Name=vpc-id,Values=$vpc" \
    --query "SecurityGroups[].[GroupId,Tags[?Key=='$tag_name']|[0].Value]" --output text
  local owner
  read_fields "${aws_out:-None}" group owner
  if [ -n "$group" ]; then
    [ "$owner" = "$opt_name" ] || die "$exit_state" "security group $group is named $group_name, but is not tagged as part of '$opt_name'"
    check_group_is_closed "$group"
    return
  fi
  tag_spec security-group "$tag_name=$opt_name" "$tag_role=$role"
  aws_change ec2 create-security-group --group-name "$group_name" --vpc-id "$vpc" \
    --description "imgpack $opt_name: $role machines. Nothing comes in." --tag-specifications "$tag_specification" \
    --query GroupId --output text
  group=${aws_out:-planned-security-group}
  is_dry_run || say "made security group $group"
}

# check_group_is_closed GROUP: no rule lets the world in. Dies with 4 otherwise.
check_group_is_closed() {
  aws_read ec2 describe-security-groups --group-ids "$1" --output text \
    --query "SecurityGroups[].IpPermissions[] | [?IpRanges[?CidrIp=='0.0.0.0/0'] || Ipv6Ranges[?CidrIpv6=='::/0']].[IpProtocol,FromPort]"
  [ -z "$aws_out" ] || die "$exit_refused" "security group $1 is open to the world (protocol and port: $(tr '\t\n' ' ;' <<<"$aws_out"))" "remove the 0.0.0.0/0 or ::/0 rule"
}

# allow_ssh GROUP CIDR: port 22 from one's own addresses (check_cidr refused wider ones)
allow_ssh() {
  allow InvalidPermission.Duplicate -- aws_change ec2 authorize-security-group-ingress --group-id "$1" --protocol tcp --port 22 --cidr "$2" ||
    detail "$2 was let in before"
}

# allow_each_other GROUP: members of the group reach each other on all ports, in both directions, as EFA asks for
allow_each_other() {
  local rule="IpProtocol=-1,UserIdGroupPairs=[{GroupId=$1}]"
  allow InvalidPermission.Duplicate -- aws_change ec2 authorize-security-group-ingress --group-id "$1" --ip-permissions "$rule" ||
    detail "members of $1 reach each other already"
  allow InvalidPermission.Duplicate -- aws_change ec2 authorize-security-group-egress --group-id "$1" --ip-permissions "$rule" ||
    detail "members of $1 may call each other already"
}

# ensure_package FILE|S3-URI BUCKET -> package_uri, package_sha256. A local file is stored under its own hash, once.
ensure_package() {
  local package=$1 bucket=$2 key
  if [[ $package == s3://* ]]; then
    [[ $package =~ ^s3://[a-z0-9][a-z0-9.-]+/[A-Za-z0-9/._-]*([0-9a-f]{64})\.tar\.gz$ ]] ||
      die_usage "--package '$package' does not end in the SHA-256 of its content and .tar.gz" "give the local file, and it is stored that way"
    package_uri=$package package_sha256=${BASH_REMATCH[1]}
    return
  fi
  [ -f "$package" ] || die_usage "--package $package: no such file" "scripts/package makes one"
  gzip -t "$package" 2>/dev/null || die_usage "--package $package is no whole .tar.gz"
  package_sha256=$(sha256sum "$package")
  package_sha256=${package_sha256%% *}
  key=$opt_name/packages/$package_sha256.tar.gz
  package_uri=s3://$bucket/$key
  if allow 404 NoSuchKey -- aws_read s3api head-object --bucket "$bucket" --key "$key" --query ContentLength --output text; then
    detail "the package is in $bucket already"
  else
    say "storing the package in s3://$bucket ($(du -h "$package" | cut -f1))"
    aws_change s3 cp --only-show-errors "$package" "$package_uri"
  fi
}

# make_user_data ROLE KEY=VALUE… -> user_data_file: the first-boot script with the machine's configuration in it.
# Every value was checked by its own rule; here it is made sure that none can leave its line.
make_user_data() {
  local role=$1 pair configuration='' template
  shift
  for pair in "$@"; do
    [[ $pair =~ ^[a-z_0-9]+=[A-Za-z0-9/._:=,@%+?\&\ ~-]*$ ]] || die_usage "the value of '${pair%%=*}' has a character that cannot be handed to a machine: ${pair#*=}"
    [ "${pair#*=}" = '' ] || configuration+=$pair$'\n'
  done
  make_temp_folder
  user_data_file=$temp_folder/user-data.sh
  template=$(<"$aws_scripts/user-data.sh.in")
  template=${template//@ROLE@/$role}
  template=${template//@CONFIGURATION@/"$configuration"}
  printf '%s\n' "$template" >"$user_data_file"
  bash -n "$user_data_file" || die "$exit_failed" "the user data made from user-data.sh.in is no valid script"
  user_data_base64=$(base64 -w 0 "$user_data_file")
  ((${#user_data_base64} < max_user_data_bytes)) || die "$exit_usage" "the user data would be ${#user_data_base64} bytes, EC2 takes $max_user_data_bytes"
}
