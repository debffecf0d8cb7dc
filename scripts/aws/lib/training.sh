# shellcheck shell=bash
# The training machines of a project: launch template, Auto Scaling group, fleet or single machines, placement group.

training_names() {
  template_name=imgpack-$opt_name-train
  group_name=imgpack-$opt_name-train
  placement_name=imgpack-$opt_name-train
}

# check_types LIST -> types, efa (1 where every type has the Elastic Fabric Adapter). Types that cannot train here were
# refused before; here AWS is asked whether they exist, have NVIDIA GPUs and the right processor.
check_types() {
  local line name manufacturer adapter processors known
  IFS=, read -r -a types <<<"$1"
  allow InvalidInstanceType -- aws_read ec2 describe-instance-types --instance-types "${types[@]}" --output text \
    --query 'InstanceTypes[].[InstanceType,GpuInfo.Gpus[0].Manufacturer,NetworkInfo.EfaSupported,ProcessorInfo.SupportedArchitectures[0]]' ||
    die "$exit_usage" "--types: $aws_error"
  known=$aws_out
  efa=1
  while IFS= read -r line; do
    read_fields "$line" name manufacturer adapter processors
    [ "$manufacturer" = NVIDIA ] || die_usage "--types: $name has no NVIDIA GPU (${manufacturer:-none})"
    [ "${processors:-x86_64}" != arm64 ] || die_usage "--types: $name has an Arm processor; the programs are built for x86_64"
    [ "$adapter" = True ] || efa=0
  done <<<"$known"
}

