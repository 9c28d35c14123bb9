"""Publish, edit, withdraw, react: the same verbs for our own people and for people elsewhere.

Every verb asks the policy first, then changes rows, writes the fact and leaves notices, in one transaction.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from server import database as db
from server import live
from server.actions import holding, recalls
from server.actions.finding import make_findable
from server.actions.notices import forget, notify
from server.clock import now_ms
from server.errors import Conflict, Forbidden, Invalid, NotFound
from server.events import Kind, record
from server.ids import Addresses, new_id
from server.limits import ATTACHMENTS
from server.openness import Read, Variant, Visibility
from server.policy import Act, Standing, audience_of, rights
from server.queries import people, posts, sides, spaces
from server.refusals import N_
from server.sql import Clause, one_of
from server.text import MentionTarget, find_mentions, render
from server.viewer import Employee, Guest, PeerServer, RemotePerson, Resident, Viewer, side_of

EMPTY = N_("Votre message est vide : écrivez quelque chose, ou joignez un fichier.")
NO_SUCH_FILE = N_("Un des fichiers joints n’existe pas, ou n’est pas à vous.")
TOO_MANY_FILES = N_("Un message porte au plus %(limit)s fichiers.")
WAITS = N_("Ce message attend d’être validé : on n’y répond pas encore.")
TWO_SIDES = N_(
    "Ce message nomme des personnes de plusieurs organisations, qui ne se voient pas entre elles dans cet espace. "
    "Il suffirait d’un message pour chacune."
)
READ_BY_OTHERS = N_(
    "Ce message est déjà lu dans l’espace : y nommer quelqu’un d’un partenaire le ferait voir aux autres, qui ne se "
    "voient pas entre eux. Il suffirait d’un nouveau message."
)
GUESTS_IN_SPACES = N_("Vous êtes ici l’invité·e d’espaces : c’est dans l’un d’eux que vous publiez.")
EMOJI_BYTES = 64
WITHDRAWALS_PER_PEER = 10_000
"""Posts of one instance that were taken back before they came and are remembered: the newest."""
UNDONE = "taken back"
"""What became of a gesture's activity that was undone, as its receipt says for ever."""
FUTURE_MS = 10 * 60 * 1000
"""How far ahead of our clock a date from elsewhere may be; later ones are taken as now (R20)."""


@dataclass(frozen=True, slots=True)
class Draft:
    """What one of our people wants to say, and where."""

    source: str
    space_id: int | None = None
    visibility: Visibility = Visibility.COLLEAGUES
    reply_to_id: int | None = None
    file_ids: Sequence[int] = ()
    summary: str = ""
    language: str = ""
    client_key: str | None = None


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


async def publish(viewer: Resident, draft: Draft, here: Addresses) -> int:
    """One of our people says something; returns the post's id, the same one for the same `client_key`.

    Raises NotFound, Forbidden, Invalid or TooLarge, each with a sentence.
    """
    async with db.together():
        said = await _said_before(viewer, draft.client_key)
        if said is not None:
            return said
        parent = await posts.find(viewer, draft.reply_to_id) if draft.reply_to_id else None
        space = await _place(viewer, draft, parent)
        visibility = None if space else (Visibility(parent.visibility) if parent else draft.visibility)
        if not draft.source.strip() and not draft.file_ids:
            raise Invalid(EMPTY, field="status")
        rendered = render(draft.source, await _nameable(viewer, draft.source, space, here))
        side = await _side(side_of(viewer), space, parent.facts.side if parent else "", rendered.mentions)
        post_id = new_id()
        await _write(
            post_id,
            here.post(post_id),
            viewer.actor_id,
            space,
            parent,
            visibility,
            {
                "source": draft.source,
                "html": rendered.html,
                "summary": draft.summary,
                "language": draft.language,
                "client_key": draft.client_key,
                "side": side,
                "published_at": now_ms(),
            },
        )
        await _attach(viewer, post_id, draft.file_ids)
        await _write_names(post_id, rendered.mentions)
        await tell_named(post_id, viewer.actor_id, space)
        await record(
            Kind.POST_PUBLISHED, actor_id=viewer.actor_id, space_id=space.id if space else None, post_id=post_id
        )
        return post_id


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
        new = await _write(
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
                "side": await _side(side_of(viewer), space, "", ()),
                "held_at": now_ms() if waits else None,
                "byline": arrived.byline if space is not None and not space.hosted_here else "",
                "peer_id": await _peer_of(author_id, viewer),
                "attested_by_id": arrived.attested_by,
            },
        )
        if not new:
            return await _the_same(arrived.uri, author_id)
        await _arrive(post_id, author_id, arrived.files)
        await _write_names(post_id, arrived.mentioned)
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


