"""What has its time: openings, ends, reviews, polls. Rows say when; whoever looks first after that does it, once.

Nothing is kept in memory: after a restart, or when the clock jumps, what is due by now is done now, in the order of
its moments. Each step is one transaction and idempotent, so two processes that look at once do it once.
"""

from collections.abc import Callable
from dataclasses import replace

from server import database as db
from server.actions import openness, polls, recalls
from server.actions.guests import end_guests
from server.actions.notices import notify
from server.actions.openness import Door, How, ended
from server.actions.sponsors import ANSWER_WITHIN_MS
from server.bounds import problems
from server.clock import now_ms
from server.errors import DomainError, Unavailable
from server.events import Kind, record
from server.openness import AfterClose, Level
from server.queries import policies
from server.space_policy import SpacePolicy, reset_outside
from server.viewer import Operator

TIMER = Operator("timer")
REMIND_MS = ANSWER_WITHIN_MS
"""How long before its review is due the owners of a space are asked."""
GUESTS_EVERY_MS = 30_000
AT_ONCE = 50
READ_AT_ONCE = 500


async def run_due() -> int:
    """Does what is due now; how many things were done."""
    now = now_ms()
    ended = await _guests(now) + await polls.end_due(now)
    if not await _anything(now):
        return ended
    return ended + await _planned(now) + await _partners(now) + await _ends(now) + await _reviews(now)


_guests_next = 0


async def _guests(now: int) -> int:
    """Guests and memberships whose last day has passed. They read nothing since; this clears up."""
    global _guests_next
    if now < _guests_next:
        return 0
    done = await end_guests(now)
    if not done:
        _guests_next = now + GUESTS_EVERY_MS
    return done


async def _anything(now: int) -> bool:
    row = await db.fetch_one(
        """SELECT EXISTS (SELECT 1 FROM policy_change WHERE state = 'planned')
             OR EXISTS (SELECT 1 FROM space WHERE peer_id IS NULL AND (closes_at <= $1 OR review_due_at <= $2))
             OR EXISTS (SELECT 1 FROM space_partner WHERE until_at <= $1) AS due""",
        now,
        now + REMIND_MS,
    )
    return bool(row and row["due"])


async def _planned(now: int) -> int:
    done, last = 0, 0
    while rows := await db.fetch(
        "SELECT id, wanted FROM policy_change WHERE state = 'planned' AND id > $1 ORDER BY id LIMIT $2",
        last,
        READ_AT_ONCE,
    ):
        last = rows[-1]["id"]
        due = [row["id"] for row in rows if (openness.read_policy(row["wanted"]).opens_at or 0) <= now]
        done += sum([await _open(change_id) for change_id in due])
    return done


async def _open(change_id: int) -> bool:
    try:
        return await openness.apply_planned(change_id) is not None
    except Unavailable:
        raise
    except DomainError:
        # refused now, refused tomorrow: it must not stand before the ends of others
        await openness.lapse(change_id)
        return False


async def _ends(now: int) -> int:
    rows = await db.fetch(
        "SELECT id FROM space WHERE closes_at <= $1 AND peer_id IS NULL ORDER BY closes_at LIMIT $2", now, AT_ONCE
    )
    return sum([await _end(row["id"], "closes_at", now) for row in rows])


async def _end(space_id: int, why: str, now: int) -> bool:
    """The space goes to the level that follows; what was written stays, frozen or not as its owner chose."""
    async with db.transaction():
        column = "closes_at" if why == "closes_at" else "review_due_at"
        due = await db.fetch_one(
            f"SELECT after_close, closed_at FROM space WHERE id = $1 AND {column} <= $2", space_id, now
        )
        if due is None:
            return False  # somebody else did it
        done = await openness.adjust(TIMER, space_id, How(Door.TIMER, source=why), await _after(space_id))
        row = await db.fetch_one("SELECT level FROM space WHERE id = $1", space_id)
        freezes = due["after_close"] != AfterClose.KEEP and row is not None and row["level"] == Level.CLOSED
        if freezes and due["closed_at"] is None:
            await db.execute("UPDATE space SET closed_at = $1 WHERE id = $2", now, space_id)
        await db.execute("UPDATE space SET closes_at = NULL, review_due_at = NULL WHERE id = $1", space_id)
        await notify(
            await openness.owners(space_id), "openness", key=f"{why}:{space_id}:{done.epoch}", space_id=space_id
        )
        return True


