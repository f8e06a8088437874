"""The one check that every metric over several arrays needs: that they speak of the same packets."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from harness.errors import AnalysisError


def require_aligned(**arrays: NDArray[Any]) -> None:
    """Check that arrays, named as in the caller's signature, are one-dimensional and of one length.

    Raises:
      AnalysisError: they are not; names each with its shape.
    """
    shapes = {array.shape for array in arrays.values()}
    if len(shapes) > 1 or any(len(shape) != 1 for shape in shapes):
        listed = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
        raise AnalysisError(f"arrays of one entry per packet differ in shape: {listed}")
