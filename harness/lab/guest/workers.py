"""What runs in a guest at each boot, and how its outcomes are read: the campaign itself, or a stand-in for it.

The stand-in is a hundred lines of the standard library around `harness receive`; with it, a mistake of the campaign's
cannot hide a mistake of the lab's.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harness.lab.guest.lab import BootSeen
from harness.lab.guest.outcome import BootResult, Outcome, campaign_results, results
from harness.lab.guest.roots import INSIDE, Kind

Disturbance = Literal["healthy", "deaf", "spare-card", "slow-switch", "cut-any-time", "cut-recording", "hang"]

GROUP = "239.255.7.7:5077"
DURATION_S, REOPEN_S = 6, 4
BACK_WITHIN_S = 60
"""A boot that begins later after the reboot hung before it, to the campaign."""


@dataclass(frozen=True, slots=True)
class Worker:
    """One of the two.

    Attributes:
      files: kind of guest and number of boots -> what lies on its disk at first, path -> text.
      results: folder read back, boots that the controller saw, MAC of the card with a cable -> every boot, in order.
      expected: what each disturbance must come to.
      has_begun: of a path that was synced in a boot, whether the boot is in the journal then.
      counts_hung: whether a boot that hung has a number of its own.
    """

    name: str
    files: Callable[[Kind, int], dict[str, str]]
    results: Callable[[Path, Sequence[BootSeen], str], list[BootResult]]
    expected: Mapping[Disturbance, Outcome]
    has_begun: Callable[[str], bool]
    counts_hung: bool


def stand_in_files(kind: Kind, n_boots: int) -> dict[str, str]:
    """Return the stand-in's command and settings; the same for every kind of guest."""
    del kind
    settings = {
        "group": GROUP,
        "interface": "eth0",
        "duration": f"{DURATION_S}s",
        "reopen_at": f"{REOPEN_S}s",
        "link_limit_s": 10,
        "n_boots": n_boots,
    }
    command = f"exec python3 {INSIDE}/standin.py /data/campaign\n"
    return {"guest/command": command, "campaign/campaign.json": json.dumps(settings)}


def campaign_files(kind: Kind, n_boots: int) -> dict[str, str]:
    """Return the campaign file and the command that starts it; with systemd, its own unit resumes it."""
    return {"guest/command": _SYSTEMD if kind == "systemd" else _MINIMAL, "guest/guest.toml": _TOML.format(n_boots)}


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

STAND_IN = Worker(
    name="stand-in",
    files=stand_in_files,
    results=results,
    expected={
        "healthy": "heard",
        "deaf": "deaf-until-reopened",
        "spare-card": "joined-wrong-interface",
        "slow-switch": "late",
        "cut-any-time": "interrupted",
        "cut-recording": "interrupted",
        "hang": "hung",
    },
    has_begun=lambda path: path.endswith("/journal.jsonl"),
    counts_hung=False,
)
CAMPAIGN = Worker(
    name="campaign",
    files=campaign_files,
    results=campaign_results,
    expected={
        "healthy": "ok",
        "deaf": "reproduced",
        "spare-card": "reproduced",
        "slow-switch": "reproduced",
        "cut-any-time": "crashed",
        "cut-recording": "crashed",
        "hang": "hung",
    },
    has_begun=lambda path: "/campaign/boots/" in path,
    counts_hung=True,
)
WORKERS = {worker.name: worker for worker in (STAND_IN, CAMPAIGN)}
