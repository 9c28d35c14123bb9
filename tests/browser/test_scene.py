"""The scene at two companies' browsers: seen at once, without reloading, and by nobody else."""

from pathlib import Path

import pytest
from playwright.async_api import Browser, FilePayload, expect

from tests.browser.people import Visitor, hire, sign_in, visitor
from tests.federation.conftest import MakeNode
from tests.federation.harness import Node, link, until, worded

pytestmark = [pytest.mark.anyio, pytest.mark.browser]

SLUG = "projet-cevennes"
SOON_MS = 15_000
"""Alone it takes 0.6 s; the rest is for a machine that does other things."""
ENGINES = ["sqlite", pytest.param("postgres", marks=pytest.mark.soak)]
PDF = (
    b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n"
    b"2 0 obj<</Type/Pages/Kids[]/Count 0>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"
)


async def companies(fleet: MakeNode) -> tuple[Node, Node]:
    """Two linked companies; Chloé of Kestrel is in Alice's space."""
    aubrac, kestrel = await fleet("Aubrac Énergie"), await fleet("Kestrel GmbH")
    await hire(aubrac, "alice", "Alice Fournier")
    await hire(aubrac, "bruno", "Bruno Martel")
    await hire(kestrel, "chloe", "Chloé Lindner")
    await hire(kestrel, "driss", "Driss Weber")
    await link(aubrac, kestrel)
    await aubrac.cli(
        "spaces", "add", SLUG, "--name", "Projet Cévennes", "--level", "partners", "--owner", "alice",
        "--partner", kestrel.host,
    )  # fmt: skip
    await aubrac.cli("spaces", "members", SLUG, "--add", f"chloe@{kestrel.host}")
    await until(
        lambda: aubrac.cli("spaces", "members", SLUG, "--json"),
        lambda answer: f'"chloe@{kestrel.host}"' in answer[1] and '"invited"' not in answer[1],
        "Chloé is a member",
    )
    return aubrac, kestrel


async def listens(person: Visitor) -> None:
    """The page hears of what is new."""
    await person.page.wait_for_selector("body[data-live=on]")


@pytest.mark.parametrize("engine", ENGINES, indirect=True)
async def test_alice_and_chloe_see_each_other_at_once_and_nobody_else_sees_anything(
    fleet: MakeNode, chromium: Browser, tmp_path: Path
) -> None:
    aubrac, kestrel = await companies(fleet)
    alice, chloe = await sign_in(chromium, aubrac, "alice"), await sign_in(chromium, kestrel, "chloe")
    await listens(chloe)

    # before she sends, the composer says who will see
    audience = alice.page.locator("[data-audience]")
    await expect(audience).to_contain_text("2 personnes")
    await expect(audience).to_contain_text(f"1 chez {kestrel.host}")
    await alice.page.get_by_label("Votre message").fill("Le poste 3 dérive encore, **regardez**.")
    await alice.page.get_by_role("button", name="Publier").click()
    post = chloe.page.locator("article", has_text="Le poste 3 dérive encore")
    await expect(post).to_be_visible(timeout=SOON_MS)
    await expect(post.locator("strong", has_text="regardez")).to_be_visible()
    await expect(post).to_contain_text(aubrac.host)

    # she replies with a file, from the thread; Alice reads it in her feed without reloading
    await alice.open("/")
    await listens(alice)
    await post.get_by_role("link", name="Répondre").click()
    await chloe.page.get_by_label("Votre message").fill("Voici les relevés.")
    files = chloe.page.locator("input[type=file]")
    await files.set_input_files(
        [
            FilePayload(name="brouillon.pdf", mimeType="application/pdf", buffer=b"%PDF-1.4"),
            FilePayload(name="relevés.pdf", mimeType="application/pdf", buffer=PDF),
        ]
    )
    await files.set_input_files({"name": "coffret.png", "mimeType": "image/png", "buffer": worded("coffret")})
    await chloe.page.get_by_label("Description de brouillon.pdf").fill("Rien encore")
    await chloe.page.get_by_label("Description de coffret.png").fill("Le coffret, ouvert")
    await chloe.page.get_by_role("button", name="Ne plus joindre brouillon.pdf").press("Enter")
    await expect(chloe.page.get_by_role("button", name="Ne plus joindre relevés.pdf")).to_be_focused()
    await expect(chloe.page.get_by_role("textbox", name="Description de")).to_have_count(2)
    assert await files.evaluate("field => [...field.files].map(file => file.name)") == ["relevés.pdf", "coffret.png"]
    await chloe.page.get_by_role("button", name="Répondre").click()
    reply = alice.page.locator("article", has_text="Voici les relevés")
    await expect(reply).to_be_visible(timeout=SOON_MS)
    file = reply.locator("a.attachment", has_text="relevés.pdf")
    await expect(file).to_be_visible(timeout=5000)
    await expect(reply.get_by_role("img", name="Le coffret, ouvert")).to_be_visible(timeout=5000)
    await expect(reply.get_by_text("Rien encore")).to_have_count(0)
    async with alice.page.expect_download() as waiting:
        await file.evaluate("link => { link.download = ''; link.click(); }")
    assert Path(await (await waiting.value).path()).read_bytes() == PDF

    # a thank-you and an edit arrive on the open page
    await chloe.open("/")
    await listens(chloe)
    mine = chloe.page.locator("article", has_text="Le poste 3 dérive encore").first
    await mine.get_by_role("button", name="Merci").click()
    await expect(mine.get_by_role("button", name="Merci · 1")).to_have_attribute("aria-pressed", "true")
    await expect(
        alice.page.locator("article", has_text="Le poste 3 dérive encore").first.get_by_role("button", name="Merci · 1")
    ).to_be_visible(timeout=SOON_MS)
    written = chloe.page.locator("article", has_text="Voici les relevés")
    await written.locator("details.more > summary").last.click()
    await written.get_by_role("link", name="Modifier").click()
    await chloe.page.get_by_label("Votre message").fill("Voici les relevés, corrigés.")
    await chloe.page.get_by_role("button", name="Enregistrer").click()
    await expect(alice.page.locator("article", has_text="Voici les relevés, corrigés")).to_be_visible(timeout=SOON_MS)

    await nobody_else(chromium, aubrac, kestrel, alice, chloe)
    assert alice.complaints == chloe.complaints == []


