"""What a received packet costs by the number of groups, as a program of its own.

    python -m harness.bench.groups [--rate 10kpps] [--seconds 8] [GROUPS ...]

One receiver joins so many groups on loopback, a socket each up to 64 of them and several a socket beyond; another
process sends to all of them, together at the same rate each time. The figure is the receiver's processor time over
packets received, recording included, between 40 % and 95 % of them: joining, starting and analyzing are left out.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from harness.errors import HarnessError, UsageError
from harness.model.scenario_text import parse_scenario
from harness.run import Run, perform
from harness.units import parse_rate

NUMBERS, MOST_GROUPS = (1, 10, 64, 1000), 10_000
FIRST, LAST = 0.40, 0.95
HERE, PORT = "127.0.0.1", 5099
JOINING_S, START_S = 3.0, 20.0
"""The sender starts so long after its process has; the receiver gives up so long after it should be over."""

Sample = tuple[int, float]
"""Packets received, and processor seconds spent, both so far."""


def main() -> None:
    """Print each figure as it is measured."""
    parser = argparse.ArgumentParser(
        prog="python -m harness.bench.groups", description="What a received packet costs by the number of groups."
    )
    parser.add_argument("groups", metavar="GROUPS", nargs="*", type=int, default=NUMBERS, help="default: 1 10 64 1000")
    parser.add_argument("--rate", default="10kpps", help="of all groups together (default 10kpps)")
    parser.add_argument("--seconds", type=float, default=8.0, help="how long each is sent to (default 8)")
    args = parser.parse_args()
    if min(args.groups, default=1) < 1 or max(args.groups, default=1) > MOST_GROUPS:
        parser.error(f"GROUPS: from 1 to {MOST_GROUPS:,} can be joined")
    try:
        _print_costs(args.groups, parse_rate(args.rate).pps or 0.0, args.seconds)
    except HarnessError as exc:
        parser.error(str(exc))


def _print_costs(numbers: Sequence[int], rate_pps: float, seconds: float) -> None:
    if rate_pps <= 0 or seconds <= 0:
        raise UsageError("the rate has to be one in packets, such as 10kpps, and the time more than 0")
    first_us = None
    for n_groups in numbers:
        n_packets, n_lost, cpu_us = cost(n_groups, rate_pps, seconds)
        first_us = cpu_us if first_us is None else first_us
        what = f"{n_groups:,} group{'s' if n_groups > 1 else ''}"
        ratio = f"{cpu_us / first_us:.1f} x the first"
        sys.stdout.write(f"{what}: {cpu_us:.1f} us a packet, {ratio}; {n_packets:,} packets, {n_lost:,} lost\n")
        sys.stdout.flush()


def cost(n_groups: int, rate_pps: float, seconds: float) -> tuple[int, int, float]:
    """Return packets received, packets lost, and the receiver's processor time for one of them in us.

    Raises:
      HarnessError: the groups cannot be joined here, or too little was received to tell.
    """
    groups = [f"239.255.{100 + k // 200}.{k % 200 + 1}:{PORT}" for k in range(n_groups)]
    samples: list[Sample] = []
    runs: list[Run] = []
    with tempfile.TemporaryDirectory(prefix="harness-bench-") as folder:
        path = Path(folder)
        (path / "tx.toml").write_text(_sending(groups, rate_pps / n_groups, seconds))
        command = [sys.executable, "-m", "harness", "run", "tx.toml", "--output", "tx", "--no-report"]

        async def sample(run: Run) -> None:
            samples.append((run.recorder.n_received, time.process_time()))

        receiving = parse_scenario(_receiving(groups, seconds + START_S), "groups")
        with subprocess.Popen(command, cwd=path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as sender:
            try:
                perform(receiving, output=path / "rx", command=["bench"], on_progress=sample, on_start=runs.append)
            finally:
                sender.terminate()
    n_packets = runs[0].recorder.n_received if runs else 0
    inside = [one for one in samples if FIRST * n_packets <= one[0] <= LAST * n_packets]
    if len(inside) < 2 or inside[0][0] == inside[-1][0]:
        raise HarnessError(f"{n_packets:,} packets were received: too few to tell what one costs")
    (n_first, first_s), (n_last, last_s) = inside[0], inside[-1]
    lost = sum(view.lost or 0 for view in runs[0].recorder.view())
    return n_packets, lost, (last_s - first_s) / (n_last - n_first) * 1e6


def _sending(groups: list[str], pps: float, seconds: float) -> str:
    """Return the scenario of the sender: it begins once the receiver has joined, and no two streams together."""
    return "".join(
        f'[[stream]]\ngroup = "{group}"\ninterface = "{HERE}"\nrate = "{pps:.6f}pps"\nsize = "64"\n'
        f'duration = "{seconds}s"\nstart = "{JOINING_S * 1e6 + place * 1e6 / pps / len(groups):.0f}us"\n'
        for place, group in enumerate(groups)
    )


def _receiving(groups: list[str], seconds: float) -> str:
    named = ", ".join(f'"{group}"' for group in groups)
    return (
        f'duration = "{seconds}s"\nlinger = "200ms"\n'
        f'[[receiver]]\ngroups = [{named}]\ninterface = "{HERE}"\nbuffer = "8MB"\nwitnesses = []\n'
    )


if __name__ == "__main__":
    main()
