"""A run whose every file names its owner, and what to look for in its bundle."""

from __future__ import annotations

import base64
import io
import ipaddress
import json
import re
import struct
import zipfile
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from harness.bundle.frames import ETHERNET
from harness.capture import Interface
from harness.capture.blocks import PcapngFile, copy_rows, packet_blocks
from harness.conclusion import conclude
from harness.model import (
    PACKET_DTYPE,
    SENT_DTYPE,
    Clocks,
    Counters,
    End,
    Event,
    Manifest,
    ReceiverInfo,
    SenderInfo,
    StreamInfo,
)
from harness.model.manifest import HostInfo
from harness.model.scenario import Host, Receiver, Scenario, Stream
from harness.store import RunWriter

T0 = 1_784_030_400_000_000_000
"""2026-07-14 12:00:00 UTC."""
MS = 1_000_000
HOST, DOMAIN, USER, OTHER_HOST, OTHER_USER = "qzstudio-7", "qzcorp.example", "qz_mia", "qzrack-2", "qz_jo"
SSID, SERIAL, BOOT = "Qz Wohnzimmer's <5G>", "C02QZ1234XYZ", "8e590248-3654-43e1-ace4-035e767eea99"
MAC, MAC_2 = bytes.fromhex("3a8db783dbb8"), bytes.fromhex("7cd1c3a90e41")
V4, V4_2 = ipaddress.IPv4Address("9.41.7.203"), ipaddress.IPv4Address("81.92.103.114")
V6, V6_2 = (
    ipaddress.IPv6Address("2a01:4f8:1c1c:77::5e1f"),
    ipaddress.IPv6Address("2a01:4f8:1c1c:77:388d:b7ff:fe83:dbb8"),
)
LINK_LOCAL = ipaddress.IPv6Address("fe80::388d:b7ff:fe83:dbb8")
GROUP, GROUP_6 = ipaddress.IPv4Address("239.255.7.7"), ipaddress.IPv6Address("ff15::7")
PRIVATE = "192.168.77.5"

NAMES = [HOST, DOMAIN, USER, OTHER_HOST, OTHER_USER, SSID, SERIAL, BOOT]
PACKED = [MAC, MAC_2, V4.packed, V4_2.packed, V6.packed, V6_2.packed, LINK_LOCAL.packed, LINK_LOCAL.packed[8:]]


def needles() -> list[bytes]:
    """All spellings of all secrets, in lower case."""
    texts = [*NAMES]
    texts += [json.dumps(SSID)[1:-1], SSID.replace("'", "&#39;").replace("<", "&lt;").replace(">", "&gt;")]
    texts += [SSID.replace("'", "&#x27;").replace("<", "&lt;").replace(">", "&gt;"), SSID.encode().hex()]
    texts += ["Wohnzimmer", BOOT.replace("-", "")]
    for mac in (MAC, MAC_2):
        bare = mac.hex()
        texts += [mac.hex(":"), mac.hex("-"), bare, f"{bare[:4]}.{bare[4:8]}.{bare[8:]}"]
        texts.append(":".join(f"{octet:x}" for octet in mac))
    texts += [str(V4), str(V4_2), V4.packed.hex(), V4.packed[::-1].hex(), V4_2.packed[::-1].hex()]
    for v6 in (V6, V6_2, LINK_LOCAL):
        texts += [str(v6), v6.exploded, v6.packed.hex(), kernel_words(v6)]
    texts += ["388d:b7ff:fe83:dbb8", "3a8db7fffe83dbb8", "388db7fffe83dbb8", "2a01:4f8", "ff83:dbb8"]
    found = {text.lower().encode() for text in texts} | {text.lower().encode("utf-16-le") for text in texts}
    return sorted(found) + PACKED


def kernel_words(address: ipaddress.IPv6Address) -> str:
    """The address as /proc/net/udp6 writes it on a little-endian machine."""
    return "".join(address.packed[k : k + 4][::-1].hex() for k in range(0, 16, 4))


