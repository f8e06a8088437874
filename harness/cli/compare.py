"""`harness compare A B [C...]`: recordings side by side, and what differs significantly."""

from __future__ import annotations

import argparse
from pathlib import Path

from harness.cli.analysis_options import add_stream_options, add_thresholds, parameters_of, stream_options_of
from harness.cli.options import add_json
from harness.errors import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "paths",
        metavar="PATH",
        nargs="+",
        help="two or more: run directory, capture, table or summary.json; one alone if several receivers heard in it",
    )
    parser.add_argument("--output", metavar="DIR", help="write compare.json, compare.md and compare.png, .svg here")
    parser.add_argument("--name", metavar="NAME", action="append", help="what to call a recording; once for each PATH")
    parser.add_argument(
        "--alpha", metavar="LEVEL", type=_level, default=0.05, help="level of significance of all tests (default 0.05)"
    )
    add_stream_options(parser)
    add_thresholds(parser)
    add_json(parser)


def _level(text: str) -> float:
    try:
        value = float(text)
    except ValueError as exc:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number such as 0.05") from exc
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{text} lies outside 0 to 1")
    return value


def execute(args: argparse.Namespace) -> int:
    """Compare, write the results where asked, and print them; differences are no failure."""
    from harness.cli.session import print_json
    from harness.compare import compare, format_comparison, names_of, open_subject, write_comparison
    from harness.model import Parameters

    paths = [Path(path) for path in args.paths]
    names = args.name or names_of(paths)
    if len(names) != len(paths):
        raise UsageError(f"{len(names)} names for {len(paths)} recordings; give --name once for each, in their order")
    if len(set(names)) < len(names):
        raise UsageError("two recordings of one name; give each its own --name")
    parameters = parameters_of(args)
    changed = parameters if parameters != Parameters() else None
    options = stream_options_of(args)
    subjects = [open_subject(path, name, changed, options) for path, name in zip(paths, names, strict=True)]
    comparison = compare(subjects, args.alpha)
    written = []
    if args.output:
        written = write_comparison(comparison, [subject.summary for subject in subjects], Path(args.output))
    if args.json:
        print_json(comparison)
    else:
        print(format_comparison(comparison))
        for path in written:
            print(path)
    return 0
