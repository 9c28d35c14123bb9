"""Nobody reads because they administer: a reason, a second person, an end, and the members told."""

from dataclasses import replace

import pytest

from server import database as db
from server.actions import break_glass
from server.actions.spaces import set_openness
from server.clock import now_ms
from server.errors import Conflict, Forbidden, Invalid, NotFound
from server.openness import Level, Office
from server.queries import overseeing, posts, spaces, timelines
from server.queries.timelines import Window
from server.viewer import Employee, Operator
from tests import cast as company
from tests.cast import Cast, gather

WHY = "Enquête demandée par le service juridique"


@pytest.fixture
async def cast(database: str) -> Cast:
    return await gather()


async def notices(who: Employee) -> list[str]:
    rows = await db.fetch("SELECT kind FROM notice WHERE actor_id = $1 ORDER BY id", who.actor_id)
    return [row["kind"] for row in rows]


@pytest.mark.anyio
async def test_an_administrator_reads_nothing_until_a_second_person_grants_it_and_its_members_are_told(
    cast: Cast,
) -> None:
    team = await company.space("secret", Level.CLOSED, cast.alice, cast.bruno, listed=False)
    post = await company.say(cast.alice, "Entre nous", team)
    with pytest.raises(NotFound):
        await posts.find(cast.odile, post)
    with pytest.raises(Forbidden):
        await break_glass.ask(cast.bruno, "secret", WHY)
    with pytest.raises(Invalid):
        await break_glass.ask(cast.odile, "secret", "  curieux ")
    asked = await break_glass.ask(cast.odile, "secret", WHY)
    assert await break_glass.ask(cast.odile, "secret", WHY) == asked
    with pytest.raises(NotFound):
        await posts.find(cast.odile, post)  # asking is not being granted
    with pytest.raises(Forbidden):
        await break_glass.grant(cast.odile, asked)
    with pytest.raises(NotFound):
        await break_glass.grant(cast.bruno, asked)
    await break_glass.grant(cast.alice, asked)
    assert (await posts.find(cast.odile, post)).id == post
    assert len(await timelines.of_space(cast.odile, team, Window())) == 1
    assert "glass" in await notices(cast.bruno)
    [told] = await db.fetch("SELECT words FROM notice WHERE kind = 'glass' AND actor_id = $1", cast.bruno.actor_id)
    assert told["words"] == WHY, "the members read why"
    space = await spaces.find(cast.odile, "secret")
    assert [glass.reason for glass in await overseeing.reading_now(space.id)] == [WHY]
    with pytest.raises(Conflict):
        await break_glass.grant(cast.alice, asked)


@pytest.mark.anyio
async def test_what_was_granted_reads_and_does_nothing_else_and_ends(cast: Cast) -> None:
    team = await company.space("secret", Level.CLOSED, cast.alice, listed=False)
    post = await company.say(cast.alice, "Entre nous", team)
    asked = await break_glass.ask(cast.odile, "secret", WHY)
    await break_glass.grant(cast.alice, asked, hours=99)
    row = await db.fetch_one("SELECT until_at FROM break_glass WHERE id = $1", asked)
    assert row is not None and row["until_at"] <= now_ms() + 24 * 3_600_000
    with pytest.raises(Forbidden):
        await company.say(cast.odile, "Moi aussi", team)
    with pytest.raises(Forbidden):
        await company.say(cast.odile, "Réponse", answers=post)
    await db.execute("UPDATE break_glass SET until_at = $1 WHERE id = $2", now_ms() - 1, asked)
    with pytest.raises(NotFound):
        await posts.find(cast.odile, post)
    again = await break_glass.ask(cast.odile, "secret", WHY)
    assert again != asked
    await break_glass.grant(cast.alice, again)
    await break_glass.end(cast.odile, again)
    with pytest.raises(NotFound):
        await posts.find(cast.odile, post)


@pytest.mark.anyio
async def test_an_auditor_sees_policies_and_counts_and_no_content(cast: Cast) -> None:
    auditor = await company.employee("auditrice", "Aude", Office.AUDITOR)
    team = await company.space("secret", Level.CLOSED, cast.alice, listed=False)
    post = await company.say(cast.alice, "Entre nous", team)
    found = await overseeing.spaces(auditor)
    assert [(row.slug, row.level, row.items, row.owners) for row in found] == [("secret", Level.CLOSED, 1, ("alice",))]
    with pytest.raises(NotFound):
        await posts.find(auditor, post)
    with pytest.raises(Forbidden):
        await overseeing.spaces(cast.bruno)
    await set_openness(Operator(), team, Level.CLOSED, listed=True)
    found = [await overseeing.space(auditor, "secret")]
    assert [one.door for one in await overseeing.history(auditor, found[0], 10)] == ["command", "page"]
    assert (await overseeing.policy(auditor, found[0])).listed
    with_a_token = replace(auditor, scopes=frozenset({"read"}))
    for nobody in (cast.bruno, cast.alice, with_a_token, cast.chloe):
        for question in (overseeing.policy(nobody, found[0]), overseeing.history(nobody, found[0], 10)):
            with pytest.raises(Forbidden):
                await question
    with pytest.raises(NotFound):
        await overseeing.space(auditor, "inconnu")