async def edit(viewer: Resident, post_id: int, source: str, here: Addresses, language: str = "") -> None:
    """Says it better; what it said before is kept for those who may read it."""
    async with db.together():
        post = await posts.find(viewer, post_id)
        post.demand(viewer, Act.EDIT_POST)
        if not source.strip() and not await db.fetch_one("SELECT id FROM attachment WHERE post_id = $1", post_id):
            raise Invalid(EMPTY, field="status")
        if source == post.source:
            return
        rendered = render(source, await _nameable(viewer, source, post.space, here))
        await _same_side(viewer, post, rendered.mentions)
        await _replace(post.id, post.html, post.source, rendered.html, source, now_ms())
        await db.execute("DELETE FROM mention WHERE post_id = $1", post_id)
        await _write_names(post_id, rendered.mentions)
        await tell_named(post_id, viewer.actor_id, post.space, answered=False)
        await record(
            Kind.POST_EDITED,
            actor_id=viewer.actor_id,
            space_id=post.space.id if post.space else None,
            post_id=post_id,
        )


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
        await _replace(row["id"], row["html"], "", arrived.html, "", said_at)
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


async def withdraw(viewer: Viewer, post_id: int) -> None:
    """Takes a post back: nobody reads it from now on, and whoever was sent it is told so."""
    async with db.together():
        post = await posts.find(viewer, post_id)
        post.demand(viewer, Act.WITHDRAW_POST)
        await _withdrawn(post.id, post.author_id, post.space.id if post.space else None)
        by_author = isinstance(viewer, (Employee, RemotePerson)) and viewer.actor_id == post.author_id
        if post.space is not None and post.space.hosted_here and not by_author:
            await recalls.take_back_item(viewer, post.space.id, post.id)


async def expire(post_id: int) -> None:
    """A post has had its time in its space: it goes as if its author had taken it back."""
    async with db.together():
        row = await db.fetch_one("SELECT author_id, space_id FROM post WHERE id = $1 AND deleted_at IS NULL", post_id)
        if row is not None:
            await _withdrawn(post_id, row["author_id"], row["space_id"])


async def receive_withdrawal(author_id: int, uri: str, original: str = "") -> None:
    """Somebody elsewhere, or a steward of the space's host, takes a post back.

    An address not known here is remembered, so that a copy which comes late stays away (D4).
    """
    async with db.together():
        row = await db.fetch_one("SELECT id, author_id, space_id, deleted_at FROM post WHERE uri = $1", uri)
        if row is None:
            await _remember_withdrawal(author_id, uri)
        elif row["deleted_at"] is None:
            await _withdrawn(row["id"], row["author_id"], row["space_id"], original)


async def react(
    viewer: Resident | RemotePerson, post_id: int, emoji: str = "", uri: str = "", original: str = ""
) -> None:
    """Answers with a gesture; doing it twice is once. An empty emoji is the plain thank-you."""
    if len(emoji.encode()) > EMOJI_BYTES:
        raise Invalid(N_("Ce symbole est trop long."), field="emoji")
    async with db.together():
        post = await posts.find(viewer, post_id)
        post.demand(viewer, Act.REACT)
        if post.facts.held:
            raise Forbidden(WAITS)
        where = Place(post.id, post.author_id, post.space.id if post.space else None)
        side = side_of(viewer) if post.space and post.space.hosted_here else ""
        await gesture(where, viewer.actor_id, emoji, uri, original, side)


@dataclass(frozen=True, slots=True)
class Place:
    """A post that was found by its right, and where it stands."""

    post_id: int
    author_id: int
    space_id: int | None


async def gesture(place: Place, actor_id: int, emoji: str, uri: str, original: str = "", side: str = "") -> None:
    """Writes a reaction that the caller has allowed; the same one again changes nothing.

    `uri` is the id of the activity elsewhere that says it; one of our own is named by its fact.
    """
    event_id = new_id()
    if uri and await _was_undone(uri):
        return  # told again by somebody else: its author took it back since
    uri = uri or f"event:{event_id}"
    new = await db.fetch(
        "INSERT INTO reaction (id, post_id, actor_id, emoji, uri, side, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7)"
        " ON CONFLICT DO NOTHING RETURNING id",
        new_id(),
        place.post_id,
        actor_id,
        emoji,
        uri[:512],
        side,
        now_ms(),
    )
    if not new:
        return
    where = {"post_id": place.post_id, "space_id": place.space_id}
    if await _is_ours(place.author_id):
        await notify([place.author_id], "reaction", key=f"reaction:{place.post_id}:{actor_id}", by=actor_id, **where)
    data = {"emoji": emoji, "uri": uri}
    await record(Kind.REACTED, actor_id=actor_id, data=data, original=original, event_id=event_id, **where)