# find_training_places TYPES ZONE-IDS SUBNET -> places: lines of zone, subnet, VPC in which at least one type is offered
find_training_places() {
  local type all='' wanted='' id
  if [ -n "$3" ]; then
    find_subnet '' "$3"
    places=$subnet_zone$'\t'$subnet$'\t'$vpc
    return
  fi
  for type in ${1//,/ }; do
    find_places "$type"
    all+=$places$'\n'
  done
  places=$(LC_ALL=C sort -u <<<"${all%$'\n'}")
  [ -n "$2" ] || return 0
  for id in ${2//,/ }; do
    zone_of_id "$id"
    wanted+=" $zone "
  done
  places=$(awk -F '\t' -v wanted="$wanted" 'index(wanted, " " $1 " ")' <<<"$places")
  [ -n "$places" ] || die "$exit_state" "none of the types is offered in ${2//,/, }"
}

# ensure_placement_group -> the cluster placement group that brings several machines close to each other
ensure_placement_group() {
  tag_spec placement-group "$tag_name=$opt_name" "$tag_role=train"
  allow InvalidPlacementGroup.Duplicate -- aws_change ec2 create-placement-group --group-name "$placement_name" --strategy cluster \
    --tag-specifications "$tag_specification" || detail "placement group $placement_name is there already"
}

# Several machines talk over the Elastic Fabric Adapter where every type has it: one adapter each, since a machine with
# several cannot be given a public address.
uses_efa() { [ "$opt_nodes" -gt 1 ] && [ "$efa" = 1 ]; }

# template_data -> the launch template, as JSON. Everything that differs between the modes is added at launch.
template_data() {
  local disks network tags
  disks="{\"DeviceName\":\"$image_root_device\",\"Ebs\":{\"Encrypted\":true,\"VolumeType\":\"gp3\",\"DeleteOnTermination\":true}}"
  if [ "$opt_volume" = per-instance ]; then
    disks+=",{\"DeviceName\":\"/dev/sdf\",\"Ebs\":{\"SnapshotId\":\"$opt_snapshot\",\"VolumeSize\":$opt_size,\"VolumeType\":\"gp3\",\"Iops\":$opt_iops,\"Throughput\":$opt_throughput"
    # Encryption comes with the snapshot, which was taken of an encrypted volume.
    [ "$opt_init_rate" = 0 ] || disks+=",\"VolumeInitializationRate\":$opt_init_rate"
    disks+=",\"DeleteOnTermination\":true}}"
  fi
  # Next to a subnet in the request itself EC2 takes no interfaces from a template: launch_from_template adds its own.
  if uses_efa && [ "$opt_mode" = asg ]; then
    network="\"NetworkInterfaces\":[{\"DeviceIndex\":0,\"InterfaceType\":\"efa\",\"Groups\":[\"$group\"]}]"
  else
    network="\"SecurityGroupIds\":[\"$group\"]"
  fi
  tags="[{\"Key\":\"$tag_name\",\"Value\":\"$opt_name\"},{\"Key\":\"$tag_role\",\"Value\":\"train\"},{\"Key\":\"Name\",\"Value\":\"imgpack-$opt_name-train\"}]"
  template="{\"ImageId\":\"$image\",$network,\"IamInstanceProfile\":{\"Name\":\"$opt_instance_profile\"},"
  template+="\"MetadataOptions\":{\"HttpTokens\":\"required\",\"HttpEndpoint\":\"enabled\",\"HttpPutResponseHopLimit\":1},"
  template+="\"InstanceInitiatedShutdownBehavior\":\"terminate\",\"BlockDeviceMappings\":[$disks],"
  [ -z "$opt_key" ] || template+="\"KeyName\":\"$(json_text "$opt_key")\","
  [ "$opt_nodes" = 1 ] || template+="\"Placement\":{\"GroupName\":\"$placement_name\"},"
  template+="\"TagSpecifications\":[{\"ResourceType\":\"instance\",\"Tags\":$tags},{\"ResourceType\":\"volume\",\"Tags\":$tags}],"
  template+="\"UserData\":\"$user_data_base64\"}"
}

# ensure_template -> template_version: the version whose description is the hash of its content, made if it is missing
ensure_template() {
  local hash
  template_data
  hash=$(sha256sum <<<"$template")
  hash=sha256-${hash:0:40}
  if allow InvalidLaunchTemplateName.NotFoundException -- aws_read ec2 describe-launch-template-versions --launch-template-name "$template_name" \
    --query "LaunchTemplateVersions[?VersionDescription=='$hash'].VersionNumber | [0]" --output text; then
    template_version=$(text_or_empty "$aws_out")
    [ -z "$template_version" ] || return 0
    client_token create-template-version 0 "$hash"
    aws_change ec2 create-launch-template-version --launch-template-name "$template_name" --client-token "$token" \
      --version-description "$hash" --launch-template-data "$template" --query LaunchTemplateVersion.VersionNumber --output text
  else
    tag_spec launch-template "$tag_name=$opt_name" "$tag_role=train"
    client_token create-template 0 "$hash"
    aws_change ec2 create-launch-template --launch-template-name "$template_name" --client-token "$token" --version-description "$hash" \
      --launch-template-data "$template" --tag-specifications "$tag_specification" --query LaunchTemplate.LatestVersionNumber --output text
  fi
  template_version=${aws_out:-planned-version}
}

# read_group -> group_desired, group_max, or 1 where there is no such Auto Scaling group
read_group() {
  aws_read autoscaling describe-auto-scaling-groups --auto-scaling-group-names "$group_name" \
    --query 'AutoScalingGroups[0].[DesiredCapacity,MaxSize]' --output text
  read_fields "$(text_or_empty "$aws_out")" group_desired group_max
  [ -n "$group_desired" ]
}

# launch_group: min 0, max and desired N. It replaces a machine that is taken away, in whatever zone and type has room,
# and begins to do so when EC2 only recommends it. The lease keeps the two from training at once.
launch_group() {
  local overrides='' type policy on_demand=0 zones
  for type in "${types[@]}"; do overrides+="${overrides:+,}{\"InstanceType\":\"$type\"}"; done
  [ "$opt_on_demand" = 0 ] || on_demand=100
  policy="{\"LaunchTemplate\":{\"LaunchTemplateSpecification\":{\"LaunchTemplateName\":\"$template_name\",\"Version\":\"$template_version\"},\"Overrides\":[$overrides]},"
  policy+="\"InstancesDistribution\":{\"OnDemandBaseCapacity\":0,\"OnDemandPercentageAboveBaseCapacity\":$on_demand,\"SpotAllocationStrategy\":\"price-capacity-optimized\""
  [ -z "$opt_max_price" ] || policy+=",\"SpotMaxPrice\":\"$opt_max_price\""
  policy+="}}"
  zones=$(cut -f2 <<<"$places" | paste -sd,)
  if read_group; then
    aws_change autoscaling update-auto-scaling-group --auto-scaling-group-name "$group_name" --min-size 0 --max-size "$opt_nodes" \
      --desired-capacity "$opt_nodes" --mixed-instances-policy "$policy" --vpc-zone-identifier "$zones" --capacity-rebalance
  else
    allow AlreadyExists -- aws_change autoscaling create-auto-scaling-group --auto-scaling-group-name "$group_name" --min-size 0 --max-size "$opt_nodes" \
      --desired-capacity "$opt_nodes" --mixed-instances-policy "$policy" --vpc-zone-identifier "$zones" --capacity-rebalance \
      --tags "ResourceId=$group_name,ResourceType=auto-scaling-group,Key=$tag_name,Value=$opt_name,PropagateAtLaunch=true" \
      "ResourceId=$group_name,ResourceType=auto-scaling-group,Key=$tag_role,Value=train,PropagateAtLaunch=true" || detail "$aws_error"
  fi
}

# launch_fleet -> instance_id: one request over all types and zones at once, no replacement
launch_fleet() {
  local overrides='' type line zone subnet kind=spot epoch errors
  [ "$opt_on_demand" = 0 ] || kind=on-demand
  for type in "${types[@]}"; do
    while IFS= read -r line; do
      read_fields "$line" zone subnet
      overrides+="${overrides:+,}{\"InstanceType\":\"$type\",\"SubnetId\":\"$subnet\"${opt_max_price:+,\"MaxPrice\":\"$opt_max_price\"}}"
    done <<<"$places"
  done
  for ((epoch = 0; epoch < 20; epoch++)); do
    client_token create-fleet "$epoch" "$template_version" "$overrides" "$opt_nodes" "$kind"
    aws_change ec2 create-fleet --type instant --client-token "$token" \
      --launch-template-configs "[{\"LaunchTemplateSpecification\":{\"LaunchTemplateName\":\"$template_name\",\"Version\":\"$template_version\"},\"Overrides\":[$overrides]}]" \
      --spot-options AllocationStrategy=price-capacity-optimized \
      --target-capacity-specification "TotalTargetCapacity=$opt_nodes,DefaultTargetCapacityType=$kind" \
      --query "[join(',', Instances[].InstanceIds[] || \`[]\`), join(' ', Errors[].ErrorCode || \`[]\`)]" --output text
    if is_dry_run; then return 0; fi
    read_fields "$aws_out" instance_id errors
    [ -n "$instance_id" ] || die "$exit_api" "no machine can be had now: ${errors:-InsufficientInstanceCapacity}" "more --types or zones, or try again later"
    instance_appears "${instance_id%%,*}" || continue
    case $instance_state in
    terminated | shutting-down) detail "$instance_id was terminated before: asking for another" ;;
    *) return 0 ;;
    esac
  done
  die "$exit_state" "create-fleet answers with machines that do not exist any more" "wait: EC2 forgets tokens after a while"
}

