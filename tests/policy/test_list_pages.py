"""However long a list, the database is asked as often: every address that is read, with once and with ten times the
rows behind it. Routes are read off the application, so a new one is here by itself.
"""

import io
import itertools
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from federation.keyring import instance_actor_id
from server import database as db
from server import files
from server.actions import break_glass, gestures, openness, polls, posts, recalls
from server.actions.accounts import issue_token
from server.actions.attachments import bring
from server.actions.audit import note
from server.actions.incidents import noticed
from server.actions.poll_rows import NewPoll
from server.clock import now_ms
from server.credentials import make_secret
from server.ids import new_id
from server.openness import Level
from server.settings import Settings
from server.viewer import Guest, Operator
from tests import cast as company
from tests.cast import HERE, KESTREL
from tests.counting import Statements
from tests.leaks.outputs import asked, doors
from tests.leaks.scene import Scene, Space
from tests.unit.federation.asking import introduce
from tests.unit.web.pages.browser import session_of
from web.api.search import nothing
from web.app import create_app

pytestmark = pytest.mark.anyio
OVERSEEN = re.compile(r"^/admin|/v1/(links|recalls)")
PICTURE = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"
WORD = "hameconzz"

FOR_GUESTS = (
    "/",
    "/spaces",
    "/spaces/grand",
    "/spaces/grand/members",
    "/notifications",
    f"/search?q={WORD}",
    "/api/parvis/v1/spaces",
    "/api/v1/timelines/home",
)
"""Lists that are narrowed differently for somebody from outside, who is in spaces with partners that do not meet."""
SECOND_HELPING = {"/ (guest)": 1, "/api/v1/timelines/home (guest)": 1}
"""Home takes the newest of all its sources and asks which of them may be read; where too few may, a second time, twice
as many, and so on: once more each time that what is hidden grows twofold, whatever a page holds.
"""
POSTS = r"^SELECT p\.id(?:,| FROM) .*p\.deleted_at IS NULL .* LIMIT"
SPACES = r"^SELECT s\.identity_outside, .* LIMIT"
NOTICES = r"^SELECT (?!COUNT).*FROM notice w .* LIMIT"
PEOPLE = r"^SELECT (?!COUNT|s\.).*FROM (?:membership m|follow f|actor a)\b.* LIMIT"
DECIDING = {
    "/ (pages)": POSTS,
    "/spaces/grand (pages)": POSTS,
    "/spaces/grand/feed.atom (pages)": POSTS,
    "/api/v1/timelines/home (tokens)": POSTS,
    "/api/v1/timelines/list/7 (tokens)": POSTS,
    "/search?q=hameconzz (pages)": POSTS,
    "/api/v2/search?q=hameconzz (tokens)": POSTS,
    "/spaces/attente/queue (pages)": r"^SELECT id FROM post .* held_at IS NOT NULL .* LIMIT",
    "/spaces/grand/outbox?page=true (documents)": POSTS,
    "/@alice/outbox?page=true (documents)": POSTS,
    "/posts/7/replies?page=true (documents)": POSTS,
    "/posts/7/context?page=true (documents)": POSTS,
    "/api/parvis/v1/spaces (tokens)": SPACES,
    "/api/v1/lists (tokens)": SPACES,
    "/notifications (pages)": NOTICES,
    "/api/v1/notifications (tokens)": NOTICES,
    "/people (pages)": PEOPLE,
    "/spaces/grand/members?page=true (documents)": PEOPLE,
    "/@alice/followers?page=true (documents)": PEOPLE,
}
"""By the address of a list: the statement that narrows it to what its reader may know."""


