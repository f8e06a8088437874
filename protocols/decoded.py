"""What a decoded batch looks like: columns by field name, and the records that they make."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from protocols.errors import SchemaError, nearest
from protocols.layout import Column, Rows

if TYPE_CHECKING:
    from protocols.schema import Protocol


class Fields:
    """The fields of the packets that were accepted, read when asked for and then kept.

    Attributes:
      kept: bytes at hand of each packet, shape (m,).
      size: bytes that it had on the wire, shape (m,).
    """

    def __init__(
        self, protocol: Protocol, rows: Rows, index: NDArray[np.intp] | None, kept: Column, size: Column
    ) -> None:
        self._protocol, self._rows, self._index = protocol, rows, index
        self.kept = kept if index is None else kept[index]
        self.size = size if index is None else size[index]
        self._columns: dict[str, Column] = {}

    def __len__(self) -> int:
        return len(self.kept)

    def __getitem__(self, path: str) -> Column:
        """Return the column of a field, shape (m,), or (m, k) for bytes and arrays of numbers.

        Raises:
          SchemaError: the schema has no such field, or none at a fixed place.
        """
        if path not in self._columns:
            column = self._protocol.field_named(path, "field").read(self._rows)
            self._columns[path] = column if self._index is None else column[self._index]
        return self._columns[path]

    @property
    def rows(self) -> Rows:
        """The packets themselves, shape (m, width); bytes from `kept` on are undefined. A copy if any were rejected."""
        return self._rows if self._index is None else self._rows[self._index]


class Decoded:
    """The records in a batch of n datagrams, m of them; there may be several in a datagram, or none.

    Attributes:
      row: which datagram each record came from, shape (m,), ascending.
      seq: number on the wire, int64, shape (m,); UNNUMBERED where there is none.
      tx: sender's realtime in ns, or ticks of the media clock for a protocol with a `clock`; UNDEFINED_NS where none.
      key: bytes that tell the protocol's streams apart (its stream key, stream id and epoch), uint8, shape (m, k);
        equal rows are one stream of a flow; k may be 0.
      flags: END, CORRUPT, DISCONTINUITY and RETRANSMITTED bits, uint8, shape (m,).
      is_keyed: False where the packet's header is damaged, so that no number in it can be trusted: `seq` is UNNUMBERED,
        `tx` undefined and `key` all zero there. Such a record counts as corrupt for its flow; it names no stream.
      reject: 0 for a datagram that was accepted, else an index into the protocol's `reject_reasons`, uint8, shape (n,).
    """

    __slots__ = ("_fields", "_protocol", "flags", "is_keyed", "key", "reject", "row", "seq", "tx")

    def __init__(
        self,
        protocol: Protocol,
        fields: Fields,
        *,
        row: NDArray[np.intp],
        seq: NDArray[np.int64],
        tx: NDArray[np.int64],
        key: NDArray[np.uint8],
        flags: NDArray[np.uint8],
        is_keyed: NDArray[np.bool_],
        reject: NDArray[np.uint8],
    ) -> None:
        self._protocol, self._fields = protocol, fields
        self.row, self.seq, self.tx, self.key = row, seq, tx, key
        self.flags, self.is_keyed, self.reject = flags, is_keyed, reject

    def __len__(self) -> int:
        return len(self.row)

    def field(self, path: str) -> Column:
        """Return any field of the schema for every record, shape (m,) or (m, k).

        Raises:
          SchemaError: the schema has no such field.
        """
        return self._fields[path]

    def _role(self, path: str | None) -> Column | None:
        if path is None:
            return None
        column = self._fields[path]
        bounded: Column = np.minimum(column, column.dtype.type(2**63 - 1)).astype(np.int64)
        return bounded

    @property
    def stream_id(self) -> Column | None:
        """The probe's stream id, int64, shape (m,); None for a protocol without one."""
        return self._role(self._protocol.stream_id)

    @property
    def epoch(self) -> Column | None:
        """The probe's epoch, int64, shape (m,); None for a protocol without one."""
        return self._role(self._protocol.epoch)

    @property
    def schedule_start_ns(self) -> Column | None:
        """When packet 0 was due, sender's realtime, int64, shape (m,); None for a protocol without a schedule."""
        return self._role(self._protocol.schedule_start)

    @property
    def interval_ns(self) -> Column | None:
        """The time between packets by their own word, int64, shape (m,), 0 aperiodic; None if they do not tell."""
        return self._role(self._protocol.interval)

    @property
    def count(self) -> Column | None:
        """How many packets were scheduled, int64, shape (m,), meant where the END flag is set; None if never told."""
        return self._role(self._protocol.count)

    def key_text(self, index: int) -> dict[str, str]:
        """Return the stream key of one record for people, {"ssrc": "0x1f2e3d4c"}; without stream id and epoch."""
        protocol = self._protocol
        return {
            name: protocol.field_named(path, "stream_key").text(self._fields[path][index])
            for name, path in protocol.key_names.items()
        }


def field_error(schema: str, role: str, path: str, known: list[str], tail: tuple[str, ...]) -> SchemaError:
    """Return the error for a role that names no field which can be read."""
    if path in tail:
        return SchemaError(schema, path, f"({role}) has no fixed size, so it cannot be read")
    return SchemaError(schema, path, f"({role}) does not exist{nearest(path, known)}")
