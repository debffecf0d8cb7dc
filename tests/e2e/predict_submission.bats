#!/usr/bin/env bats
# From the Kaggle download (shared/data/tiny-ilsvrc.tar has its exact layout) to a submission in the order of its sample.
load ../cli/support

setup() {
  export OMP_NUM_THREADS=1
  archive=$PROJECT_DIR/../shared/data/tiny-ilsvrc.tar
  [ -f "$archive" ] || skip "$archive is not here"
}

@test "a submission has the rows of LOC_sample_submission.csv, and labels nobody gave are not needed" {
  mkdir "$BATS_TEST_TMPDIR/tiny"
  tar -xf "$archive" -C "$BATS_TEST_TMPDIR/tiny"
  shards=$BATS_TEST_TMPDIR/shards
  imgpack build "$BATS_TEST_TMPDIR/tiny" "$shards" -q >/dev/null
  imgtrain --shards "$shards" --recipe smoke --threads 1 --batch 16 --bn-group 16 --train-size 32 --eval-size 32 \
    --eval-resize 36 --duration 2ba --precision fp32 -q --out "$BATS_TEST_TMPDIR/run" >/dev/null
  sample=$(find "$BATS_TEST_TMPDIR/tiny" -name LOC_sample_submission.csv)
  # Kaggle's own file may be in any order.
  { head -1 "$sample"; tail -n +2 "$sample" | sort -r; } >"$BATS_TEST_TMPDIR/sample.csv"
  says "100 images of split test" imgtrain predict "$BATS_TEST_TMPDIR/run" --shards "$shards" --split test --threads 1 -q \
    --csv "$BATS_TEST_TMPDIR/submission.csv" --sample "$BATS_TEST_TMPDIR/sample.csv"
  diff <(cut -d, -f1 "$BATS_TEST_TMPDIR/sample.csv") <(cut -d, -f1 "$BATS_TEST_TMPDIR/submission.csv")
  tail -n +2 "$BATS_TEST_TMPDIR/submission.csv" | cut -d, -f2 | grep -cE '^([0-9]{1,4} 0 0 64 64 ?){5}$' | grep -qx 100
  # The ten classes are numbered among the thousand, not among themselves.
  tail -n +2 "$BATS_TEST_TMPDIR/submission.csv" | cut -d, -f2 | grep -oE '(^| )[0-9]+ 0 0' | awk '$1 > 10' | grep -q .
}
