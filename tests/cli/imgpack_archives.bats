#!/usr/bin/env bats
# imgpack build and plan of archives and lists: each is the folder that it came from. Subsets of ../shared/data's tiny
# ILSVRC where it is there, else of a sample.
load support

# A Kaggle tree of 6 classes in $BATS_FILE_TMPDIR/tree, and its dataset beside it.
setup_file() {
  local shared=$PROJECT_DIR/../shared/data/tiny-ilsvrc.tar tree=$BATS_FILE_TMPDIR/tree cls=ILSVRC/Data/CLS-LOC
  mkdir "$tree"
  if [ -f "$shared" ]; then
    tar xf "$shared" -C "$tree"
    (cd "$tree/$cls" && ls train | tail -n +7 | sed 's,^,train/,' | xargs -r rm -r)
    keep=$(ls "$tree/$cls/train" | paste -sd '|')
    # Images of the classes that are left, and a few of test.
    grep -E "^ImageId|,($keep) " "$tree/LOC_val_solution.csv" >"$tree/solution" && mv "$tree/solution" "$tree/LOC_val_solution.csv"
    cut -d, -f1 "$tree/LOC_val_solution.csv" | tail -n +2 | sort >"$BATS_FILE_TMPDIR/kept"
    for file in "$tree/$cls"/val/*; do
      name=$(basename "$file")
      grep -qx "${name%.*}" "$BATS_FILE_TMPDIR/kept" || rm "$file" "$tree/ILSVRC/Annotations/CLS-LOC/val/${name%.*}.xml"
    done
    (cd "$tree/$cls" && ls test | tail -n +6 | sed 's,^,test/,' | xargs -r rm)
    rm -f "$tree"/ILSVRC/ImageSets/CLS-LOC/*.txt "$tree/LOC_synset_mapping.txt"
  else
    echo "# ../shared/data is not here: the archives are made of a sample" >&3
    imgpack sample "$tree" --classes 4 --train 48 --val 12 --test 6 --size 40 >/dev/null
    rm -f "$tree/sample.json"
  fi
  imgpack build "$tree" "$BATS_FILE_TMPDIR/folder.shards" -q --shards train=4
}

setup() {
  tree=$BATS_FILE_TMPDIR/tree folder=$BATS_FILE_TMPDIR/folder.shards cls=$BATS_FILE_TMPDIR/tree/ILSVRC/Data/CLS-LOC
  out=$BATS_TEST_TMPDIR/out.shards
  cd "$BATS_TEST_TMPDIR"
}

# is_the_folder SOURCE [DATASET]: built from SOURCE, it is the folder's dataset, byte for byte.
is_the_folder() {
  imgpack build "$1" "$out" -q --shards train=4 >/dev/null
  diff -r "$out" "${2:-$folder}"
  rm -r "$out"
}

# The same images as split folders: what image-net.org's tars hold.
make_split_tars() {
  mkdir -p in train
  for class in "$cls"/train/*; do tar cf "train/$(basename "$class").tar" -C "$class" .; done
  tar cf in/ILSVRC2012_img_train.tar -C train .
  tar cf in/ILSVRC2012_img_val.tar -C "$cls/val" .
  tar cf in/ILSVRC2012_img_test_v10102019.tar -C "$cls" test
  cp "$tree/LOC_val_solution.csv" in
}

@test "the torrent's tar.gz is its tree" {
  tar czf ILSVRC2017_CLS-LOC.tar.gz -C "$tree" ILSVRC LOC_val_solution.csv
  is_the_folder ILSVRC2017_CLS-LOC.tar.gz
}

@test "the Kaggle zip is its folder, whichever of its files comes first" {
  tar czf imagenet_object_localization_patched2019.tar.gz -C "$tree" ILSVRC
  cp "$tree"/LOC_*.csv .
  for order in 'LOC_val_solution.csv imagenet_object_localization_patched2019.tar.gz' 'imagenet_object_localization_patched2019.tar.gz LOC_val_solution.csv'; do
    rm -f kaggle.zip
    "$PYTHON" -c 'import sys, zipfile
with zipfile.ZipFile("kaggle.zip", "w", zipfile.ZIP_DEFLATED) as out:
    for name in sys.argv[1:]: out.write(name)' $order
    is_the_folder kaggle.zip
  done
  # Unzipped, and no further.
  mkdir unzipped && mv imagenet_object_localization_patched2019.tar.gz LOC_val_solution.csv unzipped
  is_the_folder unzipped
}

@test "a folder of image-net.org's tars is the tree of what is in them" {
  make_split_tars
  mkdir plain && cp -r "$cls"/{train,val,test} "$tree/LOC_val_solution.csv" plain
  imgpack build plain plain.shards -q --shards train=4 >/dev/null
  is_the_folder in plain.shards
  imgpack build in "$out" --shards train=4 2>stderr >/dev/null
  grep -qF "source: ILSVRC2012_img_test_v10102019.tar (tar), ILSVRC2012_img_train.tar (tar), ILSVRC2012_img_val.tar (tar)" stderr
  grep -qF "split folders (train, val, test), streamed from" stderr
}

@test "the train tar alone, a tar and a zip of class folders are class folders" {
  make_split_tars
  says "train: " imgpack build in/ILSVRC2012_img_train.tar "$out" -q
  imgpack build "$cls/train" train.shards -q --shards train=4 >/dev/null
  tar cf photos.tar -C "$cls/train" .
  (cd "$cls" && "$PYTHON" -m zipfile -c "$BATS_TEST_TMPDIR/photos.zip" train)
  rm -r "$out"
  is_the_folder photos.tar train.shards
  mkdir named && (cd "$cls/train" && tar cf "$BATS_TEST_TMPDIR/named/animals.tar" --transform 's,^\.,animals,' .)
  is_the_folder named/animals.tar train.shards
}

@test "a list of images is the tree that it lists" {
  cp -r "$cls/train" train
  (cd train && find . -type f -name '*.JPEG' | sed 's,^\./,,' | awk -F/ 'BEGIN { print "path,label,split" } { print "train/" $0 "," $1 ",train" }') >list.csv
  imgpack build list.csv -q --shards train=4 >/dev/null
  imgpack build train train.shards -q --shards train=4 >/dev/null
  [ "$(imgpack inspect list.shards --json | jq .dataset_id)" = "$(imgpack inspect train.shards --json | jq .dataset_id)" ]
  printf 'train/nowhere.jpg,x\n' >bad.csv
  fails_with 1 "1 of the 1 files of the list are not there" imgpack build bad.csv
}

@test "OUT is named after the archive without its ending" {
  tar czf photos.tar.gz -C "$cls" train
  imgpack build photos.tar.gz -q >/dev/null
  [ -f photos.shards/manifest.json ]
  says "finished before with the same options, left alone" imgpack build photos.tar.gz
}

@test "a build that was killed goes on to the same bytes" {
  tar czf x.tar.gz -C "$tree" ILSVRC LOC_val_solution.csv
  for wait in 0.05 0.15 0.3; do
    imgpack build x.tar.gz "$out" -q --shards train=4 -j 1 >/dev/null 2>&1 3>&- &
    sleep "$wait"
    kill -9 $! 2>/dev/null || true
    wait $! || true
  done
  is_the_folder x.tar.gz
}

@test "parts of an archive and of a folder, merged, are the single build" {
  tar czf x.tar.gz -C "$tree" ILSVRC LOC_val_solution.csv
  imgpack build x.tar.gz "$out" -q --shards train=4 --part 1/3 >/dev/null
  imgpack build "$tree" "$out" -q --shards train=4 --part 2/3 >/dev/null
  fails_with 1 "parts are missing: 3/3" imgpack merge "$out" -q
  SLURM_ARRAY_TASK_ID=9 SLURM_ARRAY_TASK_MIN=7 SLURM_ARRAY_TASK_COUNT=3 imgpack build x.tar.gz "$out" -q --shards train=4 --part auto >/dev/null
  says "images from 3 parts" imgpack merge "$out"
  diff -r "$out" "$folder"
  says "finished before, left alone" imgpack merge "$out" -q
  rm -r "$out"
  imgpack merge "$out" -q --move >/dev/null
  diff -r "$out" "$folder"
  ! compgen -G "$out.part-*"
}

@test "merge refuses damaged and foreign parts by name" {
  imgpack build "$tree" "$out" -q --part 1/2 >/dev/null
  AWS_BATCH_JOB_ARRAY_INDEX=1 imgpack build "$tree" "$out" -q --seed 7 --part auto/2 >/dev/null
  fails_with 1 "seed: 0 there, 7 here" imgpack merge "$out" -q
  fails_with 1 "part 1/2 is given twice" imgpack merge "$out" "$out.part-1-of-2" "$out.part-1-of-2" -q
  printf x >>"$out.part-1-of-2/train-00000.ipk"
  imgpack build "$tree" "$out" -q --fresh --part 2/2 >/dev/null
  fails_with 4 "shard of a part is damaged" imgpack merge "$out" -q
  fails_with 1 "there is no part to merge" imgpack merge "$BATS_TEST_TMPDIR/nothing"
  fails_with 2 "expected i/n with n from 1" imgpack build "$tree" "$out" --part 3/2
}

@test "plan of a tar is exact without reading it through, of a tar.gz only with --exact" {
  imgpack plan "$tree" -q --json >folder.json
  tar cf x.tar -C "$tree" ILSVRC LOC_val_solution.csv
  gzip -k x.tar
  imgpack plan x.tar -q --json | jq -e --slurpfile folder folder.json '.exact and .splits == $folder[0].splits'
  imgpack plan x.tar.gz -q --json | jq -e '.exact == false and .estimate.disk_bytes > 0 and .images > 0'
  imgpack plan x.tar.gz -q --json --exact | jq -e --slurpfile folder folder.json '.splits == $folder[0].splits'
  imgpack plan x.tar.gz >plan.txt
  grep -q "^not known before the archive is read through: its images, splits and labels" plan.txt
  for line in "^disk: about" "^time: about" "^memory: at most about"; do grep -q "$line" plan.txt; done
  [ ! -e x.shards ]
}

@test "archives that lie are refused and nothing is written outside" {
  mkdir a && echo evil >a/1.jpg
  tar cf up.tar --transform 's,^a,../escaped,' -P a
  fails_with 1 "name that leads out of it: ../escaped" imgpack build up.tar -q
  [ ! -e ../escaped ]
  ln -s /etc a/link.jpg
  tar cf link.tar a
  fails_with 1 "holds a link: a/link.jpg" imgpack build link.tar -q
  rm a/link.jpg && tar czf cut.tgz a && truncate -s -9 cut.tgz
  fails_with 1 "archive is damaged or cut off" imgpack build cut.tgz -q
  fails_with 1 "not a source: expected a folder, a tar or zip archive, or a list" imgpack build a/1.jpg
}
