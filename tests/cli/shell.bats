#!/usr/bin/env bats
# What the programs tell shells and manuals: completion, man pages, topics of help, versions.
load support

programs=(imgpack imgtrain imgbench)

setup() {
  export OMP_NUM_THREADS=1
}

verbs_of() { "$1" --help | sed -n '/^VERBS/,/^OPTIONS/p' | awk '/^  [a-z]/ { print $1 }'; }
topics_of() { "$1" --help | sed -n '/^TOPICS/,/^EXIT/p' | awk '/^  [a-z]/ { print $1 }'; }

# complete_bash WORD…: what bash offers for the last word.
complete_bash() {
  bash --norc -c '
    source "$1"
    shift
    COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
    "_$1"
    printf "%s\n" "${COMPREPLY[@]}"
  ' - "$BATS_FILE_TMPDIR/$1.bash" "$@"
}

setup_file() {
  local program
  for program in imgpack imgtrain imgbench; do
    "$program" completion bash >"$BATS_FILE_TMPDIR/$program.bash"
    "$program" completion zsh >"$BATS_FILE_TMPDIR/_$program"
    "$program" completion fish >"$BATS_FILE_TMPDIR/$program.fish"
  done
}

@test "bash completes verbs, options, choices and recipes" {
  [ "$(complete_bash imgpack ver)" = verify ]
  complete_bash imgpack '' | grep -qx build
  [ "$(complete_bash imgpack verify --lev)" = --level ]
  [ "$(complete_bash imgpack verify --level de)" = decode ]
  [ "$(complete_bash imgpack verify --level = de)" = decode ]
  [ "$(complete_bash imgpack help exit)" = exit-status ]
  [ "$(complete_bash imgpack completion z)" = zsh ]
  [ "$(complete_bash imgtrain train --recipe ref)" = reference ]
  [ "$(complete_bash imgtrain --optimizer ada)" = adamw ]
  complete_bash imgtrain --mom | grep -qx -- --momentum
  complete_bash imgtrain --ver | grep -qx -- --version
}

@test "bash offers folders where a folder is wanted, and nothing where a number is" {
  mkdir -p "$BATS_TEST_TMPDIR/alpha"
  touch "$BATS_TEST_TMPDIR/alps"
  [ "$(complete_bash imgtrain eval --checkpoint "$BATS_TEST_TMPDIR/alp" | wc -l)" = 2 ]
  [ "$(complete_bash imgpack man --output "$BATS_TEST_TMPDIR/al")" = "$BATS_TEST_TMPDIR/alpha" ]
  [ -z "$(complete_bash imgpack verify --rate '')" ]
}

@test "bash: every verb and option of every help is completed" {
  local program verb option
  for program in "${programs[@]}"; do
    for verb in $(verbs_of "$program"); do
      [ "$(complete_bash "$program" "$verb" | grep -cx -- "$verb")" = 1 ] || { echo "$program $verb"; return 1; }
      complete_bash "$program" "$verb" -- >"$BATS_TEST_TMPDIR/offered"
      for option in $("$program" "$verb" --help | grep -oE '^  (-., )?--[a-z0-9-]+' | grep -oE -- '--.*'); do
        grep -qx -- "$option" "$BATS_TEST_TMPDIR/offered" || { echo "$program $verb $option"; return 1; }
      done
    done
  done
}

@test "zsh reads the completions and describes every option" {
  command -v zsh >/dev/null || skip "no zsh on this machine"
  local program
  for program in "${programs[@]}"; do zsh -n "$BATS_FILE_TMPDIR/_$program"; done
  # What zsh's own _arguments is given, with stand-ins for the completion system.
  run zsh -fc '
    compdef() { : }
    _describe() { print -l -- "${(@P)2}" }
    _arguments() { print -l -- "$@" }
    source "$1"
    words=(imgpack ""); CURRENT=2; _imgpack
    words=(imgpack verify --level ""); CURRENT=4; _imgpack
  ' - "$BATS_FILE_TMPDIR/_imgpack"
  [ "$status" = 0 ]
  grep -qx 'verify:Read a dataset back and report every damage' <<<"$output"
  grep -qxF -- '--level=[How deep to look]:LEVEL:(structure checksums decode)' <<<"$output"
}

