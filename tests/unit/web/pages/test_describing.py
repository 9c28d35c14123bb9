"""What is to be seen in files, said in plain forms: read aloud where they are shown, given back when it is wrong."""

import io
import re

import httpx
import pytest
from PIL import Image
from starlette.applications import Starlette

from server import database as db
from server.limits import DESCRIPTION_BYTES
from server.openness import Level
from tests.cast import Cast, space
from tests.unit.web.pages.browser import Browser
from tests.unit.web.pages.forms import Form, Forms

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)]

NAMES = ("coffret.png", "poste.png")
LONG = "é" * (DESCRIPTION_BYTES // 2 + 1)
"""Fewer characters than the field takes, and two bytes too many."""


def picture() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (60, 40), "red").save(out, "PNG")
    return out.getvalue()


async def sends(browser: Browser, *names: str, **fields: str) -> httpx.Response:
    """Publishes in `equipe`, with these files."""
    files = [("files", (name, picture(), "image/png")) for name in names]
    data = {"text": "Voici", "where": "equipe", **fields}
    return await browser("POST", "/posts", data=data, files=files or None)


async def sends_again(browser: Browser, form: Form, page: str, **fields: str) -> httpx.Response:
    """The form that came back, with its files, as a browser sends it."""
    kept = re.findall(r'name="file" value="(\d+)"', page)
    return await browser("POST", form.action, data={**form.sent, "file": kept, **fields})


def composer(page: str) -> Form:
    return next(form for form in Forms(page).found if form.action == "/posts")


def beside(page: str, name: str) -> str:
    """The sentence beside a field, which is marked as wrong."""
    read = Forms(page)
    [field] = [one for form in read.found for one in form.controls if one.name == name]
    assert field.attributes.get("aria-invalid") == "true"
    return "".join(read.said[told] for told in field.described_by if read.tells_errors(told)).strip()


async def said() -> list[str]:
    return [row["description"] for row in await db.fetch("SELECT description FROM attachment ORDER BY id")]


async def posts() -> int:
    return len(await db.fetch("SELECT id FROM post"))


@pytest.fixture
async def team(cast: Cast) -> int:
    return await space("equipe", Level.INTERNAL, cast.alice, cast.bruno)


async def test_a_line_for_each_file_is_read_aloud_in_its_place(team: int, alice: Browser, bruno: Browser) -> None:
    answer = await sends(alice, *NAMES, "plan.png", descriptions="Le coffret, ouvert\r\n\r\n  Le plan <du> site \r\n")
    assert answer.status_code == 303
    assert await said() == ["Le coffret, ouvert", "", "Le plan <du> site"]
    page = await bruno.page("/spaces/equipe")
    assert re.findall(r'<img src="/small/\d+" alt="([^"]*)"', page) == [
        "Le coffret, ouvert",
        "poste.png",
        "Le plan &lt;du&gt; site",
    ]


async def test_a_field_for_each_file_is_kept_with_it(team: int, alice: Browser) -> None:
    await sends(alice, *NAMES, **{"description-1": "", "description-2": "Le poste 3,\r\nla nuit"})
    assert await said() == ["", "Le poste 3,\nla nuit"]


async def test_a_description_that_is_too_long_comes_back_beside_its_file_and_loses_nothing(
    team: int, alice: Browser
) -> None:
    for fields in ({"descriptions": f"Le coffret\n{LONG}"}, {"description-1": "Le coffret", "description-2": LONG}):
        answer = await sends(alice, *NAMES, **fields)
        assert answer.status_code == 422
        assert "10000 octets" in beside(answer.text, "description-2")
        form, before = composer(answer.text), await posts()
        assert [form.filled(name) for name in ("text", "description-1", "description-2", "descriptions")] == [
            "Voici",
            "Le coffret",
            LONG,
            "",
        ]
        assert [f"<bdi>{name}</bdi></label>" in answer.text for name in NAMES] == [True, True]
        assert set((await said())[-2:]) == {""}, "nothing is said of a file before it is published"
        again = await sends_again(alice, form, answer.text, **{"description-2": "Le poste"})
        assert again.status_code == 303 and await posts() == before + 1
        assert (await said())[-2:] == ["Le coffret", "Le poste"]


