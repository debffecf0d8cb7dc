# shellcheck shell=bash
# What the tests of training share: a machine, its metadata, a bucket, and short names for the scripts and the store.

use_training() {
  use_aws
  start_metadata
  be_instance i-0aaaaaaaaaaaaaaaa
  use_stand_ins imgtrain imgpack shutdown systemctl nvidia-smi
  export FAKE_LOG=$BATS_TEST_TMPDIR/log IMGPACK_HEARTBEAT=1 IMGPACK_LOG=$BATS_TEST_TMPDIR/machine.log
  : >"$FAKE_LOG"
  pack=0123456789abcdef0123456789abcdef
  run_folder=$BATS_TEST_TMPDIR/run
  aws s3api create-bucket --bucket bucket >/dev/null
}
end_training() {
  stop_metadata
  release_disks
  local job
  for job in $(jobs -p); do kill "$job" 2>/dev/null || :; done
}

ready_to_launch() {
  make_package "$BATS_TEST_TMPDIR/p.tar.gz"
  world "[{\"op\": \"image\"}, {\"op\": \"profile\", \"name\": \"imgpack-n-train\"}, {\"op\": \"volume\", \"size\": 10},
    {\"op\": \"snapshot\", \"volume\": \"@2\", \"tags\": {\"imgpack:name\": \"n\", \"imgpack:role\": \"data\", \"imgpack:pack\": \"$pack\", \"imgpack:verified\": \"$pack\"}},
    {\"op\": \"delete_volume\", \"id\": \"@2\"}]"
  ami=${id[0]} snapshot=${id[3]}
}
launch() { script train-launch --name n --bucket bucket --run r --package "$BATS_TEST_TMPDIR/p.tar.gz" --ami "$ami" --size 10 --yes "$@"; }
train_run() { "$scripts/train-run.sh" --name n --bucket bucket --run r "$@"; }
train() { run --separate-stderr train_run --folder "$run_folder" "$@" -- imgtrain --out "$run_folder" </dev/null; }
# in the background, where the job's own pid must be the script's
exec_train_run() { exec "$scripts/train-run.sh" --name n --bucket bucket --run r "$@"; }
has_checkpoint() { test -f "$run_folder/checkpoints/latest"; }
object() { aws s3 cp --quiet "s3://bucket/n/runs/r/$1" - 2>/dev/null; }
has_object() { aws s3api head-object --bucket bucket --key "n/runs/r/$1" >/dev/null 2>&1; }
put_object() { aws s3 cp --quiet - "s3://bucket/n/runs/r/$1" <<<"$2"; }
user_data() { # of the newest template version
  ec2 describe-launch-template-versions --launch-template-name imgpack-n-train --versions '$Latest' --query 'LaunchTemplateVersions[0].LaunchTemplateData.UserData' | base64 -d
}
template() { aws ec2 describe-launch-template-versions --launch-template-name imgpack-n-train --versions '$Latest' --query "LaunchTemplateVersions[0].LaunchTemplateData.$1" --output text; }
