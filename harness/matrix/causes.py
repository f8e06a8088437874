"""`docs/causes.md`: every cause that the diagnosis knows, with the scenario that provokes it and what that looks like.

harness lab run --output results/lab
python -m harness.matrix.causes results/lab
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec

from harness.diagnosis import Cause, catalogue
from harness.errors import HarnessError, storage_error
from harness.matrix.catalogue import Entry, entries

DOCUMENT = Path("docs/causes.md")
PLOTS = "causes"
DPI = 80
_N_COLOURS = 48

_HEAD = """# Causes of a drop-out

Every cause that `harness diagnose` can name: what it means, the evidence that it rests on, what would settle it, and
the remedy. Those with a scenario can be provoked on one Linux machine with `harness lab run NAME`; the figure is the
timeline of such a run. This page is made from the table of rules and the scenarios:
`make lab OUTPUT=results/lab`, then `python -m harness.matrix.causes results/lab`.
"""


def render(causes: Sequence[Cause], scenarios: Sequence[Entry], pictures: set[str]) -> str:
    """Return the page.

    Args:
      causes: the table of rules.
      scenarios: the catalogue.
      pictures: names of scenarios that have a figure.
    """
    parts = [_HEAD, _contents(causes)]
    for cause in causes:
        parts.append(f"## {cause.name}\n\n{cause.sentence}\n")
        rows = [
            ("Evidence", cause.evidence),
            ("What would settle it", cause.settled_by),
            ("Remedy", cause.remedy),
            ("Source", cause.source),
        ]
        parts.append("".join(f"- **{name}:** {text}\n" for name, text in rows if text))
        parts += [
            _scenario(entry, scenarios, pictures)
            for entry in scenarios
            if entry.cause == cause.name and not _is_v6_twin(entry)
        ]
    return "\n".join(parts)


def _contents(causes: Sequence[Cause]) -> str:
    return "".join(f"- [{cause.name}](#{cause.name}): {cause.sentence}\n" for cause in causes)


def _is_v6_twin(entry: Entry) -> bool:
    return entry.name.endswith("-v6")


def _scenario(entry: Entry, scenarios: Sequence[Entry], pictures: set[str]) -> str:
    """Return the paragraph on a scenario: the comment at the head of its file, how to run it, its figure."""
    names = " or ".join(f"`harness lab run {other.name}`" for other in scenarios if other.path == entry.path)
    text = f"Provoked by {names}. {comment_of(entry.path)}\n"
    if entry.name in pictures:
        text += f"\n![timeline of {entry.name}]({PLOTS}/{entry.name}.png)\n"
    return text


def comment_of(path: Path) -> str:
    """Return the comment at the head of a scenario file, as one paragraph."""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.lstrip("# "))
    return " ".join(lines)


def draw(runs: Path, names: Sequence[str], folder: Path) -> set[str]:
    """Draw the timeline of each run that is there, small; return the names that have a figure now.

    Raises:
      StorageError: a figure cannot be written.
    """
    from PIL import Image

    from harness import plots
    from harness.store import read_summary

    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        summary = read_summary(runs / name) if (runs / name).is_dir() else None
        if summary is None:
            continue
        with tempfile.TemporaryDirectory() as drawn:
            told = msgspec.structs.replace(summary, path=f"harness lab run {name}")
            plots.plot_summary(told, Path(drawn), formats=["png"], dpi=DPI)
            with Image.open(Path(drawn) / "timeline.png") as picture:  # few colours: a third of the bytes
                picture.quantize(_N_COLOURS).save(folder / f"{name}.png", optimize=True)
    return {path.stem for path in folder.glob("*.png")}


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the page, and the figures of the runs given; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m harness.matrix.causes", description="Write docs/causes.md.")
    parser.add_argument("runs", metavar="RUNS", nargs="?", help="directory that harness lab run wrote, for the figures")
    args = parser.parse_args(arguments)
    scenarios = entries()
    folder = DOCUMENT.parent / PLOTS
    try:
        names = [entry.name for entry in scenarios if not _is_v6_twin(entry)]
        pictures = draw(Path(args.runs), names, folder) if args.runs else {path.stem for path in folder.glob("*.png")}
        DOCUMENT.write_text(render(catalogue(), scenarios, pictures), encoding="utf-8")
    except OSError as exc:
        raise storage_error(exc, DOCUMENT, "run it from the project's directory") from exc
    sys.stdout.write(f"{DOCUMENT}: {len(catalogue())} causes, {len(pictures)} figures\n")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except HarnessError as exc:
        sys.exit(f"harness: {exc}")