class World:
    """A space in which everything that a list can show is there some times."""

    def __init__(self, scene: Scene, space_id: int, root: int, file_id: int, gwen: Guest) -> None:
        self.scene, self.space_id, self.root, self.file_id = scene, space_id, root, file_id
        self.turns = itertools.count()
        self.queue, self.gwen = 0, gwen

    async def grow(self, times: int) -> None:
        for number in itertools.islice(self.turns, times):
            await self._people(number)
            await self._said(number)
            await self._elsewhere(number)
            await self._overseen(number)

    async def _people(self, number: int) -> None:
        cast = self.scene.cast
        who = await company.employee(f"e{number}", f"Employé {WORD} {number}")
        guest = await company.guest(f"g{number}", f"Invité {WORD} {number}", cast.alice, "Cabinet Ouest")
        stranger = await company.stranger(f"s{number}", f"Stranger {WORD} {number}", KESTREL)
        asking = await company.stranger(f"a{number}", f"Asking {number}", KESTREL)
        for member in (who, guest, stranger):
            await company.enter(self.space_id, member)
        await company.enter(self.space_id, asking, state="asked")
        follow = {"created_at": now_ms(), "state": "accepted"}
        for ours, theirs in ((cast.alice, stranger), (stranger, cast.alice), (who, cast.alice)):
            row = {"id": new_id(), "follower_id": ours.actor_id, "followed_id": theirs.actor_id}
            await db.insert("follow", {**row, **follow})
        self.who, self.stranger, self.guest = who, stranger, guest

    async def _said(self, number: int) -> None:
        alice, settings = self.scene.cast.alice, self.scene.app.state.settings
        stored = files.store(settings.files_dir, io.BytesIO(PICTURE + str(number).encode()), 10_000)
        held = [await bring(alice, stored, f"{WORD}{number}.png", WORD) for _ in range(2)]
        text = f"{WORD} {number} @bruno https://exemple.test/{number}"
        asked = NewPoll(("oui", f"{WORD} {number}"), multiple=True)
        draft = posts.Draft(text, self.space_id, file_ids=tuple(held), poll=asked)
        post = await posts.publish(alice, draft, HERE)
        await polls.vote(alice, post, [0, 1])
        await polls.vote(self.guest, post, [1])
        await posts.edit(alice, post, f"{text} changé", HERE)
        for author in (self.who, self.guest, self.stranger):
            said = await company.say(author, f"@alice {WORD} {number}", self.space_id)
            answer = await company.say(author, f"@alice {WORD}, oui", self.space_id, answers=self.root)
            for one in (said, answer, self.root):
                for reader in (self.who, self.guest, self.stranger):
                    await gestures.react(reader, one, f"{number % 9}\N{COMBINING ENCLOSING KEYCAP}")
        await company.say(self.who, f"à tous {WORD} {number}")
        await company.enter(self.queue, self.stranger)
        await company.say(self.stranger, f"en attente {WORD} {number}", self.queue)

    async def _elsewhere(self, number: int) -> None:
        host, alice = f"p{number}.test", self.scene.cast.alice
        await company._peer(host, f"Pair {number}", linked=True)
        own = await company.space(f"autre-{number}", Level.PARTNERS, alice, self.scene.cast.bruno, partners=(host,))
        await company.say(alice, f"{WORD} ailleurs", own)
        await db.execute("UPDATE space SET partner_view = 'blind' WHERE id = $1", own)
        await company.enter(own, self.gwen)
        await company.enter(own, self.guest)
        how = openness.How(openness.Door.COMMAND)
        await openness.adjust(Operator(), self.space_id, how, lambda now: replace(now, tone=f"ton {number}"))
        peer_id = await company._peer_id(host)
        await recalls.begin(Operator(), self.space_id, [peer_id, await company._peer_id(KESTREL)])
        await noticed(await company._peer_id(KESTREL), "signature", f"Reason {number}.")
        for event in await db.fetch("SELECT id FROM event ORDER BY id DESC LIMIT 3"):
            row = {"id": new_id(), "peer_id": peer_id, "seq": event["id"], "event_id": event["id"]}
            await db.insert("delivery", {**row, "inbox": f"https://{host}/inbox", "created_at": now_ms()})

    async def _overseen(self, number: int) -> None:
        cast = self.scene.cast
        await note(cast.odile, "open_space", subject=f"s{number}", space_id=self.space_id)
        await break_glass.ask(cast.odile, "attente", f"contrôle {number}")
        for who in (cast.alice, cast.odile):
            await session_of(who)
            await issue_token(who.account_id, "read")


