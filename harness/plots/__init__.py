"""Summary -> figures: what was delivered, lost and silent, when, for how long, and how late.

Nothing is computed here beyond where to put the ink: every number comes from the Summary. Four figures, each a
matplotlib Figure built without pyplot: `timeline`, `loss`, `sequence`, `delay`. `plot_summary` writes all of them, and
the same Summary gives the same bytes. `harness.plots.wording`, the sentences about a Summary, needs no matplotlib;
the names below load it on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.plots.delay import delay_figure
    from harness.plots.loss import loss_figure
    from harness.plots.render import FORMATS, plot_summary
    from harness.plots.sequence import sequence_figure
    from harness.plots.timeline import timeline_figure

__all__ = ["FORMATS", "delay_figure", "loss_figure", "plot_summary", "sequence_figure", "timeline_figure"]

_HOME = {
    "FORMATS": "render",
    "delay_figure": "delay",
    "loss_figure": "loss",
    "plot_summary": "render",
    "sequence_figure": "sequence",
    "timeline_figure": "timeline",
}


def __getattr__(name: str) -> Any:
    """Load a public name on first use, so that a sentence about a Summary costs no import of matplotlib."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
