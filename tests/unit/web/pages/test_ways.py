"""The ways round: wherever the menu leads, there is a page; and a phone leads to all that a desk does."""

import re

import pytest
from starlette.applications import Starlette

from server.openness import Office
from tests.cast import Cast, employee, guest
from tests.unit.web.pages.browser import browser_of

pytestmark = pytest.mark.anyio


def ways(page: str, *navs: str) -> set[str]:
    """Where the links and forms of these parts of the page lead."""
    found = set[str]()
    for words in navs:
        [inside] = re.findall(rf'<nav class="{words}".*?</nav>', page, re.DOTALL)
        found |= set(re.findall(r'(?:href|action)="(/[^"]*?)"', inside.replace("/static/", "")))
    return found


@pytest.mark.parametrize("who", ["member", "admin", "auditor", "guest"])
async def test_every_way_of_the_menu_leads_to_a_page_also_on_a_phone(app: Starlette, cast: Cast, who: str) -> None:
    comes = await guest("gwen", "Gwen", cast.alice) if who == "guest" else await employee("noe", "Noé", Office(who))
    theirs = await browser_of(app, comes)
    page = await theirs.page("/")
    on_a_desk = ways(page, "side side--start menu")
    assert ways(page, "foot", "rest menu") == on_a_desk
    for address in sorted(on_a_desk - {"/logout"}):
        assert (await theirs.get(address)).status_code == 200, address


async def test_an_administrator_goes_from_room_to_room_and_none_is_missing(app: Starlette, cast: Cast) -> None:
    theirs = await browser_of(app, cast.odile)
    rooms = ways(await theirs.page("/admin"), "tabs tabs--wrap")
    for address in sorted(rooms):
        assert ways(await theirs.page(address), "tabs tabs--wrap") == rooms, address
