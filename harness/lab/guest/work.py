"""What runs in a guest, a campaign of `harness campaign`, and what each disturbance of a boot must make of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from harness.lab.guest.outcome import Finding
from harness.lab.guest.roots import Kind
from harness.model.boots import Outcome

Disturbance = Literal["healthy", "deaf", "spare-card", "slow-switch", "cut-any-time", "cut-recording", "hang"]

GROUP = "239.255.7.7:5077"
DURATION_S, REOPEN_S = 6, 4
BACK_WITHIN_S = 60
"""A boot that begins later after the reboot hung before it, to the campaign."""

EXPECTED: Mapping[Disturbance, tuple[Outcome, Finding]] = {
    "healthy": ("ok", "heard"),
    "deaf": ("reproduced", "deaf-until-reopened"),
    "spare-card": ("reproduced", "joined-wrong-interface"),
    "slow-switch": ("reproduced", "late"),
    "cut-any-time": ("crashed", ""),
    "cut-recording": ("crashed", ""),
    "hang": ("hung", ""),
}
"""What the campaign must call a boot, and what the boot's recording must show."""


def campaign_files(kind: Kind, n_boots: int) -> dict[str, str]:
    """Return the campaign file and the command that starts it; with systemd, its own unit resumes it."""
    return {"guest/command": _SYSTEMD if kind == "systemd" else _MINIMAL, "guest/guest.toml": _TOML.format(n_boots)}


def has_begun(path: str) -> bool:
    """Whether a boot is in the journal once this path of it was synced."""
    return path.startswith("/data/campaign/boots/")


_TOML = f"""
name = "guest"
allow_reboot = true
repeats = {{}}
countdown = "0s"
back_within = "{BACK_WITHIN_S}s"
min_free = "1MB"

[reproduced_when]
first_packet_after = "1s"

[[step]]
do = "wait_for_link"
interface = "eth0"
timeout = "10s"

[[step]]
do = "receive"
groups = ["{GROUP}"]
interface = "eth0"
duration = "{DURATION_S}s"

[[step]]
do = "reopen"
at = "{REOPEN_S}s"

[[step]]
do = "reboot"
"""

_BEGIN = "harness campaign start /data/guest/guest.toml --output /data/campaign"

_MINIMAL = f"""
if [ -s /data/campaign/journal.jsonl ]; then
    harness campaign resume /data/campaign --unattended
else
    {_BEGIN}
fi
grep -q '"kind":"finished"' /data/campaign/journal.jsonl && exit 75
exit 1
"""

_SYSTEMD = f"""
if [ ! -s /data/campaign/journal.jsonl ]; then
    harness campaign install /data/guest/guest.toml --output /data/campaign --system --yes
    sync
    {_BEGIN}
fi
while ! grep -q '"kind":"finished"' /data/campaign/journal.jsonl; do sleep 1; done
exit 75
"""
"""The first boot installs the unit and begins; after each reboot the unit goes on, and this only waits for the end."""