@test "fish completes verbs, options and choices" {
  command -v fish >/dev/null || skip "no fish on this machine"
  export HOME=$BATS_TEST_TMPDIR
  offered() { fish --no-config -c "source $BATS_FILE_TMPDIR/$1.fish; complete -C '$2'" | cut -f1; }
  offered imgpack 'imgpack ver' | grep -qx verify
  offered imgpack 'imgpack verify --lev' | grep -qx -- --level
  offered imgpack 'imgpack verify --level de' | grep -qx decode
  offered imgtrain 'imgtrain --recipe ref' | grep -qx reference
  offered imgtrain 'imgtrain eval --best' | grep -qx -- --best
}

@test "a shell that is not known is an error that names the nearest" {
  fails_with 2 "SHELL: expected bash, zsh or fish, found 'bsh'. Did you mean 'bash'?" imgpack completion bsh
}

@test "man pages of every verb pass mandoc's lint" {
  local program page
  for program in "${programs[@]}"; do "$program" man --output "$BATS_TEST_TMPDIR/man1"; done
  [ -s "$BATS_TEST_TMPDIR/man1/imgpack-build.1" ]
  [ -s "$BATS_TEST_TMPDIR/man1/imgtrain.1" ]
  diff "$BATS_TEST_TMPDIR/man1/imgpack-build.1" <(imgpack man build)
  command -v mandoc >/dev/null || skip "no mandoc on this machine: pages are written, not linted"
  for page in "$BATS_TEST_TMPDIR"/man1/*.1; do
    # A page without a date says so on purpose: it is of a version, not of a day.
    mandoc -T lint -W warning "$page" 2>&1 | grep -v 'missing date' >"$BATS_TEST_TMPDIR/lint" || true
    [ ! -s "$BATS_TEST_TMPDIR/lint" ] || { cat "$BATS_TEST_TMPDIR/lint"; return 1; }
  done
}

@test "a man page says what --help says" {
  command -v mandoc >/dev/null || skip "no mandoc on this machine"
  local program verb option
  for program in "${programs[@]}"; do
    for verb in $(verbs_of "$program"); do
      "$program" man "$verb" | mandoc -T ascii | sed 's/.\x08//g' >"$BATS_TEST_TMPDIR/page"
      grep -q "^NAME" "$BATS_TEST_TMPDIR/page"
      grep -q "^EXIT STATUS" "$BATS_TEST_TMPDIR/page"
      for option in $("$program" "$verb" --help | grep -oE '^  (-., )?--[a-z0-9-]+' | grep -oE -- '--.*'); do
        grep -q -- "^ .*$option" "$BATS_TEST_TMPDIR/page" || { echo "$program $verb $option"; return 1; }
      done
    done
  done
}

@test "help of every topic fits 80 columns, and mistyped topics name the nearest" {
  local program topic
  for program in "${programs[@]}"; do
    for topic in $(topics_of "$program"); do
      "$program" help "$topic" | awk -v topic="$topic" 'length > 80 { print topic ": " $0; bad = 1 } END { exit bad }'
    done
  done
  says "130" imgpack help exit-status
  says "NO_COLOR" imgtrain help environment
  fails_with 2 "unknown verb or topic 'exit-staus'. Did you mean 'exit-status'?" imgpack help exit-staus
  fails_with 2 "expected a verb, found option '--verson'. Did you mean '--version'?" imgpack --verson
}

@test "--version: how it was built" {
  imgpack --version | grep -qx 'shard format 1.0'
  imgpack --version | grep -qE '^release build by (g\+\+|clang) |^debug build by |sanitizer build by '
  imgtrain --version | grep -qE '^libtorch 2\.11\.0, (CUDA [0-9.]+, NCCL [0-9.]+(, kernels for sm_80, sm_86, sm_89, sm_90)?|CPU only)$'
}

@test "NO_COLOR takes the colour from a terminal" {
  command -v script >/dev/null || skip "no script(1) to make a terminal"
  on_terminal() { env -u NO_COLOR TERM=xterm "$@" script -qec 'imgpack verify /nowhere/at/all' /dev/null 2>&1 || true; }
  [[ $(on_terminal) == *$'\x1b['* ]]
  [[ $(on_terminal NO_COLOR=1) != *$'\x1b['* ]]
}
