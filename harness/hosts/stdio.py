"""stdin and stdout as Trio streams, with everything that libraries print kept off stdout."""

from __future__ import annotations

import os
import sys

import trio


class ThreadedReader(trio.abc.ReceiveStream):
    """Reads a file descriptor in a thread: for systems where a pipe cannot be waited for otherwise (Windows)."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Return what is there, waiting for the first byte; b"" at the end."""
        return await trio.to_thread.run_sync(os.read, self._descriptor, max_bytes or 65_536, abandon_on_cancel=True)

    async def aclose(self) -> None:
        """Leave the descriptor to the process's end: a thread may still wait on it."""
        await trio.lowlevel.checkpoint()


class ThreadedWriter(trio.abc.SendStream):
    """Writes to a file descriptor in a thread."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Write all of it."""
        try:
            await trio.to_thread.run_sync(self._write, bytes(data))
        except OSError as exc:
            raise trio.BrokenResourceError("the reader is gone") from exc

    async def wait_send_all_might_not_block(self) -> None:
        """Return at once: a thread may block."""
        await trio.lowlevel.checkpoint()

    async def aclose(self) -> None:
        """Close the descriptor."""
        os.close(self._descriptor)
        await trio.lowlevel.checkpoint()

    def _write(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._descriptor, data) :]


def streams(reader: int, writer: int) -> tuple[trio.abc.ReceiveStream, trio.abc.SendStream]:
    """Return Trio streams of two descriptors, in the way that this system has."""
    if sys.platform == "win32":
        return ThreadedReader(reader), ThreadedWriter(writer)
    return trio.lowlevel.FdStream(reader), trio.lowlevel.FdStream(writer)


def take_stdio() -> tuple[int, int]:
    """Return descriptors of this process's stdin and stdout, and point those elsewhere.

    From then on whatever prints, in Python or below it, prints to stderr, and whatever reads stdin finds its end.
    """
    sys.stdout.flush()
    reader, writer = os.dup(0), os.dup(1)
    os.dup2(2, 1)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    sys.stdout = sys.stderr
    return reader, writer