async def nobody_else(chromium: Browser, aubrac: Node, kestrel: Node, alice: Visitor, chloe: Visitor) -> None:
    """Bruno, Driss and a visitor: no space, no post, no file, no notice, no count, and the same 404 as for nothing."""
    for page, node in ((alice.page, aubrac), (chloe.page, kestrel)):
        await page.goto(node.base + "/")
        post = await page.locator("article", has_text="poste 3").first.get_attribute("data-post")
        file = await page.locator("a.attachment").first.get_attribute("href")
        slug = SLUG if node is aubrac else f"{SLUG}@{aubrac.host}"
        others = [await visitor(chromium, node), await sign_in(chromium, node, "bruno" if node is aubrac else "driss")]
        for other in others:
            unknown = await other.status("/posts/1")
            for address in (f"/posts/{post}", f"/spaces/{slug}", f"/spaces/{slug}/members", str(file)):
                assert await other.status(address) == unknown, address
            assert unknown[0] == 404
            _, directory = await other.status("/spaces")
            assert "Cévennes" not in directory
        somebody = others[1]
        for path in ("/", "/notifications", "/search?q=poste"):
            status, text = await somebody.status(path)
            assert status == 200
            assert "dérive" not in text
            assert "Cévennes" not in text
        assert await somebody.page.locator("[data-unread]:visible").count() == 0


@pytest.mark.parametrize("engine", ENGINES, indirect=True)
async def test_everything_works_without_javascript(fleet: MakeNode, chromium: Browser) -> None:
    aubrac, kestrel = await companies(fleet)
    alice = await sign_in(chromium, aubrac, "alice", java_script_enabled=False)
    await alice.page.get_by_label("Votre message").fill("Sans script.")
    await alice.page.get_by_role("button", name="Publier").click()
    written = alice.page.locator("article", has_text="Sans script")
    await written.get_by_role("button", name="Merci").click()
    await expect(
        alice.page.locator("article", has_text="Sans script").get_by_role("button", name="Merci · 1")
    ).to_be_visible()
    chloe = await sign_in(chromium, kestrel, "chloe", java_script_enabled=False)

    async def shown() -> int:
        await chloe.open("/")
        return await chloe.page.locator("article", has_text="Sans script").count()

    await until(shown, lambda count: count == 1, "Chloé reads it after a reload")
    await chloe.page.locator("article", has_text="Sans script").get_by_role("link", name="Répondre").click()
    await chloe.page.get_by_label("Votre message").fill("Reçu sans script.")
    await chloe.page.locator("input[type=file]").set_input_files(
        {"name": "coffret.png", "mimeType": "image/png", "buffer": worded("coffret")}
    )
    await chloe.page.get_by_text("Décrire les fichiers joints").click()
    await chloe.page.get_by_label("Description des fichiers").fill("Le coffret, ouvert")
    await chloe.page.get_by_role("button", name="Répondre").click()
    answer = chloe.page.locator("article", has_text="Reçu sans script")
    await expect(answer.get_by_role("img", name="Le coffret, ouvert")).to_be_visible()
    await answer.locator("summary", has_text="Plus").click()
    await answer.get_by_role("link", name="Modifier").click()
    await chloe.page.get_by_label("Description de coffret.png").fill("Le coffret, fermé")
    await chloe.page.get_by_role("button", name="Enregistrer").click()

    async def said() -> int:
        await alice.open("/")
        return await alice.page.get_by_role("img", name="Le coffret, fermé").count()

    await until(said, lambda count: count == 1, "Alice hears what it shows, as Chloé says it better")
