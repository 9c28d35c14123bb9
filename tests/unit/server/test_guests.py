"""Adding people from outside: a sponsor and an end date, or nobody is added."""

from typing import Any

import pytest

from server import database as db
from server.actions.accounts import NewPerson, add_person, end_of, extend_guest, issue_token, set_office, suspend
from server.errors import Forbidden, Invalid
from server.openness import Office
from server.queries.accounts import find_token, listed
from server.viewer import Guest, Operator
from tests.cast import HERE, Cast, gather, guest

pytestmark = pytest.mark.anyio


@pytest.fixture
async def cast(database: str) -> Cast:
    return await gather()


GOOD: dict[str, Any] = {
    "name": "gwen",
    "office": "guest",
    "sponsor": "alice",
    "until": "2099-06-30",
    "organisation": "Cabinet Ouest",
}


WRONG: list[tuple[dict[str, str], str]] = [
    ({"sponsor": ""}, "sponsor"),
    ({"sponsor": "nemo"}, "sponsor"),
    ({"sponsor": "zoe"}, "sponsor"),
    ({"sponsor": "hugo"}, "sponsor"),
    ({"until": ""}, "until"),
    ({"until": "2020-01-01"}, "until"),
    ({"until": "2099-02-30"}, "until"),
    ({"until": "demain"}, "until"),
    ({"organisation": "x" * 201}, "organisation"),
    ({"office": "member"}, "sponsor"),
    ({"office": "admin", "sponsor": "", "until": ""}, "organisation"),
]
"""Zoé left; Hugo is a guest himself."""


async def test_who_has_no_sponsor_or_no_end_is_not_added(cast: Cast) -> None:
    await guest("hugo", "Hugo", cast.alice)
    for wrong, field in WRONG:
        with pytest.raises(Invalid) as refused:
            await add_person(Operator(), NewPerson(**{**GOOD, **wrong}), HERE)
        assert refused.value.field == field, wrong
    assert await db.fetch_one("SELECT id FROM account WHERE name = 'gwen'") is None


async def test_a_guest_is_listed_with_who_answers_for_them(cast: Cast) -> None:
    await add_person(Operator(), NewPerson(**GOOD), HERE)
    row = next(row for row in await listed(Operator()) if row.name == "gwen")
    assert (row.office, row.sponsor, row.organisation) == (Office.GUEST, "alice", "Cabinet Ouest")
    assert row.until_at == end_of("2099-06-30")


async def test_their_sponsor_and_administrators_move_the_end_and_nobody_makes_them_a_colleague(cast: Cast) -> None:
    gwen = await guest("gwen", "Gwen", cast.alice)
    with pytest.raises(Forbidden):
        await extend_guest(cast.bruno, gwen.account_id, "2099-06-30")
    for viewer in (cast.alice, cast.odile):
        await extend_guest(viewer, gwen.account_id, "2099-06-30")
        with pytest.raises(Invalid):
            await extend_guest(viewer, gwen.account_id, "2001-01-01")
    with pytest.raises(Invalid):
        await extend_guest(cast.odile, cast.bruno.account_id, "2099-06-30")
    for account_id, office in ((gwen.account_id, Office.MEMBER), (cast.bruno.account_id, Office.GUEST)):
        with pytest.raises(Invalid):
            await set_office(Operator(), account_id, office)


async def test_a_token_of_a_guest_who_is_out_opens_nothing(cast: Cast) -> None:
    gwen = await guest("gwen", "Gwen", cast.alice)
    raw = await issue_token(gwen.account_id, "read write")
    viewer = await find_token(raw)
    assert isinstance(viewer, Guest)
    assert viewer.actor_id == gwen.actor_id
    await suspend(Operator(), cast.alice.account_id)
    assert await find_token(raw) is None
