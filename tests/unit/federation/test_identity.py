"""Under which name our people appear outside: on pages, for clients, and in what other instances are told."""

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from starlette.applications import Starlette

from federation.composing import Receiver, compose
from federation.outbox import sequence_waiting
from server import database as db
from server.actions.gestures import react
from server.actions.preferences import Preferences, save
from server.openness import Level
from server.queries import notifications
from tests.cast import HERE, KESTREL, Cast, gather, guest, say, space
from tests.unit.federation.asking import Asking, asking
from tests.unit.federation.test_routes import event_of
from tests.unit.web.api.client import application, client_of
from tests.unit.web.pages.browser import Browser, browser_of

pytestmark = pytest.mark.anyio


@pytest.fixture
async def cast(database: str) -> Cast:
    found = await gather()
    await db.execute("UPDATE account SET job = 'Acheteuse' WHERE name = 'alice'")
    return found


@pytest.fixture
async def ask(cast: Cast, tmp_path: Path) -> AsyncIterator[Asking]:
    async with asking(tmp_path, "open", KESTREL) as found:
        yield found


@pytest.fixture
def app(cast: Cast, database: str, tmp_path: Path) -> Starlette:
    return application(database, tmp_path)


async def test_whole_names_up_to_partners_and_first_names_beyond(app: Starlette, cast: Cast, ask: Asking) -> None:
    gwen = await guest("gwen", "Gwen Le Roux", cast.alice)
    hers, bruno = await browser_of(app, gwen), await browser_of(app, cast.bruno)
    news = await space("actualites", Level.PUBLIC, cast.alice)
    post = await say(cast.alice, "pour tout le monde", news)
    for path in ("/spaces/actualites", f"/posts/{post}", "/spaces/actualites/feed.atom", "/@alice"):
        for browser in (Browser(app), hers):
            page = await browser.page(path)
            assert "Alice, Acheteuse" in page, path
            assert "Fournier" not in page, path
        assert "Alice Fournier" in await bruno.page(path), "colleagues know one another"
    assert (await ask.document("/@alice", None))["name"] == "Alice, Acheteuse"
    await space("offre", Level.PARTNERS, cast.alice, gwen)
    await say(cast.alice, "pour Gwen", (await db.fetch("SELECT id FROM space WHERE slug = 'offre'"))[0]["id"])
    page = await hers.page("/spaces/offre")
    assert "Alice Fournier" in page
    assert "Alice Fournier" in await hers.page("/spaces/offre/members")
    await db.execute("UPDATE space SET identity_outside = 'first_name' WHERE slug = 'offre'")
    for path in ("/spaces/offre", "/spaces/offre/members"):
        page = await hers.page(path)
        assert "Alice, Acheteuse" in page and "Fournier" not in page, path


async def test_where_the_job_alone_is_told_the_space_speaks_and_answers_reach_the_person(
    app: Starlette, cast: Cast, ask: Asking
) -> None:
    gwen = await guest("gwen", "Gwen Le Roux", cast.alice)
    hers, client = await browser_of(app, gwen), await client_of(app, gwen)
    offre = await space("offre", Level.PARTNERS, cast.alice, cast.bruno, gwen, cast.chloe, partners=(KESTREL,))
    await db.execute("UPDATE space SET identity_outside = 'function' WHERE id = $1", offre)
    post = await say(cast.alice, "nos conditions", offre)
    answer = await say(cast.bruno, "et les délais", offre, answers=post)
    await react(cast.bruno, post, "👍")
    await sequence_waiting(ask.instance)
    for path in ("/spaces/offre", f"/posts/{post}", "/spaces/offre/members"):
        page = await hers.page(path)
        assert "Acheteuse" in page, path
        assert "Offre" in page, "Bruno has no job to be named by: the space's name stands"
        for word in ("Alice", "alice", "Bruno", "bruno"):
            assert word not in page, (path, word)
    told = await client.get(f"/api/v1/statuses/{post}/context")
    whole = await client.get(f"/api/v1/statuses/{post}")
    assert whole["account"]["display_name"] == "Acheteuse"
    for word in ("alice", "bruno", str(cast.alice.actor_id), str(cast.bruno.actor_id)):
        assert word not in f"{told} {whole}".lower(), word
    event = await event_of(post)
    documents = [f"/posts/{post}", f"/posts/{answer}", f"/activities/{event}", f"/activities/{event}/announce"]
    documents += ["/spaces/offre/members?page=true", "/spaces/offre/outbox?page=true"]
    bodies = [(await ask(path, KESTREL)).text for path in documents]
    to = Receiver(cast.kestrel.peer_id, KESTREL, linked=True)
    for row in await db.fetch("SELECT event_id FROM delivery WHERE peer_id = $1", cast.kestrel.peer_id):
        sealed = await compose(ask.instance, row["event_id"], to)
        assert sealed is None or sealed.signer_uri == HERE.space("offre")
        bodies.append(sealed.body.decode() if sealed else "")
    assert len(bodies) >= len(documents) + 3
    for body in bodies:
        assert "@alice" not in body, body
        assert "@bruno" not in body, body
    note = msgspec.json.decode(bodies[0])
    assert (note["attributedTo"], note["parvis:byline"]) == (HERE.space("offre"), "Acheteuse")
    assert await ask.items("/@alice/outbox", KESTREL) == []
    await say(cast.chloe, "merci", offre, answers=post)
    assert [w.kind for w in await notifications.waiting(cast.alice)][:1] == ["reply"]
    assert "Alice Fournier" in await (await browser_of(app, cast.bruno)).page("/spaces/offre")


async def test_what_somebody_says_about_themselves_goes_out_under_the_name_that_is_known_there(
    cast: Cast, ask: Asking
) -> None:
    await space("actualites", Level.PUBLIC, cast.alice)
    await save(cast.alice, Preferences("Alice Fournier-Roux", "Achats", "fr", job="Acheteuse"))
    [event] = await db.fetch("SELECT id FROM event WHERE kind = 'person_changed'")
    to = Receiver(cast.kestrel.peer_id, KESTREL, linked=True)

    async def name_told() -> str:
        sealed = await compose(ask.instance, event["id"], to)
        assert sealed is not None
        return str(msgspec.json.decode(sealed.body)["object"]["name"])

    assert await name_told() == "Alice, Acheteuse"
    await space("offre", Level.PARTNERS, cast.alice, cast.chloe, partners=(KESTREL,))
    assert await name_told() == "Alice Fournier-Roux"
    await db.execute("UPDATE account SET suspended_at = 1 WHERE name = 'alice'")
    assert await compose(ask.instance, event["id"], to) is None
