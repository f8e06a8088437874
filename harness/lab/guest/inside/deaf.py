"""Makes the sockets of this guest's services deaf to multicast from their birth; only reopening them helps.

The kernel drops what comes for groups to sockets that were opened in the services' cgroup. A socket keeps the cgroup
that it was born in, so when the receiver has opened its first sockets and is moved out, those stay deaf and later ones
hear.
Runs in the guest, by path, so that little is loaded.
"""

from __future__ import annotations

import importlib.util
import json
import os
import time
from pathlib import Path
from typing import Any

CGROUPS = Path("/sys/fs/cgroup")
SERVICES = CGROUPS / "system.slice"
READY = Path("/run/deaf")
SETTLE_S = 1.0
"""So long after its first socket a receiver is moved: sockets that it opens together share their fate."""

_BPF = Path(__file__).parents[2] / "impairments" / "bpf.py"


def load_bpf() -> Any:
    """Return the lab's module of BPF programs without loading its package."""
    spec = importlib.util.spec_from_file_location("lab_bpf", _BPF)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def group_inodes(udp: str) -> set[str]:
    r"""Return the inodes of sockets that are bound to an IPv4 group, from the text of /proc/net/udp.

    >>> group_inodes("head\n 1: 0707FFEF:13D5 00000000:0000 07 0:0 0:0 0 0 0 4711 2 x 0")
    {'4711'}
    """
    rows = [line.split() for line in udp.splitlines()[1:]]
    return {row[9] for row in rows if 0xE0 <= int(row[1].partition(":")[0][-2:], 16) <= 0xEF}


def owners(inodes: set[str]) -> set[int]:
    """Return the processes that hold sockets with these inodes."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            target = os.readlink(path)
        except OSError:
            continue
        if target.startswith("socket:[") and target[8:-1] in inodes:
            found.add(int(path.parts[2]))
    return found


def main() -> None:
    """Attach the program, wait for a receiver, move it out; the program stays attached until the guest is off."""
    bpf = load_bpf()
    SERVICES.mkdir(exist_ok=True)
    counter = bpf.make_counter()
    program = bpf.load(bpf.deafen_to_multicast(counter), bpf.INET_INGRESS)
    held = bpf.attach(program, os.open(SERVICES, os.O_RDONLY | os.O_DIRECTORY), bpf.INET_INGRESS)
    READY.touch()
    while not (inodes := group_inodes(Path("/proc/net/udp").read_text())):
        time.sleep(0.05)
    time.sleep(SETTLE_S)
    for process in owners(inodes):
        (CGROUPS / "cgroup.procs").write_text(str(process))
    line = json.dumps({"event": "deaf", "n_dropped": bpf.read_counter(counter)}) + "\n"
    Path("/dev/ttyS1").write_text(line)
    while held:
        time.sleep(3600)


if __name__ == "__main__":
    main()
