"""By how much each counter rose between two snapshots."""

from __future__ import annotations

from typing import Any

from harness.evidence.firewall import rule_counters

_QDISC_COUNTERS = ("bytes", "packets", "drops", "overlimits", "requeues")


def risen(before: dict[str, Any], after: dict[str, Any]) -> dict[str, int]:
    """Return by how much each counter rose between two snapshots, or two answers of `counters_only`, by flat name.

    "udp.RcvbufErrors", "ip_ext.IPReversePathFilter", "eth0.rx_dropped", "eth0.qdisc_drops" (of the root qdisc),
    "nft.inet t in 4" (packets of the rule with this handle), "socket.239.1.2.3:5000.4711.drops" (inode 4711). A counter
    that stands still is 0. Left out is one that is known on one side alone, that fell, or that started anew: all of
    them after a reboot, an interface's after it was created again.

    >>> risen({"counters": {"udp": {"InErrors": 2}}}, {"counters": {"udp": {"InErrors": 5}}})
    {'udp.InErrors': 3}
    """
    boots = [_part(snapshot, "boot", "boot_id") for snapshot in (before, after)]
    if all(isinstance(boot, str) and boot for boot in boots) and boots[0] != boots[1]:
        return {}
    then, now = _counts(before), _counts(after)
    reborn = tuple(f"{name}." for name in _reborn(before, after))
    return {
        name: now[name] - then[name]
        for name in sorted(then.keys() & now.keys())
        if now[name] >= then[name] and not (reborn and name.startswith(reborn))
    }


def _part(value: Any, *path: str) -> Any:
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _rows(value: Any) -> list[dict[str, Any]]:
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []


def _reborn(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Return the interfaces that have another index than before."""
    then, now = (_part(snapshot, "interface_counters") for snapshot in (before, after))
    if not isinstance(then, dict) or not isinstance(now, dict):
        return []
    return [name for name in then.keys() & now.keys() if _part(then, name, "index") != _part(now, name, "index")]


def _counts(snapshot: dict[str, Any]) -> dict[str, int]:
    """Return all counters of a snapshot by flat name."""
    found: dict[str, Any] = {}
    for section in ("counters", "interface_counters"):
        for owner, values in _table(_part(snapshot, section)).items():
            found |= {f"{owner}.{name}": value for name, value in _table(values).items() if name != "index"}
    for name, entry in _table(_part(snapshot, "interfaces")).items():
        found[f"{name}.carrier_changes"] = _part(entry, "carrier_changes")
    for row in _rows(_part(snapshot, "qdiscs")):
        if row.get("root"):
            found |= {f"{row.get('dev')}.qdisc_{name}": row.get(name) for name in _QDISC_COUNTERS}
    for table in ("udp", "udp6"):
        for row in _rows(_part(snapshot, "sockets", table)):
            found[f"socket.{row.get('local')}.{row.get('inode')}.drops"] = row.get("drops")
    try:
        rules = rule_counters(_rows(_part(snapshot, "firewall", "nft")))
    except (AttributeError, KeyError, TypeError, ValueError):  # from disk, and edited
        rules = {}
    found |= {f"nft.{name}": value for name, value in rules.items()}
    return {name: value for name, value in found.items() if isinstance(value, int) and not isinstance(value, bool)}


def _table(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
