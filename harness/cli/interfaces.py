"""`harness interfaces`: what this machine can send and receive on."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from harness.cli.options import add_json

if TYPE_CHECKING:
    from harness.model.interface import Interface


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("interface", metavar="IF", nargs="?", help="only this one: name, address or index")
    add_json(parser)


def execute(args: argparse.Namespace) -> int:
    """Print a table, or JSON."""
    from harness.net.interfaces import find_interface, list_interfaces

    found = [find_interface(args.interface)] if args.interface else list_interfaces()
    if args.json:
        from harness.cli.session import print_json

        print_json(found)
        return 0
    heads = ("index", "name", "state", "multicast", "mtu", "default", "addresses")
    rows = [heads, *(row(interface) for interface in found)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(heads) - 1)]
    for cells in rows:
        print("  ".join([cell.ljust(width) for cell, width in zip(cells, widths, strict=False)] + [cells[-1]]))
    return 0


def row(interface: Interface) -> tuple[str, ...]:
    """Return the cells of one interface."""
    routes = ["v4"] * interface.is_default_route_v4 + ["v6"] * interface.is_default_route_v6
    return (
        str(interface.index),
        interface.name,
        "up" if interface.is_up else "down",
        "when named" if interface.is_loopback else {True: "yes", False: "no", None: "unknown"}[interface.is_multicast],
        "-" if interface.mtu is None else str(interface.mtu),
        " ".join(routes) or "-",
        " ".join(str(address) for address in interface.addresses) or "-",
    )
