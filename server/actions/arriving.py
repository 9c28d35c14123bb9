"""What somebody elsewhere says, says better or takes back: rows, the fact and notices, in one transaction.

The caller has verified who speaks; whether they may is asked here, as it is of our own people.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from server import database as db
from server import live
from server.actions import holding
from server.actions.naming import side_for, tell_named
from server.actions.post_rows import hash_of, peer_of, replace, take_back, write, write_names
from server.clock import now_ms
from server.errors import Conflict, NotFound
from server.events import Kind, record
from server.ids import new_id
from server.limits import ATTACHMENTS
from server.openness import Visibility
from server.policy import Act
from server.queries import spaces
from server.viewer import PeerServer, RemotePerson, side_of

WITHDRAWALS_PER_PEER = 10_000
"""Posts of one instance that were taken back before they came and are remembered: the newest."""
FUTURE_MS = 10 * 60 * 1000
"""How far ahead of our clock a date from elsewhere may be; later ones are taken as now (R20)."""


@dataclass(frozen=True, slots=True)
class ArrivedFile:
    """A file of somebody elsewhere, by its address; its bytes follow."""

    uri: str
    name: str
    media_type: str
    size: int = 0
    description: str = ""
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Arrived:
    """What somebody elsewhere said: HTML already cleaned, actors already known."""

    uri: str
    html: str
    published_at: int
    summary: str = ""
    language: str = ""
    reply_to_uri: str = ""
    mentioned: Sequence[int] = ()
    files: Sequence[ArrivedFile] = field(default_factory=tuple)
    visibility: Visibility | None = None
    edited_at: int | None = None
    byline: str = ""  # as whom a space elsewhere speaks
    original: str = ""  # the activity as it came, for the relay
    attested_by: int | None = None  # the peer on whose word the author is believed


async def receive(viewer: RemotePerson | PeerServer, author_id: int, arrived: Arrived, space_id: int | None) -> int:
    """Somebody elsewhere said something. Twice the same is once: the first id comes back.

    `viewer` is the author with their own right, or the server that hosts the space and speaks for it.
    Raises NotFound or Forbidden when they may not.
    """
    async with db.together():
        if await _was_withdrawn(author_id, arrived.uri):
            raise NotFound(detail="it was taken back before it came (D4)")
        parent = await _parent(arrived.reply_to_uri, space_id)
        space = await spaces.find_by_id(viewer, space_id) if space_id else None
        if space is not None and space.hosted_here:
            space.demand(viewer, Act.REPLY if parent else Act.POST)
        post_id = new_id()
        waits = space is not None and await holding.must_wait(space, author_id)
        new = await write(
            post_id,
            arrived.uri,
            author_id,
            space,
            parent,
            arrived.visibility,
            {
                "html": arrived.html,
                "summary": arrived.summary[:500],
                "language": arrived.language[:16],
                "reply_to_uri": arrived.reply_to_uri[:512],
                "published_at": await _published(author_id, arrived, space, parent),
                "edited_at": arrived.edited_at,
                "side": await side_for(side_of(viewer), space, "", ()),
                "held_at": now_ms() if waits else None,
                "byline": arrived.byline if space is not None and not space.hosted_here else "",
                "peer_id": await peer_of(author_id, viewer),
                "attested_by_id": arrived.attested_by,
            },
        )
        if not new:
            return await _the_same(arrived.uri, author_id)
        await _arrive(post_id, author_id, arrived.files)
        await write_names(post_id, arrived.mentioned)
        if waits and space is not None:
            await holding.hold(space, post_id, author_id, arrived.original)
            return post_id
        await tell_named(post_id, author_id, space)
        await record(
            Kind.POST_PUBLISHED,
            actor_id=author_id,
            space_id=space.id if space else None,
            post_id=post_id,
            original=arrived.original,
        )
        return post_id


async def receive_edit(viewer: RemotePerson | PeerServer, author_id: int, arrived: Arrived) -> None:
    """Somebody elsewhere says it better. An older version than ours, and what is not theirs, changes nothing."""
    async with db.together():
        row = await db.fetch_one(
            "SELECT id, author_id, space_id, edited_at, deleted_at, html FROM post WHERE uri = $1", arrived.uri
        )
        if row is None or row["author_id"] != author_id or row["deleted_at"] is not None:
            raise NotFound(detail="nothing of theirs to edit (O25)")
        space = await spaces.find_by_id(viewer, row["space_id"]) if row["space_id"] else None
        if space is not None and space.hosted_here:
            space.demand(viewer, Act.REPLY)  # who may no longer write may no longer edit (O18)
        said_at = min(arrived.edited_at or now_ms(), now_ms() + FUTURE_MS)
        if said_at <= (row["edited_at"] or 0):
            return
        await replace(row["id"], row["html"], "", arrived.html, "", said_at)
        await _arrive_again(row["id"], author_id, arrived.files)
        if await holding.edited(row["id"], arrived.original):
            return
        await record(
            Kind.POST_EDITED,
            actor_id=author_id,
            space_id=row["space_id"],
            post_id=row["id"],
            original=arrived.original,
        )


async def receive_withdrawal(author_id: int, uri: str, original: str = "") -> None:
    """Somebody elsewhere, or a steward of the space's host, takes a post back.

    An address not known here is remembered, so that a copy which comes late stays away (D4).
    """
    async with db.together():
        row = await db.fetch_one("SELECT id, author_id, space_id, deleted_at FROM post WHERE uri = $1", uri)
        if row is None:
            await _remember_withdrawal(author_id, uri)
        elif row["deleted_at"] is None:
            await take_back(row["id"], row["author_id"], row["space_id"], original)


@dataclass(frozen=True, slots=True)
class _Parent:
    id: int
    root_id: int | None
    author_id: int


async def _published(author_id: int, arrived: Arrived, space: spaces.SeenSpace | None, parent: "_Parent | None") -> int:
    """When it was written: as its author says, within what can be.

    Not in the future (R20). In a space of ours not before its author came in, nor before what they wrote there last,
    nor before what it answers: who may read back how far is decided by that date.
    """
    said = min(arrived.published_at, now_ms() + FUTURE_MS)
    if space is None or not space.hosted_here:
        return said
    earliest = await db.fetch_one(
        "SELECT (SELECT MAX(since_at) FROM membership WHERE space_id = $1 AND actor_id = $2) AS came,"
        " (SELECT MAX(p.published_at) FROM post p WHERE p.id = (SELECT MAX(id) FROM post WHERE author_id = $2"
        " AND space_id = $1)) AS wrote, (SELECT published_at FROM post WHERE id = $3) AS answered",
        space.id,
        author_id,
        parent.id if parent else 0,
    )
    dates = [date for date in (earliest or {}).values() if date is not None]
    return max(said, *dates) if dates else said


async def _parent(uri: str, space_id: int | None) -> "_Parent | None":
    """What an arrived post answers, when we hold it and it stands in the same place."""
    if not uri:
        return None
    row = await db.fetch_one("SELECT id, space_id, root_id, author_id FROM post WHERE uri = $1", uri)
    if row is None or row["space_id"] != space_id:
        return None
    return _Parent(row["id"], row["root_id"], row["author_id"])


async def _the_same(uri: str, author_id: int) -> int:
    """The post that was here already. Raises Conflict when its id is somebody else's (O27)."""
    before = await db.fetch_one("SELECT id, author_id FROM post WHERE uri = $1", uri)
    if before is None or before["author_id"] != author_id:
        raise Conflict(detail="the id belongs to somebody else's post (O27)")
    return int(before["id"])


