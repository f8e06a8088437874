#!/bin/sh
# Second half of the boot of a minimal guest, in place of a service manager.
PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
HOME=/root
HARNESS_TELL=1
export PATH HOME HARNESS_TELL
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /tmp
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mkdir -p /sys/fs/cgroup/system.slice
echo $$ > /sys/fs/cgroup/system.slice/cgroup.procs
stty -F /dev/ttyS1 raw -echo
sh /opt/harness/harness/lab/guest/inside/prepare.sh
sh /opt/harness/harness/lab/guest/inside/service.sh
while :; do sleep 3600; done
