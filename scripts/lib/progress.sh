# Sourced by scripts: says on stderr how long something has been going on, after its first second. On a
# terminal one line that is written over, else a line every ten seconds; stdout is not touched.

# with_progress WHAT LOG COMMAND...: runs the command (a function will do, in a process of its own), its
# output goes to the end of LOG. The status is the command's. Told to end, the script ends, and before it
# the command.
with_progress() {
    local what=$1 log=$2 began=$SECONDS said=-1 status=0 every=10
    shift 2
    "$@" >>"$log" 2>&1 &
    local child=$!
    # shellcheck disable=SC2064 # this child
    trap "pkill -P $child; kill $child 2>/dev/null; wait $child; exit 130" INT TERM
    if [ -t 2 ]; then every=1; fi
    while kill -0 $child 2>/dev/null; do
        sleep 0.1
        local now=$((SECONDS - began))
        if [ $now -gt 0 ] && [ $((now / every)) -ne $said ] && { [ -t 2 ] || [ $now -ge $every ]; }; then
            said=$((now / every))
            local step
            step=$(progress_step "$log") || true
            progress_line "$what: $now s${step:+, $step}"
        fi
    done
    if [ -t 2 ]; then printf '\033[K' >&2; fi
    wait $child || status=$?
    trap - INT TERM
    return $status
}

progress_line() { # TEXT
    if [ -t 2 ]; then printf '%s\033[K\r' "${1:0:100}" >&2; else echo "$1" >&2; fi
}

progress_step() { # LOG: the last that was said there, ninja's counts of steps for short
    tail -c 2048 "$1" | tr '\r' '\n' | tr -cd '[:print:]\n' | grep -v '^ *$' | tail -n 1 |
        sed -E 's,^\[([0-9]+)/([0-9]+)\].*,\1 of \2 steps,' | cut -c1-70
}
