"""Writing by plain forms: it works without a script, says who will see, and loses nothing that was typed."""

import re

import pytest
from starlette.applications import Starlette

from server import database as db
from server.openness import Level
from tests.cast import KESTREL, Cast, say, space
from tests.unit.web.pages.browser import Browser

pytestmark = pytest.mark.anyio


async def test_an_empty_message_and_a_place_that_is_none_come_back_with_what_was_typed(
    cast: Cast, alice: Browser
) -> None:
    assert "est vide" in await alice.refused("/posts", text=" ", where="@colleagues")
    page = await alice.refused("/posts", text="Ne pas perdre ceci", where="nulle-part")
    assert "Ne pas perdre ceci" in page
    assert await db.fetch("SELECT id FROM post") == []


async def test_bruno_who_may_only_read_is_told_what_would_be_enough(cast: Cast, bruno: Browser) -> None:
    await space("equipe", Level.INTERNAL, cast.alice)
    page = await bruno.refused("/posts", text="Bonjour", where="equipe")
    assert "Il suffirait d’entrer dans l’espace" in page and "Bonjour" in page


async def test_a_form_that_is_sent_twice_is_one_message(cast: Cast, alice: Browser) -> None:
    first = await alice.post("/posts", text="Bonjour", where="@colleagues", key="k1", back="/")
    again = await alice.post("/posts", text="Bonjour", where="@colleagues", key="k1", back="/")
    assert first == again and re.fullmatch(r"/#post-\d+", first)
    assert len(await db.fetch("SELECT id FROM post")) == 1


async def test_the_composer_says_who_will_see_before_anything_is_sent(cast: Cast, alice: Browser) -> None:
    await space("cevennes", Level.PARTNERS, cast.alice, cast.chloe, partners=(KESTREL,))
    page = await alice.page("/spaces/cevennes")
    assert "1 collègue" in page and f"1 chez {KESTREL}" in page
    line = await alice.page("/spaces/cevennes?part=audience", headers={"hx-request": "true"})
    assert f"1 chez {KESTREL}" in line and "<html" not in line


async def test_alice_attaches_a_file_answers_edits_reacts_and_withdraws(
    app: Starlette, cast: Cast, alice: Browser, bruno: Browser
) -> None:
    await space("equipe", Level.INTERNAL, cast.alice)
    answer = await alice(
        "POST",
        "/posts",
        data={"text": "Les relevés", "where": "equipe", "back": "/spaces/equipe"},
        files={"files": ("Relevés.pdf", b"%PDF-1.7\n", "application/pdf")},
    )
    assert answer.status_code == 303
    post = answer.headers["location"].rpartition("-")[2]
    page = await bruno.page(f"/posts/{post}")
    media = re.search(r'href="(/media/[^"]+)"', page)
    assert media and (await bruno.get(media[1])).content == b"%PDF-1.7\n"
    await bruno.post("/posts", text="Merci, c’est clair", answers=post)
    await bruno.post(f"/posts/{post}/react", emoji="")
    await alice.post(f"/posts/{post}/edit", text="Les relevés du poste 3")
    assert (await bruno("POST", f"/posts/{post}/edit", data={"text": "x"})).status_code == 403
    page = await alice.page(f"/posts/{post}")
    assert "poste 3" in page and "c’est clair" in page and "Relevés.pdf" in page
    assert 'aria-pressed="true"' in await bruno.page(f"/posts/{post}")
    await bruno.post(f"/posts/{post}/react", emoji="", undo="1")
    assert 'aria-pressed="true"' not in await bruno.page(f"/posts/{post}")
    assert await alice.post(f"/posts/{post}/withdraw") == "/spaces/equipe"
    assert (await bruno.get(f"/posts/{post}")).status_code == 404
    assert (await bruno.get(media[1])).status_code == 404


async def test_what_is_new_is_marked_once_and_the_mark_stands_where_reading_stopped(
    cast: Cast, alice: Browser, bruno: Browser
) -> None:
    await say(cast.alice, "Premier")
    assert "post--new" in await bruno.page("/")
    await say(cast.alice, "Second")
    page = await bruno.page("/")
    assert page.count("post--new") == 1
    assert page.index("Second") < page.index("Lu jusqu’ici") < page.index("Premier")
    assert "Lu jusqu’ici" not in await bruno.page("/")


async def test_who_sees_this_is_told_in_sentences(cast: Cast, alice: Browser, bruno: Browser) -> None:
    cevennes = await space("cevennes", Level.PARTNERS, cast.alice, cast.chloe, partners=(KESTREL,))
    post = await say(cast.alice, "Bonjour", cevennes)
    page = await alice.page(f"/posts/{post}/audience")
    assert KESTREL in page
    assert (await bruno.get(f"/posts/{post}/audience")).status_code == 404


async def test_text_of_people_is_never_markup(cast: Cast, alice: Browser, bruno: Browser) -> None:
    await alice.post("/posts", text="<script>alert(1)</script> **fort**", where="@colleagues")
    page = await bruno.page("/")
    assert "<script>alert" not in page and "<strong>fort</strong>" in page
    assert "<img" not in await bruno.page("/search?q=<img src=x>")
