#!/usr/bin/env bash
# Fetches the distribution's DPDK *source* package of the version that is installed, into the build
# area, and puts the driver headers that Debian leaves out of libdpdk-dev where the build finds them.
#
# usage: dpdk_source.sh headers DEST     the five driver headers into DEST
#        dpdk_source.sh tree DEST        the whole unpacked source tree into DEST (for l3fwd)
#
# The user's apt configuration is only read: the package's own archive addresses are taken from it
# and asked for source indexes in a private apt state under DEST. Works as an ordinary user.
set -euo pipefail
. "$(dirname "$0")/progress.sh"

readonly driver_headers=(
    lib/ethdev/ethdev_driver.h
    lib/ethdev/ethdev_vdev.h
    drivers/bus/vdev/bus_vdev_driver.h
    lib/eal/include/dev_driver.h
    lib/eal/include/bus_driver.h
)

die() {
    echo "dpdk_source: $*" >&2
    exit 1
}

installed_version() {
    dpkg-query -W -f '${source:Version}' libdpdk-dev 2>/dev/null ||
        die "libdpdk-dev is not installed; run: apt-get install libdpdk-dev"
}

write_private_sources() { # the archives that this machine takes binary packages from, as deb-src
    local list=$1
    apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Identifier: Packages' |
        sort -u | awk 'NF == 3 { print "deb-src", $1, $2, $3 }' >"$list"
    [ -s "$list" ] || die "no package archive is configured (apt-get update has never run?)"
}

fetch_source() { # DEST VERSION: leaves DEST/dpdk
    local dest=$1 version=$2 apt
    apt=$dest/apt
    mkdir -p "$apt"/{state/lists/partial,cache/archives/partial,etc/parts}
    : >"$apt/state/status"
    write_private_sources "$apt/etc/sources.list"
    local options=(
        -o "Dir::State=$apt/state" -o "Dir::State::status=$apt/state/status"
        -o "Dir::Cache=$apt/cache" -o "Dir::Etc::sourcelist=$apt/etc/sources.list"
        -o "Dir::Etc::sourceparts=$apt/etc/parts" -o "APT::Sandbox::User=$(id -un)"
        -o "Acquire::Languages=none" -q
    )
    : >"$dest/apt.log"
    with_progress "DPDK's source: reading the index" "$dest/apt.log" apt-get "${options[@]}" update ||
        die "cannot read the source indexes; see $dest/apt.log"
    (cd "$dest" && with_progress "DPDK's source: fetching" "$dest/apt.log" \
        apt-get "${options[@]}" source --download-only "dpdk=$version") || die "no source of dpdk $version; see $dest/apt.log"
    rm -rf "$dest/dpdk"
    with_progress "DPDK's source: unpacking" "$dest/apt.log" dpkg-source -x "$dest"/dpdk_*.dsc "$dest/dpdk" ||
        die "cannot unpack the source of dpdk; see $dest/apt.log"
    rm -rf "$apt" "$dest"/dpdk_*
}

main() {
    [ $# -eq 2 ] || die "usage: dpdk_source.sh headers|tree DEST"
    local what=$1 dest=$2 version scratch header
    version=$(installed_version)
    if [ "$(cat "$dest/VERSION" 2>/dev/null)" = "$version" ]; then
        return
    fi
    mkdir -p "$dest"
    dest=$(cd "$dest" && pwd)
    scratch=$dest/.fetch
    rm -rf "$scratch" && mkdir -p "$scratch"
    fetch_source "$scratch" "$version"
    case $what in
    headers)
        for header in "${driver_headers[@]}"; do
            cp "$scratch/dpdk/$header" "$dest/"
        done
        ;;
    tree)
        rm -rf "$dest/dpdk" && mv "$scratch/dpdk" "$dest/dpdk"
        ;;
    *) die "unknown request '$what'" ;;
    esac
    rm -rf "$scratch"
    echo "$version" >"$dest/VERSION"
}

main "$@"
