"""The witnesses of a run, all of them: opened, kept listening, closed, and what they heard written down."""

from __future__ import annotations

import contextlib
from pathlib import Path

import trio

from harness.errors import StorageError
from harness.model.witness import WitnessRecord
from harness.run.witnesses.reopened import ReopenedSockets
from harness.run.witnesses.scene import Scene, Witness
from harness.run.witnesses.second import SecondSockets
from harness.run.witnesses.tap import TapWitness
from harness.run.witnesses.twin import Twins
from harness.store import layout, write_beside

WRITE_PERIOD_S = 10.0
"""What was heard so far goes to the disk so often: a run that is killed leaves its witnesses, too."""


class Witnesses:
    """Everyone who listens beside the receivers of a run, and at its senders' interfaces.

    Args:
      scene: the run.
      folder: its directory.
    """

    def __init__(self, scene: Scene, folder: Path) -> None:
        self.scene = scene
        self._path = folder / layout.WITNESSES
        self._all: list[Witness] = []
        if scene.plan.is_sender_tapped or any("tap" in receiver.witnesses for receiver in scene.plan.receivers):
            self._all.append(TapWitness(scene, folder / layout.MEMBERSHIP))
        for receiving in scene.receivings:
            if "second-socket" in receiving.plan.witnesses:
                self._all.append(SecondSockets(scene, receiving))
            if "reopened-socket" in receiving.plan.witnesses:
                self._all.append(ReopenedSockets(scene, receiving))
        if scene.plan.twins:
            self._all.append(Twins(scene))

    def open_early(self) -> None:
        """Begin to listen at the interfaces, before the first join, whose report is evidence."""
        for witness in self._all[:1]:
            if isinstance(witness, TapWitness):
                witness.open()

    def open(self) -> None:
        """Begin to listen beside the receivers that have joined; who cannot says so in its series."""
        for witness in self._all:
            if not isinstance(witness, TapWitness):
                witness.open()

    async def run(self) -> None:
        """Listen until cancelled."""
        async with trio.open_nursery() as nursery:
            for witness in self._all:
                nursery.start_soon(witness.run)
            while self._all:
                await trio.sleep(WRITE_PERIOD_S)
                record = self._record(self.scene.recorder.clock.now_ns())
                with contextlib.suppress(StorageError):  # the recording itself will say that the disk refuses
                    await trio.to_thread.run_sync(write_beside, self._path, record)

    def close(self) -> int:
        """End those with sockets, and return how many datagrams their own buffers lost."""
        for witness in self._all:
            if not isinstance(witness, TapWitness):
                witness.close()
        n_lost = sum(witness.n_dropped for witness in self._all)
        if n_lost:
            self.scene.note(f"sockets of witnesses lost {n_lost:,} datagrams to full buffers, which they did not count")
        return n_lost

    def close_last(self) -> None:
        """End the tap, which has seen the receivers leave meanwhile."""
        for witness in self._all:
            if isinstance(witness, TapWitness):
                witness.close()

    def write(self, end_ns: int) -> None:
        """Write what was heard; nothing when nobody listened.

        Raises:
          StorageError: it cannot be written.
        """
        record = self._record(end_ns)
        if record.witnesses:
            write_beside(self._path, record)

    def _record(self, end_ns: int) -> WitnessRecord:
        return WitnessRecord(witnesses=[series for witness in self._all for series in witness.series(end_ns)])
