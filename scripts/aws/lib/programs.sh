# shellcheck shell=bash
# imgpack's and imgtrain's exit codes, mapped explicitly: theirs and ours mean different things by the same number.
#
#   imgpack, imgtrain                   here
#   0   ok                              0
#   3   finished, some were skipped     0, with a warning and skipped=1
#   4   damage found                    3 (wrong state); never 4, which is "refused" here
#   5   unsupported version             3
#   75  interrupted, saved              75
#   130 stopped by SIGINT               130
#   1, 2, other                         1

# map_status PROGRAM STATUS -> mapped, skipped
map_status() {
  skipped=0
  case $2 in
  0) mapped=0 ;;
  3)
    skipped=1
    mapped=0
    warn "$1 finished, but skipped some of its input: its own output lists them"
    ;;
  4)
    mapped=$exit_state
    log_line "error: $1 found damage in its data: the lines above name it"
    ;;
  5)
    mapped=$exit_state
    log_line "error: $1 does not know this version of the data: build both with the same release"
    ;;
  75) mapped=$exit_interrupted ;;
  130) mapped=130 ;;
  *)
    mapped=$exit_failed
    log_line "error: $1 failed (exit status $2): the lines above say why"
    ;;
  esac
}
