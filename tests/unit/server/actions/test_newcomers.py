"""When what an instance holds of a space is compared, so that its people find there what was before them."""

import pytest

from server import database as db
from server.actions import join_requests, membership
from server.clock import now_ms
from server.openness import Level
from tests import cast as company
from tests.cast import HERE, KESTREL


@pytest.fixture
async def cast(database: str) -> company.Cast:
    return await company.gather()


async def due() -> list[int]:
    """When a comparison is to be, if one is; it is over then, as at that moment."""
    rows = await db.fetch("SELECT resync_at FROM stream WHERE resync_at IS NOT NULL")
    await db.execute("UPDATE stream SET compared_at = resync_at, resync_at = NULL WHERE resync_at IS NOT NULL")
    return [row["resync_at"] for row in rows]


@pytest.mark.anyio
async def test_I3_whoever_a_steward_lets_in_is_told_the_past_as_who_comes_by_themselves(cast: company.Cast) -> None:
    """Of an instance that no space names, people ask and are admitted."""
    there = await company.space("reseau", Level.NETWORK, cast.alice)
    await join_requests.asked(cast.chloe, HERE.space("reseau"), "https://kestrel.test/joins/1")
    assert await due() == [], "only asked so far"
    assert await membership.add(cast.alice, there, cast.chloe.actor_id) == "member"
    assert len(await due()) == 1


@pytest.mark.anyio
async def test_nobody_has_a_database_compared_again_and_again_by_coming_in_again(cast: company.Cast) -> None:
    await company.space("reseau", Level.NETWORK, cast.alice, partners=(KESTREL,))
    uri, began = HERE.space("reseau"), now_ms()
    found: list[int] = []
    for number in range(3):
        await join_requests.asked(cast.chloe, uri, f"https://kestrel.test/joins/{number}")
        found += await due()
        await membership.left(cast.chloe, uri)
    assert [round((at - began) / 60_000) for at in found] == [0, 1, 2]
    await db.execute("UPDATE stream SET compared_at = compared_at - 3600000")
    again = now_ms()
    await join_requests.asked(cast.chloe, uri, "https://kestrel.test/joins/4")
    [at] = await due()
    assert again <= at <= now_ms(), "after an hour at once"
    await join_requests.asked(cast.driss, uri, "https://kestrel.test/joins/5")
    assert await due() == [], "what others of theirs may read is there"
    await join_requests.asked(cast.driss, uri, "https://kestrel.test/joins/6")
    assert len(await due()) == 1, "who is in and asks had been lost there, and what was told them refused"
