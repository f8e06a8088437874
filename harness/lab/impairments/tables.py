"""An nftables table that belongs to one impairment.

It is made without effect at first: registering a hook with the kernel takes up to milliseconds. Then one transaction
adds the rules, which is the moment that counts; one takes them out; and the table is removed by name.
"""

from __future__ import annotations

import itertools
import re
from typing import Any, Literal

from harness.errors import LabError
from harness.lab.commands import run_json
from harness.lab.impairments.applied import Counts
from harness.lab.impairments.moment import Deeds, Script, run_script

_numbers = itertools.count(1)


def next_number() -> int:
    """Return a number that no other impairment of this process has."""
    return next(_numbers)


class Table:
    """One table with its chains and counters.

    Attributes:
      family: "netdev" for the hooks of an interface, "inet" for those of the IP layers.
      name: from the namespace's, and a number.
    """

    def __init__(self, namespace: str, family: Literal["netdev", "inet"], number: int) -> None:
        self.namespace, self.family = namespace, family
        self.name = f"{re.sub('[^A-Za-z0-9_]', '_', namespace)}_{number}"
        if not self.name[0].isalpha():
            self.name = f"n{self.name}"
        self._final: Counts | None = None

    async def make(self, deeds: Deeds, body: list[str], effects: list[str]) -> None:
        """Make the table with this body, and then put it in force.

        Args:
          deeds: the truth log.
          body: chains, sets and counters, these named c_ and what they count. Chains at hooks are empty.
          effects: "rule CHAIN ..." and "element SET ...", added at the moment that is logged.

        Raises:
          LabError: nft is missing or refuses; nothing stays.
        """
        await run_script(Script("nft", self.namespace, (f"table {self.family} {self.name} {{", *body, "}")))
        lines = tuple(
            f"add {kind} {self.family} {self.name} {rest}"
            for kind, _, rest in (line.partition(" ") for line in effects)
        )
        try:
            await deeds.enact("apply", Script("nft", self.namespace, lines), recipe=body)
        except LabError:
            await self._delete()
            raise

    async def remove(self, deeds: Deeds) -> None:
        """Take the rules out, which is the moment that counts; read the counters, which stand still now; remove all.

        Raises:
          LabError: nft refuses.
        """
        await deeds.enact("undo", Script("nft", self.namespace, (f"flush table {self.family} {self.name}",)))
        self._final = await self._read()
        await self._delete()

    async def _delete(self) -> None:
        await run_script(Script("nft", self.namespace, (f"delete table {self.family} {self.name}",)))

    async def counts(self) -> Counts:
        """Return the packets of each counter that is not 0, by the name after c_, "_" read as a space.

        Raises:
          LabError: nft refuses.
        """
        return dict(self._final) if self._final is not None else await self._read()

    async def _read(self) -> Counts:
        found: Any = await run_json(
            "ip", "netns", "exec", self.namespace, "nft", "-j", "list", "counters", "table", self.family, self.name
        )
        try:
            counters = [item["counter"] for item in found["nftables"] if "counter" in item]
            return {
                counter["name"].removeprefix("c_").replace("_", " "): int(counter["packets"])
                for counter in counters
                if counter["packets"]
            }
        except (KeyError, TypeError) as exc:
            raise LabError(f"nft lists the counters of table {self.name} in an unknown form: {exc!r}") from exc
