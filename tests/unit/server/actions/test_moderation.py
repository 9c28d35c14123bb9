"""First posts of people from outside: unseen while they wait, published once, refused with a reason."""

import asyncio
import json
from typing import Any

import pytest

from server import database as db
from server.actions import moderation
from server.actions.arriving import Arrived, receive, receive_edit, receive_withdrawal
from server.actions.gestures import react
from server.actions.spaces import SpaceElsewhere, mirror
from server.clock import now_ms
from server.errors import Conflict, Forbidden, Invalid, NotFound
from server.events import Kind
from server.ids import new_id
from server.openness import Level
from server.queries import moderation as asked
from server.queries import notifications, posts, spaces, timelines, updates
from server.queries.timelines import Window
from server.viewer import RemotePerson
from tests.cast import Cast, enter, gather, say, space

pytestmark = pytest.mark.anyio


@pytest.fixture
async def cast(database: str) -> Cast:
    return await gather()


async def said(who: RemotePerson, text: str, space_id: int, number: int, edited_at: int | None = None) -> Arrived:
    uri = f"https://inconnu.test/notes/{number}"
    original = json.dumps({"id": f"{uri}/{'edit' if edited_at else 'create'}", "type": "Create"})
    return Arrived(uri, f"<p>{text}</p>", now_ms(), edited_at=edited_at, original=original)


async def facts(post_id: int) -> list[tuple[str, str]]:
    rows = await db.fetch("SELECT kind, original FROM event WHERE post_id = $1 ORDER BY id", post_id)
    return [(row["kind"], row["original"]) for row in rows]


async def test_what_waits_is_there_for_those_who_run_the_space_and_for_nobody_else(cast: Cast) -> None:
    forum = await space("forum", Level.NETWORK, cast.alice, cast.bruno)
    await enter(forum, cast.eve)
    await db.execute("UPDATE space SET first_posts_moderated = 2 WHERE id = $1", forum)
    arrived = await said(cast.eve, "bonjour à tous", forum, 1)
    post = await receive(cast.eve, cast.eve.actor_id, arrived, forum)
    assert await receive(cast.eve, cast.eve.actor_id, arrived, forum) == post, "told twice it waits once"
    assert await facts(post) == []
    assert await notifications.unread(cast.bruno) == 0
    for viewer in (cast.bruno, cast.odile, cast.driss, cast.web, cast.kestrel, cast.inconnu):
        assert await posts.readable(viewer, [post]) == set(), viewer
        with pytest.raises(NotFound):
            await posts.find(viewer, post)
    assert await posts.readable(cast.eve, [post]) == {post}
    assert [w.kind for w in await notifications.waiting(cast.alice)] == ["held"]
    seen = await spaces.find(cast.alice, "forum")
    assert [card.id for card in await asked.waiting(cast.alice, seen)] == [post]
    with pytest.raises(Forbidden):
        await asked.waiting(cast.bruno, await spaces.find(cast.bruno, "forum"))
    for verb in (moderation.approve(cast.bruno, forum, post), moderation.refuse(cast.bruno, forum, post, "non")):
        with pytest.raises(Forbidden):
            await verb
    for gesture in (react(cast.alice, post), say(cast.alice, "déjà", forum, answers=post)):
        with pytest.raises(Forbidden, match="attend d’être validé"):
            await gesture
    told = await db.fetch_one("SELECT data FROM event WHERE kind = 'post_held'")
    assert told is not None
    assert json.loads(told["data"])["activity"] == "https://inconnu.test/notes/1/create"


async def test_a_post_is_published_once_however_many_let_it_through(cast: Cast) -> None:
    forum = await space("forum", Level.NETWORK, cast.alice)
    await enter(forum, cast.bruno, role="steward")
    await enter(forum, cast.eve)
    await db.execute("UPDATE space SET first_posts_moderated = 1 WHERE id = $1", forum)
    first = await said(cast.eve, "bonjour", forum, 1)
    post = await receive(cast.eve, cast.eve.actor_id, first, forum)
    better = await said(cast.eve, "bonjour à tous", forum, 1, edited_at=now_ms() + 1)
    await receive_edit(cast.eve, cast.eve.actor_id, better)
    assert await facts(post) == [], "an edit of what waits tells nobody"
    done = await asyncio.gather(
        moderation.approve(cast.alice, forum, post),
        moderation.approve(cast.bruno, forum, post),
        return_exceptions=True,
    )
    assert [type(one) for one in done if one] == [Conflict], done
    assert await facts(post) == [("post_published", first.original), ("post_edited", better.original)]
    assert [card.id for card in await timelines.of_space(cast.odile, forum, Window())] == [post]
    assert "bonjour à tous" in (await timelines.of_space(cast.odile, forum, Window()))[0].html
    assert [w.kind for w in await notifications.waiting(cast.alice)] == []
    assert (await updates.told(cast.odile, [("post_published", post, None)]))[0].kind == "new"
    deeds = await db.fetch("SELECT act FROM audit_entry WHERE subject = $1", str(post))
    assert [deed["act"] for deed in deeds] == ["approve_post"]
    second = await receive(cast.eve, cast.eve.actor_id, await said(cast.eve, "encore", forum, 2), forum)
    assert [kind for kind, _ in await facts(second)] == ["post_published"], "one of theirs was let through"


