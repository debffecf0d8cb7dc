#!/usr/bin/env bash
# Starts the preparation machine: volume first, then the instance in the same zone, then the attachment. Run it again
# to go on where it stopped: whatever is there already is found by its tags.
. "$(dirname "$0")/lib.sh"
. "$aws_scripts/lib/volumes.sh"
. "$aws_scripts/lib/ec2.sh"
. "$aws_scripts/lib/launch.sh"
. "$aws_scripts/lib/sources.sh"

about='starts the machine that fetches and packs the images, with its data volume attached'
option name NAME ! 'the project'
option type TYPE c6i.4xlarge 'instance type: disk bandwidth matters (t3.xlarge: 87 MB/s sustained, c6i.4xlarge: 625)'
option size GIB 390 'size of the data volume'
option iops N 3000 'its IOPS'
option throughput MIBPS 250 'its MiB/s'
option az ZONE '' 'availability zone (us-east-1a); without any: the first that offers the type'
option az-id ID '' 'the same as an id (use1-az4)'
option subnet ID '' 'a subnet of your own (default: the default subnet of the zone)'
option ami ID "$prep_image_parameter" 'image, or the SSM parameter that names it; x86_64, glibc 2.36 or newer'
option key NAME '' 'key pair, if you want to log in'
option ssh-from CIDR '' 'let these addresses reach port 22 (your own, as 203.0.113.7/32); nothing else comes in'
option sg ID '' 'a security group of your own; refused if it is open to the world'
option instance-profile NAME '' 'instance profile (default: imgpack-NAME-prep, as account-setup.sh makes it)'
option package FILE '' 'package of the programs (.tar.gz, or its s3:// address): the machine installs it'
option bucket NAME '' 'bucket of the project: takes the package'
option source SOURCE '' 'what to fetch and pack without further help: kaggle, torrent:ADDRESS, https://…, s3://…'
option kaggle-parameter NAME '' 'SSM parameter (SecureString, user:key) with the Kaggle token'
examples='  prep-launch.sh --name imagenet --az-id use1-az4 --key mine --ssh-from 203.0.113.7/32
  prep-launch.sh --name imagenet --package imgpack.tar.gz --bucket my-bucket --source kaggle --kaggle-parameter /imgpack/imagenet/kaggle'
default_timeout=20m
parse_options "$@"

