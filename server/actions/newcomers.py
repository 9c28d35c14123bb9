"""What was written before people came in, where it is for them, too: their instance is told what it lacks of it."""

import secrets
from collections.abc import Sequence

from server import database as db
from server.clock import now_ms
from server.events import Kind, record
from server.ids import new_id
from server.policy import newcomers_read
from server.queries.spaces import around
from server.sql import Clause, among
from server.viewer import PeerServer

AGAIN_MS = 60_000
"""Who comes in again soon, as somebody may who does nothing else, has nothing compared before so much time is over."""


async def tell_the_past(space_id: int) -> None:
    """In the caller's transaction: what each linked instance with a member in the space holds is to be compared with
    what it may have, and what it lacks to be sent.
    """
    rows = await db.fetch(
        "SELECT DISTINCT m.peer_id FROM membership m JOIN link l ON l.peer_id = m.peer_id AND l.state = 'active'"
        " WHERE m.space_id = $1 AND m.state = 'member' ORDER BY m.peer_id",
        space_id,
    )
    peers = [row["peer_id"] for row in rows]
    if peers:
        await begin_streams(peers)
        query = Clause("UPDATE stream SET resync_at = ? WHERE", (now_ms(),))
        await db.execute(*query.join(among("peer_id", peers)).statement())


async def tell_the_first(space_id: int, peer_id: int) -> None:
    """In the caller's transaction: the same for one instance, of which somebody came in just now, where they are the
    first: of what others of it may read it has been told. Once in AGAIN_MS.
    """
    space = (await around(PeerServer(peer_id, linked=True), [space_id]))[space_id]
    here = await db.fetch_one(
        "SELECT COUNT(*) AS n FROM membership m JOIN link l ON l.peer_id = m.peer_id AND l.state = 'active'"
        " WHERE m.space_id = $1 AND m.peer_id = $2 AND m.state = 'member'",
        space_id,
        peer_id,
    )
    if here is not None and here["n"] == 1 and newcomers_read(space.facts, space.standing):
        await tell_once_more(peer_id)


async def tell_once_more(peer_id: int) -> None:
    """In the caller's transaction: what an instance lacks is to be told, as far as it may have it. Once in AGAIN_MS.

    Who is in and asks to come in had been lost there, and what was told meanwhile was refused: nobody was in.
    """
    await begin_streams([peer_id])
    await db.execute(
        "UPDATE stream SET resync_at = CASE WHEN COALESCE(compared_at, 0) + $1 > $2 THEN compared_at + $1 ELSE $2 END"
        " WHERE peer_id = $3 AND (resync_at IS NULL OR resync_at <= $2)",  # what is compared already may be past it
        AGAIN_MS,
        now_ms(),
        peer_id,
    )


async def begin_streams(peers: Sequence[int]) -> None:
    """The streams with these instances, where there is none yet."""
    new = [{"id": new_id(), "peer_id": peer, "generation": secrets.token_hex(16)} for peer in peers]
    await db.insert_many("stream", new, ignore=True)


async def told_from(space_id: int, since: int | None, epoch: int | None = None) -> None:
    """In the caller's transaction: what the host of a space elsewhere says of its past, when it lets somebody in and
    beside its list of ours: an `Update` of it may be lost. `epoch`: under which policy, if it may be an older one.
    """
    known = Clause("UPDATE space SET newcomers_from = ? WHERE id = ? AND peer_id IS NOT NULL", (since, space_id))
    await db.execute(*(known if epoch is None else known.then("AND epoch <= ?", epoch)).statement())


async def invite_once_more(peer_id: int) -> None:
    """In the caller's transaction: our database went back, and does not know what was answered to its invitations.

    Who has come in says so again, and who has not finds the invitation again.
    """
    rows = await db.fetch(
        "SELECT m.space_id, m.actor_id, m.invited_by_id, s.actor_id AS group_id FROM membership m"
        " JOIN space s ON s.id = m.space_id AND s.peer_id IS NULL"
        " WHERE m.peer_id = $1 AND m.state = 'invited' ORDER BY m.id",
        peer_id,
    )
    for row in rows:
        data = {"invited": row["actor_id"], "by": row["invited_by_id"]}
        await record(Kind.INVITED, actor_id=row["group_id"], space_id=row["space_id"], data=data)
