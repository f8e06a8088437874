"""The manifest of a run that is going on: what was known at the start, and what was learnt since."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from harness.errors import StorageError
from harness.model import Counters, End, Manifest, PacketArray, ReceiverInfo, SenderInfo, StreamInfo

_N_NUMBERS = 1 << 16
"""How many stream numbers a row can hold."""


class ManifestDraft:
    """A manifest that grows. Not thread-safe: its owner holds a lock around each call.

    Attributes:
      version: rises with every change, so that an owner knows whether what it wrote last is still true.
      counters: the running totals; they change often, and alone do not raise the version.
    """

    def __init__(self, manifest: Manifest) -> None:
        """Start from what is known before the first packet."""
        self.version = 0
        self.counters = manifest.counters
        self._manifest = manifest
        self._streams = {info.number: info for info in manifest.streams}
        self._senders = {info.stream: info for info in manifest.senders}
        self._receivers = {info.name: info for info in manifest.receivers}
        self._is_stream, self._is_sender = np.zeros(_N_NUMBERS, np.bool_), np.zeros(_N_NUMBERS, np.bool_)
        self._is_stream[list(self._streams)] = True
        self._is_sender[list(self._senders)] = True

    def add_stream(self, info: StreamInfo) -> None:
        """Add a stream, or replace the one of the same number."""
        _check_number(info.number)
        self._streams[info.number] = info
        self._is_stream[info.number] = True
        self.version += 1

    def add_sender(self, info: SenderInfo) -> None:
        """Add a sending stream, or replace the one of the same number."""
        _check_number(info.stream)
        self._senders[info.stream] = info
        self._is_sender[info.stream] = True
        self.version += 1

    def add_receiver(self, info: ReceiverInfo) -> None:
        """Add a receiver, or replace the one of the same name."""
        self._receivers[info.name] = info
        self.version += 1

    def amend(self, **changes: Any) -> None:
        """Replace other fields by name."""
        self._manifest = msgspec.structs.replace(self._manifest, **changes)
        self.version += 1

    def check_packets(self, rows: PacketArray) -> None:
        """Raise StorageError unless every row's stream was added."""
        _check_known(rows, self._is_stream, "add_stream")

    def check_sent(self, rows: PacketArray) -> None:
        """Raise StorageError unless every row's sender was added."""
        _check_known(rows, self._is_sender, "add_sender")

    def manifest(self, end: End | None = None) -> Manifest:
        """Return the manifest as it stands now."""
        return msgspec.structs.replace(
            self._manifest,
            streams=[self._streams[number] for number in sorted(self._streams)],
            senders=[self._senders[number] for number in sorted(self._senders)],
            receivers=list(self._receivers.values()),
            counters=self.counters,
            end=end,
        )

    def set_counters(self, counters: Counters) -> bool:
        """Set the running totals and return whether they changed."""
        is_new, self.counters = counters != self.counters, counters
        return is_new


def _check_number(number: int) -> None:
    if not 0 <= number < _N_NUMBERS:
        raise StorageError(f"stream number {number} lies outside 0 to {_N_NUMBERS - 1}: a run holds no more streams")


def _check_known(rows: PacketArray, is_known: NDArray[np.bool_], remedy: str) -> None:
    stream = rows["stream"]
    if len(rows) and is_known[stream[0]] and (stream == stream[0]).all():  # nearly always
        return
    is_good = is_known[stream]
    if not is_good.all():
        unknown = int(stream[~is_good][0])
        raise StorageError(f"rows of stream {unknown}, which the manifest does not list; {remedy} comes first")
