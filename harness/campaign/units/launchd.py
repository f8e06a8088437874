"""A launchd job: a LaunchDaemon as root, or a LaunchAgent of the user who is logged in (launchd.plist(5)).

Which of the two it is decides what the system lets it receive: that is the comparison worth making.
"""

from __future__ import annotations

import plistlib
from pathlib import PurePosixPath

from harness.campaign.units.job import Job, Unit

_PREFIX = "org.multicast-harness.campaign"


def unit(job: Job) -> Unit:
    """Return the property list, its label ending with ".daemon" or ".agent"."""
    is_user = job.scope == "user"
    label = f"{_PREFIX}.{job.name}.{'agent' if is_user else 'daemon'}"
    folder = PurePosixPath(job.home) / "Library/LaunchAgents" if is_user else PurePosixPath("/Library/LaunchDaemons")
    log = str(PurePosixPath(job.directory) / f"launchd-{job.scope}.log")
    said = {
        "Label": label,
        "ProgramArguments": list(job.command),
        "RunAtLoad": True,
        "KeepAlive": {"SuccessfulExit": False},
        "ThrottleInterval": 30,
        "ProcessType": "Interactive",
        "EnvironmentVariables": {"HARNESS_CAMPAIGN": job.remark},
        "StandardOutPath": log,
        "StandardErrorPath": log,
    }
    path = folder / f"{label}.plist"
    domain = f"gui/{job.uid}" if is_user else "system"
    notes = (
        "it starts when the user logs in: switch automatic login on for a night without anybody",
        "it reboots with the user's rights: the reboot fails without a rule in sudoers or root",
    )
    return Unit(
        path,
        plistlib.dumps(said),
        enable=(("launchctl", "bootstrap", domain, str(path)),),
        disable=(("launchctl", "bootout", f"{domain}/{label}"),),
        notes=notes if is_user else (),
    )
