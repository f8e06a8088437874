"""Ourselves as a child program: one end of a run by the engine that `harness send` and `harness receive` use.

    python -m harness.bench.own send|receive JSON

Everything is on: decoding, recording to disk, the live tally of every sequence number. What is left out is what comes
after the traffic, the analysis from disk, figures and report.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Literal

from harness.model.scenario import Receiver, Scenario, Stream
from harness.run import Run, perform


def main() -> None:
    """Run one end and print its result as one line of JSON."""
    asked = json.loads(sys.argv[2])
    with tempfile.TemporaryDirectory(prefix="harness-bench-") as folder:
        sys.stdout.write(json.dumps(_perform(sys.argv[1], asked, Path(folder) / "run")) + "\n")


def _perform(end: str, asked: dict[str, Any], path: Path) -> dict[str, Any]:
    runs: list[Run] = []
    cpu_ns = [0]

    def begin() -> None:
        """Count from when packets may come, as the bare loop does; what ends a run, and its last flush, is counted."""
        cpu_ns[0] = time.process_time_ns()

    def start(run: Run) -> None:
        runs.append(run)
        run.on_ready = begin

    scenario = _sending(asked) if end == "send" else _receiving(asked)
    outcome = perform(scenario, output=path, command=["harness", "bench"], on_start=start)
    (run,) = runs
    views = run.recorder.view()
    drops = run.receivings[0].drops() if run.receivings else None
    return {
        "error": outcome.error,
        "sent": run.recorder.n_sent,
        "received": sum(view.received for view in views),
        "lost": sum(view.lost or 0 for view in views),
        "drops": drops,
        "cpu_ns": time.process_time_ns() - cpu_ns[0],
        "delay_ns": _delays(path) if asked.get("delays") and end == "receive" else {},
    }


def _sending(asked: dict[str, Any]) -> Scenario:
    stream = Stream(
        group=asked["group"],
        interface=asked["interface"],
        rate=f"{asked['pps']}pps" if asked.get("pps") else "max",
        size=str(asked["size"]),
        duration=f"{asked['duration_s']}s",
        offload=asked.get("offload", False),
        precise=asked.get("precise", False),
    )
    return Scenario(name="bench-send", record=_record(asked), stream=[stream])


def _receiving(asked: dict[str, Any]) -> Scenario:
    receiver = Receiver(
        groups=[asked["group"]],
        interface=asked["interface"],
        buffer=str(asked["buffer"]) if asked.get("buffer") else None,
        offload=asked.get("offload", False),
        witnesses=[],
    )
    seconds = asked.get("patience_s", 10) + 5
    return Scenario(
        name="bench-receive", linger="400ms", timeout=f"{seconds}s", record=_record(asked), receiver=[receiver]
    )


def _record(asked: dict[str, Any]) -> Literal["packets", "counters"]:
    """Record packets one by one, but at the rates of offload, where they would be hundreds of megabytes a second."""
    return "counters" if asked.get("offload") else "packets"


def _delays(path: Path) -> dict[str, float]:
    """Return exact percentiles of the one-way delay of the recording, the first 5 % left out as warm-up."""
    import numpy as np

    from harness.store import open_run

    rows = np.concatenate(list(open_run(path).packets()))
    delays = np.sort((rows["rx_ns"] - rows["tx_ns"])[len(rows) // 20 :])
    return {str(p): float(delays[int(p / 100 * (len(delays) - 1))]) for p in (50, 99)} if len(delays) else {}


if __name__ == "__main__":
    main()
