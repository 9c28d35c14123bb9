"""D3: a partner is gone for 30 days. 100,000 events wait when it comes back: how long until it has caught up?

Run by hand: `python -m tests.bench.outage [sqlite|postgres] [events]`. Two real instances, each its own process, linked
and with two spaces in common. What happened meanwhile (posts, edits, withdrawals, gestures, over 30 days) is written
as the rows that the verbs write; the host's own sequencer makes the deliveries while the partner is down, and they get
the age of what they tell. Then the partner starts, and the clock runs, back-off included. Today's posts, in the other
space, should not wait for the rest. At the end both databases are compared: what is there, as it was last said, in
the order in which it was said.
"""

import asyncio
import sqlite3
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg

from server import database as db
from server.clock import now_ms
from server.ids import new_id
from tests.bench.decisions import database_of
from tests.federation.harness import Node, free_port, link, until

DAY_MS = 86_400_000
DAYS = 30
SLUGS = ("chantier", "journal")
TODAY = 20
LONGEST_S = 1_200
TEXT = "<p>" + "Un relevé de plus, avec ses courbes. " * 8 + "</p>"


async def ask(node: Node, sql: str) -> list[tuple[Any, ...]]:
    """Looks into an instance's database beside its process, and changes nothing."""
    if node.database_url.startswith("sqlite"):
        connection = sqlite3.connect(f"file:{node.database_url.removeprefix('sqlite://')}?mode=ro", uri=True)
        try:
            return connection.execute(sql).fetchall()
        finally:
            connection.close()
    there = await asyncpg.connect(node.database_url)
    try:
        return [tuple(row) for row in await there.fetch(sql)]
    finally:
        await there.close()


@asynccontextmanager
async def offline(node: Node) -> AsyncIterator[None]:
    """The node's database, here, while its process does not run."""
    await node.kill()
    await db.connect(node.database_url)
    try:
        yield
    finally:
        await db.disconnect()


async def set_up(host: Node, partner: Node) -> None:
    for node in (host, partner):
        node.write_settings()
        await node.start()
    await host.person("alice")
    chloe = await partner.person("chloe")
    await link(host, partner)
    for slug in SLUGS:
        words = ("--level", "partners", "--owner", "alice", "--partner", partner.host)
        await host.cli("spaces", "add", slug, "--name", slug.title(), *words)
        await host.cli("spaces", "members", slug, "--add", chloe.handle)
        await until(
            lambda slug=slug: host.cli("spaces", "members", slug, "--json"),  # type: ignore[misc]
            lambda answer: chloe.handle in answer[1] and '"invited"' not in answer[1],
            "Chloé is a member",
        )
    await until(lambda: waits(host), lambda count: count == 0, "nothing waits")


async def waits(node: Node) -> int:
    return int((await ask(node, "SELECT COUNT(*) FROM delivery WHERE state = 'pending'"))[0][0])


async def happened(count: int, base: str) -> None:
    """What happens in 30 days, in its order: of 20 events 11 posts, 6 edits, 2 gestures and 1 withdrawal."""
    since, step = now_ms() - DAYS * DAY_MS, DAYS * DAY_MS // count
    await db.execute("UPDATE membership SET since_at = since_at - $1", 2 * DAYS * DAY_MS)
    await db.execute("UPDATE space_partner SET added_at = added_at - $1", 2 * DAYS * DAY_MS)
    await db.execute("UPDATE space SET opened_at = opened_at - $1", 2 * DAYS * DAY_MS)
    alice, chantier = await _ids()
    posts: dict[int, dict[str, Any]] = {}
    events: list[dict[str, Any]] = []
    reactions: list[dict[str, Any]] = []
    mine: list[int] = []
    for number in range(count):
        at, turn, post = since + number * step, number % 20, 0
        fact: dict[str, Any] = {"id": new_id(), "actor_id": alice, "space_id": chantier, "created_at": at, "data": "{}"}
        if turn < 11:
            post = new_id()
            mine.append(post)
            row = {"id": post, "uri": f"{base}/posts/{post}", "author_id": alice, "space_id": chantier}
            posts[post] = row | {
                "html": TEXT,
                "stamp": "invited",
                "published_at": at,
                "edited_at": None,
                "deleted_at": None,
            }
        elif turn < 17:
            post = mine[-1 - turn % 2]
            posts[post] |= {"edited_at": at, "html": f"<p>{at}</p>"}
        elif turn < 19:
            post = mine[-5]
            emoji, uri = "👍" if turn == 17 else "🎉", f"event:{fact['id']}"
            reactions.append(
                {"id": new_id(), "post_id": post, "actor_id": alice, "emoji": emoji, "uri": uri, "created_at": at}
            )
            fact["data"] = f'{{"emoji":"{emoji}","uri":"{uri}"}}'
        else:
            post = mine[-8]
            posts[post] |= {"deleted_at": at, "html": ""}
        kind = "published" if turn < 11 else "edited" if turn < 17 else "withdrawn"
        events.append({**fact, "kind": "reacted" if turn in (17, 18) else f"post_{kind}", "post_id": post})
    for table, rows in (("post", list(posts.values())), ("reaction", reactions), ("event", events)):
        for start in range(0, len(rows), 1000):
            async with db.transaction():
                await db.insert_many(table, rows[start : start + 1000])


