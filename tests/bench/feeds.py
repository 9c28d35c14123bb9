"""What reading and writing through the client API cost while an instance grows a hundredfold.

Run by hand: `python -m tests.bench.feeds [sqlite|postgres] [posts at 1×]`. CPU milliseconds of this process for one
call, from the request to the last byte of the answer; without the socket, and on PostgreSQL without its own.
"""

import asyncio
import sys
import tempfile
from pathlib import Path

from starlette.applications import Starlette

from server import database as db
from server.actions.notices import notify
from server.viewer import Employee
from tests.bench.decisions import MEMBERSHIPS, Scene, database_of
from tests.bench.growth import SIZES, Ask, Table
from tests.unit.web.api.client import Client, application, client_of

NOTICES = 20


async def bench(url: str, folder: Path, posts: int) -> None:
    app = application(url, folder)
    scene = await Scene.set()
    table = Table(f"{db.engine_name()}: CPU ms for one call at {posts} posts × {SIZES}")
    for size in SIZES:
        await scene.grow(posts * size)
        await _noticed(scene, NOTICES * size)
        await table.measure(await _calls(app, scene))
    table.print()


async def _noticed(scene: Scene, count: int) -> None:
    """Somebody was mentioned in the newest posts, and so many times before."""
    who = scene.viewers[MEMBERSHIPS[0]]
    for number in range(count):
        post_id = scene.newest[number % len(scene.newest)]
        await notify([who.actor_id], "mention", key=f"{number}:{post_id}", by=scene.authors[0], post_id=post_id)


async def _calls(app: Starlette, scene: Scene) -> dict[str, Ask]:
    asked: dict[str, Ask] = {}
    for count, viewer in scene.viewers.items():
        asked[f"home, {count} spaces"] = _get(await client_of(app, viewer), "/api/v1/timelines/home")
    few = await client_of(app, scene.viewers[MEMBERSHIPS[0]])
    last = str(scene.newest[-1])
    return asked | {
        "home, 5 spaces, nothing new": _get(few, "/api/v1/timelines/home", since_id=last),
        "notifications": _get(few, "/api/v1/notifications"),
        "how many wait": _get(few, "/api/v1/notifications/unread_count"),
        "one post": _get(few, f"/api/v1/statuses/{await _own(scene.viewers[MEMBERSHIPS[0]], few)}"),
        "to write": _writes(few),
    }


async def _own(who: Employee, client: Client) -> str:
    written = await client.post("/api/v1/statuses", status="Un relevé.", visibility="colleagues")
    return str(written["id"])


def _get(client: Client, path: str, **params: str) -> Ask:
    return lambda: client.get(path, **params)


def _writes(client: Client) -> Ask:
    text = "Un relevé de plus, avec ses courbes : https://a.example/relevés **à lire**. " * 5
    return lambda: client.post("/api/v1/statuses", status=text, visibility="colleagues")


async def run(url: str, folder: Path, posts: int) -> None:
    await db.connect(url)
    await bench(url, folder, posts)
    await db.disconnect()


def main() -> None:
    posts = int(sys.argv[2]) if len(sys.argv) > 2 else 1_000
    for engine in sys.argv[1:2] or ["sqlite", "postgres"]:
        with database_of(engine) as url, tempfile.TemporaryDirectory() as folder:
            asyncio.run(run(url, Path(folder), posts))


if __name__ == "__main__":
    main()
