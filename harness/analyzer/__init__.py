"""Arrays in, numbers out: what a recording says about each stream. No socket, no clock, no file.

`Fold` takes packets in chunks and gives a StreamSummary for each stream; its parts can be folded apart and merged.
`Tally` takes them while they are recorded, and knows only what a status line says. The other modules hold one metric
each, over whole arrays, by the definition that heads them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.lazy import names_of

if TYPE_CHECKING:
    from harness.analyzer.attribution import doubt as doubt
    from harness.analyzer.fold import Fold as Fold
    from harness.analyzer.membership import membership_timeline as membership_timeline
    from harness.analyzer.reception import StreamView as StreamView
    from harness.analyzer.sender import SenderFold as SenderFold
    from harness.analyzer.sender import summarise_sender as summarise_sender
    from harness.analyzer.sentlog import SentLog as SentLog
    from harness.analyzer.stream_fold import StreamFold as StreamFold
    from harness.analyzer.tally import Tally as Tally

_MODULES = {
    "attribution": ("doubt",),
    "fold": ("Fold",),
    "membership": ("membership_timeline",),
    "reception": ("StreamView",),
    "sender": ("SenderFold", "summarise_sender"),
    "sentlog": ("SentLog",),
    "stream_fold": ("StreamFold",),
    "tally": ("Tally",),
}

__getattr__, __all__ = names_of(__name__, _MODULES)