async def test_a_refusal_says_why_and_tells_nobody_else(cast: Cast) -> None:
    forum = await space("forum", Level.NETWORK, cast.alice, cast.bruno)
    await enter(forum, cast.eve)
    post = await receive(cast.eve, cast.eve.actor_id, await said(cast.eve, "réclame", forum, 1), forum)
    for reason in ("", "  \n "):
        with pytest.raises(Invalid):
            await moderation.refuse(cast.alice, forum, post, reason)
    await moderation.refuse(cast.alice, forum, post, "hors sujet")
    with pytest.raises(Conflict):
        await moderation.approve(cast.alice, forum, post)
    assert await facts(post) == []
    row = await db.fetch_one("SELECT data, actor_id FROM event WHERE kind = 'post_refused'")
    assert row is not None
    assert json.loads(row["data"])["reason"] == "hors sujet"
    again = await receive(cast.eve, cast.eve.actor_id, await said(cast.eve, "de nouveau", forum, 2), forum)
    assert await facts(again) == [], "what was refused does not count as let through"
    await receive_withdrawal(cast.eve.actor_id, "https://inconnu.test/notes/2")
    assert await facts(again) == []
    assert await asked.count(cast.alice, await spaces.find(cast.alice, "forum")) == 0


async def test_who_is_not_moderated_there_does_not_wait(cast: Cast) -> None:
    shared = await space("cevennes", Level.PARTNERS, cast.alice, cast.chloe, partners=("kestrel.test",))
    post = await receive(cast.chloe, cast.chloe.actor_id, await said(cast.chloe, "bonjour", shared, 1), shared)
    assert [kind for kind, _ in await facts(post)] == ["post_published"]
    forum = await space("forum", Level.NETWORK, cast.alice, cast.eve)
    await db.execute("UPDATE space SET first_posts_moderated = 0 WHERE id = $1", forum)
    free = await receive(cast.eve, cast.eve.actor_id, await said(cast.eve, "bonjour", forum, 2), forum)
    assert [kind for kind, _ in await facts(free)] == ["post_published"]


async def test_the_host_alone_says_that_a_post_of_ours_waits(cast: Cast) -> None:
    group: dict[str, Any] = {"id": new_id(), "uri": "https://kestrel.test/spaces/cour", "kind": "group", "name": "cour"}
    await db.insert("actor", {**group, "host": "kestrel.test", "peer_id": cast.kestrel.peer_id, "created_at": 1})
    told = SpaceElsewhere(group["id"], "cour", "kestrel.test", "Cour", "", Level.NETWORK)
    cour = await mirror(cast.kestrel, told)
    await enter(cour, cast.alice)
    await enter(cour, cast.bruno)
    post = await say(cast.alice, "bonjour Kestrel", cour)
    uri = (await posts.find(cast.alice, post)).uri
    with pytest.raises(NotFound):
        await moderation.told(cast.inconnu, group["uri"], uri, Kind.POST_HELD)
    await moderation.told(cast.kestrel, group["uri"], uri, Kind.POST_HELD)
    assert await posts.readable(cast.bruno, [post]) == set()
    assert (await posts.cards(cast.alice, [post]))[0].facts.held
    await moderation.told(cast.kestrel, group["uri"], uri, Kind.POST_REFUSED, "hors sujet")
    notice = (await notifications.waiting(cast.alice))[0]
    assert (notice.kind, notice.words) == ("refused", "hors sujet")
    await moderation.told(cast.kestrel, group["uri"], uri, Kind.POST_APPROVED)
    assert await posts.readable(cast.bruno, [post]) == {post}
