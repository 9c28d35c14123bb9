"""Live news passes the same question as the page (A38)."""

import pytest

from server import database as db
from server.actions.gestures import react
from server.actions.posts import edit, withdraw
from server.actions.spaces import set_openness
from server.openness import Level, Visibility
from server.queries import updates
from server.viewer import Employee
from tests.cast import HERE, KESTREL, Cast, say, space

pytestmark = pytest.mark.anyio


async def news(viewer: Employee, after: int = 0) -> list[tuple[str, int]]:
    found = await updates.since(viewer, after)
    assert found is not None
    return [(update.kind, update.id) for update in found]


async def test_A38_bruno_hears_nothing_of_a_space_he_is_not_in_not_even_what_is_withdrawn(cast: Cast) -> None:
    cevennes = await space("cevennes", Level.PARTNERS, cast.alice, cast.chloe, partners=(KESTREL,))
    post = await say(cast.alice, "Un", cevennes)
    await say(cast.chloe, "Deux", cevennes, answers=post)
    await react(cast.chloe, post)
    gone = await say(cast.alice, "Trois", cevennes)
    await withdraw(cast.alice, gone)
    assert await news(cast.bruno) == []
    assert {kind for kind, _ in await news(cast.alice)} == {"new", "reacted", "withdrawn"}


async def test_what_is_not_for_bruno_alone_is_not_told_when_it_is_withdrawn(cast: Cast) -> None:
    secret = await say(cast.alice, "@odile", visibility=Visibility.DIRECT)
    await withdraw(cast.alice, secret)
    assert await news(cast.bruno) == []


async def test_news_of_before_a_space_closed_is_not_replayed_to_those_outside(cast: Cast) -> None:
    team = await space("equipe", Level.INTERNAL, cast.alice)
    post = await say(cast.alice, "Un", team)
    assert await news(cast.bruno) == [("new", post)]
    await set_openness(cast.alice, team, Level.CLOSED)
    assert await news(cast.bruno) == []


async def test_a_page_that_was_away_is_told_what_it_missed_and_only_that(cast: Cast) -> None:
    first = await say(cast.alice, "Un")
    row = await db.fetch_one("SELECT MAX(id) AS id FROM event")
    assert row is not None
    await edit(cast.alice, first, "Un, mieux", HERE)
    reply = await say(cast.odile, "Deux", answers=first)
    assert await news(cast.bruno, row["id"]) == [("edited", first), ("new", reply)]
    (update,) = await updates.told(cast.odile, [("post_published", reply, None), ("link_offered", reply, None)])
    assert (update.answers, update.root, update.mine) == (first, first, True)


async def test_after_too_much_a_page_is_told_to_read_again(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(updates, "MOST_REPLAYED", 1)
    await say(cast.alice, "Un")
    await say(cast.alice, "Deux")
    assert await updates.since(cast.bruno, 0) is None
