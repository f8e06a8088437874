"""`harness agent`: what `harness run` starts on each host of a scenario. JSON lines over stdin and stdout."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.hosts import Performance
    from harness.model.scenario import Scenario
    from harness.net import RunClock


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "--spool",
        metavar="DIR",
        help="where recordings wait to be fetched (default: ~/.local/state/multicast-harness/agent)",
    )


def execute(args: argparse.Namespace) -> int:
    """Serve until the controller says goodbye or is gone."""
    from harness.hosts.stdio import streams, take_stdio

    descriptors = take_stdio()  # before anything else is imported that might print

    import trio

    from harness import __version__
    from harness.hosts import Agent, Spool, default_root

    spool = Spool(Path(args.spool) if args.spool else default_root())

    async def serve() -> None:
        reader, writer = streams(*descriptors)
        async with reader, writer:
            await Agent(make_part, __version__, spool).serve(reader, writer)

    trio.run(serve)
    return 0


def make_part(scenario: Scenario, path: Path, files: Path, clock: RunClock) -> Performance:
    """Return a part; what it needs is imported when one is asked for, so that an agent answers at once."""
    from harness.run.part import make_part

    return make_part(scenario, path, files, clock)
