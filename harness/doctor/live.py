"""Questions that packets answer: own multicast to oneself, a second socket, unicast, the tap.

Own packets go out on loopback with TTL 0, or by the interface that was named with TTL 1: they stay on this machine, or
on its link.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Iterator, Sequence

import numpy as np

from harness.doctor.line import Line, Patient
from harness.errors import HarnessError, InterfaceError, errno_text
from harness.model import Endpoint, Interface, Membership
from harness.net import ReceiverSocket, open_receiver, open_sender
from harness.net.tap import open_tap
from harness.units import NS_PER_S

N_PACKETS = 5
WAIT_NS = NS_PER_S // 2
_POLL_S = 0.005
_MARK = b"multicast-harness doctor "


def loopback(patient: Patient) -> Iterator[Line]:
    """Yield whether this machine hears its own multicast, and whether a second socket hears it, too."""
    by = patient.sends_by
    if by is None:
        yield Line(name="own multicast", status="unknown", text="there is no interface to send by")
        return
    membership = Membership(patient.group, by.name)
    with contextlib.ExitStack() as stack:
        sockets: list[ReceiverSocket] = []
        for name in ("own multicast", "second socket"):
            try:
                (opened,) = open_receiver([membership])
            except HarnessError as exc:
                yield Line(name=name, status="broken", text=str(exc))
                return
            sockets.append(stack.enter_context(opened))
        try:
            heard = _send_and_hear(patient.group, by, sockets, ttl=1 if patient.interface is not None else 0)
        except HarnessError as exc:
            yield Line(name="own multicast", status="broken", text=str(exc))
            return
    where = f"{patient.group} on {by.name}"
    yield _heard("own multicast", where, heard[0], "check interface, firewall and the program's permissions")
    remedy = "another program may hold the port alone, or the system gives a group to one socket only"
    yield _heard("second socket", where, heard[1], remedy)


def unicast(patient: Patient) -> Line:
    """Whether unicast to this machine's own address arrives at the same port."""
    by = patient.sends_by
    address = by.first_address(patient.group.version) if by is not None else None
    if by is None or address is None:
        return Line(name="unicast", status="unknown", text=f"there is no IPv{patient.group.version} address to send to")
    if address.version == 6 and address.is_link_local:
        return Line(name="unicast", status="unknown", text=f"{by.name} has a link-local address only")
    own = Endpoint(address, patient.group.port)
    try:
        (receiver,) = open_receiver([Membership(own)])
        with receiver:
            (n,) = _send_and_hear(own, None, [receiver], ttl=1)
    except HarnessError as exc:
        return Line(name="unicast", status="unknown", text=str(exc))
    return _heard("unicast", str(own), n, "a filter drops UDP to this port: allow it on input")


def tap(patient: Patient) -> Line:
    """Whether frames can be listened to, which tells a deaf program from a silent network."""
    try:
        opened = open_tap([patient.group])
    except InterfaceError as exc:
        remedy = "run as root, or with CAP_NET_RAW: without a tap, much remains untold"
        return Line(name="tap", status="unknown", text=str(exc), remedy=remedy)
    opened.close()
    return Line(name="tap", status="ok", text="frames can be listened to")


def _heard(name: str, where: str, n: int, remedy: str) -> Line:
    if n == N_PACKETS:
        return Line(name=name, status="ok", text=f"{n} of {N_PACKETS} packets to {where} were heard")
    return Line(
        name=name,
        status="suspicious" if n else "broken",
        text=f"{n} of {N_PACKETS} packets to {where} were heard",
        remedy=remedy,
    )


def _send_and_hear(to: Endpoint, by: Interface | None, sockets: Sequence[ReceiverSocket], ttl: int) -> list[int]:
    """Return how many of some packets of one's own each socket heard.

    Raises:
      HarnessError: they cannot be sent.
    """
    mark = _MARK + secrets.token_bytes(12)
    payload = np.frombuffer(mark, np.uint8)
    with open_sender(to, interface=by.name if by is not None else None, ttl=ttl) as sender:
        errnos = sender.send_nowait(np.tile(payload, (N_PACKETS, 1)))
    if errnos.any():
        raise InterfaceError(f"send to {to} was refused: {errno_text(int(errnos[errnos != 0][0]))}")
    heard = [0] * len(sockets)
    deadline_ns = time.monotonic_ns() + WAIT_NS
    while time.monotonic_ns() < deadline_ns and min(heard) < N_PACKETS:
        for place, socket in enumerate(sockets):
            while (batch := socket.receive_nowait()) is not None:
                heard[place] += int((batch.data[:, : len(payload)] == payload).all(axis=1).sum())
        time.sleep(_POLL_S)
    return heard
