"""Captures of other programs, pcap and pcapng, as batches of datagrams, and batches of datagrams as pcapng.

`source` bytes in windows; `chain` where records begin; `pcap`, `pcapng` (`words`, `interface`) records to frames;
`link`, `udp` frames to datagrams, whole batches at a time; `upper`, `fragments` the odd ones, one by one; `reader` all
of it; `writer`, `slicing` the way back.
"""

from harness.capture.fate import Skip
from harness.capture.frames import Frames
from harness.capture.interface import Interface
from harness.capture.reader import Capture, open_capture
from harness.capture.slicing import slice_capture
from harness.capture.upper import MembershipMessage
from harness.capture.writer import write_pcapng

__all__ = [
    "Capture",
    "Frames",
    "Interface",
    "MembershipMessage",
    "Skip",
    "open_capture",
    "slice_capture",
    "write_pcapng",
]
