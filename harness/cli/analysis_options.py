"""Options that subcommands which analyze share: limits, thresholds, what is known of a stream."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from harness.cli.options import checked, quantity, whole_number
from harness.units import parse_duration, parse_ratio

if TYPE_CHECKING:
    from harness.analysis import StreamOptions
    from harness.model import Parameters
    from harness.model.scenario import Expect


def add_limits(parser: argparse.ArgumentParser) -> None:
    """Add the limits that decide the exit code; the same names as in a scenario's [expect]."""
    limits = parser.add_argument_group(
        "limits", "exit code 1 when a stream exceeds one; what is given here overrides the profile"
    )
    limits.add_argument(
        "--profile",
        metavar="NAME",
        help="a set of limits: aes67, default, iptv, lighting, st2110, or a TOML file of your own with"
        ' extends = "aes67" and the keys that differ',
    )
    for name, what, example in (
        ("loss", "loss ratio", "0.1%%"),
        ("reordered", "reordered ratio", "1%%"),
        ("duplicate-ratio", "duplicates per packet received", "0.1%%"),
        ("unavailability", "share of seconds with much loss (Y.1540)", "1%%"),
    ):
        limits.add_argument(f"--max-{name}", metavar="RATIO", type=checked(parse_ratio), help=f"{what}, {example}")
    for name, what, example in (
        ("dropout", "longest drop-out window", "200ms"),
        ("gap", "longest time between two arrivals", "2500ms"),
        ("join-delay", "time from the join to the first packet", "500ms"),
        ("ipdv", "99.9th percentile of IPDV", "3ms"),
        ("pdv", "99.9th percentile of delay minus its minimum", "20ms"),
        ("jitter", "interarrival jitter (RFC 3550)", "1ms"),
    ):
        limits.add_argument(f"--max-{name}", metavar="TIME", type=checked(parse_duration), help=f"{what}, {example}")
    for name, what in (
        ("windows", "drop-out windows"),
        ("burst", "packets of the longest loss period"),
        ("loss-events", "loss periods in an hour; a shorter recording counts as one"),
        ("duplicates", "duplicates"),
        ("corrupt", "corrupt packets"),
        ("too-late", "packets later than Tmax"),
        ("misdelivered", "copies that came where nobody asked"),
        ("own-drops", "datagrams that this host's socket buffers dropped, all streams together"),
    ):
        limits.add_argument(f"--max-{name}", metavar="N", type=whole_number(0, 2**62), help=what)
    limits.add_argument("--min-received", metavar="N", type=whole_number(0, 2**62), help="packets received at least")


def add_thresholds(parser: argparse.ArgumentParser) -> None:
    """Add the analysis thresholds that stand behind the figures."""
    group = parser.add_argument_group("thresholds")
    group.add_argument(
        "--tmax",
        metavar="TIME",
        type=quantity(parse_duration),
        help="later than this after sending is lost (default: never)",
    )
    group.add_argument(
        "--min-packets",
        metavar="N",
        type=whole_number(1, 2**31),
        default=3,
        help="shortest drop-out window in packets (default 3)",
    )
    group.add_argument(
        "--min-duration",
        metavar="TIME",
        type=quantity(parse_duration),
        default=0,
        help="shortest drop-out window in time (default 0)",
    )
    group.add_argument(
        "--gmin", metavar="N", type=whole_number(1, 2**31), default=16, help="RFC 3611 Gmin in packets (default 16)"
    )


def add_stream_options(parser: argparse.ArgumentParser) -> None:
    """Add what the user knows of the streams of a capture or table."""
    group = parser.add_argument_group("streams of a capture or table", "what their packets do not say themselves")
    group.add_argument("--protocol", metavar="NAME", help="format, or path.py:NAME (default: guessed, and said)")
    group.add_argument("--sequence-bits", metavar="N", type=whole_number(1, 64), help="width of the sequence number")
    group.add_argument("--clock-rate", metavar="HZ", type=whole_number(1, 10**9), help="media clock, 48000 or 90000")
    group.add_argument("--interval", metavar="TIME", type=quantity(parse_duration), help="time between packets, 20ms")
    group.add_argument("--first-due", metavar="NS", type=whole_number(-(2**62), 2**62), help="when packet 0 was due")
    group.add_argument("--count", metavar="N", type=whole_number(1, 2**62), help="packets that were scheduled")
    group.add_argument(
        "--observed",
        metavar=("START_NS", "END_NS"),
        nargs=2,
        type=whole_number(-(2**62), 2**62),
        help="from when to when the streams were listened to (default: the file's first and last packet)",
    )


def stream_options_of(args: argparse.Namespace) -> StreamOptions:
    """Return what the user knows of the streams."""
    from harness.analysis import StreamOptions

    return StreamOptions(
        protocol=args.protocol,
        sequence_bits=args.sequence_bits,
        clock_rate=args.clock_rate,
        interval_ns=args.interval,
        first_due_ns=args.first_due,
        count=args.count,
        observed_ns=tuple(args.observed) if args.observed else None,
    )


def parameters_of(args: argparse.Namespace) -> Parameters:
    """Return the thresholds that were asked for."""
    from harness.model import Parameters

    return Parameters(
        tmax_ns=args.tmax, min_packets=args.min_packets, min_duration_ns=args.min_duration, gmin=args.gmin
    )


def limits_of(args: argparse.Namespace) -> Expect:
    """Return the limits that were asked for, a profile's numbers among them.

    Raises:
      UsageError: no such profile, or one that cannot be read.
    """
    from harness.limits import with_profile
    from harness.model.scenario import Expect

    asked = {name: getattr(args, name, None) for name in Expect.__struct_fields__}
    return with_profile(Expect(**asked))
