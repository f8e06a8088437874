"""Captures of other programs, pcap and pcapng, as batches of datagrams, and batches of datagrams as pcapng.

`source` bytes in windows; `chain` where records begin; `pcap`, `pcapng` (`words`, `interface`) records to frames;
`link`, `udp` frames to datagrams, whole batches at a time; `upper`, `fragments` the odd ones, one by one; `reader` all
of it; `writer`, `slicing` the way back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.lazy import names_of

if TYPE_CHECKING:
    from harness.capture.fate import Skip as Skip
    from harness.capture.frames import Frames as Frames
    from harness.capture.interface import Interface as Interface
    from harness.capture.reader import Capture as Capture
    from harness.capture.reader import open_capture as open_capture
    from harness.capture.slicing import slice_capture as slice_capture
    from harness.capture.upper import MembershipMessage as MembershipMessage
    from harness.capture.writer import write_pcapng as write_pcapng

_MODULES = {
    "fate": ("Skip",),
    "frames": ("Frames",),
    "interface": ("Interface",),
    "reader": ("Capture", "open_capture"),
    "slicing": ("slice_capture",),
    "upper": ("MembershipMessage",),
    "writer": ("write_pcapng",),
}

__getattr__, __all__ = names_of(__name__, _MODULES)
