#!/usr/bin/env bats
# Help texts are golden: UPDATE_GOLDEN=1 bats tests/cli/imgpack_help.bats writes them anew.
load support

verbs() { imgpack --help | sed -n '/^VERBS/,/^OPTIONS/p' | awk '/^  [a-z]/ { print $1 }'; }

same_as_golden() {
  local file=$BATS_TEST_DIRNAME/golden/$1.txt
  shift
  if [ -n "${UPDATE_GOLDEN-}" ]; then "$@" >"$file"; fi
  diff -u "$file" <("$@")
}

@test "help of the program and of every verb is the golden one" {
  same_as_golden imgpack-help imgpack --help
  for verb in $(verbs); do same_as_golden "imgpack-$verb-help" imgpack "$verb" --help; done
}

@test "every help text ends with EXIT STATUS and fits 80 columns" {
  for verb in $(verbs); do
    imgpack "$verb" --help | awk -v verb="$verb" 'length > 80 { print verb ": " $0; bad = 1 } END { exit bad }'
    imgpack "$verb" --help | tail -12 | grep -q '^EXIT STATUS'
  done
}

@test "no line of help goes to standard error, and none is coloured" {
  [ -z "$(imgpack build --help 2>&1 >/dev/null)" ]
  [[ $(imgpack build --help) != *$'\x1b'* ]]
}

@test "version names the program and its version" {
  [[ $(imgpack --version | head -1) =~ ^imgpack\ [0-9]+\.[0-9]+\.[0-9]+$ ]]
}

@test "mistyped verbs and options name the nearest one" {
  fails_with 2 "unknown verb 'biuld'. Did you mean 'build'?" imgpack biuld x
  fails_with 2 "unknown option '--shard-sise'. Did you mean '--shard-size'?" imgpack build x --shard-sise 1
  fails_with 2 "--level: expected one of structure, checksums, decode, found 'decod'. Did you mean 'decode'?" imgpack verify x --level decod
}

@test "a command line that lacks something says what" {
  fails_with 2 "SOURCE is missing" imgpack build
  fails_with 2 "--seed: expected a whole number, 0 or more, found 'x'" imgpack build x --seed x
  fails_with 2 "--shards: expected N or SPLIT=N" imgpack build x --shards 0
  fails_with 2 "--subset: expected N/T" imgpack verify x --subset 5/4
}

@test "a result that cannot be written is an error" {
  [ -e /dev/full ] || skip "no /dev/full on this system"
  run bash -c 'imgpack --help >/dev/full'
  [ "$status" = 1 ]
  [[ $output == *"standard output could not be written"* ]]
}
