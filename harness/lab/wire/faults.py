"""The wire's decisions, sans-I/O: frames and the time go in, frames that leave now come out.

    frame -> cap -> each active fault, in order -> treatment: dropped | leaves now | held until a time, then maybe
                                                   until others have left | with copies right behind it

Every fault sees every frame that matches it and passes the cap, whatever the others do to it: taking one fault away
leaves the decisions of the others as they were. Before `start` no fault is active and no generator moves.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import Any, NamedTuple

from harness.lab.wire.actions import Action, Reordering, Treatment, action_of
from harness.lab.wire.cap import RateCap
from harness.lab.wire.frames import carried, parse
from harness.lab.wire.plan import NEVER_NS, Plan
from harness.lab.wire.records import DIRECTIONS, Did, DirectionLedger, FrameRecord


class Sent(NamedTuple):
    """A frame that leaves now: at the second end when its direction is FORWARD (0), else at the first.

    `original` is the frame as it came in, undamaged.
    """

    direction: int
    number: int
    data: bytes
    original: bytes


class Faults:
    """Decides what happens to each frame, and keeps the ledger and the records of it.

    The caller passes times of one monotonic clock, never backwards, and hands everything returned to the kernel.

    Args:
      plan: the faults.
      cap: the gate in front; None lets everything through.

    Attributes:
      counts: the ledger, forward and backward; held frames are counted in `n_held` while they are held.
    """

    def __init__(self, plan: Plan, cap: RateCap | None = None) -> None:
        self._plan, self._cap = plan, cap
        self._actions: tuple[Action, ...] = tuple(action_of(fault) for fault in plan.faults)
        self._reorderings = tuple(action for action in self._actions if isinstance(action, Reordering))
        self._active: tuple[Action, ...] = ()
        self._change_ns = NEVER_NS
        self._start_ns: int | None = None
        self._is_plain = not plan.log_all
        self._heap: list[tuple[int, int, Treatment]] = []
        self._order = 0
        self._n_frames = 0
        self._n_held = 0
        self._records: list[FrameRecord] = []
        self.counts = (DirectionLedger(), DirectionLedger())

    @property
    def next_due_ns(self) -> int | None:
        """When `due` has something to do next; None while nothing is held for a time."""
        while self._heap and self._heap[0][2].has_left:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    @property
    def is_logged(self) -> bool:
        """Whether records wait to be taken."""
        return bool(self._records)

    def start(self, at_ns: int) -> None:
        """Begin the timeline of the faults at a time, past or to come; frames held by then stay as they are."""
        self._start_ns = self._change_ns = at_ns
        for action in self._actions:
            action.start_ns = at_ns

    def take_records(self) -> list[FrameRecord]:
        """Return the records made since the last call, without `realtime_ns`."""
        records, self._records = self._records, []
        return records

    def offer(self, direction: int, data: bytes, now_ns: int) -> Sequence[Sent]:
        """Take a frame in; return what leaves now, in this order."""
        self._n_frames += 1
        counts = self.counts[direction]
        counts.n_in += 1
        if self._cap is not None and not self._cap.takes(now_ns):
            counts.n_over_rate += 1
            self._record(self._n_frames, direction, data, "over_rate", now_ns)
            return ()
        if now_ns >= self._change_ns:
            self._refresh(now_ns)
        if self._is_plain and not self._n_held:
            counts.n_out += 1
            return (Sent(direction, self._n_frames, data, data),)
        return self._judge(Treatment(self._n_frames, direction, data, data, parse(data), now_ns), now_ns)

    def due(self, now_ns: int, limit: int = 64) -> Sequence[Sent]:
        """Return frames whose time has come, in this order: about `limit`, so that reading goes on in between."""
        out = list[Sent]()
        while self._heap and self._heap[0][0] <= now_ns and len(out) < limit:
            frame = heapq.heappop(self._heap)[2]
            if frame.has_left:
                continue
            if frame.reorder is not None and not frame.is_waiting:
                self._wait_for_others(frame, now_ns)
                continue
            if frame.is_waiting and frame.reorder is not None:
                frame.reorder[0].waiting.remove(frame)
            self._release(frame, now_ns, out)
        return out

    def refused(self, sent: Sent, errno: int, now_ns: int) -> None:
        """Say that the kernel would not take a frame that was returned."""
        counts = self.counts[sent.direction]
        counts.n_out -= 1
        counts.n_refused += 1
        self._record(sent.number, sent.direction, sent.original, "refused", now_ns, errno=errno)

    def give_up(self, direction: int, data: bytes, now_ns: int) -> None:
        """Take in a frame that is not to be carried any more."""
        self._n_frames += 1
        counts = self.counts[direction]
        counts.n_in += 1
        counts.n_unread += 1
        self._record(self._n_frames, direction, data, "unread", now_ns)

    def finish(self, now_ns: int) -> None:
        """Record the frames still held; they are lost."""
        for _, _, frame in sorted(self._heap, key=lambda entry: entry[2].number):
            if not frame.has_left:
                frame.has_left = True
                self._note(frame, "held_at_end", now_ns)
        self._heap.clear()

    def _refresh(self, now_ns: int) -> None:
        """Work out which faults are active, and when that changes."""
        assert self._start_ns is not None
        offset_ns = now_ns - self._start_ns
        faults = self._plan.faults
        self._active = tuple(
            action
            for action, fault in zip(self._actions, faults, strict=True)
            if fault.from_ns <= offset_ns < fault.until_ns
        )
        edges = [edge for fault in faults for edge in (fault.from_ns, fault.until_ns) if edge > offset_ns]
        self._change_ns = min((self._start_ns + edge for edge in edges), default=NEVER_NS)
        self._is_plain = not self._active and not self._plan.log_all

    def _judge(self, frame: Treatment, now_ns: int) -> Sequence[Sent]:
        seq: int | None = None
        is_read = False
        for action in self._active:
            if action.matcher.matches(frame.direction, frame.parsed):
                if action.needs_seq and not is_read:
                    seq, is_read = carried(frame.data, frame.parsed, self._plan.sequence).seq, True
                action.treat(frame, now_ns, seq)
        counts = self.counts[frame.direction]
        if frame.dropped_by is not None:
            counts.n_dropped[frame.dropped_by] = counts.n_dropped.get(frame.dropped_by, 0) + 1
            self._note(frame, "dropped", now_ns, fault=frame.dropped_by)
            return ()
        is_held = frame.due_ns > now_ns or frame.reorder is not None
        if is_held and self._n_held >= self._plan.hold_limit:
            counts.n_hold_full += 1
            self._note(frame, "hold_full", now_ns)
            return ()
        if frame.corrupted:
            counts.n_corrupted += 1
            for label, byte in frame.corrupted:
                self._note(frame, "corrupted", now_ns, fault=label, byte=byte)
        out = list[Sent]()
        if not is_held:
            self._leave(frame, now_ns, out)
            return out
        self._n_held += 1
        counts.n_held += 1
        if frame.due_ns > now_ns:
            counts.n_delayed += 1
            for label in frame.delayed_by:
                self._note(frame, "held", now_ns, fault=label, until_ns=frame.due_ns)
            self._push(frame.due_ns, frame)
        else:
            self._wait_for_others(frame, now_ns)
        return out

    def _wait_for_others(self, frame: Treatment, now_ns: int) -> None:
        assert frame.reorder is not None
        reordering, frame.n_to_pass = frame.reorder
        frame.is_waiting = True
        reordering.waiting.append(frame)
        self.counts[frame.direction].n_reordered += 1
        until_ns = now_ns + reordering.plan.timeout_ns
        packets = frame.n_to_pass
        self._note(frame, "held", now_ns, fault=reordering.label, packets=packets, until_ns=until_ns)
        self._push(until_ns, frame)

    def _push(self, due_ns: int, frame: Treatment) -> None:
        self._order += 1
        heapq.heappush(self._heap, (due_ns, self._order, frame))

    def _release(self, frame: Treatment, now_ns: int, out: list[Sent]) -> None:
        """Have a held frame leave."""
        self._n_held -= 1
        self.counts[frame.direction].n_held -= 1
        self._leave(frame, now_ns, out)

    def _leave(self, frame: Treatment, now_ns: int, out: list[Sent]) -> None:
        """Have a frame leave, and those that waited for it to pass."""
        self._emit(frame, now_ns, out)
        for reordering in self._reorderings:
            for held in reordering.passed(frame):
                self._n_held -= 1
                self.counts[held.direction].n_held -= 1
                self._emit(held, now_ns, out)

    def _emit(self, frame: Treatment, now_ns: int, out: list[Sent]) -> None:
        """Append a frame with its copies."""
        frame.has_left = True
        n_copies = frame.n_copies
        out.extend([Sent(frame.direction, frame.number, frame.data, frame.original)] * (1 + n_copies))
        counts = self.counts[frame.direction]
        counts.n_out += 1 + n_copies
        counts.n_duplicated += n_copies
        if frame.delayed_by or frame.reorder is not None or self._plan.log_all:
            self._note(frame, "sent", now_ns)
        for label, copies in frame.duplicated:
            self._note(frame, "duplicated", now_ns, fault=label, copies=copies)

    def _note(self, frame: Treatment, did: Did, now_ns: int, **values: Any) -> None:
        self._record(frame.number, frame.direction, frame.original, did, now_ns, **values)

    def _record(self, number: int, direction: int, data: bytes, did: Did, now_ns: int, **values: Any) -> None:
        to, stream, epoch, seq, is_end = carried(data, parse(data), self._plan.sequence)
        self._records.append(
            FrameRecord(
                frame=number,
                direction=DIRECTIONS[direction],
                did=did,
                monotonic_ns=now_ns,
                to=to,
                stream=stream,
                epoch=epoch,
                seq=seq,
                is_end=is_end,
                **values,
            )
        )
