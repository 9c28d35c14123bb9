"""People at their browsers: each with a context of their own, signed in through the page."""

from dataclasses import dataclass, field
from typing import Any

from playwright.async_api import Browser, Page

from tests.federation.harness import Node

PASSWORD = "pont du Gard 2026"


@dataclass
class Visitor:
    """A browser at one instance, and what its console complained of."""

    node: Node
    page: Page
    complaints: list[str] = field(default_factory=list)

    async def open(self, path: str) -> None:
        await self.page.goto(self.node.base + path)

    async def status(self, path: str) -> tuple[int, str]:
        """What the address answers to this browser: status and the text of the page."""
        answer = await self.page.goto(self.node.base + path)
        assert answer is not None
        return answer.status, await self.page.locator("main").inner_text()


async def visitor(browser: Browser, node: Node, **options: Any) -> Visitor:
    """Somebody without an account."""
    context = await browser.new_context(**{"locale": "fr-FR", "viewport": {"width": 1280, "height": 900}, **options})
    found = Visitor(node, await context.new_page())
    found.page.on("console", lambda said: found.complaints.append(said.text) if said.type == "error" else None)
    found.page.on("pageerror", lambda error: found.complaints.append(str(error)))
    return found


async def sign_in(browser: Browser, node: Node, name: str, **options: Any) -> Visitor:
    """Somebody who signs in with name and password."""
    found = await visitor(browser, node, **options)
    await found.open("/login")
    await found.page.get_by_label("Nom ou adresse").or_(found.page.locator("[name=name]")).first.fill(name)
    await found.page.locator("[name=password]").fill(PASSWORD)
    await found.page.locator("main form button").click()
    await found.page.wait_for_url(node.base + "/")
    return found


async def again(browser: Browser, before: Visitor, **options: Any) -> Visitor:
    """The same person, signed in already, with another browser."""
    return await visitor(browser, before.node, storage_state=await before.page.context.storage_state(), **options)


async def hire(node: Node, name: str, display: str, role: str = "member") -> None:
    """Adds an employee with a password."""
    await node.cli(
        "people", "add", name, "--name", display, "--role", role, "--password-stdin", "--json", stdin=PASSWORD
    )
