#!/usr/bin/env bats
# One trainer, its checkpoints and its end: lease, stored run folders, notices, requests to stop.
bats_require_minimum_version 1.5.0

setup_file() { load support/helper && start_aws; }
teardown_file() { load support/helper && stop_aws; }
setup() { load support/helper && load support/training && use_training; }
teardown() { end_training; }

@test "a run from beginning to end stores its folder, marks itself as done, wants no more machines, and frees the lease" {
  export FAKE_UNTIL=$BATS_TEST_TMPDIR/monitored # it ends only when the GPUs have been looked at
  monitored() { find "$BATS_TEST_TMPDIR" -name gpu.csv | grep -q .; }
  (
    wait_until monitored
    touch "$FAKE_UNTIL"
  ) 3>&- &
  FAKE_STEPS=20 train --group imgpack-n-train
  assert_file_not_exist "$run_folder/gpu.csv" # imgtrain takes no folder in which others write
  # The group does not exist here: what matters comes before.
  assert_file_exist "$run_folder/final"
  has_object latest
  has_object 'done'
  run ! has_object lease
  has_object ledger/i-0aaaaaaaaaaaaaaaa
  [[ $(object ledger/i-0aaaaaaaaaaaaaaaa) == 'g5.12xlarge us-east-1a spot '* ]]
}

@test "the end of a run sets the group to none and powers off" {
  ready_to_launch
  launch
  FAKE_STEPS=10 train --group imgpack-n-train
  assert_status 0
  [ "$(aws autoscaling describe-auto-scaling-groups --query 'AutoScalingGroups[0].DesiredCapacity' --output text)" = 0 ]
  grep -q '^shutdown -h' "$FAKE_LOG"
  # A machine that boots into a run that is done goes at once.
  : >"$FAKE_LOG"
  train
  assert_status 0
  run ! grep -q '^imgtrain' "$FAKE_LOG"
  grep -q '^shutdown -h' "$FAKE_LOG"
}

@test "interrupted on one machine and resumed on another, the run ends with the weights of an uninterrupted one" {
  FAKE_STEPS=40 imgtrain --out "$BATS_TEST_TMPDIR/straight"
  FAKE_NOTICE=$metadata/meta-data/spot/instance-action
  export FAKE_NOTICE
  notice_after has_checkpoint
  FAKE_STEPS=40 FAKE_STEP_SECONDS=0.3 train
  assert_status 75
  run ! has_object lease
  # The machine is gone, with everything on it.
  rm -rf "$run_folder" "$IMGPACK_STATE" "$FAKE_NOTICE"
  be_instance i-0bbbbbbbbbbbbbbbb
  FAKE_STEPS=40 train
  assert_status 0
  cmp "$run_folder/final" "$BATS_TEST_TMPDIR/straight/final"
  grep -q resumed "$run_folder/train.log"
}

@test "a notice that imgtrain does not see by itself reaches it as SIGTERM" {
  notice_after has_checkpoint
  FAKE_STEPS=1000 FAKE_STEP_SECONDS=0.1 train
  assert_status 75
  assert_said 'terminate at 2030-01-01'
  has_object latest
}

@test "SIGTERM from the system ends imgtrain with a checkpoint that is stored, and 75" {
  FAKE_STEPS=1000 FAKE_STEP_SECONDS=0.1 exec_train_run --folder "$run_folder" -- imgtrain --out "$run_folder" >/dev/null 2>"$BATS_TEST_TMPDIR/err" 3>&- &
  service=$!
  wait_until has_checkpoint
  kill -TERM "$service"
  status=0
  wait "$service" || status=$?
  [ "$status" = 75 ]
  script run-store pull --name n --bucket bucket --run r --folder "$BATS_TEST_TMPDIR/there"
  assert_status 0
  diff -r "$run_folder" "$BATS_TEST_TMPDIR/there"
}

@test "a rebalance recommendation alone stores the run folder early, and ends nothing" {
  mkdir -p "$metadata/meta-data/events/recommendations"
  echo '{"noticeTime": "2030-01-01T00:00:00Z"}' >"$metadata/meta-data/events/recommendations/rebalance"
  export FAKE_UNTIL=$BATS_TEST_TMPDIR/stored # imgtrain ends only when its folder has been stored
  (
    wait_until has_object latest
    touch "$FAKE_UNTIL"
  ) 3>&- &
  FAKE_STEPS=5 FAKE_STEP_SECONDS=0.1 train --sync 1h
  assert_status 0
  assert_said 'rebalance'
  has_object 'done'
}

