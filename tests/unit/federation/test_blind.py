"""Blind partners: whatever one of them does, the bytes that another gets stay the same, at every door."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from starlette.applications import Starlette

from federation.composing import Receiver, compose
from federation.outbox import sequence_waiting
from server import database as db
from server.actions import membership
from server.actions.erasing import erase
from server.actions.gestures import react
from server.actions.poll_rows import NewPoll
from server.actions.polls import vote, vote_from_elsewhere
from server.actions.posts import Draft, edit, publish
from server.clock import now_ms
from server.errors import Forbidden
from server.openness import Level, PartnerView
from server.queries import updates
from server.viewer import Guest, Operator, RemotePerson
from tests.cast import HERE, KESTREL, Cast, enter, gather, guest, say, space, stranger
from tests.unit.federation.asking import Asking, asking, introduce
from tests.unit.federation.test_routes import another_partner, event_of
from tests.unit.web.api.client import Client, application, client_of
from tests.unit.web.pages.browser import Browser, bare, browser_of

pytestmark = pytest.mark.anyio


@pytest.fixture
async def cast(database: str) -> Cast:
    return await gather()


@pytest.fixture
async def ask(cast: Cast, tmp_path: Path) -> AsyncIterator[Asking]:
    async with asking(tmp_path, "linked", KESTREL) as found:
        yield found


@pytest.fixture
def app(cast: Cast, database: str, tmp_path: Path) -> Starlette:
    return application(database, tmp_path)


class World:
    """A space with Chloé of Kestrel and Gwen, a guest, on one side; Iris of Corvus and Hugo, a guest, on others."""

    def __init__(self, cast: Cast, ask: Asking, app: Starlette) -> None:
        self.cast, self.ask, self.app = cast, ask, app
        self.root = self.answer = self.to_gwen = self.space = self.poll = 0
        self.slug = ""

    async def people(self) -> None:
        self.gwen: Guest = await guest("gwen", "Gwen Le Roux", self.cast.alice, "Cabinet Ouest")
        self.hugo: Guest = await guest("hugo", "Hugo Blanc", self.cast.alice, "Solstice")
        self.corvus = await another_partner()
        self.ask.keys[self.corvus] = await introduce(self.corvus)
        self.iris: RemotePerson = await stranger("iris", "Iris Corbeau", self.corvus)
        self.ines: RemotePerson = await stranger("ines", "Inès Corbeau", self.corvus)
        self.client: Client = await client_of(self.app, self.gwen)
        self.browser: Browser = await browser_of(self.app, self.gwen)

    async def open(self, slug: str, view: PartnerView) -> None:
        alice = self.cast.alice
        who = (self.cast.chloe, self.gwen, self.hugo, self.iris)
        self.space = await space(slug, Level.PARTNERS, alice, *who, partners=(KESTREL, self.corvus))
        self.slug = slug
        await db.execute("UPDATE space SET partner_view = $1 WHERE id = $2", view.value, self.space)
        self.root = await say(alice, "Les prix de printemps", self.space)
        said = await say(self.cast.chloe, "Bien reçu", self.space, answers=self.root)
        self.answer = await say(alice, "Merci Chloé", self.space, answers=said)
        asked = await say(self.gwen, "Une question", self.space, answers=self.root)
        self.to_gwen = await say(alice, "Une réponse", self.space, answers=asked)
        await react(self.gwen, self.root, "")
        draft = Draft("On se voit quand ?", self.space, poll=NewPoll(("lundi", "mardi"), ends_at=now_ms() + 3_600_000))
        self.poll = await publish(alice, draft, HERE)
        await vote(self.gwen, self.poll, [0])
        await vote(alice, self.poll, [1])
        await vote_from_elsewhere(self.cast.chloe, self.poll, "mardi", "https://kestrel.test/votes/1")
        await sequence_waiting(self.ask.instance)

    async def others_are_busy(self) -> None:
        """Everything that Corvus and Solstice can do, and what our people answer them."""
        alice = self.cast.alice
        own = await say(self.iris, "canari de corvus", self.space)
        reply = await say(self.iris, "canari en réponse", self.space, answers=self.root)
        await say(alice, "canari pour Iris", self.space, answers=reply)
        await say(alice, f"@iris@{self.corvus} canari nommée", self.space)
        await react(self.iris, self.root, "🎉", uri="https://corvus.test/likes/1")
        await react(alice, own, "")
        await vote_from_elsewhere(self.iris, self.poll, "lundi", "https://corvus.test/votes/1")
        await vote(self.hugo, self.poll, [0])
        hers = await say(self.hugo, "canari de solstice, @gwen", self.space, answers=self.root)
        await say(alice, "canari pour Hugo", self.space, answers=hers)
        await react(self.hugo, self.root, "👀")
        await membership.remove(alice, self.space, self.iris.actor_id)
        await membership.add(alice, self.space, self.ines.actor_id)
        await enter(self.space, self.iris)
        await sequence_waiting(self.ask.instance)

    async def seen(self) -> dict[str, object]:
        """All that Kestrel's server and Gwen get, by where."""
        return await self._by_kestrel() | await self._by_gwen() | await self._told_to_kestrel()

    async def _by_kestrel(self) -> dict[str, object]:
        announced = f"/activities/{await event_of(self.root)}"
        address = f"/spaces/{self.slug}"
        paths = [address, f"{address}/members", f"{address}/members?page=true", f"{address}/outbox?page=true"]
        paths += [f"{address}/members?host={KESTREL}", f"{address}/members?host={KESTREL}&page=true"]
        paths += [f"/posts/{self.poll}/replica"]
        for post in (self.root, self.answer, self.to_gwen, self.poll):
            paths += [f"/posts/{post}{part}" for part in ("", "/replies", "/replies?page=true", "/context?page=true")]
        paths += [announced, f"{announced}/announce", "/@alice", "/@alice/outbox?page=true", "/@hugo"]
        answers = {path: await self.ask(path, KESTREL) for path in paths}
        return {f"kestrel {path}": (a.status_code, a.headers.raw, a.content) for path, a in answers.items()}

    async def _by_gwen(self) -> dict[str, object]:
        ours, address = "/api/parvis/v1/spaces", f"/spaces/{self.slug}"
        row = await db.fetch_one("SELECT actor_id FROM space WHERE id = $1", self.space)
        assert row is not None
        paths = ["/api/v1/timelines/home", f"/api/v1/timelines/list/{self.space}", "/api/v1/notifications"]
        paths += ["/api/v1/notifications/unread_count", ours, f"{ours}/{self.slug}", f"{ours}/{self.slug}/members"]
        paths += [
            f"/api/v1/statuses/{i}{part}" for i in (self.root, self.to_gwen, self.poll) for part in ("", "/context")
        ]
        paths += [f"/api/v1/polls/{self.poll}"]
        paths += [f"/api/v1/accounts/{i}" for i in (row["actor_id"], self.iris.actor_id, self.hugo.actor_id)]
        paths += ["/api/v2/search?q=canari", "/api/v2/search?q=iris", "/api/v1/accounts/lookup?acct=hugo"]
        paths += [f"/api/v1/accounts/relationships?id[]={self.hugo.actor_id}"]
        pages = [f"{address}{part}" for part in ("/members", "/about", "/openness", "?part=audience")]
        pages += [f"/posts/{self.root}/audience", f"/posts/new?part=audience&where={self.slug}", "/@hugo", "/spaces"]
        said = {path: await self.client("GET", path) for path in paths}
        shown = {path: await self.browser("GET", path) for path in pages}
        return {f"gwen {path}": (a.status_code, a.content) for path, a in said.items()} | {
            f"gwen {path}": (a.status_code, bare(a.text)) for path, a in shown.items()
        }

    async def _told_to_kestrel(self) -> dict[str, object]:
        rows = await db.fetch(
            "SELECT d.event_id, d.seq FROM delivery d JOIN event e ON e.id = d.event_id"
            " WHERE d.peer_id = $1 AND e.space_id = $2 ORDER BY d.seq",
            self.cast.kestrel.peer_id,
            self.space,
        )
        to = Receiver(self.cast.kestrel.peer_id, KESTREL, linked=True)
        told = [await compose(self.ask.instance, row["event_id"], to) for row in rows]
        return {
            "told to kestrel": [
                (row["seq"], sealed.body if sealed else None) for row, sealed in zip(rows, told, strict=True)
            ]
        }


