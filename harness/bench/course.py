"""All disciplines one after the other; what is done so far survives an interruption."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from harness.bench.disciplines import all_disciplines
from harness.bench.place import place_for_bench
from harness.bench.rows import Bench
from harness.bench.tools import find_peers
from harness.errors import HarnessError, UsageError, nearest
from harness.model.bench import BenchResult, BenchRow

BUFFER_BYTES = 8_000_000
QUICK, FULL = (1, 0.3), (5, 1.0)
"""Rounds, and seconds of each."""

KEYS = (
    "rate-64", "rate-1400", "rate-offload", "cpu", "pacing-1000", "pacing-10000", "delay", "own-buffer", "memory",
    "start",
)  # fmt: skip


def run_bench(
    *,
    is_quick: bool = False,
    install: bool = True,
    only: Sequence[str] = (),
    use_loopback: bool = False,
    tell: Callable[[str], None] = lambda _: None,
) -> BenchResult:
    """Run the bench and return what it found, up to where Ctrl-C ended it.

    Args:
      is_quick: one short round of each, to see that all works; its figures mean little.
      install: as root, install missing peers with apt-get.
      only: keys of disciplines to run; all when empty.
      use_loopback: take loopback also where namespaces could be made.
      tell: called with lines of progress.

    Raises:
      UsageError: an unknown discipline.
      HarnessError: the namespaces cannot be made.
    """
    for key in only:
        if key not in KEYS:
            raise UsageError(f"no discipline {key!r}{nearest(key, KEYS)}")
    rounds, seconds = QUICK if is_quick else FULL
    found, absent = find_peers(install)
    load = [os.getloadavg()[0]]
    rows: dict[str, BenchRow] = {}
    notes: list[str] = []
    is_complete = False
    name = ""
    buffer_bytes = common_buffer()
    if buffer_bytes < BUFFER_BYTES:
        notes.append(f"receive buffers of {buffer_bytes:,} B: net.core.rmem_max allows the peers no more")
    try:
        with place_for_bench(use_loopback) as place:
            name = place.name
            bench = Bench(place, set(found), rounds, seconds, buffer_bytes, is_quick, tell)
            for key, measure in all_disciplines(bench).items():
                if only and key not in only:
                    continue
                tell(key)
                try:
                    rows |= {row.key: row for row in measure(rows)}
                except (HarnessError, OSError) as exc:
                    notes.append(f"{key}: {exc}")
            is_complete = True
    except KeyboardInterrupt:
        notes.append("interrupted: the rows that are missing were not measured")
    if not place_is_private(name):
        notes.append("loopback without namespaces: the kernel's counters count other programs' packets too")
    return BenchResult(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        is_quick=is_quick,
        is_complete=is_complete,
        place=name,
        rounds=rounds,
        buffer_bytes=buffer_bytes,
        kernel=f"{platform.system()} {platform.release().partition('-')[0]}",
        n_cpus=os.cpu_count() or 1,
        load=[*load, os.getloadavg()[0]],
        tools=found,
        absent=absent,
        rows=list(rows.values()),
        notes=notes,
    )


def place_is_private(name: str) -> bool:
    """Return whether a place of this name was the bench's alone."""
    return name != "loopback"


def common_buffer() -> int:
    """Return the receive buffer that every tool can be given: 8 MB, or what an ordinary option may ask for."""
    try:
        return min(BUFFER_BYTES, int(Path("/proc/sys/net/core/rmem_max").read_text(encoding="ascii")))
    except (OSError, ValueError):
        return BUFFER_BYTES


def default_output(folder: Path) -> Path:
    """Return the file of a bench that starts now."""
    return folder / f"{time.strftime('%Y%m%d-%H%M%S')}.json"
