"""What ends by itself for people from outside: their stay, and memberships with an end date.

Nobody waits for it: whoever reads a right asks the dates. Here the rows follow, so that nothing comes back when a date
is moved later on.
"""

from server import database as db
from server.actions import mails, recalls
from server.actions.accounts import end_access
from server.actions.audit import note
from server.actions.membership_rows import out
from server.clock import now_ms
from server.events import Kind, record
from server.viewer import Operator

TIMER = Operator("timer")
AT_ONCE = 200


async def end_guests(now: int | None = None) -> int:
    """Ends what has passed by `now` (milliseconds), at most AT_ONCE of each; returns how many things were ended.

    Idempotent: what has ended has nothing left to end. Each person and each membership is a transaction of its own.
    """
    now = now_ms() if now is None else now
    return await _stays(now) + await _memberships(now)


async def _stays(now: int) -> int:
    """Guests whose last day has passed: their sessions, tokens, links and memberships."""
    rows = await db.fetch(
        """SELECT c.id, c.actor_id, c.name FROM account c WHERE c.office = 'guest' AND c.until_at <= $1 AND (
             EXISTS (SELECT 1 FROM session s WHERE s.account_id = c.id)
             OR EXISTS (SELECT 1 FROM access_token t WHERE t.account_id = c.id AND t.revoked_at IS NULL)
             OR EXISTS (SELECT 1 FROM sign_in_link l WHERE l.account_id = c.id AND l.used_at IS NULL)
             OR EXISTS (SELECT 1 FROM feed_token f WHERE f.account_id = c.id)
             OR EXISTS (SELECT 1 FROM membership m WHERE m.actor_id = c.actor_id)) ORDER BY c.id LIMIT $2""",
        now,
        AT_ONCE,
    )
    for row in rows:
        async with db.transaction():
            still = await db.fetch_one("SELECT id FROM account WHERE id = $1 AND until_at <= $2", row["id"], now)
            if still is None:
                continue
            await end_access(row["id"])
            await mails.end_reply_addresses(row["id"])
            await db.execute("DELETE FROM feed_token WHERE account_id = $1", row["id"])
            for place in await db.fetch("SELECT space_id FROM membership WHERE actor_id = $1", row["actor_id"]):
                await out(place["space_id"], row["actor_id"])
            await note(TIMER, "end_guest", subject=row["name"])
    return len(rows)


async def _memberships(now: int) -> int:
    """Memberships of spaces of ours with an end that has passed; an instance elsewhere is told, and what it holds
    is taken back with its last member.
    """
    rows = await db.fetch(
        """SELECT m.id, m.space_id, m.actor_id, m.peer_id, s.actor_id AS group_id, a.name, a.host FROM membership m
           JOIN space s ON s.id = m.space_id JOIN actor a ON a.id = m.actor_id
           WHERE s.peer_id IS NULL AND m.until_at <= $1 AND m.role <> 'owner' ORDER BY m.id LIMIT $2""",
        now,
        AT_ONCE,
    )
    for row in rows:
        async with db.transaction():
            still = await db.fetch_one("SELECT id FROM membership WHERE id = $1 AND until_at <= $2", row["id"], now)
            if still is None:
                continue
            await out(row["space_id"], row["actor_id"])
            who = f"{row['name']}@{row['host']}" if row["host"] else row["name"]
            await note(TIMER, "end_membership", subject=who, space_id=row["space_id"])
            if row["peer_id"] is not None:
                data = {"member": row["actor_id"]}
                await record(Kind.MEMBER_REMOVED, actor_id=row["group_id"], space_id=row["space_id"], data=data)
                await recalls.after_leaving(TIMER, row["space_id"], row["peer_id"], "end_membership")
    return len(rows)
