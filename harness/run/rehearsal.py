"""A receiver's way from datagram to figures, walked once before the traffic.

What a program does for the first time takes ten times as long: numpy looks for its loops, memory is asked for, and
nothing is in the processor's caches. A stream that begins at full rate would meet that, with a buffer that lasts for
milliseconds. So packets that were never on any wire go the whole way, and what comes of them is thrown away.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from harness.analyzer import Fold, Tally
from harness.model import DATAGRAM_DTYPE, TRAIN_DTYPE, Alike, Batch, Datagrams, Runs
from harness.model.datagrams import RUN_DATAGRAMS
from harness.run.plan import ReceiverPlan
from harness.traffic import Demultiplexer, StreamRegistry
from protocols.probe import HEADER_SIZE, PROBE, fill_probes

_ROWS, _EACH, _RUNS = 256, RUN_DATAGRAMS, 8
"""Datagrams of a batch, or of a run, and runs of a batch."""


def rehearse(receivers: Sequence[ReceiverPlan]) -> None:
    """Take made-up probes through everything that those of the receivers will go through; of nothing else there are."""
    for offload in sorted({plan.offload for plan in receivers if plan.protocol.name == PROBE.name}):
        _rehearse(offload)


def _rehearse(offload: bool) -> None:
    demultiplexer = Demultiplexer(PROBE, StreamRegistry())
    fold, tally = Fold(), Tally()
    for batch in _batches(offload):
        for records in demultiplexer.take(batch):
            for info in demultiplexer.registry.take_fresh():
                fold.add_stream(info)
                tally.add_stream(info)
            for analysis in (fold, tally):
                if records.dtype == TRAIN_DTYPE:
                    analysis.update_trains(records)
                else:
                    analysis.update(records)
    fold.view()
    tally.view()


def _batches(offload: bool) -> Iterator[Batch]:
    """Return some batches of a stream, the first of which is as a stream begins."""
    n = _RUNS * _EACH if offload else _ROWS
    for number in range(3):
        data = np.zeros((n, HEADER_SIZE), np.uint8)
        sent_ns = np.full(n, number * n * 1_000)
        seq = np.arange(number * n, (number + 1) * n)
        fill_probes(data, stream_id=1, epoch=1, seq=seq, tx_ns=sent_ns, schedule_start_ns=0, interval_ns=1_000)
        meta = np.zeros(n, DATAGRAM_DTYPE)
        meta["size"], meta["rx_ns"] = HEADER_SIZE, sent_ns + 100 * np.arange(n)
        if offload:
            counts = np.full(_RUNS, _EACH)
            yield Runs(data, meta[::_EACH].copy(), counts, np.full(_RUNS, HEADER_SIZE))
        elif number:
            yield Alike(data, data, meta[:1].copy(), meta["rx_ns"].copy(), HEADER_SIZE)
        else:
            yield Datagrams(data, np.full(n, HEADER_SIZE), meta)
