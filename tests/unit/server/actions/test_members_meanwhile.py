"""Somebody comes into a space, or goes, while it closes, fills up or lets somebody go: as if either had waited."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import pytest

from server import database as db
from server.actions import join_requests, membership
from server.actions.openness import Door, How, adjust
from server.actions.spaces import set_openness
from server.errors import Conflict, DomainError, NotFound
from server.openness import Level
from tests.cast import HERE, KESTREL, Cast, enter, gather, space
from tests.unit.server.actions.test_withdrawn_meanwhile import somebody_waits

pytestmark = pytest.mark.anyio
Verb = Callable[[Cast, int], Coroutine[Any, Any, Any]]


def comes_in(cast: Cast, team: int) -> Coroutine[Any, Any, Any]:
    return join_requests.asked(cast.chloe, HERE.space("team"), "https://kestrel.test/joins/1")


async def closes(cast: Cast, team: int) -> None:
    await set_openness(cast.alice, team, Level.CLOSED)


async def takes_the_last_seat(cast: Cast, team: int) -> None:
    await membership.add(cast.alice, team, cast.odile.actor_id)


CASES: dict[str, tuple[Verb, Verb, type[DomainError] | None]] = {
    "a space closes": (closes, comes_in, NotFound),
    "an invitation is taken back": (
        lambda cast, team: membership.remove(cast.alice, team, cast.chloe.actor_id),
        comes_in,
        None,
    ),
    "the last seat is taken": (takes_the_last_seat, comes_in, Conflict),
    "the other owner leaves": (
        lambda cast, team: membership.leave(cast.alice, team),
        lambda cast, team: membership.leave(cast.bruno, team),
        Conflict,
    ),
}


@pytest.mark.parametrize("meanwhile", CASES)
async def test_whoever_comes_or_goes_meets_the_space_as_it_is_by_then(database: str, meanwhile: str) -> None:
    cast = await gather()
    first, second, refused = CASES[meanwhile]
    team = await space("team", Level.PARTNERS, cast.alice, partners=(KESTREL,))
    await enter(team, cast.bruno, role="owner")
    await enter(team, cast.chloe, state="invited")
    await adjust(cast.alice, team, How(Door.PAGE), lambda policy: replace(policy, seats=3))
    done, go_on = asyncio.Event(), asyncio.Event()

    async def at_work() -> None:
        async with db.transaction():
            await first(cast, team)
            done.set()
            await go_on.wait()

    working = asyncio.create_task(at_work())
    await done.wait()
    coming = asyncio.create_task(second(cast, team))
    for _ in range(2000):
        if await somebody_waits() or coming.done():
            break
        await asyncio.sleep(0.005)
    go_on.set()
    await working
    if refused is None:
        await coming
    else:
        with pytest.raises(refused):
            await coming
    rows = await db.fetch("SELECT actor_id, role FROM membership WHERE space_id = $1 AND state = 'member'", team)
    assert cast.chloe.actor_id not in {row["actor_id"] for row in rows}
    assert any(row["role"] == "owner" for row in rows) and len(rows) <= 3
