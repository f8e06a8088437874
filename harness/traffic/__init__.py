"""Sans-I/O: when packets are due, what goes into them, and what arrived; the caller passes the clock and the bytes.

`schedules` due times, `schedule_text` their spelling, `sender` one stream's state machine, `impairment` a fault of
known ground truth, `stamped_log` a sender's log that waits for the kernel's stamps, `receiver`
datagrams to packet records, `registry` the streams found so far, `formats` the protocols by name, `router` flows of
many formats.
"""

from harness.traffic.formats import describe, load_protocol
from harness.traffic.impairment import Impairment, ImpairmentSpec, Truth
from harness.traffic.receiver import Demultiplexer
from harness.traffic.registry import StreamRegistry
from harness.traffic.router import Router
from harness.traffic.schedule_text import parse_schedule
from harness.traffic.schedules import Schedule
from harness.traffic.sender import END_COPIES, END_SPACING_NS, PIECE, Probes, StreamSender, check_size
from harness.traffic.stamped_log import StampedLog

__all__ = [
    "END_COPIES",
    "END_SPACING_NS",
    "PIECE",
    "Demultiplexer",
    "Impairment",
    "ImpairmentSpec",
    "Probes",
    "Router",
    "Schedule",
    "StampedLog",
    "StreamRegistry",
    "StreamSender",
    "Truth",
    "check_size",
    "describe",
    "load_protocol",
    "parse_schedule",
]
