"""Block: the kernel refuses one program's multicast, as an operating system's policy does; unicast stays free.

A socket belongs to the cgroup that its program was in when it opened it, for good. So with born = "before" the
programs move to a sibling cgroup once the old one is blocked: old sockets stay dead, new ones work.

What is refused to a sender is what it sends with an address, sendto and sendmsg; a socket that was connected to a group
is not asked. What is not delivered is counted once for each socket, and as a drop of that socket (/proc/net/udp).
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from pathlib import Path

from harness.errors import LabError, errno_text
from harness.lab import cgroups
from harness.lab.impairments import bpf
from harness.lab.impairments.applied import Applied, Counts
from harness.lab.impairments.moment import Deeds
from harness.lab.impairments.tables import next_number
from harness.lab.place import Lab
from harness.model.lab import Block


async def block(impairment: Block, lab: Lab, deeds: Deeds) -> Applied:
    """Attach the programs to the cgroup of a host's agent; undone, they go, and the agents are where they were.

    Raises:
      LabError: cgroups or BPF are closed here.
    """
    group = lab.cgroup(impairment.host)
    if group is None:
        raise LabError(f"host {impairment.host} cannot be blocked: cgroup v2 is not writable here; try root")
    blocked = _Blocked(impairment, group)
    try:
        blocked.load()
        refuge = _make_refuge(group) if impairment.born == "before" else None
    except LabError:
        blocked.close()
        raise
    agents = lab.agents(impairment.host)

    async def undo() -> None:
        t_ns = time.time_ns()
        blocked.detach()
        deeds.write("undo", (t_ns, time.time_ns()), [f"detach from {group}"])
        blocked.close()
        if refuge is not None:
            _empty(refuge, group)
            cgroups.remove(refuge)

    applied = Applied(undo, blocked.counted, [("cgroup", str(refuge))] if refuge is not None else [])
    try:
        t_ns = time.time_ns()
        blocked.attach()
        if refuge is not None:
            for pid in agents:
                cgroups.move(pid, refuge)
        deeds.write("apply", (t_ns, time.time_ns()), [f"attach to {group}", *_moves(agents, refuge)])
    except LabError:
        await applied.undo()
        raise
    return applied


class _Blocked:
    """The programs, loaded at first and then attached."""

    def __init__(self, impairment: Block, group: Path) -> None:
        self._impairment, self._group = impairment, group
        self._programs: list[tuple[int, int]] = []
        self._links: list[int] = []
        self._counter: int | None = None
        self._final: Counts = {}

    def load(self) -> None:
        """Load what the impairment asks for."""
        if self._impairment.send:
            number = int(getattr(errno, self._impairment.errno))
            for version, place in ((4, bpf.UDP4_SENDMSG), (6, bpf.UDP6_SENDMSG)):
                self._programs.append((bpf.load(bpf.refuse_multicast(version, number), place), place))
        if self._impairment.receive:
            self._counter = bpf.make_counter()
            program = bpf.load(bpf.deafen_to_multicast(self._counter), bpf.INET_INGRESS)
            self._programs.append((program, bpf.INET_INGRESS))

    def attach(self) -> None:
        """Put the programs in force."""
        try:
            folder = os.open(self._group, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as exc:
            raise LabError(f"no cgroup {self._group}: {errno_text(exc.errno or 0)}") from exc
        try:
            for program, place in self._programs:
                self._links.append(bpf.attach(program, folder, place))
        finally:
            os.close(folder)

    def detach(self) -> None:
        """Take the programs out of force."""
        while self._links:
            os.close(self._links.pop())

    def close(self) -> None:
        """Free the programs; the count stays."""
        if self._counter is not None:
            with contextlib.suppress(LabError):
                self._final = self._count(self._counter)
            os.close(self._counter)
            self._counter = None
        while self._programs:
            os.close(self._programs.pop()[0])

    async def counted(self) -> Counts:
        """Return the deliveries withheld so far."""
        return dict(self._final) if self._counter is None else self._count(self._counter)

    def _count(self, counter: int) -> Counts:
        n_withheld = bpf.read_counter(counter)
        return {"withheld deliveries": n_withheld} if n_withheld else {}


def _make_refuge(group: Path) -> Path:
    refuge = cgroups.make(f"{group.name}-free{next_number()}", beside=group)
    if refuge is None:
        raise LabError(f"no second cgroup can be made beside {group}; try root")
    return refuge


def _moves(agents: list[int], refuge: Path | None) -> list[str]:
    return [] if refuge is None else [f"echo {pid} > {refuge}/cgroup.procs" for pid in agents]


def _empty(refuge: Path, group: Path) -> None:
    """Move all processes back, those that the agents have started since among them."""
    for _ in range(10):  # one that is just being forked appears a moment later
        there = cgroups.processes(refuge)
        if not there:
            return
        for pid in there:
            cgroups.move(pid, group)
