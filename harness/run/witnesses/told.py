"""Counts -> the series that are stored."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from harness.model.witness import WitnessSeries
from harness.run.witnesses.counting import BinCounts


def series_of(base: WitnessSeries, heard: Sequence[tuple[str, BinCounts]], end_ns: int) -> list[WitnessSeries]:
    """Return a series for each source that was heard, or one of zeros where none was.

    Args:
      base: what all of them have in common, with where the bins start.
      heard: source as text, and its counts.
      end_ns: until when the witness listened; one that is `missing` has no bins.
    """
    if base.missing is not None:
        return [base]
    if not heard:
        silent = BinCounts(base.start_ns)
        return [msgspec.structs.replace(base, bin_ns=silent.bin_ns, counts=silent.until(end_ns))]
    return [
        msgspec.structs.replace(base, source=source, counts=counts.until(end_ns), bin_ns=counts.bin_ns)
        for source, counts in heard
    ]
