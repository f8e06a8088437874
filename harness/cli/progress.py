"""The line that shows that a run is alive: rate, loss, last window, own drops; twice a second at most.

On a terminal it stays one line; elsewhere (a log, a service) it is printed every ten seconds. It goes to stderr.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from harness.units import NS_PER_S, format_duration, format_scaled

if TYPE_CHECKING:
    from rich.status import Status

    from harness.analyzer import StreamView
    from harness.run import DistributedRun, Run

LOG_PERIOD_S = 10.0


class Progress:
    """Draws the live line of a run; use as a context manager, and pass `update` as `on_progress`."""

    def __init__(self) -> None:
        self._status: Status | None = None
        self._last_ns = self._last_logged_ns = 0
        self._last_n = 0
        self._is_terminal = sys.stderr.isatty()

    def __enter__(self) -> Progress:
        if self._is_terminal:
            from rich.console import Console

            self._status = Console(stderr=True).status("starting", refresh_per_second=2)
            self._status.start()
        return self

    def __exit__(self, *exc: object) -> None:
        if self._status is not None:
            self._status.stop()

    async def update(self, run: Run) -> None:
        """Show the state of a run now."""
        self.show(self._text(run), run.clock.now_ns())

    def update_hosts(self, run: DistributedRun) -> None:
        """Show the state of a run over several hosts now, as its agents told it last."""
        now_ns = run.clock.now_ns()
        parts = [format_duration(max(0, now_ns - (run.started_ns or now_ns)) // 10**8 * 10**8)]
        for side in run.sides:
            status = side.status
            figures = [f"sent {status.n_sent:,}"] if side.share.scenario.stream else []
            figures += [f"refused {status.n_refused:,}"] if status.n_refused else []
            if side.share.scenario.receiver:
                figures += [f"received {status.n_received:,}", f"lost {status.lost or 0:,}"]
            parts.append(f"{side.name}: {' '.join(figures) if side.is_there else 'gone'}")
        self.show("  ".join(parts), now_ns)

    def show(self, text: str, now_ns: int) -> None:
        """Show a line on the terminal; elsewhere now and then."""
        if self._status is not None:
            self._status.update(text)
            return
        if now_ns - self._last_logged_ns >= LOG_PERIOD_S * NS_PER_S:
            self._last_logged_ns = now_ns
            print(f"harness: {text}", file=sys.stderr, flush=True)

    def _text(self, run: Run) -> str:
        now_ns, recorder = run.clock.now_ns(), run.recorder
        views = recorder.view()
        n_received = sum(view.received for view in views)  # as the report counts: no copies, no ends of streams
        n = n_received if run.receivings else recorder.n_sent
        pps = (n - self._last_n) * NS_PER_S / max(1, now_ns - (self._last_ns or run.started_ns))
        self._last_ns, self._last_n = now_ns, n
        parts = [format_duration(max(0, now_ns - run.started_ns) // 10**8 * 10**8)]
        if run.sendings:
            parts.append(f"sent {recorder.n_sent:,}")
            if recorder.n_refused:
                parts.append(f"refused {recorder.n_refused:,}")
        if run.receivings:
            parts.append(f"received {n_received:,}")
        parts.append(format_scaled(max(0.0, pps), "pps"))
        if run.receivings:
            parts += self._loss(run, views)
        return "  ".join(parts)

    def _loss(self, run: Run, views: list[StreamView]) -> list[str]:
        if not views:
            return ["waiting for the first packet"]
        parts = [f"lost {sum(view.lost or 0 for view in views):,}"]
        gaps = [(view.last_gap, view.number) for view in views if view.last_gap is not None]
        if gaps:
            (first, last), number = max(gaps, key=lambda gap: gap[0][1])
            interval_ns = run.recorder.registry.streams[number].interval_ns
            length = f" ({format_duration((last - first + 1) * interval_ns)})" if interval_ns else ""
            parts.append(f"last window {last - first + 1:,} packets{length}")
        n_drops = sum(receiving.drops() or 0 for receiving in run.receivings)
        if n_drops:
            parts.append(f"own buffer dropped {n_drops:,}")
        return parts


class AnalysisProgress:
    """Shows on a terminal how far a long analysis is; use as a context manager, and pass `update` as `on_progress`."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._status: Status | None = None
        self._shown_s = time.monotonic()

    def __enter__(self) -> AnalysisProgress:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._status is not None:
            self._status.stop()

    def update(self, part: float) -> None:
        """Show that `part`, from 0 to 1, is done; the first time after a second, then twice a second at most."""
        wait_s = 1.0 if self._status is None else 0.5
        if not sys.stderr.isatty() or time.monotonic() - self._shown_s < wait_s:
            return
        self._shown_s = time.monotonic()
        if self._status is None:
            from rich.console import Console

            self._status = Console(stderr=True).status("", refresh_per_second=2)
            self._status.start()
        self._status.update(f"analyzing {self._what}: {part:.0%}")
