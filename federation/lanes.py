"""Which deliveries get the next numbers of a stream: what withdraws first, then today's among what waited.

Inside a space the order never changes, so a space that has a backlog stands in it whole. Spaces whose oldest
waiting fact is young are served from every fifth place of a page on, however much waits in others: numbers are
given when a page is built, so one run of numbers holds both lanes. What a later fact makes needless gets no number.
"""

from collections import defaultdict
from typing import Any

from server import database as db
from server.clock import now_ms
from server.events import TOLD_UNTIL_ANSWERED, Kind
from server.sql import Clause, among, one_of

FIRST, IN_ORDER, BESIDE = 0, 1, 2
"""Lanes of deliveries: what takes back, what is numbered in order, and what is said of the link itself, or taken back
while it stands still, which goes by posts of its own.
"""
FRESH_MS = 5 * 60 * 1000
"""A space whose oldest waiting fact is younger than this is not behind."""
ONE_IN = 5
"""At least one place in so many is for spaces that are not behind."""
MOST_BEHIND = 20
"""How often spaces that are behind are left out, to find one that is not."""
WINDOW = 4
"""How many pages are looked through for what can be left out."""

_WAITING = (
    "SELECT d.id, d.event_id, d.inbox, d.attempts, d.lane, d.place, d.seq, d.created_at, e.kind, e.post_id, e.original"
    " FROM delivery d JOIN event e ON e.id = d.event_id"
    " WHERE d.peer_id = $1 AND d.state = 'pending' AND d.number IS NULL AND d.lane < 2"
)


async def part_from_stream(peer_id: int) -> None:
    """An instance refuses the stream, for its link stands still: recalls and what answers them are heard there all the
    same, and go by a post of their own.
    """
    query = (
        Clause("UPDATE delivery SET lane = ? WHERE peer_id = ? AND state = 'pending' AND lane = ?")
        .then("AND EXISTS (SELECT 1 FROM event e WHERE e.id = delivery.event_id AND", BESIDE, peer_id, FIRST)
        .join(one_of("e.kind", sorted(TOLD_UNTIL_ANSWERED)))
    )
    await db.execute(*query.then(")").statement())


async def choose(peer_id: int, limit: int) -> list[list[dict[str, Any]]]:
    """The deliveries of up to `limit` events, in the order in which they are to be numbered, one list an event."""
    first = await db.fetch(f"{_WAITING} AND d.lane = 0 ORDER BY d.seq LIMIT $2", peer_id, limit * WINDOW)
    rows = first + await db.fetch(f"{_WAITING} AND d.lane = 1 ORDER BY d.seq LIMIT $2", peer_id, limit * WINDOW)
    behind = len(rows) >= limit
    if behind:
        rows += await _not_behind(peer_id, rows, limit)
        rows = await _without_needless(peer_id, rows)
    return _interleaved(rows, limit)


_old: dict[int, int] = {}
"""By instance, up to which place in its queue nothing is young any more: nothing there becomes younger again."""


def forget(peer_id: int) -> None:
    """Deliveries were put back into the queue of an instance."""
    _old.pop(peer_id, None)


async def _not_behind(peer_id: int, window: list[dict[str, Any]], limit: int) -> list[dict[str, Any]]:
    """What waits in spaces of which nothing old waits, beyond the window."""
    young = now_ms() - FRESH_MS
    last = max(max(row["seq"] for row in window), _old.get(peer_id, 0))
    newest = await db.fetch_one("SELECT last_seq FROM peer WHERE id = $1", peer_id)
    behind: list[int] = []
    for turn in range(MOST_BEHIND):
        query = Clause("AND NOT").join(one_of("d.place", behind)) if behind else Clause("")
        found = await db.fetch(
            *Clause(_WAITING.replace("$1", "?"), (peer_id,))
            .then("AND d.lane = 1 AND d.seq > ? AND d.created_at > ?", last, young)
            .join(query)
            .then("ORDER BY d.seq LIMIT ?", limit * WINDOW)
            .statement()
        )
        if turn == 0:
            _old[peer_id] = found[0]["seq"] - 1 if found else newest["last_seq"] if newest else 0
        more = [place for place in {row["place"] for row in found} if await _is_behind(peer_id, place, young)]
        if not more:
            return found[:limit]
        behind += more
    return []


async def _is_behind(peer_id: int, place: int, young: int) -> bool:
    """Whether something old waits in a space."""
    return bool(
        await db.fetch_one(
            "SELECT id FROM delivery WHERE peer_id = $1 AND state = 'pending' AND number IS NULL AND place = $2"
            " AND created_at <= $3 ORDER BY seq LIMIT 1",
            peer_id,
            place,
            young,
        )
    )


async def _without_needless(peer_id: int, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Leaves out, in one commit, what a later fact about the same post makes needless."""
    posts = {row["post_id"] for row in rows if row["post_id"] is not None}
    if not posts:
        return rows
    query = (  # by its event: a post has few, an instance may have many deliveries, and no index of those is to be used
        Clause(
            "SELECT d.id AS delivery_id, e.id, e.post_id, e.kind, e.original FROM event e CROSS JOIN delivery d WHERE"
        )
        .then("d.event_id = e.id AND")
        .join(among("e.post_id", sorted(posts)))
        .then("AND d.peer_id + 0 = ? AND d.state || '' = 'pending' AND d.number IS NULL", peer_id)
    )
    waiting: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for event in await db.fetch(*query.statement()):
        waiting[event["post_id"]].append(event)
    needless = {i for post_id, events in waiting.items() for i in await _needless(peer_id, post_id, events)}
    if not needless:
        return rows
    ids = [event["delivery_id"] for events in waiting.values() for event in events if event["id"] in needless]
    left_out = Clause("UPDATE delivery SET state = 'skipped', error = 'superseded', done_at = ? WHERE", (now_ms(),))
    await db.execute(*left_out.then("state = 'pending' AND number IS NULL AND").join(among("id", ids)).statement())
    return [row for row in rows if row["event_id"] not in needless]


async def _needless(peer_id: int, post_id: int, events: list[dict[str, Any]]) -> set[int]:
    if any(event["kind"] == Kind.POST_WITHDRAWN for event in events):
        told = await db.fetch_one(
            "SELECT d.id FROM event e CROSS JOIN delivery d WHERE d.event_id = e.id AND e.post_id = $1"
            " AND d.peer_id + 0 = $2 AND e.kind IN ('post_published', 'post_edited')"
            " AND (d.state = 'sent' OR d.number > 0) LIMIT 1",
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
