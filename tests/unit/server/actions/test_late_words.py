"""What comes late was written for those for whom its space was open when it was said, not when it comes (I5)."""

from dataclasses import replace

import pytest

from server import clock
from server import database as db
from server.actions import own_words
from server.actions.arriving import Arrived, receive
from server.actions.openness import Door, How, adjust
from server.actions.own_words import Again
from server.actions.spaces import set_openness
from server.clock import now_ms
from server.ids import new_id
from server.openness import Level, PartnerView
from server.queries import posts
from server.viewer import Operator
from tests import cast as company
from tests.cast import HERE, KESTREL


@pytest.fixture
async def cast(database: str) -> company.Cast:
    return await company.gather()


@pytest.mark.anyio
async def test_I5_what_comes_after_its_space_was_widened_is_not_for_those_who_read_it_since(cast: company.Cast) -> None:
    """From a partner that could not be reached, and what our own said before our database was put back."""
    there = await company.space("projet", Level.PARTNERS, cast.alice, cast.chloe, partners=(KESTREL,))
    how = How(Door.PAGE)
    await adjust(cast.alice, there, how, lambda policy: replace(policy, partner_view=PartnerView.BLIND))
    before = now_ms()
    try:
        clock.turn(lambda: before + 10)
        await adjust(cast.alice, there, how, lambda policy: replace(policy, partner_view=PartnerView.EVERYONE))
        await set_openness(Operator(), there, Level.NETWORK)
        clock.turn(lambda: before + 20)
        await _comes_late(cast, there, before)
    finally:
        clock.turn(None)


async def _comes_late(cast: company.Cast, there: int, before: int) -> None:

    async def late(at: int) -> list[int]:
        number = new_id()
        told = Arrived(f"https://{KESTREL}/posts/{number}", "<p>entre nous</p>", at)
        ours = Again(new_id(), number, HERE.post(number), cast.alice.actor_id, there, "<p>entre nous</p>", at)
        await own_words.published(ours)
        return [await receive(cast.chloe, cast.chloe.actor_id, told, there), number]

    hidden, since = await late(before), await late(now_ms())
    for who, read in ((cast.alice, {*hidden, *since}), (cast.bruno, {*since})):
        assert await posts.readable(who, [*hidden, *since]) == read
    stamps = await db.fetch("SELECT stamp, stamp_epoch, stamp_blind FROM post ORDER BY published_at, id")
    assert [(row["stamp"], row["stamp_blind"]) for row in stamps[:2]] == [("invited", True)] * 2
    assert stamps[0]["stamp_epoch"] < stamps[2]["stamp_epoch"]
    opened = How(Door.PAGE, past=True)
    await adjust(Operator(), there, opened, lambda policy: replace(policy, seats=40))
    again = await late(before)
    assert await posts.readable(cast.bruno, again) == {*again}, "what was then was opened since"
