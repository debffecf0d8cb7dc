#!/usr/bin/env bats
# What can be said about the files without running them.
bats_require_minimum_version 1.5.0

setup() { load support/helper; }
all_files() { find "$scripts" -name '*.sh' | sort; }
test_files() { printf '%s\n' "$repository/tests/aws/mutation-check" "$support"/bin/imgpack "$support"/bin/imgtrain "$support"/bin/nvidia-smi "$support"/machine/*; }

@test "shellcheck finds nothing" {
  command -v shellcheck >/dev/null || skip "needs shellcheck"
  mapfile -t files < <(all_files; test_files)
  run shellcheck -x "${files[@]}"
  assert_output ''
}

@test "shfmt would change nothing" {
  command -v shfmt >/dev/null || skip "needs shfmt: scripts/setup --tests"
  mapfile -t files < <(all_files; test_files; ls "$support"/*.bash)
  run shfmt -i 2 -d "${files[@]}"
  assert_output ''
}

@test "bash can read every file, and every script is executable" {
  local file
  for file in $(all_files); do
    bash -n "$file"
    case $file in
    */lib.sh | */lib/*) ;;
    *) [ -x "$file" ] ;;
    esac
  done
}

@test "systemd accepts the unit without a word" {
  command -v systemd-analyze >/dev/null || skip "needs systemd-analyze"
  sed -e 's/@RUN@/r1/' -e 's|@MOUNT@|/|' -e 's|@BIN@|/opt/imgpack/bin|' -e 's|@ENVIRONMENT@|/var/lib/imgpack/imgtrain.env|' -e 's|@LOG@|/var/log/imgtrain.log|' \
    -e "s|@COMMAND@|/bin/true --name n -- imgtrain --recipe fast|" "$scripts/imgtrain.service.in" >"$BATS_TEST_TMPDIR/imgtrain.service"
  run ! grep -q '@' "$BATS_TEST_TMPDIR/imgtrain.service"
  run --separate-stderr systemd-analyze verify "$BATS_TEST_TMPDIR/imgtrain.service"
  assert_success
  [ -z "$output$stderr" ] || { echo "$output$stderr" >&2; false; }
  # And the one that the user data writes.
  sed -n '/^\[Unit\]/,/^UNIT/p' "$scripts/user-data.sh.in" | sed -e '/^UNIT/d' -e 's/@ROLE@/train/' -e 's|/opt/imgpack/scripts/aws/[a-z-]*.sh|/bin/true|' >"$BATS_TEST_TMPDIR/imgpack-boot.service"
  run --separate-stderr systemd-analyze verify "$BATS_TEST_TMPDIR/imgpack-boot.service"
  assert_success
  [ -z "$output$stderr" ] || { echo "$output$stderr" >&2; false; }
}

@test "the time to stop is shorter than the two minutes of a notice, and longer than a checkpoint may take" {
  stop=$(sed -n 's/^TimeoutStopSec=//p' "$scripts/imgtrain.service.in")
  grace=$(sed -n "s/^option grace TIME \([0-9]*\)s .*/\1/p" "$scripts/train-run.sh")
  ((grace < stop && stop < 120))
}

@test "user data is a valid script and stays under EC2's limit with the longest values there can be" {
  long=$(printf 'x%.0s' {1..400})
  for role in prep train; do
    run --separate-stderr bash -c '
      . "$1/lib.sh"; . "$1/lib/ec2.sh"
      opt_dry_run=0
      make_user_data "$2" name=n region=us-east-1 "package=s3://bucket/$3" "package_sha256=$(printf 0%.0s {1..64})" bucket=b run=r "arguments=$3" "source=torrent:magnet:?xt=$3&tr=https://x" "volume="
      cat "$user_data_file"
      echo "size ${#user_data_base64}" >&2' _ "$scripts" "$role" "$long"
    assert_success
    bash -n <<<"$output"
    [[ $output == *"package=s3://bucket/$long"* ]]
    [[ $output == *'&tr=https://x'* ]]
    [[ $output != *@ROLE@* && $output != *@CONFIGURATION@* && $output != *$'\nvolume='* ]]
    (($(awk '{ print $2 }' <<<"$stderr") < 16384))
  done
}

@test "user data that EC2 would not take is refused" {
  long=$(printf 'x%.0s' {1..12000})
  run --separate-stderr bash -c '. "$1/lib.sh"; . "$1/lib/ec2.sh"; make_user_data train "arguments=$2"' _ "$scripts" "$long"
  assert_failure 2
  assert_said 'EC2 takes 16384'
}

