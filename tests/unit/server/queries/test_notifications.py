"""What waits, asked again each time: what is no longer theirs to know is not there (A15, A35)."""

import pytest

from server.actions.gestures import react
from server.actions.join_requests import join
from server.actions.membership import add, leave, remove
from server.actions.notices import read_all
from server.actions.posts import withdraw
from server.actions.spaces import set_openness
from server.openness import Level
from server.queries import notifications
from tests.cast import KESTREL, Cast, say, space

pytestmark = pytest.mark.anyio


async def kinds(viewer: object) -> list[str]:
    return [row.kind for row in await notifications.waiting(viewer)]  # type: ignore[arg-type]


async def test_A35_who_left_a_space_finds_no_notice_of_it_and_no_count(cast: Cast) -> None:
    closed = await space("direction", Level.CLOSED, cast.alice, cast.bruno)
    await say(cast.alice, "@bruno un mot", closed)
    assert await kinds(cast.bruno) == ["mention"]
    await remove(cast.alice, closed, cast.bruno.actor_id)
    assert await kinds(cast.bruno) == []
    assert await notifications.unread(cast.bruno) == 0


async def test_A15_a_notice_vanishes_when_the_space_closes_before_it_is_read(cast: Cast) -> None:
    team = await space("equipe", Level.INTERNAL, cast.alice)
    await say(cast.alice, "@bruno un mot", team)
    assert await notifications.unread(cast.bruno) == 1
    await set_openness(cast.alice, team, Level.CLOSED)
    assert await kinds(cast.bruno) == []
    assert await notifications.unread(cast.bruno) == 0


async def test_a_withdrawn_post_takes_its_notices_with_it(cast: Cast) -> None:
    post = await say(cast.alice, "@bruno un mot")
    assert await kinds(cast.bruno) == ["mention"]
    await withdraw(cast.alice, post)
    assert await kinds(cast.bruno) == []


async def test_alice_is_told_what_chloe_answered_and_liked_and_not_what_she_did_herself(cast: Cast) -> None:
    cevennes = await space("cevennes", Level.PARTNERS, cast.alice, cast.chloe, partners=(KESTREL,))
    question = await say(cast.alice, "Qui ?", cevennes)
    await say(cast.chloe, "Moi.", cevennes, answers=question)
    await react(cast.chloe, question)
    await react(cast.alice, question)
    rows = await notifications.waiting(cast.alice)
    assert [(row.kind, row.by.name if row.by else "", row.space.slug if row.space else "") for row in rows] == [
        ("reaction", "chloe", "cevennes"),
        ("reply", "chloe", "cevennes"),
    ]
    assert rows[1].post is not None and rows[1].post.html == "<p>Moi.</p>"
    assert [row.id for row in await notifications.waiting(cast.alice, before=rows[0].id)] == [rows[1].id]
    await read_all(cast.alice.actor_id)
    assert await notifications.unread(cast.alice) == 0


async def test_a_request_waits_for_stewards_until_it_is_decided(cast: Cast) -> None:
    closed = await space("direction", Level.CLOSED, cast.alice, cast.odile)
    await join(cast.bruno, closed)
    assert await kinds(cast.odile) == []
    (asking,) = await notifications.waiting(cast.alice)
    assert (asking.kind, asking.open) == ("request", True)
    await add(cast.alice, closed, cast.bruno.actor_id)
    assert [row.open for row in await notifications.waiting(cast.alice)] == [False]
    await leave(cast.bruno, closed)
