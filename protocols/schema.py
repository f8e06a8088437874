"""A format: a Construct schema and what its fields mean; decodes a whole batch of datagrams at once.

The schema says where the fields are, the roles say which of them is the sequence number, the send time, the stream
key; a few hooks say what neither can. From these a protocol turns bytes into records without a Python object a packet.
Network input never raises: a datagram that is not of the format is rejected with a reason.
"""

from __future__ import annotations

import typing
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace

import construct as c
import numpy as np
from numpy.typing import NDArray

from protocols.compile import compile_schema
from protocols.decode import BASE_REASONS, Cells, decode
from protocols.decoded import Decoded, Fields, field_error
from protocols.errors import SchemaError
from protocols.layout import Column, Field, Layout, Rows

Hook = Callable[[Fields], NDArray[np.bool_]]
"""Answers one question for each packet of a batch: fields in, shape (m,) of bool out."""

Found = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Numbers and send times."""


class Follow(typing.Protocol):
    """Reads further packets of one stream, where `decode` would find nothing else of note; None where it might.

    It looks at the fixed part alone.
    """

    def __call__(self, rows: Rows) -> Found | None:
        """Return number and send time of each packet, shape (n,), good until the next call.

        Args:
          rows: the packets, shape (n, width), n at most FOLLOWED_ROWS of `protocols.following`.
        """

    def trains(self, rows: Rows, counts: NDArray[np.int64]) -> Found | None:
        """Return those of the first packet of each train with one send time, shape (k,).

        Args:
          rows: the packets of all trains, shape (n, width).
          counts: packets of each, shape (k,), n together.
        """


@dataclass(frozen=True, eq=False, kw_only=True)
class Protocol:
    """A format on the wire. A role is the path of a field, "header.sequence", or None when the format has none.

    Attributes:
      name: as on the command line.
      title: for people, with the standard and its section.
      schema: a Construct Struct; its end may vary in size, see `compile_schema`.
      sequence: the sequence number.
      sequence_bits: its width; of the field unless given, 0 without a sequence number.
      sequence_first, sequence_modulus: for numbers that run from first to first + modulus - 1; a number outside them
        means that numbering is switched off (Art-Net: 1, 255; 0 is off).
      number: hook that computes the sequence numbers instead, int64, shape (m,).
      send_time: realtime when it was sent: the path of a field in ns, or paths and ns per unit of each, which are
        added up: {"sec": 10**9, "usec": 1000}.
      clock: the media clock's time stamp; excludes `send_time`.
      clock_rate: ticks per second of it, None when the format leaves it open.
      clock_bits: its width; of the field unless given.
      clock_rates: a field whose value fixes the rate where `clock_rate` is left open, and the rates by its values.
      stream_key: fields that tell streams of one flow apart.
      stream_id, epoch, schedule_start, interval, count: what only a probe carries.
      interval_ns: nominal time between packets, None when not known.
      ports: well-known UDP ports, for guessing.
      versions: fields and the values of them that this schema describes; others are "unknown version".
      others: other packets of the same family, which carry no stream: reason for rejecting, bytes that it takes to
        tell, and a hook on `rows` that is True for them. They are named before anything else is judged.
      accept: further conditions in order, reason for rejecting and hook that is True for what passes.
      skip: hook, True for packets that are of the format but no part of any stream (null packets); no record.
      verify_header: hook, False for a packet whose header fails its own check: nothing in it can be trusted.
      verify: hook, False for a packet whose payload fails its own check.
      looks_behind: hook, True for packets that `verify` looks at behind the fixed part: where that is not at hand as a
        whole, the packet is flagged as truncated.
      is_end, is_discontinuity, is_retransmitted: hooks for the flags.
      records: splits datagrams into packets; takes (data, kept, size). None: a datagram is a packet.
      follow: makes, of the header of a packet that was taken, what reads more of its stream quickly.
      layout: the compiled schema.
    """

    name: str
    title: str
    schema: c.Construct
    sequence: str | None = None
    sequence_bits: int = 0
    sequence_first: int = 0
    sequence_modulus: int | None = None
    number: Callable[[Fields], Column] | None = None
    send_time: str | Mapping[str, int] | None = None
    clock: str | None = None
    clock_rate: int | None = None
    clock_bits: int = 0
    clock_rates: tuple[str, Mapping[int, int]] | None = None
    stream_key: tuple[str, ...] = ()
    stream_id: str | None = None
    epoch: str | None = None
    schedule_start: str | None = None
    interval: str | None = None
    count: str | None = None
    interval_ns: int | None = None
    ports: tuple[int, ...] = ()
    versions: Mapping[str, Collection[int]] = field(default_factory=dict)
    others: tuple[tuple[str, int, Hook], ...] = ()
    accept: tuple[tuple[str, Hook], ...] = ()
    skip: Hook | None = None
    verify_header: Hook | None = None
    verify: Hook | None = None
    looks_behind: Hook | None = None
    is_end: Hook | None = None
    is_discontinuity: Hook | None = None
    is_retransmitted: Hook | None = None
    records: Callable[[Rows, Column, Column], Cells] | None = None
    follow: Callable[[NDArray[np.uint8]], Follow | None] | None = None
    layout: Layout = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "layout", compile_schema(self.schema, self.name))
        for role in ("sequence", "clock", "stream_id", "epoch", "schedule_start", "interval", "count"):
            if (path := getattr(self, role)) is not None:
                self._integer(path, role)
        rates = () if self.clock_rates is None else self.clock_rates[:1]
        for role, paths in (
            ("send_time", self.send_time_units),
            ("versions", self.versions),
            ("clock_rates", rates),
        ):
            for path in paths:
                self._integer(path, role)
        if not isinstance(self.stream_key, tuple):  # a user's file is not type-checked, and ("ssrc") is a text
            raise SchemaError(self.name, "stream_key", f"is {self.stream_key!r}; write a tuple such as ('ssrc',)")
        for path in self.stream_key:
            self.field_named(path, "stream_key")
        if self.clock is not None and self.send_time is not None:
            raise SchemaError(self.name, self.clock, "(clock) cannot stand beside a send_time; keep the better of them")
        self._settle_width("sequence_bits", self.sequence)
        self._settle_width("clock_bits", self.clock)
        for what, value in (("clock_rate", self.clock_rate), ("sequence_modulus", self.sequence_modulus)):
            if value is not None and value < 1:
                raise SchemaError(self.name, what, f"is {value}; a positive number is needed")
        if self.interval_ns is not None and self.interval_ns < 1:
            raise SchemaError(self.name, "interval_ns", f"is {self.interval_ns}; a positive number is needed")

    def _settle_width(self, what: str, path: str | None) -> None:
        """Take a width from the field, or hold the one given against it."""
        given: int = getattr(self, what)
        if path is None:
            if given and not (what == "sequence_bits" and self.number):
                raise SchemaError(self.name, what, f"is {given}, but the format has no field of that role")
            return
        width = self._integer(path, what).bit_length
        if not 0 <= given <= width:
            raise SchemaError(self.name, what, f"is {given}, but the field {path!r} is {width} bits wide")
        object.__setattr__(self, what, given or width)

    @property
    def send_time_units(self) -> Mapping[str, int]:
        """Paths of the fields that make up the send time, and ns per unit of each; empty without one."""
        if self.send_time is None or isinstance(self.send_time, str):
            return {} if self.send_time is None else {self.send_time: 1}
        return self.send_time

    @property
    def reject_reasons(self) -> tuple[str, ...]:
        """The reasons for rejecting a datagram, by the numbers in `Decoded.reject`; the first is "ok"."""
        return (*BASE_REASONS, *(reason for reason, _, _ in self.others), *(reason for reason, _ in self.accept))

    @property
    def is_numbered(self) -> bool:
        """Whether packets carry sequence numbers."""
        return self.sequence is not None or self.number is not None

    @property
    def key_names(self) -> dict[str, str]:
        """Short names of the stream-key fields and their paths; the last part of a path where that is unambiguous."""
        last = [path.rpartition(".")[2] for path in self.stream_key]
        return {name if last.count(name) == 1 else path: path for name, path in zip(last, self.stream_key, strict=True)}

    def field_named(self, path: str, role: str) -> Field:
        """Return a field of the schema.

        Raises:
          SchemaError: no such field; names the nearest.
        """
        place = self.layout.fields.get(path)
        if place is None:
            raise field_error(self.name, role, str(path), list(self.layout.fields), self.layout.tail)
        return place

    def _integer(self, path: str, role: str) -> Field:
        place = self.field_named(path, role)
        if not place.is_integer:
            raise SchemaError(self.name, path, f"({role}) is not one integer")
        return place

    def with_options(
        self,
        *,
        sequence_bits: int | None = None,
        clock_rate: int | None = None,
        interval_ns: int | None = None,
    ) -> Protocol:
        """Return this protocol with what the user knows better; None leaves a value as it is.

        Raises:
          SchemaError: a width that the field does not have, or a rate or width for a role that the format has not.
        """
        if clock_rate is not None and self.clock is None:
            raise SchemaError(self.name, "clock_rate", f"is {clock_rate}, but the format carries no media clock")
        given = {"sequence_bits": sequence_bits, "clock_rate": clock_rate, "interval_ns": interval_ns}
        return replace(self, **{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]  # names and types are those above

    def decode(self, data: Rows, kept: Column, size: Column) -> Decoded:
        """Return the records in a batch of datagrams.

        Args:
          data: payloads, uint8, shape (n, width), contiguous in each row; bytes from `kept` on may hold anything.
          kept: bytes at hand of each datagram, shape (n,).
          size: bytes that it had on the wire, shape (n,), >= kept.

        Returns:
            The records. Their arrays are copies, but `field` and the like read `data` when called: do so before the
          buffer is used again.

        Raises:
          SchemaError: a hook of the schema fails; never for what the packets hold.
        """
        return decode(self, data, kept, size)
