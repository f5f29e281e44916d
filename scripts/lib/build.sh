#!/usr/bin/env bash
# Builds, and says how far it is: on a terminal all the time, else every ten seconds.
#
# usage: build.sh BUILD LOG TARGET...     ninja's output goes to LOG, its end to stdout if it fails
set -euo pipefail
build=$1 log=$2
shift 2

ninja -C "$build" "$@" >"$log" 2>&1 &
ninja=$!
trap 'kill $ninja 2>/dev/null' INT TERM
pause=10
if [ -t 1 ]; then pause=1; fi
waited=0
while kill -0 $ninja 2>/dev/null; do
    sleep 0.2
    waited=$((waited + 1))
    if [ $((waited % (5 * pause))) -ne 0 ]; then continue; fi
    step=$(tail -c 4096 "$log" | grep -ao '^\[[0-9]*/[0-9]*\]' | tail -n 1 | tr '/' ' ' | tr -d '[]' || true)
    if [ -z "$step" ]; then continue; fi
    # shellcheck disable=SC2086 # two numbers
    line=$(printf 'building: %d of %d steps, %d s' $step $((waited / 5)))
    if [ -t 1 ]; then printf '%s\033[K\r' "$line"; else echo "$line"; fi
done
if [ -t 1 ]; then printf '\033[K'; fi
wait $ninja || {
    status=$?
    tail -n 30 "$log"
    exit $status
}
