"""From what is on disk to a Summary: opens a recording, feeds the analyzer's fold, and adds what only the run knows.

`recording` analyzes a run directory. The arithmetic itself is in `analyzer`, which knows no file.
"""

from harness.analysis.recording import analyze_recording

__all__ = ["analyze_recording"]
