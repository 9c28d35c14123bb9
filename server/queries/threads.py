"""A conversation as one viewer may read it: what a post answers, and what answers it."""

from dataclasses import dataclass

from server import database as db
from server.clock import now_ms
from server.errors import NotFound
from server.policy import scope_posts
from server.queries.posts import PostCard, cards
from server.sql import Clause
from server.viewer import Viewer

MOST_BEFORE = 100
"""How far up a chain of answers is followed."""

MOST_AFTER = 400
"""How many answers are shown at once, the oldest first."""


@dataclass(frozen=True, slots=True)
class Thread:
    """`before`: what it answers, the beginning first. `after`: what answers it, oldest first.

    `more`: there were more answers than are shown at once.
    """

    before: tuple[PostCard, ...]
    post: PostCard
    after: tuple[PostCard, ...]
    more: bool


async def around(viewer: Viewer, post_id: int) -> Thread:
    """The conversation around a post, each part asked for by its own right. Raises NotFound."""
    above = await _above(post_id)
    below = await _below(viewer, post_id)
    shown = {card.id: card for card in await cards(viewer, [*above, post_id, *below[:MOST_AFTER]])}
    if post_id not in shown:
        raise NotFound(detail="no such post")
    return Thread(
        before=tuple(shown[i] for i in reversed(above) if i in shown),
        post=shown[post_id],
        after=tuple(shown[i] for i in below[:MOST_AFTER] if i in shown),
        more=len(below) > MOST_AFTER,
    )


async def _above(post_id: int) -> list[int]:
    """The ids that a post answers, nearest first."""
    rows = await db.fetch(
        """WITH RECURSIVE up (id, answers, far) AS (
             SELECT id, reply_to_id, 0 FROM post WHERE id = $1
             UNION ALL
             SELECT p.id, p.reply_to_id, up.far + 1 FROM post p JOIN up ON p.id = up.answers WHERE up.far < $2)
           SELECT id FROM up WHERE far > 0 ORDER BY far""",
        post_id,
        MOST_BEFORE,
    )
    return [row["id"] for row in rows]


async def _below(viewer: Viewer, post_id: int) -> list[int]:
    """The ids that answer a post, directly or not, and that the viewer may read; one more than are shown."""
    query = Clause(
        """WITH RECURSIVE down (id, far) AS (
             SELECT id, 0 FROM post WHERE id = ?
             UNION ALL
             SELECT p.id, down.far + 1 FROM post p JOIN down ON p.reply_to_id = down.id WHERE down.far < ?)
           SELECT p.id FROM down JOIN post p ON p.id = down.id LEFT JOIN space s ON s.id = p.space_id
           WHERE down.far > 0""",
        (post_id, MOST_BEFORE),
    ).and_(scope_posts(viewer, now_ms()))
    rows = await db.fetch(*query.then("ORDER BY p.id LIMIT ?", MOST_AFTER + 1).statement())
    return [row["id"] for row in rows]
