"""`harness export PATH FILE`: a recording in another format."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from harness.errors import UsageError, nearest

ENDINGS = (".csv", ".parquet")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("path", metavar="PATH", help="a run directory, results/NAME")
    parser.add_argument("file", metavar="FILE", help="where to write; its ending names the format: .csv or .parquet")


def execute(args: argparse.Namespace) -> int:
    """Write the file."""
    from harness.store import open_run
    from harness.store.export import export_csv, export_parquet

    target = Path(args.file)
    if target.suffix not in ENDINGS:
        raise UsageError(f"{target}: the ending {target.suffix!r} names no format{nearest(target.suffix, ENDINGS)}")
    reader = open_run(Path(args.path))
    write = export_csv if target.suffix == ".csv" else export_parquet
    n_rows = write(target, reader.packets(), reader.manifest.streams)
    for warning in reader.warnings:
        print(f"harness: {warning}", file=sys.stderr)
    print(f"{target}: {n_rows} packets")
    return 0
