"""One trial on this machine: a run of one sender and one receiver, analyzed from its recording like any other."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.analysis import analyze_recording
from harness.errors import HarnessError
from harness.model import Summary
from harness.model.datagrams import most_dropped
from harness.model.scenario import Receiver, Scenario, Stream
from harness.model.search import SearchTrial
from harness.run import perform
from harness.search.hunt import judge
from harness.store import open_run
from harness.units import NS_PER_S


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialSettings:
    """What the trials of a search have in common; quantities spelt as in a scenario.

    Attributes:
      interface, receive_interface: where packets leave and arrive; the latter None for the same.
      keep: keep the recording of each trial, which takes 64 bytes a packet.
    """

    group: str
    interface: str | None
    receive_interface: str | None = None
    size: str = "200"
    ttl: int = 1
    buffer: str | None = "8MB"
    offload: bool = False
    trial_ns: int = 2 * NS_PER_S
    loss_tolerance: float = 0.0
    keep: bool = False


class LocalTrials:
    """Makes trials, each in a directory of its own below `folder`.

    Args:
      settings: what they have in common.
      folder: where the recordings go, trial-001 and so on.
      command: the command line that repeats the search, for the manifests.
    """

    def __init__(self, settings: TrialSettings, folder: Path, command: Sequence[str]) -> None:
        self.settings, self.folder, self.command = settings, folder, list(command)

    def __call__(self, number: int, load_pps: float) -> SearchTrial | None:
        """Return the trial at a load; None when a signal ended it.

        Raises:
          HarnessError: the run could not be made here; what went wrong in one line.
        """
        path = self.folder / f"trial-{number:03}"
        outcome = perform(self._scenario(load_pps), output=path, command=self.command)
        if outcome.reason == "interrupted":
            return None
        if outcome.error is not None:
            raise HarnessError(outcome.error)
        trial = self._trial(number, load_pps, path)
        if not self.settings.keep:
            shutil.rmtree(path)
        return trial

    def _scenario(self, load_pps: float) -> Scenario:
        settings = self.settings
        is_one_interface = settings.receive_interface in (None, settings.interface)
        stream = Stream(
            group=settings.group,
            interface=settings.interface,
            rate=f"{load_pps:.6f}pps",
            size=settings.size,
            duration=f"{settings.trial_ns}ns",
            ttl=settings.ttl,
            loop=is_one_interface,
            offload=settings.offload,
        )
        receiver = Receiver(
            groups=[settings.group],
            interface=settings.interface if is_one_interface else settings.receive_interface,
            buffer=settings.buffer,
            offload=settings.offload,
            witnesses=[],
        )
        return Scenario(name="search", linger="200ms", stream=[stream], receiver=[receiver])

    def _trial(self, number: int, load_pps: float, path: Path) -> SearchTrial:
        summary = analyze_recording(path)
        sender = summary.senders[0]
        received, own_buffer = _received(summary)
        offered_pps = _offered_pps(path)
        lost = max(0, sender.sent - received)
        if own_buffer is not None:
            own_buffer = min(most_dropped(own_buffer, offload=self.settings.offload), lost)
        return SearchTrial(
            number=number,
            asked_pps=load_pps,
            offered_pps=offered_pps,
            duration_ns=self.settings.trial_ns,
            scheduled=sender.scheduled,
            sent=sender.sent,
            received=received,
            lost=lost,
            own_buffer=own_buffer,
            loss_ratio=lost / sender.sent if sender.sent else None,
            late_max_ns=sender.lateness.maximum_ns,
            verdict=judge(
                asked_pps=load_pps,
                offered_pps=offered_pps,
                scheduled=sender.scheduled,
                sent=sender.sent,
                lost=lost,
                own_buffer=own_buffer,
                loss_tolerance=self.settings.loss_tolerance,
            ),
        )


def _received(summary: Summary) -> tuple[int, int | None]:
    """Return first copies of the trial's own stream, and what its receiver's buffer dropped."""
    sender = summary.senders[0]
    mine = [s for s in summary.streams if (s.stream_id, s.epoch) == (sender.stream_id, sender.epoch)]
    return sum(stream.received for stream in mine), summary.socket_drops


def _offered_pps(path: Path) -> float | None:
    """Return the rate between the first and the last packet that the kernel took, by the sender's log."""
    left_ns = [rows["tx_ns"][rows["errno"] == 0] for rows in open_run(path).sent()]
    tx_ns = np.concatenate(left_ns) if left_ns else np.empty(0, np.int64)
    lasted_ns = int(tx_ns[-1] - tx_ns[0]) if len(tx_ns) > 1 else 0
    return (len(tx_ns) - 1) * NS_PER_S / lasted_ns if lasted_ns else None
