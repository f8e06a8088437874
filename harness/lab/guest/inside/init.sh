#!/bin/sh
# First process of a guest: loads drivers, stacks the persistent disk over the read-only one, hands over to its init.
# harness.hang on the kernel's command line stops here, as a boot does that never comes back.
b=/bin/busybox
$b mount -t devtmpfs dev /dev
$b mount -t proc proc /proc
$b mount -t sysfs sys /sys
for module in /modules/*.ko; do $b insmod "$module"; done
hang=
init=/sbin/init
for word in $($b cat /proc/cmdline); do
    case $word in
        harness.hang) hang=1 ;;
        harness.init=*) init=${word#*=} ;;
    esac
done
if [ -n "$hang" ]; then
    echo "harness: this boot hangs"
    while :; do $b sleep 3600; done
fi
disk() { # by its label; which of pmem0, pmem1 it is may change with the hardware
    for try in 1 2 3 4 5 6 7 8 9 10; do
        $b findfs "LABEL=$1" && return
        $b sleep 0.1
    done
    echo "harness: no disk $1" > /dev/console
}
$b mount -t ext4 -o ro,dax "$(disk root)" /lower
$b mount -t ext4 "$(disk data)" /data || $b reboot -f
$b mkdir -p /data/.overlay/upper /data/.overlay/work
$b mount -t overlay -o lowerdir=/lower,upperdir=/data/.overlay/upper,workdir=/data/.overlay/work root /root
$b mkdir -p /root/data /root/opt/harness
$b mount --move /data /root/data
$b mount -t ext4 -o ro,dax "$(disk code)" /root/opt/harness
for folder in dev proc sys; do $b mount --move "/$folder" "/root/$folder"; done
exec $b switch_root /root "$init"
