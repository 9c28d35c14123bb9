"""What somebody from outside gets on the day they come into a space, counted before it is done."""

from dataclasses import dataclass

from server import database as db
from server.clock import now_ms
from server.openness import Audience, Variant
from server.policy import Act, PostFacts, Rights, Standing, may_post, rights
from server.queries.posts import KEPT, kept_of
from server.queries.spaces import SeenSpace
from server.viewer import Guest, Viewer, guest_side

MOST = 20_000
"""Posts that are looked at, the newest first; beyond, the number is not exact and says so."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """What a guest has in a space as a member: their rights, and what of its past they read at once.

    `more`: there are older posts that were not looked at.
    """

    rights: Rights
    posts: int
    files: int
    members: int
    more: bool


async def of_guest(viewer: Viewer, space: SeenSpace, actor_id: int) -> Arrival:
    """Counted by the policy's own answer for each post. Raises Forbidden to those who may not admit members."""
    space.demand(viewer, Act.ADMIT_MEMBERS)
    now = now_ms()
    row = await db.fetch_one("SELECT organisation FROM account WHERE actor_id = $1", actor_id)
    guest = Guest(0, actor_id, guest_side(row["organisation"] if row else "", actor_id))
    standing = Standing(Audience.GUEST_MEMBER, since_at=now, side=guest.side)
    rows = await db.fetch(
        "SELECT p.id, p.author_id, p.published_at, p.stamp, p.stamp_blind, p.side, p.held_at, p.peer_id,"
        f" {KEPT}, (SELECT COUNT(*) FROM attachment f WHERE f.post_id = p.id) AS files FROM post p"
        " WHERE p.space_id = $1 AND p.deleted_at IS NULL ORDER BY p.id DESC LIMIT $2",
        space.id,
        MOST + 1,
    )
    read = [
        row
        for row in rows[:MOST]
        if may_post(
            guest,
            Act.READ,
            PostFacts(
                row["author_id"],
                row["published_at"],
                space.facts,
                Variant(row["stamp"]) if row["stamp"] else None,
                peer_id=row["peer_id"],
                stamp_blind=bool(row["stamp_blind"]),
                side=row["side"],
                held=row["held_at"] is not None,
                kept=kept_of(row),
            ),
            standing,
            now,
        )
    ]
    members = await db.fetch_one(
        "SELECT COUNT(*) AS n FROM membership WHERE space_id = $1 AND state = 'member'", space.id
    )
    return Arrival(
        rights=rights(space.facts, standing),
        posts=len(read),
        files=sum(row["files"] for row in read),
        members=members["n"] if members else 0,
        more=len(rows) > MOST,
    )
