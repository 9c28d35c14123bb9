"""What somebody from outside writes first waits for a steward: noted here, decided in `server.actions.moderation`.

While it waits there is no fact of it, so nothing is told, delivered or noticed; its author and those who decide read
it, by the policy.
"""

import msgspec

from server import database as db
from server.actions.notices import notify
from server.clock import now_ms
from server.events import Kind, record
from server.queries.spaces import SeenSpace


async def must_wait(space: SeenSpace, author_id: int) -> bool:
    """Whether what this author writes now waits: so many of their first posts do, where the space's row says so.

    Whoever was once let through so often is not asked again; a post that was refused counts for nothing.
    """
    if not space.hosted_here or not space.rights().moderated:
        return False
    row = await db.fetch_one(
        "SELECT s.first_posts_moderated AS wanted, (SELECT COUNT(*) FROM post p WHERE p.space_id = s.id"
        " AND p.author_id = $2 AND p.held_at IS NULL AND p.deleted_at IS NULL) AS passed FROM space s WHERE s.id = $1",
        space.id,
        author_id,
    )
    return row is not None and row["passed"] < row["wanted"]


async def hold(space: SeenSpace, post_id: int, author_id: int, original: str) -> None:
    """In the transaction that wrote the post: it waits, stewards have a notice, its author is told."""
    activity = _id_of(original)
    await db.insert(
        "held_post",
        {"post_id": post_id, "activity_uri": activity, "original": msgspec.json.encode([original]).decode()},
    )
    stewards = await db.fetch(
        "SELECT actor_id FROM membership WHERE space_id = $1 AND state = 'member' AND role IN ('steward', 'owner')"
        " AND peer_id IS NULL",
        space.id,
    )
    whom = [row["actor_id"] for row in stewards]
    await notify(whom, "held", key=f"held:{post_id}", by=author_id, post_id=post_id, space_id=space.id)
    await tell_author(Kind.POST_HELD, space, author_id, activity)


async def tell_author(kind: Kind, space: SeenSpace, author_id: int, activity: str, reason: str = "") -> None:
    """Says to the author's instance what became of the activity that brought the post; nothing for one of ours."""
    elsewhere = await db.fetch_one("SELECT id FROM actor WHERE id = $1 AND peer_id IS NOT NULL", author_id)
    if activity and elsewhere:
        data = {"author": author_id, "activity": activity} | ({"reason": reason} if reason else {})
        await record(kind, actor_id=space.actor_id, space_id=space.id, data=data)


async def edited(post_id: int, original: str) -> bool:
    """In the transaction of an edit: keeps its activity until the post is decided. False when it does not wait."""
    row = await db.fetch_one("SELECT original FROM held_post WHERE post_id = $1", post_id)
    if row is None:
        return False
    came: list[str] = msgspec.json.decode(row["original"])
    kept = msgspec.json.encode([came[0], original]).decode()
    await db.execute("UPDATE held_post SET original = $1 WHERE post_id = $2", kept, post_id)
    return True


async def forget(post_id: int) -> bool:
    """A post that is taken back waits no longer. False when it did not wait; else nobody has heard of it."""
    await db.execute("DELETE FROM notice WHERE post_id = $1 AND kind = 'held'", post_id)
    return bool(await db.execute("DELETE FROM held_post WHERE post_id = $1", post_id))


def _id_of(original: str) -> str:
    """The id of the activity that brought a post."""
    try:
        whole = msgspec.json.decode(original) if original else {}
    except msgspec.DecodeError:
        return ""
    uri = whole.get("id") if isinstance(whole, dict) else None
    return uri if isinstance(uri, str) and len(uri) <= 512 else ""


async def decided(uri: str, space_id: int, *, held: bool, at: int | None = None) -> int | None:
    """The host of a space elsewhere says what became of a post of ours there; the post's id, None for none of ours."""
    rows = await db.fetch(
        "UPDATE post SET held_at = $1 WHERE uri = $2 AND space_id = $3 AND peer_id IS NULL AND deleted_at IS NULL"
        " RETURNING id",
        (at or now_ms()) if held else None,
        uri,
        space_id,
    )
    return rows[0]["id"] if rows else None
