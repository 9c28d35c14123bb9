"""A space has as many members as its owner said, and a partner as many in it."""

from dataclasses import replace

import pytest

from server import database as db
from server.actions import join_requests
from server.actions.openness import Door, How, adjust
from server.errors import Conflict
from server.openness import Level
from server.space_policy import PartnerTerms
from tests import cast as company
from tests.cast import HERE, KESTREL


@pytest.fixture
async def cast(database: str) -> company.Cast:
    return await company.gather()


@pytest.mark.anyio
async def test_nobody_comes_into_a_full_space_and_one_more_seat_lets_one_more_in(cast: company.Cast) -> None:
    team = await company.space("team", Level.INTERNAL, cast.alice)
    how = How(Door.PAGE)
    await adjust(cast.alice, team, how, lambda policy: replace(policy, seats=1))
    with pytest.raises(Conflict):
        await join_requests.join(cast.bruno, team)
    await adjust(cast.alice, team, how, lambda policy: replace(policy, seats=2))
    assert await join_requests.join(cast.bruno, team) == "member"
    assert await join_requests.join(cast.bruno, team) == "member"  # who is in takes no second seat


@pytest.mark.anyio
async def test_a_partner_has_its_own_seats(cast: company.Cast) -> None:
    team = await company.space("team", Level.PARTNERS, cast.alice, cast.driss, partners=(KESTREL,))
    terms = (PartnerTerms(KESTREL, people_max=1),)
    await adjust(cast.alice, team, How(Door.PAGE), lambda policy: replace(policy, partners=terms))
    await company.enter(team, cast.chloe, state="invited")
    uri = HERE.space("team")
    with pytest.raises(Conflict):
        await join_requests.asked(cast.chloe, uri, "https://kestrel.test/joins/1")
    rows = await db.fetch("SELECT actor_id FROM membership WHERE space_id = $1 AND state = 'member'", team)
    assert {row["actor_id"] for row in rows} == {cast.alice.actor_id, cast.driss.actor_id}
