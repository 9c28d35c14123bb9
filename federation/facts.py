"""`/activities/{id}`: one of our facts as the activity that told it, for whoever may read what it is about (K3).

What is about a post is there while the asker may read the post; a gesture, only for servers; a vote and how a poll
stands, only for those who were told. Taking back is there
for whoever was told, or for all when the post was for all. Everything else, such as an invitation, is there for the
server to which it was told and for nobody else.
"""

from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import msgspec

from federation.composing import ABOUT_POLLS, ABOUT_POSTS, Receiver, compose
from federation.documents.activities import Fact, Message, by_author, for_plain
from federation.documents.posts import Told, alone, read_told
from federation.instance import Instance
from federation.outbox import deliver, inbox_of_instance
from federation.proving import proved
from federation.relaying import relayed
from server import database as db
from server.clock import now_ms
from server.errors import Conflict, NotFound
from server.events import Kind
from server.queries import posts, sides
from server.queries.withdrawn import was_public, was_told
from server.viewer import PeerServer, Viewer, side_of

GESTURES = frozenset({Kind.REACTED, Kind.REACTION_UNDONE})
SUFFIXES = ("", "/announce", "/mirror")
"""The activity of its author; that of the space which passes it on; that in which a space tells it itself."""


async def told(instance: Instance, viewer: Viewer, event_id: int, suffix: str) -> dict[str, Any]:
    """The activity at this address. Raises NotFound: also when this viewer may not have it."""
    fact, row = await _read(event_id)
    if fact.kind in ABOUT_POSTS:
        return await _about_post(instance, viewer, fact, row, suffix)
    if suffix or not isinstance(viewer, PeerServer) or not await was_told(viewer, fact.id):
        raise NotFound(detail="told to somebody else")
    peer = await db.fetch_one("SELECT host FROM peer WHERE id = $1", viewer.peer_id)
    sealed = await compose(instance, fact.id, Receiver(viewer.peer_id, peer["host"] if peer else "", viewer.linked))
    if sealed is None:
        raise NotFound(detail="may not be told any more")
    document: dict[str, Any] = msgspec.json.decode(sealed.body)
    return document


async def mirror(instance: Instance, viewer: Viewer, post_id: int) -> dict[str, Any]:
    """The Note in which a space tells a post itself. Raises NotFound: also where it tells posts in another way."""
    await posts.find(viewer, post_id)
    row = await db.fetch_one(
        "SELECT MIN(id) AS id FROM event WHERE post_id = $1 AND kind = $2", post_id, Kind.POST_PUBLISHED.value
    )
    post = await read_told(post_id)
    if row is None or row["id"] is None or post is None or not post.space_uri or post.space_peer_id is not None:
        raise NotFound(detail="not told by a space of ours")
    fact, _ = await _read(row["id"])
    message = for_plain(fact, post, instance.here)
    inner = message.document["object"] if message else None
    if not isinstance(inner, dict):
        raise NotFound(detail="told by its address")
    return alone(inner)


async def replica(instance: Instance, viewer: Viewer, post_id: int) -> dict[str, Any]:
    """The relay of a post as it stands in a space of ours, its author's words as they came. Raises NotFound.

    For a linked instance that may read it now: one with a member in the space, that the space names.
    """
    if not isinstance(viewer, PeerServer) or not viewer.linked:
        raise NotFound(detail="for linked instances")
    await posts.find(viewer, post_id)
    post = await read_told(post_id)
    row = await db.fetch_one(
        "SELECT MAX(id) AS id FROM event WHERE post_id = $1 AND kind IN ('post_published', 'post_edited')", post_id
    )
    if post is None or row is None or row["id"] is None or not post.space_uri or post.space_peer_id is not None:
        raise NotFound(detail="not told by a space of ours")
    fact, event = await _read(row["id"])
    document = (await relayed(instance, fact, post, viewer.peer_id)).document
    await _had(event, viewer.peer_id)
    return document


