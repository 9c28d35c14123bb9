"""Of a space elsewhere, one of ours reads what its host dates since they came, not what others were told (RR2)."""

import pytest

from server import database as db
from server.actions.arriving import Arrived, receive
from server.actions.spaces import SpaceElsewhere, mirror
from server.clock import now_ms
from server.errors import NotFound
from server.openness import Level
from server.queries import posts, timelines
from server.queries.timelines import Window
from tests import cast as company
from tests.cast import KESTREL, Cast


async def told(cast: Cast, space_id: int, number: int) -> int:
    arrived = Arrived(f"https://{KESTREL}/posts/{number}", f"<p>{number}</p>", now_ms())
    return await receive(cast.kestrel, cast.chloe.actor_id, arrived, space_id)


@pytest.mark.anyio
@pytest.mark.parametrize(("level", "reads"), [(Level.PARTNERS, False), (Level.PUBLIC, True)])
async def test_who_comes_later_does_not_read_what_the_host_told_those_before(
    cast: Cast, level: Level, reads: bool
) -> None:
    group = await company.stranger("projet", "Projet", KESTREL)
    shown = SpaceElsewhere(group.actor_id, "projet", KESTREL, "Projet", "", level, newcomers_from=5 if reads else None)
    there = await mirror(cast.kestrel, shown)
    await company.enter(there, cast.alice)
    before = await told(cast, there, 1)
    await company.enter(there, cast.bruno)
    await db.execute("UPDATE membership SET since_at = $1 WHERE actor_id = $2", now_ms() + 5, cast.bruno.actor_id)
    await db.execute("UPDATE membership SET since_at = $1 WHERE actor_id = $2", 0, cast.alice.actor_id)
    assert (await posts.find(cast.alice, before)).id == before
    listed = [post.id for post in await timelines.of_space(cast.bruno, there, Window())]
    assert listed == ([before] if reads else [])
    if reads:
        assert (await posts.find(cast.bruno, before)).id == before
    else:
        with pytest.raises(NotFound):
            await posts.find(cast.bruno, before)
    await db.execute("UPDATE membership SET since_at = $1 WHERE actor_id = $2", now_ms() - 5, cast.bruno.actor_id)
    after = await told(cast, there, 2)
    assert (await posts.find(cast.bruno, after)).id == after
    assert after in [post.id for post in await timelines.of_space(cast.bruno, there, Window())]


@pytest.mark.anyio
async def test_I3_who_has_just_come_in_reads_what_they_say_whatever_the_time_is_at_the_host(cast: Cast) -> None:
    """Its clock is a little ahead, or not known yet; whoever it dates from is in, and reads the answers."""
    group = await company.stranger("projet", "Projet", KESTREL)
    shown = SpaceElsewhere(group.actor_id, "projet", KESTREL, "Projet", "", Level.PARTNERS)
    there = await mirror(cast.kestrel, shown)
    came = now_ms() + 20_000
    for who, at in ((cast.alice, came), (cast.bruno, came + 5)):
        await company.enter(there, who)
        await db.execute("UPDATE membership SET since_at = $1 WHERE actor_id = $2", at, who.actor_id)
    said = await company.say(cast.alice, "bonjour", there)
    assert (await posts.find(cast.alice, said)).facts.published_at == came
    with pytest.raises(NotFound):
        await posts.find(cast.bruno, said)
    told = Arrived(f"https://{KESTREL}/posts/7", "<p>?</p>", came + 9)
    asked = await receive(cast.kestrel, cast.chloe.actor_id, told, there)
    answer = await company.say(cast.alice, "réponse", there, answers=asked)
    assert (await posts.find(cast.bruno, answer)).facts.published_at == came + 9