async def unreact(viewer: Resident | RemotePerson, post_id: int, emoji: str = "") -> None:
    """Takes the gesture back."""
    async with db.together():
        post = await posts.find(viewer, post_id)
        await ungesture(Place(post.id, post.author_id, post.space.id if post.space else None), viewer.actor_id, emoji)


async def ungesture(place: Place, actor_id: int, emoji: str, original: str = "") -> None:
    """Takes one reaction of an actor back."""
    gone = await db.fetch(
        "DELETE FROM reaction WHERE post_id = $1 AND actor_id = $2 AND emoji = $3 RETURNING uri",
        place.post_id,
        actor_id,
        emoji,
    )
    for row in gone:
        await _remember_undone(row["uri"], actor_id)
        await forget(place.author_id, f"reaction:{place.post_id}:{actor_id}")
        await record(
            Kind.REACTION_UNDONE,
            actor_id=actor_id,
            post_id=place.post_id,
            space_id=place.space_id,
            data={"emoji": emoji, "uri": row["uri"]},
            original=original,
        )


# --- the steps -----------------------------------------------------------------------------------


async def _remember_undone(uri: str, actor_id: int) -> None:
    """The activity of somebody elsewhere that was undone: whoever relays it again tells nothing new."""
    if uri.startswith("event:"):
        return
    who = await db.fetch_one("SELECT uri, peer_id FROM actor WHERE id = $1", actor_id)
    if who is None or who["peer_id"] is None:
        return
    await db.execute(
        "INSERT INTO receipt (id, activity_hash, peer_id, sender_uri, received_at, processed_at, outcome)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (activity_hash) DO UPDATE SET outcome = excluded.outcome",
        new_id(),
        _hash(uri),
        who["peer_id"],
        who["uri"],
        now_ms(),
        now_ms(),
        UNDONE,
    )


async def _was_undone(uri: str) -> bool:
    row = await db.fetch_one("SELECT outcome FROM receipt WHERE activity_hash = $1", _hash(uri))
    return row is not None and row["outcome"] == UNDONE


class _Answered(Protocol):
    """What a reply needs to know of the post that it answers."""

    @property
    def id(self) -> int: ...
    @property
    def root_id(self) -> int | None: ...
    @property
    def author_id(self) -> int: ...


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


async def _said_before(viewer: Resident, key: str | None) -> int | None:
    if key is None:
        return None
    row = await db.fetch_one("SELECT id FROM post WHERE author_id = $1 AND client_key = $2", viewer.actor_id, key)
    return int(row["id"]) if row else None


async def _place(viewer: Resident, draft: Draft, parent: posts.SeenPost | None) -> spaces.SeenSpace | None:
    """Where it will stand: a reply stands where its parent does."""
    if parent is not None:
        parent.demand(viewer, Act.REPLY)
        if parent.facts.held:
            raise Forbidden(WAITS)
        if isinstance(viewer, Guest) and parent.space is None and parent.visibility != Visibility.DIRECT:
            raise Forbidden(GUESTS_IN_SPACES)
        return parent.space
    if draft.space_id is None:
        if isinstance(viewer, Guest):
            raise Forbidden(GUESTS_IN_SPACES)
        return None
    space = await spaces.find_by_id(viewer, draft.space_id)
    space.demand(viewer, Act.POST)
    return space


async def _parent(uri: str, space_id: int | None) -> "_Parent | None":
    """What an arrived post answers, when we hold it and it stands in the same place."""
    if not uri:
        return None
    row = await db.fetch_one("SELECT id, space_id, root_id, author_id FROM post WHERE uri = $1", uri)
    if row is None or row["space_id"] != space_id:
        return None
    return _Parent(row["id"], row["root_id"], row["author_id"])


