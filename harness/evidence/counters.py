"""Protocol counters as each system prints them, to numbers by name."""

from __future__ import annotations

import re

_STATISTIC = re.compile(r"\s*(\d+)\s+(\S.*)", re.ASCII)
_HEX = re.compile(r"[0-9a-f]{8}")
_ASSIGNMENT = re.compile(r"\s*(\S[^=]*?)\s*=\s*(\d+)\s*", re.ASCII)

_DEV = tuple(
    f"{way}_{name}"
    for way, names in (
        ("rx", ("bytes", "packets", "errors", "dropped", "fifo", "frame", "compressed", "multicast")),
        ("tx", ("bytes", "packets", "errors", "dropped", "fifo", "collisions", "carrier", "compressed")),
    )
    for name in names
)
"""The columns of /proc/net/dev."""


def parse_snmp(text: str, wanted: tuple[str, ...]) -> dict[str, dict[str, int]]:
    r"""Return counters of /proc/net/snmp or /proc/net/netstat: pairs of lines, names and values, per protocol.

    Args:
      text: the file.
      wanted: protocols to keep.

    >>> parse_snmp("Udp: InDatagrams RcvbufErrors\nUdp: 12 3\nTcp: A\nTcp: 1", ("Udp",))
    {'Udp': {'InDatagrams': 12, 'RcvbufErrors': 3}}
    """
    lines = [line.split() for line in text.splitlines() if line.strip()]
    found = {}
    for names, values in zip(lines[::2], lines[1::2], strict=False):
        protocol = names[0].removesuffix(":")
        if protocol in wanted and names[0] == values[0]:
            found[protocol] = {name: int(value) for name, value in zip(names[1:], values[1:], strict=False)}
    return found


def parse_snmp6(text: str, wanted: tuple[str, ...]) -> dict[str, dict[str, int]]:
    r"""Return counters of /proc/net/snmp6, a name and a value per line, of the wanted protocols.

    >>> parse_snmp6("Ip6InReceives 5\nUdp6InDatagrams 2\nUdpLite6InErrors 0", ("Udp6",))
    {'Udp6': {'InDatagrams': 2}}
    """
    found: dict[str, dict[str, int]] = {}
    for line in text.splitlines():
        words = line.split()
        for protocol in wanted:
            if len(words) == 2 and words[0].startswith(protocol) and words[1].isdecimal():
                found.setdefault(protocol, {})[words[0].removeprefix(protocol)] = int(words[1])
    return found


def snake(protocol: str) -> str:
    """Return the kernel's name of a protocol as this project spells it.

    >>> snake("Udp"), snake("IpExt"), snake("Icmp6")
    ('udp', 'ip_ext', 'icmp6')
    """
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", protocol).lower()


def parse_dev(text: str, indexes: dict[str, int]) -> dict[str, dict[str, int]]:
    r"""Return the counters of /proc/net/dev by interface, with its `index`, which tells whether it is still the same.

    >>> parse_dev("Inter-|\n face |\n  eth0: 9 2 0 1 0 0 0 2 5 1 0 0 0 0 0 0", {"eth0": 4})["eth0"]["rx_dropped"]
    1
    """
    found = {}
    for line in text.splitlines()[2:]:
        name, _, rest = line.partition(":")
        values = rest.split()
        if len(values) == len(_DEV) and all(value.isdecimal() for value in values):
            index = {"index": indexes[name.strip()]} if name.strip() in indexes else {}
            found[name.strip()] = index | dict(zip(_DEV, map(int, values), strict=True))
    return found


def parse_softnet(text: str) -> dict[str, int]:
    r"""Return what the processors gave up on before any protocol saw it, from /proc/net/softnet_stat, summed.

    `dropped`: the backlog was full (net.core.netdev_max_backlog); `time_squeeze`: a round of the soft interrupt ended
    with packets left. They are the whole machine's, also in a network namespace.

    >>> parse_softnet("0000000a 00000001 00000002 00000000\n00000005 00000010 00000000 00000000")
    {'dropped': 17, 'time_squeeze': 2}
    """
    rows = [words for words in map(str.split, text.splitlines()) if len(words) >= 3 and all(map(_HEX.fullmatch, words))]
    return {
        "dropped": sum(int(row[1], 16) for row in rows),
        "time_squeeze": sum(int(row[2], 16) for row in rows),
    }


def parse_statistics(text: str) -> dict[str, int]:
    r"""Return counters of `netstat -s` as BSD and macOS print them: a number and what it counts.

    >>> parse_statistics("udp:\n\t12 datagrams received\n\t\t3 dropped due to full socket buffers\n")
    {'datagrams received': 12, 'dropped due to full socket buffers': 3}
    """
    matches = (_STATISTIC.fullmatch(line) for line in text.splitlines())
    return {match[2].rstrip(): int(match[1]) for match in matches if match}


def parse_assignments(text: str) -> dict[str, int]:
    r"""Return counters of `netstat -s` as Windows prints them: "Name = value", the names in the user's language.

    >>> parse_assignments("UDP Statistics for IPv4\n\n  Datagrams Received    = 12\n")
    {'Datagrams Received': 12}
    """
    matches = (_ASSIGNMENT.fullmatch(line) for line in text.splitlines())
    return {match[1]: int(match[2]) for match in matches if match}
