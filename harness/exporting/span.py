"""Which stretch of time is exported: all, around a drop-out window, or between two moments."""

from __future__ import annotations

from dataclasses import dataclass

from harness.errors import UsageError
from harness.exporting.sources import Source
from harness.units import format_duration

MARGIN_NS = 2_000_000_000
"""What is exported around a drop-out window unless said otherwise."""
_EARLIEST, _LATEST = -(2**63) + 1, 2**63 - 1


@dataclass(frozen=True, slots=True)
class Span:
    """A half-open stretch of time on the receiver's time line."""

    start_ns: int = _EARLIEST
    end_ns: int = _LATEST

    @property
    def is_all(self) -> bool:
        """Whether nothing is left out."""
        return (self.start_ns, self.end_ns) == (_EARLIEST, _LATEST)


@dataclass(frozen=True, slots=True)
class SpanChoice:
    """How the user names a stretch of time; at most one of the three ways.

    Attributes:
      window: number of a drop-out window, in order of time, from 1.
      margin_ns: before and after the window; None for MARGIN_NS.
      between_ns: two moments, counted from the first packet.
      from_ns, to_ns: realtime.

    Raises:
      UsageError: two ways at once, a margin without a window, or an end before its start.
    """

    window: int | None = None
    margin_ns: int | None = None
    between_ns: tuple[int, int] | None = None
    from_ns: int | None = None
    to_ns: int | None = None

    def __post_init__(self) -> None:
        is_absolute = self.from_ns is not None or self.to_ns is not None
        ways = [
            name
            for name, is_used in (
                ("--window", self.window is not None),
                ("--between", self.between_ns is not None),
                ("--from-ns/--to-ns", is_absolute),
            )
            if is_used
        ]
        if len(ways) > 1:
            raise UsageError(f"{' and '.join(ways)} both say which part to export; give one of them")
        if self.margin_ns is not None and self.window is None:
            raise UsageError("--margin goes with --window, whose edges it moves")
        start, end = self.between_ns or (self.from_ns, self.to_ns)
        if start is not None and end is not None and end <= start:
            shown = (format_duration(start), format_duration(end)) if self.between_ns else (start, end)
            raise UsageError(f"the part to export ends at {shown[1]}, not after its start at {shown[0]}")


def choose_span(source: Source, choice: SpanChoice) -> Span:
    """Return the stretch of time that the user named.

    Raises:
      UsageError: a drop-out window that is not there.
      RecordError: the source cannot be read.
    """
    if choice.window is not None:
        margin = MARGIN_NS if choice.margin_ns is None else choice.margin_ns
        windows = [window for stream in source.summary().streams for window in stream.windows]
        windows.sort(key=lambda window: (window.start_ns, window.end_ns))
        if not windows:
            raise UsageError(f"{source.path} has no drop-out window; name the part by --between START END")
        if not 1 <= choice.window <= len(windows):
            plural = f"windows, 1 to {len(windows)}" if len(windows) > 1 else "window, number 1"
            raise UsageError(f"--window {choice.window}: {source.path} has {len(windows)} drop-out {plural}")
        window = windows[choice.window - 1]
        return Span(max(_EARLIEST, window.start_ns - margin), min(_LATEST, window.end_ns + margin))
    if choice.between_ns is not None:
        first = source.first_ns()
        return Span(first + choice.between_ns[0], first + choice.between_ns[1])
    return Span(
        _EARLIEST if choice.from_ns is None else choice.from_ns, _LATEST if choice.to_ns is None else choice.to_ns
    )