@test "values that could leave their line in the user data are refused" {
  local value
  for value in $'a\nCONFIGURATION\nrm -rf /' 'a$(id)' 'a`id`' "a'b" 'a"b' 'a;b' 'a\b' 'a|b'; do
    run --separate-stderr bash -c '. "$1/lib.sh"; . "$1/lib/ec2.sh"; make_user_data prep "source=$2"' _ "$scripts" "$value"
    assert_failure 2
  done
}

@test "the policies of the machines are what a linter finds nothing in" {
  local lint=${test_python%/python}/parliament kind policy
  [ -x "$lint" ] || skip "the AWS test tools are not installed: scripts/setup --tests"
  for kind in prep train; do
    policy=$("$scripts/account-setup.sh" --print "$kind" --name n --bucket bucket --account 123456789012)
    jq -e . <<<"$policy" >/dev/null
    run "$lint" --string "$policy" </dev/null
    assert_output ''
  done
  # Actions that need several resources are split in two statements, with and without the tag that is demanded: each of
  # the two is incomplete by itself. Nothing else may be found.
  policy=$("$scripts/account-setup.sh" --print operator --name n --bucket bucket --account 123456789012)
  run bash -c '"$1" --string "$2" </dev/null | grep -v "No resources match for the given action"' _ "$lint" "$policy"
  assert_output ''
}

@test "a linter that finds nothing in a wrong policy would be worth nothing" {
  local lint=${test_python%/python}/parliament
  [ -x "$lint" ] || skip "the AWS test tools are not installed: scripts/setup --tests"
  run "$lint" --string '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "ec2:DeleteVolumes", "Resource": "*"}]}' </dev/null
  assert_output --partial 'Unknown action'
}

@test "no policy of a machine may act on everything, delete volumes, or pass roles" {
  for kind in prep train; do
    policy=$("$scripts/account-setup.sh" --print "$kind" --name n --bucket bucket --account 123456789012)
    run jq -r '.Statement[] | .Action | if type == "array" then .[] else . end' <<<"$policy"
    refute_output --partial '*'
    refute_output --partial 'DeleteVolume'
    refute_output --partial 'DeleteSnapshot'
    refute_output --partial 'PassRole'
    run jq -r '.Statement[] | select(.Resource == "*") | .Action[]' <<<"$policy"
    while IFS= read -r action; do [[ $action == ec2:Describe* ]]; done <<<"$output"
  done
}

@test "the machines' policies hold every action that their scripts call" {
  # What is called where, by the commands in the scripts that run on the machines.
  check() { # KIND ACTION…
    local policy action
    policy=$("$scripts/account-setup.sh" --print "$1" --name n --bucket bucket --account 123456789012)
    shift
    for action in "$@"; do
      jq -e --arg action "$action" '[.Statement[].Action | if type == "array" then .[] else . end] | index($action)' <<<"$policy" >/dev/null || {
        echo "missing: $action" >&2
        return 1
      }
    done
  }
  check prep ec2:DescribeVolumes ec2:CreateTags ec2:DeleteTags s3:GetObject s3:ListBucket ssm:GetParameter
  check train ec2:DescribeVolumes ec2:DescribeInstances ec2:AttachVolume s3:GetObject s3:PutObject s3:DeleteObject s3:ListBucket autoscaling:UpdateAutoScalingGroup
}

@test "every script is described in the documentation, with its options" {
  local name flag
  for file in "$scripts"/*.sh; do
    name=$(basename "$file")
    [ "$name" != lib.sh ] || continue
    grep -q -F "\`$name\`" "$repository/docs/aws.md" || { echo "docs/aws.md does not name $name" >&2; return 1; }
  done
}

@test "every key of the configuration is in the example" {
  for key in $(sed -n "s/^readonly [a-z]*_keys='\(.*\)'/\1/p" "$scripts/up.sh"); do
    grep -q -E "^(# )?$key =" "$scripts/example.conf" || { echo "example.conf lacks $key" >&2; return 1; }
  done
}

@test "every scenario has its number and its test" {
  local number file test wanted
  while IFS='|' read -r _ number _ file test _; do
    file=${file// /} test=${test# } test=${test% }
    grep -q -F "@test \"$test\" {" "$repository/tests/aws/$file" || { echo "scenarios.md, $number: no test of this name in $file: $test" >&2; return 1; }
  done < <(grep '^| [0-9]' "$repository/tests/aws/scenarios.md")
  wanted=$(seq 60)
  [ "$(sed -n 's/^| \([0-9]*\) |.*/\1/p' "$repository/tests/aws/scenarios.md" | uniq)" = "$wanted" ]
}