# launch_each -> instance_id: type by type and zone by zone until one has room
launch_each() {
  local type line zone subnet refused='' market=()
  [ "$opt_on_demand" = 1 ] || market=(--instance-market-options "MarketType=spot,SpotOptions={SpotInstanceType=one-time,InstanceInterruptionBehavior=terminate${opt_max_price:+,MaxPrice=$opt_max_price}}")
  for type in "${types[@]}"; do
    while IFS= read -r line; do
      read_fields "$line" zone subnet
      if launch_from_template "$type" "$subnet" "${market[@]}"; then
        is_dry_run || say "started $instance_id: $type in $zone"
        return 0
      fi
      say "no $type in $zone now: $aws_code"
      refused+=" $type in $zone: $aws_code;"
    done <<<"$places"
  done
  die "$exit_api" "no machine can be had now:${refused%;}" "more --types or --az-ids, or try again later; nothing was left behind"
}
launch_from_template() {
  local type=$1 subnet=$2 epoch
  shift 2
  local arguments=(--launch-template "LaunchTemplateName=$template_name,Version=$template_version" --instance-type "$type" --count "$opt_nodes" "$@")
  if uses_efa; then
    arguments+=(--network-interfaces "DeviceIndex=0,InterfaceType=efa,SubnetId=$subnet,Groups=$group")
  else
    arguments+=(--subnet-id "$subnet")
  fi
  for ((epoch = 0; epoch < 20; epoch++)); do
    client_token launch-train "$epoch" "${arguments[@]}"
    request_machines --client-token "$token" "${arguments[@]}" --query "Instances[].InstanceId | join(',', @)" --output text
    [ "$granted" = 1 ] || return 1
    instance_id=${aws_out:-planned-instance}
    if is_dry_run; then return 0; fi
    instance_appears "${instance_id%%,*}" || continue
    case $instance_state in
    terminated | shutting-down) detail "$instance_id was terminated before: asking for another" ;;
    *) return 0 ;;
    esac
  done
  die "$exit_state" "run-instances answers with machines that do not exist any more" "wait: EC2 forgets tokens after a while"
}
