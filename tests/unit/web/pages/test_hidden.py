"""What may not be known looks like what never was, on every page and for every form (A8)."""

import pytest
from starlette.applications import Starlette

from server import database as db
from server.openness import Level, Visibility
from tests.cast import KESTREL, Cast, say, space
from tests.unit.web.pages.browser import Browser, bare

pytestmark = pytest.mark.anyio

SECRET = "Tilleul argenté"


async def test_bruno_and_a_visitor_get_the_same_404_for_a_hidden_space_as_for_none(
    app: Starlette, cast: Cast, bruno: Browser, visitor: Browser
) -> None:
    await space("direction", Level.CLOSED, cast.alice, listed=False)
    for outsider in (bruno, visitor):
        for tail in ("", "/members", "/about", "/openness", "?part=audience"):
            hidden = await outsider.get(f"/spaces/direction{tail}")
            missing = await outsider.get(f"/spaces/jamais-vu{tail}")
            assert hidden.status_code == missing.status_code == 404
            assert bare(hidden.text, "direction") == bare(missing.text, "jamais-vu")
            assert hidden.headers.get("content-length") == missing.headers.get("content-length")


async def test_bruno_and_a_visitor_get_the_same_404_for_a_hidden_post_as_for_none(
    app: Starlette, cast: Cast, bruno: Browser, visitor: Browser
) -> None:
    cevennes = await space("cevennes", Level.PARTNERS, cast.alice, cast.chloe, partners=(KESTREL,))
    post = await say(cast.alice, SECRET, cevennes)
    for outsider in (bruno, visitor):
        for tail in ("", "?part=card", "?part=audience", "/audience"):
            hidden = await outsider.get(f"/posts/{post}{tail}")
            missing = await outsider.get(f"/posts/{post + 1}{tail}")
            assert hidden.status_code == missing.status_code == 404
            assert bare(hidden.text, str(post)) == bare(missing.text, str(post + 1))
    for action in ("edit", "withdraw", "react"):
        answer = await bruno("POST", f"/posts/{post}/{action}", data={"text": "x"})
        assert answer.status_code == 404
    assert (await bruno("POST", "/posts", data={"text": "x", "answers": str(post)})).status_code == 404
    assert await db.fetch("SELECT id FROM reaction") == []


@pytest.mark.parametrize("path", ["/", "/spaces", "/search?q=tilleul", "/notifications", "/people", "/@alice"])
async def test_bruno_sees_no_word_no_name_and_no_count_of_a_space_he_may_not_know(
    app: Starlette, cast: Cast, alice: Browser, bruno: Browser, path: str
) -> None:
    hidden = await space("projet-ombre", Level.CLOSED, cast.alice, listed=False)
    await say(cast.alice, f"{SECRET} @bruno", hidden)
    text = await bruno.page(path)
    assert SECRET not in text and "ombre" not in text.lower()
    if path != "/people":
        assert ("ombre" in (await alice.page(path)).lower()) or path == "/notifications"


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/notifications",
        "/settings",
        "/search?q=x",
        "/people",
        "/posts/new",
        "/admin",
        "/admin/links",
        "/admin/audit",
    ],
)
async def test_a_visitor_is_asked_who_they_are_and_comes_back_afterwards(visitor: Browser, path: str) -> None:
    answer = await visitor.get(path)
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/login")


@pytest.mark.parametrize("path", ["/admin", "/admin/people", "/admin/deliveries", "/admin/audit", "/admin/links"])
async def test_A9_A10_nobody_but_an_administrator_sees_what_administrators_see(
    cast: Cast, bruno: Browser, odile: Browser, path: str
) -> None:
    answer = await bruno.get(path)
    assert answer.status_code == 403
    assert KESTREL not in answer.text and "alice" not in answer.text
    await odile.page(path)


async def test_a_visitor_reads_a_public_space_and_finds_nobody_who_did_not_choose_it(
    app: Starlette, cast: Cast, visitor: Browser
) -> None:
    news = await space("actualites", Level.PUBLIC, cast.alice, cast.bruno)
    post = await say(cast.alice, "La centrale fournit 4 200 foyers.", news)
    text = await visitor.page("/spaces/actualites")
    assert "4 200 foyers" in text
    assert "Bruno" not in text + await visitor.page("/spaces/actualites/about")
    assert "Bruno" not in (await visitor.get("/spaces/actualites/members")).text
    assert "4 200 foyers" in await visitor.page(f"/posts/{post}")
    note = await say(cast.alice, SECRET, visibility=Visibility.COLLEAGUES)
    assert SECRET not in await visitor.page("/@alice")
    assert (await visitor.get(f"/posts/{note}")).status_code == 404


async def test_a_person_who_left_has_no_page_and_no_entry(cast: Cast, bruno: Browser) -> None:
    assert (await bruno.get("/@zoe")).status_code == 404
    assert "Zoé" not in await bruno.page("/people")
