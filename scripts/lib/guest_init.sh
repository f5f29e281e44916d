#!/bin/busybox sh
# /init of the virtual machine of scripts/nic_vm: the host's root, read-only, two NICs in the hands
# of uio_pci_generic, huge pages; then the script that the host left. Every word goes to the console.
/bin/busybox --install -s /bin
export PATH=/bin:/sbin:/usr/bin:/usr/sbin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev

fail() {
    echo "guest: $*"
    poweroff -f
}

while read -r module; do
    insmod "/modules/$module" || fail "cannot load $module"
done </modules/order

mkdir -p /host
mount -t 9p -o ro,trans=virtio,version=9p2000.L,msize=512000,cache=loose host /host ||
    fail "cannot mount the host's root"
mount -t proc proc /host/proc
mount -t sysfs sys /host/sys
mount -t devtmpfs dev /host/dev
mount -t tmpfs tmp /host/tmp
mount -t tmpfs run /host/run

nics=
for device in /sys/bus/pci/devices/*; do
    [ "$(cat "$device/class")" = 0x020000 ] || continue
    address=${device##*/}
    echo uio_pci_generic >"$device/driver_override"
    # virtio-pci, which the host's root came through, has taken the virtio NICs already.
    [ ! -e "$device/driver" ] || echo "$address" >"$device/driver/unbind"
    echo "$address" >/sys/bus/pci/drivers_probe
    case $(readlink "$device/driver") in
    */uio_pci_generic) ;;
    *) fail "$address does not accept uio_pci_generic" ;;
    esac
    nics="$nics $address"
done
echo "guest: huge pages free: $(grep HugePages_Free /proc/meminfo), NICs:$nics"
ip link set lo up

script=$(sed -n 's/.*guest_script=\([^ ]*\).*/\1/p' /proc/cmdline)
chroot /host /bin/sh "$script" $nics
echo "guest: ended with status $?"
poweroff -f
