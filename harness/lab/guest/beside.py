"""Tasks that live as long as a block."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from harness.errors import ungrouped


@asynccontextmanager
async def beside() -> AsyncIterator[trio.Nursery]:
    """Yield a nursery whose tasks are cancelled when the block ends; a single error leaves as itself, in no group."""
    with ungrouped():
        async with trio.open_nursery() as nursery:
            yield nursery
            nursery.cancel_scope.cancel()
