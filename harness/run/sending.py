"""One sending stream: the state machine of `traffic.sender`, a socket, a ticker and, for a test, an impairment."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np
import trio
from numpy.typing import NDArray

from harness.model import SenderInfo
from harness.net import Pace, SenderSocket, Ticker, open_sender
from harness.run.flat_out import Answered, FlatOutStream
from harness.run.plan import COALESCE_BELOW_NS, StreamPlan
from harness.run.precise import PreciseStream
from harness.run.recorder import Recorder
from harness.run.send_log import SendLog, first_unsent
from harness.run.undisturbed import collect_garbage_seldom
from harness.traffic import END_COPIES, END_SPACING_NS, PIECE, Impairment, Probes, StreamSender

COALESCE_NS, OFFLOAD_COALESCE_NS = 250_000, 1_000_000
"""Streams with a shorter interval than COALESCE_BELOW_NS are sent in groups this far apart: late by that at most."""

TURN_NS, TURNS_AT_ONCE = 20_000_000, 3
"""A stream that is alone and has no time to wait lets the event loop have its turn this often. At full rate that is
when it is logged. The event loop has to wait for so many, and the route is held for as long: a turn of its own takes as
long as a hundred packets."""

LOG_NS = 1_000_000_000
"""A precise stream is logged this often, which makes some probes late where the interval is 100 us."""

SETTLE_S = 0.1
"""Transmit stamps are read this often at least."""

CAPACITY, ALONE_CAPACITY, OFFLOAD_CAPACITY = 512, 1024, 4096
"""Probes handed to the kernel at a time at most: of one stream among others, of one alone, and with offload. It is some
milliseconds' worth at full rate, one with offload."""

BATCH_BYTES, LEAST_CAPACITY = 1 << 20, 64
"""A stream that is alone hands over so many bytes at a time at most, so that they fit into a processor's cache, but so
many probes at least."""

PRECISE_PIECE = 65_536
"""Due times of a precise stream computed ahead: seconds' worth of them."""