async def differing(world: World, slug: str, view: PartnerView) -> list[str]:
    """Where Kestrel and Gwen notice that the others were busy."""
    await world.open(slug, view)
    before = await world.seen()
    event = await db.fetch_one("SELECT MAX(id) AS id FROM event")
    assert event is not None
    await world.others_are_busy()
    after = await world.seen()
    heard = await updates.since(world.gwen, event["id"])
    # a member who is gone and one who comes are told of by their own fact, which no guest hears
    return [where for where in before if before[where] != after[where]] + [f"live {u.kind}" for u in heard or []]


async def test_what_one_blind_partner_does_changes_no_byte_for_another(cast: Cast, ask: Asking, app: Starlette) -> None:
    world = World(cast, ask, app)
    await world.people()
    assert await differing(world, "revendeurs", PartnerView.BLIND) == []
    noticed = set(await differing(world, "atelier", PartnerView.ORGANISATIONS))
    kinds = {
        f"gwen /api/v1/polls/{world.poll}",
        f"kestrel /posts/{world.poll}/replica",
        "told to kestrel",
        "live new",
        "live reacted",
        f"gwen /api/v1/timelines/list/{world.space}",
    }
    assert kinds | {f"kestrel /spaces/{world.slug}/outbox?page=true"} <= noticed, "where partners see one another"


