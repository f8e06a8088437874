"""`harness send GROUP:PORT`: one or several streams of probes, with the sender's own log."""

from __future__ import annotations

import argparse

from harness.cli.options import add_interface, add_json, add_no_report, add_output, checked, whole_number
from harness.units import parse_duration, parse_rate, parse_size


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "groups", metavar="GROUP:PORT", nargs="+", help="239.1.2.3:5000, [ff15::1]:5000, or a unicast address"
    )
    add_interface(parser)
    parser.add_argument(
        "--rate",
        metavar="RATE",
        default="100pps",
        type=checked(parse_rate),
        help="1kpps, 10Mbit/s or max (default 100pps); a lone regular stream is kept in time by watching the clock: "
        "half a processor at most, a whole one from 5 to 20 kpps",
    )
    parser.add_argument(
        "--schedule",
        metavar="KIND",
        default="constant",
        help="constant, poisson:seed=7, burst:on=100ms,off=900ms, ramp:to=10kpps,over=10s, "
        "frames:packets=10,every=20ms, file:NAME",
    )
    parser.add_argument(
        "--size",
        metavar="BYTES",
        default="200",
        type=checked(parse_size),
        help="UDP payload, 64 to 65507 (default 200)",
    )
    parser.add_argument("--count", metavar="N", type=whole_number(1, 2**62), help="stop after N packets")
    parser.add_argument(
        "--duration",
        metavar="TIME",
        type=checked(parse_duration),
        help="stop after this time; without count and duration: until Ctrl-C",
    )
    parser.add_argument(
        "--ttl", metavar="N", default=1, type=whole_number(0, 255), help="TTL or hop limit (default 1: this link)"
    )
    parser.add_argument(
        "--dscp", metavar="N", default=0, type=whole_number(0, 63), help="DSCP, 46 for expedited forwarding (default 0)"
    )
    parser.add_argument(
        "--stream", metavar="ID", type=whole_number(0, 2**32 - 1), help="stream id in the probes (default 1, 2, ...)"
    )
    parser.add_argument("--no-loop", action="store_true", help="do not loop multicast back to receivers on this host")
    parser.add_argument("--pattern", action="store_true", help="fill the payload with a pattern that receivers check")
    parser.add_argument(
        "--offload", action="store_true", help="segmentation offload (Linux): for rate, not for per-packet truth"
    )
    parser.add_argument(
        "--tx-stamps", action="store_true", help="log when the kernel passed each packet to the interface (Linux)"
    )
    parser.add_argument(
        "--precise", action="store_true", help="watch the clock between packets: evener, and takes a whole processor"
    )
    add_output(parser)
    add_no_report(parser)
    add_json(parser)


def execute(args: argparse.Namespace) -> int:
    """Send, then say what was really sent."""
    from harness.cli.session import perform_and_conclude
    from harness.model import Parameters
    from harness.model.scenario import Scenario, Stream

    streams = [
        Stream(
            group=group,
            interface=args.interface,
            rate=args.rate,
            schedule=args.schedule,
            size=args.size,
            count=args.count,
            duration=args.duration,
            ttl=args.ttl,
            dscp=args.dscp,
            stream=args.stream,
            loop=not args.no_loop,
            pattern=args.pattern,
            offload=args.offload,
            tx_stamps=args.tx_stamps,
            precise=args.precise,
        )
        for group in args.groups
    ]
    scenario = Scenario(name="send", stream=streams)
    return perform_and_conclude(scenario, args, Parameters())
