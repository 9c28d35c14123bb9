"""What is kept for a time goes when it has had it, and nothing else does."""

from dataclasses import replace
from typing import Any

import pytest

from server import database as db
from server.actions import openness, retention, timers
from server.actions.openness import Door, How
from server.clock import now_ms
from server.errors import Forbidden
from server.openness import AfterClose, Level
from server.queries import policies
from server.viewer import Operator
from tests import cast as company

DAY = 24 * 3600 * 1000


@pytest.fixture
async def cast(database: str, monkeypatch: pytest.MonkeyPatch) -> company.Cast:
    monkeypatch.setattr(retention, "_next_look", 0)
    return await company.gather()


async def left(space_id: int) -> list[int]:
    rows = await db.fetch("SELECT id FROM post WHERE space_id = $1 AND deleted_at IS NULL ORDER BY id", space_id)
    return [row["id"] for row in rows]


@pytest.mark.anyio
async def test_what_is_older_than_its_space_keeps_goes_and_is_told_and_the_rest_stays(cast: company.Cast) -> None:
    short, kept = (
        await company.space("court", Level.INTERNAL, cast.alice),
        await company.space("garde", Level.INTERNAL, cast.alice),
    )
    old, new = [await company.say(cast.alice, text, short) for text in ("vieux", "neuf")]
    older = await company.say(cast.alice, "gardé", kept)
    await db.execute("UPDATE space SET retention_days = 30 WHERE id = $1", short)
    await db.execute("UPDATE post SET published_at = $1 WHERE id IN ($2, $3)", now_ms() - 31 * DAY, old, older)
    assert await retention.run_retention() == 1
    assert await retention.run_retention() == 0
    assert (await left(short), await left(kept)) == ([new], [older])
    told = await db.fetch("SELECT post_id FROM event WHERE kind = 'post_withdrawn'")
    assert [row["post_id"] for row in told] == [old]


@pytest.mark.anyio
async def test_a_closing_that_purges_leaves_nothing_once_its_time_is_over(cast: company.Cast) -> None:
    team = await company.space("fini", Level.CLOSED, cast.alice)
    post = await company.say(cast.alice, "dernier", team)
    await db.execute("UPDATE space SET after_close = 'purge', retention_days = 10, closed_at = $1", now_ms() - 9 * DAY)
    assert await retention.run_retention() == 0
    assert await left(team) == [post]
    retention._next_look = 0
    await db.execute("UPDATE space SET closed_at = $1", now_ms() - 11 * DAY)
    assert await retention.run_retention() == 1
    assert await left(team) == []


@pytest.mark.anyio
async def test_a_file_that_closes_a_space_after_its_end_freezes_it_as_the_timer_would_have(cast: company.Cast) -> None:
    """Also for the timer that comes next and finds no end any more; a space that goes on is as its owner chose."""
    over = How(Door.FILE, source="spaces.toml")
    for slug, after_close, freezes in (("gel", AfterClose.FREEZE, True), ("suite", AfterClose.KEEP, False)):
        team = await company.space(slug, Level.INTERNAL, cast.alice)
        await db.execute(
            "UPDATE space SET closes_at = $1, after_close = $2 WHERE id = $3", now_ms() - 1, after_close.value, team
        )
        await openness.adjust(Operator(), team, over, openness.ended)
        row = await db.fetch_one("SELECT closed_at, closes_at FROM space WHERE id = $1", team)
        assert row is not None
        assert (row["closed_at"] is not None, row["closes_at"]) == (freezes, None)


@pytest.mark.anyio
async def test_closing_a_space_before_its_end_freezes_nothing(cast: company.Cast) -> None:
    team = await company.space("avant", Level.INTERNAL, cast.alice)
    await db.execute("UPDATE space SET closes_at = $1 WHERE id = $2", now_ms() + DAY, team)
    await openness.adjust(Operator(), team, How(Door.FILE), openness.ended)
    assert await db.fetch_one("SELECT id FROM space WHERE closed_at IS NOT NULL") is None


@pytest.mark.anyio
@pytest.mark.parametrize("again", [{"level": Level.INTERNAL}, {"after_close": AfterClose.KEEP}], ids=["opened", "kept"])
async def test_who_opens_a_frozen_space_again_lets_its_members_write(cast: company.Cast, again: Any) -> None:
    team = await company.space("gel", Level.INTERNAL, cast.alice)
    await db.execute("UPDATE space SET closes_at = $1, after_close = 'freeze' WHERE id = $2", now_ms() - 1, team)
    await timers.run_due()
    with pytest.raises(Forbidden):
        await company.say(cast.alice, "trop tard", team)
    wanted = replace(await policies.current(team), charter="autre")
    await openness.change(cast.alice, team, wanted, How(Door.PAGE))
    with pytest.raises(Forbidden):
        await company.say(cast.alice, "encore trop tard", team)
    await openness.change(cast.alice, team, replace(wanted, **again), How(Door.PAGE))
    assert await company.say(cast.alice, "de nouveau", team)
