"""View as: what is previewed is byte for byte what the outsider then gets; nothing of the trial stays."""

import re
from typing import Any

import pytest
from starlette.applications import Starlette

from server import database as db
from server.actions import openness
from server.actions.openness import Door, How
from server.actions.spaces import set_openness
from server.clock import now_ms
from server.credentials import make_secret
from server.ids import new_id
from server.openness import Level, Reach
from server.queries import policies
from server.space_policy import PartnerTerms
from tests.cast import INCONNU, KESTREL, Cast, enter, say, space
from tests.unit.federation.asking import Asking, introduce
from tests.unit.web.pages.browser import Browser
from tests.unit.web.pages.test_openness import filled

pytestmark = pytest.mark.anyio

SLUG = "cevennes"
AT = f"/spaces/{SLUG}/openness"


@pytest.fixture
async def ask(app: Starlette, cast: Cast) -> Asking:
    """Kestrel's server and a stranger's, who sign what they ask of this same application."""
    make_secret(app.state.settings, sealed_keys_exist=False)
    return Asking(app.state.instance, app, {host: await introduce(host) for host in (KESTREL, INCONNU)})


def same(text: str) -> str:
    """A page without what differs at each request whoever asks: the nonce."""
    return re.sub(r'nonce="[^"]*"', "", text)


async def drafted(alice: Browser, **changed: Any) -> str:
    """Keeps a draft by the form; the query that names it."""
    kept = await alice.post(f"{AT}?do=draft", **await filled(alice, AT, **changed))
    found = re.search(r"draft=\d+", kept)
    assert found is not None
    return found[0]


async def looked(alice: Browser, who: str, form: str, draft: str = "") -> tuple[int, str]:
    answer = await alice.get(f"{AT}/seen?who={who}&form={form}&{draft}")
    return int(answer.headers["parvis-status"]), answer.text


async def state() -> list[Any]:
    """What a look must leave as it was."""
    kept = []
    for table in ("space", "space_partner", "membership", "actor", "policy_version", "event", "notice", "post"):
        kept.append(
            await db.fetch(
                f'SELECT * FROM "{table}" ORDER BY id'
                if table != "policy_version"
                else "SELECT * FROM policy_version ORDER BY number"
            )
        )
    return kept


async def test_only_who_may_open_it_looks_and_nobody_looks_as_a_colleague(
    cast: Cast, alice: Browser, bruno: Browser
) -> None:
    await space(SLUG, Level.INTERNAL, cast.alice, cast.bruno)
    for page in ("as", "seen"):
        assert (await bruno.get(f"{AT}/{page}")).status_code == 403
        for who in ("staff", "guest:7", f"partner:{INCONNU}", "partner:", "member:nulle.part", "x" * 600):
            assert (await alice.get(f"{AT}/{page}?who={who}")).status_code == 404
        assert (await alice.get(f"{AT}/{page}?form=media")).status_code == 404
        assert (await alice.get(f"{AT}/{page}?draft=7")).status_code == 404


async def test_no_request_from_outside_says_as_whom_it_is_looked_at(cast: Cast, visitor: Browser) -> None:
    await space(SLUG, Level.INTERNAL, cast.alice)
    for headers in ({"parvis.looks_as": "alice"}, {"parvis-looks-as": "alice"}):
        assert (await visitor.get(f"/spaces/{SLUG}", headers=headers)).status_code == 404


async def test_what_the_web_would_see_is_what_it_then_sees(cast: Cast, alice: Browser, visitor: Browser) -> None:
    team = await space(SLUG, Level.INTERNAL, cast.alice)
    await say(cast.alice, "entre nous", team)
    nothing = await visitor.get(f"/spaces/{SLUG}")
    status, page = await looked(alice, "web", "page")
    assert (status, same(page)) == (404, same(nothing.text))
    for past in ({}, {"past": "1"}):
        draft = await drafted(alice, level="public", **past)
        before = await state()
        status, page = await looked(alice, "web", "page", draft)
        feed = await looked(alice, "web", "feed", draft)
        assert await state() == before, "a look changes nothing"
        assert (status, "entre nous" in page) == (200, bool(past))
        wanted = openness.read_policy((await db.fetch("SELECT wanted FROM policy_change"))[0]["wanted"])
        await openness.change(cast.alice, team, wanted, How(Door.PAGE, past=bool(past)))
        assert same(page) == same(await visitor.page(f"/spaces/{SLUG}"))
        assert feed == (200, await visitor.page(f"/spaces/{SLUG}/feed.atom"))
        await set_openness(cast.alice, team, Level.INTERNAL)


