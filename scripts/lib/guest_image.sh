#!/usr/bin/env bash
# Makes what a virtual machine boots from, without root: the distribution's kernel, taken out of its
# package file, and an initial RAM disk of busybox and a dozen of that kernel's modules.
#
# usage: guest_image.sh DEST      leaves DEST/vmlinuz and DEST/initrd
set -euo pipefail
export PATH=$PATH:/usr/sbin:/sbin
here=$(cd "$(dirname "$0")" && pwd)
. "$here/progress.sh"

readonly modules=(virtio_pci 9pnet_virtio 9p uio_pci_generic)

die() {
    echo "guest_image: $*" >&2
    exit 1
}

fetch_kernel() { # DEST PACKAGE: the package's kernel and modules in DEST/tree
    local dest=$1 package=$2
    rm -rf "$dest/tree" && mkdir -p "$dest/tree"
    : >"$dest/apt.log"
    (cd "$dest" && with_progress "the guest's kernel: fetching" "$dest/apt.log" apt-get download -q "$package") ||
        die "cannot fetch $package; see $dest/apt.log"
    with_progress "the guest's kernel: unpacking" "$dest/apt.log" unpack_kernel "$dest" "$package" ||
        die "cannot unpack $package; see $dest/apt.log"
    rm -f "$dest/$package"_*.deb
}

unpack_kernel() { # DEST PACKAGE
    dpkg-deb --fsys-tarfile "$1/$2"_*.deb |
        tar -x -C "$1/tree" --exclude='./usr/share' --exclude='./lib/modules/*/kernel/sound' \
            --exclude='./lib/modules/*/kernel/drivers/[!uvp]*'
}

module_files() { # TREE VERSION: files in the order in which they must be loaded
    local module
    depmod -b "$1" "$2"
    for module in "${modules[@]}"; do
        modprobe -d "$1" -S "$2" --show-depends "$module"
    done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }'
}

make_initrd() { # DEST VERSION
    local dest=$1 version=$2 root=$1/initrd.root file
    rm -rf "$root" && mkdir -p "$root"/{bin,dev,proc,sys,modules}
    cp /bin/busybox "$root/bin/busybox"
    cp "$here/guest_init.sh" "$root/init"
    chmod +x "$root/init"
    while read -r file; do
        cp "$file" "$root/modules/"
        basename "$file" >>"$root/modules/order"
    done < <(module_files "$dest/tree" "$version")
    (cd "$root" && find . | cpio -o -H newc --quiet -R 0:0) | gzip -1 >"$dest/initrd"
    rm -rf "$root"
}

main() {
    [ $# -eq 1 ] || die "usage: guest_image.sh DEST"
    local dest=$1 package version stamp
    package=$(apt-cache depends linux-image-amd64 | awk '/Depends: linux-image/ { print $2; exit }')
    [ -n "$package" ] || die "apt knows no linux-image-amd64; run: apt-get update"
    stamp="$package $(sha256sum "$here/guest_init.sh" "$0" | cut -c1-16 | tr '\n' ' ')"
    [ "$(cat "$dest/STAMP" 2>/dev/null)" != "$stamp" ] || return 0
    mkdir -p "$dest"
    dest=$(cd "$dest" && pwd)
    version=${package#linux-image-}
    [ -e "$dest/tree/boot/vmlinuz-$version" ] || fetch_kernel "$dest" "$package"
    make_initrd "$dest" "$version"
    cp "$dest/tree/boot/vmlinuz-$version" "$dest/vmlinuz"
    echo "$stamp" >"$dest/STAMP"
}

main "$@"
