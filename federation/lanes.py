"""Which deliveries get the next numbers of a stream: what withdraws first, then today's among what waited.

Inside a space the order never changes, so a space that has a backlog stands in it whole. Spaces whose oldest
waiting fact is young are served from every fifth place of a page on, however much waits in others: numbers are
given when a page is built, so one run of numbers holds both lanes. What a later fact makes needless gets no number.
"""

from collections import defaultdict
from typing import Any

from server import database as db
from server.clock import now_ms
from server.events import Kind
from server.sql import Clause, one_of

FRESH_MS = 5 * 60 * 1000
"""A space whose oldest waiting fact is younger than this is not behind."""
ONE_IN = 5
"""At least one place in so many is for spaces that are not behind."""
WINDOW = 4
"""How many pages are looked through for what can be left out."""

_WAITING = (
    "SELECT d.id, d.event_id, d.inbox, d.attempts, d.lane, d.place, d.seq, d.created_at, e.kind, e.post_id, e.original"
    " FROM delivery d JOIN event e ON e.id = d.event_id"
    " WHERE d.peer_id = $1 AND d.state = 'pending' AND d.number IS NULL AND d.lane < 2"
)


async def choose(peer_id: int, limit: int) -> list[list[dict[str, Any]]]:
    """The deliveries of up to `limit` events, in the order in which they are to be numbered, one list an event."""
    first = await db.fetch(f"{_WAITING} AND d.lane = 0 ORDER BY d.seq LIMIT $2", peer_id, limit * WINDOW)
    rows = first + await db.fetch(f"{_WAITING} AND d.lane = 1 ORDER BY d.seq LIMIT $2", peer_id, limit * WINDOW)
    behind = len(rows) >= limit
    if behind:
        rows += await _not_behind(peer_id, rows, limit)
        rows = await _without_needless(peer_id, rows)
    return _interleaved(rows, limit)


async def _not_behind(peer_id: int, window: list[dict[str, Any]], limit: int) -> list[dict[str, Any]]:
    """What waits in spaces of which nothing old waits, beyond the window."""
    young = now_ms() - FRESH_MS
    last = max(row["seq"] for row in window)
    return await db.fetch(
        f"{_WAITING} AND d.lane = 1 AND d.seq > $2 AND d.created_at > $3 AND d.place IN ("
        " SELECT place FROM delivery WHERE peer_id = $1 AND state = 'pending' AND number IS NULL"
        " AND created_at > $3 AND seq > $2 GROUP BY place)"
        " AND d.place NOT IN (SELECT place FROM delivery WHERE peer_id = $1 AND state = 'pending'"
        " AND number IS NULL AND created_at <= $3)"
        " ORDER BY d.seq LIMIT $4",
        peer_id,
        last,
        young,
        limit,
    )


async def _without_needless(peer_id: int, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Leaves out, in one commit, what a later fact about the same post makes needless."""
    posts = {row["post_id"] for row in rows if row["post_id"] is not None}
    if not posts:
        return rows
    query = (
        Clause("SELECT e.id, e.post_id, e.kind, e.original FROM event e JOIN delivery d ON d.event_id = e.id WHERE")
        .join(one_of("e.post_id", sorted(posts)))
        .then("AND d.peer_id = ? AND d.state = 'pending' AND d.number IS NULL", peer_id)
    )
    waiting: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for event in await db.fetch(*query.statement()):
        waiting[event["post_id"]].append(event)
    needless = {i for post_id, events in waiting.items() for i in await _needless(peer_id, post_id, events)}
    if not needless:
        return rows
    left_out = Clause("UPDATE delivery SET state = 'skipped', error = 'superseded', done_at = ? WHERE", (now_ms(),))
    left_out = left_out.then("peer_id = ? AND state = 'pending' AND number IS NULL AND", peer_id)
    await db.execute(*left_out.join(one_of("event_id", sorted(needless))).statement())
    return [row for row in rows if row["event_id"] not in needless]


async def _needless(peer_id: int, post_id: int, events: list[dict[str, Any]]) -> set[int]:
    if any(event["kind"] == Kind.POST_WITHDRAWN for event in events):
        told = await db.fetch_one(
            "SELECT d.id FROM delivery d JOIN event e ON e.id = d.event_id WHERE e.post_id = $1 AND d.peer_id = $2"
            " AND e.kind IN ('post_published', 'post_edited') AND (d.state = 'sent' OR d.number > 0)"
            " LIMIT 1",
            post_id,
            peer_id,
        )
        return {event["id"] for event in events if told is None or event["kind"] != Kind.POST_WITHDRAWN}
    edits = sorted(event["id"] for event in events if event["kind"] == Kind.POST_EDITED)
    created = [event for event in events if event["kind"] == Kind.POST_PUBLISHED]
    # what we wrote ourselves is told as it now stands, so its Create says the last edit already
    kept = edits[-1:] if not created or created[0]["original"] else []
    return set(edits) - set(kept)


def _interleaved(rows: list[dict[str, Any]], limit: int) -> list[list[dict[str, Any]]]:
    events: dict[int, list[dict[str, Any]]] = {}
    for row in rows:
        events.setdefault(row["event_id"], []).append(row)
    young = now_ms() - FRESH_MS
    old = {row["place"] for row in rows if row["created_at"] <= young}
    lanes: tuple[list[Any], list[Any], list[Any]] = ([], [], [])
    for event in events.values():
        lanes[0 if event[0]["lane"] == 0 else 2 if event[0]["place"] in old else 1].append(event)
    first, fresh, backlog = lanes
    chosen = first[:limit]
    while len(chosen) < limit and (fresh or backlog):
        turn = fresh if fresh and (not backlog or len(chosen) % ONE_IN == 0) else backlog
        chosen.append(turn.pop(0))
    return chosen
