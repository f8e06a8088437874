"""Multicast and UDP traffic test harness: send, receive, record, analyze, plot.

The names below are the whole Python API; they load on first use, so that importing `harness` costs nothing.

    import harness
    recording = harness.open("results/my-run")
    summary = harness.analyze(recording)
    harness.plot(summary, "plots/")
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.api import PACKET_DTYPE, Parameters, Recording, Summary, analyze, open, plot  # noqa: A004 - harness.open

__version__ = "0.1.0"

__all__ = ["PACKET_DTYPE", "Parameters", "Recording", "Summary", "analyze", "open", "plot"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'harness' has no attribute {name!r}")
    return getattr(import_module("harness.api"), name)
