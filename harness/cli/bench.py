"""`harness bench`: this engine beside its peers and the bare loop, with the goals."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from harness.cli.options import add_json
from harness.errors import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--quick", action="store_true", help="one short round of each, under a minute: does it work?")
    parser.add_argument(
        "--only",
        metavar="KEY",
        action="append",
        default=[],
        help="rate-64, rate-1400, rate-offload, cpu, pacing-1000, pacing-10000, delay, own-buffer, memory or start;"
        " repeatable",
    )
    parser.add_argument("--loopback", action="store_true", help="use loopback even where namespaces could be made")
    parser.add_argument("--no-install", action="store_true", help="do not install missing peers with apt-get (as root)")
    parser.add_argument(
        "--output", metavar="FILE.json", help="result file, its plot beside it (default: results/bench/DATE.json)"
    )
    add_json(parser)


def execute(args: argparse.Namespace) -> int:
    """Run the bench; 1 when a goal was missed, or the bench was broken off."""
    from harness.bench import format_bench, run_bench
    from harness.bench.course import default_output
    from harness.cli.session import print_json
    from harness.plots.bench import bench_figure
    from harness.plots.style import encode
    from harness.run import RESULTS
    from harness.store import write_document
    from harness.store.atomic import write_whole

    path = Path(args.output) if args.output else default_output(RESULTS / "bench")
    if path.is_dir():  # to say so after all the measuring would lose it
        raise UsageError(f"--output {path} is a directory; name a file in it, such as {path / 'bench.json'}")
    result = run_bench(
        is_quick=args.quick,
        install=not args.no_install,
        only=args.only,
        use_loopback=args.loopback,
        tell=lambda line: print(f"harness: {line}", file=sys.stderr, flush=True),
    )
    remedy = "name a file that you may write with --output"
    write_document(path, result, remedy, has_folder=False)
    write_whole(path.with_suffix(".png"), encode(bench_figure(result), "png"), remedy)
    if args.json:
        print_json(result)
    else:
        print(format_bench(result))
        print(f"\nresult: {path}")
    is_passed = result.is_complete and all(row.is_reached is not False for row in result.rows)
    return 0 if is_passed else 1
