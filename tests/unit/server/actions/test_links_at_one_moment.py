"""Two take a step of one link at one moment: the second sees what the first did."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from server import database as db
from server.actions import link_keys, links
from server.viewer import Operator
from tests.bench.link import peer
from tests.unit.server.actions.test_withdrawn_meanwhile import somebody_waits

pytestmark = pytest.mark.anyio

HOST = "kestrel.test"
Step = Callable[[int], Coroutine[Any, Any, Any]]

STEPS: dict[str, tuple[str, Step, Step, str]] = {
    "both confirm": (
        "confirmed",
        lambda peer_id: links.confirmed(peer_id),
        lambda peer_id: links.confirm(Operator(), HOST),
        "active",
    ),
    "suspended, and a new key comes": (
        "active",
        lambda peer_id: links.suspend(Operator(), HOST),
        lambda peer_id: link_keys.rekeyed(peer_id, f"https://{HOST}/actor#2", "new"),
        "suspended",
    ),
    "ended, and suspended": (
        "active",
        lambda peer_id: links.ended(peer_id, ""),
        lambda peer_id: links.suspend(Operator(), HOST),
        "ended",
    ),
}


@pytest.mark.parametrize("name", STEPS)
async def test_who_takes_a_step_while_another_is_taken_sees_where_that_led(database: str, name: str) -> None:
    state, first, second, becomes = STEPS[name]
    peer_id = await peer(f"https://{HOST}", linked=True)
    await db.execute("UPDATE peer SET host = $1", HOST)
    await db.execute("UPDATE link SET state = $1, their_key = 'old', their_key_uri = 'https://x/actor#1'", state)
    taken, go_on = asyncio.Event(), asyncio.Event()

    async def take_first() -> None:
        async with db.transaction():
            await first(peer_id)
            taken.set()
            await go_on.wait()

    one = asyncio.create_task(take_first())
    await taken.wait()
    other = asyncio.create_task(second(peer_id))
    for _ in range(2000):
        if await somebody_waits() or other.done():
            break
        await asyncio.sleep(0.005)
    go_on.set()
    await asyncio.gather(one, other, return_exceptions=True)
    [link] = await db.fetch("SELECT state FROM link")
    assert link["state"] == becomes
