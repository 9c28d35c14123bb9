"""A recall is asked once more: when an administrator says so, of an instance that refused or is late; and by itself, of
one whose database was put back to before it gave back what it had.
"""

from typing import Any

from server import database as db
from server import live
from server.actions import recalls
from server.actions.audit import note
from server.clock import now_ms
from server.errors import Conflict, Forbidden, NotFound
from server.recall_terms import TargetState
from server.refusals import N_
from server.viewer import Employee, Operator

NOT_ASKED = N_("Rien n’a été redemandé à « %(host)s » dans ce rappel.")
NOTHING_TO_ASK = N_("« %(host)s » n’a ni refusé ce rappel ni pris de retard : il n’y a rien à redemander.")
ADMINS_ONLY = N_("Seuls les administrateurs relancent un rappel.")


async def restart(viewer: Employee | Operator, recall_id: int, host: str) -> None:
    """An instance that refused, or is late, is asked once more; the link stays as it is.

    Its receipt is kept as evidence until another one comes. Raises Forbidden, NotFound, and Conflict where there is
    nothing to ask again.
    """
    if not isinstance(viewer, Operator) and not viewer.is_admin:
        raise Forbidden(ADMINS_ONLY)
    async with db.transaction():
        rows = await db.fetch(
            f"SELECT x.*, q.host FROM ({recalls.TARGET}) x JOIN peer q ON q.id = x.peer_id"
            " WHERE x.recall_id = $1 AND q.host = $2",
            recall_id,
            host.strip().lower(),
        )
        if not rows:
            raise NotFound(NOT_ASKED, params={"host": host[:255]})
        (target,) = rows
        if not target["linked"] or target["state"] not in (TargetState.REFUSED, TargetState.LATE):
            raise Conflict(NOTHING_TO_ASK, params={"host": host[:255]})
        await db.execute("UPDATE recall_target SET state = 'waiting', reason = '' WHERE id = $1", target["id"])
        if not await _under_way(target):
            await recalls.tell(target | {"tries": 0, "state": TargetState.WAITING.value})
        await note(viewer, "recall_restart", subject=target["host"], space_id=target["space_id"])
        db.after_commit(lambda: live.publish(live.Fact("recall")))


async def lost_there(peer_id: int, want: int | None, since: int) -> int:
    """In the caller's transaction: this instance's database was put back, so what it had erased is there again.

    Each recall that it had answered since then is told again, and waits for another receipt; how many do. `want`: the
    first number of our stream that it does not have any more, None when that is not known; `since`: when (ms) it still
    had everything.
    """
    count = await db.execute(
        "UPDATE recall_target SET state = 'waiting', next_at = CAST($1 AS BIGINT), gathered_at = CAST($1 AS BIGINT)"
        " WHERE peer_id = $2 AND linked AND state IN ('confirmed', 'partial') AND (answered_at >= $3 OR EXISTS"
        " (SELECT 1 FROM delivery d WHERE d.event_id = recall_target.event_id AND d.peer_id = $2 AND d.number >= $4))",
        now_ms(),
        peer_id,
        since,
        (1 << 62) if want is None else want,
    )
    if count:
        db.after_commit(lambda: live.publish(live.Fact("recall")))
    return count


async def _under_way(target: dict[str, Any]) -> bool:
    """Whether the last word of it is still on its way."""
    return bool(
        await db.fetch_one(
            "SELECT e.id FROM event e LEFT JOIN delivery d ON d.event_id = e.id AND d.peer_id = $1"
            " WHERE e.id = $2 AND (e.sequenced_at IS NULL OR d.state = 'pending')",
            target["peer_id"],
            target["event_id"],
        )
    )
