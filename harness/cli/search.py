"""`harness search GROUP:PORT`: the highest rate without loss, by trials that are real runs."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from harness.cli.options import add_interface, add_json, checked, quantity, whole_number
from harness.errors import UsageError
from harness.units import Rate, parse_duration, parse_rate, parse_ratio, parse_size

if TYPE_CHECKING:
    from harness.model.search import SearchResult, SearchTrial
    from harness.search import Hunt, TrialSettings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("group", metavar="GROUP:PORT", help="239.1.2.3:5000, [ff15::1]:5000, or an own unicast address")
    add_interface(parser)
    parser.add_argument("--receive-interface", metavar="IF", help="where packets come back (default: --interface)")
    parser.add_argument(
        "--method",
        choices=("rfc2544", "mlrsearch"),
        default="rfc2544",
        help="rfc2544: bisection, one trial a load (26.1); mlrsearch: several trials a load weighed together",
    )
    rates = (("lowest", "1kpps", "tried last"), ("highest", "100kpps", "tried first"))
    for name, default, what in rates:
        parser.add_argument(
            f"--{name}",
            metavar="RATE",
            type=quantity(parse_rate),
            default=parse_rate(default),
            help=f"load that is {what} (default {default})",
        )
    parser.add_argument(
        "--resolution", metavar="RATE", type=quantity(parse_rate), help="how close to come (default: 1/50 of --highest)"
    )
    parser.add_argument(
        "--trial",
        metavar="TIME",
        type=quantity(parse_duration),
        default=2 * 10**9,
        help="duration of a trial (default 2s; RFC 2544 wants 60s at the end)",
    )
    parser.add_argument(
        "--loss-tolerance",
        metavar="RATIO",
        type=quantity(parse_ratio),
        default=0.0,
        help="loss ratio that still passes (default 0)",
    )
    parser.add_argument(
        "--trials-per-load",
        metavar="N",
        type=whole_number(1, 100),
        default=3,
        help="mlrsearch: trials that decide a load (default 3)",
    )
    parser.add_argument(
        "--exceed-ratio",
        metavar="RATIO",
        type=quantity(parse_ratio),
        default=0.0,
        help="mlrsearch: share of trials that may lose more (default 0)",
    )
    parser.add_argument(
        "--size", metavar="BYTES", default="200", type=checked(parse_size), help="UDP payload, 64 to 65507"
    )
    parser.add_argument("--ttl", metavar="N", default=1, type=whole_number(0, 255), help="TTL or hop limit (default 1)")
    parser.add_argument(
        "--buffer", metavar="SIZE", default="8MB", type=checked(parse_size), help="receive buffer (default 8MB)"
    )
    parser.add_argument("--offload", action="store_true", help="segmentation offload, both ways (Linux)")
    parser.add_argument(
        "--max-trials", metavar="N", type=whole_number(1, 500), default=40, help="stop after N trials (default 40)"
    )
    parser.add_argument(
        "--max-time",
        metavar="TIME",
        type=quantity(parse_duration),
        default=600 * 10**9,
        help="stop before a trial would end later (default 10min)",
    )
    parser.add_argument("--keep", action="store_true", help="keep the recording of each trial, 64 B a packet")
    parser.add_argument("--output", metavar="results/NAME", help="directory of the search (default: a new one)")
    add_json(parser)


def execute(args: argparse.Namespace) -> int:
    """Search, write `search.json` and its figure, print the trials; 1 when the bounds did not close."""
    from harness.cli.session import command_line, print_json
    from harness.run import RESULTS
    from harness.search import Hunt, HuntSettings, LocalTrials, TrialSettings, format_search, pursue
    from harness.store import fresh_run_path

    size = parse_size(args.size)
    highest_pps = _pps(args.highest, size)
    hunt = Hunt(
        HuntSettings(
            method=args.method,
            lowest_pps=_pps(args.lowest, size),
            highest_pps=highest_pps,
            resolution_pps=_pps(args.resolution, size) if args.resolution else highest_pps / 50,
            trial_ns=args.trial,
            loss_tolerance=args.loss_tolerance,
            trials_per_load=args.trials_per_load,
            exceed_ratio=args.exceed_ratio,
            most_trials=args.max_trials,
            most_ns=args.max_time,
        )
    )
    settings = TrialSettings(
        group=args.group,
        interface=args.interface,
        receive_interface=args.receive_interface,
        size=args.size,
        ttl=args.ttl,
        buffer=args.buffer,
        offload=args.offload,
        trial_ns=args.trial,
        loss_tolerance=args.loss_tolerance,
        keep=args.keep,
    )
    folder = Path(args.output) if args.output else fresh_run_path(RESULTS, "search")
    trials = LocalTrials(settings, folder, command_line())

    def try_load(number: int, load_pps: float) -> SearchTrial | None:
        from harness.search.wording import pps, trial_line

        print(f"harness: trial {number}: {pps(load_pps)} ...", file=sys.stderr, flush=True)
        trial = trials(number, load_pps)
        if trial is not None:
            print(f"harness: {trial_line(trial)}", file=sys.stderr, flush=True)
        return trial

    end, error = pursue(hunt, try_load, time.monotonic_ns)
    result = _result(hunt, settings, end=end, error=error)
    _write(folder, result)
    if args.json:
        print_json(result)
    else:
        print(format_search(result))
        print(f"\nresult: {folder / 'search.json'}")
    if error is not None:
        print(f"harness: {error}", file=sys.stderr)
        return 2
    return 0 if end in ("resolved", "highest passed") else 1


def _pps(rate: Rate, size: int) -> float:
    if rate.is_max:
        raise UsageError("a search needs finite rates; rate max is what it looks for")
    return rate.pps if rate.pps is not None else (rate.bps or 0.0) / (8 * max(1, size))


def _result(hunt: Hunt, settings: TrialSettings, **ended: object) -> SearchResult:
    import msgspec

    from harness.model.search import SearchResult
    from harness.search.wording import RFC2544_TRIAL_NS

    asked = hunt.settings
    notes = []
    if asked.trial_ns < RFC2544_TRIAL_NS:
        notes.append("RFC 2544 wants final trials of 60 s; shorter ones miss what fills a queue slowly")
    if settings.offload:
        notes.append("with offload one drop takes a run of packets, and packets of a run share one time stamp")
    fields = {
        "method": asked.method,
        "group": settings.group,
        "interface": settings.interface,
        "receive_interface": settings.receive_interface,
        "size": parse_size(settings.size),
        "offload": settings.offload,
        "buffer_bytes": parse_size(settings.buffer) if settings.buffer else None,
        "trial_ns": asked.trial_ns,
        "lowest_pps": asked.lowest_pps,
        "highest_pps": asked.highest_pps,
        "resolution_pps": asked.resolution_pps,
        "loss_tolerance": asked.loss_tolerance,
        "trials": hunt.trials,
        "throughput_pps": hunt.throughput_pps,
        "upper_bound_pps": hunt.upper_bound_pps,
        "limited_by": hunt.limited_by,
        "notes": notes,
    }
    return msgspec.convert(fields | ended, SearchResult)


def _write(folder: Path, result: SearchResult) -> None:
    from harness.plots.search import search_figure
    from harness.plots.style import encode
    from harness.search import finding
    from harness.store import write_document
    from harness.store.atomic import write_whole

    sentence = finding(result)
    figure = search_figure(result, sentence[0].upper() + sentence[1:])
    remedy = "name a directory that you may write with --output"
    write_document(folder / "search.json", result, remedy, has_folder=False)
    for image_format in ("png", "svg"):
        write_whole(folder / f"search.{image_format}", encode(figure, image_format), remedy)
