"""Guests of the lab that really boot: QEMU with Debian's kernel, a persistent disk, a cable to a switch.

`image` brings what a guest boots from the cache, or builds it: `kernel` and `roots` make the parts, `python_tree` the
Python in them. `guest_lab` makes a switch, a sender and a disk around one guest; its `power_on` yields a `Machine`,
whose power can be cut. `volatile` is the disk whose cache a power cut empties, `readback` reads it afterwards, `inside`
is what runs in the guest. `reboot_campaign` runs a campaign of reboots, disturbs it, and judges what the disk holds:
`python -m harness.lab.guest`.

It takes root, and qemu-system-x86, busybox-static, e2fsprogs, lz4 and, for the guest with systemd, mmdebstrap.
"""

from harness.lab.guest.accelerator import accelerator
from harness.lab.guest.lab import BootSeen, GuestLab, Synced, guest_lab
from harness.lab.guest.machine import Hardware, Image, Machine, image
from harness.lab.guest.reboots import Verdict, reboot_campaign
from harness.lab.guest.work import Disturbance

__all__ = [
    "BootSeen",
    "Disturbance",
    "GuestLab",
    "Hardware",
    "Image",
    "Machine",
    "Synced",
    "Verdict",
    "accelerator",
    "guest_lab",
    "image",
    "reboot_campaign",
]