async def _after(space_id: int) -> Callable[[SpacePolicy], SpacePolicy]:
    """What follows an end: the level that was chosen, or closed where its dials no longer fit that level."""
    before = await policies.current(space_id)
    if problems(reset_outside(ended(before)), await policies.guardrails(), now_ms(), before):
        return closed
    return ended


def closed(policy: SpacePolicy) -> SpacePolicy:
    """The end that nothing stands against."""
    return ended(replace(policy, then_level=None))


async def _partners(now: int) -> int:
    rows = await db.fetch(
        "SELECT n.space_id, n.peer_id, q.host FROM space_partner n JOIN peer q ON q.id = n.peer_id"
        " JOIN space s ON s.id = n.space_id WHERE n.until_at <= $1 AND s.peer_id IS NULL ORDER BY n.until_at LIMIT $2",
        now,
        AT_ONCE,
    )
    done = 0
    for row in rows:

        def without(policy: SpacePolicy, host: str = row["host"]) -> SpacePolicy:
            return replace(policy, partners=tuple(terms for terms in policy.partners if terms.host != host))

        try:
            await openness.adjust(TIMER, row["space_id"], How(Door.TIMER, source=f"until, {row['host']}"), without)
            done += 1
        except Unavailable:
            continue  # looked at again in a moment
        except DomainError:
            # a policy that no longer holds by itself must not keep a partner in: its end is what counts
            await _put_out(row["space_id"], row["peer_id"])
            done += 1
    return done


async def _put_out(space_id: int, peer_id: int) -> None:
    """A partner and its people are out, are told so, and what they have is taken back; the policy stays as it is."""
    async with db.transaction():
        await db.execute("DELETE FROM space_partner WHERE space_id = $1 AND peer_id = $2", space_id, peer_id)
        gone = await db.fetch(
            "DELETE FROM membership WHERE space_id = $1 AND peer_id = $2"
            " RETURNING actor_id, (SELECT s.actor_id FROM space s WHERE s.id = space_id) AS group_id",
            space_id,
            peer_id,
        )
        for row in gone:
            data = {"member": row["actor_id"]}
            await record(Kind.MEMBER_REMOVED, actor_id=row["group_id"], space_id=space_id, data=data)
        await recalls.after_narrowing(TIMER, space_id, "set_openness")


async def _reviews(now: int) -> int:
    rows = await db.fetch(
        """SELECT s.id, s.review_due_at FROM space s WHERE s.review_due_at <= $1 AND s.peer_id IS NULL
             AND (s.review_due_at <= $2 OR EXISTS (SELECT 1 FROM membership m WHERE m.space_id = s.id
               AND m.role = 'owner' AND m.state = 'member' AND NOT EXISTS (SELECT 1 FROM notice n
                 WHERE n.actor_id = m.actor_id AND n.key = 'review:' || CAST(s.id AS VARCHAR(20)) || ':'
                   || CAST(s.review_due_at AS VARCHAR(20)))))
           ORDER BY s.review_due_at LIMIT $3""",
        now + REMIND_MS,
        now,
        AT_ONCE,
    )
    done = 0
    for row in rows:
        if row["review_due_at"] <= now:
            done += await _end(row["id"], "review", now)
        else:
            key = f"review:{row['id']}:{row['review_due_at']}"
            await notify(await openness.owners(row["id"]), "review", key=key, space_id=row["id"])
            done += 1
    return done
