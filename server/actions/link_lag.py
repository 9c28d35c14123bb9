"""Links that fall behind: what was to be told to a partner waits, and goes on waiting. Administrators hear of it, once.

A partner that refuses us is told of by whoever is refused (see `federation.streaming`). Here is the rest: one that
does not answer, and one that answers while nothing comes to its end (lemmy#6655).
"""

from server import database as db
from server.actions.link_keys import tell_administrators
from server.actions.newcomers import begin_streams
from server.clock import now_ms

BEHIND_MS = 5 * 60_000
"""How long the oldest word for a partner may wait before a person should look, in milliseconds."""

_acked: dict[int, int] = {}
"""By partner, how far its stream had come when this process last looked: who is catching up needs nobody."""


async def tell_of_lag() -> int:
    """Tells administrators of links that are behind since the last look; how many were new. Once for each time."""
    rows = await db.fetch(
        "SELECT l.peer_id, q.state, COALESCE(t.acked, 0) AS acked, t.behind_at,"
        " (SELECT d.created_at FROM delivery d WHERE d.state = 'pending' AND d.peer_id = l.peer_id"
        " ORDER BY d.seq LIMIT 1) AS oldest"
        " FROM link l JOIN peer q ON q.id = l.peer_id LEFT JOIN stream t ON t.peer_id = l.peer_id"
        " WHERE l.state = 'active'"
    )
    now, new = now_ms(), 0
    before = dict(_acked)
    _acked.clear()
    _acked.update({row["peer_id"]: row["acked"] for row in rows})
    for row in rows:
        waits = row["oldest"] is not None and row["oldest"] <= now - BEHIND_MS
        stands = before.get(row["peer_id"]) == row["acked"] and row["state"] != "paused"
        if waits and stands and row["behind_at"] is None:
            new += await _behind(row["peer_id"], now)
        elif not waits and row["behind_at"] is not None:
            await db.execute("UPDATE stream SET behind_at = NULL WHERE peer_id = $1", row["peer_id"])
    return new


async def _behind(peer_id: int, now: int) -> bool:
    async with db.transaction():
        await begin_streams([peer_id])
        if not await db.execute(
            "UPDATE stream SET behind_at = $1 WHERE peer_id = $2 AND behind_at IS NULL", now, peer_id
        ):
            return False  # another process told them
        await tell_administrators(peer_id, "behind", now)
    return True
