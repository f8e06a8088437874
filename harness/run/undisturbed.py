"""What Python does behind the scenes must not look like a stalled receiver or a late sender.

Garbage: what the imports made, some hundred thousand objects, is looked through by every full collection: measured,
45 to 65 ms in which a receiver at 200 kpps falls 10,000 datagrams behind. Frozen, it is left alone.

Threads: one that computes gives the interpreter back only when asked for longer than the switch interval, 5 ms by
default; the writer's thread would make a probe late by as much.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import trio

SWITCH_S = 0.000_1

COLLECT_S = 5.0


@contextmanager
def undisturbed() -> Iterator[None]:
    """Leave everything that exists now out of garbage collection, and let threads take turns quickly, in the block."""
    interval_s = sys.getswitchinterval()
    gc.collect()
    gc.freeze()
    sys.setswitchinterval(SWITCH_S)
    try:
        yield
    finally:
        sys.setswitchinterval(interval_s)
        gc.unfreeze()


async def collect_garbage_seldom() -> None:
    """Have the youngest garbage collected now and then instead of every few dozen packets, until cancelled.

    For a run that is paced by the clock: a collection takes up to 400 us, and little garbage comes.
    """
    gc.disable()
    try:
        while True:
            await trio.sleep(COLLECT_S)
            gc.collect(1)
    finally:
        gc.enable()
