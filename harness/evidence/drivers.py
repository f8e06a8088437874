"""The driver behind each interface, as the kernel names it to ethtool(8)."""

from __future__ import annotations

import ctypes
import fcntl
import socket
import struct

_SIOCETHTOOL = 0x8946
_ETHTOOL_GDRVINFO = 3
_DRVINFO = struct.Struct("=I32s32s32s32s32s12s5I")
"""`struct ethtool_drvinfo`: command, driver, version, firmware, bus, and what is of no use here."""


def drivers() -> dict[str, dict[str, str]]:
    """Return driver, its version, firmware and place on the bus by interface; one without a driver is left out."""
    found = {}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:  # belongs to the namespace of this very thread
        for _, name in socket.if_nameindex():
            told = _ask(asker, name)
            if told:
                found[name] = told
    return found


def _ask(asker: socket.socket, name: str) -> dict[str, str]:
    buffer = ctypes.create_string_buffer(struct.pack("=I", _ETHTOOL_GDRVINFO), _DRVINFO.size)
    request = struct.pack("16sP16x", name.encode(), ctypes.addressof(buffer))  # struct ifreq: name, ifr_data
    try:
        fcntl.ioctl(asker, _SIOCETHTOOL, request)
    except OSError:
        return {}
    _, *texts = _DRVINFO.unpack(buffer.raw)[:5]
    names = ("driver", "version", "firmware", "bus")
    values = [text.split(b"\0")[0].decode(errors="replace") for text in texts]
    return {name: value for name, value in zip(names, values, strict=True) if value}
