"""Somebody is erased (GDPR art. 17): what they wrote is taken back everywhere it was sent, what is left has no name.

Their handle and the addresses of what they wrote stay as tombstones, so that nobody is given them again and a late
copy does not bring anything back; so do the audit log and the history of openness, which name the handle. What others
wrote about them is theirs. Each step is a transaction of its own and may be repeated: an erasure that was cut off is
finished by asking for it again.
"""

from dataclasses import dataclass

from server import database as db
from server.actions import accounts, file_bytes, gestures, membership_rows, polls, posts
from server.actions.audit import note
from server.clock import now_ms
from server.errors import Conflict, Forbidden
from server.events import Kind, record
from server.queries import sides
from server.queries.offices import demand_administrator
from server.refusals import N_
from server.viewer import Employee, Operator

ONLY_OWNER = N_("Cette personne est seule propriétaire de « %(spaces)s » : nommez-y d’abord quelqu’un d’autre.")
ANSWERS_FOR = N_("Cette personne est le répondant de %(guests)s : confiez-les d’abord à quelqu’un d’autre.")
MOST_NAMED = 5
AT_ONCE = 50


@dataclass(frozen=True, slots=True)
class Erased:
    """What was taken back."""

    posts: int
    reactions: int
    votes: int


async def erase(viewer: Employee | Operator, account_id: int) -> Erased:
    """Erases one person. Raises Conflict while others depend on them, Invalid for oneself, NotFound, Forbidden.

    Only from a whole session, or from the command line.
    """
    demand_administrator(viewer)
    if isinstance(viewer, Employee) and viewer.scopes is not None:
        raise Forbidden(accounts.WHOLE_SESSION_ONLY)
    row = await accounts.found(account_id)
    await _nobody_depends_on(row["actor_id"])
    await accounts.suspend(viewer, account_id)
    actor_id = row["actor_id"]
    taken = Erased(
        posts=await _take_back_posts(actor_id),
        reactions=await _take_back_reactions(actor_id),
        votes=await polls.take_back_votes(actor_id),
    )
    async with db.transaction():
        await record(Kind.PERSON_ERASED, actor_id=actor_id, data={"peers": await _who_knows(actor_id)})
        await _forget(account_id, actor_id)
        await note(viewer, "erase_person", subject=row["name"], posts=taken.posts)
    return taken


async def _nobody_depends_on(actor_id: int) -> None:
    alone = await db.fetch(
        "SELECT s.slug FROM membership m JOIN space s ON s.id = m.space_id WHERE m.actor_id = $1 AND m.role = 'owner'"
        " AND m.state = 'member' AND s.peer_id IS NULL AND NOT EXISTS (SELECT 1 FROM membership o WHERE"
        " o.space_id = m.space_id AND o.role = 'owner' AND o.state = 'member' AND o.actor_id <> m.actor_id)"
        " ORDER BY s.slug LIMIT $2",
        actor_id,
        MOST_NAMED,
    )
    if alone:
        raise Conflict(ONLY_OWNER, params={"spaces": ", ".join(row["slug"] for row in alone)})
    guests = await db.fetch(
        "SELECT name FROM account WHERE sponsor_id = $1 AND suspended_at IS NULL AND until_at > $2 ORDER BY name"
        " LIMIT $3",
        actor_id,
        now_ms(),
        MOST_NAMED,
    )
    if guests:
        raise Conflict(ANSWERS_FOR, params={"guests": ", ".join(row["name"] for row in guests)})


async def _take_back_posts(actor_id: int) -> int:
    """Every post goes as if its author had withdrawn it: whoever was sent it is told."""
    count = 0
    while rows := await db.fetch(
        "SELECT id FROM post WHERE author_id = $1 AND deleted_at IS NULL ORDER BY id LIMIT $2", actor_id, AT_ONCE
    ):
        async with db.transaction():
            for row in rows:
                await posts.expire(row["id"])
        count += len(rows)
    return count


async def _take_back_reactions(actor_id: int) -> int:
    count = 0
    while rows := await db.fetch(
        "SELECT r.post_id, r.emoji, p.author_id, p.space_id FROM reaction r JOIN post p ON p.id = r.post_id"
        " WHERE r.actor_id = $1 ORDER BY r.id LIMIT $2",
        actor_id,
        AT_ONCE,
    ):
        async with db.transaction():
            for row in rows:
                place = gestures.Place(row["post_id"], row["author_id"], row["space_id"])
                await gestures.ungesture(place, actor_id, row["emoji"])
        count += len(rows)
    return count


async def _who_knows(actor_id: int) -> list[int]:
    """Instances that were told something by this person, or that have somebody who follows them or is followed."""
    rows = await db.fetch(
        "SELECT DISTINCT peer_id FROM (SELECT d.peer_id FROM delivery d JOIN event e ON e.id = d.event_id"
        " WHERE e.actor_id = $1 UNION SELECT a.peer_id FROM follow f JOIN actor a"
        " ON a.id IN (f.follower_id, f.followed_id) WHERE $1 IN (f.follower_id, f.followed_id)) AS known"
        " WHERE peer_id IS NOT NULL ORDER BY peer_id",
        actor_id,
    )
    return [row["peer_id"] for row in rows]


async def _forget(account_id: int, actor_id: int) -> None:
    for row in await db.fetch("SELECT space_id FROM membership WHERE actor_id = $1", actor_id):
        await membership_rows.out(row["space_id"], actor_id)
    mine: dict[str, str] = {
        "follow": "$1 IN (follower_id, followed_id)",
        "notice": "$1 IN (actor_id, by_id)",
        "mention": "actor_id = $1",
    }
    for table, where in mine.items():
        await db.execute(f"DELETE FROM {table} WHERE {where}", actor_id)
    theirs = await db.fetch("SELECT id, sha256 FROM attachment WHERE owner_id = $1 AND post_id IS NULL", actor_id)
    await file_bytes.forget(theirs)
    for table in ("session", "access_token", "feed_token", "sign_in_link", "mailbox", "reply_address"):
        await db.execute(f"DELETE FROM {table} WHERE account_id = $1", account_id)
    side = await sides.of_actor(actor_id)  # what is taken back of theirs stays hidden from blind partners
    await db.execute("DELETE FROM account WHERE id = $1", account_id)
    await db.execute(
        "UPDATE actor SET display_name = '', summary = '', gone_at = $1, gone_side = $2 WHERE id = $3",
        now_ms(),
        side,
        actor_id,
    )
