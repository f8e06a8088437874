"""Whether this machine's KVM can run a guest: found out by booting one, for the device may be there and be no use."""

from __future__ import annotations

import os
import subprocess
from typing import Literal

from harness.lab.guest import tools
from harness.lab.guest.kernel import Kernel
from harness.lab.guest.network import orphanless

Accelerator = Literal["tcg", "kvm"]

PROBE_S = 8.0
"""With KVM a kernel is at its first process within a second."""

_ALIVE = b"harness: this boot hangs"


def accelerator(kernel: Kernel, device: str = "/dev/kvm") -> Accelerator:
    """Return "kvm" where a kernel boots with it, else "tcg", software emulation.

    Raises:
      LabError: QEMU is not installed.
    """
    if not os.access(device, os.R_OK | os.W_OK):
        return "tcg"
    words = [tools.find("qemu-system-x86_64"), "-nodefaults", "-no-user-config", "-display", "none", "-vga", "none"]
    words += ["-machine", "pc", "-accel", "kvm", "-cpu", "host", "-m", "128", "-serial", "stdio", "-no-reboot"]
    words += ["-kernel", str(kernel.vmlinux), "-initrd", str(kernel.initramfs)]
    words += ["-append", "console=ttyS0 quiet panic=-1 harness.hang"]
    try:
        done = subprocess.run(
            orphanless(*words), stdin=subprocess.DEVNULL, capture_output=True, timeout=PROBE_S, check=False
        )
        said = done.stdout
    except subprocess.TimeoutExpired as exc:  # as it should: the boot hangs once it has said so
        said = exc.stdout or b""
    return "kvm" if _ALIVE in said else "tcg"
