"""Take back what other instances were sent: decided in the transaction that narrows, told until it is answered.

`begin` writes who owes what; it costs a few rows, however much was sent. What each instance was really sent is
gathered right afterwards from what became of the deliveries, one instance in one transaction, and with it goes the
fact that tells the recall. So whatever dies in between, a target without its list is a list still to be made.
"""

from collections.abc import Collection, Sequence
from functools import partial
from typing import Any

import msgspec

from server import database as db
from server import live
from server.actions.audit import note
from server.actions.recall_notices import notice_of
from server.clock import now_ms
from server.events import Kind, record
from server.ids import new_id
from server.openness import Level, Reach
from server.queries.recalls import MAY_HAVE
from server.recall_terms import OPEN, Keep, RecallScope, TargetState, root_of
from server.sql import Clause, one_of
from server.viewer import Employee, Operator, Viewer

PART = 500
"""Addresses in one part of a list: about 30 kB."""
AT_ONCE = 500
HOUR = 3_600_000
DAY = 24 * HOUR
DEADLINE_MS = DAY
"""How long a linked instance has for its receipt before it is late."""
SYSTEM = Operator("parvis")
"""Who acts when nobody did: a date that passed, an answer that came."""


async def begin(
    viewer: Viewer,
    space_id: int,
    peer_ids: Collection[int],
    *,
    scope: RecallScope = RecallScope.SPACE,
    post_ids: Sequence[int] | None = None,
    keep: Keep = Keep.OWN_AUTHORED,
    reason: str = "",
) -> int | None:
    """Takes back from these instances what they were sent of a space of ours; the recall's id.

    Called in the transaction that narrows, after the rows that narrow. `post_ids`: what a recall of scope item
    takes back. `reason`: the act, as the audit names it.
    Instances that have nothing of it are left out; None when nobody is left. Doing it again changes nothing as
    long as nothing was sent there meanwhile.
    """
    async with db.together():
        owing = await _owing(space_id, peer_ids, scope, post_ids)
        if not owing:
            return None
        recall_id, now = new_id(), now_ms()
        await db.insert(
            "recall",
            {
                "id": recall_id,
                "space_id": space_id,
                "scope": scope.value,
                "items": msgspec.json.encode(sorted(post_ids)).decode() if post_ids is not None else "",
                "reason": reason[:64],
                "keep": keep.value,
                "deadline_at": now + DEADLINE_MS,
                "made_by_id": viewer.actor_id if isinstance(viewer, Employee) else None,
                "operator": viewer.name if isinstance(viewer, Operator) else "",
                "created_at": now,
            },
        )
        targets = [
            {"id": new_id(), "recall_id": recall_id, "peer_id": peer_id, "linked": linked}
            for peer_id, linked in owing.items()
        ]
        await db.insert_many("recall_target", targets)
        await note(viewer, "recall", space_id=space_id, subject=scope.value, reason=reason, instances=len(targets))
        db.after_commit(partial(live.publish, live.Fact("recall", space_id=space_id)))
        return recall_id


async def take_back_item(viewer: Viewer, space_id: int, post_id: int) -> int | None:
    """A steward takes back a post of a space of ours from everybody who was sent it."""
    rows = await db.fetch(f"SELECT DISTINCT d.peer_id {_SENT} AND e.post_id = $1", post_id)
    peers = [row["peer_id"] for row in rows]
    return await begin(
        viewer, space_id, peers, scope=RecallScope.ITEM, post_ids=[post_id], keep=Keep.NONE, reason="withdraw_post"
    )


async def take_back_all(viewer: Viewer, peer_id: int, reason: str) -> None:
    """An agreement ends: what the other instance has of any space of ours is taken back, space by space."""
    for row in await db.fetch(
        "SELECT DISTINCT e.space_id AS id FROM delivery d JOIN event e ON e.id = d.event_id"
        " JOIN space s ON s.id = e.space_id WHERE d.peer_id = $1 AND d.state IN ('sent', 'dead', 'refused', 'pending')"
        " AND s.peer_id IS NULL ORDER BY e.space_id",
        peer_id,
    ):
        await begin(viewer, row["id"], [peer_id], scope=RecallScope.PARTNER, reason=reason)


