"""A recording from its host to here, chunk by chunk, each with its checksum, and going on where it was cut off."""

from __future__ import annotations

import base64
import binascii
import zlib
from pathlib import Path
from typing import Any

import msgspec

from harness.errors import HostError, UsageError, storage_error
from harness.hosts.host import Host
from harness.hosts.spool import FileState, checked_name

FETCH_S = 30.0
_TRIES = 2


async def fetch_part(host: Host, part: str, folder: Path) -> list[str]:
    """Copy the files of a part's recording into a directory; return their names, [] when the host has none.

    What lies in the directory from an earlier try is kept as far as it goes.

    Raises:
      HostError: the host is lost, or sends what does not match its own checksums.
      StorageError: a file cannot be written here.
    """
    answer = await host.request("files", FETCH_S, part=part)
    try:
        found = msgspec.convert(answer.get("files"), list[FileState])
        for file in found:
            checked_name(file.name, "file")
    except (msgspec.ValidationError, UsageError) as exc:
        raise HostError(host.name, f"its list of files does not fit: {exc}") from exc
    try:
        folder.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240 - one call on the local disk
    except OSError as exc:
        raise storage_error(exc, folder, "name a directory that you may write with --output") from exc
    for file in found:
        await _fetch_file(host, part, file, folder)
    return [file.name for file in found]


async def _fetch_file(host: Host, part: str, file: FileState, folder: Path) -> None:
    target = folder / file.name
    try:
        for _ in range(_TRIES):
            with target.open("ab") as output:
                if output.tell() > file.size:
                    output.truncate(0)
                while (offset := output.seek(0, 2)) < file.size:
                    output.write(_checked(host, await host.request("fetch", FETCH_S, **_place(part, file, offset))))
            if _crc32(target) == file.crc32:
                return
            target.unlink()  # what an earlier try left was of another file; once more from the start
    except OSError as exc:
        raise storage_error(exc, target, "free some space") from exc
    raise HostError(host.name, f"{file.name} of part {part} does not match its checksum")


def _place(part: str, file: FileState, offset: int) -> dict[str, Any]:
    return {"part": part, "name": file.name, "offset": offset}


def _checked(host: Host, answer: dict[str, Any]) -> bytes:
    """Return the bytes of a chunk."""
    try:
        data = base64.b64decode(answer["data"], validate=True)
    except (KeyError, TypeError, binascii.Error, ValueError) as exc:
        raise HostError(host.name, f"a chunk of its recording does not decode: {exc}") from exc
    if not data or zlib.crc32(data) != answer.get("crc32"):
        raise HostError(host.name, "a chunk of its recording is empty or does not match its checksum")
    return data


def _crc32(path: Path) -> int:
    crc = 0
    with path.open("rb") as file:
        while data := file.read(1 << 20):
            crc = zlib.crc32(data, crc)
    return crc
