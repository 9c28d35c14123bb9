"""Every page, in both languages, light and dark, on a desk and on a phone: axe finds nothing, nothing overflows."""

from typing import Any

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, FilePayload

from server import database as db
from server.clock import now_ms
from tests.browser.people import Visitor, hire, sign_in, visitor
from tests.federation.conftest import MakeNode
from tests.federation.harness import Node, link, worded

pytestmark = [pytest.mark.anyio, pytest.mark.browser]

VARIANTS: list[dict[str, Any]] = [
    {"locale": "fr-FR", "color_scheme": "light", "viewport": {"width": 1280, "height": 900}},
    {"locale": "en-GB", "color_scheme": "dark", "viewport": {"width": 1280, "height": 900}},
    {"locale": "fr-FR", "color_scheme": "dark", "viewport": {"width": 390, "height": 800}},
    {"locale": "en-GB", "color_scheme": "light", "viewport": {"width": 320, "height": 700}},
]
SLANTED: list[dict[str, Any]] = [VARIANTS[0], {**VARIANTS[1], "viewport": {"width": 320, "height": 700}}]
"""Each language, each light and both ends of the widths, in half the time."""
PAGES = [
    "/",
    "/posts/new",
    "/spaces",
    "/spaces?part=new",
    "/spaces/projet",
    "/spaces/projet/members",
    "/spaces/projet/about",
    "/spaces/projet/openness",
    "/spaces/projet/audience",
    "/explain?thing=space:projet&as=web",
    "/explain?thing=person:bruno&who=personne",
    "/spaces/projet/openness/close",
    "/spaces/projet/openness/history",
    "/spaces/projet/openness/as?who=web&form=document",
    "/elsewhere",
    "/elsewhere?address=rien",
    "/people",
    "/@odile",
    "/@bruno",
    "/notifications",
    "/search?q=poste",
    "/settings",
    "/admin",
    "/admin/links",
    "/admin/people",
    "/admin/deliveries",
    "/admin/audit",
    "/admin/recalls",
    "/admin/spaces",
    "/admin/spaces/projet",
    "/admin/glass",
    "/nulle-part",
]
PUBLIC = ["/login", "/spaces/actualites", "/nulle-part"]


async def furnished(fleet: MakeNode) -> tuple[Node, list[str]]:
    """An instance with something on every page; the addresses of a thread and of a link."""
    node = await fleet("Aubrac Énergie")
    await hire(node, "odile", "Odile Garnier", "admin")
    await hire(node, "bruno", "Bruno Martel")
    token = (await node.person("henri", "Henri-Jacques de la Très-Longue-Maison-Neuve")).token
    for slug, name, level in (("projet", "Projet Cévennes", "internal"), ("actualites", "Actualités", "public")):
        await node.cli("spaces", "add", slug, "--name", name, "--level", level, "--owner", "odile")
        for who in ("bruno", "henri"):
            await node.cli("spaces", "members", slug, "--add", who)
    picture = {"file": ("poste.png", worded("poste"))}
    headers = {"authorization": f"Bearer {token}"}
    file = (await node.client.post("/api/v2/media", files=picture, headers=headers)).json()["id"]
    said: dict[str, Any] = {
        "media_ids": [file],
        "status": "@odile le **poste** 3\n\n- un\n- deux\n\n> cité `code`",
        "parvis_space": "projet",
    }
    post = (await node.client.post("/api/v1/statuses", json=said, headers=headers)).json()
    answer = {"status": "Réponse avec " + "motTrèsLong" * 20, "in_reply_to_id": post["id"]}
    await node.client.post("/api/v1/statuses", json=answer, headers=headers)
    news = {"status": "Bonne nouvelle.", "parvis_space": "actualites"}
    await node.client.post("/api/v1/statuses", json=news, headers=headers)
    asked = {"status": "Quand ?", "parvis_space": "projet", "poll": {"options": ["lundi", "mardi" * 18]}}
    polls = [(await node.client.post("/api/v1/statuses", json=asked, headers=headers)).json() for _ in range(2)]
    await node.client.post(f"/api/v1/polls/{polls[0]['id']}/votes", json={"choices": [1]}, headers=headers)
    partner = await fleet("Kestrel GmbH")
    await node.cli("link", "offer", partner.host)
    thread = f"/posts/{post['id']}"
    return node, [
        thread,
        f"{thread}/audience",
        f"{thread}/share",
        f"/admin/links/{partner.host}",
        f"/admin/partners/{partner.host}",
    ]


def expected(complaint: str) -> bool:
    """What a console says of a page that is not there, of a question that is answered with why it has no answer, and
    of the scripts that a framed page may not run.
    """
    return any(words in complaint for words in ("404", "422", "sandboxed"))


async def drafted(person: Visitor) -> str:
    """The address at which a draft goes on, with what it would change."""
    await person.open("/spaces/projet/openness")
    await person.page.locator("input[name=level][value=network]").check()
    await person.page.locator("#closes_at").fill("2020-01-01")
    await person.page.locator("button[formaction$='do=draft']").click()
    await person.page.wait_for_url("**draft=*")
    return person.page.url.removeprefix(person.node.base)


