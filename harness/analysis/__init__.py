"""From what is on disk to a Summary: opens a recording, feeds the analyzer's fold, and adds what only the file knows.

`recording` a run directory, `expected` the streams that it should have heard, `capture` captures and tables, `options`
what the user knows of foreign streams. The arithmetic itself is in `analyzer`, which knows no file.
"""

from pathlib import Path

from harness.analysis.capture import analyze_capture, analyze_table
from harness.analysis.evidence import load_evidence
from harness.analysis.options import StreamOptions
from harness.analysis.recording import OnProgress, analyze_recording
from harness.model import Parameters, Summary

__all__ = [
    "OnProgress",
    "StreamOptions",
    "analyze_capture",
    "analyze_file",
    "analyze_recording",
    "analyze_table",
    "load_evidence",
]

TABLES = (".csv", ".parquet")


def analyze_file(path: Path, parameters: Parameters | None = None, options: StreamOptions | None = None) -> Summary:
    """Return the summary of a capture or a table, which the name's ending tells apart.

    Raises:
      RecordError: neither, or one that cannot be read.
    """
    analyze = analyze_table if path.suffix.lower() in TABLES else analyze_capture
    return analyze(path, parameters, options)
