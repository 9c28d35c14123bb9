"""What deciding costs: one decision, and a page of a list while an instance grows a hundredfold.

Run by hand: `python -m tests.bench.decisions [sqlite|postgres] [items at 1×]`. It prints medians and what they
are to the first of their row; it judges nothing.
"""

import asyncio
import contextlib
import random
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

from server import database as db
from server.clock import now_ms
from server.ids import new_id
from server.migrating import migrate
from server.openness import Audience, Variant, Visibility
from server.policy import Act, PostFacts, SpaceFacts, Standing, may_post
from server.queries import posts, timelines
from server.queries.timelines import Window
from server.viewer import Employee, PeerServer, RemotePerson, Viewer
from tests.databases import PostgresServer, postgres_programs, shared_postgres

SPACES = 400
AUTHORS = 100
MEMBERSHIPS = (5, 50, 300)
FOLLOWED = 10
TIMES = 15
LEVELS = ("closed", "internal", "internal", "partners", "network")


async def bench(items: int) -> None:
    scene = await Scene.set()
    rows: dict[str, list[float]] = {}
    sizes = (1, 10, 100)
    for size in sizes:
        await scene.grow(items * size)
        for name, ask in scene.questions().items():
            rows.setdefault(name, []).append(await timed(ask))
    print(f"\n{db.engine_name()}: a page of 20, median of {TIMES}, ms (and × the first) at {items} items × {sizes}")
    for name, times in rows.items():
        print(f"  {name:34}" + "".join(f"{t:9.2f} ({t / times[0]:4.1f}×)" for t in times))


async def timed(ask: Callable[[], Awaitable[object]]) -> float:
    """Median in milliseconds, after two runs that nobody counts."""
    took = []
    for turn in range(TIMES + 2):
        began = time.perf_counter()
        await ask()
        if turn > 1:
            took.append((time.perf_counter() - began) * 1000)
    return median(took)


class Scene:
    """An instance with many spaces, some people and posts in all of them, evenly and at random."""

    def __init__(self) -> None:
        self.spaces: list[int] = []
        self.authors: list[int] = []
        self.viewers: dict[int, Employee] = {}
        self.peer = PeerServer(new_id(), linked=True)
        self.chance = random.Random(7)
        self.posts = 0
        self.newest: list[int] = []

    @classmethod
    async def set(cls) -> "Scene":
        scene, now = cls(), now_ms()
        peer = {"id": scene.peer.peer_id, "host": "k.test", "base_url": "https://k.test", "created_at": now}
        await db.insert("peer", peer)
        for _ in range(AUTHORS):
            scene.authors.append(await scene.actor("person"))
        for number in range(SPACES):
            await scene.space(number)
        for count in MEMBERSHIPS:
            await scene.viewer(count)
        chloe = await scene.actor("person", scene.peer.peer_id)
        for space_id in scene.spaces[:50]:
            await scene.enter(space_id, chloe, scene.peer.peer_id)
        return scene

    async def actor(self, kind: str, peer_id: int | None = None) -> int:
        actor_id = new_id()
        uri = f"https://b.test/{actor_id}"
        row = {"id": actor_id, "uri": uri, "kind": kind, "name": str(actor_id), "peer_id": peer_id}
        await db.insert("actor", {**row, "host": "k.test" if peer_id else "", "created_at": now_ms()})
        return actor_id

    async def space(self, number: int) -> None:
        space_id, now, level = new_id(), now_ms(), LEVELS[number % len(LEVELS)]
        row = {"id": space_id, "actor_id": await self.actor("group"), "slug": f"s{number}", "name": f"S {number}"}
        await db.insert("space", {**row, "level": level, "opened_at": 1, "created_at": now})
        named = {"id": new_id(), "space_id": space_id, "peer_id": self.peer.peer_id, "added_at": 1}
        await db.insert("space_partner", named)
        self.spaces.append(space_id)

    async def enter(self, space_id: int, actor_id: int, peer_id: int | None = None) -> None:
        row = {"id": new_id(), "space_id": space_id, "actor_id": actor_id, "peer_id": peer_id, "state": "member"}
        await db.insert("membership", {**row, "since_at": 1, "created_at": 1})

    async def viewer(self, memberships: int) -> None:
        actor_id, account_id = await self.actor("person"), new_id()
        await db.insert("account", {"id": account_id, "actor_id": actor_id, "name": str(actor_id), "created_at": 1})
        for space_id in self.chance.sample(self.spaces, memberships):
            await self.enter(space_id, actor_id)
        for followed in self.chance.sample(self.authors, FOLLOWED):
            row = {"id": new_id(), "follower_id": actor_id, "followed_id": followed, "state": "accepted"}
            await db.insert("follow", {**row, "created_at": 1})
        self.viewers[memberships] = Employee(account_id, actor_id)

    async def grow(self, items: int) -> None:
        """Posts until there are so many; one in ten stands outside any space."""
        stamps = {level: "invited" if level == "partners" else level for level in LEVELS}
        while self.posts < items:
            rows: list[dict[str, Any]] = []
            for _ in range(min(5_000, items - self.posts)):
                place = self.chance.randrange(SPACES)
                personal = self.chance.random() < 0.1
                post_id, author = new_id(), self.chance.choice(self.authors)
                rows.append(
                    {
                        "id": post_id,
                        "uri": f"https://b.test/posts/{post_id}",
                        "author_id": author,
                        "space_id": None if personal else self.spaces[place],
                        "visibility": self.chance.choice(list(Visibility)).value if personal else "",
                        "stamp": "" if personal else stamps[LEVELS[place % len(LEVELS)]],
                        "html": "<p>…</p>",
                        "published_at": now_ms(),
                    }
                )
            async with db.transaction():
                await db.insert_many("post", rows)
            self.posts += len(rows)
            self.newest = [row["id"] for row in rows[-20:]]
        await db.execute("ANALYZE")

    def questions(self) -> dict[str, Callable[[], Awaitable[object]]]:
        few, many = self.viewers[MEMBERSHIPS[0]], self.viewers[MEMBERSHIPS[-1]]
        window = Window()
        asked: dict[str, Callable[[], Awaitable[object]]] = {
            "a space": lambda: timelines.of_space(many, self.spaces[1], window),
            "a space, by a partner's server": lambda: timelines.of_space(self.peer, self.spaces[3], window),
            "a person": lambda: timelines.of_person(few, self.authors[0], window),
            "the open square": lambda: timelines.public(few, window),
        }
        for count, viewer in self.viewers.items():
            asked[f"home, {count} memberships"] = self._home(viewer, window)
        asked["20 posts, which may be read"] = lambda: posts.readable(many, self.newest)
        return asked

    def _home(self, viewer: Employee, window: Window) -> Callable[[], Awaitable[object]]:
        return lambda: timelines.home(viewer, window)


