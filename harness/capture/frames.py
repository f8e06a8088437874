"""A window's worth of captured frames as arrays: where each lies, how long it was, when and on which interface."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


@dataclass(slots=True)
class Frames:
    """Captured frames of one window, in file order; all arrays but `window` are int64 of shape (n,).

    Attributes:
      window: the file's bytes, padded; valid until the next window is asked for.
      offset: where in `window` the frame's first byte is.
      captured: bytes of the frame in the file.
      wire: bytes of the frame on the wire, >= captured.
      rx_ns: time stamp; UNDEFINED_NS for a block without one.
      interface: index into the capture's interfaces; -1 when the file does not define it.
    """

    window: NDArray[np.uint8]
    offset: Ints
    captured: Ints
    wire: Ints
    rx_ns: Ints
    interface: Ints

    def __len__(self) -> int:
        return len(self.offset)

    def part(self, rows: slice | NDArray[np.bool_] | NDArray[np.intp]) -> Frames:
        """Return some of the frames, of the same window."""
        return Frames(
            self.window, self.offset[rows], self.captured[rows], self.wire[rows], self.rx_ns[rows], self.interface[rows]
        )

    def bytes_of(self, row: int) -> bytes:
        """Return the captured bytes of one frame."""
        start = int(self.offset[row])
        return self.window[start : start + int(self.captured[row])].tobytes()


def gather(window: NDArray[np.uint8], at: Ints, dtype: np.dtype[np.void]) -> NDArray[np.void]:
    """Return the records that begin at any byte `at` of the window, copied, shape (n,)."""
    anywhere: NDArray[np.void] = np.ndarray(
        (len(window) - dtype.itemsize + 1,), f"V{dtype.itemsize}", window, strides=(1,)
    )
    return anywhere[at].view(dtype)