async def _write(
    post_id: int,
    uri: str,
    author_id: int,
    space: spaces.SeenSpace | None,
    parent: _Answered | None,
    visibility: Visibility | None,
    said: dict[str, object],
) -> bool:
    """Writes a post and its words, unless there is one with this uri; says whether it did."""
    new = await db.insert_new(
        "post",
        {
            "id": post_id,
            "uri": uri,
            "author_id": author_id,
            "space_id": space.id if space else None,
            "visibility": visibility.value if visibility else "",
            "reply_to_id": parent.id if parent else None,
            "root_id": (parent.root_id or parent.id) if parent else None,
            "stamp": space.facts.variant.value if space else "",
            "stamp_epoch": space.epoch if space else 0,
            "stamp_blind": space is not None and space.facts.blind,
            **said,
        },
        "uri",
    )
    if new:
        await make_findable(post_id, str(said["html"]))
    return new


async def _the_same(uri: str, author_id: int) -> int:
    """The post that was here already. Raises Conflict when its id is somebody else's (O27)."""
    before = await db.fetch_one("SELECT id, author_id FROM post WHERE uri = $1", uri)
    if before is None or before["author_id"] != author_id:
        raise Conflict(detail="the id belongs to somebody else's post (O27)")
    return int(before["id"])


async def _attach(viewer: Resident, post_id: int, file_ids: Sequence[int]) -> None:
    if len(file_ids) > ATTACHMENTS:
        raise Invalid(TOO_MANY_FILES, field="media_ids", params={"limit": ATTACHMENTS})
    for position, file_id in enumerate(file_ids):
        changed = await db.execute(
            "UPDATE attachment SET post_id = $1, position = $2 WHERE id = $3 AND owner_id = $4 AND post_id IS NULL",
            post_id,
            position,
            file_id,
            viewer.actor_id,
        )
        if not changed:
            raise Invalid(NO_SUCH_FILE, field="media_ids")


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


async def _side(author: str, space: spaces.SeenSpace | None, answered: str, mentioned: Sequence[int]) -> str:
    """The outside organisation that a post in a space of ours is from or, written by ours, for.

    Ours answer for the side of what they answer, and write for the one that they name. `author`: that of whoever
    writes, '' for ours. Raises Forbidden for what names people of two that do not see each other.
    """
    if space is None or not space.hosted_here:
        return ""
    if author:
        return author
    concerned = await sides.of_actors(mentioned) | ({answered} if answered else set())
    if len(concerned) > 1:
        if space.facts.blind:
            raise Forbidden(TWO_SIDES)
        return sides.SEVERAL
    return next(iter(concerned), "")


async def _same_side(viewer: Resident, post: posts.SeenPost, mentioned: Sequence[int]) -> None:
    """An edit names nobody before whom the post is not hidden from the others; raises Forbidden."""
    if post.space is None or not post.space.hosted_here or isinstance(viewer, Guest):
        return
    named = await sides.of_actors(mentioned)
    if named <= {post.facts.side}:
        return
    if post.space.facts.blind or post.facts.stamp_blind:
        raise Forbidden(READ_BY_OTHERS)
    side = await _side("", post.space, post.facts.side, mentioned)
    await db.execute("UPDATE post SET side = $1 WHERE id = $2", side, post.id)


async def _nameable(
    viewer: Resident, source: str, space: spaces.SeenSpace | None, here: Addresses
) -> dict[str, MentionTarget]:
    """Those named in a text whom naming tells nothing they may not know: others stay plain text (K6, RR7).

    A guest names whom they meet: a name that becomes a link says that somebody is there.
    """
    targets: dict[str, MentionTarget] = {}
    for handle in find_mentions(source):
        host = "" if handle.host in ("", here.host) else handle.host.lower()
        row = await db.fetch_one(
            "SELECT id, uri, peer_id FROM actor WHERE host = $1 AND name = $2 AND kind = 'person'"
            " AND suspended_at IS NULL AND gone_at IS NULL",
            host,
            handle.name.lower() if not host else handle.name,
        )
        if row is not None and (space is None or await _hears(row["id"], row["peer_id"], space)):
            if not isinstance(viewer, Guest) or await people.meets(viewer, row["id"]):
                targets[str(handle)] = MentionTarget(row["id"], row["uri"])
    return targets


async def _hears(actor_id: int, peer_id: int | None, space: spaces.SeenSpace) -> bool:
    """Whether an actor may read what is written in a space now."""
    if await db.fetch_one(
        "SELECT id FROM membership WHERE space_id = $1 AND actor_id = $2 AND state = 'member'", space.id, actor_id
    ):
        return True
    guest = "SELECT id FROM account WHERE actor_id = $1 AND office = 'guest'"
    if peer_id is not None or await db.fetch_one(guest, actor_id):
        return space.facts.variant in (Variant.NETWORK, Variant.PUBLIC)
    colleague = Employee(0, actor_id)
    standing = Standing(audience_of(colleague, space.facts, member=False, partner=False))
    return rights(space.facts, standing).read >= Read.LIMITED


