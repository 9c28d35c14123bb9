"""Every form of every page, filled wrongly: it comes back with a sentence beside the field and with what was typed."""

import pytest
from starlette.applications import Starlette

from server import database as db
from server.actions.break_glass import ask
from server.openness import Level
from tests.cast import KESTREL, Cast, enter, guest, say, space
from tests.unit.web.pages.browser import Browser
from tests.unit.web.pages.forms import Control, Form, Forms
from tests.unit.web.pages.test_files import attached

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)]

FILLED = {"name": "quelquun", "slug": "adresse", "who": "bruno", "host": "rse.example", "until": "2998-01-01"}
"""What fits, for fields that must be filled; the others take any words."""
DAYS = ("2027-02-31", "9999-12-31", "0001-01-01", "demain")


async def furnished(app: Starlette, cast: Cast) -> dict[str, list[str]]:
    """Something behind every form; the pages by who reads them."""
    await guest("gwen", "Gwen Le Roux", cast.alice, "Cabinet Ouest")
    await space("offre", Level.PARTNERS, cast.alice, cast.chloe, partners=(KESTREL,))
    team = await space("equipe", Level.INTERNAL, cast.alice, cast.bruno)
    forum = await space("forum", Level.NETWORK, cast.alice)
    await enter(forum, cast.eve)
    await say(cast.eve, "bonjour", forum)
    post = await say(cast.alice, "le poste 3", team)
    await attached(app, cast.alice, post, "image/png")
    await ask(cast.odile, "equipe", "une plainte, dossier 12")
    return {
        "alice": [
            "/posts/new",
            f"/posts/{post}",
            f"/posts/{post}/edit",
            "/spaces?part=new",
            "/spaces/offre/members",
            "/spaces/offre/openness",
            "/spaces/offre/openness/close",
            "/spaces/forum/queue",
            "/settings",
        ],
        "odile": ["/admin/people", "/admin/links", f"/admin/links/{KESTREL}", "/admin/glass"],
        "visitor": ["/login"],
    }


def too_much(control: Control) -> tuple[str, ...]:
    """What does not fit: one character more than a field takes, days that are none or centuries away."""
    return DAYS if control.dated else ("é" * (int(control.attributes["maxlength"]) + 1),)


async def wrongs(browser: Browser, form: Form, control: Control, told: str) -> list[str]:
    """What is not right about how a form comes back that was filled wrongly."""
    sent = {name: form.filled(name) or FILLED.get(name, "des mots") for name in form.required} | {control.name: told}
    at = f"{form.action}?do=apply" if any(form.buttons) else form.action
    answer = await browser("POST", at, data={**form.sent, **sent})
    where = f"{at} {control.name}={told[:12]} ({len(told)})"
    if answer.status_code != 422:
        return [f"{where}: answers {answer.status_code}"]
    read = Forms(answer.text)
    back = next((one for one in read.found if one.action == form.action), Form("", ""))
    found = next((one for one in back.controls if one.name == control.name), None)
    if found is None:
        return [f"{where}: its form is gone"]
    said = [read.said.get(name, "") for name in found.described_by if read.tells_errors(name)]
    marked = found.attributes.get("aria-invalid") == "true"
    wrong = [] if any(said) and marked else [f"{where}: no sentence beside it"]
    for one in back.controls:
        if one.name == control.name and one is not found:
            continue  # one of several of this name
        if one.kind != "password" and one.value != {**form.sent, **sent}.get(one.name, ""):
            wrong.append(f"{where}: {one.name} is lost")
    return wrong


async def test_a_wrong_field_comes_back_with_a_sentence_beside_it_and_nothing_is_lost(
    app: Starlette, cast: Cast, alice: Browser, odile: Browser, visitor: Browser
) -> None:
    pages, browsers = await furnished(app, cast), {"alice": alice, "odile": odile, "visitor": visitor}
    before = await changes()
    wrong: list[str] = []
    tried: set[tuple[str, str]] = set()
    for who, page in [(reader, page) for reader, read in pages.items() for page in read]:
        for form in Forms(await browsers[who].page(page)).found:
            for control in form.controls:
                if form.method != "post" or (form.action, control.name) in tried:
                    continue
                tried.add((form.action, control.name))
                if control.typed and "maxlength" not in control.attributes:
                    wrong.append(f"{page} {control.name}: no maxlength")
                elif control.typed or control.dated:
                    for told in too_much(control):
                        wrong += await wrongs(browsers[who], form, control, told)
    assert wrong == []
    assert len(tried) > 40
    assert await changes() == before


