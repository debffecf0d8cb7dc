#!/usr/bin/env bats
# A run as a person looks at it: its plots, its report, its model's summary.
load ../cli/support

setup_file() {
  export OMP_NUM_THREADS=1
  imgpack sample "$BATS_FILE_TMPDIR/sample" --classes 4 --train 64 --val 24 --test 0 --size 48 >/dev/null
  export SHARDS=$BATS_FILE_TMPDIR/shards RUN=$BATS_FILE_TMPDIR/run
  imgpack build "$BATS_FILE_TMPDIR/sample" "$SHARDS" -q >/dev/null
  imgtrain --shards "$SHARDS" --recipe demo --threads 1 --train-size 32 --eval-size 32 --eval-resize 36 --duration 2ep \
    --precision fp32 --out "$RUN" -q >/dev/null
}

report() { imgtrain report "$RUN" --threads 1 -q "$@"; }

# The page is HTML without an error that a parser would have to mend, and names nothing outside itself.
is_whole_page() {
  "$PYTHON" - "$1" <<'PYTHON'
import html5lib, re, sys, xml.etree.ElementTree as tree
text = open(sys.argv[1], encoding="utf-8").read()
parser = html5lib.HTMLParser(strict=True)
page = parser.parse(text)
assert not parser.errors, parser.errors
ids = [element.get("id") for element in page.iter() if element.get("id")]
assert len(ids) == len(set(ids)), "an id stands twice"
for element in page.iter():
    for name, value in element.attrib.items():
        if name.split("}")[-1] in ("src", "href", "action", "data", "poster", "srcset"):
            assert value.startswith(("#", "data:image/")), f"{element.tag} {name}={value[:80]}"
            if value.startswith("#"):
                assert value[1:] in ids, f"nothing is called {value}"
assert not re.search(r"(https?:)?//[a-z0-9-]+\.[a-z]", re.sub(r"base64,[A-Za-z0-9+/=]+", "", text)), "an external address"
assert "url(" not in re.sub(r"url\(#", "", text) and "@import" not in text
PYTHON
}

@test "summary prints torchsummary's totals of ResNet-50, and follows the options of a run" {
  imgtrain summary >"$BATS_TEST_TMPDIR/text"
  grep -q '^Total parameters: 25,557,032$' "$BATS_TEST_TMPDIR/text"
  grep -q '^Input size (MB): 0.57$' "$BATS_TEST_TMPDIR/text"
  grep -q '^Forward/backward pass size (MB): 286.56$' "$BATS_TEST_TMPDIR/text"
  grep -q '^Parameters size (MB): 97.49$' "$BATS_TEST_TMPDIR/text"
  grep -q '^Estimated total size (MB): 384.62$' "$BATS_TEST_TMPDIR/text"
  imgtrain summary --json | jq -e '.parameters == 25557032 and .macs == 4089184256 and (.layers | length) == 174'
  imgtrain summary --model resnet18 --classes 4 --stem deep --blurpool composer --json |
    jq -e '[.layers[] | select(.type == "Blur2d")] | length == 7'
  [ "$(imgtrain summary --config "$RUN/config.json" --size 32 --json | jq .layers[0].output_shape[1])" = 16 ]
  fails_with 2 "--size" imgtrain summary --size 0
}

@test "a run that ends has drawn its charts; one without gnuplot ends all the same, with a warning" {
  for chart in loss top1 top5 learning-rate throughput stage-times input overview; do
    [ -s "$RUN/plots/$chart.png" ]
    [ -s "$RUN/plots/$chart.svg" ]
  done
  [ "$(head -c 8 "$RUN/plots/loss.png" | od -An -tx1 | tr -d ' \n')" = 89504e470d0a1a0a ]
  mkdir "$BATS_TEST_TMPDIR/bin"
  ln -s "$(command -v imgtrain)" "$BATS_TEST_TMPDIR/bin/imgtrain"
  PATH=$BATS_TEST_TMPDIR/bin imgtrain --shards "$SHARDS" --recipe smoke --threads 1 --batch 8 --bn-group 8 --train-size 32 \
    --eval-size 32 --eval-resize 36 --duration 1ba --precision fp32 --out "$BATS_TEST_TMPDIR/run" \
    >/dev/null 2>"$BATS_TEST_TMPDIR/err"
  grep -q "no plots were drawn: cannot run gnuplot" "$BATS_TEST_TMPDIR/err"
  [ -e "$BATS_TEST_TMPDIR/run/result.json" ]
  [ -z "$(find "$RUN" "$BATS_TEST_TMPDIR/run" -name '*.tmp')" ]
}

@test "plot: one run, several in one chart, and what cannot be drawn" {
  cp -r "$RUN" "$BATS_TEST_TMPDIR/other"
  imgtrain plot "$RUN" "$BATS_TEST_TMPDIR/other" --out "$BATS_TEST_TMPDIR/both" --json >"$BATS_TEST_TMPDIR/list.json"
  jq -r .files[] "$BATS_TEST_TMPDIR/list.json" | while read -r file; do [ -s "$file" ]; done
  grep -q "other validation" "$BATS_TEST_TMPDIR/both/loss.svg"
  grep -q "run validation" "$BATS_TEST_TMPDIR/both/loss.svg"
  "$PYTHON" -c "
import sys, xml.etree.ElementTree as tree
for path in sys.argv[1:]: tree.parse(path)" "$BATS_TEST_TMPDIR"/both/*.svg
  fails_with 2 "--out: expected a folder for the charts of several runs" imgtrain plot "$RUN" "$BATS_TEST_TMPDIR/other"
  fails_with 1 "expected a run folder" imgtrain plot "$SHARDS"
  printf 'no event\n' >>"$BATS_TEST_TMPDIR/other/metrics.jsonl"
  fails_with 4 "expected an event as a JSON object" imgtrain plot "$BATS_TEST_TMPDIR/other"
}