@pytest.fixture
async def world(database: str, tmp_path: Path) -> World:
    settings = Settings(base_url=HERE.base, database_url=database, data_dir=tmp_path)
    make_secret(settings, sealed_keys_exist=False)
    app = create_app(settings)
    app.state.lookup = nothing
    await instance_actor_id(app.state.instance)
    scene = Scene(app, await company.gather())
    scene.keys["kestrel"] = await introduce(KESTREL)
    cast = scene.cast
    gwen = await company.guest("gwen", "Gwen Le Roux", cast.alice, "Atelier Nord")
    for name, who in (("alice", cast.alice), ("odile", cast.odile), ("gwen", gwen)):
        scene.cookies[name] = (await session_of(who)).token
        scene.tokens[name] = await issue_token(who.account_id, "read write follow")
    space_id = await company.space(
        "grand", Level.PARTNERS, cast.alice, cast.odile, cast.bruno, cast.chloe, gwen, partners=(KESTREL,)
    )
    stored = files.store(settings.files_dir, io.BytesIO(PICTURE), 10_000)
    file_id = await bring(cast.alice, stored, "plan.png", WORD)
    root = await posts.publish(cast.alice, posts.Draft(f"{WORD} @odile", space_id, file_ids=(file_id,)), HERE)
    await db.execute("UPDATE space SET history = 'all' WHERE id = $1", space_id)
    world = World(scene, space_id, root, file_id, gwen)
    world.queue = await company.space("attente", Level.PARTNERS, cast.alice, partners=(KESTREL,))
    await db.execute("UPDATE space SET first_posts_moderated = 10 WHERE id = $1", world.queue)
    return world


async def named_by(world: World) -> Space:
    """What the addresses name."""
    cast = world.scene.cast
    event = await db.fetch_one("SELECT MIN(id) AS id FROM event WHERE post_id = $1", world.root)
    notice = await db.fetch_one("SELECT MIN(id) AS id FROM notice WHERE actor_id = $1", cast.alice.actor_id)
    assert event is not None and notice is not None
    ids = {
        "post": [str(world.root)],
        "account": [str(cast.alice.actor_id)],
        "space": [str(world.space_id)],
        "file": [str(world.file_id)],
        "event": [str(event["id"])],
        "notice": [str(notice["id"])],
        "slug": ["grand"],
        "file name": ["plan.png"],
    }
    return Space("grand", world.space_id, "grand", ids)


def named(path: str, space: Space) -> list[str]:
    """The addresses of a route; what waits for a steward waits in another space."""
    return [address.replace("/grand/queue", "/attente/queue") for address, _ in asked(path, [space])]


def reader_of(door: str, path: str) -> str:
    """Who finds something there: the owner of the space, an administrator, or a partner's server."""
    if door == "documents":
        return "kestrel"
    return "odile" if OVERSEEN.search(path) else "alice"


async def statements(world: World, counted: Statements, space: Space) -> dict[str, list[str]]:
    """What the database is asked for each address; without the keys of ours, which are kept in memory for a while."""
    found = {}
    for door in ("documents", "pages", "tokens"):
        for path in doors(world.scene.app)[door]:
            for address in named(path, space):
                counted.asked.clear()
                answer = await world.scene.ask(door, reader_of(door, path), address)
                assert answer.status_code < 500, (address, answer.text[:300])
                found[f"{address} ({door})"] = [sql for sql in counted.asked if "actor_key" not in sql]
                if address in FOR_GUESTS and door != "documents":
                    counted.asked.clear()
                    assert (await world.scene.ask(door, "gwen", address)).status_code == 200, address
                    found[f"{address} (guest)"] = list(counted.asked)
    return found


@pytest.mark.parametrize("database_url", ["sqlite", pytest.param("postgres", marks=pytest.mark.soak)], indirect=True)
async def test_a_list_asks_the_database_as_often_however_long_it_is(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.grow(1)
    space, counted = await named_by(world), Statements(monkeypatch)
    for path in ("/actor", "/@alice", "/spaces/grand"):  # they have keys from when they are first asked for
        await world.scene.ask("documents", "kestrel", path)
    once = await statements(world, counted, space)
    await world.grow(9)
    tenfold = await statements(world, counted, space)
    growing = []
    for key, asked_once in once.items():
        more = Counter(tenfold[key]) - Counter(asked_once)
        if len(tenfold[key]) - len(asked_once) not in range(SECOND_HELPING.get(key, 0) + 1):
            said = "; ".join(f"{number}× {sql[:160]}" for sql, number in more.most_common(3))
            growing.append(f"{key}: {len(asked_once)}, then {len(tenfold[key])}: {said}")
    assert not growing, "\n".join(growing)
    deciding = {
        address: sum(bool(re.search(pattern, " ".join(sql.split()))) for sql in asked_for)
        for key, asked_for in tenfold.items()
        if (pattern := DECIDING.get(address := re.sub(r"/\d+", "/7", key)))
    }
    assert deciding == dict.fromkeys(DECIDING, 1), "which rows are shown is decided by one statement"
