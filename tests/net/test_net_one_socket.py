"""All groups on one socket, as many programs have it: the kernel's limit of memberships is then theirs to meet."""

import errno
import ipaddress
import os
import sys
from pathlib import Path

import pytest

from harness.errors import MembershipError
from harness.model import Endpoint, Membership
from harness.net import open_receiver

PORT = 20_000 + os.getpid() % 30_000


def groups(n: int) -> list[Membership]:
    return [Membership(Endpoint(ipaddress.ip_address(f"239.255.90.{place + 1}"), PORT), "lo") for place in range(n)]


def test_a_few_groups_share_one_socket_only_when_asked() -> None:
    shared = open_receiver(groups(3), one_socket=True)
    apart = open_receiver(groups(3))
    assert (len(shared), len(apart)) == (1, 3)
    assert set(shared[0].memberships) == set(groups(3))
    for socket in [*shared, *apart]:
        socket.close()


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is Linux's")
def test_one_group_beyond_the_limit_of_the_kernel_is_refused_by_name() -> None:
    limit = int(Path("/proc/sys/net/ipv4/igmp_max_memberships").read_text())
    with pytest.raises(MembershipError, match=f"239.255.90.{limit + 1}") as caught:
        open_receiver(groups(limit + 1), one_socket=True)
    assert caught.value.errno == errno.ENOBUFS
