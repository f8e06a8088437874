"""`harness report --bundle`: says what goes into the file, then writes it."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import UsageError
from harness.units import format_scaled

if TYPE_CHECKING:
    from harness.bundle import Bundle

TEMPLATES = ("github", "apple", "plain")


def add_bundle_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of a bundle."""
    group = parser.add_argument_group("one file for a bug report")
    group.add_argument("--bundle", action="store_true", help="write one .zip under 25 MB; PATH may be a campaign")
    group.add_argument(
        "--redact",
        action="store_true",
        help="replace names, hardware and global addresses, networks and serial numbers in all of it",
    )
    group.add_argument("--template", choices=TEMPLATES, help="form of the report (default: github)")
    group.add_argument("--output", metavar="FILE.zip", help="where to write (default: beside PATH, NAME-bundle.zip)")
    group.add_argument("--json", action="store_true", help="print the list of files as one JSON document on stdout")


def refuse_without_bundle(args: argparse.Namespace) -> None:
    """Refuse options that mean something for a bundle only."""
    for name in ("redact", "template", "output", "json"):
        if getattr(args, name):
            raise UsageError(f"--{name} belongs to a bundle; add --bundle")


def bundle(args: argparse.Namespace) -> int:
    """List what is in the bundle, then write it."""
    from harness.bundle import check_target, make_bundle, write_bundle, write_mapping

    path = Path(args.path)
    if args.output:
        check_target(Path(args.output))
    made = make_bundle(path, template=args.template or "github", is_redacted=args.redact)
    target = Path(args.output) if args.output else path.resolve().parent / f"{made.redacted_name}-bundle.zip"
    is_replaced = check_target(target)
    _list(made, target, is_replaced)
    mapping = write_mapping(path, made.mapping) if made.mapping is not None else None
    write_bundle(target, made.data)
    if mapping is not None:
        print(f"harness: what was replaced by what is in {mapping}; keep it to yourself", file=sys.stderr)
    print(json.dumps(_document(made, target, mapping)) if args.json else target)
    return 0


def _list(made: Bundle, target: Path, is_replaced: bool) -> None:
    verb = "replacing" if is_replaced else "writing"
    print(f"harness: {verb} {target}, {format_scaled(len(made.data), 'B')}, with", file=sys.stderr)
    width = max(len(entry.name) for entry in made.entries)
    for entry in made.entries:
        size = format_scaled(len(entry.data), "B")
        print(f"  {entry.name:<{width}}  {size:>8}  {entry.what}", file=sys.stderr)
    for item in made.left_out:
        print(f"  left out: {item.name}: {item.why}", file=sys.stderr)


def _document(made: Bundle, target: Path, mapping: Path | None) -> dict[str, Any]:
    return {
        "file": str(target),
        "bytes": len(made.data),
        "files": [{"name": item.name, "bytes": len(item.data), "what": item.what} for item in made.entries],
        "left_out": [{"name": item.name, "why": item.why} for item in made.left_out],
        "mapping": str(mapping) if mapping else None,
    }