async def after_narrowing(viewer: Viewer, space_id: int, reason: str) -> int | None:
    """A space became less open: it is taken back from instances that no longer see it."""
    space = await db.fetch_one("SELECT level FROM space WHERE id = $1 AND peer_id IS NULL", space_id)
    if space is None or Level(space["level"]).rank >= Level.NETWORK.rank:
        return None
    named = Level(space["level"]) is Level.PARTNERS
    rows = await db.fetch(
        "SELECT DISTINCT d.peer_id FROM event e JOIN delivery d ON d.event_id = e.id WHERE e.space_id = $1"
        " AND d.state IN ('sent', 'dead', 'refused', 'pending') AND NOT (CAST($2 AS INTEGER) = 1 AND EXISTS"
        " (SELECT 1 FROM space_partner n WHERE n.space_id = e.space_id AND n.peer_id = d.peer_id))",
        space_id,
        int(named),
    )
    return await begin(viewer, space_id, [row["peer_id"] for row in rows], reason=reason)


async def after_leaving(viewer: Viewer, space_id: int, peer_id: int | None, reason: str) -> int | None:
    """Somebody elsewhere is out: where nobody else of their instance is in, what it was sent is taken back."""
    space = await db.fetch_one("SELECT level, reach FROM space WHERE id = $1 AND peer_id IS NULL", space_id)
    if space is None or peer_id is None or Level(space["level"]).rank >= Level.NETWORK.rank:
        return None
    if Level(space["level"]) is Level.PARTNERS and space["reach"] == Reach.EVERYONE:
        return None
    left = "SELECT id FROM membership WHERE space_id = $1 AND peer_id = $2 AND state = 'member' LIMIT 1"
    if await db.fetch_one(left, space_id, peer_id):
        return None
    return await begin(viewer, space_id, [peer_id], scope=RecallScope.MEMBER, reason=reason)


_SENT = (
    "FROM delivery d JOIN event e ON e.id = d.event_id WHERE e.kind IN ('post_published', 'post_edited')"
    f" AND {MAY_HAVE}"
)


async def _owing(
    space_id: int, peer_ids: Collection[int], scope: RecallScope, post_ids: Sequence[int] | None
) -> dict[int, bool]:
    """Which of these instances have something to give back that was not asked back already, and whether linked."""
    query = Clause(
        "SELECT q.id, CASE WHEN l.their_key <> '' THEN 1 ELSE 0 END AS linked FROM peer q"
        " LEFT JOIN link l ON l.peer_id = q.id WHERE"
    ).join(one_of("q.id", sorted(set(peer_ids))))
    owing = {row["id"]: bool(row["linked"]) for row in await db.fetch(*query.statement())}
    for peer_id in list(owing):
        before = await _asked_back_last(space_id, peer_id, scope, post_ids)
        if not await _told_since(space_id, peer_id, before):
            del owing[peer_id]
    return owing


async def _asked_back_last(space_id: int, peer_id: int, scope: RecallScope, post_ids: Sequence[int] | None) -> int:
    """The recall that last took the same back from this instance; 0 when none did."""
    items = msgspec.json.encode(sorted(post_ids)).decode() if post_ids is not None else ""
    wholes = [known.value for known in RecallScope if known.whole] if scope.whole else [scope.value]
    query = (
        Clause("SELECT MAX(r.id) AS last FROM recall r JOIN recall_target t ON t.recall_id = r.id")
        .then("WHERE r.space_id = ? AND t.peer_id = ? AND r.items = ? AND", space_id, peer_id, items)
        .join(one_of("r.scope", wholes))
    )
    row = await db.fetch_one(*query.statement())
    return (row["last"] if row else None) or 0


async def _told_since(space_id: int, peer_id: int, recall_id: int) -> bool:
    """Whether this instance was told anything of the space, or is about to be, since that recall: by their ids, which
    grow also when the clock is set back (D9).
    """
    return bool(
        await db.fetch_one(
            "SELECT d.id FROM event e JOIN delivery d ON d.event_id = e.id WHERE e.space_id = $1 AND d.peer_id = $2"
            " AND d.state IN ('sent', 'dead', 'refused', 'pending') AND d.id > $3"
            " AND e.kind NOT IN ('recalled', 'item_recalled', 'member_removed', 'join_answered') LIMIT 1",
            space_id,
            peer_id,
            recall_id,
        )
    )


# --- gathering -----------------------------------------------------------------------------------


async def gather(target: dict[str, Any]) -> None:
    """Makes the list of what one instance was sent, and the fact that tells it, in one transaction.

    `target`: a row of recall_target with the columns of its recall. It may be called again after any crash.
    """
    posts = await _posts_sent(target)
    uris = sorted((post["uri"] for post in posts), key=str.encode)
    async with db.transaction():
        if not await db.execute(
            "UPDATE recall_target SET items = $1, root = $2, gathered_at = $3 WHERE id = $4 AND gathered_at IS NULL",
            len(uris),
            root_of(uris),
            now_ms(),
            target["id"],
        ):
            return
        await db.insert_many("recall_part", [_part(target["id"], n, uris) for n in range(0, len(uris), PART)])
        if target["linked"]:
            await tell(target)


