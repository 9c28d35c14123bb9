"""What waits in a space for those who run it."""

from server import database as db
from server.policy import Act
from server.queries.posts import PostCard, cards
from server.queries.spaces import SeenSpace
from server.viewer import Viewer

PAGE = 40


async def waiting(viewer: Viewer, space: SeenSpace, after: int | None = None, limit: int = PAGE) -> list[PostCard]:
    """The oldest first; `after`: the id of the last one of the page before. Raises Forbidden to all others."""
    space.demand(viewer, Act.ADMIT_MEMBERS)
    rows = await db.fetch(
        "SELECT id FROM post WHERE space_id = $1 AND held_at IS NOT NULL AND deleted_at IS NULL AND id > $2"
        " ORDER BY id LIMIT $3",
        space.id,
        after or 0,
        limit,
    )
    return await cards(viewer, [row["id"] for row in rows])


async def count(viewer: Viewer, space: SeenSpace) -> int:
    """How many wait; 0 for those who do not decide."""
    if not space.may(viewer, Act.ADMIT_MEMBERS):
        return 0
    row = await db.fetch_one(
        "SELECT COUNT(*) AS n FROM post WHERE space_id = $1 AND held_at IS NOT NULL AND deleted_at IS NULL", space.id
    )
    return int(row["n"]) if row else 0
