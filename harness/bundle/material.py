"""What a run's directory holds, as the files of a bundle: as they are, or with everything in them replaced.

Only files that a run is known to hold are taken, never a link: what else lies in the directory is named and left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from harness.bundle.captures import learn_capture, redact_capture
from harness.bundle.names import Found, named
from harness.bundle.redactor import Redactor
from harness.errors import RecordError, os_reason
from harness.model import Event, Manifest, Summary
from harness.model.boots import BootFacts, BootMeasures, CampaignSummary
from harness.store.chunks import Chunk, decode_line, encode_line
from harness.store.documents import encode, encode_document
from harness.units import format_scaled

N = TypeVar("N", bound=msgspec.Struct)

CORE, EVIDENCE, MEMBERSHIP, OTHER_HOSTS, VECTOR, SLICE, RAW = range(7)
"""Ranks: when a bundle grows too large, the highest rank goes first and CORE never."""

SLICE_NAME = "worst-window.pcapng"
MOST_BYTES = 64 * 2**20
"""A longer file is not looked into."""

_DOCUMENTS: dict[str, tuple[str, int]] = {
    "summary.json": ("what the analysis found: every figure in the report", CORE),
    "manifest.json": ("what was asked, resolved and done, versions, clocks, how it ended", CORE),
    "events.jsonl": ("joins, leaves, reopened sockets, errors, notes; one a line, on both clocks", EVIDENCE),
    "environment.json": ("the system at the start: interfaces, routes, memberships, settings, counters", EVIDENCE),
    "environment-after.json": ("the same at the end", EVIDENCE),
    "evidence.json": ("what the system said before and after, in one document", EVIDENCE),
    "witnesses.json": ("what other sockets and a tap heard beside the receivers", EVIDENCE),
    "verdicts.json": ("what a diagnosis made of it", EVIDENCE),
    "lab.json": ("what a lab counted: its cables, faults and commands", EVIDENCE),
    "lab.jsonl": ("what was done to the lab, and when", EVIDENCE),
    "ledger.json": ("where every packet of a lab run has gone", EVIDENCE),
}
_MEMBERSHIP = "membership.pcapng"
_ROWS = {
    "packets.bin": "every packet received, 32 bytes each",
    "packets.crc": "checksums of packets.bin",
    "sent.bin": "the sender's own log, 32 bytes a packet",
    "sent.crc": "checksums of sent.bin",
    "truth.jsonl": "what the built-in impairment did, packet by packet",
}
_BUNDLE = "-bundle.zip"
_MADE_AGAIN = {"plots", "report.html", "report.md", "redaction.json"}
_KINDS: dict[str, type[msgspec.Struct]] = {
    "summary.json": Summary,
    "manifest.json": Manifest,
    "campaign.json": CampaignSummary,
    "measures.json": BootMeasures,
    "boot.json": BootFacts,
}


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of the bundle: its name in it, bytes, what it is, and its rank."""

    name: str
    data: bytes
    what: str
    rank: int = CORE


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Something that is not in the bundle, and why."""

    name: str
    why: str


@dataclass
class Material:
    """The files of a bundle so far, and what was left out."""

    entries: list[Entry] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)

    def leave_out(self, name: str, why: str) -> None:
        """Take note that something is not in the bundle."""
        self.left_out.append(LeftOut(name, why))


@dataclass(frozen=True, slots=True)
class _Source:
    name: str
    path: Path
    what: str
    rank: int


@dataclass
class Gathering:
    """Files that belong into a bundle: found first, then learned from, then read.

    Attributes:
      redactor: what replaces; None: the files as they are.
      scratch: an empty directory for files that have to be rewritten.
    """

    redactor: Redactor | None
    scratch: Path
    material: Material = field(default_factory=Material)
    _sources: list[_Source] = field(default_factory=list)

    def find_run(self, run: Path, most_raw_bytes: int) -> None:
        """Find the files of a recording; rows of packets only when all of them are no larger than that."""
        sources = list(_sources(run, self.material))
        if sum(source.path.stat().st_size for source in sources if source.rank == RAW) > most_raw_bytes:
            for source in [source for source in sources if source.rank == RAW]:
                size = format_scaled(source.path.stat().st_size, "B")
                self.material.leave_out(source.name, f"{size}; every single packet is too much, see {SLICE_NAME}")
            sources = [source for source in sources if source.rank != RAW]
        self._sources += sources

    def find_file(self, path: Path, name: str, what: str, rank: int) -> None:
        """Find another JSON document, if it is there."""
        if path.is_file() and not path.is_symlink():
            self._sources.append(_Source(name, path, what, rank))

    def read(self) -> Material:
        """Return all that was found; what cannot be redacted is left out.

        Raises:
          RecordError: a file cannot be read.
        """
        readable = []
        for source in self._sources:
            try:
                if self.redactor is not None:
                    _learn(source, self.redactor)
                readable.append(source)
            except RecordError as exc:
                self.material.leave_out(source.name, f"cannot be redacted: {exc}")
        for source in readable:
            self.material.entries.append(self._entry(source))
        if self.redactor is not None:
            text, left_out = self.redactor.text, self.material.left_out
            self.material.left_out = [LeftOut(text(item.name), text(item.why)) for item in left_out]
        return self.material

    def _entry(self, source: _Source) -> Entry:
        if self.redactor is None:
            return Entry(source.name, _bytes_of(source.path), source.what, source.rank)
        name = redacted_name(source.name, self.redactor)
        return Entry(name, _redacted(source, self.redactor, self.scratch), source.what, source.rank)


def redacted_name(name: str, redactor: Redactor) -> str:
    """Return the name of a file in the bundle with what is replaced in its folders; its own name is known."""
    folder, slash, last = name.rpartition("/")
    return redactor.text(folder) + slash + last


def _sources(run: Path, material: Material) -> Iterator[_Source]:
    places = [(run, "", False)]
    hosts = run / "hosts"
    if hosts.is_dir() and not hosts.is_symlink():
        places += [(path, f"hosts/{path.name}/", True) for path in sorted(hosts.iterdir())]
    for folder, at, is_host in places:
        if folder.is_symlink() or not folder.is_dir():
            material.leave_out(at.rstrip("/"), "no directory of a recording")
            continue
        yield from _files(folder, at, is_host, material)


def _files(folder: Path, at: str, is_host: bool, material: Material) -> Iterator[_Source]:
    known: dict[str, tuple[str, int]] = {**_DOCUMENTS, _MEMBERSHIP: ("IGMP and MLD as seen on the wire", MEMBERSHIP)}
    known |= {name: (what, RAW) for name, what in _ROWS.items()}
    present = {path.name: path for path in sorted(folder.iterdir())}
    for name, (what, rank) in known.items():
        path = present.pop(name, None)
        if path is None:
            continue
        if path.is_symlink() or not path.is_file():
            material.leave_out(at + name, "no plain file")
        elif rank not in (RAW, CORE) and path.stat().st_size > MOST_BYTES:
            material.leave_out(at + name, f"{path.stat().st_size:,} bytes are too many")
        else:
            yield _Source(at + name, path, what, max(rank, OTHER_HOSTS) if is_host else rank)
    for name in present:
        if name not in _MADE_AGAIN and not name.endswith(_BUNDLE) and not (name == "hosts" and not is_host):
            material.leave_out(at + name, "not a file that a recording is known to hold")


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as exc:
        raise RecordError(f"cannot read {path}: {os_reason(exc)}") from exc


def _learn(source: _Source, redactor: Redactor) -> None:
    kind = source.path.name
    if kind == _MEMBERSHIP:
        learn_capture(source.path, redactor)
    elif kind.endswith(".crc"):
        for chunk in _chunks(source.path):
            redactor.learn(msgspec.to_builtins(chunk.counters), has_telling_keys=False)
    elif not kind.endswith(".bin"):
        value = _json(source.path)
        names = names_of_manifest(value) if kind == "manifest.json" else ()
        redactor.learn(value, names, has_telling_keys=kind not in _KINDS and not kind.endswith(".jsonl"))


def _redacted(source: _Source, redactor: Redactor, scratch: Path) -> bytes:
    kind = source.path.name
    if kind == _MEMBERSHIP:
        target = scratch / f"{len(list(scratch.iterdir()))}.pcapng"
        redact_capture(source.path, target, redactor)
        return _bytes_of(target)
    if kind.endswith(".bin"):  # numbers and times; nothing in it names anybody
        return _bytes_of(source.path)
    if kind.endswith(".crc"):
        turned = (_with_counters(chunk, redactor) for chunk in _chunks(source.path))
        return b"".join(map(encode_line, turned))
    value = _json(source.path)
    if kind == "events.jsonl":
        events = [redacted_noun(line, Event, redactor) for line in value]
        return b"".join(encode(event) + b"\n" for event in events)
    if kind.endswith(".jsonl"):
        return b"".join(encode(redactor.value(line)) + b"\n" for line in value)
    return encode_document(redacted_noun(value, _KINDS[kind], redactor) if kind in _KINDS else redactor.value(value))


def _with_counters(chunk: Chunk, redactor: Redactor) -> Chunk:
    if chunk.counters is None:
        return chunk
    return msgspec.structs.replace(chunk, counters=redactor.noun(chunk.counters))


def redacted_noun(value: Any, kind: type[N], redactor: Redactor) -> Any:
    """Return a JSON value with everything replaced, its vocabulary kept where it fits the type that it should have."""
    try:
        return redactor.noun(msgspec.convert(value, kind))
    except msgspec.ValidationError:
        return redactor.value(value)


def _chunks(path: Path) -> list[Chunk]:
    lines = _bytes_of(path).split(b"\n")
    return [chunk for line in lines if (chunk := decode_line(line)) is not None]


def _json(path: Path) -> Any:
    """Return the value of a JSON document, or the list of those in its lines; a line that is none is dropped."""
    data = _bytes_of(path)
    if path.suffix == ".jsonl":
        return list(_lines(data))
    try:
        return msgspec.json.decode(data)
    except (ValueError, RecursionError) as exc:
        raise RecordError(f"{path.name} is not valid JSON: {exc}") from exc


def _lines(data: bytes) -> Iterator[Any]:
    decode: Callable[[bytes], Any] = msgspec.json.decode
    for line in data.split(b"\n"):
        try:
            value = decode(line)
        except (ValueError, RecursionError):
            continue
        yield value


def names_of_manifest(manifest: Any) -> list[Found]:
    """Return the names in a manifest: of this machine, and of others that it was told to reach."""
    if not isinstance(manifest, dict):
        return []
    found = list(named("host", str(manifest.get("host", ""))))
    for host in manifest.get("hosts") or []:
        found += named("host", str(host.get("host", "")))
        if host.get("kind") == "ssh":
            found += _reached(str(host.get("where", "")))
    for host in (manifest.get("resolved") or {}).get("host") or []:
        found += _reached(str(host.get("address") or ""))
        found += named("user", str(host.get("user") or ""))
    return found


def _reached(where: str) -> list[Found]:
    """Return the names in "user@host" or "host:port"."""
    user, at, host = where.rpartition("@")
    return [*named("user", user if at else ""), *named("host", host.partition(":")[0] if host.count(":") < 2 else "")]
