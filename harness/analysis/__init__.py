"""From what is on disk to a Summary: opens a recording, feeds the analyzer's fold, and adds what only the file knows.

`recording` a run directory, `expected` the streams that it should have heard, `capture` captures and tables, `options`
what the user knows of foreign streams. The arithmetic itself is in `analyzer`, which knows no file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.lazy import names_of

if TYPE_CHECKING:
    from harness.analysis.capture import TABLES as TABLES
    from harness.analysis.capture import analyze_capture as analyze_capture
    from harness.analysis.capture import analyze_file as analyze_file
    from harness.analysis.capture import analyze_table as analyze_table
    from harness.analysis.evidence import load_evidence as load_evidence
    from harness.analysis.options import StreamOptions as StreamOptions
    from harness.analysis.recording import OnProgress as OnProgress
    from harness.analysis.recording import analyze_recording as analyze_recording

_MODULES = {
    "capture": ("TABLES", "analyze_capture", "analyze_file", "analyze_table"),
    "evidence": ("load_evidence",),
    "options": ("StreamOptions",),
    "recording": ("OnProgress", "analyze_recording"),
}

__getattr__, __all__ = names_of(__name__, _MODULES)
