"""Arrays in, numbers out: what a recording says about each stream. No socket, no clock, no file.

`Fold` takes packets in chunks and gives a StreamSummary for each stream; its parts can be folded apart and merged. The
other modules hold one metric each, over whole arrays, by the definition that heads them.
"""

from harness.analyzer.attribution import doubt
from harness.analyzer.fold import Fold
from harness.analyzer.membership import membership_timeline
from harness.analyzer.sender import SenderFold, summarise_sender
from harness.analyzer.sentlog import SentLog
from harness.analyzer.stream_fold import StreamFold, StreamView

__all__ = [
    "Fold",
    "SenderFold",
    "SentLog",
    "StreamFold",
    "StreamView",
    "doubt",
    "membership_timeline",
    "summarise_sender",
]
