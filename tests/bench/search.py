"""What looking for words costs while an instance grows a hundredfold.

Run by hand: `python -m tests.bench.search [sqlite|postgres] [posts at 1×]`. CPU milliseconds of this process for one
page of 20; on PostgreSQL its own come on top.
"""

import asyncio
import itertools
import random
import sys

from server import database as db
from server.queries import search
from tests.bench.decisions import MEMBERSHIPS, Scene, database_of
from tests.bench.growth import SIZES, Ask, Table

PIECES = ("re", "me", "ca", "vo"), ("le", "su", "ble", "nt"), ("ve", "r", "age", "s")
WORDS = ["".join(pieces) for pieces in itertools.product(*PIECES)]
RARE = "introuvable"


async def bench(posts: int) -> None:
    scene = await Scene.set()
    table = Table(f"{db.engine_name()}: CPU ms for one search at {posts} posts × {SIZES}")
    for size in SIZES:
        await scene.grow(posts * size)
        await _worded(size)
        await table.measure(_questions(scene), times=10)
    table.print()


async def _worded(size: int) -> None:
    """Forty words in each post that has none yet, one of them rare."""
    chance = random.Random(size)
    rows = await db.fetch("SELECT id FROM post WHERE id NOT IN (SELECT post_id FROM search_row)")
    texts = [
        {"post_id": row["id"], "text": " ".join(chance.choices(WORDS, k=40)) + (f" {RARE}" if n == 7 else "")}
        for n, row in enumerate(rows)
    ]
    for start in range(0, len(texts), 2_000):
        await db.insert_many("search_row", texts[start : start + 2_000])


def _questions(scene: Scene) -> dict[str, Ask]:
    many = scene.viewers[MEMBERSHIPS[-1]]
    return {
        "a word that is everywhere": lambda: search.posts(many, WORDS[0]),
        "three words together": lambda: search.posts(many, " ".join(WORDS[:3])),
        "a word of few": lambda: search.posts(many, RARE),
        "a word that is nowhere": lambda: search.posts(many, "xylophone"),
    }


async def run(url: str, posts: int) -> None:
    await db.connect(url)
    await bench(posts)
    await db.disconnect()


def main() -> None:
    posts = int(sys.argv[2]) if len(sys.argv) > 2 else 1_000
    for engine in sys.argv[1:2] or ["sqlite", "postgres"]:
        with database_of(engine) as url:
            asyncio.run(run(url, posts))


if __name__ == "__main__":
    main()
