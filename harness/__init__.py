"""Multicast and UDP traffic test harness: send, receive, record, analyze, plot.

The names below are the whole Python API; they load on first use, so that importing `harness` costs nothing.

    import harness
    recording = harness.open("results/my-run")
    summary = harness.analyze(recording)
    harness.plot(summary, "plots/")
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.lazy import names_of

if TYPE_CHECKING:
    from harness.api import PACKET_DTYPE as PACKET_DTYPE
    from harness.api import Parameters as Parameters
    from harness.api import Recording as Recording
    from harness.api import Summary as Summary
    from harness.api import analyze as analyze
    from harness.api import open as open  # noqa: A004 - used as harness.open, like gzip.open
    from harness.api import plot as plot

__version__ = "0.1.0"

_MODULES = {"api": ("PACKET_DTYPE", "Parameters", "Recording", "Summary", "analyze", "open", "plot")}

__getattr__, __all__ = names_of(__name__, _MODULES)


def __dir__() -> list[str]:
    """Return the names of the API, for completion in a notebook before any was used."""
    return [*__all__, "__version__"]