def environment() -> dict[str, Any]:
    return {
        "version": 1,
        "host": f"{HOST}.{DOMAIN}",
        "boot": {"boot_id": BOOT, "uptime_ns": 5_000 * MS, "machine_id": BOOT.replace("-", "")},
        "interfaces": {
            "eth0": {
                "addresses": [
                    {"family": "inet", "address": str(V4), "netmask": "255.255.255.0", "broadcast": "9.41.7.255"},
                    {"family": "inet", "address": PRIVATE},
                    {"family": "inet6", "address": str(V6)},
                    {"family": "inet6", "address": f"{LINK_LOCAL}%eth0"},
                    {"family": "link", "address": MAC.hex(":")},
                ],
                "is_up": True,
                "mtu": 1500,
            },
            f"enx{MAC_2.hex()}": {"addresses": [], "mac": MAC_2.hex("-").upper()},
        },
        "wifi": {"SSID": SSID, "text": f"    SSID: {SSID}\n    BSSID: {MAC_2.hex(':')}", "hex": SSID.encode().hex()},
        "hardware": {"serial_number": SERIAL, "profile": f"Serial Number (system): {SERIAL}"},
        "launch": {
            "user": USER,
            "executable": f"/home/{USER}/venv/bin/python",
            "parents": [{"pid": 1, "name": f"sshd: {USER}@pts/0"}],
            "hints": {"environment": {"SUDO_USER": OTHER_USER}},
        },
        "routes": {
            "netstat -rn": [
                f"default {V4_2} UGScg en0",
                f"{V4_2}.5353  {':'.join(f'{octet:x}' for octet in MAC_2)} UHLWI",
                f"{LINK_LOCAL}%en0 {MAC.hex(':')}",
            ]
        },
        "proc": {
            "udp": f"  12: {V4.packed[::-1].hex().upper()}:1388 00000000:0000 07",
            "udp6": f"  13: {kernel_words(V6).upper()}:1388 {'0' * 32}:0000 07",
            "if_inet6": f"{V6_2.packed.hex()} 02 40 00 00 eth0\n{LINK_LOCAL.packed.hex()} 02 40 20 80 eth0",
            "route": f"Iface\tDestination\tGateway\tFlags\neth0\t00000000\t{V4_2.packed[::-1].hex().upper()}\t0003\t0",
            "igmp6": f"2    eth0  ff0200000000000000000001{'ff83dbb8'}     1 0000000C 0",
        },
        "memberships": {"inet6": [{"interface": "eth0", "group": "ff02::1:ff83:dbb8", "users": 1}]},
        "clock_identity": f"{MAC.hex()[:6]}.fffe.{MAC.hex()[6:]}",
        "log": f'{{"nested": "{USER} says \\"{HOST}\\" at {V4}:5004 and [{V6}]:5004"}}',
    }


def manifest() -> Manifest:
    scenario = Scenario(
        name="two hosts",
        duration="1s",
        host=[
            Host(
                name="tx",
                kind="ssh",
                address=f"{OTHER_HOST}.{DOMAIN}",
                user=OTHER_USER,
                identity=f"/home/{USER}/.ssh/k",
            ),
            Host(name="rx"),
        ],
        stream=[Stream(group=f"{GROUP}:5004", interface="eth0", host="tx", rate="1kpps", count=1_000)],
        receiver=[Receiver(groups=[f"{GROUP}:5004"], interface="eth0", host="rx", source=str(V4))],
    )
    streams = [
        StreamInfo(
            number=0, receiver="rx", source=f"{V4}:4000", group=f"{GROUP}:5004", interface="eth0", stream_id=1, epoch=7,
            first_due_ns=T0, interval_ns=MS, sent=1_000,
        ),
        StreamInfo(
            number=1, receiver="rx", source=f"[{V6}]:4000", group=f"[{GROUP_6}]:5004", interface="eth0", stream_id=2,
            epoch=7, first_due_ns=T0, interval_ns=MS, sent=1_000,
        ),
    ]  # fmt: skip
    return Manifest(
        kind="run",
        created="2026-07-14T12:00:00+00:00",
        command=["harness", "run", f"/home/{USER}/two hosts.toml", "--host", f'tx = {{ user = "{OTHER_USER}" }}'],
        asked={"scenario": f"/home/{USER}/two hosts.toml", "host": [f"ssh {OTHER_USER}@{OTHER_HOST}"]},
        resolved={**msgspec.to_builtins(scenario), "parts": {"tx": f"part of {OTHER_HOST}"}},
        versions={"multicast-harness": "0.1.0", "system": "Debian GNU/Linux 12", "kernel": "Linux 6.18.44"},
        host=HOST,
        boot_id=BOOT,
        clocks=Clocks(realtime_ns=T0, monotonic_ns=5),
        hosts=[HostInfo(name="tx", kind="ssh", where=f"{OTHER_USER}@{OTHER_HOST}", host=OTHER_HOST, boot_id=BOOT)],
        receivers=[ReceiverInfo(name="rx", groups=[f"{GROUP}:5004"], interface="eth0", source=str(V4))],
        senders=[
            SenderInfo(
                stream=0, stream_id=1, epoch=7, group=f"{GROUP}:5004", source=f"{V4}:4000", interface="eth0",
                schedule="one packet every 1 ms", first_due_ns=T0, interval_ns=MS, size=200, ttl=1, host="tx",
            )
        ],
        streams=streams,
        system_counters={f"enx{MAC_2.hex()}.drops_in": 3},
    )  # fmt: skip


