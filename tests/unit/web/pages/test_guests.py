"""People from outside: they come in until their last day, see their spaces and what is their own, and nothing else."""

import asyncio
import re

import pytest
from starlette.applications import Starlette

from server import database as db
from server.actions.accounts import extend_guest
from server.ids import new_id
from server.openness import Level, Visibility
from server.viewer import Guest
from tests.cast import Cast, guest, say, space
from tests.unit.web.pages.browser import Browser, browser_of, listening
from tests.unit.web.pages.test_live import heard

pytestmark = pytest.mark.anyio


@pytest.fixture
async def gwen(cast: Cast) -> Guest:
    return await guest("gwen", "Gwen Le Roux", cast.alice, "Cabinet Ouest")


WHYS = {
    "ended": "UPDATE account SET until_at = 1 WHERE name = 'gwen'",
    "suspended": "UPDATE account SET suspended_at = 1 WHERE name = 'gwen'",
    "sponsor suspended": "UPDATE account SET suspended_at = 1 WHERE name = 'alice'",
    "sponsor gone": "UPDATE actor SET gone_at = 1 WHERE name = 'alice'",
    "sponsor a guest": "UPDATE account SET office = 'guest' WHERE name = 'alice'",
}


async def test_a_guest_who_is_out_is_nobody_at_once(app: Starlette, cast: Cast, gwen: Guest) -> None:
    hers = await browser_of(app, gwen)
    for why, statement in WHYS.items():
        before = await db.fetch("SELECT id, suspended_at, until_at, office FROM account")
        async with listening(app) as address, heard(address, hers) as stream:
            assert (await hers.get("/")).status_code == 200, why
            await db.execute(statement)
            assert (await hers.get("/")).status_code == 303, why
            async with asyncio.timeout(1):
                with pytest.raises(EOFError):
                    await stream.next()
        for row in before:
            await db.execute(
                "UPDATE account SET suspended_at = $1, until_at = $2, office = $3 WHERE id = $4",
                row["suspended_at"],
                row["until_at"],
                row["office"],
                row["id"],
            )
        await db.execute("UPDATE actor SET gone_at = NULL WHERE name = 'alice'")


async def test_a_guest_sees_their_space_and_nothing_else(app: Starlette, cast: Cast, gwen: Guest) -> None:
    hers = await browser_of(app, gwen)
    offre = await space("offre", Level.PARTNERS, cast.alice, gwen)
    other = await space("rachat", Level.INTERNAL, cast.alice)
    await say(cast.alice, "Les plans sont prêts", offre)
    await say(cast.alice, "canari-interne", other)
    await say(cast.bruno, "canari-collegues", visibility=Visibility.COLLEAGUES)
    home = await hers.page("/")
    assert "Les plans sont prêts" in home
    assert "canari" not in home
    assert 'href="/people"' not in home
    assert 'name="where"' in home and "@colleagues" not in home
    for path in ("/people", "/spaces/rachat", "/spaces?part=new", "/admin/people"):
        assert (await hers.get(path)).status_code in (403, 404), path
    assert "canari-" not in await hers.page("/search?q=canari")
    assert "Bruno" not in await hers.page("/search?q=bruno")
    assert "Cabinet Ouest" not in await hers.page("/spaces/offre/openness")


async def test_a_guest_writes_in_their_space_only(app: Starlette, cast: Cast, gwen: Guest, alice: Browser) -> None:
    hers = await browser_of(app, gwen)
    await space("offre", Level.PARTNERS, cast.alice, gwen)
    for where in ("@colleagues", "@public", "@followers"):
        assert "invité·e d’espaces" in await hers.refused("/posts", text="bonjour", where=where, key=where)
    await hers.post("/posts", text="Bonjour à tous", where="offre", key="1")
    seen = await alice.page("/spaces/offre")
    assert "Bonjour à tous" in seen
    assert re.search(r"invité·e jusqu’au \d+ \w+ 20\d\d", seen)
    assert "face--elsewhere" in seen
    settings = await hers.page("/settings")
    assert "Alice Fournier répond de vous ici, jusqu’au" in settings, "who answers for them, and until when"
    assert "instance liée vous invite" not in settings