check_name "$opt_name"
check_instance_type "$opt_type"
check_gp3 "$opt_size" "$opt_iops" "$opt_throughput"
[ -z "$opt_region" ] || check_region "$opt_region"
[ -z "$opt_az" ] || check_zone "$opt_az"
[ -z "$opt_az_id" ] || check_zone_id "$opt_az_id"
[ -z "$opt_az" ] || [ -z "$opt_az_id" ] || die_usage "give one of --az and --az-id"
[ -z "$opt_subnet" ] || check_subnet_id "$opt_subnet"
[[ $opt_ami == /* ]] && check_parameter_name "$opt_ami" ami || check_image_id "$opt_ami"
[ -z "$opt_key" ] || check_key_name "$opt_key"
[ -z "$opt_ssh_from" ] || check_cidr ssh-from "$opt_ssh_from"
[ -z "$opt_sg" ] || check_group_id "$opt_sg"
[ -z "$opt_sg" ] || [ -z "$opt_ssh_from" ] || die_usage "--ssh-from is for the group made here, not for your own --sg"
check_iam_name "${opt_instance_profile:=imgpack-$opt_name-prep}" instance-profile
[ -z "$opt_bucket" ] || check_bucket "$opt_bucket"
if [ -n "$opt_source" ]; then
  check_source "$opt_source"
  [ -n "$opt_package" ] || die_usage "--source needs --package: the machine has no programs otherwise"
fi
[ -z "$opt_kaggle_parameter" ] || check_parameter_name "$opt_kaggle_parameter" kaggle-parameter
# What the machine's role may read, told here and not by the machine an hour later.
if [ "$opt_instance_profile" = "imgpack-$opt_name-prep" ]; then
  own_bucket=${opt_bucket:-$(cut -d/ -f3 <<<"$opt_package")}
  [[ $opt_source != s3://* || $opt_source == "s3://$own_bucket/$opt_name/source/"* ]] ||
    die_usage "--source $opt_source: the machine's role may read images under s3://$own_bucket/$opt_name/source/ only" "copy them there (aws s3 sync), or give an --instance-profile that may read them where they are"
  [[ -z $opt_kaggle_parameter || $opt_kaggle_parameter == "/imgpack/$opt_name/"* ]] ||
    die_usage "--kaggle-parameter $opt_kaggle_parameter: the machine's role may read parameters under /imgpack/$opt_name/ only" "aws ssm put-parameter --type SecureString --name /imgpack/$opt_name/kaggle --value USER:KEY"
fi
[ -z "$opt_package" ] || [[ $opt_package == s3://* ]] || [ -n "$opt_bucket" ] || die_usage "--package needs --bucket to be stored in"
take_lock "$opt_name"

# The machine and the volume that are there decide on the zone; then what was asked for; then where the type is offered.
find_instances prep
one_of "preparation machine of '$opt_name'" "$found"
read_fields "${only:-None}" instance_id instance_state instance_zone
find_volumes data
one_of "data volume of '$opt_name'" "$found"
read_fields "${only:-None}" volume_id volume_state volume_zone

zone=$opt_az
[ -z "$opt_az_id" ] || zone_of_id "$opt_az_id"
for there in "$volume_zone" "$instance_zone"; do
  [ -z "$there" ] || [ -z "$zone" ] || [ "$there" = "$zone" ] || die "$exit_state" "'$opt_name' has its volume or machine in $there, not in $zone" "leave the zone out, or remove them: scripts/aws/cleanup.sh --name $opt_name"
  zone=${zone:-$there}
done
if [ -z "$instance_id" ]; then
  if [ -z "$zone" ] && [ -z "$opt_subnet" ]; then
    find_places "$opt_type"
    read_fields "${places%%$'\n'*}" zone subnet vpc
    say "zone $zone: the first that offers $opt_type"
  else
    find_subnet "$zone" "$opt_subnet"
    zone=$subnet_zone
  fi
  find_image "$opt_ami"
fi

ensure_volume "$zone" "$opt_size" "$opt_iops" "$opt_throughput" '' ''

if [ -z "$instance_id" ]; then
  group=$opt_sg
  if [ -n "$group" ]; then check_group_is_closed "$group"; else ensure_group prep "$vpc"; fi
  [ -z "$opt_ssh_from" ] || allow_ssh "$group" "$opt_ssh_from"
  if [ -n "$opt_package" ]; then
    ensure_package "$opt_package" "$opt_bucket"
    make_user_data prep "name=$opt_name" "region=${zone%?}" "package=$package_uri" "package_sha256=$package_sha256" \
      "source=$opt_source" "kaggle_parameter=$opt_kaggle_parameter"
  fi
  arguments=(--instance-type "$opt_type" --subnet-id "$subnet" --security-group-ids "$group"
    --iam-instance-profile "Name=$opt_instance_profile" --instance-initiated-shutdown-behavior stop)
  [ -z "$opt_key" ] || arguments+=(--key-name "$opt_key")
  launch_machine prep "${arguments[@]}" ||
    die "$exit_api" "no $opt_type can be had in $zone now: $aws_code: $aws_error" "another zone or --type; the volume $volume_id is kept"
  is_dry_run || say "started instance $instance_id: $opt_type in $zone"
elif [ "$instance_state" = stopped ] || [ "$instance_state" = stopping ]; then
  # It stops by itself when it is done, and when a step failed: starting it again goes on at the first missing step.
  wait_for "instance $instance_id stopped" 5 instance_is "$instance_id" stopped
  aws_change ec2 delete-tags --resources "$volume_id" --tags "Key=$tag_error"
  aws_change ec2 start-instances --instance-ids "$instance_id"
  say "instance $instance_id was stopped: started again"
else
  say "instance $instance_id is there already ($instance_state)"
fi
if is_dry_run; then
  [ "$instance_id" != planned-instance ] || log_line "would attach the volume to the instance"
  exit 0
fi
wait_for "instance $instance_id running" 5 instance_is "$instance_id" running
ensure_attached "$volume_id" "$instance_id" /dev/sdf
say "volume $volume_id is attached to $instance_id"
result "instance=$instance_id" "volume=$volume_id" "zone=$zone"
