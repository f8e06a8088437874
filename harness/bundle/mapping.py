"""What a redaction replaced by what: kept beside the run for its owner alone, never in a bundle."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from harness.errors import storage_error
from harness.store.documents import encode_document

MAPPING = "redaction.json"
MAPPING_VERSION = 1


def write_mapping(folder: Path, mapping: dict[str, dict[str, str]]) -> Path:
    """Write the mapping into a run's or a campaign's directory, readable by its owner only; return where.

    Raises:
      StorageError: it could not be written; an older one is untouched.
    """
    target = folder / MAPPING
    temporary = folder / f".{MAPPING}.{os.getpid()}.tmp"
    data = encode_document({"version": MAPPING_VERSION, **mapping})
    try:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()  # of a process of the same number that was killed
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except OSError as exc:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise storage_error(exc, target, "without it nobody can tell what a token stands for") from exc
    return target
