"""SwitchSetting and Flush: a switch is configured anew, or forgets who is a member."""

from __future__ import annotations

from typing import Any

from harness.errors import HarnessError, LabError
from harness.lab.commands import run_json
from harness.lab.impairments.applied import Applied
from harness.lab.impairments.moment import Deeds, Script
from harness.lab.place import Lab
from harness.model.lab import Flush, SwitchSetting
from harness.units import parse_duration

_NS_PER_CENTISECOND = 10_000_000
"""The unit of a bridge's timers."""
_SHOWN = {"mcast_query_interval": "mcast_query_intvl"}
"""What iproute2 takes by one name and shows by another."""


async def set_switch(impairment: SwitchSetting, lab: Lab, deeds: Deeds) -> Applied:
    """Change settings of a bridge, all by one message to the kernel; undone, each has its old value.

    Raises:
      LabError: the bridge refuses one.
    """
    namespace, bridge = lab.bridge(impairment.switch)
    wanted = _wanted(impairment)
    found: Any = await run_json("ip", "-j", "-d", "-n", namespace, "link", "show", "dev", bridge)
    old = found[0]["linkinfo"]["info_data"]
    try:
        was = {name: int(old[_SHOWN.get(name, name)]) for name in wanted}
    except KeyError as exc:
        raise LabError(f"the switch {impairment.switch} has no setting {exc.args[0]}: this kernel is too old") from exc
    await deeds.enact("apply", _setting(namespace, bridge, wanted))
    return Applied(lambda: deeds.enact("undo", _setting(namespace, bridge, was)))


def _wanted(impairment: SwitchSetting) -> dict[str, int]:
    """Return the bridge's settings by their names in iproute2."""
    wanted: dict[str, int | None] = {
        "mcast_snooping": impairment.snooping,
        "mcast_igmp_version": impairment.igmp_version,
        "mcast_mld_version": impairment.mld_version,
        "mcast_query_interval": None,
        "mcast_querier": impairment.querier,
    }
    if impairment.query_interval is not None:
        wanted["mcast_query_interval"] = max(1, parse_duration(impairment.query_interval) // _NS_PER_CENTISECOND)
    return {name: int(value) for name, value in wanted.items() if value is not None}


def _setting(namespace: str, bridge: str, values: dict[str, int]) -> Script:
    words = " ".join(f"{name} {value}" for name, value in values.items())
    return Script("ip", namespace, (f"link set dev {bridge} type bridge {words}",) if words else ())


async def flush(impairment: Flush, lab: Lab, deeds: Deeds) -> Applied:
    """Delete what a bridge has learned of a host's memberships; the next report brings it back, no undo does.

    Entries that time out while it works are no error.

    Raises:
      LabError: the host has no cable to that switch.
    """
    namespace, bridge = lab.bridge(impairment.switch)
    ports = await ports_of(impairment.host, impairment.switch, lab)
    entries = await memberships(namespace, bridge, ports)
    lines = tuple(
        f"mdb del dev {bridge} port {entry['port']} grp {entry['grp']}{_source(entry)}{_vlan(entry)}"
        for entry in entries
        if impairment.group in (None, entry["grp"])
    )
    try:
        await deeds.enact("apply", Script("bridge", namespace, lines, ("-force",)))
    except LabError:
        left = await memberships(namespace, bridge, ports)
        if any(entry in left for entry in entries if impairment.group in (None, entry["grp"])):
            raise
    return Applied()


async def ports_of(host: str, switch: str, lab: Lab) -> set[str]:
    """Return the switch's ports at which a host's cables end.

    Raises:
      LabError: there is none.
    """
    namespace, _ = lab.bridge(switch)
    links: Any = await run_json("ip", "-j", "-n", lab.namespace(host), "link", "show")
    ports = set()
    for link in links:
        try:
            far_namespace, port = lab.far_end(f"{host}:{link['ifname']}")
        except (HarnessError, LookupError):  # its loopback, or whatever else is no cable of the lab's
            continue
        if far_namespace == namespace:
            ports.add(port)
    if not ports:
        raise LabError(f"host {host} has no cable to the switch {switch}")
    return ports


async def memberships(namespace: str, bridge: str, ports: set[str]) -> list[dict[str, Any]]:
    """Return the entries of a bridge's group table that belong to some of its ports.

    Raises:
      LabError: it cannot be read.
    """
    found: Any = await run_json("bridge", "-j", "-n", namespace, "mdb", "show", "dev", bridge)
    return [entry for table in found for entry in table.get("mdb", ()) if entry["port"] in ports]


def _source(entry: dict[str, Any]) -> str:
    return f" src {entry['src']}" if "src" in entry else ""


def _vlan(entry: dict[str, Any]) -> str:
    return f" vid {entry['vid']}" if entry.get("vid") else ""
