"""Settings, notifications, people, search, administration by their pages."""

import re
from dataclasses import replace
from typing import Any

import pytest

from server import database as db
from server.openness import Level, Visibility
from server.queries import accounts
from tests.cast import KESTREL, Cast, say, space
from tests.unit.web.pages.browser import Browser, session_of

pytestmark = pytest.mark.anyio


async def test_bruno_ends_no_session_and_no_token_of_alice(cast: Cast, alice: Browser, bruno: Browser) -> None:
    assert alice.session is not None
    answer = await bruno("POST", f"/settings/sessions/{alice.session.session_id}/end")
    assert answer.status_code == 404
    await alice.page("/")


async def test_settings_are_saved_and_speak_at_once(cast: Cast, bruno: Browser) -> None:
    form: dict[str, Any] = {"display_name": "Bruno K.", "language": "en", "theme": "dark", "invitations": "ask"}
    await bruno.post("/settings", **form)
    page = await bruno.page("/settings")
    assert '<html lang="en"' in page and 'data-theme="dark"' in page and "Bruno K." in page
    page = await bruno.refused("/settings", **{**form, "display_name": ""})
    assert (await accounts.own(cast.bruno)).display_name == "Bruno K."


async def test_bruno_chooses_when_he_is_written_to_where_he_can_be(cast: Cast, bruno: Browser) -> None:
    form: dict[str, Any] = {"display_name": "Bruno K.", "invitations": "ask"}
    assert "par courriel" not in await bruno.page("/settings"), "no mail server, no address"
    await bruno.post("/settings", **form)
    bruno.app.state.settings = replace(bruno.app.state.settings, smtp_url="smtp://127.0.0.1")
    assert "par courriel" not in await bruno.page("/settings"), "no address"
    await db.execute("UPDATE account SET email = name || '@courriel.test'")
    assert "bruno@courriel.test" in await bruno.page("/settings")
    await bruno.refused("/settings", **form, mails="hourly")
    assert (await accounts.own(cast.bruno)).mails == "at_once"
    await say(cast.alice, "@bruno bonjour")
    await bruno.post("/settings", **form, mails="never")
    assert (await accounts.own(cast.bruno)).mails == "never"
    assert await db.fetch("SELECT id FROM notice WHERE mail_due_at IS NOT NULL") == []
    await bruno.post("/settings", **form)
    assert (await accounts.own(cast.bruno)).mails == "never", "what the form does not hold stays"


async def test_T3_a_new_password_ends_the_other_browser(cast: Cast, bruno: Browser) -> None:
    other = Browser(bruno.app, await session_of(cast.bruno))
    page = await bruno.refused("/settings/password", wanted="court")
    assert "caractères" in page
    await bruno.post("/settings/password", wanted="une phrase assez longue")
    assert (await other.get("/")).status_code == 303
    await bruno.page("/")


async def test_a_token_is_shown_once(cast: Cast, bruno: Browser) -> None:
    page = await bruno.post("/settings/tokens", 200, label="bureau", read="on")
    found = re.search(r"<code[^>]*>([\w-]{20,})</code>", page)
    assert found and found[1] not in await bruno.page("/settings")
    answer = await bruno.get("/api/v1/accounts/verify_credentials", headers={"authorization": f"Bearer {found[1]}"})
    assert answer.json()["username"] == "bruno"


async def test_bruno_follows_alice_and_reads_his_notices(cast: Cast, alice: Browser, bruno: Browser) -> None:
    await bruno.post("/@alice/follow")
    await say(cast.alice, "@bruno bonjour", visibility=Visibility.FOLLOWERS)
    assert "Alice" in await bruno.page("/notifications")
    await bruno.post("/notifications/read")
    await bruno.post("/@alice/unfollow")
    assert "/@alice/follow" in await bruno.page("/@alice")
    assert "Bruno" in await alice.page("/notifications")


async def test_search_finds_people_spaces_and_posts(cast: Cast, bruno: Browser) -> None:
    team = await space("equipe-reseau", Level.INTERNAL, cast.alice)
    await say(cast.alice, "Le tilleul du réseau", team)
    page = await bruno.page("/search?q=reseau")
    assert "/spaces/equipe-reseau" in page and "tilleul" in page
    assert f"/@chloe@{KESTREL}" in await bruno.page("/search?q=Chloe")
    assert await bruno.page("/search")


async def test_odile_adds_somebody_and_hands_over_the_link_once(cast: Cast, odile: Browser, visitor: Browser) -> None:
    page = await odile.post("/admin/people", 200, name="ines", display_name="Inès Roy")
    link = re.search(r"/login/once/[\w-]+", page)
    assert link and link[0] not in await odile.page("/admin/people")
    assert (await visitor.post(link[0])).startswith("/settings")
    assert "Inès Roy" in await odile.refused("/admin/people", name="ines", display_name="Inès Roy")
    await odile.post("/admin/people/ines/suspend")
    assert (await odile.get("/@ines")).status_code == 404
    await odile.post("/admin/people/ines/reinstate")
    await odile.page("/@ines")


async def test_bruno_does_nothing_that_administrators_do(cast: Cast, bruno: Browser) -> None:
    for path in ("/admin/people", "/admin/people/alice/suspend", "/admin/people/alice/link", "/admin/links"):
        assert (await bruno("POST", path, data={"host": KESTREL, "name": "x"})).status_code == 403
    assert (await bruno("POST", f"/admin/links/{KESTREL}/end", data={})).status_code == 403


async def test_A9_odile_sees_the_links_and_suspends_one(cast: Cast, odile: Browser) -> None:
    assert KESTREL in await odile.page("/admin/links")
    await odile.post(f"/admin/links/{KESTREL}/suspend")
    await odile.post(f"/admin/links/{KESTREL}/suspend")  # again: the same
    await odile.refused(f"/admin/links/{KESTREL}/accept")
    await odile.post(f"/admin/links/{KESTREL}/resume")
    page = await odile.refused("/admin/links", host="pas une adresse")
    assert "pas une adresse" in page
