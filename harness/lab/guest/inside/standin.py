"""Stands in for `harness campaign resume DIR`: a boot's line in the journal, a recording, the word that it reboots.

Run by path, so that nothing but the standard library is loaded before the first line is on the disk. DIR holds
`campaign.json`: group, interface, duration, reopen_at, n_boots.
"""

from __future__ import annotations

import json
import os
import runpy
import sys
import time
from pathlib import Path
from typing import Any

ALL_DONE = 75


class Journal:
    """Lines that are on the medium before what they tell is done."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> list[dict[str, Any]]:
        """Return what is there; a last line that a power cut tore is none."""
        lines = self.path.read_bytes().split(b"\n")[:-1] if self.path.exists() else []
        return [json.loads(line) for line in lines]

    def mend(self) -> None:
        """Cut off a torn last line, so that the next one begins a line of its own."""
        if self.path.exists():
            data = self.path.read_bytes()
            os.truncate(self.path, data.rfind(b"\n") + 1)

    def add(self, event: str, **more: Any) -> None:
        """Append a line and wait for the medium."""
        line = {
            "event": event,
            "boot_id": boot_id(),
            "realtime_ns": time.time_ns(),
            "boottime_ns": boottime_ns(),
            **more,
        }
        with self.path.open("ab") as file:
            file.write(json.dumps(line).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())


def boot_id() -> str:
    """Return the identity of this boot."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def boottime_ns() -> int:
    """Return the time since the kernel started."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def interfaces() -> list[dict[str, Any]]:
    """Return name, index, MAC and carrier of every interface but the loopback."""
    found = []
    for path in sorted(Path("/sys/class/net").iterdir()):
        if path.name != "lo":
            index, mac = (path / "ifindex").read_text(), (path / "address").read_text()
            found.append({"name": path.name, "index": int(index), "mac": mac.strip(), "is_up": has_link(path.name)})
    return sorted(found, key=lambda one: one["index"])


def has_link(name: str) -> bool:
    """Whether an interface has a carrier; one that is switched off does not tell."""
    try:
        return (Path("/sys/class/net") / name / "carrier").read_text().strip() == "1"
    except OSError:
        return False


def await_link(name: str, limit_s: float) -> bool:
    """Wait for the carrier; return whether it came."""
    deadline = time.monotonic() + limit_s
    while not has_link(name) and time.monotonic() < deadline:
        time.sleep(0.05)
    return has_link(name)


def receive(campaign: dict[str, Any], run: Path) -> int:
    """Record one boot with `harness receive`, in this process: a second Python would cost seconds under emulation."""
    sys.argv = ["harness", "receive", campaign["group"], "--interface", campaign["interface"]]
    sys.argv += ["--duration", campaign["duration"], "--at", f"{campaign['reopen_at']} reopen"]
    sys.argv += ["--output", str(run), "--no-report"]
    try:
        runpy.run_module("harness", run_name="__main__")
    except SystemExit as exc:
        return exc.code if isinstance(exc.code, int) else 1
    return 0


def main(folder: Path) -> int:
    """Do one boot of the campaign; 0 to reboot, ALL_DONE when there is no boot left."""
    campaign = json.loads((folder / "campaign.json").read_bytes())
    journal = Journal(folder / "journal.jsonl")
    journal.mend()
    number = sum(line["event"] == "boot" for line in journal.read()) + 1
    journal.add("boot", number=number, interfaces=interfaces())
    is_linked = await_link(campaign["interface"], campaign["link_limit_s"])
    journal.add("link", number=number, interface=campaign["interface"], is_up=is_linked, interfaces=interfaces())
    code = receive(campaign, folder / "boots" / f"{number:04}")
    journal.add("received", number=number, code=code)
    if number >= campaign["n_boots"]:
        journal.add("finished", number=number)
        return ALL_DONE
    journal.add("rebooting", number=number)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
