"""Linked instances as administrators see them, and nobody else (A9)."""

from dataclasses import dataclass
from typing import Any

from server import database as db
from server.clock import now_ms
from server.errors import NotFound
from server.openness import LinkState
from server.queries.former import new_host
from server.queries.offices import demand_administrator
from server.viewer import Viewer

SKEW_MS = 30_000
"""How far another clock may be from ours before an administrator should look, in milliseconds."""


@dataclass(frozen=True, slots=True)
class LinkCard:
    """One agreement, and how it fares. `waiting`: deliveries not yet made; `oldest_ms`: since when.

    `spaces`: those of ours that name it and those of theirs we know; `people`: theirs in spaces of ours;
    `copies`: posts of ours that were sent there, but those that are withdrawn or that it signed to have erased with all
    of a space; `dead`: deliveries put aside; `incidents`: what they said that was refused; `skew_ms`: how far their
    clock is ahead of ours, None while unknown; `kin`: of the same house; `cause`: why it stopped by itself, '' when a
    person stopped it.
    """

    peer_id: int
    host: str
    title: str
    state: LinkState
    confirmed_here: bool
    confirmed_there: bool
    active_at: int | None
    changed_at: int
    reason: str
    spaces: int
    people: int
    copies: int
    waiting: int
    oldest_ms: int
    health: str  # the schedule's state of the peer
    failing_since_at: int | None
    last_ok_at: int | None
    last_heard_at: int | None
    last_error: str
    cause: str
    kin: bool
    until_at: int | None
    offer_until_at: int | None
    dead: int
    incidents: int
    skew_ms: int | None

    @property
    def clock_off(self) -> bool:
        """Whether the clocks differ by more than SKEW_MS."""
        return self.skew_ms is not None and abs(self.skew_ms) > SKEW_MS


async def listed(viewer: Viewer) -> list[LinkCard]:
    """All links, those that ask for something first. Raises Forbidden to all but administrators."""
    demand_administrator(viewer)
    rows = await db.fetch(f"{_LINK} ORDER BY {_ASKING}, q.host")
    return [_card(row) for row in rows]


async def find(viewer: Viewer, host: str) -> LinkCard:
    """The link with one instance. Raises Forbidden to all but administrators, NotFound."""
    demand_administrator(viewer)
    row = await db.fetch_one(f"{_LINK} WHERE q.host = $1", await new_host(host))
    if row is None:
        raise NotFound(detail="no link with that host")
    return _card(row)


_ASKING = "CASE l.state WHEN 'received' THEN 0 WHEN 'confirmed' THEN 1 ELSE 2 END"
_LINK = """SELECT q.id AS peer_id, q.host, q.title, l.state, l.confirmed_here_at, l.confirmed_there_at, l.active_at,
   l.changed_at, l.reason, l.cause, l.kin, l.until_at, l.offer_until_at, q.skew_ms, q.last_error,
   q.state AS health, q.failing_since_at, q.last_ok_at, q.last_heard_at,
   (SELECT COUNT(*) FROM delivery d WHERE d.peer_id = q.id AND d.state = 'dead') AS dead,
   (SELECT COALESCE(SUM(i.count), 0) FROM link_incident i WHERE i.peer_id = q.id) AS incidents,
   (SELECT COUNT(*) FROM space_partner n WHERE n.peer_id = q.id)
     + (SELECT COUNT(*) FROM space s WHERE s.peer_id = q.id) AS spaces,
   (SELECT COUNT(DISTINCT m.actor_id) FROM membership m WHERE m.peer_id = q.id AND m.state = 'member') AS people,
   (SELECT COUNT(DISTINCT e.post_id) FROM delivery d JOIN event e ON e.id = d.event_id JOIN post p ON p.id = e.post_id
     WHERE d.peer_id = q.id AND d.state = 'sent' AND e.kind = 'post_published' AND p.deleted_at IS NULL
     AND NOT EXISTS (SELECT 1 FROM recall r JOIN recall_target t ON t.recall_id = r.id WHERE r.space_id = e.space_id
       AND r.scope IN ('space', 'member', 'partner') AND r.created_at >= d.created_at
       AND t.peer_id = q.id AND t.state IN ('confirmed', 'partial') AND t.purged >= t.items)) AS copies,
   (SELECT COUNT(*) FROM delivery d WHERE d.peer_id = q.id AND d.state = 'pending') AS waiting,
   (SELECT MIN(d.created_at) FROM delivery d WHERE d.peer_id = q.id AND d.state = 'pending') AS oldest
   FROM link l JOIN peer q ON q.id = l.peer_id"""


def _card(row: dict[str, Any]) -> LinkCard:
    return LinkCard(
        peer_id=row["peer_id"],
        host=row["host"],
        title=row["title"],
        state=LinkState(row["state"]),
        confirmed_here=row["confirmed_here_at"] is not None,
        confirmed_there=row["confirmed_there_at"] is not None,
        active_at=row["active_at"],
        changed_at=row["changed_at"],
        reason=row["reason"],
        spaces=row["spaces"],
        people=row["people"],
        copies=row["copies"],
        waiting=row["waiting"],
        oldest_ms=max(0, now_ms() - row["oldest"]) if row["oldest"] is not None else 0,
        health=row["health"],
        failing_since_at=row["failing_since_at"],
        last_ok_at=row["last_ok_at"],
        last_heard_at=row["last_heard_at"],
        last_error=row["last_error"],
        cause=row["cause"],
        kin=bool(row["kin"]),
        until_at=row["until_at"],
        offer_until_at=row["offer_until_at"],
        dead=int(row["dead"]),
        incidents=int(row["incidents"]),
        skew_ms=row["skew_ms"],
    )
