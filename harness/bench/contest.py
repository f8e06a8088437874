"""One pair of programs at work, counted by the kernel's counters: the same yardstick for all of them."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.bench.place import Place
from harness.bench.tools import Task, Tool
from harness.net import UdpCounters, udp_counters

SAMPLE_S, SELDOM_S = 0.02, 0.25
"""How often the receiver's counter is read: for a rate, and where it only tells the end. A reading takes half a
millisecond of a processor, and a sender that has to make way for it is late."""
SETTLE_S = 0.2
OPEN_S = 8.0
END_S = 6.0
OVERDUE_S = 5.0


@dataclass(slots=True)
class Contest:
    """What came of a pair.

    Attributes:
      sent, received, dropped: datagrams by the kernel's counters of either side; dropped by full receive buffers.
      pps: rate of reception between the first and the last tenth.
      rx, tx: what our own programs report; {} for peers.
      text: what both printed.
      n_unread: datagrams at its end that the receiver does not wait for.
      error: why there is nothing, "" otherwise.
    """

    sent: int = 0
    received: int = 0
    dropped: int = 0
    pps: float = 0.0
    rx: dict[str, Any] = field(default_factory=dict)
    tx: dict[str, Any] = field(default_factory=dict)
    text: str = ""
    n_unread: int = 0
    error: str = ""

    @property
    def is_loss_free(self) -> bool:
        """Whether everything that was sent was read."""
        return not self.error and 0 < self.sent <= self.received + self.n_unread and not self.dropped


def contest(place: Place, tool: Tool, task: Task, *, at_half: Callable[[int], None] | None = None) -> Contest:
    """Run a tool's pair once.

    Args:
      place: where.
      tool: whose receiver and sender.
      task: what they do.
      at_half: called with the receiver's process id when half of the time is over.

    Of a precise task times are measured, and not the rate.
    """
    done = run_pair(
        place, tool.receive(place, task), tool.send(place, task), tool.port, task.seconds,
        ends_itself=tool.ends_itself, at_half=at_half, sample_s=SELDOM_S if task.precise else SAMPLE_S,
    )  # fmt: skip
    done.n_unread = tool.n_unread
    return done


def run_pair(
    place: Place, receive: Sequence[str], send: Sequence[str], port: int, seconds: float, *,
    ends_itself: bool, at_half: Callable[[int], None] | None = None, sample_s: float = SAMPLE_S,
) -> Contest:  # fmt: skip
    """Run a receiver and a sender once; whatever happens, both have ended afterwards."""
    with tempfile.TemporaryFile() as rx_out, tempfile.TemporaryFile() as tx_out:
        rx = subprocess.Popen(receive, stdin=subprocess.DEVNULL, stdout=rx_out, stderr=subprocess.STDOUT)
        tx: subprocess.Popen[bytes] | None = None
        try:
            if not _is_open(rx, place.rx.proc_net, port):
                return Contest(error=f"receiver did not open port {port}: {_text(rx_out)[-200:]}")
            before = _counters(place)
            tx = subprocess.Popen(send, stdin=subprocess.DEVNULL, stdout=tx_out, stderr=subprocess.STDOUT)
            samples = _watch(tx, rx, place, seconds, sample_s, at_half)
            _end(tx, False)
            _end(rx, ends_itself)
            after = _counters(place)
        finally:
            for child in (rx, tx):
                if child is not None and child.poll() is None:
                    child.kill()
                    child.wait()
        done = Contest(text=_text(rx_out) + _text(tx_out), rx=_report(_text(rx_out)), tx=_report(_text(tx_out)))
    done.sent = (after[0].sent or 0) - (before[0].sent or 0)
    done.received = (after[1].received or 0) - (before[1].received or 0)
    done.dropped = (after[1].receive_buffer_errors or 0) - (before[1].receive_buffer_errors or 0)
    done.pps = middle_rate(samples)
    done.error = done.rx.get("error") or done.tx.get("error") or ("" if done.received else "nothing was received")
    return done


def middle_rate(samples: list[tuple[float, int]]) -> float:
    """Return the rate between a tenth and nine tenths of a count that was sampled, per second; 0.0 for a count of 0.

    >>> round(middle_rate([(0.0, 0), (1.0, 0), (2.0, 100), (3.0, 200), (9.0, 200)]))
    100
    """
    first, last = (samples[0][1], samples[-1][1]) if samples else (0, 0)
    total = last - first
    if total <= 0:
        return 0.0

    def crossing(part: float) -> float:
        level = first + part * total
        for (t0, n0), (t1, n1) in itertools.pairwise(samples):
            if n1 >= level and n1 > n0:
                return t0 + (t1 - t0) * (level - n0) / (n1 - n0)
        return samples[-1][0]

    lasted = crossing(0.9) - crossing(0.1)
    return 0.8 * total / lasted if lasted > 0 else 0.0


def _watch(
    tx: subprocess.Popen[bytes], rx: subprocess.Popen[bytes], place: Place, seconds: float, sample_s: float,
    at_half: Callable[[int], None] | None,
) -> list[tuple[float, int]]:  # fmt: skip
    """Sample the receiver's counter while the sender is at work and until it stands still."""
    samples: list[tuple[float, int]] = []
    start = moved = time.monotonic()
    traffic_began = 0.0
    while True:
        time.sleep(sample_s)
        now, count = time.monotonic(), _received(place)
        if not samples or samples[-1][1] != count:
            moved = now
            if samples and not traffic_began:
                traffic_began = now
        samples.append((now, count))
        if at_half is not None and traffic_began and now - traffic_began > seconds / 2:
            at_half(rx.pid)
            at_half = None
        is_over = tx.poll() is not None and now - moved > SETTLE_S
        if traffic_began and now - traffic_began > seconds + OVERDUE_S and tx.poll() is None:
            tx.kill()  # mgen at full rate may not hear its own timer
        if is_over or now - start > seconds + OPEN_S + END_S:
            return samples