@test "report: one whole page with the numbers of eval, and the same as JSON" {
  report --out "$BATS_TEST_TMPDIR/r.html" --json "$BATS_TEST_TMPDIR/r.json" --images 5 --layer layer3 --instance g5.xlarge
  is_whole_page "$BATS_TEST_TMPDIR/r.html"
  imgtrain eval --shards "$SHARDS" --checkpoint "$RUN" --threads 1 -q --json >"$BATS_TEST_TMPDIR/eval.json"
  jq -e --slurpfile eval "$BATS_TEST_TMPDIR/eval.json" '
    .accuracy == $eval[0].accuracy and .loss == $eval[0].loss and .images == 24 and .cam_layer == "layer3"
    and ([.classes[].images] | add) == 24 and ([.classes[].top1] | add) == ($eval[0].accuracy * 24 / 100 | round)
    and ([.calibration.bins[].images] | add) == 24 and (.calibration.bins | length) == 15
    and (.confidently_wrong | length) <= 5 and .dollars_spot > 0' "$BATS_TEST_TMPDIR/r.json"
  jq -r .command "$BATS_TEST_TMPDIR/r.json" | grep -q -- "--recipe demo .*--duration 2ep"
  # A picture and its overlay for every wrong image, the colour scale, and nothing beside the page.
  wrong=$(jq '.confidently_wrong | length' "$BATS_TEST_TMPDIR/r.json")
  [ "$(grep -o 'data:image/jpeg' "$BATS_TEST_TMPDIR/r.html" | wc -l)" = $((2 * wrong)) ]
  [ "$(find "$BATS_TEST_TMPDIR" -name '*.svg*' -o -name '*.tmp' | wc -l)" = 0 ]
  [ "$(grep -c '<svg' "$BATS_TEST_TMPDIR/r.html")" = 8 ]
}

# Images under the true names and classes: 1, 2 and 3 of ILSVRC2012's validation set are n01751748 (65), n09193705 (970)
# and n02105855 (230).
@test "report: ReaL labels, an unfinished run, the default place" {
  local tree=$BATS_TEST_TMPDIR/true shards=$BATS_TEST_TMPDIR/shards run=$BATS_TEST_TMPDIR/run number=0 class
  for class in n01751748 n09193705 n02105855; do
    number=$((number + 1))
    mkdir -p "$tree/train/$class" "$tree/val/$class"
    find "$BATS_FILE_TMPDIR/sample" -path '*train*' -name '*.JPEG' | sort | sed -n "$((number * 5 - 4)),$((number * 5))p" |
      xargs -I{} cp {} "$tree/train/$class"
    cp "$(find "$tree/train/$class" -name '*.JPEG' | head -1)" "$tree/val/$class/ILSVRC2012_val_0000000$number.JPEG"
  done
  # The second is disputed, the third has none.
  jq -nc '[[65], [230], []] + [range(49997) | []]' >"$BATS_TEST_TMPDIR/real.json"
  imgpack build "$tree" "$shards" --real "$BATS_TEST_TMPDIR/real.json" -q
  imgtrain --shards "$shards" --recipe smoke --threads 1 --batch 4 --bn-group 4 --train-size 32 --eval-size 32 \
    --eval-resize 36 --duration 1ba --precision fp32 --out "$run" -q >/dev/null
  rm "$run/result.json" "$run/weights.safetensors"
  imgtrain report "$run" --threads 1 -q --images 3 --json "$BATS_TEST_TMPDIR/r.json" >"$BATS_TEST_TMPDIR/out"
  grep -q "^$run/report.html: " "$BATS_TEST_TMPDIR/out"
  is_whole_page "$run/report.html"
  grep -q "This run is not finished" "$run/report.html"
  jq -e '.finished == false and .real.images == 2 and .real.label_disputed == 1 and
    [.real.shown[] | .label, .real[]] == ["n09193705", "n02105855"]' "$BATS_TEST_TMPDIR/r.json"
}

@test "report: what does not fit is an error that says what was expected" {
  fails_with 2 "--layer: expected one of" report --layer layer9
  fails_with 2 "--instance: no price is known for 'm1.tiny'" report --instance m1.tiny
  fails_with 1 "expected a run folder" imgtrain report "$SHARDS"
  # Where nothing can be written is said before anything is looked at.
  for option in --out --json; do
    fails_with 1 "$BATS_TEST_TMPDIR/missing: there is no such folder to write r to" \
      report --shards "$BATS_TEST_TMPDIR/nothing" $option "$BATS_TEST_TMPDIR/missing/r"
  done
  fails_with 1 "$BATS_TEST_TMPDIR/nothing" report --shards "$BATS_TEST_TMPDIR/nothing"
}