@test "a checkpoint that cannot be stored is kept on the machine, told, and the exit code is 75" {
  export FAKE_NOTICE=$metadata/meta-data/spot/instance-action
  fault '{"action": "PutObject", "kind": "error", "code": "SlowDown", "status": 503, "times": 0, "where": {"key": "manifests"}}'
  notice_after has_checkpoint
  IMGPACK_ATTEMPTS=2 FAKE_STEPS=1000 FAKE_STEP_SECONDS=0.1 train
  assert_status 75
  assert_said 'could not be stored'
  assert_said "$run_folder"
  assert_file_exist "$run_folder/checkpoints/latest"
  run ! has_object latest
}

@test "a run that is finished but could not be stored is not marked as done" {
  fault '{"action": "PutObject", "kind": "error", "code": "SlowDown", "status": 503, "times": 0, "where": {"key": "manifests"}}'
  IMGPACK_ATTEMPTS=2 FAKE_STEPS=10 train
  assert_status 75
  run ! has_object 'done'
  forget
  FAKE_STEPS=10 train
  assert_status 0
  has_object 'done'
}

@test "a torn newest state is passed over, loudly, for the one before" {
  export FAKE_NOTICE=$metadata/meta-data/spot/instance-action
  steps_beyond() { (($(tail -n 1 "$run_folder/metrics.csv") > $1)); }
  local round before=0
  for round in 1 2; do # two states, the second with more steps
    rm -f "$FAKE_NOTICE"
    notice_after steps_beyond "$before"
    FAKE_STEPS=1000 FAKE_STEP_SECONDS=0.1 train
    assert_status 75
    before=$(tail -n 1 "$run_folder/metrics.csv")
  done
  rm "$FAKE_NOTICE"
  newest=$(object latest | cut -d' ' -f1)
  torn=$(object "$newest" | awk -F '\t' '$4 ~ /latest$/ { print $2 }')
  put_object "objects/$torn" 'torn'
  rm -rf "$run_folder"
  be_instance i-0bbbbbbbbbbbbbbbb
  script run-store pull --name n --bucket bucket --run r --folder "$run_folder"
  assert_status 0
  assert_said 'missing or altered'
  assert_said 'going on from'
  [ "$(<"$BATS_TEST_TMPDIR/.run.store/pushed")" != "$newest" ]
  FAKE_STEPS=$(($(tail -n 1 "$run_folder/metrics.csv") + 10)) FAKE_STEP_SECONDS=0 train
  assert_status 0
}

@test "when nothing that was stored is whole, training does not silently begin anew" {
  notice_after has_checkpoint
  FAKE_STEPS=1000 FAKE_STEP_SECONDS=0.1 train
  assert_status 75
  rm -rf "$run_folder" "$metadata/meta-data/spot/instance-action"
  aws s3 rm --quiet --recursive s3://bucket/n/runs/r/objects/
  be_instance i-0bbbbbbbbbbbbbbbb
  train
  assert_status 3
  assert_said 'no stored state of this run is whole'
  [ "$(grep -c '^imgtrain' "$FAKE_LOG")" = 1 ]
}

@test "a second trainer of the same run exits 3 and trains nothing" {
  put_object lease "i-0bbbbbbbbbbbbbbbb $EPOCHSECONDS"
  world '[{"op": "instance"}]'
  put_object lease "${id[0]} $EPOCHSECONDS"
  train
  assert_status 3
  assert_said "${id[0]}"
  run ! grep -q '^imgtrain' "$FAKE_LOG"
  [ "$(object lease | cut -d' ' -f1)" = "${id[0]}" ]
  # The holder is terminated: the lease is free although it was renewed just now.
  world "[{\"op\": \"terminate\", \"id\": \"${id[0]}\"}]" || :
  FAKE_STEPS=10 train
  assert_status 0
}

@test "a lease that was not renewed for long is taken over" {
  world '[{"op": "instance"}]'
  put_object lease "${id[0]} $((EPOCHSECONDS - 1000))"
  FAKE_STEPS=10 train
  assert_status 0
  assert_said 'taking it over'
}

@test "of two machines that try at the same moment, S3 lets one have the lease" {
  world '[{"op": "instance"}]'
  fault '{"action": "PutObject", "kind": "error", "code": "PreconditionFailed", "status": 412, "times": 1, "where": {"key": "lease"}}'
  train
  assert_status 3
  run ! grep -q '^imgtrain' "$FAKE_LOG"
}

@test "a lease that is lost while training ends the training, and stores nothing over the other's state" {
  FAKE_STEPS=1000 FAKE_STEP_SECONDS=0.1 exec_train_run --folder "$run_folder" -- imgtrain --out "$run_folder" >/dev/null 2>"$BATS_TEST_TMPDIR/err" 3>&- &
  service=$!
  wait_until has_checkpoint
  put_object lease "i-0bbbbbbbbbbbbbbbb $EPOCHSECONDS"
  status=0
  wait "$service" || status=$?
  [ "$status" = 3 ]
  run ! has_object latest
  [ "$(object lease | cut -d' ' -f1)" = i-0bbbbbbbbbbbbbbbb ]
}