def _end(child: subprocess.Popen[bytes], ends_itself: bool) -> None:
    """Wait for a program to end, told to or not."""
    for number in [None, signal.SIGINT, signal.SIGTERM] if ends_itself else [signal.SIGINT, signal.SIGTERM]:
        if child.poll() is None and number is not None:
            child.send_signal(number)
        try:
            child.wait(END_S if number is None else 1.0)
        except subprocess.TimeoutExpired:
            continue
        return
    child.kill()
    child.wait()


def _is_open(rx: subprocess.Popen[bytes], proc_net: Path, port: int) -> bool:
    """Wait until something listens on a port; the join follows within moments."""
    wanted = f":{port:04X} "
    end = time.monotonic() + OPEN_S
    while time.monotonic() < end and rx.poll() is None:
        listed = "".join((proc_net / name).read_text(encoding="ascii") for name in ("udp", "tcp", "tcp6"))
        if wanted in listed:
            time.sleep(0.15)
            return True
        time.sleep(0.01)
    return False


def _counters(place: Place) -> tuple[UdpCounters, UdpCounters]:
    tx, rx = udp_counters(4, place.tx.proc_net), udp_counters(4, place.rx.proc_net)
    return tx or UdpCounters(), rx or UdpCounters()


def _received(place: Place) -> int:
    counters = udp_counters(4, place.rx.proc_net)
    return (counters.received or 0) if counters else 0


def _text(file: Any) -> str:
    file.seek(0, os.SEEK_SET)
    return str(file.read().decode("utf-8", "replace"))


def _report(text: str) -> dict[str, Any]:
    """Return the line of JSON that our own programs end with; {} without one, an "error" for a traceback."""
    for line in reversed(text.splitlines()):
        if line.startswith("{"):
            report: dict[str, Any] = json.loads(line)
            return report
    last = text.strip().splitlines()[-1:] if "Traceback" in text else []
    return {"error": last[0]} if last else {}
