"""What time it is at another instance, as far as its answers showed."""

from server import database as db
from server.clock import APART_MS, NEAR_MS, now_ms


async def time_at(peer_id: int | None) -> int:
    """In milliseconds since 1970; ours, where no other is known, it is nearly the same, or it is too far off (D9)."""
    row = await db.fetch_one("SELECT skew_ms FROM peer WHERE id = $1", peer_id) if peer_id else None
    ahead = (row["skew_ms"] or 0) if row else 0
    return now_ms() + (ahead if NEAR_MS <= abs(ahead) <= APART_MS else 0)
