"""The piece of a capture around a moment, its frames copied exactly."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from harness.capture.blocks import PcapngFile, copy_rows, packet_blocks
from harness.capture.interface import Interface
from harness.capture.reader import open_capture
from harness.errors import UsageError

FramePredicate = Callable[[bytes, Interface], bool]
"""Whether a frame, given as captured and with its interface, is wanted."""


def slice_capture(
    source: str | Path,
    destination: str | Path,
    start_ns: int,
    end_ns: int,
    predicate: FramePredicate | None = None,
) -> int:
    """Copy the frames of [start_ns, end_ns) to a pcapng file and return how many they are.

    Frames keep their bytes, their length on the wire, their interface and their time to the nanosecond; block options
    (comments, drop counts) are not copied, nor frames that carry no time or whose interface is not described.

    Args:
      source: a pcap or pcapng file.
      destination: the file to write; what is there is replaced once the new one is whole.
      start_ns: realtime ns of the window's start.
      end_ns: and of its end, which is not part of it.
      predicate: which of these frames are wanted; called once for each, so give a narrow window. None: all.

    Raises:
      RecordError: `source` cannot be read.
      StorageError: `destination` cannot be written.
      UsageError: the window ends before it starts, or both files are one.
    """
    if end_ns < start_ns:
        raise UsageError(f"the window ends ({end_ns} ns) before it starts ({start_ns} ns)")
    if Path(destination).exists() and Path(source).exists() and os.path.samefile(source, destination):
        raise UsageError(f"{destination} is the capture itself; name another file for the slice")
    capture = open_capture(source)
    n_described = n_written = 0
    with PcapngFile(Path(destination)) as file:
        for frames in capture.frames():
            for interface in capture.interfaces[n_described:]:
                file.add_interface(interface)
                n_described += 1
            is_wanted = (frames.rx_ns >= max(start_ns, 0)) & (frames.rx_ns < end_ns)
            is_wanted &= (frames.interface >= 0) & (frames.captured >= 0)
            if predicate is not None:
                for row in np.flatnonzero(is_wanted).tolist():
                    is_wanted[row] = predicate(frames.bytes_of(row), capture.interfaces[int(frames.interface[row])])
            chosen = frames.part(is_wanted)
            out, at = packet_blocks(chosen.rx_ns, chosen.interface, chosen.captured, chosen.wire)
            copy_rows(out, at, chosen.window, chosen.offset, chosen.captured)
            file.write(out)
            n_written += len(chosen)
    return n_written
