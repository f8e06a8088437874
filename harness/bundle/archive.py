"""The zip file: the same entries give the same bytes, and it appears under its name only when it is whole."""

from __future__ import annotations

import hashlib
import io
import zipfile
import zlib
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from harness.bundle.material import Entry
from harness.errors import UsageError, os_reason
from harness.store.atomic import write_whole
from harness.units import NS_PER_S

LIMIT_BYTES = 25_000_000
"""What common trackers take as an attachment."""
CHECKSUMS = "SHA256SUMS"
COMMENT = b"multicast-harness bundle"
_LEVEL = 6
_HEADERS = 30 + 46
_END = 22 + len(COMMENT)
_UNIX, _PLAIN_FILE = 3, 0o100644 << 16
_STORED = (".png",)
_OLDEST, _NEWEST = (1980, 1, 1, 0, 0, 0), (2107, 12, 31, 23, 59, 58)


def checksums(entries: Iterable[Entry]) -> Entry:
    """Return the list of checksums of all entries, as `sha256sum -c` reads it."""
    lines = [f"{hashlib.sha256(entry.data).hexdigest()}  {entry.name}\n" for entry in entries]
    return Entry(CHECKSUMS, "".join(lines).encode(), "SHA-256 of every other file; check with sha256sum -c SHA256SUMS")


def zipped_size(entry: Entry) -> int:
    """Return how many bytes of a zip file an entry takes."""
    size = len(entry.data)
    if not entry.name.endswith(_STORED):
        deflate = zlib.compressobj(_LEVEL, zlib.DEFLATED, -15)
        size = len(deflate.compress(entry.data)) + len(deflate.flush())
    return size + _HEADERS + 2 * len(entry.name.encode())


def zip_bytes(entries: Iterable[Entry], at_ns: int) -> bytes:
    """Return entries as a zip file, all of them dated `at_ns` (UTC)."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.comment = COMMENT
        for entry in entries:
            info = zipfile.ZipInfo(entry.name, _date(at_ns))
            info.create_system, info.external_attr = _UNIX, _PLAIN_FILE
            info.compress_type = zipfile.ZIP_STORED if entry.name.endswith(_STORED) else zipfile.ZIP_DEFLATED
            archive.writestr(info, entry.data, compresslevel=_LEVEL)
    return buffer.getvalue()


def size_of(sizes: Iterable[int]) -> int:
    """Return the size of a zip file from those of its entries."""
    return sum(sizes) + _END


def _date(at_ns: int) -> tuple[int, int, int, int, int, int]:
    """Return a moment as a zip file stores it, in its bounds."""
    try:
        when = datetime.fromtimestamp(at_ns // NS_PER_S, UTC)
    except (OverflowError, ValueError, OSError):
        return _OLDEST
    return min(max(_OLDEST, (when.year, when.month, when.day, when.hour, when.minute, when.second)), _NEWEST)


def check_target(target: Path) -> bool:
    """Return whether there is a bundle already, which is to be replaced.

    Raises:
      UsageError: the name does not end in .zip, or something else is there.
      StorageError: the directory is not there.
    """
    if target.suffix != ".zip":
        raise UsageError(f"{target}: a bundle is a .zip file; name it {target.name}.zip or the like")
    try:
        if not target.parent.is_dir():
            raise UsageError(f"{target.parent} is no directory; make it, or name another file with --output")
        if not target.exists() and not target.is_symlink():
            return False
        with zipfile.ZipFile(target) as archive:
            is_ours = archive.comment == COMMENT
    except zipfile.BadZipFile:
        is_ours = False
    except OSError as exc:
        raise UsageError(f"{target} cannot be replaced: {os_reason(exc)}; name another file with --output") from exc
    if not is_ours:
        raise UsageError(f"{target} exists and is no bundle; remove it, or name another file with --output")
    return True


def write_bundle(target: Path, data: bytes) -> None:
    """Write a bundle; it is on the medium and whole, or not there.

    Raises:
      StorageError: it could not be written; an older one is untouched.
    """
    write_whole(target, data, "is the disk full? name a file elsewhere with --output")