def decide() -> None:
    """One decision by itself, for those with the shortest and the longest way through it."""
    now = now_ms()
    here = SpaceFacts(1, Variant.NETWORK, opened_at=1)
    inside, outside = PostFacts(9, now, here, Variant.EVERYONE), PostFacts(9, now, visibility=Visibility.FOLLOWERS)
    callers: list[tuple[Viewer, Standing]] = [
        (Employee(1, 2), Standing(Audience.STAFF)),
        (RemotePerson(3, 4, True), Standing(Audience.PARTNER_MEMBER, since_at=1, let_in_at=1)),
        (PeerServer(4), Standing(Audience.FED, let_in_at=1)),
    ]
    for post in (inside, outside):
        for viewer, standing in callers:
            began = time.perf_counter()
            for _ in range(20_000):
                may_post(viewer, Act.REACT, post, standing, now)
            each = (time.perf_counter() - began) / 20_000 * 1e6
            place = "in a space" if post.space else "personal"
            print(f"  may_post, {type(viewer).__name__:13} {place:11} {each:6.2f} µs")


@contextlib.contextmanager
def database_of(engine: str) -> Iterator[str]:
    """The URL of an empty migrated database of its own."""
    with tempfile.TemporaryDirectory() as folder:
        if engine == "sqlite":
            url = f"sqlite://{folder}/bench.db"
            asyncio.run(migrate(url, Path(folder)))
            yield url
            return
        programs = postgres_programs()
        if programs is None:
            raise SystemExit("PostgreSQL is not installed")
        with shared_postgres(programs, Path(folder)) as place:
            server = PostgresServer(place, "bench")
            url = server.url(server.create())
            asyncio.run(migrate(url, Path(folder)))
            yield url


async def run(url: str, items: int) -> None:
    await db.connect(url)
    await bench(items)
    await db.disconnect()


def main() -> None:
    engines = sys.argv[1:2] or ["sqlite", "postgres"]
    items = int(sys.argv[2]) if len(sys.argv) > 2 else 2_000
    decide()
    for engine in engines:
        with database_of(engine) as url:
            asyncio.run(run(url, items))


if __name__ == "__main__":
    main()
