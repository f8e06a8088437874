"""Names of new runs: results/YYYYMMDD-HHMMSS-<kind>, one directory each, also for two runs of the same second."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from harness.errors import StorageError, storage_error

_MAX_TRIES = 1_000


def fresh_run_path(results: Path, kind: str, now: datetime | None = None) -> Path:
    """Make an empty directory for a new run and return it; making it is what keeps two runs apart.

    Args:
      results: where runs go; it is made when missing.
      kind: what the name ends with, "receive", "send", "run" or a scenario's name.
      now: local time; None for the clock's.

    Raises:
      StorageError: the directory cannot be made.
    """
    stem = f"{now or datetime.now():%Y%m%d-%H%M%S}-{kind}"
    for number in range(1, _MAX_TRIES):
        path = results / (stem if number == 1 else f"{stem}-{number}")
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as exc:
            raise storage_error(exc, path, "name a directory that you may write with --output") from exc
        return path
    raise StorageError(f"{results} holds {_MAX_TRIES} runs named {stem}; name another directory with --output")
