"""What was told to other instances, what waits, what was given up: without a word of what it said."""

from dataclasses import dataclass

from server import database as db
from server.queries.offices import demand_administrator
from server.sql import Clause
from server.viewer import Viewer

PAGE = 50
STATES = ("pending", "sent", "dead", "skipped")


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    """One event for one inbox. `kind` is the event's; times are milliseconds since 1970."""

    id: int
    host: str
    seq: int
    kind: str
    post_id: int | None
    state: str
    attempts: int
    error: str
    created_at: int
    done_at: int | None


async def listed(
    viewer: Viewer, *, state: str = "", host: str = "", before: int | None = None, limit: int = PAGE
) -> list[DeliveryRow]:
    """Newest first, for operators and administrators; `before`: the id of the last one of the page before.

    Raises Forbidden for anybody else.
    """
    demand_administrator(viewer)
    query = Clause(
        "SELECT d.id, q.host, d.seq, e.kind, e.post_id, d.state, d.attempts, d.error, d.created_at, d.done_at"
        " FROM delivery d JOIN peer q ON q.id = d.peer_id JOIN event e ON e.id = d.event_id WHERE 1 = 1"
    )
    if state:
        query = query.then("AND d.state = ?", state)
    if host:
        query = query.then("AND q.host = ?", host)
    if before is not None:
        query = query.then("AND d.id < ?", before)
    query = query.then("ORDER BY d.id DESC LIMIT ?", limit)
    return [DeliveryRow(**row) for row in await db.fetch(*query.statement())]
