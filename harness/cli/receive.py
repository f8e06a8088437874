"""`harness receive GROUP:PORT...`: join, record, analyze and report."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from harness.cli.analysis_options import add_limits, add_thresholds, limits_of, parameters_of
from harness.cli.options import add_interface, add_json, add_junit, add_no_report, add_output, checked, whole_number
from harness.errors import UsageError, nearest
from harness.units import parse_duration, parse_size

if TYPE_CHECKING:
    from harness.model.scenario import TimedEvent
    from harness.model.witness import WitnessKind

ACTIONS = ("join", "leave", "reopen", "note")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "groups", metavar="GROUP:PORT", nargs="+", help="239.1.2.3:5000, [ff15::1]:5000, or a local unicast address"
    )
    add_interface(parser)
    parser.add_argument("--source", metavar="S", help="join for this sender only (SSM, RFC 4607)")
    parser.add_argument(
        "--duration",
        metavar="TIME",
        type=checked(parse_duration),
        help="record this long (default: to the end of the streams, or Ctrl-C)",
    )
    parser.add_argument(
        "--timeout", metavar="TIME", type=checked(parse_duration), help="give up when no packet came within this time"
    )
    parser.add_argument(
        "--buffer",
        metavar="SIZE",
        type=checked(parse_size),
        help="receive buffer to ask for, 8MB (default: the system's)",
    )
    parser.add_argument(
        "--protocol",
        metavar="NAME",
        default="probe",
        help="format of the packets, or path.py:NAME for your own (see: harness protocols)",
    )
    parser.add_argument(
        "--clock-rate",
        metavar="HZ",
        type=whole_number(1, 10**9),
        help="media clock of RTP, 48000 or 90000; for jitter and timing of dynamic payload types",
    )
    parser.add_argument(
        "--at",
        metavar='"TIME ACTION"',
        action="append",
        default=[],
        help='while recording: "5s reopen", "2s leave", "3s join 239.1.2.3:5000", "4s note text"; repeatable',
    )
    parser.add_argument(
        "--offload", action="store_true", help="receive offload (Linux): for rate, not for per-packet truth"
    )
    parser.add_argument(
        "--stamps",
        choices=("kernel", "hardware", "user"),
        default="kernel",
        help="who stamps arrivals: the kernel (default), the network card (Linux, where ethtool -T offers it), or this "
        "program after reading",
    )
    parser.add_argument(
        "--witnesses",
        metavar="none|KIND,...",
        help="who listens beside it: none, or some of tap, second-socket, reopened-socket (default: all that the "
        "system allows)",
    )
    parser.add_argument(
        "--record",
        choices=("packets", "counters"),
        default="packets",
        help="each packet (default), or only counters and windows, for rates that no disk takes",
    )
    add_limits(parser)
    add_thresholds(parser)
    add_output(parser)
    add_no_report(parser)
    add_junit(parser)
    add_json(parser)


def execute(args: argparse.Namespace) -> int:
    """Receive until the end, then conclude."""
    from harness.cli.session import perform_and_conclude
    from harness.model.scenario import Receiver, Scenario

    receiver = Receiver(
        groups=args.groups,
        interface=args.interface,
        source=args.source,
        protocol=args.protocol,
        clock_rate=args.clock_rate,
        buffer=args.buffer,
        offload=args.offload,
        stamps=args.stamps,
        witnesses=witness_kinds(args.witnesses),
    )
    scenario = Scenario(
        name="receive",
        record=args.record,
        duration=args.duration,
        timeout=args.timeout,
        receiver=[receiver],
        event=[timed_event(text) for text in args.at],
        expect=limits_of(args),
    )
    return perform_and_conclude(scenario, args, parameters_of(args))


def witness_kinds(text: str | None) -> list[WitnessKind] | None:
    """Return the witnesses that `--witnesses` names; None for those that the system allows.

    Raises:
      UsageError: an unknown kind.

    >>> witness_kinds("tap,second-socket"), witness_kinds("none"), witness_kinds(None)
    (['tap', 'second-socket'], [], None)
    """
    from harness.model.witness import WITNESS_KINDS

    if text is None or text == "none":
        return None if text is None else []
    known = {str(kind): kind for kind in WITNESS_KINDS}
    kinds = [kind.strip() for kind in text.split(",")]
    for kind in kinds:
        if kind not in known:
            raise UsageError(f'--witnesses "{text}": unknown witness {kind!r}{nearest(kind, [*known, "none"])}')
    return [known[kind] for kind in kinds]


def timed_event(text: str) -> TimedEvent:
    """Return the event that `--at` spells.

    Raises:
      UsageError: no time, an unknown action, or a group where none is meant.
    """
    import msgspec

    from harness.model.scenario import TimedEvent

    at, _, rest = text.strip().partition(" ")
    action, _, what = rest.strip().partition(" ")
    try:
        parse_duration(at)
    except UsageError as exc:
        raise UsageError(f'--at "{text}": {exc}; write "5s reopen"') from exc
    if action not in ACTIONS:
        raise UsageError(f'--at "{text}": unknown action {action!r}{nearest(action, ACTIONS)}')
    if action == "reopen" and what:
        raise UsageError(f'--at "{text}": reopen takes no group, it reopens every socket of the receiver')
    key = "text" if action == "note" else "group"
    return msgspec.convert({"at": at, "action": action} | ({key: what} if what else {}), TimedEvent)
