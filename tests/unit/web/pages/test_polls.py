"""Polls by plain forms: asked, voted, shown as numbers, and given back with what was typed."""

import re

import pytest

from server import database as db
from server.actions.poll_rows import NewPoll
from server.actions.posts import Draft, publish
from server.clock import now_ms
from server.openness import Level
from tests.cast import HERE, Cast, space
from tests.unit.web.pages.browser import Browser

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)]


async def test_a_poll_that_cannot_be_asked_comes_back_whole(cast: Cast, alice: Browser) -> None:
    typed = {
        "text": "Quand ?",
        "where": "@colleagues",
        "option": ["lundi", "", "", ""],
        "multiple": "1",
        "ends": "3600",
    }
    page = await alice.refused("/posts", **typed)
    assert "au moins deux choix" in page and 'value="lundi"' in page and "<details" in page
    assert re.search(r"<details[^>]* open", page) and re.search(r'name="multiple"[^>]* checked', page)
    assert 'value="3600" selected' in page
    for wrong in (
        {"option": ["a", "b"], "ends": "1"},
        {"option": ["a", "a"], "ends": ""},
        {"option": list("abcdefghijk")},
    ):
        await alice.refused("/posts", text="Quand ?", where="@colleagues", **wrong)
    assert "la question" in await alice.refused("/posts", text=" ", where="@colleagues", option=["a", "b"])
    assert await db.fetch("SELECT id FROM post") == []


async def test_bruno_votes_with_a_form_and_reads_numbers(cast: Cast, alice: Browser, bruno: Browser) -> None:
    await space("equipe", Level.INTERNAL, cast.alice, cast.bruno)
    options = ["lundi", "<b>mardi</b>", "", ""]
    await alice.post("/posts", text="Quand ?", where="equipe", option=options, ends="86400")
    [post] = await db.fetch("SELECT id FROM post")
    address = f"/posts/{post['id']}"
    page = await bruno.page(address)
    assert 'name="choice"' in page and "&lt;b&gt;mardi" in page and "<b>mardi" not in page
    assert "un seul choix" in page
    assert "Faites un choix." in await bruno.refused(f"{address}/vote")
    assert await bruno.post(f"{address}/vote", choice="1", back="/") == f"/#post-{post['id']}"
    page = await bruno.page("/")
    assert "votre choix" in page and 'name="choice"' not in page
    assert re.search(r"100\s%</strong> · 1 voix", page) and "1 personne a voté" in page
    assert "déjà voté" in await bruno.refused(f"{address}/vote", choice="0")
    piece = await bruno("POST", f"{address}/vote", data={"choice": "0"}, headers={"hx-request": "true"})
    assert (piece.status_code, "déjà voté" in piece.text, "<html" in piece.text) == (200, True, False)
    await db.execute("UPDATE poll SET ends_at = $1", now_ms() - 1)
    page = await alice.page(address)
    assert "terminé le" in page and 'name="choice"' not in page
    assert "on n’y vote plus" in await alice.refused(f"{address}/vote", choice="0")


async def test_who_only_reads_sees_results_and_no_form(cast: Cast, alice: Browser, visitor: Browser) -> None:
    place = await space("place", Level.PUBLIC, cast.alice)
    await db.execute("UPDATE space SET opened_at = 1 WHERE id = $1", place)
    draft = Draft("Quand ?", place, poll=NewPoll(("lundi", "mardi"), multiple=True))
    post = await publish(cast.alice, draft, HERE)
    assert 'type="checkbox" name="choice"' in re.sub(r"\s+", " ", await alice.page(f"/posts/{post}"))
    page = await visitor.page(f"/posts/{post}")
    assert "lundi" in page and "sans date de fin" in page and "/vote" not in page
