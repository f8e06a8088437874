"""What a recording has brought to the medium, and the error that ends it early."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.errors import StorageError, os_reason


@dataclass(frozen=True, slots=True)
class Recorded:
    """What is on the medium, for good."""

    n_packets: int = 0
    n_sent: int = 0
    n_events: int = 0


class RecordingError(StorageError):
    """A recording that had to stop because the disk refused; what was recorded before is readable.

    Attributes:
      path: the run's directory.
      errno: the system's error number, or None.
      recorded: what is on the medium.
    """

    def __init__(self, path: Path, exc: OSError, recorded: Recorded) -> None:
        self.path, self.errno, self.recorded = path, exc.errno, recorded
        counts = ((recorded.n_packets, "packets"), (recorded.n_sent, "sent records"))
        kept = " and ".join(f"{n} {what}" for n, what in counts if n) or "no packets"
        super().__init__(
            f"cannot write {exc.filename or path}: {os_reason(exc)}; {kept} were recorded and are readable in {path}; "
            "free some space or record to another disk with --output"
        )
