"""Keeps the words of a post where search finds them."""

from collections.abc import Sequence

from server import database as db
from server.queries.folding import folded
from server.text import words


async def make_findable(post_id: int, html: str, options: Sequence[str] = ()) -> None:
    """Remembers the words of a post and of its poll, in the transaction that wrote or changed it."""
    await db.execute(
        "INSERT INTO search_row (post_id, text) VALUES ($1, $2)"
        " ON CONFLICT (post_id) DO UPDATE SET text = excluded.text",
        post_id,
        _text(html, options),
    )


async def make_all_findable(posts: Sequence[tuple[int, str, Sequence[str]]]) -> None:
    """The same of posts (id, HTML, answers of its poll) that were all written now."""
    rows = [{"post_id": post_id, "text": _text(html, options)} for post_id, html, options in posts]
    await db.insert_many("search_row", rows)


def _text(html: str, options: Sequence[str]) -> str:
    return folded("\n".join([words(html), *options]))
