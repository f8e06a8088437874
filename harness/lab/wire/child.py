"""The wire's process: its setup and its orders come as JSON lines over stdin, its answers go to stdout.

    -> {"spec":{...},"ends":[...],"truth":"...","cap_pps":40000.0,"limit_pps":97000.0}
    <- {"is_ready":true}
    -> {"id":1,"do":"start","at_realtime_ns":...}
    <- {"id":1,"start":{"realtime_ns":...,"monotonic_ns":...}}
    -> {"id":2,"do":"count"} or {"id":2,"do":"stop"}
    <- {"id":2,"ledger":{...}}

It ends with `stop`, with the end of stdin, with its parent, or with SIGTERM, each time in order: truth and ledger are
on the medium then. Ctrl-C is its controller's to handle.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import signal
import sys
from pathlib import Path
from typing import Literal

import msgspec

from harness.errors import HarnessError, errno_text
from harness.lab.wire.ends import open_end
from harness.lab.wire.plan import plan_of
from harness.lab.wire.pump import Pump, queue_of
from harness.lab.wire.records import Ledger
from harness.lab.wire.spec import End, WireSpec
from harness.lab.wire.truth import Header, Start, TruthWriter

_READ_BYTES = 65_536
_PR_SET_TIMERSLACK = 29


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """The first line: what the process is to be."""

    spec: WireSpec
    ends: tuple[End, End]
    truth: str
    cap_pps: float
    limit_pps: float | None


class Order(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Each further line; `start` without a time means now."""

    id: int
    do: Literal["start", "count", "stop"]
    at_realtime_ns: int | None = None
    at_monotonic_ns: int | None = None


class Reply(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What it answers to an order, by its `id`; `error` is one line, and its last.

    A ledger without `id` is the last one of a wire that something else than an order has ended.
    """

    id: int | None = None
    is_ready: bool = False
    start: Start | None = None
    ledger: Ledger | None = None
    error: str | None = None


class Child:
    """Serves one controller."""

    def __init__(self) -> None:
        self._born_of = os.getppid()
        self._buffer = b""
        self._has_ended = False
        self._pump: Pump | None = None
        self._stopped_by: int | None = None

    def serve(self) -> int:
        """Run until told to stop; return the exit code."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, self._end)
        try:
            self._serve()
        except HarnessError as exc:
            self._say(Reply(error=str(exc)))
            return 2
        except OSError as exc:
            self._say(Reply(error=f"the wire lost an interface: {errno_text(exc.errno or 0)}"))
            return 2
        return 0

    def _serve(self) -> None:
        line = self._next_line()
        while line is None and not self._has_ended:
            self._hear()
            line = self._next_line()
        if line is None:
            return
        setup = msgspec.json.decode(line, type=Setup)
        plan = plan_of(setup.spec)
        queue = queue_of(setup.cap_pps)
        with contextlib.ExitStack() as stack:
            first = open_end(setup.ends[0], queue)
            stack.callback(first.close)
            second = open_end(setup.ends[1], queue)
            stack.callback(second.close)
            header = Header(spec=setup.spec, ends=setup.ends, cap_pps=setup.cap_pps, limit_pps=setup.limit_pps)
            truth = TruthWriter(Path(setup.truth), header)
            self._pump = Pump((first, second), plan, setup.cap_pps, truth, setup.limit_pps)
            be_prompt()
            self._say(Reply(is_ready=True))
            os.set_blocking(0, False)
            self._pump.run(0, self._watch)
            self._say(Reply(id=self._stopped_by, ledger=self._pump.finish()))

    def _watch(self) -> None:
        """Look for orders, and for the end of the parent."""
        assert self._pump is not None
        if not self._has_ended:
            self._hear()
        while (line := self._next_line()) is not None:
            order = msgspec.json.decode(line, type=Order)
            if order.do == "start":
                self._say(Reply(id=order.id, start=self._pump.start(order.at_realtime_ns, order.at_monotonic_ns)))
            elif order.do == "count":
                self._say(Reply(id=order.id, ledger=self._pump.ledger()))
            else:
                self._stopped_by, self._pump.is_over = order.id, True
        if self._has_ended or os.getppid() != self._born_of:
            self._pump.is_over = True

    def _hear(self) -> None:
        try:
            data = os.read(0, _READ_BYTES)
        except BlockingIOError:
            return
        self._buffer += data
        self._has_ended = not data

    def _next_line(self) -> bytes | None:
        line, newline, rest = self._buffer.partition(b"\n")
        if not newline:
            return None
        self._buffer = rest
        return line

    def _say(self, reply: Reply) -> None:
        """Answer; a controller that is gone hears nothing."""
        with contextlib.suppress(OSError):
            sys.stdout.buffer.write(msgspec.json.encode(reply) + b"\n")
            sys.stdout.buffer.flush()

    def _end(self, *_: object) -> None:
        self._has_ended = True
        if self._pump is not None:
            self._pump.is_over = True


def be_prompt() -> None:
    """Have the kernel wake this process on time, and Python not stop it to look for cycles: the pump makes none."""
    ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, 1_000, 0, 0, 0)
    gc.collect()
    gc.freeze()
    gc.disable()