@pytest.mark.parametrize("form", ["document", "outbox"])
async def test_the_document_that_an_instance_would_get_is_the_one_that_it_then_gets(
    cast: Cast, alice: Browser, ask: Asking, form: str
) -> None:
    path = f"/spaces/{SLUG}" + ("/outbox?page=true" if form == "outbox" else "")
    team = await space(SLUG, Level.PARTNERS, cast.alice, reach=Reach.EVERYONE)
    await say(cast.alice, "déjà dit", team)
    nothing = await ask(path, KESTREL)
    assert (await looked(alice, "fed", form))[0] == nothing.status_code == 404
    draft = await drafted(alice, add=KESTREL, past="1")
    before = await state()
    status, told = await looked(alice, f"partner:{KESTREL}", form, draft)
    as_member = await looked(alice, f"member:{KESTREL}", form, draft)
    assert await state() == before
    assert (status == 200 and "parvis:policyEpoch" in told) or "déjà dit" in told or form == "outbox"
    wanted = openness.read_policy((await db.fetch("SELECT wanted FROM policy_change"))[0]["wanted"])
    await openness.change(cast.alice, team, wanted, How(Door.PAGE, past=True))
    assert told == (await ask(path, KESTREL)).text
    await enter(team, cast.chloe)
    assert as_member == (200, (await ask(path, KESTREL)).text)
    assert (await ask(path, INCONNU)).status_code == (await looked(alice, "fed", form))[0] == 404


async def test_the_banner_stands_outside_what_is_seen_and_what_is_seen_cannot_do_anything(
    cast: Cast, alice: Browser
) -> None:
    await space(SLUG, Level.PARTNERS, cast.alice, partners=(KESTREL,))
    outer = await alice.get(f"{AT}/as?who=member:{KESTREL}")
    assert "un membre de l’espace, chez Kestrel GmbH" in outer.text and "tel qu’il est" in outer.text
    assert "frame-src 'self'" in outer.headers["content-security-policy"]
    address = re.search(r'<iframe[^>]*src="([^"]*)"', outer.text)
    assert address is not None
    inner = await alice.get(address[1].replace("&amp;", "&"))
    assert inner.status_code == 200 and "banner" not in inner.text
    assert "sandbox allow-same-origin" in inner.headers["content-security-policy"]
    assert "allow-scripts" not in inner.headers["content-security-policy"]
    assert inner.headers["x-frame-options"] == "SAMEORIGIN"
    text = await alice.get(f"{AT}/seen?form=document&who=web")
    assert text.headers["content-type"] == "text/plain; charset=utf-8"


async def test_a_guest_who_is_in_no_space_sees_what_guests_see(cast: Cast, alice: Browser) -> None:
    team = await space(SLUG, Level.NETWORK, cast.alice)
    await say(cast.alice, "pour tous", team)
    actor, now = new_id(), now_ms()
    person = {"id": actor, "uri": "https://aubrac.test/@gwen", "kind": "person", "name": "gwen"}
    await db.insert("actor", {**person, "display_name": "Gwen Le Goff", "created_at": now})
    account = {"id": new_id(), "actor_id": actor, "name": "gwen", "office": "guest", "created_at": now}
    await db.insert("account", account)
    assert "Gwen Le Goff, invité·e ici" in await alice.page(f"{AT}/as")
    status, page = await looked(alice, f"guest:{account['id']}", "page")
    assert status == 200 and "pour tous" in page and "Fermer l’espace" not in page
    await set_openness(cast.alice, team, Level.INTERNAL)
    assert (await looked(alice, f"guest:{account['id']}", "page"))[0] == 404


async def test_a_partner_that_is_named_only_in_the_draft_can_be_looked_at(cast: Cast, alice: Browser) -> None:
    team = await space(SLUG, Level.PARTNERS, cast.alice)
    wanted = await policies.current(team)
    assert wanted.partners == ()
    draft = await drafted(alice, add=KESTREL)
    page = await alice.page(f"{AT}/as?{draft}&who=partner:{KESTREL}")
    assert "sur le brouillon" in page
    assert (await looked(alice, f"partner:{KESTREL}", "document", draft))[0] == 200
    assert PartnerTerms(KESTREL) not in (await policies.current(team)).partners
