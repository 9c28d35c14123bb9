"""What a partner had is taken back: nothing of it is left there, and it signs so."""

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from server import database as db
from server.actions.posts import Draft, publish
from server.actions.spaces import set_openness
from server.clock import now_ms
from server.ids import Addresses, new_id
from server.openness import Level
from server.viewer import Employee, Operator
from tests.federation.conftest import MakeNode
from tests.federation.harness import Node, Person, free_port, link, until, worded
from tests.federation.stranger import everything
from tests.federation.tap import Tap

pytestmark = pytest.mark.anyio

BOTH = pytest.mark.parametrize("engine", ["sqlite", pytest.param("postgres", marks=pytest.mark.soak)])
"""The second engine only when asked for: a play of minutes."""

SLUG = "chantier"


async def shared_space(aubrac: Node, partners: list[Node], *members: Person) -> None:
    """A space of Alice's with these people of linked instances in it."""
    named = [word for node in partners for word in ("--partner", node.host)]
    await aubrac.cli(
        "spaces", "add", SLUG, "--name", bird("nom"), "--level", "partners", "--owner", "alice",
        "--description", bird("description"), *named,
    )  # fmt: skip
    for member in members:
        await aubrac.cli("spaces", "members", SLUG, "--add", member.handle)
    await until(
        lambda: aubrac.cli("spaces", "members", SLUG, "--json"),
        lambda answer: all(member.handle in answer[1] for member in members) and '"invited"' not in answer[1],
        f"they are members; {aubrac.log()}",
    )


async def stands(node: Node) -> list[str]:
    """The states of all recalls of an instance, one for each instance that owes."""
    async with inside(node):
        return [row["state"] for row in await db.fetch("SELECT state FROM recall_target ORDER BY id")]


async def answered(node: Node, *states: str, deadline_s: float = 60) -> dict[str, Any]:
    """The newest recall, once each of its instances stands in one of these states."""
    await until(
        lambda: stands(node),
        lambda found: bool(found) and set(found) <= set(states),
        f"the recall stands at {states}; {node.log()}",
        deadline_s,
    )
    _, out, _ = await node.cli("recall", "list", "--json")
    _, out, _ = await node.cli("recall", "status", str(json.loads(out)[0]["id"]), "--json")
    return dict(json.loads(out))


@asynccontextmanager
async def inside(node: Node) -> AsyncIterator[None]:
    """The database of an instance, open beside its process."""
    await db.connect(node.database_url, models=())
    try:
        yield
    finally:
        await db.disconnect()


def bytes_with(folder: Path, word: str) -> list[str]:
    """Files of an instance in which a word is found, byte for byte; its log is not of its data."""
    return [
        str(path.relative_to(folder))
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "log" and word.encode() in path.read_bytes()
    ]


BIRDS = ("nom", "description", "texte", "version", "suite", "fichier", "octets", "alt", "affichage")


SMALL = "petite image"


def bird(kind: str) -> str:
    """A word of its own for one place in which a space says something."""
    return f"canari{kind}"


ALL = {SMALL, *map(bird, BIRDS)}


async def say_all(alice: Person, chloe: Person) -> None:
    """A canary in each place: a post that was edited and has a file, an answer, gestures, names, notices."""
    sent = await alice.call(
        "POST", "/api/v2/media", files={"file": (f"{bird('fichier')}.png", worded(bird("octets")))},
        data={"description": bird("alt")},
    )  # fmt: skip
    post = await alice.post(f"{bird('version')} @{chloe.handle}", parvis_space=SLUG, media_ids=[sent.json()["id"]])
    await chloe.sees(bird("version"))
    await alice.call("PUT", f"/api/v1/statuses/{post['id']}", json={"status": f"{bird('texte')} @{chloe.handle}"})
    seen = await chloe.sees(bird("texte"))
    await alice.post(bird("suite"), in_reply_to_id=post["id"])
    await chloe.sees(bird("suite"))
    await chloe.call("POST", f"/api/v1/statuses/{seen['id']}/favourite")
    await until(
        lambda: chloe.get(f"/api/v1/statuses/{seen['id']}"),
        lambda shown: bool(shown["media_attachments"] and shown["media_attachments"][0]["url"]),
        "the file is mirrored",
    )


async def left_of(node: Node, *words: str) -> dict[str, list[str]]:
    """Where these words are still found at an instance: in rows of its tables, in bytes of its files; and small
    pictures, in which no decoder leaves a word.
    """
    async with inside(node):
        rows = await everything()
    found = {word: bytes_with(node.folder, word) for word in words}
    found[SMALL] = [path.name for path in node.folder.rglob("*.small")]
    for word in words:
        found[word] += [table for table, lines in rows.items() if any(word in line for line in lines)]
    return {word: places for word, places in found.items() if places}