@test "a request to stop ends the training with a stored checkpoint" {
  FAKE_STEPS=1000 FAKE_STEP_SECONDS=0.1 exec_train_run --folder "$run_folder" -- imgtrain --out "$run_folder" >/dev/null 2>"$BATS_TEST_TMPDIR/err" 3>&- &
  service=$!
  wait_until has_checkpoint
  put_object stop somebody
  wait "$service"
  has_object latest
  run ! has_object lease
  run ! has_object 'done'
}

@test "when the time is up the run ends with a stored checkpoint, and no machine is wanted any more" {
  mkdir -p "$run_folder/checkpoints"
  echo 'from an earlier machine' >"$run_folder/checkpoints/notes" # something to store, even if the time is up before the first step
  FAKE_STEPS=1000 FAKE_STEP_SECONDS=0.1 train --until $((EPOCHSECONDS + 3))
  assert_status 0
  assert_said 'time that was allowed'
  has_object latest
  has_object stop
  grep -q '^shutdown' "$FAKE_LOG"
}

@test "imgtrain's exit codes are mapped, and three failures in a row end the machines" {
  FAKE_TRAIN_STATUS=4 train
  assert_status 3
  FAKE_TRAIN_STATUS=2 train
  assert_status 1
  run ! has_object failed
  run ! grep -q '^shutdown' "$FAKE_LOG"
  FAKE_TRAIN_STATUS=1 train
  assert_status 0
  has_object failed
  grep -q '^shutdown' "$FAKE_LOG"
}

@test "old states are removed from the store, with what only they hold" {
  mkdir -p "$run_folder"
  local round
  for round in 1 2 3 4; do
    echo "checkpoint $round" >"$run_folder/checkpoint"
    script run-store push --name n --bucket bucket --run r --folder "$run_folder" --prune 2
    assert_status 0
  done
  [ "$(aws s3 ls s3://bucket/n/runs/r/manifests/ | wc -l)" = 2 ]
  [ "$(aws s3 ls s3://bucket/n/runs/r/objects/ | wc -l)" = 2 ]
  # What was removed and comes back is stored again.
  echo 'checkpoint 1' >"$run_folder/checkpoint"
  script run-store push --name n --bucket bucket --run r --folder "$run_folder"
  script run-store pull --name n --bucket bucket --run r --folder "$BATS_TEST_TMPDIR/there"
  assert_status 0
  [ "$(<"$BATS_TEST_TMPDIR/there/checkpoint")" = 'checkpoint 1' ]
}

@test "a manifest that names paths outside of the run folder writes nothing" {
  echo content >"$BATS_TEST_TMPDIR/content"
  sum=$(sha256sum <"$BATS_TEST_TMPDIR/content" | cut -d' ' -f1)
  aws s3 cp --quiet "$BATS_TEST_TMPDIR/content" "s3://bucket/n/runs/r/objects/$sum"
  for path in ../outside /outside a/../../outside; do
    printf 'file\t%s\t8\t%s\n' "$sum" "$path" >"$BATS_TEST_TMPDIR/manifest"
    aws s3 cp --quiet "$BATS_TEST_TMPDIR/manifest" s3://bucket/n/runs/r/manifests/m
    put_object latest "manifests/m $(sha256sum <"$BATS_TEST_TMPDIR/manifest" | cut -d' ' -f1)"
    script run-store pull --name n --bucket bucket --run r --folder "$BATS_TEST_TMPDIR/folder/run"
    assert_status 4
    assert_file_not_exist "$BATS_TEST_TMPDIR/folder/outside"
  done
}

@test "a machine that the group put in place of a lost one goes on with the run" {
  ready_to_launch
  launch
  first=$(ec2 describe-instances --filters Name=tag:imgpack:role,Values=train Name=instance-state-name,Values=running,pending --query 'Reservations[].Instances[].InstanceId')
  be_instance "$first"
  export FAKE_NOTICE=$metadata/meta-data/spot/instance-action
  notice_after has_checkpoint
  FAKE_STEPS=40 FAKE_STEP_SECONDS=0.3 train
  assert_status 75
  aws ec2 terminate-instances --instance-ids "$first" >/dev/null
  rm -rf "$run_folder" "$IMGPACK_STATE" "$FAKE_NOTICE"
  aws autoscaling describe-auto-scaling-groups >/dev/null # moto heals when it is looked at
  second=$(ec2 describe-instances --filters Name=tag:imgpack:role,Values=train Name=instance-state-name,Values=running,pending --query 'Reservations[].Instances[].InstanceId')
  [ -n "$second" ]
  [ "$second" != "$first" ]
  be_instance "$second"
  FAKE_STEPS=40 train
  assert_status 0
  grep -q resumed "$run_folder/train.log"
}
