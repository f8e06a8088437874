"""`python -m harness.lab.guest`: a campaign of real reboots in a guest, and its table; exit code 0 if all is right."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from functools import partial
from typing import get_args

import trio

from harness.errors import HarnessError
from harness.lab.guest.accelerator import accelerator
from harness.lab.guest.machine import image
from harness.lab.guest.reboots import MIXED, Row, Verdict, reboot_campaign, told
from harness.lab.guest.roots import Kind
from harness.lab.guest.work import EXPECTED, Disturbance
from harness.units import format_duration

_FORMAT = "{:>4}  {:8}  {:13}  {:>12}  {:>7}  {:34}  {}"
_PASSED, _FAILED, _CANNOT = 0, 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Build the image if it is not there, run the campaign, print the table; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m harness.lab.guest", description="Reboot a guest, for real.")
    parser.add_argument("--kind", choices=get_args(Kind), default="minimal", help="which guest (default: minimal)")
    parser.add_argument("--boots", type=int, default=len(MIXED), help=f"the first so many of {len(MIXED)} boots")
    parser.add_argument("--seed", type=int, default=1, help="of the power cuts (default: 1)")
    args = parser.parse_args(arguments)
    try:
        started = time.monotonic()
        made = image(args.kind)
        _say(f"image {args.kind} ready after {time.monotonic() - started:.1f} s: {made.root}")
        plan: list[Disturbance] = [*MIXED[: max(1, args.boots)]]
        while plan[-1] not in ("healthy", "deaf"):
            plan.append("healthy")
        speed = accelerator(made.kernel)
        _say(f"guest runs by {'KVM' if speed == 'kvm' else 'software emulation'}")
        options = {"seed": args.seed, "accelerator": speed, "on_boot": _announce}
        verdict = trio.run(partial(reboot_campaign, made, plan, **options))
    except HarnessError as exc:
        _say(str(exc))
        return _CANNOT
    except KeyboardInterrupt:
        return _FAILED
    _say(table(verdict))
    return _FAILED if verdict.problems else _PASSED


def table(verdict: Verdict) -> str:
    """Return what a campaign came to, as text."""
    head = ("boot", "boot id", "done to it", "first packet", "packets", "outcome", "as expected")
    lines = [_FORMAT.format(*head), *(_line(row) for row in verdict.rows), ""]
    lines.append(f"{sum(row.is_right for row in verdict.rows)} of {len(verdict.rows)} verdicts right")
    healthy = [row.result.first_ns for row in verdict.rows if row.disturbance == "healthy"]
    times = [first_ns for first_ns in healthy if first_ns is not None]
    if times:
        span = f"{format_duration(min(times))} to {format_duration(max(times))}"
        lines.append(f"power-on or reset to first packet, healthy boots: {span}")
    lines.append(
        f"{verdict.n_synced} syncs told by the guest, {verdict.n_rows_synced} packets in them, "
        f"{verdict.n_flushes} flushes of the disk, {verdict.n_lost_sectors} unsynced sectors lost by power cuts"
    )
    lines += [f"PROBLEM: {problem}" for problem in verdict.problems]
    return "\n".join(lines if verdict.problems else [*lines, "everything synced is there; every boot once"])


def _line(row: Row) -> str:
    result = row.result
    first = "" if result.first_ns is None else format_duration(result.first_ns)
    packets = str(result.rows) if result.boot_id else ""
    mark = "yes" if row.is_right else f"NO, {told(EXPECTED[row.disturbance])}"
    return _FORMAT.format(result.number, result.boot_id[:8], row.disturbance, first, packets, str(row), mark)


def _announce(attempt: int, disturbance: Disturbance) -> None:
    _say(f"boot {attempt}: {disturbance}")


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 -- this is a program of its own, for the lab


if __name__ == "__main__":
    sys.exit(main())
