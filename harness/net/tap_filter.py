"""Programs of classic BPF for the tap: which frames the kernel hands over, so that all others cost next to nothing.

Both address a frame relative to its IP header: a socket that is given no link-layer header counts from there anyway,
and for one that is given whole frames the kernel has an offset that stands for it (SKF_NET_OFF). So one program serves
every kind of link.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from harness.model.endpoint import Endpoint
from harness.net._linux import Instruction

_LD_W, _LD_H, _LD_B = 0x20, 0x28, 0x30
_LD_H_X, _LD_B_X = 0x48, 0x50
_LDX_HEADER, _LDX_CONSTANT, _TAX = 0xB1, 0x01, 0x07
_ADD, _SHIFT_LEFT = 0x04, 0x64
_JUMP, _JUMP_EQUAL, _JUMP_SET = 0x05, 0x15, 0x45
_RETURN = 0x06

_NET_OFF = -0x100000 & 0xFFFFFFFF
_PROTOCOL = -0x1000 & 0xFFFFFFFF
"""SKF_AD_OFF + SKF_AD_PROTOCOL: the EtherType, also where the link has no such field."""

_IPV4, _IPV6 = 0x0800, 0x86DD
_UDP, _IGMP, _ICMPV6, _FRAGMENT, _HOP_BY_HOP = 17, 2, 58, 44, 0
_MLD_TYPES = (130, 131, 132, 143)
KEPT_BYTES = 96
"""Bytes kept of a UDP packet: the longest IPv4 header, or IPv6's with one for fragments, and the UDP header."""

_WHOLE = 0x40000
_MOST_TESTED = 400
"""Addresses and ports that a program compares one by one; beyond it lets all pass, and the reader sorts them out."""


@dataclass
class _Assembler:
    """Instructions with labels; a conditional jump that misses falls through, so that no jump is ever too long."""

    base: int
    code: list[Instruction] = field(default_factory=list)
    labels: dict[str, int] = field(default_factory=dict)
    jumps: list[tuple[int, str]] = field(default_factory=list)

    def put(self, code: int, constant: int = 0, if_true: int = 0, if_false: int = 0) -> None:
        self.code.append((code, if_true, if_false, constant & 0xFFFFFFFF))

    def load(self, code: int, offset: int) -> None:
        """Load from an offset in the IP packet, for the indexed codes plus X."""
        self.put(code, self.base + offset)

    def label(self, name: str) -> None:
        self.labels[name] = len(self.code)

    def go(self, name: str) -> None:
        self.jumps.append((len(self.code), name))
        self.put(_JUMP)

    def go_if_equal(self, value: int, name: str) -> None:
        self.put(_JUMP_EQUAL, value, 0, 1)
        self.go(name)

    def go_unless_equal(self, value: int, name: str) -> None:
        self.put(_JUMP_EQUAL, value, 1, 0)
        self.go(name)

    def go_if_set(self, mask: int, name: str) -> None:
        self.put(_JUMP_SET, mask, 0, 1)
        self.go(name)

    def finish(self, kept_bytes: int) -> list[Instruction]:
        """Add the two ends, "take" and "drop", and return the program."""
        self.label("take")
        self.put(_RETURN, kept_bytes)
        self.label("drop")
        self.put(_RETURN, 0)
        for place, name in self.jumps:
            self.code[place] = (_JUMP, 0, 0, self.labels[name] - place - 1)
        return self.code


def udp_program(flows: Sequence[Endpoint]) -> list[Instruction]:
    """Return a program that takes UDP to these addresses and ports, of a fragmented datagram the first fragment.

    It is for a socket whose frames begin with the IP header.

    Args:
      flows: groups and ports; [] takes nothing.
    """
    made = _Assembler(0)
    made.put(_LD_H, _PROTOCOL)
    made.go_if_equal(_IPV4, "v4")
    made.go_if_equal(_IPV6, "v6")
    made.go("drop")
    of_version = {version: [flow for flow in flows if flow.version == version] for version in (4, 6)}

    made.label("v4")
    made.load(_LD_B, 9)
    made.go_unless_equal(_UDP, "drop")
    made.load(_LD_H, 6)
    made.go_if_set(0x1FFF, "drop")
    made.load(_LD_W, 16)
    _test(made, {int(flow.address) for flow in of_version[4]}, "v4 address")
    made.label("v4 address")
    made.load(_LDX_HEADER, 0)
    made.load(_LD_H_X, 2)
    _test(made, {flow.port for flow in of_version[4]}, "take")

    made.label("v6")
    made.load(_LD_W, 36)
    _test(made, {int(flow.address) & 0xFFFFFFFF for flow in of_version[6]}, "v6 address")
    made.label("v6 address")
    made.put(_LDX_CONSTANT, 40)
    made.load(_LD_B, 6)
    made.go_if_equal(_UDP, "v6 port")
    made.go_unless_equal(_FRAGMENT, "drop")
    made.load(_LD_B, 40)
    made.go_unless_equal(_UDP, "drop")
    made.load(_LD_H, 42)
    made.go_if_set(0xFFF8, "drop")
    made.put(_LDX_CONSTANT, 48)
    made.label("v6 port")
    made.load(_LD_H_X, 2)
    _test(made, {flow.port for flow in of_version[6]}, "take")
    return made.finish(KEPT_BYTES)


def _test(made: _Assembler, values: set[int], where: str) -> None:
    """Go on at `where` when the accumulator has one of the values, else drop."""
    if len(values) > _MOST_TESTED:
        made.go(where)
        return
    for value in sorted(values):
        made.go_if_equal(value, where)
    made.go("drop")


def membership_program() -> list[Instruction]:
    """Return a program that takes IGMP and MLD whole; it is for a socket that is given whole frames."""
    made = _Assembler(_NET_OFF)
    made.put(_LD_H, _PROTOCOL)
    made.go_if_equal(_IPV4, "v4")
    made.go_unless_equal(_IPV6, "drop")
    made.put(_LDX_CONSTANT, 40)
    made.load(_LD_B, 6)
    made.go_if_equal(_ICMPV6, "type")
    made.go_unless_equal(_HOP_BY_HOP, "drop")
    made.load(_LD_B, 40)
    made.go_unless_equal(_ICMPV6, "drop")
    made.load(_LD_B, 41)
    made.put(_SHIFT_LEFT, 3)
    made.put(_ADD, 48)
    made.put(_TAX)
    made.label("type")
    made.load(_LD_B_X, 0)
    for kind in _MLD_TYPES:
        made.go_if_equal(kind, "take")
    made.go("drop")
    made.label("v4")
    made.load(_LD_B, 9)
    made.go_unless_equal(_IGMP, "drop")
    return made.finish(_WHOLE)
