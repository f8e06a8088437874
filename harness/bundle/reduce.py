"""Making a bundle fit: what goes first when it is too large, in a fixed order, and never without a word.

1. single packets of the recording, which are there only if they fit; 2. the slice, shortened step by step and then
altogether; 3. SVG figures, whose PNGs stay; 4. what other hosts, or single boots, recorded; 5. the capture of
memberships; 6. evidence. The report, its figures, summary, manifest and scenario stay.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from harness.bundle import archive
from harness.bundle.material import (
    CORE,
    EVIDENCE,
    MEMBERSHIP,
    OTHER_HOSTS,
    RAW,
    SLICE,
    SLICE_NAME,
    VECTOR,
    Entry,
    LeftOut,
    Material,
)
from harness.errors import UsageError
from harness.units import format_scaled

_WHY = {
    RAW: "single packets take too much room",
    VECTOR: "the PNG of the same figure is there",
    OTHER_HOSTS: "there is no room for it",
    MEMBERSHIP: "there is no room for it",
    EVIDENCE: "there is no room for it",
}

Complete = Callable[[Material], list[Entry]]
"""Adds what tells of the others, the README and the checksums."""


def fit(material: Material, cut_again: Iterator[Entry], complete: Complete, limit: int) -> list[Entry]:
    """Return the entries of a bundle that is not larger than `limit` bytes.

    Args:
      material: everything; what has to go is moved to its `left_out`.
      cut_again: shorter slices, one after the other; ends when there is none any more.
      complete: called after every change.
      limit: in bytes.

    Raises:
      UsageError: what stays in any case is larger.
    """
    sizes: dict[tuple[str, int], int] = {}

    def size(entry: Entry) -> int:
        key = (entry.name, hash(entry.data))
        if key not in sizes:
            sizes[key] = archive.zipped_size(entry)
        return sizes[key]

    while True:
        entries = complete(material)
        total = archive.size_of(map(size, entries))
        if total <= limit:
            return entries
        rank = max(entry.rank for entry in material.entries)
        if rank == CORE:
            room = format_scaled(limit, "B")
            raise UsageError(f"the report alone takes {format_scaled(total, 'B')}, more than the {room} of a bundle")
        if rank == SLICE:
            _shorten(material, cut_again, limit)
        else:
            _drop(material, rank, limit)


def _drop(material: Material, rank: int, limit: int) -> None:
    why = f"{_WHY[rank]} within {format_scaled(limit, 'B')}" if rank != VECTOR else _WHY[rank]
    material.left_out += [LeftOut(entry.name, why) for entry in material.entries if entry.rank == rank]
    material.entries = [entry for entry in material.entries if entry.rank != rank]


def _shorten(material: Material, cut_again: Iterator[Entry], limit: int) -> None:
    shorter = next(cut_again, None)
    material.entries = [entry for entry in material.entries if entry.rank != SLICE]
    if shorter is None:
        material.leave_out(SLICE_NAME, f"even its shortest form does not fit into {format_scaled(limit, 'B')}")
        return
    material.entries.append(shorter)
