"""The wire as written in TOML: which faults it puts on which frames, and when.

    [wire]
    seed = 7
    [[wire.fault]]
    kind = "loss"                     # loss dropout duplicate reorder corrupt delay power-save
    group = "239.1.2.3:5000"
    from = "1s"                       # of the timeline that the controller starts
    until = "3s"
    gilbert = { p = "1%", r = "25%" } # or ratio = "1%", seqs = ["100-109"], nths = [1, "10-20"]

Quantities are strings with units; `plan` turns them into integers.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Range = int | str
"""A number, or first and last of a run of numbers: "100-109"."""


class Gilbert(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A Gilbert-Elliott chain (Gilbert 1960, Elliott 1963) that takes one step for each matching frame.

    In the long run it is bad for p / (p + r) of the frames, for 1 / r frames in a row.

    Attributes:
      p: probability of going from good to bad.
      r: probability of going from bad to good.
      good, bad: share of frames that the fault hits in either state.
    """

    p: str
    r: str
    good: str = "0%"
    bad: str = "100%"


class _Fault(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    tag_field="kind",
    rename={"from_": "from"},
):
    """What all faults have: which frames, and when.

    Attributes:
      name: in the records; its place and kind unless given, "1 loss".
      direction: forward is from the first end to the second.
      frames: UDP datagrams, IGMP and MLD messages, or all frames.
      group: destination address, or address and UDP port; any address, a unicast one too.
      port: UDP destination port.
      from_, until: on the wire's timeline, the latter exclusive; None: for ever.
      seed: of this fault; the wire's own and the fault's place unless given.
    """

    name: str = ""
    direction: Literal["forward", "backward", "both"] = "both"
    frames: Literal["udp", "membership", "all"] = "udp"
    group: str | None = None
    port: int | None = None
    from_: str = "0s"
    until: str | None = None
    seed: int | None = None


class _Selecting(_Fault, frozen=True, kw_only=True):
    """A fault that hits some of the frames that match: exactly one of these says which.

    Attributes:
      ratio: at random.
      gilbert: at random, in bursts.
      seqs: by the sequence number that the datagram carries.
      nths: by count among the matching frames while the fault is active, from 1.
    """

    ratio: str | None = None
    gilbert: Gilbert | None = None
    seqs: list[Range] | None = None
    nths: list[Range] | None = None


class LossFault(_Selecting, frozen=True, kw_only=True, tag="loss"):
    """Drops frames."""


class DropoutFault(_Fault, frozen=True, kw_only=True, tag="dropout"):
    """Drops every matching frame while it is active."""


class DuplicateFault(_Selecting, frozen=True, kw_only=True, tag="duplicate"):
    """Sends `copies` more of a frame, right behind it."""

    copies: int = 1


class ReorderFault(_Selecting, frozen=True, kw_only=True, tag="reorder"):
    """Holds a frame back until others that match have left; displacement 1 swaps neighbours.

    Attributes:
      displacement: how many others; at random from 1 to this, or always this many where `exact`.
      timeout: a frame leaves after this at the latest, as at the end of its stream.
    """

    displacement: int = 3
    exact: bool = False
    timeout: str = "100ms"


class CorruptFault(_Selecting, frozen=True, kw_only=True, tag="corrupt"):
    """Flips bits of one byte of a UDP payload.

    Attributes:
      byte: offset in the payload; None: at random, of a probe within its header, behind magic and version.
      checksum: "fix" makes the UDP checksum fit, so that the damage arrives; "keep" has the receiving host drop it.
    """

    byte: int | None = None
    checksum: Literal["fix", "keep"] = "fix"


class DelayFault(_Selecting, frozen=True, kw_only=True, tag="delay"):
    """Holds frames for a time; all that match unless something else is said.

    Attributes:
      delay: constant part.
      jitter: up to this much more, at random, evenly distributed.
      keep_order: nothing overtakes a frame that this fault delays, so that jitter does not reorder.
    """

    delay: str = "0ms"
    jitter: str = "0ms"
    keep_order: bool = False


class PowerSaveFault(_Fault, frozen=True, kw_only=True, tag="power-save"):
    """Holds frames and releases them in a burst each `interval`, counted from `from`, as a DTIM access point does."""

    interval: str = "307ms"


Fault = LossFault | DropoutFault | DuplicateFault | ReorderFault | CorruptFault | DelayFault | PowerSaveFault


class SequenceField(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where UDP payloads that are no probes carry a sequence number, network byte order: RTP has offset 2, bytes 2."""

    offset: int
    bytes: int


class WireSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One wire.

    Attributes:
      seed: of everything random that has no seed of its own.
      cap: frames per second, both directions together, above which frames are dropped as over_rate; None: the default.
      log: what the truth holds: frames that something was done to, or every frame that left too.
      hold_limit: most frames held at a time; what exceeds it is dropped as hold_full.
      sequence: of datagrams that are no probes.
      fault: in order; each sees every frame that matches it, whatever the others do, and the first that drops it
        is named for that.
    """

    seed: int = 1
    cap: str | None = None
    log: Literal["touched", "all"] = "touched"
    hold_limit: int = 100_000
    sequence: SequenceField | None = None
    fault: list[Fault] = []


class End(msgspec.Struct, frozen=True, kw_only=False, forbid_unknown_fields=True):
    """One end of a wire.

    Attributes:
      namespace: the named network namespace it lives in; None: the controller's own.
      interface: a TAP device that the wire makes there, the host's own interface; or an existing interface, to whose
        far end the host is attached.
      kind: "tap" makes one, "packet" opens a packet socket on an existing one.
    """

    namespace: str | None
    interface: str
    kind: Literal["tap", "packet"] = "tap"
