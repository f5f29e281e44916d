#!/usr/bin/env bash
# Builds DPDK's own example router, l3fwd, from the distribution's source package, as the rival of
# scripts/bench_forward. Prints the path of the program.
#
# usage: l3fwd.sh BUILD
#
# Flags as for our own code: -O3 and the CPU's own instructions *after* Debian's -march=corei7, which
# would otherwise win. As shipped, l3fwd holds 1,024 routes (lpm) or 65,536 (fib): those limits, and the
# numbers of groups for longer routes, are raised to hold a full table of either family. Nothing else
# is changed. A DPDK that numbers them elsewhere is refused, not measured with the wrong limits.
set -euo pipefail
. "$(dirname "$0")/progress.sh"

die() {
    echo "l3fwd: $*" >&2
    exit 1
}

raise() { # FILE SED-EXPRESSION: must change exactly one line
    local before
    before=$(md5sum <"$1")
    sed -i "$2" "$1"
    [ "$before" != "$(md5sum <"$1")" ] || die "$1 is not as expected; cannot apply $2"
}

main() {
    [ $# -eq 1 ] || die "usage: l3fwd.sh BUILD"
    local build=$1 here work stamp
    here=$(cd "$(dirname "$0")" && pwd)
    mkdir -p "$build/deps"
    "$here/dpdk_source.sh" tree "$build/deps/dpdk-source" >&2
    work=$build/bench/l3fwd
    stamp=$(cat "$build/deps/dpdk-source/VERSION" "$0" | md5sum)
    if [ "$(cat "$work/stamp" 2>/dev/null)" = "$stamp" ]; then
        echo "$work/l3fwd"
        return
    fi
    rm -rf "$work" && mkdir -p "$work"
    cp -r "$build/deps/dpdk-source/dpdk/examples/l3fwd" "$work/source"
    cp -r "$build/deps/dpdk-source/dpdk/examples/common" "$work/common"
    raise "$work/source/l3fwd_lpm.c" \
        's/^\(#define IPV4_L3FWD_LPM_MAX_RULES\s*\)1024$/\1(1 << 20)/'
    raise "$work/source/l3fwd_lpm.c" \
        's/^\(#define IPV4_L3FWD_LPM_NUMBER_TBL8S\s*\)(1 << 8)$/\1(1 << 12)/'
    raise "$work/source/l3fwd_fib.c" \
        's/config_ipv4\.max_routes = (1 << 16);/config_ipv4.max_routes = (1 << 20);/'
    raise "$work/source/l3fwd_lpm.c" \
        's/^\(#define IPV6_L3FWD_LPM_MAX_RULES\s*\)1024$/\1(1 << 18)/'
    raise "$work/source/l3fwd_lpm.c" \
        's/^\(#define IPV6_L3FWD_LPM_NUMBER_TBL8S\s*\)(1 << 16)$/\1(1 << 18)/'
    raise "$work/source/l3fwd_fib.c" \
        's/\bconfig\.max_routes = (1 << 16) - 1;/config.max_routes = (1 << 18);/'
    raise "$work/source/l3fwd_fib.c" \
        's/\bconfig\.trie\.num_tbl8 = (1 << 15);/config.trie.num_tbl8 = (1 << 18);/'
    # shellcheck disable=SC2046 # the flags are words
    (cd "$work/source" && with_progress "building l3fwd" "$work/log" cc -O3 $(pkg-config --cflags libdpdk) -march=native -w \
        -DALLOW_EXPERIMENTAL_API -I../common \
        main.c l3fwd_acl.c l3fwd_lpm.c l3fwd_fib.c l3fwd_em.c l3fwd_event.c \
        l3fwd_event_generic.c l3fwd_event_internal_port.c \
        -o ../l3fwd $(pkg-config --libs libdpdk)) ||
        { tail -n 20 "$work/log" >&2; die "l3fwd does not build"; }
    echo "$stamp" >"$work/stamp"
    echo "$work/l3fwd"
}

main "$@"