def _part(target_id: int, start: int, uris: Sequence[str]) -> dict[str, Any]:
    some = uris[start : start + PART]
    return {
        "id": new_id(),
        "target_id": target_id,
        "number": start // PART + 1,
        "from_uri": some[0],
        "to_uri": some[-1],
        "uris": msgspec.json.encode(some).decode(),
    }


async def _posts_sent(target: dict[str, Any]) -> list[dict[str, Any]]:
    """Which posts the instance was sent, of those that the recall is about."""
    sent = Clause(
        "SELECT DISTINCT p.id, p.uri FROM post p JOIN event e ON e.post_id = p.id JOIN delivery d ON d.event_id = e.id"
        " WHERE p.space_id = ? AND d.peer_id = ? AND e.kind IN ('post_published', 'post_edited')"
        # a page may have left just before the space narrowed: its numbers are then told again as gaps
        f" AND ({MAY_HAVE} OR (d.number > 0 AND d.done_at >= ?))",
        (target["space_id"], target["peer_id"], target["created_at"]),
    )
    if not target["items_wanted"]:
        return await db.fetch(*sent.statement())
    ids: list[int] = msgspec.json.decode(target["items_wanted"])
    found: dict[int, dict[str, Any]] = {}
    for start in range(0, len(ids), PART):
        wanted = one_of("p.id", ids[start : start + PART])
        found |= {row["id"]: row for row in await db.fetch(*sent.and_(wanted).statement())}
    return list(found.values())


async def tell(target: dict[str, Any]) -> None:
    """Records the fact that tells a recall to one instance, again or for the first time."""
    data = {"target": target["id"], "peer": target["peer_id"]}
    event_id = await record(Kind.RECALLED, space_id=target["space_id"], data=data)
    tries = target["tries"] + 1
    await db.execute(
        "UPDATE recall_target SET event_id = $1, tries = $2, next_at = $3, state = CASE WHEN state = 'late'"
        " THEN 'late' ELSE 'waiting' END WHERE id = $4",
        event_id,
        tries,
        now_ms() + wait_after(tries),
        target["id"],
    )


def wait_after(tries: int) -> int:
    """Milliseconds until a recall that was told so often is told again: an hour, a day, a week, then daily."""
    return {1: HOUR, 2: DAY, 3: 7 * DAY}.get(tries, DAY)


async def ungathered(limit: int) -> list[dict[str, Any]]:
    """Targets whose list is still to be made.

    What is on its way to a server without a link while it is served has no trace before its answer: its list waits.
    """
    return await db.fetch(
        f"{TARGET} WHERE t.gathered_at IS NULL AND (t.linked OR NOT EXISTS (SELECT 1 FROM peer q"
        " WHERE q.id = t.peer_id AND q.lease_until_at >= $1) OR NOT EXISTS (SELECT 1 FROM event e JOIN delivery d"
        " ON d.event_id = e.id WHERE e.space_id = r.space_id AND e.kind IN ('post_published', 'post_edited')"
        " AND d.peer_id = t.peer_id AND d.state = 'pending' AND d.attempts = 0)) ORDER BY t.id LIMIT $2",
        now_ms(),
        limit,
    )


TARGET = (
    "SELECT t.id, t.recall_id, t.peer_id, t.linked, t.state, t.items, t.root, t.event_id, t.cursor, t.tries, t.next_at,"
    " t.gathered_at, t.answered_at, r.space_id, r.scope, r.items AS items_wanted, r.keep, r.deadline_at, r.created_at"
    " FROM recall_target t JOIN recall r ON r.id = t.recall_id"
)
"""One target with its recall."""


# --- answers -------------------------------------------------------------------------------------


async def answered(
    target_id: int, state: TargetState, *, receipt: str, purged: int, retained: int, reason: str = ""
) -> None:
    """The instance signed what became of it. What was confirmed stays so, whatever comes later."""
    await db.execute(
        "UPDATE recall_target SET state = $1, receipt = $2, purged = $3, retained = $4, reason = $5, answered_at = $6"
        " WHERE id = $7 AND state NOT IN ('confirmed', 'refused')",
        state.value,
        receipt,
        purged,
        retained,
        reason[:300],
        now_ms(),
        target_id,
    )
    _looked_at()


async def not_believed(target_id: int, reason: str) -> None:
    """Something came that proves nothing: the target stays as it is, and administrators see why."""
    await db.execute("UPDATE recall_target SET reason = $1 WHERE id = $2", reason[:300], target_id)
    _looked_at()


