"""A capture file opened for reading: batches of datagrams, membership messages, and what was skipped and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.capture.checksum import is_right, wrong_checksums
from harness.capture.fate import SLOW, UDP, Skip, code, reason_of
from harness.capture.frames import Frames, gather
from harness.capture.link import CUT, NOT_IP, SUPPORTED, find_ip
from harness.capture.pcap import PcapReader, is_pcap
from harness.capture.pcapng import PcapngReader, is_pcapng
from harness.capture.source import WINDOW_BYTES, Window, not_a_capture
from harness.capture.udp import Rows, decode
from harness.capture.upper import MembershipMessage, UpperDatagram, UpperLayer
from harness.errors import RecordError, UsageError
from harness.model import UNDEFINED_NS, Datagrams, PacketFlag

MAX_WIDTH = 65_536
MAX_MEMBERSHIPS = 1_000_000
MAX_MEMBERSHIP_BYTES = 64 << 20
_MAPPED_PREFIX = bytes(10) + b"\xff\xff"
_DONE = -1


def open_capture(path: str | Path, *, verify_checksums: bool = False, window_bytes: int = WINDOW_BYTES) -> Capture:
    """Open a pcap or pcapng file, plain or gzip.

    Args:
      path: the file.
      verify_checksums: count datagrams with a wrong UDP checksum as "bad checksum" and leave them out. A capture on
        the sending host shows such ones wherever the network card fills the checksum in.
      window_bytes: how much of the file is worked on at a time, a multiple of 4; a longer frame counts as damage.

    Raises:
      RecordError: not such a file, or one without a link type that is read here; says what it is.
    """
    return Capture(Path(path), verify_checksums=verify_checksums, window_bytes=window_bytes)


class Capture:
    """A capture file. Each pass (`batches`, `frames`, `scan`) reads it anew; one pass at a time.

    Attributes:
      path: the file.
      format: "pcap" or "pcapng".
      interfaces: described so far; a pcapng file may describe more on the way, so complete after a pass.
      counters: frames that became no datagram, by reason (see Skip), of the current or last pass.
      memberships: IGMP and MLD messages of the current or last pass, in order.
      n_frames, n_datagrams: of the current or last pass. After it, n_frames = n_datagrams + memberships + counters.
      warnings: what is wrong with the file, one line each.
      drops: packets that the capture itself dropped, by ifindex as in the batches; an interface whose statistics the
        file does not hold is absent. They look like loss in the network and are none.
    """

    def __init__(self, path: Path, *, verify_checksums: bool, window_bytes: int) -> None:
        self.path = path
        self._verify = verify_checksums
        self._window_bytes = window_bytes
        self._restart()
        with Window(path, min(window_bytes, 1 << 16)) as window:
            reader = self._reader(window)
            self.format = "pcap" if isinstance(reader, PcapReader) else "pcapng"
            next(iter(reader.frames()), None)
            self.interfaces = reader.interfaces
        if self.format == "pcap":
            self._refuse_link_types()

    def batches(self, max_rows: int = 65_536, width: int = 2048) -> Iterator[Datagrams]:
        """Yield the file's UDP datagrams in order, batch by batch.

        `ifindex` is the interface's number in `interfaces` plus 1. A datagram put together from fragments stands where
        the last of them came. TRUNCATED marks datagrams of which the *file* holds less than there was on the wire;
        `kept` may be smaller than `size` without it, when `width` is.

        Args:
          max_rows: datagrams in a batch at most.
          width: payload bytes kept of each at most, columns of `data`; the fewer, the faster.

        Yields:
          Batches of at least one datagram, whose arrays the next one overwrites.

        Raises:
          UsageError: max_rows below 1, or width outside 1 to 65536.
          RecordError: the file cannot be read, or no frame in it is of a link type that is read here.
        """
        if max_rows < 1 or not 1 <= width <= MAX_WIDTH:
            raise UsageError(f"max_rows {max_rows} must be at least 1, width {width} from 1 to {MAX_WIDTH}")
        self._restart()
        upper = UpperLayer(self.counters)
        data = np.empty((0, width), np.uint8)
        for frames in self._pass():
            if len(data) < min(len(frames), max_rows):
                data = np.empty((min(len(frames), max_rows), width), np.uint8)
            for start in range(0, len(frames), max_rows):
                batch = self._batch(frames.part(slice(start, start + max_rows)), upper, data)
                if len(batch):
                    self.n_datagrams += len(batch)
                    yield batch
        upper.fragments.give_up()
        self._refuse_link_types()

    def scan(self) -> None:
        """Read the whole file for its counters, interfaces and membership messages alone.

        Raises:
          RecordError: as `batches`.
        """
        for _ in self.batches(width=1):
            pass

    def frames(self) -> Iterator[Frames]:
        """Yield all captured frames as they are, a window's worth at a time, each valid until the next one.

        Raises:
          RecordError: the file cannot be read.
        """
        self._restart()
        yield from self._pass()

    def _restart(self) -> None:
        self.counters: Counter[str] = Counter()
        self.memberships: list[MembershipMessage] = []
        self._membership_bytes = 0
        self.warnings: list[str] = []
        self.drops: dict[int, int] = {}
        self.n_frames = self.n_datagrams = 0

    def _reader(self, window: Window) -> PcapReader | PcapngReader:
        window.advance(0)
        head = window.data[: min(window.n, 16)].tobytes()
        if is_pcap(head):
            return PcapReader(window)
        if is_pcapng(head):
            return PcapngReader(window)
        raise not_a_capture(self.path, head)

    def _pass(self) -> Iterator[Frames]:
        with Window(self.path, self._window_bytes) as window:
            reader = self._reader(window)
            self.interfaces, self.warnings = reader.interfaces, reader.warnings
            has_untimed = False
            for frames in reader.frames():
                self.n_frames += len(frames)
                has_untimed = has_untimed or bool((frames.rx_ns == UNDEFINED_NS).any())
                yield frames
            self.drops = {number + 1: count for number, count in sorted(reader.drops.items())}
            for ifindex, count in self.drops.items():
                if count:
                    name = self.interfaces[ifindex - 1].name or f"interface {ifindex - 1}"
                    self.warnings.append(f"{name}: the capture itself dropped {count} packets, which look like loss")
            if has_untimed:
                self.warnings.append("some packets carry no time (simple packet blocks, or beyond the years 1677-2262)")

    def _refuse_link_types(self) -> None:
        """Refuse a file in which no frame can be read, for its link types alone."""
        refused = [i.link_name for i in self.interfaces if i.link_type not in SUPPORTED]
        is_only = len(refused) == len(self.interfaces) and self.format == "pcap"
        if refused and (is_only or 0 < self.n_frames == self.counters[Skip.UNKNOWN_LINK_TYPE]):
            names = ", ".join(sorted(set(refused)))
            raise RecordError(
                f"{self.path} was captured on {names}; Ethernet, Linux cooked, raw IP and BSD loopback are read"
            )

    def _batch(self, frames: Frames, upper: UpperLayer, data: NDArray[np.uint8]) -> Datagrams:
        rows, version = self._rows(frames)
        pieces = self._slow_rows(frames, rows, version, upper)
        if self._verify:
            is_wrong = wrong_checksums(frames.window, rows.payload, rows.kept, rows.checksum, rows.meta)
            rows.fate[is_wrong & (rows.fate == UDP)] = code(Skip.BAD_CHECKSUM)
        is_udp = rows.fate == UDP
        meta, payload, kept = rows.meta, rows.payload, rows.kept
        if not is_udp.all():
            for fate, n in zip(*np.unique(rows.fate[rows.fate > SLOW], return_counts=True), strict=True):
                self.counters[reason_of(int(fate))] += int(n)
            meta, payload, kept = meta[is_udp], payload[is_udp], kept[is_udp]
        n, width = len(meta), data.shape[1]
        kept = np.minimum(kept, width)
        if n:
            longest = min(width, (int(kept.max()) + 63) // 64 * 64)
            if longest:
                dtype = np.dtype((np.void, longest))
                data[:n, :longest] = gather(frames.window, payload, dtype).view(np.uint8).reshape(n, longest)
        if pieces:
            place = np.cumsum(is_udp) - 1
            for row, piece in pieces.items():
                data[place[row], : min(len(piece), width)] = np.frombuffer(piece[:width], np.uint8)
        return Datagrams(data[:n], kept, meta)

    def _rows(self, frames: Frames) -> tuple[Rows, NDArray[np.int8]]:
        """Return what the headers of all frames tell, and the IP version of each."""
        known = [i.link_type if i.link_type in SUPPORTED else -1 for i in self.interfaces]
        link = np.array([*known, -1], np.int64)[frames.interface]
        is_bad = frames.captured < 0
        first = int(link[0])
        if first >= 0 and (link == first).all():
            at, version = find_ip(frames, first)
        else:
            at, version = frames.offset.copy(), np.full(len(frames), NOT_IP, np.int8)
            for link_type in np.unique(link[link >= 0]).tolist():
                which = link == link_type
                at[which], version[which] = find_ip(frames.part(which), link_type)
        version[is_bad] = NOT_IP
        rows = decode(frames, at, version)
        if not (version > 0).all():
            rows.fate[version == NOT_IP] = code(Skip.NOT_IP)
            rows.fate[version == CUT] = code(Skip.TRUNCATED)
            rows.fate[link < 0] = code(Skip.UNKNOWN_LINK_TYPE)
            rows.fate[frames.interface < 0] = code(Skip.UNKNOWN_INTERFACE)
            rows.fate[is_bad] = code(Skip.BAD_RECORD)
        rows.payload[rows.fate == SLOW] = at[rows.fate == SLOW]
        return rows, version

    def _slow_rows(self, frames: Frames, rows: Rows, version: NDArray[np.int8], upper: UpperLayer) -> dict[int, bytes]:
        """Look at single frames; complete their rows and return the payloads of those that became datagrams."""
        pieces: dict[int, bytes] = {}
        for row in np.flatnonzero(rows.fate == SLOW).tolist():
            start, stop = int(rows.payload[row]), int(frames.offset[row] + frames.captured[row])
            packet, interface = frames.window[start:stop].tobytes(), int(frames.interface[row])
            found = upper.read(int(version[row]), packet, int(frames.rx_ns[row]), interface)
            rows.fate[row], rows.payload[row], rows.kept[row], rows.checksum[row] = _DONE, 0, 0, 0
            if isinstance(found, MembershipMessage):
                self._membership_bytes += len(found.payload)
                if len(self.memberships) < MAX_MEMBERSHIPS and self._membership_bytes <= MAX_MEMBERSHIP_BYTES:
                    self.memberships.append(found)
                else:
                    self.counters[Skip.TOO_MANY_MEMBERSHIPS] += 1
            elif found is not None and self._is_wrong(found):
                self.counters[Skip.BAD_CHECKSUM] += 1
            elif found is not None:
                pieces[row] = found.payload
                _complete(rows, row, found)
        return pieces

    def _is_wrong(self, found: UpperDatagram) -> bool:
        is_whole = self._verify and len(found.payload) == found.size
        return is_whole and not is_right(found.header + found.payload, found.source, found.destination)


def _complete(rows: Rows, row: int, found: UpperDatagram) -> None:
    """Fill in the row of a datagram that was looked at by itself."""
    meta = rows.meta[row : row + 1]
    for name, address in (("source", found.source), ("destination", found.destination)):
        packed = _MAPPED_PREFIX + address if len(address) == 4 else address
        meta[name] = np.frombuffer(packed, np.uint8)
    meta["source_port"] = int.from_bytes(found.header[:2])
    meta["destination_port"] = int.from_bytes(found.header[2:4])
    meta["size"], meta["ttl"] = found.size, found.ttl
    is_short = len(found.payload) < found.size
    meta["flags"] = PacketFlag.TRUNCATED if is_short else 0
    rows.kept[row], rows.fate[row] = len(found.payload), UDP
