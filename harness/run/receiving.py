"""One receiver: its sockets, joined, left and reopened on a timeline, and their packets on the way to the record."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence

import msgspec
import numpy as np
import trio

from harness.errors import HarnessError, InterfaceError, StorageError, UsageError
from harness.model import TRAIN_DTYPE, Batch, CardClock, Endpoint, Membership, PacketFlag, ReceiverInfo, Runs
from harness.net import ReceiverSocket, list_interfaces, open_receiver
from harness.net.platform import RxSource
from harness.run.gathering import ENOUGH, ENOUGH_RUNS, Gathering, Rest
from harness.run.plan import KEPT_BYTES, ReceiverPlan
from harness.run.recorder import Recorder
from harness.run.rounds import Rounds, Turn
from harness.run.sparing import Sparing
from harness.traffic import Demultiplexer
from harness.units import NS_PER_S

_MISDELIVERED = np.uint8(PacketFlag.MISDELIVERED)

MAX_SOCKET_ERRORS = 100
"""A socket that fails this often in a row is given up; the others go on."""

NOT_YET = "the receiver has not started yet; let the event come after its start"

MAX_FINAL_BATCHES = 10_000
"""What is read before a socket is closed: a flood must not keep a run from ending."""


MOST_AT_ONCE = 4
"""Full reads of one socket in a row, before the event loop and its other sockets get their turn."""

CAPACITY, CAPACITY_OF_MANY = 15_360, 480
"""Datagrams looked at together at most, with one group and with several. Their rows take 31 MiB and 1 MiB once they are
filled, but for the first 64 bytes of each datagram; from 4 MiB on that is in huge pages.
"""

GATHER_NS = 40_000_000
"""What was taken out of a socket is looked at after so long at the latest."""


class Receiving:
    """Receives for one receiver of the plan.

    Attributes:
      joined_ns: when the first join was done, on the run's time line; `has_joined` is set then.
      card: the clock of the network card that stamps, as last compared; None where none does.
    """

    def __init__(self, plan: ReceiverPlan, recorder: Recorder) -> None:
        self.plan, self.recorder = plan, recorder
        self.demultiplexer = Demultiplexer(plan.protocol, recorder.registry, plan.name)
        self._homes: dict[Membership, ReceiverSocket] = {}
        self._shut: list[Membership] = []
        self.joined_ns: int | None = None
        self.card: CardClock | None = None
        self._drops_before = 0
        self._counts_drops = True
        self._pumps: list[trio.CancelScope] = []
        self._nursery: trio.Nursery | None = None
        self._is_stalled = False
        self._rounds = Rounds(self._record)
        self.has_joined = trio.Event()
        self._heard_ns: dict[ReceiverSocket, int] = {}
        self._heard_before_ns: dict[Membership, int] = {}  # by sockets that are closed

    def open(self) -> ReceiverInfo:
        """Open and join, so that an environment error shows before the run starts; return the manifest's entry."""
        self._open_sockets(self.plan.memberships)
        self.joined_ns = self.recorder.clock.now_ns()
        self.has_joined.set()
        first = self.sockets[0]
        plan = self.plan
        self._counts_drops = first.drops() is not None
        return ReceiverInfo(
            name=plan.name,
            groups=[str(membership.group) for membership in plan.memberships],
            source=str(plan.memberships[0].source) if plan.memberships[0].source else None,
            interface=plan.memberships[0].interface,
            protocol=plan.protocol.name,
            buffer_asked=first.buffer_asked,
            buffer_granted=first.buffer_granted,
            counts_drops=self._counts_drops,
            joined_ns=self.joined_ns,
            path=first.path,
            offload=first.offload,
            rx_source=first.rx_source,
        )

    @property
    def sockets(self) -> list[ReceiverSocket]:
        """The sockets that are open."""
        return list(dict.fromkeys(self._homes.values()))

    @property
    def rx_source(self) -> RxSource:
        """Who stamps the packets on arrival."""
        return self.sockets[0].rx_source if self.sockets else "user"

    def heard_ns(self, membership: Membership) -> int:
        """Return when a membership's socket last brought something that was asked for, run's time line; 0 for never."""
        home = self._homes.get(membership)
        before_ns = self._heard_before_ns.get(membership, 0)
        return before_ns if home is None else self._heard_ns.get(home, before_ns)

    def drops(self) -> int | None:
        """Return datagrams that this receiver's socket buffers dropped so far; None where the system cannot say."""
        if not self._counts_drops:
            return None
        return self._drops_before + sum(socket.drops() or 0 for socket in self.sockets)

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Receive until cancelled, across reopenings."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            for socket in self.sockets:
                self._start_pump(socket)
            task_status.started()
            await trio.sleep_forever()

    def close(self) -> None:
        """Read what is still queued, take the final drop counters and close."""
        with contextlib.suppress(StorageError):  # the disk refused before, and the run says so
            self._rounds.flush()
            for socket in self.sockets:
                self._drain(socket)
        n_bare = sum(socket.n_without_hardware for socket in self.sockets if socket.card is not None)
        if n_bare:
            text = f"{n_bare} datagrams came without a stamp of the network card: the kernel's stands in its place"
            self.recorder.event("note", text, receiver=self.plan.name)
        if n_unchecked := self.demultiplexer.unchecked:
            text = f"{n_unchecked} packets with a pattern were kept in part, and the rest of it not checked"
            self.recorder.event("note", text, receiver=self.plan.name)
            self.demultiplexer.unchecked = 0
        self._compare_cards()
        if self._counts_drops:
            self._drops_before += sum(socket.drops() or 0 for socket in self.sockets)
        self._heard_before_ns |= {membership: self.heard_ns(membership) for membership in self._homes}
        for socket in self.sockets:
            socket.close()
        self._homes, self._heard_ns = {}, {}

    def _drain(self, socket: ReceiverSocket) -> None:
        for _ in range(MAX_FINAL_BATCHES):
            datagrams = socket.receive_nowait()
            if datagrams is None or not len(datagrams):
                return
            self._arrived(socket, datagrams)
            self._record(datagrams)

    def _compare_cards(self) -> None:
        """Note how the clocks of network cards stand to realtime now; of several, the manifest has the first's."""
        for socket in self.sockets:
            if (clock := socket.card) is None:
                continue
            clock.compare_again()
            known = self.card or CardClock(
                interface=clock.interface,
                device=clock.device,
                offset_start_ns=clock.first.offset_ns,
                offset_end_ns=clock.last.offset_ns,
                error_bound_ns=clock.error_bound_ns,
            )
            bound_ns = max(known.error_bound_ns, clock.error_bound_ns)
            if known.device == clock.device:
                known = msgspec.structs.replace(known, offset_end_ns=clock.last.offset_ns, error_bound_ns=bound_ns)
            self.card = known

    def join(self, group: Endpoint | None) -> None:
        """Join a group again, or a further one on a socket of its own; None: all of the receiver's."""
        for membership in self._meant(group):
            self._change("join", membership)

    def leave(self, group: Endpoint | None) -> None:
        """Leave a group, or all; the sockets stay open."""
        for membership in self._meant(group):
            self._change("leave", membership)

    def reopen(self) -> None:
        """Close all sockets and open and join new ones: the remedy whose effect is to be seen.

        A refusal (the interface is gone) is an event, not the end of the run; the next reopening tries again.
        """
        if self.joined_ns is None:
            self._refuse(f"cannot reopen: {NOT_YET}")
            return
        self._stop_pumps()
        self.recorder.event("reopen", "sockets closed and opened again", receiver=self.plan.name)
        memberships = list(self._homes) or self._shut
        self.close()
        try:
            self._open_sockets(memberships)
        except HarnessError as exc:
            self._shut = memberships
            self._refuse(f"{exc}; nothing is received until a further reopening")

    def deafen(self, lasts_ns: int | None) -> None:
        """Have the present sockets hear nothing, for a time or to the end; a socket that is opened later hears."""
        sockets = self.sockets
        try:
            if self._nursery is None or not sockets:
                raise UsageError(f"cannot deafen: {NOT_YET}")
            for socket in sockets:
                socket.deafen()
        except HarnessError as exc:
            self._refuse(str(exc))
            return
        self.recorder.event("deafen", "the present sockets are deaf from here on", receiver=self.plan.name)
        if lasts_ns is not None:
            self._nursery.start_soon(self._undeafen, sockets, lasts_ns)

    async def _undeafen(self, sockets: Sequence[ReceiverSocket], lasts_ns: int) -> None:
        await trio.sleep(lasts_ns / NS_PER_S)
        for socket in sockets:
            if not socket.is_closed:
                socket.undeafen()
        self.recorder.event("deafen", "the sockets that were deaf hear again", receiver=self.plan.name)

    def stall(self, lasts_ns: int | None) -> None:
        """Read nothing, for a time or to the end, as a program that is busy elsewhere; the kernel's buffers fill."""
        if self._nursery is None or self._is_stalled:
            self._refuse("cannot stall: it is stalled already" if self._is_stalled else f"cannot stall: {NOT_YET}")
            return
        self._is_stalled = True
        self._stop_pumps()
        self.recorder.event("stall", "nothing is read from here on", receiver=self.plan.name)
        if lasts_ns is not None:
            self._nursery.start_soon(self._unstall, lasts_ns)

    async def _unstall(self, lasts_ns: int) -> None:
        await trio.sleep(lasts_ns / NS_PER_S)
        self._is_stalled = False
        self.recorder.event("stall", "reading goes on", receiver=self.plan.name)
        for socket in self.sockets:
            self._start_pump(socket)

    def _meant(self, group: Endpoint | None) -> list[Membership]:
        if group is None:
            return list(self._homes)
        first = next(iter(self._homes), self.plan.memberships[0])
        return [membership for membership in self._homes if membership.group == group] or [
            Membership(group, first.interface, first.source)
        ]

    def _change(self, action: str, membership: Membership) -> None:
        """Join or leave on the socket that serves the group; a refusal is an event, not the end of the run."""
        try:
            if self.joined_ns is None:
                raise UsageError(f"cannot {action} {membership}: {NOT_YET}")
            if membership in self._homes:
                getattr(self._homes[membership], action)(membership)
            elif action == "join" and (shared := self._shared(membership)) is not None:
                shared.join(membership)
                self._homes[membership] = shared
            elif action == "join":
                self._open_sockets([membership])
                return
            else:
                raise UsageError(f"cannot leave {membership}: this receiver never joined it")
        except HarnessError as exc:
            self._refuse(str(exc))
        else:
            self._refresh_interfaces()
            self.recorder.event(action, f"{action} {membership}", receiver=self.plan.name)

    def _shared(self, membership: Membership) -> ReceiverSocket | None:
        """Return the one socket that takes all groups of a port; None where each group has its own."""
        if not self.plan.one_socket:
            return None
        return next((socket for socket in self.sockets if socket.endpoint.port == membership.group.port), None)

    def _refuse(self, text: str) -> None:
        self.recorder.event("errno", text, receiver=self.plan.name)

    def _open_sockets(self, memberships: Sequence[Membership]) -> None:
        """Open sockets for groups, join them, and start reading if the run is on."""
        opened = open_receiver(
            memberships,
            buffer_bytes=self.plan.buffer_bytes,
            width=KEPT_BYTES,
            capacity=CAPACITY if len(memberships) == 1 else CAPACITY_OF_MANY,
            offload=self.plan.offload,
            stamps=self.plan.stamps,
            one_socket=self.plan.one_socket,
        )
        for socket in opened:
            self._homes |= dict.fromkeys(socket.memberships, socket)
            self._start_pump(socket)
        self._refresh_interfaces()
        self._compare_cards()
        for membership in memberships:
            self.recorder.event("join", f"join {membership}", receiver=self.plan.name)

    def _refresh_interfaces(self) -> None:
        """Tell the demultiplexer which interfaces there are, where a join may have met one that was made again."""
        self.demultiplexer.refresh_interfaces({one.index: one.name for one in list_interfaces()})

    def _stop_pumps(self) -> None:
        for pump in self._pumps:
            pump.cancel()
        self._pumps = []
        self._rounds.flush()

    def _start_pump(self, socket: ReceiverSocket) -> None:
        if self._nursery is not None and not self._is_stalled:
            self._pumps.append(trio.CancelScope())
            self._nursery.start_soon(self._pump, socket, self._pumps[-1])

    async def _pump(self, socket: ReceiverSocket, scope: trio.CancelScope) -> None:
        """Read one socket until it is reopened, or the run ends."""
        n_errors, pause_ns, wait_ns, n_left = 0, 0, 0, MOST_AT_ONCE
        may_wait = socket.rx_source != "user"  # else it is this program's reading that stamps arrivals
        enough = ENOUGH_RUNS if socket.offload else ENOUGH
        sparing = Sparing()
        gathering = Gathering(socket.buffer_granted, socket.queued_bytes, time.monotonic_ns(), enough=enough)
        turn = Turn(self._rounds, socket.buffer_granted)
        with scope, Rest() as rest:
            while n_errors < MAX_SOCKET_ERRORS:
                try:
                    if pause_ns:
                        socket.unwatch()
                        await self._gather(socket, gathering, rest, pause_ns)
                        n_left = MOST_AT_ONCE
                    elif wait_ns:
                        socket.unwatch()
                        await trio.sleep(wait_ns / NS_PER_S)
                    n_gathered = socket.n_gathered
                    is_more = pause_ns + wait_ns > 0 or (socket.is_full and n_left > 0)
                    datagrams = socket.receive_nowait() if is_more else None
                    if datagrams is None:
                        self._rounds.flush()
                        datagrams = await socket.receive()
                except trio.ClosedResourceError:
                    return  # reopened while this task was on its way here
                except InterfaceError as exc:  # the kernel refuses a read; the next may work
                    n_errors += 1
                    if n_errors in (1, MAX_SOCKET_ERRORS):
                        last = "; this socket is given up" if n_errors == MAX_SOCKET_ERRORS else ""
                        self.recorder.event("errno", f"{exc}{last}", receiver=self.plan.name)
                    await trio.sleep(0.01)
                    continue
                n_errors, n_left = 0, (n_left if is_more else MOST_AT_ONCE) - 1
                n_rows = len(datagrams.counts) if isinstance(datagrams, Runs) else len(datagrams) - n_gathered
                now_ns, wait_ns = time.monotonic_ns(), 0
                pause_ns = gathering.pause_ns(max(0, n_rows), socket.is_full, now_ns) if may_wait else 0
                if may_wait and len(self._pumps) > 1 and not pause_ns and not socket.is_full:
                    wait_ns = turn.pause_ns(max(0, n_rows), int(datagrams.heads["size"][-1]), now_ns)
                self._arrived(socket, datagrams)
                if wait_ns:
                    self._rounds.add(datagrams, now_ns)
                    socket.keep_fronts(sparing.may_spare(False, len(datagrams)))  # of slow streams all is kept
                    continue
                self._rounds.flush()
                self._record(datagrams)
                socket.keep_fronts(sparing.may_spare(self.demultiplexer.is_following, len(datagrams)))

    async def _gather(self, socket: ReceiverSocket, gathering: Gathering, rest: Rest, pause_ns: int) -> None:
        """Let datagrams gather, first in the socket and then in its reader, as long as many come."""
        until_ns = time.monotonic_ns() + GATHER_NS
        while pause_ns:
            await rest.wait(pause_ns)
            now_ns = time.monotonic_ns()
            gathering.before_read(now_ns)
            if not socket.can_gather or now_ns >= until_ns:
                return
            n_rows = socket.gather_nowait()
            while socket.is_full and socket.can_gather:
                n_rows += socket.gather_nowait()
            pause_ns = gathering.pause_ns(n_rows, socket.is_full, time.monotonic_ns())

    def _arrived(self, socket: ReceiverSocket, datagrams: Batch) -> None:
        """Put the arrivals of one batch on the run's time line, and note that the socket hears."""
        arrivals_ns = datagrams.arrivals_ns
        moved_ns = self.recorder.clock.to_run_time(arrivals_ns)
        if moved_ns is not arrivals_ns:
            arrivals_ns[:] = moved_ns
        if not datagrams.heads["flags"][-1] & _MISDELIVERED:
            self._heard_ns[socket] = int(arrivals_ns[-1])

    def _record(self, datagrams: Batch) -> None:
        """Put the packets of one batch, whose times are the run's, on record."""
        for records in self.demultiplexer.take(datagrams):
            if records.dtype == TRAIN_DTYPE:
                self.recorder.trains(records)
            else:
                self.recorder.packets(records)
