#!/bin/sh
# First process of a guest: loads drivers, stacks the persistent disk over the read-only one, hands over to its init.
# harness.hang on the kernel's command line stops here, as a boot does that never comes back.
# Commands without a path are applets of this shell's own program: no other has to be loaded and, emulated, translated.
/bin/busybox mount -t proc proc /proc
mount -t devtmpfs dev /dev
mount -t sysfs sys /sys
for module in /modules/*.ko; do insmod "$module"; done
hang=
init=/sbin/init
read -r words < /proc/cmdline
for word in $words; do
    case $word in
        harness.hang) hang=1 ;;
        harness.init=*) init=${word#*=} ;;
    esac
done
if [ -n "$hang" ]; then
    echo "harness: this boot hangs"
    while :; do sleep 3600; done
fi
disk() { # by its label; which of pmem0, pmem1 it is may change with the hardware
    for try in 1 2 3 4 5 6 7 8 9 10; do
        findfs "LABEL=$1" && return
        sleep 0.1
    done
    echo "harness: no disk $1" > /dev/console
}
mount -t ext4 -o ro,dax "$(disk root)" /lower
mount -t ext4 "$(disk data)" /data || reboot -f
mkdir -p /data/.overlay/upper /data/.overlay/work
mount -t overlay -o lowerdir=/lower,upperdir=/data/.overlay/upper,workdir=/data/.overlay/work root /sysroot
mkdir -p /sysroot/data /sysroot/opt/harness
mount --move /data /sysroot/data
mount -t ext4 -o ro,dax "$(disk code)" /sysroot/opt/harness
for folder in dev sys proc; do /bin/busybox mount --move "/$folder" "/sysroot/$folder"; done
exec /bin/busybox switch_root /sysroot "$init"
