"""How the instance fares: what waits to be told, what waits to be heard, which instances answer."""

from dataclasses import dataclass

from server import database as db
from server.clock import now_ms
from server.queries.offices import demand_administrator
from server.viewer import Viewer


@dataclass(frozen=True, slots=True)
class Queue:
    """How many rows wait, and for how long the oldest has, in milliseconds."""

    waiting: int
    oldest_ms: int


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


async def overview(viewer: Viewer) -> Health:
    """For operators and administrators. Raises Forbidden for anybody else."""
    demand_administrator(viewer)
    dead = await db.fetch_one("SELECT COUNT(*) AS n FROM delivery WHERE state = 'dead'")
    aside = await db.fetch_one("SELECT COUNT(*) AS n FROM mailbox WHERE aside_at IS NOT NULL")
    peers = await db.fetch("SELECT state, COUNT(*) AS n FROM peer GROUP BY state ORDER BY state")
    return Health(
        events=await _queue("SELECT COUNT(*) AS n, MIN(created_at) AS since FROM event WHERE sequenced_at IS NULL"),
        deliveries=await _queue("SELECT COUNT(*) AS n, MIN(created_at) AS since FROM delivery WHERE state = 'pending'"),
        receipts=await _queue(
            "SELECT COUNT(*) AS n, MIN(received_at) AS since FROM receipt WHERE processed_at IS NULL"
        ),
        jobs=await _queue("SELECT COUNT(*) AS n, MIN(created_at) AS since FROM job WHERE done_at IS NULL"),
        dead=int(dead["n"]) if dead else 0,
        mail_aside=int(aside["n"]) if aside else 0,
        peers={row["state"]: row["n"] for row in peers},
    )


async def _queue(sql: str) -> Queue:
    row = await db.fetch_one(sql)
    assert row is not None
    return Queue(row["n"], max(0, now_ms() - row["since"]) if row["since"] is not None else 0)
