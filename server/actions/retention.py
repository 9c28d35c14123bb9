"""What a space keeps only for a time: what is older than its retention goes, after a closing that purges all of it.

Each look takes a bounded number of posts; what is left over goes at the next. Taking back is told to whoever was sent
the post, as any withdrawal is.
"""

from server import database as db
from server.actions.posts import expire
from server.clock import now_ms
from server.openness import AfterClose

DAY_MS = 24 * 3600 * 1000
AT_ONCE = 100
EVERY_MS = 60_000

_next_look = 0


async def run_retention() -> int:
    """Withdraws what has had its time; how many posts. Looks at most once a minute while there is nothing to do."""
    global _next_look
    now = now_ms()
    if now < _next_look:
        return 0
    rows = await db.fetch(
        """SELECT p.id FROM post p JOIN space s ON s.id = p.space_id
           WHERE s.peer_id IS NULL AND p.deleted_at IS NULL AND (
             (s.retention_days > 0 AND p.published_at < CAST($1 AS BIGINT) - s.retention_days * CAST($2 AS BIGINT))
             OR (s.after_close = $3 AND s.closed_at IS NOT NULL
                 AND s.closed_at <= CAST($1 AS BIGINT) - s.retention_days * CAST($2 AS BIGINT)))
           ORDER BY p.id LIMIT $4""",
        now,
        DAY_MS,
        AfterClose.PURGE.value,
        AT_ONCE,
    )
    for row in rows:
        await expire(row["id"])
    if len(rows) < AT_ONCE:
        _next_look = now + EVERY_MS
    return len(rows)