async def refused(target: dict[str, Any], reason: str, receipt: str = "") -> None:
    """The instance refuses, or signed what is not true: the link is suspended and administrators are told."""
    async with db.together():
        await db.execute(
            "UPDATE recall_target SET state = 'refused', reason = $1, receipt = $2, answered_at = $3 WHERE id = $4",
            reason[:300],
            receipt,
            now_ms(),
            target["id"],
        )
        peer = await db.fetch_one("SELECT host FROM peer WHERE id = $1", target["peer_id"])
        suspended = await db.execute(
            "UPDATE link SET state = 'suspended', cause = 'recall', reason = $1, changed_at = $2"
            " WHERE peer_id = $3 AND state = 'active'",
            reason[:300],
            now_ms(),
            target["peer_id"],
        )
        host = peer["host"] if peer else ""
        await note(SYSTEM, "recall_refused", subject=host, space_id=target["space_id"], reason=reason[:300])
        if suspended:
            await note(SYSTEM, "link_suspend", subject=host, reason=reason[:300])
        await notice_of(target, TargetState.REFUSED)
        _looked_at()


def _looked_at() -> None:
    db.after_commit(lambda: live.publish(live.Fact("access")))


async def follow_up() -> int:
    """Brings the targets that still wait up to what became of their deliveries; how many changed.

    Those whose receipt does not come are told again when it is time, until their link has ended.
    """
    global _looked
    now, changed = now_ms(), 0
    waiting = Clause(
        f"SELECT x.*, d.state AS d_state, d.done_at AS d_done, d.error AS d_error, q.state AS q_state,"
        f" l.state AS l_state FROM ({TARGET}) x JOIN peer q ON q.id = x.peer_id"
        " LEFT JOIN delivery d ON d.event_id = x.event_id AND d.peer_id = x.peer_id"
        " LEFT JOIN link l ON l.peer_id = x.peer_id WHERE"
    ).join(one_of("x.state", [state.value for state in OPEN]))
    waiting = waiting.then("AND x.gathered_at IS NOT NULL AND x.linked AND x.id > ? ORDER BY x.id", _looked)
    rows = await db.fetch(*waiting.then("LIMIT ?", AT_ONCE).statement())
    _looked = rows[-1]["id"] if len(rows) == AT_ONCE else 0  # the others' turn is next
    for row in rows:
        if not _stands(row, now):
            async with db.transaction():
                changed += await _follow(row, now)
    return changed


_looked = 0
"""Which target this process looked at last, where there are more than AT_ONCE."""


def _stands(row: dict[str, Any], now: int) -> bool:
    """Whether there is nothing to do: of one that is away for weeks nothing is written twice a second."""
    return row["d_state"] not in ("dead", "refused") and _standing(row, now) == row["state"] and not _due(row, now)


def _due(row: dict[str, Any], now: int) -> bool:
    """Whether it is to be told again."""
    over = row["l_state"] == "ended" and row["tries"] > 3
    return row["next_at"] <= now and row["d_state"] != "pending" and not over


async def _follow(row: dict[str, Any], now: int) -> bool:
    alone = " FOR UPDATE" if db.engine_name() == "postgres" else ""
    present = await db.fetch_one(f"SELECT state FROM recall_target WHERE id = $1{alone}", row["id"])
    if present is None or present["state"] != row["state"]:
        return True  # its receipt came since it was read
    if row["d_state"] in ("dead", "refused"):
        await refused(row, f"The recall itself was refused: {row['d_error']}")
        return True
    state = _standing(row, now)
    sent_at = row["d_done"] if row["d_state"] == "sent" else None
    changed = False
    if state != row["state"]:
        await db.execute(
            "UPDATE recall_target SET state = $1, sent_at = COALESCE(sent_at, $2) WHERE id = $3",
            state.value,
            sent_at,
            row["id"],
        )
        changed = True
        if state is TargetState.LATE:
            await notice_of(row, state)
    if _due(row, now):
        await tell(row)
        changed = True
    return changed


def _standing(row: dict[str, Any], now: int) -> TargetState:
    if row["d_state"] == "pending" and row["q_state"] != "ok":
        return TargetState.UNREACHABLE
    again = row["answered_at"] is not None and row["gathered_at"] > row["answered_at"]  # lost there since it answered
    if (row["gathered_at"] + DEADLINE_MS if again else row["deadline_at"]) < now:
        return TargetState.LATE
    return TargetState.SENT if row["d_state"] == "sent" else TargetState.WAITING
