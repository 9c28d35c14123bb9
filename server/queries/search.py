"""Words looked for among the posts that a viewer may read, and nowhere else."""

from server import database as db
from server.clock import now_ms
from server.policy import scope_posts
from server.queries.folding import folded, like
from server.queries.posts import PostCard, cards
from server.sql import Clause
from server.viewer import Viewer

PAGE = 20
MOST_WORDS = 8
"""Words that count; those after them are left out."""


async def posts(viewer: Viewer, words: str, *, before: int | None = None, limit: int = PAGE) -> list[PostCard]:
    """Posts that hold all the words, in any case and accent, newest first; no words find nothing.

    `before`: the id of the last one of the page before.
    """
    wanted = list(dict.fromkeys(folded(words).split()))[:MOST_WORDS]
    if not wanted:
        return []
    query = Clause(
        "SELECT p.id FROM search_row x JOIN post p ON p.id = x.post_id"
        " LEFT JOIN space s ON s.id = p.space_id WHERE 1 = 1"
    )
    for word in wanted:
        query = query.then("AND x.text LIKE ? ESCAPE '!'", like(word))
    if before is not None:
        query = query.then("AND x.post_id < ?", before)
    query = query.and_(scope_posts(viewer, now_ms())).then("ORDER BY x.post_id DESC LIMIT ?", limit)
    return await cards(viewer, [row["id"] for row in await db.fetch(*query.statement())])
