"""Who answers for a partner in a space leaves: the owners of that space say whether it stays as it is.

Nothing is taken back at once, because somebody may be suspended for a while, and what a partner gave back does not come
again by itself. Unanswered, the space ends as after any review.
"""

from server import database as db
from server.clock import now_ms

ANSWER_WITHIN_MS = 14 * 24 * 3600 * 1000


async def left(actor_id: int) -> int:
    """In the caller's transaction: spaces in which this person answers for a partner are to be reviewed; how many."""
    return await db.execute(
        "UPDATE space SET review_due_at = $1 WHERE peer_id IS NULL AND (review_due_at IS NULL OR review_due_at > $1)"
        " AND EXISTS (SELECT 1 FROM space_partner n WHERE n.space_id = space.id AND n.sponsor_id = $2)",
        now_ms() + ANSWER_WITHIN_MS,
        actor_id,
    )