async def test_one_message_names_people_of_one_blind_partner_only(cast: Cast, ask: Asking, app: Starlette) -> None:
    world = World(cast, ask, app)
    await world.people()
    await world.open("revendeurs", PartnerView.BLIND)
    alice, both = cast.alice, f"@chloe@{KESTREL} et @iris@{world.corvus}"
    with pytest.raises(Forbidden, match="plusieurs organisations"):
        await say(alice, both, world.space)
    with pytest.raises(Forbidden, match="plusieurs organisations"):
        await say(alice, f"@iris@{world.corvus} regarde", world.space, answers=world.answer)
    with pytest.raises(Forbidden, match="déjà lu"):
        await edit(alice, world.root, f"Les prix, @chloe@{KESTREL}", HERE)
    named = await say(alice, f"@chloe@{KESTREL} pour vous", world.space)
    row = await db.fetch_one("SELECT side FROM post WHERE id = $1", named)
    assert row == {"side": f"peer:{cast.chloe.peer_id}"}
    await db.execute("UPDATE space SET partner_view = 'organisations' WHERE id = $1", world.space)
    open_to_both = await say(alice, both, world.space)
    row = await db.fetch_one("SELECT side FROM post WHERE id = $1", open_to_both)
    assert row == {"side": "*"}, "hidden from both as soon as they do not see each other"


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_gesture_and_a_vote_that_wait_while_partners_become_blind_are_not_told(
    cast: Cast, ask: Asking, app: Starlette
) -> None:
    world = World(cast, ask, app)
    await world.people()
    await world.open("atelier", PartnerView.ORGANISATIONS)
    await react(world.iris, world.root, "🎉", uri="https://corvus.test/likes/1")
    await vote_from_elsewhere(world.iris, world.poll, "lundi", "https://corvus.test/votes/1")
    await sequence_waiting(ask.instance)
    events = await db.fetch("SELECT id FROM event WHERE actor_id = $1 ORDER BY id", world.iris.actor_id)
    to = Receiver(cast.kestrel.peer_id, KESTREL, linked=True)
    assert [await compose(ask.instance, event["id"], to) is None for event in events] == [False, False]
    await db.execute("UPDATE space SET partner_view = 'blind' WHERE id = $1", world.space)
    assert [await compose(ask.instance, event["id"], to) is None for event in events] == [True, True]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_what_is_taken_back_of_an_erased_guest_is_not_told_to_those_who_never_heard_of_it(
    cast: Cast, ask: Asking, app: Starlette
) -> None:
    world = World(cast, ask, app)
    await world.people()
    await world.open("atelier", PartnerView.BLIND)
    await react(world.hugo, world.root, "👀")
    await vote(world.hugo, world.poll, [0])
    await sequence_waiting(ask.instance)
    [newest] = await db.fetch("SELECT MAX(id) AS id FROM event")
    await erase(Operator(), world.hugo.account_id)
    await sequence_waiting(ask.instance)
    taken = "e.kind IN ('reaction_undone', 'tallied') AND e.id > $1"
    assert len(await db.fetch(f"SELECT id FROM event e WHERE {taken}", newest["id"])) == 2
    told = await db.fetch(
        f"SELECT e.kind FROM delivery d JOIN event e ON e.id = d.event_id WHERE {taken}", newest["id"]
    )
    assert told == [] and await updates.since(world.gwen, newest["id"]) == []
