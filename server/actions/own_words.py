"""What our own people said and our database no longer knows, because it was put back: said again as it was.

The caller has proved that they said it. It is written under its old address and with its old fact, so whoever heard
it then hears nothing new, and whoever asks for it twice changes nothing. Files and votes do not come
back.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from server import database as db
from server.actions.gestures import Place, gesture, ungesture
from server.actions.naming import side_for
from server.actions.poll_rows import NewPoll
from server.actions.post_rows import join_answers, replace, stamp_of, take_back, write, write_names
from server.errors import NotFound
from server.events import Kind, record
from server.queries import spaces
from server.text import plain
from server.viewer import Operator


@dataclass(frozen=True, slots=True)
class Again:
    """A post as it was: `event_id` is its fact's old number, `post_id` that of its address."""

    event_id: int
    post_id: int
    uri: str
    author_id: int
    space_id: int
    html: str
    published_at: int
    edited_at: int | None = None
    summary: str = ""
    language: str = ""
    reply_to_uri: str = ""
    mentioned: Sequence[int] = ()
    poll: NewPoll | None = None


async def is_known(event_id: int) -> bool:
    """Whether the fact with this number is here: then nothing of it was lost."""
    return bool(await db.fetch_one("SELECT id FROM event WHERE id = $1", event_id))


async def published(again: Again) -> None:
    """A post comes back, or its newer version does; one that was taken back here stays away."""
    async with db.together():
        row = await db.fetch_one(
            "SELECT id, author_id, space_id, html, source, edited_at, deleted_at FROM post WHERE uri = $1", again.uri
        )
        if row is None:
            await _write(again)
        elif row["deleted_at"] is None and row["author_id"] == again.author_id and row["space_id"] == again.space_id:
            await _said_better(row, again)


async def _write(again: Again) -> None:
    space = await spaces.find_by_id(Operator(), again.space_id)
    parent = await db.fetch_one(
        "SELECT id, root_id, author_id, side FROM post WHERE uri = $1 AND space_id = $2 AND deleted_at IS NULL",
        again.reply_to_uri,
        again.space_id,
    )
    answered = _Answered(parent["id"], parent["root_id"], parent["author_id"]) if parent else None
    said = {
        "html": again.html,
        "source": plain(again.html),
        "summary": again.summary,
        "language": again.language,
        "reply_to_uri": again.reply_to_uri,
        "published_at": again.published_at,
        "edited_at": again.edited_at,
        **await stamp_of(space, again.published_at),
        "side": await side_for("", space, parent["side"] if parent else "", again.mentioned),
    }
    await write(again.post_id, again.uri, again.author_id, space, answered, None, said, again.poll)
    root_id = (answered.root_id or answered.id) if answered else None
    await join_answers(again.space_id, {again.uri: (again.post_id, root_id)})
    await write_names(again.post_id, again.mentioned)
    await record(
        Kind.POST_PUBLISHED,
        actor_id=again.author_id,
        space_id=again.space_id,
        post_id=again.post_id,
        event_id=again.event_id,
    )


@dataclass(frozen=True, slots=True)
class _Answered:
    id: int
    root_id: int | None
    author_id: int


async def _said_better(row: dict[str, object], again: Again) -> None:
    if again.edited_at is None or again.edited_at <= int(str(row["edited_at"] or 0)):
        return
    old_html, old_source = str(row["html"]), str(row["source"])
    await replace(again.post_id, old_html, old_source, again.html, plain(again.html), again.edited_at)
    await record(
        Kind.POST_EDITED,
        actor_id=again.author_id,
        space_id=again.space_id,
        post_id=again.post_id,
        event_id=again.event_id,
    )


async def withdrawn(author_id: int, uri: str, event_id: int) -> None:
    """A post of ours was taken back, and so it is again."""
    async with db.together():
        row = await db.fetch_one("SELECT id, author_id, space_id, deleted_at FROM post WHERE uri = $1", uri)
        if row is not None and row["author_id"] == author_id and row["deleted_at"] is None:
            await take_back(row["id"], author_id, row["space_id"], event_id=event_id)


async def reacted(actor_id: int, post_uri: str, space_id: int, emoji: str, event_id: int) -> None:
    """A gesture comes back. Raises NotFound while the post is not here."""
    async with db.together():
        await gesture(await _place(post_uri, space_id), actor_id, emoji, event_id=event_id)


async def unreacted(actor_id: int, post_uri: str, space_id: int, emoji: str, undone_id: int, event_id: int) -> None:
    """The gesture with that fact was taken back; one that was made since stays."""
    async with db.together():
        place = await _place(post_uri, space_id)
        held = await db.fetch_one(
            "SELECT uri FROM reaction WHERE post_id = $1 AND actor_id = $2 AND emoji = $3",
            place.post_id,
            actor_id,
            emoji,
        )
        if held is not None and held["uri"] == f"event:{undone_id}":
            await ungesture(place, actor_id, emoji, event_id=event_id)


async def _place(post_uri: str, space_id: int) -> Place:
    row = await db.fetch_one(
        "SELECT id, author_id FROM post WHERE uri = $1 AND space_id = $2 AND deleted_at IS NULL", post_uri, space_id
    )
    if row is None:
        raise NotFound(detail="not here, or no more")
    return Place(row["id"], row["author_id"], space_id)