async def described(person: Visitor) -> list[str]:
    """What is wrong with the fields that describe files: of those just chosen, and of a post that is edited."""
    await person.open("/posts/new")
    await person.page.locator("#files").set_input_files(
        [
            FilePayload(name=f"{name}.png", mimeType="image/png", buffer=worded(name))
            for name in ("poste", "motTrèsLong" * 12)
        ]
    )
    await person.page.locator("#description-1").fill("Le poste 3, ouvert")
    wrong = await faults_here(person, "files to describe")
    await person.page.locator("form.composer .button--main").click()
    edit = await person.page.locator("article a[href$='/edit']").first.get_attribute("href")
    return wrong + await faults(person, str(edit))


async def faults(person: Visitor, path: str) -> list[str]:
    """The same of a page that is opened."""
    await person.open(path)
    return await faults_here(person, path)


async def faults_here(person: Visitor, path: str) -> list[str]:
    """What axe finds on a page, and whether it is wider than the window, its text squeezed into a column, or an icon of
    the size of its card, as one is that no rule speaks of.
    """
    found = await Axe().run(person.page)
    wrong = [f"{path}: {violation['id']}: {violation['help']}" for violation in found.response["violations"]]
    wide = await person.page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
    small = await person.page.evaluate(
        """[...document.querySelectorAll('main a.button, main button, .menu a, .foot a')]
           .filter(e => e.offsetParent && e.getBoundingClientRect().height < 24).map(e => e.outerHTML.slice(0, 80))"""
    )
    cut = await person.page.evaluate(
        """[...document.querySelectorAll('.table--scroll')].filter(e => e.scrollWidth > e.clientWidth + 1)
           .map(e => e.getAttribute('aria-label') || e.id)"""
    )
    huge = await person.page.evaluate(
        """[...document.querySelectorAll('svg > use')].filter(e => e.ownerSVGElement.clientWidth > 64)
           .map(e => e.getAttribute('href'))"""
    )
    wrong += [f"{path}: a huge icon: {name}" for name in huge]
    wrong += [f"{path}: has to be scrolled sideways: {name}" for name in cut]
    squeezed = await person.page.evaluate("document.querySelector('main').clientWidth < Math.min(500, innerWidth - 40)")
    wrong += [f"{path}: squeezed"] if squeezed else []
    return wrong + ([f"{path}: wider than the window"] if wide else []) + [f"{path}: small target {e}" for e in small]


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    "variants", [pytest.param(SLANTED, id="two"), pytest.param(VARIANTS, id="four", marks=pytest.mark.soak)]
)
async def test_no_page_has_a_fault_in_any_language_light_or_width(
    fleet: MakeNode, chromium: Browser, variants: list[dict[str, Any]]
) -> None:
    node, more = await furnished(fleet)
    wrong: list[str] = []
    for options in variants:
        where = f"{options['locale']} {options['color_scheme']} {options['viewport']['width']}"
        odile = await sign_in(chromium, node, "odile", **options)
        for path in [*PAGES, *more, await drafted(odile)]:
            wrong += [f"{where} {fault}" for fault in await faults(odile, path)]
        wrong += [f"{where} {fault}" for fault in await described(odile)]
        wrong += [f"{where} console: {said}" for said in odile.complaints if not expected(said)]
        stranger = await visitor(chromium, node, **options)
        for path in PUBLIC:
            wrong += [f"{where} {fault}" for fault in await faults(stranger, path)]
        language = "fr" if options["locale"] == "fr-FR" else "en"
        assert await odile.page.evaluate("document.documentElement.lang") == language
    assert wrong == []


LINK_STATES = ("offered", "received", "confirmed", "active", "suspended", "key", "ended")


@pytest.mark.soak
@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
async def test_the_pages_of_a_link_have_no_fault_in_any_of_its_states(fleet: MakeNode, chromium: Browser) -> None:
    node, partner = await fleet("Aubrac Énergie"), await fleet("Kestrel GmbH")
    await hire(node, "odile", "Odile Garnier", "admin")
    await link(node, partner)
    wrong: list[str] = []
    for options in VARIANTS:
        odile = await sign_in(chromium, node, "odile", **options)
        for state in LINK_STATES:
            await db.connect(node.database_url, models=())
            await db.execute(
                "UPDATE link SET state = $1, cause = $2, reason = $3, confirmed_here_at = $4, until_at = $5",
                "suspended" if state == "key" else state,
                "key" if state == "key" else "",
                "une raison" if state in ("suspended", "key") else "",
                None if state == "confirmed" else 1,
                now_ms() + 10**10,
            )
            await db.disconnect()
            for path in ("/admin/links", f"/admin/links/{partner.host}"):
                wrong += [f"{options['locale']} {state} {fault}" for fault in await faults(odile, path)]
        wrong += [f"console: {said}" for said in odile.complaints if not expected(said)]
    assert wrong == []
