"""Open to one partner until a date, with a second person's approval; seen there, and gone when the date has passed."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from playwright.async_api import Browser, expect

from server import database as db
from server.clock import now_ms
from server.ids import new_id
from tests.browser.people import Visitor, again, hire, sign_in
from tests.federation.conftest import MakeNode
from tests.federation.harness import Node, link, until

pytestmark = [pytest.mark.anyio, pytest.mark.browser]

SLUG = "cevennes"
MEMBER = """SELECT m.id FROM membership m JOIN space s ON s.id = m.space_id JOIN actor a ON a.id = m.actor_id
 WHERE a.name = 'chloe' AND m.state = 'member' AND s.slug = '%s'"""
GONE_S = 20.0
"""The timer looks twice a second; the rest is for a slow machine. Alone it takes less than one second."""
WORDS = {
    "fr-FR": {
        "partners": "Partenaires",
        "before": "Avant d’appliquer",
        "everyone": "tout le monde là-bas",
        "add": "Ajouter",
        "linked": "Ajouter une instance liée",
        "second": "Une seconde personne doit valider.",
        "ask": "Demander la validation",
        "gone out": "La demande est partie.",
        "until": "Jusqu’au, pour",
        "end": "Ouvert jusqu’au",
        "see": "Voir et décider",
        "approve": "Valider",
        "approved": "Vous avez validé",
        "as": "Voir comme…",
        "draft": "sur le brouillon",
        "history": "à la date prévue",
    },
    "en-GB": {
        "partners": "Partners",
        "before": "Before applying",
        "everyone": "everyone there",
        "add": "Add",
        "linked": "Add a linked instance",
        "second": "A second person has to approve.",
        "ask": "Ask for approval",
        "gone out": "The request has gone out.",
        "until": "Until, for",
        "end": "Open until",
        "see": "See and decide",
        "approve": "Approve",
        "approved": "You approved it",
        "as": "View as…",
        "draft": "in the draft",
        "history": "on its date",
    },
}


@asynccontextmanager
async def inside(node: Node) -> AsyncIterator[None]:
    """The database of an instance, open beside its process."""
    await db.connect(node.database_url, models=())
    try:
        yield
    finally:
        await db.disconnect()


async def companies(fleet: MakeNode) -> tuple[Node, Node]:
    """Two linked companies; here openings to partners wait for a second person."""
    aubrac, kestrel = await asyncio.gather(fleet("Aubrac Énergie", resident=True), fleet("Kestrel GmbH", resident=True))
    await asyncio.gather(
        hire(aubrac, "alice", "Alice Fournier"),
        hire(aubrac, "odile", "Odile Garnier", "admin"),
        hire(kestrel, "chloe", "Chloé Lindner"),
        link(aubrac, kestrel),
    )
    async with inside(aubrac):
        rail = {"id": new_id(), "name": "require_second_person_from", "value": '"partners"'}
        await db.insert("guardrail", rail)
    return aubrac, kestrel


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
async def test_a_space_is_opened_to_a_partner_until_a_date_and_seen_there_until_then(
    fleet: MakeNode, chromium: Browser
) -> None:
    aubrac, kestrel = await companies(fleet)
    signed_in = await asyncio.gather(
        sign_in(chromium, aubrac, "alice"), sign_in(chromium, aubrac, "odile"), sign_in(chromium, kestrel, "chloe")
    )
    for language, said in WORDS.items():
        slug = f"{SLUG}-{language[:2]}"
        alice, odile, chloe = [await again(chromium, person, locale=language) for person in signed_in]
        await opens(alice, slug)
        await asks(alice, kestrel, slug, said)
        await approves(odile, said)
        there = f"/spaces/{slug}@{aubrac.host}"
        await comes(chloe, aubrac, slug)
        await until(partial(aubrac.values, MEMBER % slug), bool, "Chloé is a member")
        await alice.open(f"/spaces/{slug}")
        await alice.page.locator("textarea[name=text]").fill("Le poste 3 dérive encore.")
        await alice.page.locator("[data-composer] .button--main").click()
        await until(partial(chloe.status, there), lambda answer: "Le poste 3" in answer[1], "Chloé reads it")

        async with inside(aubrac):
            await db.execute("UPDATE space SET closes_at = $1 WHERE slug = $2", now_ms(), slug)
        await until(partial(chloe.status, there), lambda answer: answer[0] == 404, "it is gone", GONE_S)
        assert "Le poste 3" not in (await chloe.status("/"))[1]
        assert said["history"] in (await alice.status(f"/spaces/{slug}/openness"))[1]
        assert alice.complaints == odile.complaints == []
        for person in (alice, odile, chloe):
            await person.page.context.close()


async def comes(chloe: Visitor, host: Node, slug: str) -> None:
    """Chloé pastes the address that she was given into the search, and asks to come in; what never was is not there."""
    for typed, shown in ((f"{slug}-jamais", 0), (slug, 1)):
        await chloe.open("/")
        await chloe.page.locator("header [name=q]").fill(f"{host.base}/spaces/{typed}")
        await chloe.page.keyboard.press("Enter")
        await chloe.page.wait_for_url("**/elsewhere?address=*")
        asks = chloe.page.locator("main form[method=post][action='/elsewhere'] button")
        assert await asks.count() == shown
    await asks.click()
    await chloe.page.wait_for_url(re.compile(r"/elsewhere\?asked=|/spaces/"))


async def opens(alice: Visitor, slug: str) -> None:
    """Alice opens a space that only its members read."""
    await alice.open("/spaces?part=new")
    page = alice.page
    await page.locator("[name=name]").fill("Projet Cévennes")
    await page.locator("[name=slug]").fill(slug)
    await page.locator("[name=level][value=closed]").check()
    await page.locator("main form button.button--main").click()
    await page.wait_for_url(f"**/spaces/{slug}")


async def approves(odile: Visitor, said: dict[str, str]) -> None:
    """A second person comes from her notices, reads the plan, and approves it."""
    await odile.open("/notifications")
    await odile.page.get_by_role("link", name=said["see"]).first.click()
    await odile.page.get_by_role("button", name=said["approve"], exact=True).click()
    await expect(odile.page.get_by_role("status").filter(has_text=said["approved"])).to_be_visible()


async def asks(alice: Visitor, kestrel: Node, slug: str, said: dict[str, str]) -> None:
    """Alice opens it by the keyboard and the form, sees what that changes, and asks for the second person."""
    page = alice.page
    await alice.open(f"/spaces/{slug}/openness")
    await page.locator("input[name=level][value=closed]").focus()
    await page.keyboard.press("ArrowRight")
    await page.keyboard.press("ArrowRight")
    await expect(page.locator("input[name=level][value=partners]")).to_be_checked()
    await expect(page.locator("#impact h2")).to_contain_text(said["before"])
    await page.locator("#reach").select_option(label=said["everyone"])
    await page.get_by_label(said["linked"]).select_option(kestrel.host)
    await page.get_by_role("button", name=said["add"], exact=True).click()
    end = (datetime.now(UTC) + timedelta(days=30)).date().isoformat()
    await page.get_by_label(f"{said['until']} {kestrel.host}").fill(end)
    await page.get_by_label(said["end"], exact=True).fill(end)
    await page.locator("#then_level").select_option("closed")
    await page.locator("#reason").fill("appel d’offres")
    await expect(page.get_by_text(said["second"])).to_be_visible()
    await expect(page.locator(".impact")).to_contain_text(kestrel.host)
    await page.locator("#reason").press("Tab")
    await page.wait_for_load_state("networkidle")
    await page.get_by_role("button", name=said["as"]).click()
    await expect(page.get_by_role("status").filter(has_text=said["draft"])).to_be_visible()
    await page.locator("#who").select_option(f"member:{kestrel.host}")
    await page.locator("main form .button--main").click()
    framed = page.frame_locator("iframe.viewed")
    await expect(framed.get_by_role("heading", level=1)).to_contain_text("Projet Cévennes")
    alice.complaints[:] = [said for said in alice.complaints if "sandboxed" not in said]
    await page.locator(".banner a").click()
    await page.get_by_role("button", name=said["ask"]).click()
    await expect(page.get_by_role("status").filter(has_text=said["gone out"])).to_be_visible()
