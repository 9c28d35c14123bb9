"""Keeps the words of a post where search finds them."""

from collections.abc import Sequence

from server import database as db
from server.queries.folding import folded
from server.text import words


async def make_findable(post_id: int, html: str) -> None:
    """Remembers the words of a post, in the transaction that wrote or changed it."""
    await db.execute(
        "INSERT INTO search_row (post_id, text) VALUES ($1, $2)"
        " ON CONFLICT (post_id) DO UPDATE SET text = excluded.text",
        post_id,
        folded(words(html)),
    )


async def make_all_findable(posts: Sequence[tuple[int, str]]) -> None:
    """The same of posts (id, HTML) that were all written now."""
    await db.insert_many("search_row", [{"post_id": post_id, "text": folded(words(html))} for post_id, html in posts])