async def test_more_lines_than_files_come_back_with_each_line_where_it_belongs(team: int, alice: Browser) -> None:
    answer = await sends(alice, "coffret.png", descriptions="Le coffret\nLe poste\nLe plan")
    assert answer.status_code == 422
    assert "une ligne par fichier" in beside(answer.text, "descriptions")
    form = composer(answer.text)
    assert (form.filled("description-1"), form.filled("descriptions")) == ("Le coffret", "Le poste\nLe plan")
    assert re.search(r"<details[^>]* data-lines open", answer.text), "what is wrong can be seen"
    assert "Le coffret" not in await said() and await posts() == 0
    alone = await sends(alice, descriptions="De rien")
    assert alone.status_code == 422 and composer(alone.text).filled("descriptions") == "De rien"
    past = await sends(alice, "coffret.png", **{"description-1": "Le coffret", "description-2": "De rien"})
    assert past.status_code == 422 and composer(past.text).filled("descriptions") == "De rien"
    again = await sends_again(alice, form, answer.text, descriptions="")
    assert again.status_code == 303 and "Le coffret" in await said()


async def test_what_is_said_of_files_is_not_lost_when_something_else_is_wrong(team: int, alice: Browser) -> None:
    for wrong in ({"where": "nulle-part"}, {"text": "é" * 40_001}):
        page = (await sends(alice, "coffret.png", descriptions="Le coffret", **wrong)).text
        assert composer(page).filled("description-1") == "Le coffret" and "coffret.png" in page
    many = await sends(alice, *(f"{n}.png" for n in range(21)), **{f"description-{n}": f"n° {n}" for n in range(1, 22)})
    assert many.status_code == 422 and "n° 21" in composer(many.text).filled("descriptions")
    assert await posts() == 0


async def test_a_file_of_somebody_else_is_neither_shown_nor_described(
    team: int, alice: Browser, bruno: Browser
) -> None:
    theirs = re.search(r'name="file" value="(\d+)"', (await sends(bruno, "coffret.png", where="nulle-part")).text)
    assert theirs is not None
    page = (await sends(alice, file=theirs[1], **{"description-1": "À moi"})).text
    assert "coffret.png" not in page and await said() == [""] and await posts() == 0


async def test_its_author_says_better_what_is_to_be_seen_and_nobody_else_does(
    team: int, alice: Browser, bruno: Browser
) -> None:
    answer = await sends(alice, *NAMES, descriptions="Le coffre")
    address = f"/posts/{answer.headers['location'].rpartition('-')[2]}/edit"
    form = next(one for one in Forms(await alice.page(address)).found if one.action == address)
    assert [form.filled(f"description-{place}") for place in (1, 2)] == ["Le coffre", ""]
    wrong = await alice("POST", address, data={**form.sent, "text": "Mieux", "description-2": LONG})
    assert wrong.status_code == 422 and "10000 octets" in beside(wrong.text, "description-2")
    back = next(one for one in Forms(wrong.text).found if one.action == address)
    assert (back.filled("text"), back.filled("description-2")) == ("Mieux", LONG)
    refused = await bruno("POST", address, data={**form.sent, "description-1": "Le mien"})
    assert refused.status_code == 403 and await said() == ["Le coffre", ""]
    told = await db.fetch("SELECT id FROM event WHERE kind = 'post_edited'")
    assert (await alice("POST", address, data=form.sent)).status_code == 303
    assert await db.fetch("SELECT id FROM event WHERE kind = 'post_edited'") == told, "nothing changed, nothing is told"
    better = await alice("POST", address, data={**form.sent, "description-1": "Le coffret"})
    assert better.status_code == 303
    assert await said() == ["Le coffret", ""]
    assert len(await db.fetch("SELECT id FROM event WHERE kind = 'post_edited'")) == len(told) + 1
    await alice.post(address, text="Voici mieux")
    assert await said() == ["Le coffret", ""], "a form without the fields changes nothing of them"


async def test_other_instances_are_told_it_as_the_name_of_the_attachment(
    app: Starlette, cast: Cast, alice: Browser, visitor: Browser
) -> None:
    answer = await sends(alice, *NAMES, where="@public", descriptions="Le coffret, ouvert")
    post = answer.headers["location"].rpartition("-")[2]
    [row] = await db.fetch("SELECT uri FROM post")
    assert post in row["uri"]
    document = (await visitor.get(row["uri"], headers={"accept": "application/activity+json"})).json()
    assert [one["name"] for one in document["attachment"]] == ["Le coffret, ouvert", "poste.png"]
