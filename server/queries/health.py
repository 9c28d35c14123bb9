"""How the instance fares: what waits to be told, what to be heard, which instances answer, how each link flows."""

from dataclasses import dataclass
from typing import Any

from server import database as db
from server.clock import now_ms
from server.ids import EPOCH_MS, ID_BITS
from server.queries.offices import demand_administrator
from server.viewer import Viewer


@dataclass(frozen=True, slots=True)
class Queue:
    """How many rows wait, and for how long the oldest has, in milliseconds."""

    waiting: int
    oldest_ms: int


@dataclass(frozen=True, slots=True)
class LinkFlow:
    """One link that is active or suspended. `waits`: what it was not told yet; `acked`: how many events of the present
    run of numbers it has; `skew_ms`: how far its clock is ahead, None while unknown; times in milliseconds since 1970.
    """

    host: str
    state: str
    health: str  # the schedule's state of the peer
    waits: Queue
    dead: int
    acked: int
    skew_ms: int | None
    last_ok_at: int | None
    last_heard_at: int | None
    failing_since_at: int | None


@dataclass(frozen=True, slots=True)
class Health:
    """`peers`: how many other instances are in each state of the schedule."""

    events: Queue
    deliveries: Queue
    receipts: Queue
    jobs: Queue
    dead: int
    mail_aside: int  # people to whom mail was refused for good
    peers: dict[str, int]
    links: tuple[LinkFlow, ...]


async def overview(viewer: Viewer) -> Health:
    """For operators and administrators. Raises Forbidden for anybody else."""
    demand_administrator(viewer)
    dead = await db.fetch_one("SELECT COUNT(*) AS n FROM delivery WHERE state = 'dead'")
    aside = await db.fetch_one("SELECT COUNT(*) AS n FROM mailbox WHERE aside_at IS NOT NULL")
    peers = await db.fetch("SELECT state, COUNT(*) AS n FROM peer GROUP BY state ORDER BY state")
    return Health(
        events=await _queue("SELECT COUNT(*) AS n, MIN(created_at) AS since FROM event WHERE sequenced_at IS NULL"),
        deliveries=await _queue("SELECT COUNT(*) AS n, MIN(created_at) AS since FROM delivery WHERE state = 'pending'"),
        receipts=await _queue(  # by its id: `received_at` grows with what is tried again
            f"SELECT COUNT(*) AS n, MIN(id) / {1 << ID_BITS} + {EPOCH_MS} AS since FROM receipt"
            " WHERE processed_at IS NULL"
        ),
        jobs=await _queue("SELECT COUNT(*) AS n, MIN(created_at) AS since FROM job WHERE done_at IS NULL"),
        dead=int(dead["n"]) if dead else 0,
        mail_aside=int(aside["n"]) if aside else 0,
        peers={row["state"]: row["n"] for row in peers},
        links=await _links(),
    )


async def _links() -> tuple[LinkFlow, ...]:
    """Three statements, however many there are."""
    rows = await db.fetch(
        "SELECT q.id, q.host, l.state, q.state AS health, q.skew_ms, q.last_ok_at, q.last_heard_at, q.failing_since_at,"
        " COALESCE(t.acked, 0) AS acked FROM link l JOIN peer q ON q.id = l.peer_id"
        " LEFT JOIN stream t ON t.peer_id = q.id WHERE l.state IN ('active', 'suspended') ORDER BY q.host"
    )
    waiting, dead = [
        {
            row["peer_id"]: row
            for row in await db.fetch(
                "SELECT peer_id, COUNT(*) AS n, MIN(created_at) AS since FROM delivery WHERE state = $1"
                " GROUP BY peer_id",
                state,
            )
        }
        for state in ("pending", "dead")
    ]
    return tuple(_flow(row, waiting.get(row["id"]), dead.get(row["id"])) for row in rows)


def _flow(row: dict[str, Any], waiting: dict[str, Any] | None, dead: dict[str, Any] | None) -> LinkFlow:
    return LinkFlow(
        host=row["host"],
        state=row["state"],
        health=row["health"],
        waits=Queue(waiting["n"], max(0, now_ms() - waiting["since"])) if waiting else Queue(0, 0),
        dead=dead["n"] if dead else 0,
        acked=row["acked"],
        skew_ms=row["skew_ms"],
        last_ok_at=row["last_ok_at"],
        last_heard_at=row["last_heard_at"],
        failing_since_at=row["failing_since_at"],
    )


async def _queue(sql: str) -> Queue:
    row = await db.fetch_one(sql)
    assert row is not None
    return Queue(row["n"], max(0, now_ms() - row["since"]) if row["since"] is not None else 0)
