#!/usr/bin/env bash
# Builds, and says on stderr how far it is.
#
# usage: build.sh BUILD LOG TARGET...     ninja's output goes to LOG, its end to stderr if it fails
set -euo pipefail
. "$(dirname "$0")/progress.sh"
build=$1 log=$2
shift 2
: >"$log"
with_progress building "$log" ninja -C "$build" "$@" || {
    status=$?
    tail -n 30 "$log" >&2
    exit $status
}
