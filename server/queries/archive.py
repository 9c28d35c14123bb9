"""What somebody takes along when they go, or asks for (GDPR art. 15 and 20): their account, words, files, gestures.

Everything is asked through the viewer, who is that person: of a space that they are no longer in, an archive tells
what they may still read there, and no more than that.
"""

from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import Any

from server import database as db
from server.clock import now_ms
from server.policy import Act, scope_posts
from server.queries import accounts
from server.queries.posts import READABLE, PostCard, cards
from server.queries.spaces import around
from server.sql import Clause
from server.viewer import Resident

AT_ONCE = 80


async def account(viewer: Resident) -> dict[str, Any]:
    """Their account as they know it, without what opens it."""
    own = asdict(await accounts.own(viewer))
    return {name: own[name] for name in own if name not in ("id", "actor_id", "has_password", "read_up_to")}


async def memberships(viewer: Resident) -> list[dict[str, Any]]:
    """The spaces that they are in, with the role and the day they came in."""
    rows = await db.fetch(
        "SELECT space_id, role, since_at FROM membership WHERE actor_id = $1 AND state = 'member' ORDER BY id",
        viewer.actor_id,
    )
    known = await around(viewer, [row["space_id"] for row in rows])
    return [
        {"space": known[row["space_id"]].slug, "role": row["role"], "since_at": row["since_at"]}
        for row in rows
        if row["space_id"] in known
    ]


async def follows(viewer: Resident) -> dict[str, list[str]]:
    """Addresses of whom they follow, and of who follows them."""
    question = "SELECT a.uri FROM follow f JOIN actor a ON a.id = f.{} WHERE f.{} = $1 AND f.state = 'accepted'"
    pairs = {"following": ("followed_id", "follower_id"), "followers": ("follower_id", "followed_id")}
    return {
        word: [row["uri"] for row in await db.fetch(question.format(*columns) + " ORDER BY f.id", viewer.actor_id)]
        for word, columns in pairs.items()
    }


async def posts(viewer: Resident) -> AsyncIterator[PostCard]:
    """What they wrote and may read today, oldest first, so many at once."""
    after = 0
    while True:
        query = (
            Clause(f"SELECT p.id {READABLE} WHERE p.author_id = ? AND p.id > ?", (viewer.actor_id, after))
            .and_(scope_posts(viewer, now_ms()))
            .then("ORDER BY p.id LIMIT ?", AT_ONCE)
        )
        ids = [row["id"] for row in await db.fetch(*query.statement())]
        for card in sorted(await cards(viewer, ids), key=lambda card: card.id):
            yield card
        if len(ids) < AT_ONCE:
            return
        after = ids[-1]


async def withheld(viewer: Resident, told: int) -> int:
    """How many of their posts an archive with `told` of them leaves out, for want of the right to read them."""
    row = await db.fetch_one(
        "SELECT COUNT(*) AS n FROM post WHERE author_id = $1 AND deleted_at IS NULL", viewer.actor_id
    )
    return max(0, (row["n"] if row else 0) - told)


async def reactions(viewer: Resident) -> AsyncIterator[dict[str, Any]]:
    """Their gestures to what they may read today, oldest first."""
    after = 0
    while True:
        query = (
            Clause(f"SELECT r.id, r.emoji, r.created_at, p.uri {READABLE} JOIN reaction r ON r.post_id = p.id")
            .then("WHERE r.actor_id = ? AND r.id > ?", viewer.actor_id, after)
            .and_(scope_posts(viewer, now_ms()))
            .then("ORDER BY r.id LIMIT ?", AT_ONCE)
        )
        rows = await db.fetch(*query.statement())
        for row in rows:
            yield {"post": row["uri"], "emoji": row["emoji"], "at": row["created_at"]}
        if len(rows) < AT_ONCE:
            return
        after = rows[-1]["id"]


async def votes(viewer: Resident) -> AsyncIterator[dict[str, Any]]:
    """What they chose in polls that they may read today, oldest first."""
    after = 0
    while True:
        query = (
            Clause(f"SELECT r.id, o.title, r.created_at, p.uri {READABLE} JOIN vote r ON r.post_id = p.id")
            .then("JOIN poll_option o ON o.post_id = r.post_id AND o.position = r.position")
            .then("WHERE r.actor_id = ? AND r.id > ?", viewer.actor_id, after)
            .and_(scope_posts(viewer, now_ms()))
            .then("ORDER BY r.id LIMIT ?", AT_ONCE)
        )
        rows = await db.fetch(*query.statement())
        for row in rows:
            yield {"post": row["uri"], "option": row["title"], "at": row["created_at"]}
        if len(rows) < AT_ONCE:
            return
        after = rows[-1]["id"]


def open_files(viewer: Resident, card: PostCard) -> list[str]:
    """The digests of a post's files that this viewer may open, in their order; '' for one that is not here."""
    if not card.may(viewer, Act.OPEN_FILE):
        return []
    return [file.sha256 if file.state == "ready" else "" for file in card.files]