def rows(stream: int, n: int = 1_000, lost: range = range(400, 700)) -> np.ndarray[Any, np.dtype[np.void]]:
    seq = np.array([number for number in range(n) if number not in lost], np.int64)
    made = np.zeros(len(seq), PACKET_DTYPE)
    made["seq"], made["tx_ns"], made["rx_ns"] = seq, T0 + seq * MS, T0 + seq * MS + 50_000
    made["stream"], made["size"], made["ttl"] = stream, 200, 1
    return made


def record(path: Path, said: Manifest | None = None) -> None:
    """Write a finished recording: two streams, 300 of 1,000 packets lost in the middle, canaries in events."""
    sent = np.zeros(1_000, SENT_DTYPE)
    sent["seq"] = np.arange(1_000)
    sent["due_ns"] = sent["tx_ns"] = T0 + np.arange(1_000) * MS
    with RunWriter.create(path, said or manifest(), environment()) as writer:
        writer.event(Event(t_ns=T0 + 5 * MS, kind="note", text=f"{USER} at {HOST}: {V4}, {MAC.hex(':')}, {SSID}"))
        writer.event(Event(t_ns=T0 + 6 * MS, kind="stream", text=f"from [{V6}]:4000 to {GROUP}"))
        both = np.concatenate((rows(0), rows(1)))
        writer.append_packets(both[np.argsort(both["rx_ns"], kind="stable")])
        writer.append_sent(sent)
        writer.set_counters(Counters(socket_drops={"rx": 0}, rejected={f"too short from {V4}": 2}))
        writer.finish(End(reason="complete", t_ns=T0 + 2_000 * MS, error=f"{OTHER_HOST} went away"))


def checksum(data: bytes) -> int:
    padded = data + b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f">{len(padded) // 2}H", padded))
    while total > 0xFFFF:
        total = (total >> 16) + (total & 0xFFFF)
    return 0xFFFF - total


def ipv4(protocol: int, payload: bytes, to: ipaddress.IPv4Address = GROUP, options: bytes = b"") -> bytes:
    words = 5 + len(options) // 4
    head = struct.pack(">BBHHHBBH", 0x40 | words, 0, 4 * words + len(payload), 1, 0, 1, protocol, 0)
    head += V4.packed + to.packed + options
    return head[:10] + checksum(head).to_bytes(2) + head[12:] + payload


def ipv6(kind: int, payload: bytes, to: ipaddress.IPv6Address, source: ipaddress.IPv6Address = LINK_LOCAL) -> bytes:
    return struct.pack(">IHBB", 6 << 28, len(payload), kind, 1) + source.packed + to.packed + payload


def icmp6(body: bytes, to: ipaddress.IPv6Address, source: ipaddress.IPv6Address = LINK_LOCAL) -> bytes:
    pseudo = source.packed + to.packed + struct.pack(">II", len(body), 58)
    return body[:2] + checksum(pseudo + body).to_bytes(2) + body[4:]


def ethernet(kind: int, payload: bytes, to: bytes = b"\x01\x00\x5e\x7f\x07\x07") -> bytes:
    return to + MAC + kind.to_bytes(2) + payload


