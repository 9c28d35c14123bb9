"""Keeps the words of a post where search finds them."""

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
