"""A guest's disk with a write cache that a power cut empties, served to QEMU by the NBD protocol.

QEMU's own cache modes cannot show a missing barrier: a killed QEMU leaves its finished writes in the host's page cache,
flushed or not. So the disk is served from here. A write is acknowledged at once and kept in memory; a flush puts
everything acknowledged so far into the file. At a power cut each sector that was not flushed is on the disk or not, by
chance: later writes may have overtaken earlier ones, and a write of several sectors may be torn, as on a real drive.

The protocol is NBD's fixed newstyle negotiation with simple replies (the NBD project's doc/proto.md).
"""

from __future__ import annotations

import os
import random
import struct
from pathlib import Path

import trio

SECTOR = 512

_OPTION_MAGIC = 0x49484156454F5054
_REPLY_MAGIC = 0x3E889045565A9
_REQUEST_MAGIC = 0x25609513
_SIMPLE_REPLY_MAGIC = 0x67446698
_FIXED_NEWSTYLE, _NO_ZEROES = 1, 2
_OPT_ABORT, _OPT_INFO, _OPT_GO = 2, 6, 7
_REP_ACK, _REP_INFO, _REP_UNSUPPORTED = 1, 3, 0x80000001
_HAS_FLAGS, _SEND_FLUSH, _SEND_FUA = 1, 4, 8
_READ, _WRITE, _DISCONNECT, _FLUSH = 0, 1, 2, 3
_FUA = 1
_EINVAL = 22
_MOST_BYTES = 64 << 20


class VolatileDisk:
    """A disk image and the sectors that are not in it yet.

    Args:
      path: the image, a whole number of sectors.

    Attributes:
      n_flushes: how often the guest asked for its data to be safe.
      written: set, and replaced, with each write.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.n_flushes = 0
        self.written = trio.Event()
        self._file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        self.size = os.fstat(self._file).st_size
        self._unflushed: dict[int, bytes] = {}

    @property
    def n_unflushed(self) -> int:
        """How many sectors a power cut would put at risk now."""
        return len(self._unflushed)

    def read(self, offset: int, length: int) -> bytes:
        """Return what the guest has written last, flushed or not; whole sectors."""
        data = bytearray(os.pread(self._file, length, offset))
        if self._unflushed:
            for place in range(0, length, SECTOR):
                newer = self._unflushed.get((offset + place) // SECTOR)
                if newer is not None:
                    data[place : place + SECTOR] = newer
        return bytes(data)

    def write(self, offset: int, data: bytes) -> None:
        """Take whole sectors into the cache."""
        for place in range(0, len(data), SECTOR):
            self._unflushed[(offset + place) // SECTOR] = data[place : place + SECTOR]
        self.written.set()
        self.written = trio.Event()

    def flush(self) -> None:
        """Put everything in the cache on the disk."""
        self.n_flushes += 1
        self._put(self._unflushed)

    def power_cut(self, chance: random.Random, survives: float = 0.5) -> int:
        """Lose the cache; each sector survives with a probability of its own, and the number lost is returned."""
        kept = {sector: data for sector, data in sorted(self._unflushed.items()) if chance.random() < survives}
        n_lost = len(self._unflushed) - len(kept)
        self._put(kept)
        self._unflushed.clear()
        return n_lost

    def close(self) -> None:
        """End an orderly stop: a drive that keeps its power empties its cache."""
        self._put(self._unflushed)
        os.close(self._file)

    def _put(self, sectors: dict[int, bytes]) -> None:
        for sector, data in sectors.items():
            os.pwrite(self._file, data, sector * SECTOR)
        sectors.clear()

    async def serve(self, stream: trio.abc.Stream) -> None:
        """Serve one client until it goes; a client that breaks off, or off the rules, is left."""
        reader = _Reader(stream)
        try:
            if await self._negotiate(stream, reader):
                await self._transmit(stream, reader)
        except (trio.BrokenResourceError, trio.ClosedResourceError, EOFError):
            return

    async def _negotiate(self, stream: trio.abc.Stream, reader: _Reader) -> bool:
        await stream.send_all(b"NBDMAGIC" + struct.pack(">QH", _OPTION_MAGIC, _FIXED_NEWSTYLE | _NO_ZEROES))
        await reader.exactly(4)
        while True:
            magic, option, length = struct.unpack(">QII", await reader.exactly(16))
            if magic != _OPTION_MAGIC or length > _MOST_BYTES:
                return False
            await reader.exactly(length)
            if option in (_OPT_INFO, _OPT_GO):
                export = struct.pack(">HQH", 0, self.size, _HAS_FLAGS | _SEND_FLUSH | _SEND_FUA)
                await stream.send_all(_option_reply(option, _REP_INFO, export) + _option_reply(option, _REP_ACK))
                if option == _OPT_GO:
                    return True
            elif option == _OPT_ABORT:
                await stream.send_all(_option_reply(option, _REP_ACK))
                return False
            else:
                await stream.send_all(_option_reply(option, _REP_UNSUPPORTED))

    async def _transmit(self, stream: trio.abc.Stream, reader: _Reader) -> None:
        while True:
            magic, flags, kind, handle, offset, length = struct.unpack(">IHHQQI", await reader.exactly(28))
            if magic != _REQUEST_MAGIC or length > _MOST_BYTES or kind == _DISCONNECT:
                return
            data, error = b"", 0
            if kind not in (_READ, _WRITE, _FLUSH) or offset + length > self.size or (offset | length) % SECTOR:
                error = _EINVAL
            if kind == _WRITE:
                payload = await reader.exactly(length)
                if not error:
                    self.write(offset, payload)
            elif kind == _READ and not error:
                data = self.read(offset, length)
            if kind == _FLUSH or flags & _FUA:
                self.flush()
            await stream.send_all(struct.pack(">IIQ", _SIMPLE_REPLY_MAGIC, error, handle) + data)


class _Reader:
    """Exactly so many bytes of a stream at a time."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream
        self._held = bytearray()

    async def exactly(self, n_bytes: int) -> bytes:
        """Return the next bytes; EOFError when the stream ends before."""
        while len(self._held) < n_bytes:
            data = await self._stream.receive_some(1 << 18)
            if not data:
                raise EOFError
            self._held += data
        taken = bytes(self._held[:n_bytes])
        del self._held[:n_bytes]
        return taken


def _option_reply(option: int, kind: int, data: bytes = b"") -> bytes:
    return struct.pack(">QIII", _REPLY_MAGIC, option, kind, len(data)) + data
