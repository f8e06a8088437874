"""Options that several subcommands share, spelt alike everywhere, and their conversion."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TypeVar

from harness.errors import UsageError

T = TypeVar("T")


def quantity(parse: Callable[[str], T]) -> Callable[[str], T]:
    """Return an argparse type from a parser that raises UsageError, keeping its message."""

    def convert(text: str) -> T:
        try:
            return parse(text)
        except UsageError as exc:
            raise argparse.ArgumentTypeError(str(exc)) from exc

    return convert


def checked(parse: Callable[[str], object]) -> Callable[[str], str]:
    """Return an argparse type that checks a quantity and keeps its spelling, which the manifest shows."""

    def convert(text: str) -> str:
        quantity(parse)(text)
        return text

    return convert


def whole_number(least: int, most: int) -> Callable[[str], int]:
    """Return an argparse type for integers within bounds."""

    def convert(text: str) -> int:
        try:
            value = int(text)
        except ValueError as exc:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from exc
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{value} lies outside {least} to {most}")
        return value

    return convert


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add --json: one JSON document on stdout, everything else on stderr."""
    parser.add_argument("--json", action="store_true", help="print one JSON document on stdout, all else on stderr")


def add_output(parser: argparse.ArgumentParser) -> None:
    """Add --output: where the run lands."""
    parser.add_argument(
        "--output",
        metavar="results/NAME",
        help="directory of the run (default: a new one named by date under results/)",
    )


def add_no_report(parser: argparse.ArgumentParser) -> None:
    """Add --no-report: for scripts that only want the figures."""
    parser.add_argument(
        "--no-report",
        action="store_true",
        help="write summary.json only; harness report makes the plots and the report",
    )


def add_interface(parser: argparse.ArgumentParser) -> None:
    """Add --interface, by name, address or index."""
    parser.add_argument(
        "--interface", metavar="IF", help="network interface: name, address or index (see: harness interfaces)"
    )


def add_junit(parser: argparse.ArgumentParser) -> None:
    """Add --junit: the limits for a build server."""
    parser.add_argument(
        "--junit",
        metavar="FILE",
        help="write the limits as JUnit XML: a test case for each limit and stream, skipped where undefined",
    )
