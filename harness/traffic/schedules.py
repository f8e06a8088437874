"""When the packets of a stream are due: offsets from the stream's start, in integer nanoseconds.

A schedule is handed out in order, a piece at a time, and never depends on when it is asked: a sender that stalled
still knows when each packet should have left.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.errors import UsageError
from harness.units import NS_PER_S, format_duration

Offsets = NDArray[np.int64]


class Schedule(ABC):
    """The due times of a stream.

    Attributes:
      interval_ns: the fixed time between packets; 0 for an aperiodic schedule. Probes carry it.
    """

    interval_ns: int = 0

    @property
    def is_unpaced(self) -> bool:
        """Whether all packets are due at once."""
        return False

    @abstractmethod
    def offsets_ns(self, first: int, n: int) -> Offsets:
        """Return when packets first .. first + n - 1 are due, shape (k,), k <= n; k < n where the schedule ends.

        Pieces are asked for in order: `first` is 0 or the end of the piece before.
        """

    @abstractmethod
    def __str__(self) -> str: ...


@dataclass
class Constant(Schedule):
    """One packet every `interval_ns`; 0 means that all are due at once (rate max)."""

    interval_ns: int

    @property
    def is_unpaced(self) -> bool:
        """Whether all packets are due at once."""
        return self.interval_ns == 0

    def offsets_ns(self, first: int, n: int) -> Offsets:
        """Return k * interval."""
        return np.arange(first, first + n, dtype=np.int64) * self.interval_ns

    def __str__(self) -> str:
        return f"one packet every {format_duration(self.interval_ns)}" if self.interval_ns else "as fast as possible"


class Poisson(Schedule):
    """Independent, exponentially distributed gaps (RFC 2330 11.1.1); the same seed gives the same times."""

    def __init__(self, mean_ns: int, seed: int) -> None:
        if mean_ns <= 0:
            raise UsageError("a Poisson schedule needs a finite rate; rate max has no mean interval")
        self.mean_ns, self.seed = mean_ns, seed
        self._random = np.random.default_rng(seed)
        self._last_ns = 0

    def offsets_ns(self, first: int, n: int) -> Offsets:  # noqa: ARG002 - the gaps so far stand for `first`
        """Return the running sum of the gaps; the first packet is due after the first gap."""
        gaps = np.ceil(self._random.exponential(self.mean_ns, n)).astype(np.int64)
        offsets = self._last_ns + np.cumsum(gaps)
        self._last_ns = int(offsets[-1]) if n else self._last_ns
        return offsets

    def __str__(self) -> str:
        return f"Poisson, mean gap {format_duration(self.mean_ns)}, seed {self.seed}"


@dataclass
class OnOff(Schedule):
    """Bursts: packets every `spacing_ns` for `on_ns`, then nothing for `off_ns`."""

    spacing_ns: int
    on_ns: int
    off_ns: int

    def __post_init__(self) -> None:
        if self.spacing_ns <= 0 or self.on_ns < self.spacing_ns:
            raise UsageError("a burst schedule needs a finite rate and an `on` of at least one packet interval")
        self.per_burst = self.on_ns // self.spacing_ns

    def offsets_ns(self, first: int, n: int) -> Offsets:
        """Return the offsets, burst by burst."""
        numbers = np.arange(first, first + n, dtype=np.int64)
        burst, place = numbers // self.per_burst, numbers % self.per_burst
        return burst * (self.on_ns + self.off_ns) + place * self.spacing_ns

    def __str__(self) -> str:
        return (
            f"bursts of {self.per_burst} packets, on {format_duration(self.on_ns)}, off {format_duration(self.off_ns)}"
        )


@dataclass
class Ramp(Schedule):
    """A rate that climbs or falls linearly from `from_pps` to `to_pps` within `over_ns`, and stays there."""

    from_pps: float
    to_pps: float
    over_ns: int

    def __post_init__(self) -> None:
        if self.over_ns <= 0 or self.from_pps <= 0 or self.to_pps <= 0:
            raise UsageError("a ramp needs two finite, positive rates and a duration, ramp:to=10kpps,over=10s")

    def offsets_ns(self, first: int, n: int) -> Offsets:
        """Solve rate * t + slope * t^2 / 2 = k for t, then go on at the final rate."""
        k = np.arange(first, first + n, dtype=np.float64)
        over_s = self.over_ns / NS_PER_S
        slope = (self.to_pps - self.from_pps) / over_s
        n_ramp = (self.from_pps + self.to_pps) / 2 * over_s
        on_ramp = np.minimum(k, n_ramp)
        # the form with the root in the denominator stays exact where the slope is near zero
        root = np.sqrt(np.maximum(self.from_pps**2 + 2 * slope * on_ramp, 0.0))
        seconds = 2 * on_ramp / (self.from_pps + root) + np.maximum(k - n_ramp, 0.0) / self.to_pps
        return np.rint(seconds * NS_PER_S).astype(np.int64)

    def __str__(self) -> str:
        return f"ramp from {self.from_pps:g} to {self.to_pps:g} pps over {format_duration(self.over_ns)}"


@dataclass
class Frames(Schedule):
    """Isochronous frames: `per_frame` packets back to back every `every_ns`."""

    per_frame: int
    every_ns: int

    def __post_init__(self) -> None:
        if self.per_frame < 1 or self.every_ns < 1:
            raise UsageError("a frame schedule needs at least one packet a frame and a frame time above 0")
        self.interval_ns = self.every_ns if self.per_frame == 1 else 0

    def offsets_ns(self, first: int, n: int) -> Offsets:
        """Return frame number * frame time."""
        return np.arange(first, first + n, dtype=np.int64) // self.per_frame * self.every_ns

    def __str__(self) -> str:
        return f"frames of {self.per_frame} packets every {format_duration(self.every_ns)}"


@dataclass
class Listed(Schedule):
    """Offsets given one by one, such as those of a file; ends after the last."""

    listed_ns: Offsets
    name: str = "list"

    def __post_init__(self) -> None:
        if len(self.listed_ns) == 0:
            raise UsageError(f"schedule {self.name}: no offset in it")
        if self.listed_ns[0] < 0 or np.any(np.diff(self.listed_ns) < 0):
            raise UsageError(f"schedule {self.name}: offsets must start at 0 or later and never fall")

    def offsets_ns(self, first: int, n: int) -> Offsets:
        """Return a slice of the list."""
        return self.listed_ns[first : first + n]

    def __str__(self) -> str:
        return f"{len(self.listed_ns)} offsets from {self.name}"
