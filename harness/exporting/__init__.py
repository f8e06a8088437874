"""A recording, capture or table in another format, whole or around a moment.

`span` which stretch of time, `sources` what is read, `frames` a recording's packets as frames again, `write` the file.
"""

from harness.exporting.span import Span, SpanChoice, choose_span
from harness.exporting.write import ENDINGS, Exported, export

__all__ = ["ENDINGS", "Exported", "Span", "SpanChoice", "choose_span", "export"]