def membership_frames() -> list[bytes]:
    """An IGMPv3 report, an SSM query, an ARP request, MLDv2 through a hop-by-hop header, neighbour discovery, mDNS."""
    report = struct.pack(">BBHHHBBH4s4s", 0x22, 0, 0, 0, 1, 1, 0, 1, GROUP.packed, V4_2.packed)
    report = report[:2] + checksum(report).to_bytes(2) + report[4:]
    query = struct.pack(">BBH4sBBH4s", 0x11, 100, 0, GROUP.packed, 2, 125, 1, V4_2.packed)
    query = query[:2] + checksum(query).to_bytes(2) + query[4:]
    arp = struct.pack(">HHBBH", 1, 0x800, 6, 4, 1) + MAC + V4.packed + bytes(6) + V4_2.packed
    all_mld = ipaddress.IPv6Address("ff02::16")
    mld = struct.pack(">BBHHHBBH16s16s", 143, 0, 0, 0, 1, 1, 0, 1, GROUP_6.packed, V6.packed)
    hop = b"\x3a\0\x05\x02\0\0\x01\0"
    solicited = ipaddress.IPv6Address("ff02::1:ff83:dbb8")
    neighbour = struct.pack(">BBHI16s", 135, 0, 0, 0, V6_2.packed) + b"\1\1" + MAC
    name = f"{HOST}.local {USER}".encode()
    udp = struct.pack(">HHHH", 5353, 5353, 8 + len(name), 0) + name
    pseudo = V4.packed + ipaddress.IPv4Address("224.0.0.251").packed + struct.pack(">HH", 17, len(udp))
    udp = udp[:6] + checksum(pseudo + udp).to_bytes(2) + udp[8:]
    return [
        ethernet(0x800, ipv4(2, report, ipaddress.IPv4Address("224.0.0.22"), b"\x94\4\0\0")),
        ethernet(0x800, ipv4(2, query)),
        ethernet(0x806, arp, b"\xff" * 6),
        ethernet(0x86DD, ipv6(0, hop + icmp6(mld, all_mld), all_mld), bytes.fromhex("333300000016")),
        ethernet(0x86DD, ipv6(58, icmp6(neighbour, solicited), solicited), bytes.fromhex("3333ff83dbb8")),
        ethernet(0x8100, b"\0\1\x08\0" + ipv4(17, udp, ipaddress.IPv4Address("224.0.0.251"))),
        ethernet(0x88CC, b"\2\7\4" + MAC + HOST.encode()),
    ]


def write_capture(path: Path, frames: list[bytes], link_type: int = ETHERNET) -> None:
    length = np.array([len(frame) for frame in frames], np.int64)
    with PcapngFile(path, f"captured by {USER} on {HOST}") as file:
        file.add_interface(Interface(f"enx{MAC.hex()}", link_type, 0, description=f"card of {HOST}"))
        times = T0 + np.arange(len(frames), dtype=np.int64) * MS
        out, at = packet_blocks(times, np.zeros(len(frames), np.int64), length, length)
        copy_rows(out, at, np.frombuffer(b"".join(frames), np.uint8), np.cumsum(length) - length, length)
        file.write(out)


def a_named_run(path: Path) -> Path:
    """A run with canaries in every file that a bundle takes, and in some that it does not."""
    record(path)
    write_capture(path / "membership.pcapng", membership_frames())
    for folder in (path, path / "hosts" / "rx"):
        if folder != path:
            folder.parent.mkdir()
            record(folder)
            write_capture(folder / "membership.pcapng", membership_frames())
        for name in ("environment-after.json", "evidence.json", "witnesses.json"):
            (folder / name).write_text(json.dumps({"version": 1, "hosts": [{"name": "rx", "before": environment()}]}))
        (folder / "truth.jsonl").write_text(json.dumps({"stream": 1, "seq": 1, "did": "dropped", "by": USER}) + "\n")
        (folder / f"notes of {USER}.txt").write_text(f"{HOST} {V4}")
    conclude(path, has_report=False)
    return path


def unpacked(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def every_form(name: str, data: bytes) -> list[bytes]:
    """A file's bytes, in lower case, and what is encoded in them."""
    forms = [data, name.encode()]
    if name.endswith((".html", ".svg", ".md", ".json", ".jsonl", ".toml", ".txt")):
        text = data.decode()
        forms += [base64.b64decode(found) for found in re.findall(r"base64,([A-Za-z0-9+/=]+)", text)]
        forms.append(re.sub(r"\\u([0-9a-fA-F]{4})", lambda match: chr(int(match.group(1), 16)), text).encode())
        forms.append(re.sub(r"&#(\d+);", lambda match: chr(int(match.group(1))), text).encode())
        forms.append(text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&").encode())
        forms.append(text.replace("\\", "").encode())
    return forms + [form.lower() for form in forms]
