"""Recalls from servers without a link: item by item in their own terms, and nobody can verify what became of it.

Posts are taken back first, in the order in which they were written; whoever followed the space is refused last, so
that the server still listens to the space while it takes back.
"""

from typing import Any

import msgspec

from server import database as db
from server.clock import now_ms
from server.events import Kind, record
from server.recall_terms import OPEN
from server.sql import Clause, one_of

ALL_TOLD = -1
"""`cursor` of a target of which every item was told."""


_looked = 0
"""Which target this process looked at last: those that do not answer keep nobody from their turn."""


async def follow_up_plain(limit: int) -> int:
    """One step for some of the servers without a link; how many moved."""
    global _looked
    query = Clause(
        "SELECT t.id, t.peer_id, t.cursor, t.state, r.space_id, r.created_at, s.actor_id, q.state AS q_state"
        " FROM recall_target t JOIN recall r ON r.id = t.recall_id JOIN space s ON s.id = r.space_id"
        " JOIN peer q ON q.id = t.peer_id WHERE t.gathered_at IS NOT NULL AND NOT t.linked AND"
    ).join(one_of("t.state", [state.value for state in OPEN]))
    moved = 0
    targets = await db.fetch(*query.then("AND t.id > ? ORDER BY t.id LIMIT ?", _looked, limit).statement())
    _looked = targets[-1]["id"] if len(targets) == limit else 0
    for target in targets:
        if target["cursor"] == ALL_TOLD:
            moved += await _ended(target)
        else:
            async with db.transaction():
                moved += await _next_part(target)
    return moved


async def _next_part(target: dict[str, Any]) -> bool:
    """Records that the posts of one part are taken back; after the last one, that nobody there follows any more."""
    part = await db.fetch_one(
        "SELECT number, uris FROM recall_part WHERE target_id = $1 AND number > $2 ORDER BY number LIMIT 1",
        target["id"],
        target["cursor"],
    )
    if part is None:
        await _refuse_followers(target)
    else:
        uris = msgspec.json.decode(part["uris"])
        query = Clause("SELECT id, author_id FROM post WHERE").join(one_of("uri", uris)).then("ORDER BY id")
        for post in await db.fetch(*query.statement()):
            await record(
                Kind.ITEM_RECALLED,
                actor_id=post["author_id"],
                space_id=target["space_id"],
                post_id=post["id"],
                data={"target": target["id"], "peer": target["peer_id"]},
            )
    cursor = part["number"] if part else ALL_TOLD
    await db.execute("UPDATE recall_target SET cursor = $1, tries = 1 WHERE id = $2", cursor, target["id"])
    return True


async def _refuse_followers(target: dict[str, Any]) -> None:
    """Reject of each Follow that was accepted and no longer stands."""
    rows = await db.fetch(
        "SELECT data FROM event WHERE space_id = $1 AND kind = 'join_answered' ORDER BY id", target["space_id"]
    )
    asked = {fact["member"]: fact["uri"] for row in rows if (fact := msgspec.json.decode(row["data"]))["accepted"]}
    people = Clause("SELECT a.id FROM actor a WHERE a.peer_id = ? AND", (target["peer_id"],)).join(
        one_of("a.id", sorted(asked))
    )
    gone = people.then(
        "AND NOT EXISTS (SELECT 1 FROM membership m WHERE m.space_id = ? AND m.actor_id = a.id)", target["space_id"]
    )
    for row in await db.fetch(*gone.statement()):
        data = {"member": row["id"], "uri": asked[row["id"]], "accepted": False}
        await record(Kind.JOIN_ANSWERED, actor_id=target["actor_id"], space_id=target["space_id"], data=data)


async def _ended(target: dict[str, Any]) -> bool:
    """Whether everything was answered somehow: then nobody can say more."""
    waiting = await db.fetch_one(
        "SELECT e.id FROM event e LEFT JOIN delivery d ON d.event_id = e.id AND d.peer_id = $1"
        " WHERE e.space_id = $2 AND e.kind = 'item_recalled' AND (e.sequenced_at IS NULL OR d.state = 'pending')"
        " LIMIT 1",
        target["peer_id"],
        target["space_id"],
    )
    state = "sent-unconfirmed" if waiting is None else "unreachable" if target["q_state"] != "ok" else "waiting"
    if state == target["state"]:
        return False
    done = now_ms() if waiting is None else None
    await db.execute(
        "UPDATE recall_target SET state = $1, sent_at = COALESCE(sent_at, $2) WHERE id = $3", state, done, target["id"]
    )
    return True