@pytest.mark.soak
async def test_I4_after_the_receipts_nothing_is_left_at_either_of_two_partners(fleet: MakeNode) -> None:
    aubrac, kestrel, merle = await fleet("Aubrac Énergie"), await fleet("Kestrel GmbH"), await fleet("Merle SA")
    alice = await aubrac.person("alice", bird("affichage"))
    chloe, driss = await kestrel.person("chloe"), await merle.person("driss")
    await link(aubrac, kestrel)
    await link(aubrac, merle)
    await shared_space(aubrac, [kestrel, merle], chloe, driss)
    await say_all(alice, chloe)
    await driss.sees(bird("suite"))
    for node in (kestrel, merle):
        assert set(await left_of(node, *map(bird, BIRDS))) == ALL
    await aubrac.cli("spaces", "members", SLUG, "--remove", chloe.handle)
    await answered(aubrac, "confirmed")
    assert await left_of(kestrel, *map(bird, BIRDS)) == {}
    assert set(await left_of(merle, *map(bird, BIRDS))) == ALL, "Merle still has it"
    await close(aubrac)
    await until(lambda: stands(aubrac), lambda found: found == ["confirmed"] * 2, "both have signed")
    assert await left_of(merle, *map(bird, BIRDS)) == {}


# --- in bulk -------------------------------------------------------------------------------------


async def one(sql: str, *args: Any) -> Any:
    """The only value of a question."""
    row = await db.fetch_one(sql, *args)
    return next(iter(row.values())) if row else None


async def fill(aubrac: Node, kestrel: Node, count: int) -> None:
    """So many posts of Alice's that Kestrel has, as the rows of both say it: faster than to write them."""
    ids, now = [new_id() for _ in range(count)], now_ms()
    bare = {"reply_to_uri": "", "published_at": now}
    uris = [f"{aubrac.base}/posts/{post_id}" for post_id in ids]
    async with inside(aubrac), db.transaction():
        author = await one("SELECT id FROM actor WHERE name = 'alice' AND peer_id IS NULL")
        space = await one("SELECT id FROM space WHERE slug = $1", SLUG)
        peer = await one("SELECT id FROM peer WHERE host = $1", kestrel.host)
        seq = await one("UPDATE peer SET last_seq = last_seq + $1 WHERE id = $2 RETURNING last_seq", count, peer)
        where = {"space_id": space, "author_id": author}
        posts = [
            {"id": i, "uri": uri, **where, "html": f"<p>canarimasse {i}</p>", "stamp": "invited", **bare}
            for i, uri in zip(ids, uris, strict=True)
        ]
        told = {"kind": "post_published", "actor_id": author, "space_id": space, "created_at": now}
        sent = {"peer_id": peer, "inbox": f"{kestrel.base}/inbox", "state": "sent", "attempts": 1, "created_at": now}
        await db.insert_many("post", posts)
        await db.insert_many("event", [{"id": i, "post_id": i, **told, "sequenced_at": now} for i in ids])
        await db.insert_many(
            "delivery", [{"id": i, "event_id": i, "seq": seq - count + n, **sent} for n, i in enumerate(ids, 1)]
        )
    async with inside(kestrel), db.transaction():
        author = await one("SELECT id FROM actor WHERE uri = $1", f"{aubrac.base}/@alice")
        row = await db.fetch_one("SELECT id, peer_id FROM space WHERE slug = $1", f"{SLUG}@{aubrac.host}")
        assert row is not None
        where = {"space_id": row["id"], "peer_id": row["peer_id"], "author_id": author}
        posts = [
            {"id": i, "uri": uri, **where, "html": f"<p>canarimasse {i}</p>", **bare}
            for i, uri in zip(ids, uris, strict=True)
        ]
        await db.insert_many("post", posts)
        await db.insert_many("search_row", [{"post_id": i, "text": f"canarimasse {i}"} for i in ids])


async def close(aubrac: Node) -> None:
    """The space is closed: this returns with the commit."""
    async with inside(aubrac):
        space = await one("SELECT id FROM space WHERE slug = $1", SLUG)
        await set_openness(Operator(), space, Level.CLOSED)


async def write(aubrac: Node, count: int) -> None:
    """So many posts of Alice's, with a canary in each."""
    async with inside(aubrac):
        row = await db.fetch_one(
            "SELECT c.id, c.actor_id FROM account c JOIN actor a ON a.id = c.actor_id WHERE a.name = 'alice'"
        )
        space = await one("SELECT id FROM space WHERE slug = $1", SLUG)
        assert row is not None
        alice = Employee(row["id"], row["actor_id"])
        for number in range(count):
            await publish(alice, Draft(f"canarifile {number}", space), Addresses(aubrac.base))


