"""The controller's side of a wire: starts its process, gives it orders, brings back the ledger."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Self

import msgspec
import trio

from harness.errors import HarnessError
from harness.lab.wire.cap import Limit, cap_of, cap_text
from harness.lab.wire.child import Order, Reply, Setup
from harness.lab.wire.plan import plan_of
from harness.lab.wire.records import Ledger
from harness.lab.wire.spec import End, WireSpec
from harness.lab.wire.truth import Start

READY_S = 20.0
ANSWER_S = 10.0
STOP_S = 30.0
MEASURE_S = 60.0
DRAIN_S = 5.0
_LOOK_S = 0.01
_READ_BYTES = 65_536
_PROGRAM = (sys.executable, "-m", "harness.lab.wire")

_limits: dict[str, Limit] = {}


class WireError(HarnessError):
    """A wire that could not be laid, or that ended before it was told to."""


async def measured_limit(kind: str = "tap") -> Limit:
    """Return what a wire of this kind carries on this machine at most; measured once, within half a second.

    Raises:
      WireError: it cannot be measured here, and why.
    """
    if kind not in _limits:
        command = [*_PROGRAM, "--measure", "--json", "--kind", kind]
        with trio.move_on_after(MEASURE_S):
            done = await trio.run_process(command, capture_stdout=True, capture_stderr=True, check=False)
            if done.returncode:
                raise WireError(f"wire: {_last_line(done.stderr).removeprefix('harness: ')}")
            _limits[kind] = msgspec.json.decode(done.stdout, type=Limit)
        if kind not in _limits:
            raise WireError(f"wire: what it carries was not measured within {MEASURE_S:g} s")
    return _limits[kind]


class Wire:
    """A cable with faults between two interfaces, as an async context manager.

    Entering it makes the ends and carries frames; `start` begins the timeline of the faults; at the end of the block
    the wire is stopped, and TAP devices that it made are gone, also when this process is killed.

    Args:
      spec: the faults.
      ends: first and second; forward is from the first to the second.
      truth: the file for what the wire did, not there yet; see `read_truth`.
      limit: what a wire carries on this machine; None has it measured, once in this process.

    Attributes:
      cap_pps: frames per second above which the wire drops, and logs it as over_rate.
      ledger: of the whole time, once the wire was stopped.
    """

    def __init__(self, spec: WireSpec, ends: Sequence[End], truth: Path, *, limit: Limit | None = None) -> None:
        if len(ends) != 2:
            raise WireError(f"wire: it has two ends, not {len(ends)}")
        self.spec, self.ends, self.truth, self.limit = spec, (ends[0], ends[1]), truth, limit
        self._plan = plan_of(spec)
        self._folder = Path.cwd()
        self.cap_pps = 0.0
        self.ledger: Ledger | None = None
        self._process: trio.Process | None = None
        self._buffer = bytearray()
        self._turn = trio.Lock()
        self._last_id = 0

    @property
    def pid(self) -> int | None:
        """The wire's process; None while there is none."""
        return self._process.pid if self._process is not None else None

    @property
    def statement(self) -> str:
        """A sentence for the run's record: the cap, and the measured limit below which it lies."""
        return cap_text(self.cap_pps, self.limit)

    async def __aenter__(self) -> Self:
        """Lay the wire and wait until it carries frames.

        Raises:
          WireError: its process does not start, an end cannot be opened, or the truth file is there already.
          UsageError: a cap above what this machine carries.
        """
        if self.limit is None:
            kinds = {end.kind for end in self.ends}
            self.limit = min([await measured_limit(kind) for kind in sorted(kinds)], key=lambda limit: limit.pps)
        self.cap_pps = cap_of(self._plan.cap_pps, self.limit)
        setup = Setup(
            spec=self.spec,
            ends=self.ends,
            truth=str(self._folder / self.truth),
            cap_pps=self.cap_pps,
            limit_pps=self.limit.pps,
        )
        try:
            # a session of its own: Ctrl-C is for the controller, which then stops the wire in order
            self._process = await trio.lowlevel.open_process(
                list(_PROGRAM),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as exc:
            raise WireError(f"wire: cannot run {sys.executable}: {exc.strerror}") from exc
        try:
            reply = await self._ask(setup, None, READY_S)
            if not reply.is_ready:
                raise WireError("wire: its process answered something else than that it is ready")
        except BaseException:
            await self._kill()
            raise
        return self

    async def __aexit__(self, *exc: object) -> None:
        with trio.CancelScope(shield=True):
            try:
                if self.ledger is None and exc[0] is None:
                    await self.stop()
                elif self.ledger is None:
                    await self._stop_quietly()
            finally:
                await self._kill()

    async def start(self, at_realtime_ns: int | None = None, *, at_monotonic_ns: int | None = None) -> Start:
        """Begin the timeline of the faults, at a time of either clock, past or to come, or now; return it on both.

        Raises:
          WireError: the wire has ended.
        """
        reply = await self._order("start", at_realtime_ns=at_realtime_ns, at_monotonic_ns=at_monotonic_ns)
        assert reply.start is not None
        return reply.start

    async def count(self) -> Ledger:
        """Return the ledger as it stands.

        Raises:
          WireError: the wire has ended.
        """
        reply = await self._order("count")
        assert reply.ledger is not None
        return reply.ledger

    async def drain(self, timeout_s: float = DRAIN_S) -> Ledger:
        """Wait until no frame is held any more, or for so long; return the ledger as it stands then.

        Raises:
          WireError: the wire has ended.
        """
        deadline = trio.current_time() + timeout_s
        while True:
            ledger = await self.count()
            if not ledger.forward.n_held + ledger.backward.n_held or trio.current_time() >= deadline:
                return ledger
            await trio.sleep(_LOOK_S)

    async def stop(self) -> Ledger:
        """End the wire and return its ledger; the truth file is on the medium then. Again: the same ledger.

        End the senders first: what is sent while the wire ends is nobody's.

        Raises:
          WireError: the wire has ended before.
        """
        if self.ledger is None:
            self.ledger = (await self._order("stop")).ledger
            assert self._process is not None
            with trio.move_on_after(ANSWER_S):
                await self._process.wait()
        assert self.ledger is not None
        return self.ledger

    async def _stop_quietly(self) -> None:
        """Stop it on the way out of an error, which is the one to be told."""
        with contextlib.suppress(WireError):
            await self.stop()

    async def _order(self, do: Literal["start", "count", "stop"], **times: int | None) -> Reply:
        self._last_id += 1
        return await self._ask(
            Order(id=self._last_id, do=do, **times), self._last_id, STOP_S if do == "stop" else ANSWER_S
        )

    async def _ask(self, message: Setup | Order, number: int | None, timeout_s: float) -> Reply:
        """Send a line and return the answer to it; answers that nobody waited for are passed over."""
        process = self._process
        if process is None or process.stdin is None:
            raise WireError("wire: it is not there; use it as an async context manager")
        async with self._turn:
            reply: Reply | None = None
            with trio.move_on_after(timeout_s) as scope:
                # a pipe that is closed already is no news: the end of its stdout tells why
                with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                    await process.stdin.send_all(msgspec.json.encode(message) + b"\n")
                reply = await self._hear(process)
                while reply is not None and reply.error is None and reply.id not in (None, number):
                    reply = await self._hear(process)
        if scope.cancelled_caught:
            await self._kill()
            raise WireError(f"wire: its process gave no answer within {timeout_s:g} s")
        if reply is None:
            raise WireError(f"wire: its process ended early: {await self._last_words(process)}")
        if reply.error is not None:
            raise WireError(f"wire: {reply.error}")
        if reply.id != number:
            self.ledger = reply.ledger
            raise WireError("wire: something else than its controller has ended it")
        return reply

    async def _hear(self, process: trio.Process) -> Reply | None:
        """Return the next answer, None when there is none any more."""
        assert process.stdout is not None
        while b"\n" not in self._buffer:
            data = await process.stdout.receive_some(_READ_BYTES)
            if not data:
                return None
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        try:
            return msgspec.json.decode(line, type=Reply)
        except msgspec.DecodeError as exc:
            raise WireError(f"wire: its process says {bytes(line[:80])!r}") from exc

    async def _last_words(self, process: trio.Process) -> str:
        """Return the last line of its stderr, or how it ended."""
        text = bytearray()
        with trio.move_on_after(1):
            assert process.stderr is not None
            while data := await process.stderr.receive_some(_READ_BYTES):
                text += data
            await process.wait()
        return _last_line(bytes(text)) or f"exit code {process.returncode}"

    async def _kill(self) -> None:
        process = self._process
        if process is None:
            return
        with trio.CancelScope(shield=True):
            if process.returncode is None:
                process.kill()
            await process.wait()
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream is not None:
                    await stream.aclose()
        self._process = None


def _last_line(text: bytes) -> str:
    lines = text.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else ""