async def _ids() -> tuple[int, int]:
    rows = await db.fetch(
        "SELECT a.id AS actor_id, s.id AS space_id FROM actor a, space s WHERE a.name = 'alice' AND s.slug = $1",
        SLUGS[0],
    )
    return rows[0]["actor_id"], rows[0]["space_id"]


async def today(base: str) -> None:
    """What waits has the age of what it tells; and there are posts of this minute, in the other space."""
    await db.execute(
        "UPDATE delivery SET created_at = (SELECT e.created_at FROM event e WHERE e.id = delivery.event_id)"
        " WHERE state = 'pending'"
    )
    alice, _ = await _ids()
    space = await db.fetch_one("SELECT id FROM space WHERE slug = $1", SLUGS[1])
    assert space is not None
    for _ in range(TODAY):
        post, now = new_id(), now_ms()
        row = {"id": post, "uri": f"{base}/posts/{post}", "author_id": alice, "space_id": space["id"], "html": TEXT}
        await db.insert("post", row | {"stamp": "invited", "published_at": now})
        fact = {"id": new_id(), "kind": "post_published", "actor_id": alice, "space_id": space["id"], "post_id": post}
        await db.insert("event", fact | {"created_at": now})


POSTS = (
    "SELECT p.uri, p.html, COALESCE(p.edited_at, 0) FROM post p JOIN space s ON s.id = p.space_id"
    " WHERE p.deleted_at IS NULL AND s.slug LIKE '{slug}%' ORDER BY p.id"
)
GESTURES = (
    "SELECT p.uri, r.emoji FROM reaction r JOIN post p ON p.id = r.post_id WHERE p.deleted_at IS NULL"
    " ORDER BY p.uri, r.emoji"
)


async def same_there(host: Node, partner: Node) -> None:
    """Both hold the same posts, as they were last said, in the same order, with the same gestures."""
    for slug in SLUGS:
        ours, theirs = await ask(host, POSTS.format(slug=slug)), await ask(partner, POSTS.format(slug=slug))
        different = [pair for pair in zip(ours, theirs, strict=False) if pair[0] != pair[1]]
        assert ours == theirs, (slug, len(ours), len(theirs), different[:2])
        print(f"  {slug}: {len(theirs)} posts, the same in the same order", flush=True)
    assert await ask(host, GESTURES) == await ask(partner, GESTURES)


async def played(engine_urls: tuple[str, str], folder: Path, count: int) -> None:
    ports = free_port(), free_port()
    host = Node("Aubrac", folder / "host", ports[0], engine_urls[0])
    partner = Node("Kestrel", folder / "partner", ports[1], engine_urls[1])
    try:
        await set_up(host, partner)
        await partner.kill()
        async with offline(host):
            await happened(count, host.base)
        await host.start()
        at = time.perf_counter()
        unsequenced = "SELECT COUNT(*) FROM event WHERE sequenced_at IS NULL"
        await until(lambda: ask(host, unsequenced), _is_none, f"all are sequenced; {host.log()}", LONGEST_S)
        print(f"  sequenced in {time.perf_counter() - at:.0f} s; {await waits(host)} deliveries wait", flush=True)
        async with offline(host):
            await today(host.base)
        await host.start()
        await asyncio.sleep(3)  # it tries, and rests
        await partner.start()
        await catches_up(host, partner)
        await same_there(host, partner)
    finally:
        await host.kill()
        await partner.kill()
        await host.stop()
        await partner.stop()


def _is_none(rows: list[tuple[Any, ...]]) -> bool:
    return int(rows[0][0]) == 0


async def catches_up(host: Node, partner: Node) -> None:
    at, first, fresh = time.perf_counter(), 0.0, 0.0
    journal = f"SELECT COUNT(*) FROM post p JOIN space s ON s.id = p.space_id WHERE s.slug LIKE '{SLUGS[1]}%'"
    stream = "SELECT given, acked, done FROM stream"
    while True:
        passed = time.perf_counter() - at
        given, acked, done = (await ask(host, stream))[0]
        here = int((await ask(partner, "SELECT COUNT(*) FROM post"))[0][0])
        first = first or (passed if here else 0.0)
        if not fresh and int((await ask(partner, journal))[0][0]) == TODAY:
            fresh = passed
            print(f"  today's posts are there after {fresh:.0f} s, {here - TODAY} others before them", flush=True)
        if not await waits(host) and given == acked == done:
            break
        assert passed < LONGEST_S, (given, acked, done, here, host.log(), partner.log())
        await asyncio.sleep(1)
    states = await ask(host, "SELECT state, error, COUNT(*) FROM delivery GROUP BY state, error ORDER BY 1, 2")
    print(f"  first post after {first:.0f} s; caught up after {passed:.0f} s, {done} numbers; {states}", flush=True)


def main() -> None:
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 100_000
    for engine in sys.argv[1:2] or ["sqlite"]:
        print(f"{engine}: {count} events, {DAYS} days", flush=True)
        with database_of(engine) as here, database_of(engine) as there, tempfile.TemporaryDirectory() as folder:
            asyncio.run(played((here, there), Path(folder), count))


if __name__ == "__main__":
    main()
