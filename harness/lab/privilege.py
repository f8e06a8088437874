"""What the lab needs of the system: root, or a user namespace of its own in which it is root."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

from harness.errors import LabError
from harness.lab.journal import PRIVATE

_TRIAL_S = 10.0
MOUNT = 'mount -t tmpfs tmpfs /run && mkdir /run/netns && exec "$@"'
"""Names of network namespaces are kept under /run, which is another's without root."""


def enter_lab() -> None:
    """Return when this process may build labs; without root, start the program anew in a user namespace of its own.

    Raises:
      LabError: neither is possible; one line that names what is missing.
    """
    if sys.platform != "linux":
        raise LabError("the lab needs Linux: network namespaces, bridges and nftables")
    if os.geteuid() == 0:
        return
    unshare = shutil.which("unshare")
    if unshare is None:
        raise LabError("the lab needs root, or unshare (package util-linux) and user namespaces")
    command = [unshare, "-Urnm", "--kill-child", "--fork", "sh", "-c", MOUNT, "sh"]
    tried = subprocess.run([*command, "true"], capture_output=True, timeout=_TRIAL_S, check=False)
    if tried.returncode:
        reason = tried.stderr.decode(errors="replace").strip().splitlines()
        raise LabError(
            "the lab needs root, or user namespaces, which this system refuses"
            + (f" ({reason[0]})" if reason else "")
            + "; run it as root, or allow them (sysctl kernel.unprivileged_userns_clone=1)"
        )
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(
        unshare,
        [*command, sys.executable, "-m", "harness", *sys.argv[1:]],
        {**os.environ, PRIVATE: "1"},
    )