async def changes() -> list[object]:
    """How many rows there are of what forms write."""
    tables = (
        "account",
        "actor",
        "space",
        "post",
        "membership",
        "link",
        "policy_version",
        "policy_change",
        "notice",
    )
    return [await db.fetch(f"SELECT COUNT(*) AS n FROM {table}") for table in tables]


async def test_a_sponsor_whom_nobody_knows_is_told_beside_their_field(cast: Cast, alice: Browser) -> None:
    await space("offre", Level.PARTNERS, cast.alice, partners=(KESTREL,))
    [form] = [one for one in Forms(await alice.page("/spaces/offre/openness")).found if any(one.buttons)]
    page = await alice.post(f"{form.action}?do=apply", 422, **{**form.sent, "p0_sponsor": "personne"})
    read = Forms(page)
    [field] = [one for form in read.found for one in form.controls if one.name == "p0_sponsor"]
    assert (field.value, field.described_by) == ("personne", ["p0_sponsor-error"])
    assert "personne" in read.said["p0_sponsor-error"]
    assert "personne" in read.said["stopped"], "the top of the page says it too"


WRONG: dict[str, tuple[str, str, dict[str, str], int, str]] = {
    "an address that is taken": ("alice", "/spaces", {"name": "X", "slug": "offre"}, 409, "slug"),
    "a name that turns what follows": ("alice", "/spaces", {"name": "\u202eoffre", "slug": "x"}, 422, "name"),
    "a partner that nobody links": (
        "alice",
        "/spaces",
        {"name": "X", "slug": "x", "level": "partners", "partners": "nowhere.example"},
        422,
        "partners",
    ),
    "somebody unknown": ("alice", "/spaces/offre/members", {"who": "personne"}, 422, "who"),
    "nobody": ("alice", "/spaces/offre/members", {"who": " @ "}, 422, "who"),
    "a place that is none": ("alice", "/posts", {"text": "bonjour", "where": "inconnu"}, 422, ""),
    "a name twice": ("odile", "/admin/people", {"name": "bruno"}, 409, "name"),
    "a guest without a sponsor": ("odile", "/admin/people", {"name": "n", "office": "guest"}, 422, "sponsor"),
    "no guest at all": ("odile", "/admin/people/bruno/extend", {"until": "2030-01-01"}, 422, ""),
    "a host with a path": ("odile", "/admin/links", {"host": "rse.example/x"}, 422, "host"),
    "no reason": ("odile", "/admin/glass", {"space": "offre", "reason": "  "}, 422, "reason"),
    "a space that is not there": ("odile", "/admin/glass", {"space": "x", "reason": "dossier 12"}, 422, "space"),
    "a post that waits no more": ("alice", "/spaces/offre/queue/{post}/refuse", {"reason": "non"}, 409, ""),
    "the last owner": ("alice", "/spaces/offre/leave", {}, 409, ""),
}
"""Who sends what to where, what it is answered with, and the field that the sentence stands beside; '' for none."""


async def test_what_does_not_fit_is_told_beside_its_field_or_at_the_top_with_the_status_of_its_kind(
    cast: Cast, alice: Browser, odile: Browser
) -> None:
    offre = await space("offre", Level.PARTNERS, cast.alice, partners=(KESTREL,))
    post = await say(cast.alice, "bonjour", offre)
    wrong = []
    for what, (who, path, fields, status, field) in WRONG.items():
        browser = alice if who == "alice" else odile
        answer = await browser("POST", path.format(post=post), data=fields)
        read = Forms(answer.text)
        told = [name for name in read.said if read.tells_errors(name) and read.said[name].strip()]
        if (answer.status_code, told) != (status, [f"{field}-error" if field else "refused"]):
            wrong.append(f"{what}: {answer.status_code}, {told}")
    files = [("files", (f"{number}.txt", b"x", "text/plain")) for number in range(21)]
    answer = await alice("POST", "/posts", data={"text": "gardez ceci", "where": "offre"}, files=files)
    assert answer.status_code == 422 and "gardez ceci" in answer.text and "20 fichiers" in answer.text
    assert wrong == []
