"""What was put aside for other instances, tried once more because somebody who looks after this one says so.

In the stream of a link it gets another number: the one that it had was told as a gap. A resting instance is tried now.
"""

from server import database as db
from server.actions.audit import note
from server.errors import NotFound
from server.queries.offices import demand_administrator
from server.viewer import Viewer

WAITS = "UPDATE delivery SET state = 'pending', attempts = 0, done_at = NULL, number = NULL WHERE state = 'dead'"


async def retry(viewer: Viewer, delivery_id: int) -> tuple[str, int]:
    """One delivery waits once more; the host that it is for, and 1, or 0 where it was not put aside or is no more.

    Raises Unauthenticated, Forbidden, NotFound.
    """
    demand_administrator(viewer)
    async with db.transaction():
        row = await db.fetch_one(
            "SELECT q.host FROM delivery d JOIN peer q ON q.id = d.peer_id WHERE d.id = $1", delivery_id
        )
        if row is None:
            raise NotFound(detail="no such delivery")
        count = await db.execute(f"{WAITS} AND id = $1", delivery_id)
        await _wake(viewer, row["host"], count)
        return row["host"], count


async def retry_all(viewer: Viewer, host: str) -> int:
    """What was put aside waits once more, for one host or ('') for all; how many there were.

    Raises Unauthenticated, Forbidden.
    """
    demand_administrator(viewer)
    async with db.transaction():
        count = await db.execute(f"{WAITS} AND peer_id IN (SELECT id FROM peer WHERE $1 = '' OR host = $1)", host)
        await _wake(viewer, host, count)
        return count


async def _wake(viewer: Viewer, host: str, count: int) -> None:
    """In the caller's transaction: the instance, or all, is tried now; what changed anything is a deed."""
    woken = await db.execute(
        "UPDATE peer SET state = 'ok', due_at = 0 WHERE state <> 'ok' AND ($1 = '' OR host = $1)", host
    )
    if count or woken:
        await note(viewer, "retry_deliveries", subject=host, count=count)
