"""What was asked, and where it ran: pairs of name and value from the manifest and the environment."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from typing import Any

from harness.model import Manifest, Summary
from harness.plots.wording import UNDEFINED, clock, count, duration

Fact = tuple[str, str]


@dataclass(frozen=True)
class Facts:
    """Attributes: what was asked; where and when; versions; the command; the environment by section, as JSON text."""

    asked: list[Fact]
    where: list[Fact]
    versions: list[Fact]
    command: str
    environment: list[Fact]


def facts_of(summary: Summary, manifest: Manifest | None, environment: dict[str, Any] | None) -> Facts:
    """Collect the facts; without a manifest (a capture, a table) little is known, and that is said."""
    known = environment or {}
    sections = [(str(name), _json(value)) for name, value in known.items() if name not in ("version", "versions")]
    if manifest is None:
        return Facts([("analyzed", summary.path)], _places(summary), _versions(known), "", sections)
    return Facts(
        _asked(manifest), _where(manifest, known), _versions(known | {"versions": manifest.versions}),
        shlex.join(manifest.command), sections,
    )  # fmt: skip


def _json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)


def _compact(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _versions(environment: dict[str, Any]) -> list[Fact]:
    versions = environment.get("versions")
    return [(str(name), str(value)) for name, value in versions.items()] if isinstance(versions, dict) else []


def _places(summary: Summary) -> list[Fact]:
    interfaces = sorted({stream.interface for stream in summary.streams if stream.interface})
    groups = sorted({stream.group for stream in summary.streams if stream.group})
    return [("interface", _list(interfaces)), ("groups", _list(groups))]


def _list(values: list[str], most: int = 12) -> str:
    text = ", ".join(values[:most]) or UNDEFINED
    return f"{text} and {len(values) - most:,} more" if len(values) > most else text


def _asked(manifest: Manifest) -> list[Fact]:
    asked = [(name, _compact(value)) for name, value in manifest.asked.items()]
    for sender in manifest.senders:
        interval = f"every {duration(sender.interval_ns)}" if sender.interval_ns else "aperiodic"
        text = (
            f"{sender.group}, {sender.size} bytes, {interval} ({sender.schedule}), TTL {sender.ttl}, DSCP {sender.dscp}"
        )
        asked.append((f"send stream {sender.stream_id}", text + (", offload" if sender.offload else "")))
    return asked


def _where(manifest: Manifest, environment: dict[str, Any]) -> list[Fact]:
    clocks, end = manifest.clocks, manifest.end
    system = [manifest.versions[name] for name in ("system", "kernel", "machine") if manifest.versions.get(name)]
    where = [
        ("host", manifest.host or UNDEFINED),
        ("operating system", ", ".join(system) or str(environment.get("system", UNDEFINED))),
        ("boot id", manifest.boot_id or UNDEFINED),
        ("started", f"{clock(clocks.realtime_ns, date=True)} UTC"),
        (
            "ended",
            f"{clock(end.t_ns, date=True)} UTC, {end.reason}" if end else "not at all: killed, or still going on",
        ),
        ("clock", f"{clocks.sync}, error bound {duration(clocks.error_bound_ns)}, stamps by {clocks.rx_source}"),
    ]
    if clocks.card is not None:
        card = clocks.card
        text = (
            f"{card.device} of {card.interface}, {duration(card.offset_start_ns)} to {duration(card.offset_end_ns)} "
            f"ahead of realtime, which is taken out of all stamps; error bound {duration(card.error_bound_ns)}"
        )
        where.append(("clock of the network card", text))
    if end is not None and end.error:
        where.append(("error", end.error))
    for receiver in manifest.receivers:
        interface = receiver.interface or "chosen by the kernel"
        drops = "counts drops" if receiver.counts_drops else "offers no drop counter"
        text = (
            f"{_list(receiver.groups)} on {interface}" + (f" from {receiver.source}" if receiver.source else "")
            + f", protocol {receiver.protocol}, buffer {count(receiver.buffer_granted)} bytes granted of"
            f" {count(receiver.buffer_asked)} asked, {drops}, path {receiver.path}"
            + (", offload" if receiver.offload else "")
        )  # fmt: skip
        where.append((f"receiver {receiver.name}".strip(), text))
    where += [
        (f"sender of stream {sender.stream_id}", f"{sender.source or UNDEFINED} on {sender.interface or UNDEFINED}")
        for sender in manifest.senders
    ]
    return where