class Sending:
    """Sends one stream from its start time until it ends or `stop` is set, then tells its end.

    Attributes:
      is_alone: the run has nothing else to do, so that its task may watch the clock (see `harness.net.pace`).
      impairment: what was done to the stream on its way, with its ground truth; None for an unimpaired stream.
    """

    def __init__(self, plan: StreamPlan, recorder: Recorder, *, is_alone: bool = False) -> None:
        self.is_alone = is_alone
        self.plan, self.recorder = plan, recorder
        self.impairment = Impairment(plan.impairment) if plan.impairment else None
        self.stop = trio.Event()
        self._log = SendLog(plan, recorder)
        self._send_row: Callable[[], int] | None = None
        self._pace: Pace | None = None

    @property
    def _is_bare(self) -> bool:
        """Whether what becomes of a probe is known when the kernel has answered, and each is sent as it is."""
        return self._log.stamped is None and self.impairment is None

    @property
    def _is_flat_out(self) -> bool:
        """Whether it is sent by `FlatOutStream`."""
        return self.is_alone and self._is_bare and self.plan.schedule.is_unpaced

    def open(self) -> SenderSocket:
        """Return the socket of the stream, so that an environment error shows before the run starts."""
        plan = self.plan
        return open_sender(
            plan.group,
            interface=plan.interface,
            ttl=plan.ttl,
            dscp=plan.dscp,
            loop=plan.loop,
            offload=plan.offload,
            tx_stamps=plan.tx_stamps,
        )

    def info(self, first_due_ns: int, socket: SenderSocket | None = None) -> SenderInfo:
        """Return what the manifest says of this stream; without its socket, not where it comes from."""
        plan = self.plan
        return SenderInfo(
            stream=plan.number,
            stream_id=plan.stream_id,
            epoch=plan.epoch,
            group=str(plan.group),
            source=str(socket.local) if socket is not None else "",
            interface=plan.interface,
            schedule=str(plan.schedule),
            first_due_ns=first_due_ns,
            interval_ns=plan.schedule.interval_ns,
            size=plan.size,
            ttl=plan.ttl,
            dscp=plan.dscp,
            offload=plan.offload,
            tx_source="kernel" if plan.tx_stamps else "user",
        )

    def settled(self, info: SenderInfo) -> SenderInfo:
        """Return the manifest's entry of a stream that is over: what was counted, who stamped it, and what not."""
        info, stamped = msgspec.structs.replace(info, counted=self._log.count), self._log.stamped
        if stamped is None:
            return info
        return msgspec.structs.replace(
            info, tx_source="kernel" if stamped.n_stamped else "user", tx_missing=stamped.n_missing
        )

    async def run(self, socket: SenderSocket, info: SenderInfo) -> None:
        """Send the stream that the manifest's entry tells of, from its first due time on."""
        plan = self.plan
        sender = StreamSender(
            number=plan.number,
            stream_id=plan.stream_id,
            epoch=plan.epoch,
            group=plan.group,
            schedule=plan.schedule,
            size=plan.size,
            start_ns=info.first_due_ns,
            count=plan.count,
            duration_ns=plan.duration_ns,
            has_pattern=plan.has_pattern,
            capacity=batch_capacity(plan.size, offload=plan.offload) if self.is_alone or plan.offload else CAPACITY,
            front_bytes=socket.front_bytes(plan.size) if self._is_flat_out else None,
            run=socket.run_length(plan.size),
            piece=PRECISE_PIECE if plan.precise else PIECE,
        )
        self._log.begin(info)
        coalesce_ns = OFFLOAD_COALESCE_NS if plan.offload else COALESCE_NS
        coalesce_ns = coalesce_ns if plan.schedule.interval_ns < COALESCE_BELOW_NS else 0
        is_watching = (self.is_alone or plan.precise) and not coalesce_ns and plan.schedule.interval_ns > 0
        with Ticker() as ticker, socket:
            self._pace = Pace(ticker, plan.schedule.interval_ns, is_precise=plan.precise) if is_watching else None
            if self._is_bare:
                self._send_row = socket.one(sender.row)
            try:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._cancel_on_stop, nursery.cancel_scope)
                    nursery.start_soon(self._keep_settling, socket)
                    if plan.precise:
                        nursery.start_soon(collect_garbage_seldom)
                    if plan.precise and self._send_row is not None and self._pace is not None:
                        await self._send_precisely(sender, socket, ticker, self._pace, self._send_row)
                    elif self._is_flat_out:
                        await self._send_flat_out(sender, socket, ticker)
                    else:
                        await self._send_all(sender, socket, ticker, coalesce_ns)
                    nursery.cancel_scope.cancel()
                with trio.CancelScope(shield=True), trio.move_on_after(2 * END_COPIES * END_SPACING_NS / 1e9):
                    await self._tell_end(sender, socket, ticker)
            finally:
                self._log.settle(socket, is_last=True)

    async def _send_all(self, sender: StreamSender, socket: SenderSocket, ticker: Ticker, coalesce_ns: int) -> None:
        """Send what is due whenever something is, and nothing before."""
        clock = self.recorder.clock
        turn_ns = 0
        while (due_ns := sender.next_due_ns) is not None:
            due_monotonic_ns, now_ns = clock.to_monotonic(due_ns), clock.now_ns()
            if self._pace is not None:
                await self._pace.approach(due_monotonic_ns)  # `_send` watches the clock for the rest
                probes = sender.take(max(due_ns, clock.now_ns()))
            elif self.is_alone and due_ns + coalesce_ns <= now_ns < turn_ns:  # more is due than fits into a batch
                probes = sender.take(now_ns)
            else:
                turn_ns = now_ns + TURN_NS
                await ticker.wait_until(due_monotonic_ns + coalesce_ns)
                probes = sender.take(clock.now_ns())
            if len(probes):
                await self._send(sender, socket, probes)
            else:  # the catch-up limit is reached
                await ticker.wait_until(clock.to_monotonic(clock.now_ns()) + COALESCE_NS)

    async def _send_flat_out(self, sender: StreamSender, socket: SenderSocket, ticker: Ticker) -> None:
        """Send as fast as it goes; the event loop has its turns in between."""
        clock = self.recorder.clock
        ready = socket.ready(sender.rows, sender.rest)
        stream = FlatOutStream(sender, ready, clock.now_ns)
        while (due_ns := sender.next_due_ns) is not None:
            await ticker.wait_until(clock.to_monotonic(due_ns))
            ready.hold_route()
            for _ in range(TURNS_AT_ONCE):
                try:
                    unsettled = stream.send_until(clock.now_ns() + TURN_NS)
                finally:
                    self._log.turn(stream)
                if unsettled is not None:
                    await self._settle_batch(sender, socket, unsettled)
                    break

    async def _send_precisely(
        self, sender: StreamSender, socket: SenderSocket, ticker: Ticker, pace: Pace, send_row: Callable[[], int]
    ) -> None:
        """Send block by block; the event loop has its turns in between."""
        clock = self.recorder.clock
        stream = PreciseStream(sender, send_row, socket.rehearsal(self.plan.size), clock.to_monotonic)
        log_ns = (sender.next_due_ns or 0) + LOG_NS
        try:
            is_logged = False
            while (due_ns := sender.next_due_ns) is not None:
                if not is_logged or not pace.span_ns:  # else there is not the time for both before the next one
                    await pace.approach(clock.to_monotonic(due_ns))
                n_sent = stream.send_block(due_ns + pace.span_ns)
                is_logged = due_ns >= log_ns
                if stream.is_changed or is_logged:
                    self._log.block(stream)
                    log_ns = due_ns + LOG_NS
                if stream.is_full:
                    await socket.wait_writable()
                elif not n_sent:  # the catch-up limit is reached
                    await ticker.wait_until(clock.to_monotonic(clock.now_ns()) + COALESCE_NS)
        finally:
            self._log.block(stream)

    async def _keep_settling(self, socket: SenderSocket) -> None:
        """Take stamps while a slow stream waits for its next packet."""
        while self._log.stamped is not None:
            await trio.sleep(SETTLE_S)
            self._log.settle(socket)

    async def _cancel_on_stop(self, scope: trio.CancelScope) -> None:
        await self.stop.wait()
        scope.cancel()

    async def _send(self, sender: StreamSender, socket: SenderSocket, probes: Probes) -> None:
        """Hand probes to the kernel, all of them, and log what became of each."""
        clock = self.recorder.clock
        now_ns = clock.now_ns
        if self._pace is not None:
            self._pace.watch(clock.to_monotonic(int(probes.due_ns[0])))
        if self.impairment is not None:
            leaving = self.impairment.apply(probes.seq, probes.due_ns - sender.start_ns, probes.data)
            tx_ns = now_ns()
            refused = await self._push(socket, leaving)
            self._log.note_refusals(refused)
            self._log.rows(sender.log(probes, tx_ns, np.zeros(len(probes), dtype=np.uint16)))
            return
        if len(probes) == 1 and self._send_row is not None:
            # between the stamp and the system call nothing that need not be: it would count as delay
            tx_ns, first = now_ns(), 0
            sender.stamp_row(probes.first_seq, tx_ns)
            errnos = np.array([self._send_row()], dtype=np.uint16)
        else:
            tx_ns, first = now_ns(), socket.next_number
            errnos = socket.send_nowait(probes.data)
        await self._settle_batch(sender, socket, Answered(probes, tx_ns, errnos, first))

    async def _settle_batch(self, sender: StreamSender, socket: SenderSocket, batch: Answered) -> None:
        """Log what the kernel answered to a batch, and hand it the rest as soon as it has room for it."""
        place = self._log.batch(sender, socket, batch)
        while place < len(batch.probes):
            # the send buffer is full: wait, stamp again, go on; the schedule waits for nobody
            await socket.wait_writable()
            rest = batch.probes.after(place)
            tx_ns, first = self.recorder.clock.now_ns(), socket.next_number
            sender.stamp(rest.data, rest.seq, tx_ns)
            errnos = socket.send_nowait(sender.whole(rest.data))
            place += self._log.batch(sender, socket, Answered(rest, tx_ns, errnos, first))

    async def _push(self, socket: SenderSocket, data: NDArray[np.uint8]) -> NDArray[np.uint16]:
        """Send rows whose log does not matter one by one; return their error numbers."""
        outcome = np.zeros(len(data), dtype=np.uint16)
        place = 0
        while place < len(data):
            errnos = socket.send_nowait(data[place:])
            n = first_unsent(errnos)
            outcome[place : place + n] = errnos[:n]
            place += n
            if n < len(errnos):
                await socket.wait_writable()
        return outcome

    async def _tell_end(self, sender: StreamSender, socket: SenderSocket, ticker: Ticker) -> None:
        """Send what an impairment still holds back, then the end-of-stream probes."""
        clock = self.recorder.clock
        if self.impairment is not None:
            await self._push(socket, self.impairment.flush(sender.size))
        for _ in range(END_COPIES):
            await self._push(socket, sender.end_probe(clock.now_ns()))
            await ticker.wait_until(clock.to_monotonic(clock.now_ns()) + END_SPACING_NS)


def batch_capacity(size: int, *, offload: bool = False) -> int:
    """Return how many probes of a size are handed to the kernel at a time at most, of a stream that is alone."""
    return OFFLOAD_CAPACITY if offload else max(LEAST_CAPACITY, min(ALONE_CAPACITY, BATCH_BYTES // size))
