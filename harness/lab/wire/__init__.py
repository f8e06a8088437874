"""The user-space wire: a process that carries Ethernet frames between two interfaces, and does them known harm.

`spec` is its noun in TOML, `parsing` reads it, `plan` is the same in integers. `frames` reads a frame; `selection` says
which frames a fault hits, `actions` what it does to them, `faults` puts both together, sans-I/O. `records` and `truth`
are what is written down: frame for frame, and the ledger. `ends` opens TAP devices and packet sockets, `pump` carries,
`child` is the process, `wire` its controller. `cap` and `measure` say how much it carries.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.lazy import names_of

if TYPE_CHECKING:
    from harness.lab.wire.cap import Limit as Limit
    from harness.lab.wire.faults import Faults as Faults
    from harness.lab.wire.parsing import parse_wire as parse_wire
    from harness.lab.wire.records import DirectionLedger as DirectionLedger
    from harness.lab.wire.records import FrameRecord as FrameRecord
    from harness.lab.wire.records import Ledger as Ledger
    from harness.lab.wire.spec import End as End
    from harness.lab.wire.spec import WireSpec as WireSpec
    from harness.lab.wire.truth import Truth as Truth
    from harness.lab.wire.truth import read_truth as read_truth
    from harness.lab.wire.wire import Wire as Wire
    from harness.lab.wire.wire import WireError as WireError
    from harness.lab.wire.wire import measured_limit as measured_limit

_MODULES = {
    "cap": ("Limit",),
    "faults": ("Faults",),
    "parsing": ("parse_wire",),
    "records": ("DirectionLedger", "FrameRecord", "Ledger"),
    "spec": ("End", "WireSpec"),
    "truth": ("Truth", "read_truth"),
    "wire": ("Wire", "WireError", "measured_limit"),
}

__getattr__, __all__ = names_of(__name__, _MODULES)
