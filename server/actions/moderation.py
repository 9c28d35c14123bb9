"""What waits in a space is let through or refused, by those who run it; once, and both are noted."""

from dataclasses import dataclass
from functools import partial

import msgspec

from server import database as db
from server import live
from server.actions import file_bytes, holding, naming, poll_rows
from server.actions.audit import note
from server.actions.notices import notify
from server.errors import Conflict, Invalid, NotFound
from server.events import Kind, record
from server.policy import Act
from server.queries import spaces
from server.queries.spaces import SeenSpace
from server.refusals import N_
from server.viewer import PeerServer, Resident

NEEDS_REASON = N_("Dites pourquoi : la personne qui a écrit le lira.")
LONG_REASON = N_("Une raison a au plus %(limit)s caractères.")
DECIDED = N_("Ce message n’attend plus : quelqu’un en a décidé.")
REASON_CHARACTERS = 500


@dataclass(frozen=True, slots=True)
class _Held:
    author_id: int
    activity: str
    came: list[str]


async def approve(viewer: Resident, space_id: int, post_id: int) -> None:
    """Lets a post through: from this commit on it is published, once. Raises NotFound, Forbidden or Conflict."""
    async with db.transaction():
        space = await _led(viewer, space_id)
        held = await _taken(space, post_id, "UPDATE post SET held_at = NULL")
        await naming.tell_named(post_id, held.author_id, space)
        for kind, original in zip((Kind.POST_PUBLISHED, Kind.POST_EDITED), held.came, strict=False):
            await record(kind, actor_id=held.author_id, space_id=space.id, post_id=post_id, original=original)
        await holding.tell_author(Kind.POST_APPROVED, space, held.author_id, held.activity)
        await note(viewer, "approve_post", subject=str(post_id), space_id=space.id)


async def refuse(viewer: Resident, space_id: int, post_id: int, reason: str) -> None:
    """Takes a post out of those that wait, and tells its author why. Raises Invalid without a reason, NotFound,
    Forbidden or Conflict.
    """
    reason = " ".join(reason.split())
    if not reason:
        raise Invalid(NEEDS_REASON, field="reason")
    if len(reason) > REASON_CHARACTERS:
        raise Invalid(LONG_REASON, field="reason", params={"limit": REASON_CHARACTERS})
    async with db.transaction():
        space = await _led(viewer, space_id)
        held = await _taken(
            space, post_id, "UPDATE post SET deleted_at = held_at, html = '', source = '', summary = ''"
        )
        for table in ("post_version", "mention", "reaction", "search_row", *poll_rows.TABLES):
            await db.execute(f"DELETE FROM {table} WHERE post_id = $1", post_id)
        await file_bytes.leave(post_id)
        await holding.tell_author(Kind.POST_REFUSED, space, held.author_id, held.activity, reason)
        await _tell_here(held.author_id, space.id, f"refused:{post_id}", reason)
        await note(viewer, "refuse_post", subject=str(post_id), space_id=space.id, reason=reason)


async def told(viewer: PeerServer, space_uri: str, post_uri: str, kind: Kind, reason: str = "") -> None:
    """The host of a space elsewhere says what became of what one of ours wrote there. Raises NotFound."""
    async with db.transaction():
        space = await spaces.find_by_uri(viewer, space_uri)
        if space.facts.peer_id != viewer.peer_id:
            raise NotFound(detail="not its host (I8)")
        post_id = await holding.decided(post_uri, space.id, held=kind is not Kind.POST_APPROVED)
        if post_id is None:
            raise NotFound(detail="nothing of ours there")
        if kind is Kind.POST_REFUSED:
            row = await db.fetch_one("SELECT author_id FROM post WHERE id = $1", post_id)
            assert row is not None
            text = "".join(filter(str.isprintable, reason))[:REASON_CHARACTERS]
            await _tell_here(row["author_id"], space.id, f"refused:{post_id}", text, post_id)


async def _led(viewer: Resident, space_id: int) -> SeenSpace:
    space = await spaces.find_by_id(viewer, space_id)
    space.demand(viewer, Act.ADMIT_MEMBERS)
    return space


async def _taken(space: SeenSpace, post_id: int, change: str) -> _Held:
    """Takes a post out of those that wait, in one statement: of two at once one goes on. Raises NotFound, Conflict."""
    rows = await db.fetch(
        f"{change} WHERE id = $1 AND space_id = $2 AND held_at IS NOT NULL AND deleted_at IS NULL RETURNING author_id",
        post_id,
        space.id,
    )
    row = await db.fetch_one("SELECT activity_uri, original FROM held_post WHERE post_id = $1", post_id)
    if not rows or row is None:
        here = await db.fetch_one("SELECT id FROM post WHERE id = $1 AND space_id = $2", post_id, space.id)
        raise Conflict(DECIDED) if here else NotFound(detail="nothing that waits there")
    await holding.forget(post_id)
    return _Held(rows[0]["author_id"], row["activity_uri"], msgspec.json.decode(row["original"]))


async def _tell_here(author_id: int, space_id: int, key: str, reason: str, post_id: int | None = None) -> None:
    """One of ours, or a guest, reads why."""
    if not await db.fetch_one("SELECT id FROM actor WHERE id = $1 AND peer_id IS NULL", author_id):
        return
    await notify([author_id], "refused", key=key, space_id=space_id, post_id=post_id)
    await db.execute("UPDATE notice SET words = $1 WHERE actor_id = $2 AND key = $3", reason, author_id, key)
    db.after_commit(partial(live.publish, live.Fact("notice", actor_id=author_id)))
