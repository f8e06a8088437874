"""A router's process forwards, is withdrawn and comes back, and ends with the program that started it."""

from collections.abc import Iterator

import pytest
import trio
from impairment_lab import Listener, Speaker, SwitchLab, only_route, wait_until
from netns import Namespace, cable, namespaces

from harness.errors import LabError
from harness.lab.impairments import apply
from harness.lab.router import Router
from harness.model.lab import MulticastRoute, Unroute

pytestmark = pytest.mark.lab
GROUP4, GROUP6 = "239.255.17.1", "ff15::17:1"
ROUTES = (
    only_route("rx0", ["router:tx1"], "10.77.0.1", GROUP4),
    only_route("router:rx0", ["tx1"], "fd77::1", GROUP6),
)


@pytest.fixture
def chain() -> Iterator[dict[str, Namespace]]:
    """tx - router - rx; the router's ends are rx0 (10.77.0.2) and tx1 (10.78.0.1)."""
    with namespaces(3) as (tx, router, rx):
        cable(tx, router, 0)
        cable(router, rx, 1)
        yield {"tx": tx, "router": router, "rx": rx}


class RoutedLab(SwitchLab):
    """What an Unroute asks of a lab."""

    def __init__(self, router: Router) -> None:
        self.routers = {"router": router}
        self.log = []


def listen(space: Namespace, group: str) -> Listener:
    return Listener(space, group, "rx1")


def speak(space: Namespace, group: str, ttl: int) -> Speaker:
    speaker = Speaker(space, group, "tx0")
    level, option = (41, 18) if ":" in group else (0, 33)  # IPV6_MULTICAST_HOPS, IP_MULTICAST_TTL
    speaker.sock.setsockopt(level, option, ttl)
    return speaker


@pytest.mark.parametrize("group", [GROUP4, GROUP6])
async def test_what_a_router_withdraws_is_a_gap_and_what_has_no_hop_left_never_comes(
    chain: dict[str, Namespace], group: str
) -> None:
    listener, near, far = (
        listen(chain["rx"], group),
        speak(chain["tx"], group, 1),
        speak(chain["tx"], group, 2),
    )
    async with Router(chain["router"].name) as router:
        for route in ROUTES:
            before_ns, after_ns = await router.add(route)
            assert 0 < after_ns - before_ns < 50_000_000
        wait_until(lambda: far.errno() == 0 and listener.heard(), "the first probe beyond the router")
        near.say(range(3))
        assert listener.heard() == []
        lab = RoutedLab(router)
        applied = await apply(Unroute(router="router"), lab, log=lab.log.append)
        far.say(range(3, 6))
        assert (listener.heard(), router.routes) == ([], [])
        await applied.undo()
        far.say(range(6, 8))
        assert (listener.heard(), router.routes) == ([6, 7], list(ROUTES))
        assert [record["do"] for record in lab.log] == ["apply", "undo"]
    far.say(range(8, 9))
    assert listener.heard() == []
    for used in (listener, near, far):
        used.close()


async def test_what_the_kernel_refuses_is_one_line(chain: dict[str, Namespace]) -> None:
    async with Router(chain["router"].name) as router:
        with pytest.raises(LabError, match=r"cannot add a route: .*eth9"):
            await router.add(MulticastRoute(group=GROUP4, source="10.77.0.1", incoming="eth9", outgoing=["tx1"]))
        await router.add(ROUTES[0])
        async with Router(chain["router"].name) as second:
            with pytest.raises(LabError, match="Address already in use"):
                await second.add(ROUTES[0])


async def test_a_router_that_died_is_told(chain: dict[str, Namespace]) -> None:
    async with Router(chain["router"].name) as router:
        assert router._process is not None
        router._process.kill()
        with trio.fail_after(5):
            await router._process.wait()
            with pytest.raises(LabError, match="gives no answer"):
                await router.add(ROUTES[0])