async def _arrive(post_id: int, author_id: int, files: Sequence[ArrivedFile]) -> None:
    """Notes the files of somebody elsewhere, and that their bytes are to be fetched."""
    now = now_ms()
    for position, file in enumerate(files[:ATTACHMENTS]):
        file_id = new_id()
        await db.insert(
            "attachment",
            {
                "id": file_id,
                "owner_id": author_id,
                "post_id": post_id,
                "position": position,
                "name": file.name[:255],
                "media_type": file.media_type[:100],
                "size": file.size,
                "description": file.description,
                "digest": file.digest[:200],
                "source_uri": file.uri[:2048],
                "state": "waiting" if file.uri else "failed",
                "created_at": now,
            },
        )
        if not file.uri:
            continue
        job = {"id": new_id(), "kind": "fetch_file", "key": str(file_id), "due_at": now, "created_at": now}
        await db.insert("job", job)
        db.after_commit(partial(live.publish, live.Fact("file", post_id=post_id)))


async def _arrive_again(post_id: int, author_id: int, files: Sequence[ArrivedFile]) -> None:
    """After an edit elsewhere: files that are new are noted, files that are gone leave the post."""
    known = {
        row["source_uri"] for row in await db.fetch("SELECT source_uri FROM attachment WHERE post_id = $1", post_id)
    }
    for uri in known - {file.uri for file in files}:
        await db.execute("UPDATE attachment SET post_id = NULL WHERE post_id = $1 AND source_uri = $2", post_id, uri)
    await _arrive(post_id, author_id, [file for file in files if file.uri not in known])


async def _remember_withdrawal(author_id: int, uri: str) -> None:
    """Of what never came: so many of one instance, the newest, and no more."""
    peer_id = await peer_of(author_id)
    if peer_id is None:
        return
    row = {"id": new_id(), "peer_id": peer_id, "author_id": author_id, "uri_hash": hash_of(uri), "at": now_ms()}
    await db.insert_many("withdrawal", [row], ignore=True)
    await db.execute(
        "DELETE FROM withdrawal WHERE peer_id = $1 AND id <= (SELECT id FROM withdrawal WHERE peer_id = $2"
        " ORDER BY id DESC LIMIT 1 OFFSET $3)",
        peer_id,
        peer_id,
        WITHDRAWALS_PER_PEER,
    )


async def _was_withdrawn(author_id: int, uri: str) -> bool:
    """Whether its author took it back before it came (D4)."""
    row = await db.fetch_one("SELECT author_id FROM withdrawal WHERE uri_hash = $1", hash_of(uri))
    return row is not None and row["author_id"] == author_id
