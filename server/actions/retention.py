"""What a space keeps only for a time: what is older than its retention goes, after a closing that purges all of it.

Each look takes a bounded number of posts of one space; what is left over goes at the next. Taking back is told to
whoever was sent the post, as any withdrawal is.
"""

from server import database as db
from server.actions.posts import expire
from server.clock import now_ms
from server.openness import AfterClose

DAY_MS = 24 * 3600 * 1000
AT_ONCE = 100
EVERY_MS = 3_600_000
"""How long between two looks while there is nothing to do: a look reads the old posts of each such space."""

_next_look = 0


async def run_retention() -> int:
    """Withdraws what has had its time; how many posts."""
    global _next_look
    now = now_ms()
    if now < _next_look:
        return 0
    for space in await _keeping_for_a_time(now):
        until = now if space["purged"] else now - space["retention_days"] * DAY_MS
        rows = await db.fetch(
            "SELECT id FROM post WHERE space_id = $1 AND deleted_at IS NULL AND published_at < $2 ORDER BY id LIMIT $3",
            space["id"],
            until,
            AT_ONCE,
        )
        for row in rows:
            await expire(row["id"])
        if rows:
            return len(rows)
    _next_look = now + EVERY_MS
    return 0


async def _keeping_for_a_time(now: int) -> list[dict[str, int]]:
    """The spaces of ours that do; `purged`: closed for as long as their owner said, so that all of it goes."""
    return await db.fetch(
        """SELECT id, retention_days, CASE WHEN after_close = $1 AND closed_at IS NOT NULL
             AND closed_at <= CAST($2 AS BIGINT) - retention_days * CAST($3 AS BIGINT) THEN 1 ELSE 0 END AS purged
           FROM space WHERE peer_id IS NULL AND (retention_days > 0 OR (after_close = $1 AND closed_at IS NOT NULL))
           ORDER BY id""",
        AfterClose.PURGE.value,
        now,
        DAY_MS,
    )
