"""Coming into a space of another instance by its address: from the search, from the directory, and never as a guest."""

import pytest
from starlette.applications import Starlette

from server import database as db
from server.actions.join_requests import ask_elsewhere
from server.actions.spaces import SpaceElsewhere, mirror
from server.errors import NotFound
from server.openness import Level, MemberState
from server.queries.elsewhere import ShownSpace
from server.viewer import Employee
from tests.cast import HERE, KESTREL, Cast, guest, space, stranger
from tests.unit.web.pages.browser import Browser, bare, browser_of
from web.pages.elsewhere import address_of

pytestmark = pytest.mark.anyio
NOTHING = "aucun espace ne se montre"


class Kestrel:
    """The host of one space that it shows us, and of others that it does not."""

    def __init__(self, app: Starlette, cast: Cast) -> None:
        self.cast = cast
        app.state.elsewhere = self

    async def look(self, viewer: Employee, slug: str, host: str) -> ShownSpace:
        if (slug, host) != ("pose", KESTREL):
            raise NotFound
        return ShownSpace("pose", KESTREL, "Kestrel GmbH", "Pose <b>", "Pour les poseurs.", Level.PARTNERS)

    async def ask(self, viewer: Employee, slug: str, host: str) -> MemberState:
        shown = await self.look(viewer, slug, host)
        group = await stranger(slug, shown.name, host)
        await db.execute("UPDATE actor SET kind = 'group' WHERE id = $1", group.actor_id)
        told = SpaceElsewhere(group.actor_id, slug, host, shown.name, shown.description, shown.level)
        return await ask_elsewhere(viewer, await mirror(self.cast.kestrel, told))


@pytest.fixture
def kestrel(app: Starlette, cast: Cast) -> Kestrel:
    return Kestrel(app, cast)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("https://aubrac.example/spaces/pose", ("pose", "aubrac.example")),
        ("http://Aubrac.example:8001/spaces/pose/members?a=b#c", ("pose", "aubrac.example:8001")),
        ("aubrac.example/spaces/pose", ("pose", "aubrac.example")),
        ("!pose@aubrac.example", ("pose", "aubrac.example")),
        ("@pose@aubrac.example", ("pose", "aubrac.example")),
        ("pose@aubrac.example", ("pose", "aubrac.example")),
        ("pose", None),
        ("https://aubrac.example/@pose", None),
        ("https://alice:pw@aubrac.example/spaces/pose", None),
        ("javascript://aubrac.example/spaces/pose", None),
        ("!pose@", None),
    ],
)
def test_an_address_is_read_as_people_paste_it(typed: str, meant: tuple[str, str] | None) -> None:
    assert address_of(typed) == meant


async def test_somebody_asks_by_its_address_to_come_in_and_takes_that_back(kestrel: Kestrel, bruno: Browser) -> None:
    page = await bruno.page(f"/elsewhere?address=https://{KESTREL}/spaces/pose")
    assert "Pose &lt;b&gt;" in page and "Kestrel GmbH" in page and f"!pose@{KESTREL}" in page
    assert await db.fetch("SELECT id FROM space") == []  # looking keeps nothing
    assert await bruno.post("/elsewhere", address=f"!pose@{KESTREL}") == f"/elsewhere?asked=pose@{KESTREL}"
    [asked] = await db.fetch("SELECT space_id, state FROM membership")
    assert asked["state"] == "asked"
    page = await bruno.page(f"/elsewhere?asked=pose@{KESTREL}")
    assert "Votre demande est partie" in page and f"!pose@{KESTREL}" in page
    assert "Demander à entrer" not in await bruno.page(f"/elsewhere?address=!pose@{KESTREL}")
    assert await bruno.post(f"/elsewhere/{asked['space_id']}/leave") == "/elsewhere"
    assert await db.fetch("SELECT id FROM membership") == []
    assert [row["kind"] for row in await db.fetch("SELECT kind FROM event ORDER BY id")] == ["join_asked", "left"]


async def test_what_became_of_a_request_is_said_where_it_was_made(kestrel: Kestrel, bruno: Browser) -> None:
    asked = await bruno.post("/elsewhere", address=f"!pose@{KESTREL}")
    await db.execute("UPDATE membership SET state = 'member'")
    assert (await bruno.get(asked)).headers["location"] == f"/spaces/pose@{KESTREL}"
    await db.execute("DELETE FROM membership")
    page = await bruno.page(asked)
    assert "a pas accepté votre demande" in page and "@bruno@aubrac.test" in page
    assert "accepté" not in await bruno.page("/elsewhere?asked=jamais@aubrac.test")


async def test_who_asked_is_seen_by_nobody_else(kestrel: Kestrel, bruno: Browser, alice: Browser) -> None:
    await bruno.post("/elsewhere", address=f"!pose@{KESTREL}")
    [asked] = await db.fetch("SELECT space_id FROM membership")
    assert "Pose" not in await alice.page("/elsewhere")
    assert (await alice("POST", f"/elsewhere/{asked['space_id']}/leave")).status_code == 404
    assert len(await db.fetch("SELECT id FROM membership")) == 1


async def test_what_is_not_shown_is_answered_in_one_way(kestrel: Kestrel, bruno: Browser, cast: Cast) -> None:
    await space("rachat", Level.CLOSED, cast.alice, listed=False)
    pages = []
    for address in (f"!secret@{KESTREL}", "!rachat@aubrac.test", "!jamais@aubrac.test", "!pose@inconnu.test"):
        for answer in (
            await bruno.get("/elsewhere", params={"address": address}),
            await bruno("POST", "/elsewhere", data={"address": address}),
        ):
            assert answer.status_code == 404 and NOTHING in answer.text, address
            pages.append(bare(answer.text, address))
    assert HERE.host == "aubrac.test" and len(set(pages)) == 1
    assert 'id="address-error" role="alert"' in await bruno.refused("/elsewhere", address="n’importe quoi")


async def test_the_search_and_the_directory_lead_there(kestrel: Kestrel, bruno: Browser, cast: Cast) -> None:
    mine = await space("atelier", Level.INTERNAL, cast.alice)
    for door in ("/search", "/spaces"):
        answer = await bruno.get(door, params={"q": f"https://{KESTREL}/spaces/pose"})
        assert answer.headers["location"] == f"/elsewhere?address=https%3A%2F%2F{KESTREL}%2Fspaces%2Fpose"
    answer = await bruno.get("/search", params={"q": "https://aubrac.test/spaces/atelier"})
    assert answer.headers["location"] == "/spaces/atelier"
    page = await bruno.page("/search", params={"q": f"pose@{KESTREL}"})  # may be a person as well
    assert f'href="/elsewhere?address=pose%40{KESTREL}"' in page and mine
    assert (await bruno.page("/spaces")).count('href="/elsewhere"') == 1


async def test_a_guest_comes_into_no_space_elsewhere(app: Starlette, kestrel: Kestrel, cast: Cast) -> None:
    gwen = await browser_of(app, await guest("gwen", "Gwen", cast.alice))
    for answer in (
        await gwen.get("/elsewhere"),
        await gwen.get("/elsewhere", params={"address": f"!pose@{KESTREL}"}),
        await gwen("POST", "/elsewhere", data={"address": f"!pose@{KESTREL}"}),
    ):
        assert answer.status_code == 404 and "Pose" not in answer.text
    assert "/elsewhere" not in await gwen.page("/spaces")
    assert "/elsewhere" not in await gwen.page("/search", params={"q": f"!pose@{KESTREL}"})
