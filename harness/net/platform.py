"""The operating system's way with UDP sockets, chosen once: one method set, three implementations.

No function elsewhere asks for `sys.platform`; what a system cannot do, its method refuses or answers with None.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from harness.model.endpoint import Endpoint, IPAddress, Membership
from harness.net._darwin import DarwinPlatform
from harness.net._linux import LinuxPlatform
from harness.net._options import Ancillary, Cmsg, RxSource
from harness.net._windows import WindowsPlatform

if TYPE_CHECKING:
    from harness.net._hardware import HardwareClock

__all__ = ["PLATFORM", "Platform", "RxSource"]


class Platform(Protocol):
    """What the rest of the package asks of an operating system."""

    @property
    def name(self) -> str:
        """The system: "linux", "darwin" or "windows"."""

    @property
    def has_batch(self) -> bool:
        """Whether recvmmsg and sendmmsg exist."""

    def bind_host(self, address: IPAddress) -> IPAddress | None:
        """Return what to bind to so that only datagrams to `address` arrive, or None for all addresses."""

    def share_port(self, sock: socket.socket) -> None:
        """Let several receivers of one group bind to the same port."""

    def isolate(self, sock: socket.socket, version: int) -> None:
        """Deliver only groups that this very socket joined."""

    def overhear(self, sock: socket.socket, version: int) -> bool:
        """Deliver groups that other sockets of this host joined as well; False where the system cannot do that."""

    def deafen(self, sock: socket.socket) -> None:
        """Have the kernel throw away what arrives at this socket, without a word. Raises SocketOptionError."""

    def undeafen(self, sock: socket.socket) -> None:
        """Undo `deafen`. Raises SocketOptionError."""

    def request_ancillary(self, sock: socket.socket, version: int, stamps: RxSource = "kernel") -> RxSource:
        """Ask for destination, interface, TTL, arrival time and drop counter of each datagram.

        Returns who will stamp arrivals: as asked for by `stamps`, or "user" where the kernel does not.
        """

    def imply_arrival(self, sock: socket.socket, version: int, *, is_implied: bool) -> bool:
        """Have destination and interface of each datagram told no longer, or told again.

        They may be implied for an isolated socket that is bound to a group and joins it on one interface only: nothing
        else is delivered to it. Returns whether they are implied now; False where asking costs little.
        """

    def hardware_clock(self, interface: str) -> HardwareClock:
        """Have the interface's card stamp every arrival, and return its clock.

        Raises InterfaceError where the card does not, UsageError where the system gives its stamps to nobody.
        """

    def read_one(
        self, sock: socket.socket, row: memoryview, overflow: memoryview
    ) -> tuple[int, Sequence[Cmsg], tuple[str, int]]:
        """Read one datagram: its true size, control messages and source; `overflow` holds any datagram.

        Raises BlockingIOError when there is none, OSError when the socket has a pending error.
        """

    def decode(self, messages: Sequence[Cmsg]) -> Ancillary:
        """Return what the control messages of one datagram say; unknown ones are passed over."""

    def join(self, sock: socket.socket, membership: Membership, index: int) -> None:
        """Join a group, from any source or from one; index 0 lets the kernel choose. Raises MembershipError."""

    def leave(self, sock: socket.socket, membership: Membership, index: int) -> None:
        """Undo `join`. Raises MembershipError."""

    def joins_per_socket(self, version: int) -> int:
        """Return how many groups one socket may join."""

    def pin(self, sock: socket.socket, destination: Endpoint, index: int) -> None:
        """Send to `destination` through the interface with this index, whatever the routes say."""

    def report_errors(self, sock: socket.socket, destination: Endpoint) -> None:
        """Have a datagram that the host's own queue drops reported to the sender, where the system can."""

    def clear_errors(self, sock: socket.socket) -> None:
        """Empty what `report_errors` piled up, so that waiting for the socket works."""

    def set_receive_buffer(self, sock: socket.socket, n_bytes: int) -> None:
        """Ask for a receive buffer, as large as the system lets this user have."""

    def set_send_buffer(self, sock: socket.socket, n_bytes: int) -> None:
        """Ask for a send buffer, as large as the system lets this user have."""

    def buffer_note(self, asked: int, granted: int) -> str:
        """Return which limit cut a receive buffer short, in one sentence; "" when the wish was granted."""

    def drops(self, sock: socket.socket) -> int | None:
        """Return how many datagrams the socket's full buffer has dropped; None where the system does not say."""

    def queued_bytes(self, sock: socket.socket) -> int | None:
        """Return how much of its receive buffer is taken, by the system's accounting; None where it does not say."""


_PLATFORMS: dict[str, type[Platform]] = {
    "linux": LinuxPlatform,
    "darwin": DarwinPlatform,
    "win32": WindowsPlatform,
}

PLATFORM: Platform = _PLATFORMS.get(sys.platform, DarwinPlatform)()
"""The system that this program runs on; other BSDs are treated like macOS."""