async def _write_names(post_id: int, mentioned: Sequence[int]) -> None:
    rows = [{"id": new_id(), "post_id": post_id, "actor_id": actor_id} for actor_id in dict.fromkeys(mentioned)]
    await db.insert_many("mention", rows, ignore=True)


async def tell_named(post_id: int, author_id: int, space: spaces.SeenSpace | None, *, answered: bool = True) -> None:
    """Leaves notices of a post that is now published for those of ours whom it names or, if `answered`, answers, and
    who may read it.
    """
    rows = await db.fetch("SELECT actor_id FROM mention WHERE post_id = $1 ORDER BY id", post_id)
    mentioned = [row["actor_id"] for row in rows]
    parent = await db.fetch_one(
        "SELECT r.author_id FROM post p JOIN post r ON r.id = p.reply_to_id WHERE p.id = $1", post_id
    )
    to = parent["author_id"] if parent and answered else None
    ours = await _ours([*mentioned, *([to] if to else [])])
    if space is not None:
        ours = {actor_id for actor_id in ours if await _hears(actor_id, None, space)}
        ours = await _of_its_side(post_id, ours)
    where = {"post_id": post_id, "space_id": space.id if space else None}
    key = f"post:{post_id}"
    if to in ours:
        await notify([to], "reply", key=key, by=author_id, **where)
    await notify([i for i in mentioned if i in ours], "mention", key=key, by=author_id, **where)


async def _of_its_side(post_id: int, actor_ids: set[int]) -> set[int]:
    """Those of these actors before whom a post is not hidden as a blind partner's."""
    row = await db.fetch_one("SELECT side FROM post WHERE id = $1", post_id)
    side = row["side"] if row else ""
    return {i for i in actor_ids if not side or await sides.of_actor(i) in ("", side)}


async def _replace(post_id: int, old_html: str, old_source: str, html: str, source: str, at: int) -> None:
    version = {"id": new_id(), "post_id": post_id, "html": old_html, "source": old_source, "replaced_at": at}
    await db.insert("post_version", version)
    await db.execute("UPDATE post SET html = $1, source = $2, edited_at = $3 WHERE id = $4", html, source, at, post_id)
    await make_findable(post_id, html)


async def _withdrawn(post_id: int, author_id: int, space_id: int | None, original: str = "") -> None:
    await db.execute(
        "UPDATE post SET deleted_at = $1, html = '', source = '', summary = '' WHERE id = $2", now_ms(), post_id
    )
    for table in ("post_version", "mention", "reaction", "notice", "search_row"):
        await db.execute(f"DELETE FROM {table} WHERE post_id = $1", post_id)
    await db.execute("UPDATE attachment SET post_id = NULL WHERE post_id = $1", post_id)
    await db.execute("UPDATE event SET original = '' WHERE post_id = $1", post_id)
    if await holding.forget(post_id):
        return  # nobody has heard of it
    await record(Kind.POST_WITHDRAWN, actor_id=author_id, space_id=space_id, post_id=post_id, original=original)


async def _remember_withdrawal(author_id: int, uri: str) -> None:
    """Of what never came: so many of one instance, the newest, and no more."""
    peer_id = await _peer_of(author_id)
    if peer_id is None:
        return
    row = {"id": new_id(), "peer_id": peer_id, "author_id": author_id, "uri_hash": _hash(uri), "at": now_ms()}
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
    row = await db.fetch_one("SELECT author_id FROM withdrawal WHERE uri_hash = $1", _hash(uri))
    return row is not None and row["author_id"] == author_id


def _hash(uri: str) -> str:
    return hashlib.sha256(uri.encode()).hexdigest()


async def _peer_of(actor_id: int, viewer: Viewer | None = None) -> int | None:
    if isinstance(viewer, RemotePerson) and viewer.actor_id == actor_id:
        return viewer.peer_id
    row = await db.fetch_one("SELECT peer_id FROM actor WHERE id = $1", actor_id)
    return row["peer_id"] if row else None


async def _is_ours(actor_id: int) -> bool:
    return bool(await _ours([actor_id]))


async def _ours(actor_ids: Sequence[int]) -> set[int]:
    """Those of these actors who are people here."""
    if not actor_ids:
        return set()
    query = Clause("SELECT id FROM actor WHERE peer_id IS NULL AND kind = 'person' AND").join(one_of("id", actor_ids))
    return {row["id"] for row in await db.fetch(*query.statement())}
