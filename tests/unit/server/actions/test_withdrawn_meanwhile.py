"""A post is taken back while somebody edits it, thanks for it or votes in it: nothing of either stays."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from server import database as db
from server.actions import posts
from server.actions.gestures import react
from server.actions.polls import poll_of, vote
from server.errors import NotFound
from tests.cast import HERE, Cast, gather

pytestmark = pytest.mark.anyio

MEANWHILE: dict[str, Callable[[Cast, int], Coroutine[Any, Any, None]]] = {
    "edit": lambda cast, post: posts.edit(cast.alice, post, "canari édité", HERE),
    "gesture": lambda cast, post: react(cast.bruno, post),
    "vote": lambda cast, post: vote(cast.bruno, post, [0]),
}
LEFT = ("post_version", "reaction", "search_row", "vote", "poll_option", "mention", "notice")


async def somebody_waits() -> bool:
    """Whether a statement waits for another transaction's row, as PostgreSQL says; the embedded one has one writer."""
    if db.engine_name() == "sqlite":
        return True
    return bool(await db.fetch("SELECT 1 AS yes FROM pg_locks WHERE NOT granted LIMIT 1"))


@pytest.mark.parametrize("what", MEANWHILE)
async def test_what_is_done_to_a_post_while_it_is_taken_back_leaves_nothing(database: str, what: str) -> None:
    cast = await gather()
    draft = posts.Draft("canari", poll=poll_of(("lundi", "mardi"), False, 86_400))
    post = await posts.publish(cast.alice, draft, HERE)
    gone, go_on = asyncio.Event(), asyncio.Event()

    async def take_back() -> None:
        async with db.transaction():
            await posts.withdraw(cast.alice, post)
            gone.set()
            await go_on.wait()

    taking = asyncio.create_task(take_back())
    await gone.wait()
    doing = asyncio.create_task(MEANWHILE[what](cast, post))
    for _ in range(2000):
        if await somebody_waits() or doing.done():
            break
        await asyncio.sleep(0.005)
    go_on.set()
    await taking
    with pytest.raises(NotFound):
        await doing
    [row] = await db.fetch("SELECT html, source, deleted_at FROM post WHERE id = $1", post)
    assert row["deleted_at"] and (row["html"], row["source"]) == ("", "")
    for table in LEFT:
        assert await db.fetch(f"SELECT * FROM {table} WHERE post_id = $1", post) == [], table
    told = [row["kind"] for row in await db.fetch("SELECT kind FROM event WHERE post_id = $1 ORDER BY id", post)]
    assert told == ["post_published", "post_withdrawn"]
