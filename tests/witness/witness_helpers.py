"""Runs of the real command line in namespaces, and what their witnesses heard."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
from netns import Namespace, cabled

from harness.capture import open_capture
from harness.model.witness import WitnessKind, WitnessSeries
from harness.store import RunReader, layout, open_run
from protocols.igmp import parse_igmp
from protocols.membership import RecordKind, Report

GROUP = "239.255.46.1:46461"
GROUP6 = "[ff15::46]:46466"
PATIENCE_S = 60.0


@dataclass
class Pair:
    """A sender's namespace and a receiver's, joined by a cable: tx0 10.77.0.1, rx0 10.77.0.2."""

    tx: Namespace
    rx: Namespace
    folder: Path

    def scenario(self, text: str, *, hosts: bool = True) -> RunReader:
        """Run a scenario; with `hosts` over the hosts "tx" and "rx", else on the receiver's side alone."""
        return run_scenario(self.folder, text + (self.hosts if hosts else ""), None if hosts else self.rx)

    @property
    def hosts(self) -> str:
        return "".join(
            f'\n[[host]]\nname = "{name}"\nkind = "namespace"\nnamespace = "{side.name}"\n'
            for name, side in (("tx", self.tx), ("rx", self.rx))
        )


@contextmanager
def pair(folder: Path) -> Iterator[Pair]:
    """Yield two namespaces with a cable; they are gone afterwards."""
    with cabled() as (tx, rx):
        yield Pair(tx, rx, folder)


def run_scenario(folder: Path, text: str, side: Namespace | None, *prefix: str) -> RunReader:
    """Run a scenario by the command line and return its recording."""
    number = len(list(folder.glob("*.toml")))
    file, output = folder / f"{number}.toml", folder / f"run{number}"
    file.write_text('linger = "200ms"\n' + text)
    line = [*prefix, sys.executable, "-m", "harness", "run", str(file), "--output", str(output), "--no-report"]
    environment = os.environ | {"XDG_STATE_HOME": str(folder / "state")}
    command = side.command(*line) if side is not None else line
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, env=environment)
    assert done.returncode in (0, 1), done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return open_run(output)


def stream(host: str = "", group: str = GROUP, **keys: object) -> str:
    return _table("stream", {"group": group, **({"host": host} if host else {}), **keys})


def receiver(host: str = "", groups: Sequence[str] = (GROUP,), **keys: object) -> str:
    return _table("receiver", {"groups": list(groups), **({"host": host} if host else {}), **keys})


def event(**keys: object) -> str:
    return _table("event", keys)


def _table(name: str, keys: dict[str, object]) -> str:
    return f"\n[[{name}]]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in keys.items())


def witnesses(reader: RunReader, host: str = "") -> list[WitnessSeries]:
    """Return what the witnesses of a run, or of one of its hosts, stored."""
    return (open_run(reader.path / layout.HOSTS / host) if host else reader).witnesses


def heard(
    found: Sequence[WitnessSeries],
    kind: WitnessKind,
    group: str = GROUP,
    *,
    interface: str | None = None,
    direction: str = "in",
) -> int:
    """Return how many packets a kind of witness counted; it must be there, and have nothing to complain of."""
    mine = [one for one in found if (one.kind, one.group, one.direction) == (kind, group, direction)]
    assert mine, f"no {kind}"
    assert [one.missing for one in mine] == [None] * len(mine)
    return sum(sum(one.counts) for one in mine if interface in (None, one.interface))


def records(path: Path) -> list[tuple[float, str, str]]:
    """Return the group records of the IGMP reports in a capture: seconds, record type, group."""
    if not path.exists():
        return []
    capture = open_capture(path)
    capture.scan()
    assert capture.warnings == []
    found = []
    for message in capture.memberships:
        parsed = parse_igmp(message.payload) if message.kind == "igmp" else None
        if isinstance(parsed, Report):
            found += [
                (message.rx_ns / 1e9, RecordKind(record.kind).name, str(record.group)) for record in parsed.records
            ]
    return found


def as_json(path: Path) -> object:
    return msgspec.json.decode(path.read_bytes())