async def test_whoever_brings_a_guest_in_reads_first_what_they_get(
    app: Starlette, cast: Cast, gwen: Guest, alice: Browser, bruno: Browser
) -> None:
    offre = await space("offre", Level.PARTNERS, cast.alice, cast.bruno)
    await say(cast.alice, "Avant elle", offre)
    asked = await alice.post("/spaces/offre/members", 200, who="gwen")
    assert "Gwen Le Roux" in asked and "Cabinet Ouest" in asked
    assert "0 message déjà écrit" in asked, "members from outside read since they came"
    row = "SELECT id FROM membership WHERE space_id = $1 AND actor_id = $2"
    assert await db.fetch_one(row, offre, gwen.actor_id) is None
    await bruno.refused("/spaces/offre/members", id=str(gwen.actor_id), confirmed="1")
    assert await db.fetch_one(row, offre, gwen.actor_id) is None, "only those who run the space bring guests in"
    await alice.post("/spaces/offre/members", id=str(gwen.actor_id), confirmed="1")
    assert await db.fetch_one(row, offre, gwen.actor_id) is not None


async def test_no_guest_in_a_space_that_stays_inside(cast: Cast, gwen: Guest, alice: Browser) -> None:
    await space("direction", Level.INTERNAL, cast.alice)
    assert "passe au niveau Partenaires" in await alice.refused("/spaces/direction/members", who="gwen", confirmed="1")
    await space("offre", Level.PARTNERS, cast.alice)
    refused = await alice.refused("/spaces/offre/members", who="gwen", role="owner", confirmed="1")
    assert "n’anime pas" in refused


async def test_a_longer_stay_is_kept_and_noted(app: Starlette, cast: Cast, gwen: Guest) -> None:
    await db.execute(WHYS["ended"])
    await extend_guest(cast.alice, gwen.account_id, "2099-06-30")
    assert (await (await browser_of(app, gwen)).get("/")).status_code == 200
    deed = await db.fetch_one("SELECT actor_id, subject, data FROM audit_entry WHERE act = 'extend_guest'")
    assert deed is not None
    assert (deed["actor_id"], deed["subject"]) == (cast.alice.actor_id, "gwen")
    assert "2099-06-30" in deed["data"]


async def test_a_guest_is_found_where_they_are_met(app: Starlette, cast: Cast, gwen: Guest, visitor: Browser) -> None:
    other = await guest("hugo", "Hugo Blanc", cast.alice, "Solstice")
    hers, his = await browser_of(app, gwen), await browser_of(app, other)
    offre = await space("offre", Level.PARTNERS, cast.alice, gwen)
    for browser in (visitor, his):
        assert (await browser.get("/@gwen")).status_code == 404
        unknown = await browser.get("/@nemo")
        assert (await browser.get("/@gwen")).text.replace("gwen", "nemo").count("<h1") == unknown.text.count("<h1")
    assert "Gwen" in await hers.page("/@gwen")
    await db.execute("UPDATE space SET partner_view = 'everyone' WHERE id = $1", offre)
    row = await db.fetch_one("SELECT * FROM membership WHERE space_id = $1 AND actor_id = $2", offre, gwen.actor_id)
    assert row is not None
    await db.insert("membership", {**row, "id": new_id(), "actor_id": other.actor_id})
    assert "Gwen" in await his.page("/@gwen")
    await db.execute("UPDATE space SET partner_view = 'organisations' WHERE id = $1", offre)
    assert (await his.get("/@gwen")).status_code == 404
    members = await his.page("/spaces/offre/members")
    assert "Gwen" not in members and "Cabinet Ouest" in members
    await db.execute("UPDATE space SET partner_view = 'blind' WHERE id = $1", offre)
    members = await his.page("/spaces/offre/members")
    assert "Gwen" not in members and "Cabinet Ouest" not in members
    assert "2 membres" in members
