"""Facts and deliveries that nothing needs any more go, ninety days after they were done.

What stays is what somebody may still ask for. Who holds a copy of a post: recalls, withdrawals and counts read it
from deliveries, so the last of each post that may have arrived at an inbox stays. Who was told anything of a space or
by a person: the last of each kind, of each person, in each space, at each instance stays. The fact that published
a post (its address), the last edit, the original that is relayed as it came, gestures that stand. So what is kept
grows with posts and people times partners, and not with what happens. Facts about people coming and going, and about
links, are never swept: late answers name them.
"""

from dataclasses import dataclass

from server import database as db
from server.clock import now_ms
from server.events import Kind
from server.ids import EPOCH_MS, ID_BITS
from server.sql import Clause, one_of

DAY_MS = 24 * 3600 * 1000
KEPT_MS = 90 * DAY_MS
AT_ONCE = 500
EVERY_MS = DAY_MS
"""How long between two passes over all rows: a pass reads each that is old enough once, AT_ONCE in a step."""

COPIES = (Kind.POST_PUBLISHED, Kind.POST_EDITED)
SWEPT = (
    *COPIES,
    Kind.POST_WITHDRAWN,
    Kind.REACTED,
    Kind.REACTION_UNDONE,
    Kind.VOTED,
    Kind.TALLIED,
    Kind.SPACE_CHANGED,
    Kind.PERSON_CHANGED,
    Kind.RECALLED,
    Kind.ITEM_RECALLED,
    Kind.RECALL_ANSWERED,
    Kind.MEMBERS_DISAGREE,
    Kind.POST_HELD,
    Kind.POST_APPROVED,
    Kind.POST_REFUSED,
)


@dataclass
class _Pass:
    """Where this process is: the last id that was looked at in each table, and when the next pass begins (ms)."""

    delivery: int = 0
    event: int = 0
    next_at: int = 0


_pass = _Pass()


async def sweep() -> int:
    """One bounded step; how many rows were looked at, 0 when the pass is over or none is due."""
    now = now_ms()
    if now < _pass.next_at:
        return 0
    for table, step in (("delivery", _sweep_deliveries), ("event", _sweep_events)):
        after = getattr(_pass, table)
        last, looked_at = await _reach(table, after, now - KEPT_MS)
        if looked_at:
            await step(after, last, now - KEPT_MS)
            setattr(_pass, table, last)
            return looked_at
    _pass.delivery, _pass.event, _pass.next_at = 0, 0, now + EVERY_MS
    return 0


async def _reach(table: str, after: int, before_ms: int) -> tuple[int, int]:
    """The last of the next rows that were made before then, and how many they are. Ids begin with their moment."""
    row = await db.fetch_one(
        f"SELECT MAX(id) AS last, COUNT(*) AS n FROM (SELECT id FROM {table} WHERE id > $1 AND id < $2"
        " ORDER BY id LIMIT $3) AS batch",
        after,
        (before_ms - EPOCH_MS) << ID_BITS,
        AT_ONCE,
    )
    return ((row["last"] or 0), row["n"]) if row else (0, 0)


_LATER = "d2.peer_id = d.peer_id AND e2.kind = e.kind AND e2.id > e.id AND d2.state IN ('sent', d.state)"
"""A later one of the same kind at the same instance, which says as much as `d`: it arrived, or stands as `d` does."""
_LATER_COPY = (
    "EXISTS (SELECT 1 FROM event e2 JOIN delivery d2 ON d2.event_id = e2.id WHERE e2.post_id = e.post_id"
    f" AND d2.inbox = d.inbox AND {_LATER})"
)
_LATER_WORD = (
    "EXISTS (SELECT 1 FROM event e2 JOIN delivery d2 ON d2.event_id = e2.id WHERE e2.space_id {space}"
    f" AND (e2.actor_id = e.actor_id OR (e2.actor_id IS NULL AND e.actor_id IS NULL)) AND {_LATER})"
)
_IN_SPACE, _ELSEWHERE = _LATER_WORD.format(space="= e.space_id"), _LATER_WORD.format(space="IS NULL")


async def _sweep_deliveries(after: int, last: int, before_ms: int) -> None:
    """What is done, here and there, since before then, and either never left or is said again by a later one."""
    copy = "e.kind IN ('post_published', 'post_edited')"
    done = (
        Clause("SELECT d.id FROM delivery d JOIN event e ON e.id = d.event_id")
        .then("LEFT JOIN stream t ON t.peer_id = d.peer_id WHERE d.id > ? AND d.id <= ?", after, last)
        .then("AND d.state <> 'pending' AND d.done_at < ? AND COALESCE(d.number, 0) <= COALESCE(t.done, 0)", before_ms)
        .then("AND NOT EXISTS (SELECT 1 FROM recall_target x WHERE x.event_id = d.event_id) AND")
        .join(one_of("e.kind", [kind.value for kind in SWEPT]))
        .then(f"AND ((d.state = 'skipped' AND d.attempts = 0) OR ({copy} AND {_LATER_COPY})")
        .then(f"OR (NOT {copy} AND (CASE WHEN e.space_id IS NULL THEN {_ELSEWHERE} ELSE {_IN_SPACE} END)))")
    )
    await db.execute(*Clause("DELETE FROM delivery WHERE id IN (").join(done).then(")").statement())


_EARLIER, _NEWER = [
    f"EXISTS (SELECT 1 FROM event e2 WHERE e2.post_id = e.post_id AND e2.kind = e.kind AND e2.id {side} e.id{which})"
    for side, which in (("<", ""), (">", " AND (e.original = '' OR e2.original <> '')"))
]


async def _sweep_events(after: int, last: int, before_ms: int) -> None:
    """What is told to nobody any more and was not the first or the last word about something that stands."""
    told = (
        Clause("SELECT e.id FROM event e WHERE e.id > ? AND e.id <= ? AND e.sequenced_at < ?", (after, last, before_ms))
        .then("AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.event_id = e.id)")
        .then("AND NOT EXISTS (SELECT 1 FROM recall_target x WHERE x.event_id = e.id) AND")
        .join(one_of("e.kind", [kind.value for kind in SWEPT]))
        .then("AND CASE e.kind")
        .then(f"WHEN 'post_published' THEN {_EARLIER} AND {_NEWER} WHEN 'post_edited' THEN {_NEWER}")
        .then("WHEN 'reacted' THEN NOT EXISTS (SELECT 1 FROM reaction r")
        .then("WHERE r.post_id = e.post_id AND r.actor_id = e.actor_id AND r.uri = 'event:' || e.id)")
        .then("WHEN 'space_changed' THEN EXISTS (SELECT 1 FROM event e2 WHERE e2.space_id = e.space_id")
        .then("AND e2.kind = e.kind AND e2.id > e.id) ELSE TRUE END")
    )
    await db.execute(*Clause("DELETE FROM event WHERE id IN (").join(told).then(")").statement())
