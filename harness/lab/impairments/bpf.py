"""Two small BPF programs, as instructions, and the bpf(2) call: no compiler, no library.

A program is attached by a link, which ends with the process that holds it: a killed run blocks nobody.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct

from harness.errors import LabError, errno_text

_SYSCALL = {"x86_64": 321, "aarch64": 280, "riscv64": 280, "loongarch64": 280, "ppc64le": 361, "s390x": 351}
_MAP_CREATE, _MAP_LOOKUP, _PROG_LOAD, _LINK_CREATE = 0, 1, 5, 28
_ARRAY = 2
_CGROUP_SKB, _CGROUP_SOCK_ADDR = 8, 18
INET_INGRESS, UDP4_SENDMSG, UDP6_SENDMSG = 0, 14, 15
"""Where a program stands (enum bpf_attach_type)."""

_LOAD_BYTE, _LOAD_WORD = 0x71, 0x61
_MOVE, _MOVE_TO, _ADD, _AND = 0xB7, 0xBF, 0x07, 0x57
_IF_EQUAL, _IF_NOT_EQUAL, _IF_ABOVE, _JUMP = 0x15, 0x55, 0x2D, 0x05
_STORE_WORD, _ATOMIC_ADD, _LOAD_MAP, _CALL, _EXIT = 0x62, 0xDB, 0x18, 0x85, 0x95
_MAP_LOOKUP_ELEM, _SET_RETVAL = 1, 187
_USER_IP4, _USER_IP6 = 4, 8  # struct bpf_sock_addr
_DATA, _DATA_END = 76, 80  # struct __sk_buff
_libc = ctypes.CDLL(None, use_errno=True)


def refuse_multicast(ip_version: int, errno: int) -> bytes:
    """Return the program that ends sends to IPv4 or IPv6 groups with an errno; 8 instructions of 8 bytes."""
    offset, mask, prefix = (_USER_IP4, 0xF0, 0xE0) if ip_version == 4 else (_USER_IP6, 0xFF, 0xFF)
    return b"".join(
        (
            _one(_LOAD_BYTE, 2, 1, offset),  # the first byte of the destination
            _one(_MOVE, 0, value=1),
            _one(_AND, 2, value=mask),
            _one(_IF_NOT_EQUAL, 2, offset=3, value=prefix),
            _one(_MOVE, 1, value=-errno),
            _one(_CALL, value=_SET_RETVAL),
            _one(_MOVE, 0, value=0),
            _one(_EXIT),
        )
    )


def deafen_to_multicast(map_fd: int) -> bytes:
    """Return the program that delivers nothing sent to a group, and counts that in the first value of a map."""
    return b"".join(
        (
            _one(_LOAD_WORD, 2, 1, _DATA),
            _one(_LOAD_WORD, 3, 1, _DATA_END),
            _one(_MOVE_TO, 4, 2),
            _one(_ADD, 4, value=25),
            _one(_IF_ABOVE, 4, 3, 20),  # shorter than any IP header with a payload: deliver
            _one(_LOAD_BYTE, 5, 2, 0),
            _one(_AND, 5, value=0xF0),
            _one(_IF_EQUAL, 5, offset=4, value=0x60),  # IPv6
            _one(_LOAD_BYTE, 5, 2, 16),  # destination of IPv4
            _one(_AND, 5, value=0xF0),
            _one(_IF_NOT_EQUAL, 5, offset=14, value=0xE0),
            _one(_JUMP, offset=2),
            _one(_LOAD_BYTE, 5, 2, 24),  # destination of IPv6
            _one(_IF_NOT_EQUAL, 5, offset=11, value=0xFF),
            _one(_STORE_WORD, 10, offset=-4, value=0),  # key 0
            _one(_MOVE_TO, 2, 10),
            _one(_ADD, 2, value=-4),
            _one(_LOAD_MAP, 1, 1, value=map_fd),
            _one(0),  # its upper half
            _one(_CALL, value=_MAP_LOOKUP_ELEM),
            _one(_IF_EQUAL, 0, offset=2, value=0),
            _one(_MOVE, 1, value=1),
            _one(_ATOMIC_ADD, 0, 1),
            _one(_MOVE, 0, value=0),
            _one(_EXIT),
            _one(_MOVE, 0, value=1),
            _one(_EXIT),
        )
    )


def _one(code: int, to: int = 0, source: int = 0, offset: int = 0, value: int = 0) -> bytes:
    """Return an instruction (struct bpf_insn)."""
    return struct.pack("=BBhi", code, source << 4 | to if struct.pack("=H", 1)[0] else to << 4 | source, offset, value)


def make_counter() -> int:
    """Return the descriptor of a map that holds one 64-bit count.

    Raises:
      LabError: no BPF here, or no permission.
    """
    return _bpf(_MAP_CREATE, struct.pack("=IIIII", _ARRAY, 4, 8, 1, 0), "make a BPF map")


def read_counter(map_fd: int) -> int:
    """Return the count in a map.

    Raises:
      LabError: it cannot be read.
    """
    key, value = ctypes.create_string_buffer(4), ctypes.create_string_buffer(8)
    attributes = struct.pack("=IIQQQ", map_fd, 0, ctypes.addressof(key), ctypes.addressof(value), 0)
    _bpf(_MAP_LOOKUP, attributes, "read a BPF map")
    return int.from_bytes(value.raw, "little" if struct.pack("=H", 1)[0] else "big")


def load(program: bytes, attach_type: int) -> int:
    """Return the descriptor of a loaded program.

    Raises:
      LabError: the kernel's verifier refuses it, or there is no permission.
    """
    kind = _CGROUP_SKB if attach_type == INET_INGRESS else _CGROUP_SOCK_ADDR
    code, license_name = ctypes.create_string_buffer(program, len(program)), ctypes.create_string_buffer(b"GPL")
    attributes = struct.pack(
        "=IIQQIIQII16sII",
        kind,
        len(program) // 8,
        ctypes.addressof(code),
        ctypes.addressof(license_name),
        0,
        0,
        0,
        0,
        0,
        b"harness_block",
        0,
        attach_type,
    )
    return _bpf(_PROG_LOAD, attributes, "load a BPF program")


def attach(program_fd: int, cgroup_fd: int, attach_type: int) -> int:
    """Attach a program to a cgroup and return the link; closing it detaches.

    Raises:
      LabError: the kernel refuses.
    """
    attributes = struct.pack("=IIII", program_fd, cgroup_fd, attach_type, 0)
    return _bpf(_LINK_CREATE, attributes, "attach a BPF program to a cgroup")


def _bpf(command: int, attributes: bytes, what: str) -> int:
    number = _SYSCALL.get(platform.machine())
    if number is None:
        raise LabError(f"cannot {what}: the number of bpf(2) on {platform.machine()} is not known here")
    buffer = ctypes.create_string_buffer(attributes, 128)
    result = int(_libc.syscall(number, command, ctypes.byref(buffer), ctypes.c_size_t(len(attributes))))
    if result < 0:
        reason = errno_text(ctypes.get_errno())
        raise LabError(f"cannot {what}: {reason}; blocking a program needs root and a kernel with CONFIG_CGROUP_BPF")
    if command != _MAP_LOOKUP:
        os.set_inheritable(result, False)
    return result
