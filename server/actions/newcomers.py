"""What was written before people came in, where it is for them, too: their instance is told what it lacks of it."""

import secrets

from server import database as db
from server.clock import now_ms
from server.ids import new_id
from server.sql import Clause, among


async def tell_the_past(space_id: int, peer_id: int | None = None) -> None:
    """In the caller's transaction: what a linked instance, or each with a member in the space, holds is to be compared
    with what it may have, and what it lacks to be sent.
    """
    only, values = ("", ()) if peer_id is None else (" AND m.peer_id = $2", (peer_id,))
    rows = await db.fetch(
        "SELECT DISTINCT m.peer_id FROM membership m JOIN link l ON l.peer_id = m.peer_id AND l.state = 'active'"
        f" WHERE m.space_id = $1 AND m.state = 'member'{only} ORDER BY m.peer_id",
        space_id,
        *values,
    )
    if not rows:
        return
    peers = [row["peer_id"] for row in rows]
    new = [{"id": new_id(), "peer_id": peer, "generation": secrets.token_hex(16)} for peer in peers]
    await db.insert_many("stream", new, ignore=True)
    due = Clause("UPDATE stream SET resync_at = COALESCE(resync_at, ?) WHERE", (now_ms(),)).join(
        among("peer_id", peers)
    )
    await db.execute(*due.statement())


async def told_from(space_id: int, since: int | None, epoch: int | None = None) -> None:
    """In the caller's transaction: what the host of a space elsewhere says of its past, when it lets somebody in and
    beside its list of ours: an `Update` of it may be lost. `epoch`: under which policy, if it may be an older one.
    """
    known = Clause("UPDATE space SET newcomers_from = ? WHERE id = ? AND peer_id IS NOT NULL", (since, space_id))
    await db.execute(*(known if epoch is None else known.then("AND epoch <= ?", epoch)).statement())
