# shellcheck shell=bash
# Sourced first by every script here; loads the parts of lib/ in order of dependency.
#
#   frame     strict mode, exit codes, log, options, confirmation, lock, clock
#   checks    are these ids, sizes, types and zones possible at all?
#   api       the only door to the `aws` command: retries, timeouts, --dry-run
#   resources finding and naming what belongs to a project; state in tags
#
# A script sources further parts of lib/ itself: ec2, disk, metadata, programs, store, prices, config.
if ((BASH_VERSINFO[0] < 5)); then
  echo "error: bash 5 or newer is needed, this is $BASH_VERSION (on a Mac: use AWS CloudShell or a Linux machine)" >&2
  exit 7
fi
set -euo pipefail
shopt -s inherit_errexit
aws_scripts=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$aws_scripts/lib/frame.sh"
. "$aws_scripts/lib/checks.sh"
. "$aws_scripts/lib/api.sh"
. "$aws_scripts/lib/resources.sh"
