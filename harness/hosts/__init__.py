"""How to reach a host, and what runs there: one agent for a local process, a network namespace, and OpenSSH.

On the controller's side `host` starts an agent and asks it, `kinds` are the ways to get there, `fetching` brings a
recording home, `clockwork` compares clocks. On the host's side `agent` answers, `spool` keeps recordings until they
are fetched, `lifeline` and `stdio` tie it to its controller. `wire` is what both speak, `performance` what the agent
needs of whoever carries out a part; that is passed in, because it stands above this package.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.lazy import names_of

if TYPE_CHECKING:
    from harness.hosts.agent import Agent as Agent
    from harness.hosts.clockwork import Offset as Offset
    from harness.hosts.clockwork import offset_of as offset_of
    from harness.hosts.clockwork import united as united
    from harness.hosts.fetching import fetch_part as fetch_part
    from harness.hosts.host import Host as Host
    from harness.hosts.kinds import LocalHost as LocalHost
    from harness.hosts.kinds import NamespaceHost as NamespaceHost
    from harness.hosts.kinds import SshHost as SshHost
    from harness.hosts.kinds import make_host as make_host
    from harness.hosts.performance import PartStatus as PartStatus
    from harness.hosts.performance import Performance as Performance
    from harness.hosts.performance import Performer as Performer
    from harness.hosts.spool import Spool as Spool
    from harness.hosts.spool import default_root as default_root
    from harness.hosts.wire import PROTOCOL_VERSION as PROTOCOL_VERSION

_MODULES = {
    "agent": ("Agent",),
    "clockwork": ("Offset", "offset_of", "united"),
    "fetching": ("fetch_part",),
    "host": ("Host",),
    "kinds": ("LocalHost", "NamespaceHost", "SshHost", "make_host"),
    "performance": ("Performance", "Performer", "PartStatus"),
    "spool": ("Spool", "default_root"),
    "wire": ("PROTOCOL_VERSION",),
}

__getattr__, __all__ = names_of(__name__, _MODULES)
