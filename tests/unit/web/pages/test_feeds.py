"""A space in a feed reader: by the right of whoever holds the address, for as long as they have it."""

import re
from xml.etree import ElementTree

import pytest
from starlette.applications import Starlette

from server import database as db
from server.actions.membership import add, remove
from server.actions.poll_rows import NewPoll
from server.actions.posts import Draft, publish
from server.actions.spaces import set_openness
from server.openness import Level
from tests.cast import HERE, Cast, guest, say, space
from tests.unit.web.pages.browser import Browser, browser_of

pytestmark = pytest.mark.anyio
ATOM = "{http://www.w3.org/2005/Atom}"


async def address_of(browser: Browser, slug: str) -> str:
    page = await browser.post(f"/spaces/{slug}/feed", 200)
    found = re.search(r"/spaces/[^\s<]*feed\.atom\?token=[\w-]+", page)
    assert found
    return found[0]


async def test_a_secret_address_reads_what_its_owner_reads_until_they_no_longer_do(
    app: Starlette, cast: Cast, alice: Browser, visitor: Browser
) -> None:
    gwen = await guest("gwen", "Gwen Le Roux", cast.alice, "Cabinet Ouest")
    hers = await browser_of(app, gwen)
    offre = await space("offre", Level.PARTNERS, cast.alice)
    await say(cast.alice, "avant elle", offre)
    await add(cast.alice, offre, gwen.actor_id)
    poll = NewPoll(("<b>oui</b>", "non"))
    await publish(cast.alice, Draft("les <prix> & les délais", offre, poll=poll), HERE)
    address = await address_of(hers, "offre")
    answer = await visitor.get(address)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("application/atom+xml")
    assert answer.headers["cache-control"] == "private, no-store"
    assert "etag" not in answer.headers
    feed = ElementTree.fromstring(answer.text)
    entries = feed.findall(f"{ATOM}entry")
    assert ["les <prix> & les délais" in (entry.findtext(f"{ATOM}title") or "") for entry in entries] == [True]
    assert "avant elle" not in answer.text
    said = entries[0].findtext(f"{ATOM}content") or ""
    assert said.endswith("<ul><li>&lt;b&gt;oui&lt;/b&gt;</li><li>non</li></ul>")
    unknown = await visitor.get("/spaces/offre/feed.atom?token=inconnu")
    for wrong in (address.replace("/offre/", "/autre/"), "/spaces/offre/feed.atom", "/spaces/nulle/feed.atom?token=x"):
        assert (await visitor.get(wrong)).status_code == unknown.status_code == 404
    newer = await address_of(hers, "offre")
    assert (await visitor.get(address)).status_code == 404, "a new address takes the place of the old one"
    await remove(cast.alice, offre, gwen.actor_id)
    assert (await visitor.get(newer)).status_code == 404
    await add(cast.alice, offre, gwen.actor_id)
    assert (await visitor.get(newer)).status_code == 404, "it does not come back with the right"
    last = await address_of(hers, "offre")
    await db.execute("UPDATE account SET until_at = 1 WHERE name = 'gwen'")
    assert (await visitor.get(last)).status_code == 404


async def test_an_address_can_be_revoked_and_a_public_space_needs_none(
    cast: Cast, alice: Browser, bruno: Browser, visitor: Browser
) -> None:
    news = await space("actualites", Level.PUBLIC, cast.alice)
    await say(cast.alice, "pour tout le monde", news)
    assert "pour tout le monde" in (await visitor.get("/spaces/actualites/feed.atom")).text
    address = await address_of(bruno, "actualites")
    assert (await visitor.get(address)).status_code == 200
    await set_openness(cast.alice, news, Level.CLOSED)
    assert (await visitor.get(address)).status_code == 404
    assert (await visitor.get("/spaces/actualites/feed.atom")).status_code == 404
    own = await address_of(alice, "actualites")
    await alice.post("/spaces/actualites/feed/revoke")
    assert (await visitor.get(own)).status_code == 404
