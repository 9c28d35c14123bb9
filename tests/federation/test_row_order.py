"""Many instances are numbered, leased and written of at once: on PostgreSQL nobody waits for another in a circle."""

import asyncio
import random
from collections.abc import Coroutine
from typing import Any

import pytest

from federation.outbox import _numbered
from federation.schedule import Decision, Fate, State
from federation.sending import Peer, _Result, _settle, _Settled, lease
from server import database as db
from server.clock import now_ms
from server.ids import new_id

pytestmark = pytest.mark.anyio


async def test_who_changes_many_instances_at_once_takes_them_in_one_order(database: str) -> None:
    ids = [new_id() for _ in range(60)]
    row = {"base_url": "https://p.test", "created_at": 0}
    await db.insert_many("peer", [{"id": one, "host": f"h{one}.test", **row} for one in ids])
    rests = Decision(State.BACKOFF, now_ms(), "busy", Fate.RETRY, 1, now_ms())

    def settled(one: int) -> _Settled:
        peer = Peer(
            id=one,
            host=f"h{one}.test",
            state="ok",
            failures=1,
            failing_since_at=None,
            last_ok_at=None,
            knock="",
            linked=False,
        )
        return _Settled(peer, [_Result({"id": 0, "attempts": 0}, "pending", "", rests)], "w")

    async def numbered(wanted: dict[int, int]) -> None:
        async with db.transaction():
            await _numbered(wanted)

    def act(number: int) -> Coroutine[Any, Any, Any]:
        some = random.sample(ids, 40)
        if number % 3 == 0:
            return numbered(dict.fromkeys(some, 1))
        if number % 3 == 1:
            return lease(some, "w", now_ms(), now_ms() + 1000)
        return _settle([settled(one) for one in some])

    for _ in range(10):
        await asyncio.gather(*(act(number) for number in range(9)))
    [counted] = await db.fetch("SELECT SUM(last_seq) AS n FROM peer")
    assert counted["n"] == 10 * 3 * 40