async def _had(event: dict[str, Any], peer_id: int) -> None:
    """Who has a post because they asked for it is as if told: what is taken back is taken back from them, too."""
    known = await db.fetch_one(
        "SELECT d.id FROM event e CROSS JOIN delivery d WHERE d.event_id = e.id AND e.post_id = $1"
        " AND d.peer_id + 0 = $2 AND e.kind IN ('post_published', 'post_edited') AND d.state IN ('sent', 'pending')"
        " LIMIT 1",
        event["post_id"],
        peer_id,
    )
    inbox = await inbox_of_instance(peer_id)
    if known is not None or not inbox:
        return
    with suppress(Conflict):  # asked for twice at once
        async with db.transaction():
            if not await _sent(event["id"], peer_id):
                await deliver(event, [(peer_id, inbox)])
                await _sent(event["id"], peer_id)


async def _sent(event_id: int, peer_id: int) -> int:
    return await db.execute(
        "UPDATE delivery SET state = 'sent', error = '', attempts = attempts + 1, done_at = $1"
        " WHERE event_id = $2 AND peer_id = $3",
        now_ms(),
        event_id,
        peer_id,
    )


async def _about_post(
    instance: Instance, viewer: Viewer, fact: Fact, row: dict[str, Any], suffix: str
) -> dict[str, Any]:
    await _demand(viewer, fact, row)
    post = await read_told(row["post_id"])
    if post is None or (fact.kind in ABOUT_POLLS and post.poll is None):
        raise NotFound(detail="no such post")
    address = instance.here.activity(fact.id) + suffix
    async for message in _messages(instance, viewer, fact, row, post):
        if message.document["id"] == address:
            return await proved(instance, message)
    raise NotFound(detail="not told in that way")


async def _demand(viewer: Viewer, fact: Fact, row: dict[str, Any]) -> None:
    if fact.kind is Kind.POST_WITHDRAWN:
        if not await was_public(row["post_id"]) and not await was_told(viewer, fact.id):
            raise NotFound(detail="what was taken back is there for those who had it")
        return
    if fact.kind in ABOUT_POLLS and not await was_told(viewer, fact.id):
        raise NotFound(detail="votes and counts are for those who were told")
    if fact.kind is Kind.VOTED:
        return  # who counts it has the poll
    await posts.find(viewer, row["post_id"])
    if fact.kind in GESTURES and not isinstance(viewer, PeerServer):
        raise NotFound(detail="gestures are not for the web")
    if fact.kind in GESTURES and not await sides.gestures_for(side_of(viewer), [(row["post_id"], row["actor_id"])]):
        raise NotFound(detail="the gesture of a partner who is not there for this one")
    if fact.kind is Kind.REACTED and not await _still_there(row):
        raise NotFound(detail="the gesture was taken back")


async def _still_there(row: dict[str, Any]) -> bool:
    reaction = await db.fetch_one(
        "SELECT id FROM reaction WHERE post_id = $1 AND uri = $2", row["post_id"], f"event:{row['id']}"
    )
    return reaction is not None


async def _messages(
    instance: Instance, viewer: Viewer, fact: Fact, row: dict[str, Any], post: Told
) -> AsyncIterator[Message]:
    """Every way in which this fact is told to servers like the one that asks."""
    if row["a_peer"] is None and (fact.kind is not Kind.TALLIED or not post.space_uri):
        yield by_author(fact, post, instance.here)
    if post.space_uri and post.space_peer_id is None:
        if isinstance(viewer, PeerServer) and viewer.linked:
            yield await relayed(instance, fact, post, viewer.peer_id)
        else:
            plain = for_plain(fact, post, instance.here)
            if plain is not None:
                yield plain


async def _read(event_id: int) -> tuple[Fact, dict[str, Any]]:
    row = await db.fetch_one(
        "SELECT e.*, a.uri AS a_uri, a.peer_id AS a_peer, g.uri AS s_uri, g.followers_uri AS s_members FROM event e"
        " LEFT JOIN actor a ON a.id = e.actor_id LEFT JOIN space s ON s.id = e.space_id"
        " LEFT JOIN actor g ON g.id = s.actor_id WHERE e.id = $1",
        event_id,
    )
    if row is None:
        raise NotFound(detail="no such activity")
    fact = Fact(
        id=row["id"],
        kind=Kind(row["kind"]),
        created_at=row["created_at"],
        actor_uri=row["a_uri"] or "",
        space_uri=row["s_uri"] or "",
        space_members=row["s_members"] or "",
        data=msgspec.json.decode(row["data"]),
        original=row["original"],
    )
    return fact, row