async def gone_there(kestrel: Node) -> int:
    """How many of the posts in bulk have been erased."""
    async with inside(kestrel):
        return int(await one("SELECT COUNT(*) AS n FROM post WHERE deleted_at IS NOT NULL"))


@asynccontextmanager
async def sharing(fleet: MakeNode) -> AsyncIterator[tuple[Node, Node, Tap]]:
    """Aubrac shares a space with Kestrel, which stands behind a tap; a canary is in every place there."""
    tap = Tap(free_port(), free_port())
    aubrac, kestrel = await fleet("Aubrac Énergie"), await fleet("Kestrel GmbH", port=tap.port, behind=tap.behind)
    try:
        alice, chloe = await aubrac.person("alice", bird("affichage")), await kestrel.person("chloe")
        await link(aubrac, kestrel)
        await shared_space(aubrac, [kestrel], chloe)
        await say_all(alice, chloe)
        there = await left_of(kestrel, *map(bird, BIRDS))
        assert set(there) == ALL, "all of it is there: what follows proves something"
        yield aubrac, kestrel, tap
    finally:
        await kestrel.stop()
        tap.stop()


WAITED = 60
"""Posts on their way when the space closes: more than a page of the stream holds."""


@BOTH
async def test_D8_I4_what_waited_never_leaves_the_recall_goes_first_and_nothing_is_left_after_the_receipt(
    fleet: MakeNode,
) -> None:
    held = 1_000
    async with sharing(fleet) as (aubrac, kestrel, tap):
        await kestrel.kill()
        await write(aubrac, WAITED)
        await fill(aubrac, kestrel, held)
        tap.heard.clear()
        _, drilled, _ = await aubrac.cli("recall", "drill", kestrel.host, "--json")
        assert await stands(aubrac) == [], "a drill changes nothing"
        await close(aubrac)
        await kestrel.start()
        await until(lambda: gone_there(kestrel), bool, "the purge has begun", 60)
        await kestrel.kill()
        await kestrel.start()
        found = await answered(aubrac, "confirmed")
        assert heard(tap) == 0, "nothing that waited has left"
        before = bytes(tap.heard).partition(b"parvis:Recall")[0]
        assert b'"Announce"' not in before
        assert before.count(b'"type":"Add"') <= 2, "it goes first, but for what had its number when it was decided"
        [theirs] = found["instances"]
        assert held + 2 <= theirs["items"] <= held + 2 + WAITED, "what waited may have been tried"
        [drill] = json.loads(drilled)
        assert (drill["space"], drill["people"]) == (SLUG, 1) and held + 2 <= drill["items"] <= theirs["items"]
        code, _, said = await aubrac.cli("recall", "restart", str(found["id"]), kestrel.host, ok=False)
        assert code == 1 and said.count("\n") == 1, "there is nothing to ask again"
        assert theirs["purged"] == theirs["items"] and theirs["receipt"]["parvis:purged"]["media"] == 1
        assert await left_of(kestrel, "canarimasse", "canarifile", *map(bird, BIRDS)) == {}


def heard(tap: Tap) -> int:
    """How many canaries have passed the wire."""
    return bytes(tap.heard).count(b"canarifile")


BATCH = 50
"""Events that may be on their way at once."""


@pytest.mark.soak
async def test_D8_closing_in_full_flow_with_five_thousand_queued(fleet: MakeNode) -> None:
    async with sharing(fleet) as (aubrac, kestrel, tap):
        await kestrel.kill()
        await write(aubrac, 5_000)
        await kestrel.start()

        async def count() -> int:
            return heard(tap)

        await until(count, lambda n: n > 200, "it flows", 60)
        await close(aubrac)
        at_commit = heard(tap)
        await answered(aubrac, "confirmed", deadline_s=120)
        print(f"{at_commit} canaries on the wire at the commit, {heard(tap) - at_commit} after it")
        assert at_commit < 5_000 and heard(tap) - at_commit <= BATCH
        assert await left_of(kestrel, "canarifile") == {}


@pytest.mark.soak
async def test_a_recall_of_ten_thousand_items_is_acknowledged_within_a_minute(fleet: MakeNode) -> None:
    async with sharing(fleet) as (aubrac, kestrel, _):
        await fill(aubrac, kestrel, 10_000)
        begun = time.monotonic()
        await close(aubrac)
        closed = time.monotonic()
        await answered(aubrac, "confirmed")
        print(f"closed in {closed - begun:.2f} s, acknowledged after {time.monotonic() - begun:.2f} s")
        assert await left_of(kestrel, "canarimasse") == {}
