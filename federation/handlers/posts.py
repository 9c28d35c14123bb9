"""Create, Update, Delete, Like, EmojiReact, Undo of a reaction and votes, said by those whose they are."""

from collections.abc import Sequence
from dataclasses import replace

from federation.errors import Refused
from federation.handlers.call import Call
from federation.held_keys import drop_keys_of
from federation.lookup import known
from federation.poll_reading import ballot_in, poll_in
from federation.reading import Activity, IncomingNote, identifier, note, type_of
from federation.trust import lies_at, owns_note, owns_object
from server import database as db
from server.actions import arriving, gestures, membership, polls
from server.actions.arrived_files import ArrivedFile
from server.clock import now_ms
from server.errors import NotFound
from server.limits import AHEAD_MS
from server.openness import Level, Visibility
from server.queries import posts as reading_posts
from server.queries import spaces
from server.sql import Clause, one_of
from server.text import clean, plain

LIKES = frozenset({"Like", "EmojiReact"})


async def create(call: Call) -> None:
    """A person elsewhere wrote: in a space that we host, or to people here; or votes in a poll that is counted here."""
    incoming = note(call.said.object)
    owns_note(call.said, incoming)
    chosen = ballot_in(incoming)
    if not chosen:
        await _take(call, incoming)
        return
    # also where there is no poll any more: a vote is secret, so it never becomes a post
    post = await reading_posts.find_by_uri(call.person, _asked(call, incoming.in_reply_to))
    await polls.vote_from_elsewhere(call.person, post.id, chosen, incoming.id)


def _asked(call: Call, uri: str) -> str:
    """The address of the post that a vote is for, by which we know it."""
    return uri.removesuffix("/mirror") if uri.startswith(f"{call.instance.here.base}/posts/") else uri


async def _take(call: Call, incoming: IncomingNote) -> None:
    space_uri = await _our_space(call, incoming)
    if space_uri is not None:
        await _into_our_space(call, incoming, space_uri)
    elif await _concerns_us(call, incoming):
        arrived = await _read(call, incoming, _visibility(incoming))
        if not await _may_answer(call, incoming):
            arrived = replace(arrived, reply_to_uri="")
        await arriving.receive(call.person, call.actor.id, arrived, None)
    else:
        raise Refused("Nobody here is concerned.", incoming.id)


async def update(call: Call) -> None:
    """A person elsewhere says it better; what had not come yet comes now, and its Create changes nothing (D4)."""
    incoming = note(call.said.object)
    owns_note(call.said, incoming)
    if not await is_here(incoming.id):
        await _take(call, incoming)
        return
    arrived = replace(await _read(call, incoming, None), original=call.raw)
    await arriving.receive_edit(call.person, call.actor.id, arrived)


async def delete(call: Call) -> None:
    """A person elsewhere takes a post back; or is gone."""
    owns_object(call.said)
    if call.said.object_id == call.said.actor:
        await db.execute("UPDATE actor SET gone_at = $1 WHERE id = $2", now_ms(), call.actor.id)
        drop_keys_of(call.said.actor)
        await membership.gone(call.person)
        await db.execute("DELETE FROM follow WHERE follower_id = $1 OR followed_id = $1", call.actor.id)
        await polls.take_back_votes(call.actor.id)
        return
    if await known(call.said.object_id):
        raise Refused("Nobody but itself takes an actor back.", call.said.object_id)
    await withdraw(call.actor.id, call.said.object_id, call.raw)


async def like(call: Call) -> None:
    """A person elsewhere answers with a gesture."""
    post = await reading_posts.find_by_uri(call.person, call.said.object_id)
    await gestures.react(call.person, post.id, emoji_of(call.said), uri=call.said.id, original=call.raw)


async def undo_like(call: Call) -> None:
    """A person elsewhere takes a gesture back."""
    owns_object(call.said)
    found = await reaction(call.said, call.actor.id)
    await gestures.ungesture(found[0], call.actor.id, found[1], call.raw)


# --- the steps -----------------------------------------------------------------------------------


async def _our_space(call: Call, incoming: IncomingNote) -> str | None:
    """The space of ours that a post is for, if any."""
    said = call.said
    named = (incoming.audience, said.audience, *incoming.to, *incoming.cc, *said.to, *said.cc)
    prefix = call.instance.here.space("")
    ours = [uri for uri in dict.fromkeys(named) if uri.startswith(prefix)]
    if not ours:
        return None
    query = Clause("SELECT uri FROM actor WHERE peer_id IS NULL AND kind = 'group' AND").join(one_of("uri", ours))
    rows = await db.fetch(*query.statement())
    if len(rows) > 1:
        raise Refused("A post stands in one space.", incoming.id)
    return rows[0]["uri"] if rows else None


async def _into_our_space(call: Call, incoming: IncomingNote, space_uri: str) -> None:
    space = await spaces.find_by_uri(call.person, space_uri)
    stays_inside(call.said, incoming, space)
    arrived = replace(await _read(call, incoming, None), original=call.raw)
    await arriving.receive(call.person, call.actor.id, arrived, space.id)


async def _read(call: Call, incoming: IncomingNote, visibility: Visibility | None) -> arriving.Arrived:
    arrived = await read_note(incoming, visibility)
    return replace(arrived, files=of_origin(arrived.files, call.said.actor)) if call.linked else arrived


def of_origin(files: Sequence[ArrivedFile], base: str) -> list[ArrivedFile]:
    """Files that a linked instance names: one that lies elsewhere is shown as one that cannot be had."""
    return [file if lies_at(file.uri, base) else replace(file, uri="") for file in files]


def stays_inside(said: Activity, incoming: IncomingNote, space: spaces.SeenSpace) -> None:
    if (said.public or incoming.public) and space.level is not Level.PUBLIC:
        raise Refused("What is written in this space is not for the public (RR3).", incoming.id)


async def _concerns_us(call: Call, incoming: IncomingNote) -> bool:
    """Whether somebody here is named, answered, or follows the author: nothing else is kept."""
    if any(call.instance.here.is_ours(uri) for uri in incoming.mentions):
        return True
    followed = await db.fetch_one(
        "SELECT f.id FROM follow f JOIN actor a ON a.id = f.follower_id"
        " WHERE f.followed_id = $1 AND f.state = 'accepted' AND a.peer_id IS NULL LIMIT 1",
        call.actor.id,
    )
    answers_us = call.instance.here.is_ours(incoming.in_reply_to) and await is_here(incoming.in_reply_to)
    return followed is not None or (answers_us and await _may_answer(call, incoming))


async def _may_answer(call: Call, incoming: IncomingNote) -> bool:
    """Whether the author may read what is answered, where it is ours to say: a guessed address is no right."""
    if not call.instance.here.is_ours(incoming.in_reply_to):
        return True
    try:
        answered = await reading_posts.find_by_uri(call.person, incoming.in_reply_to)
    except NotFound:
        return False
    return answered.space is None


async def is_here(uri: str) -> bool:
    """Whether a post came before; what its host took back with all of its space did not, as long as that holds."""
    return bool(await db.fetch_one("SELECT id FROM post WHERE uri = $1 AND recalled_at IS NULL", uri))


def _visibility(incoming: IncomingNote) -> Visibility:
    if incoming.public:
        return Visibility.PUBLIC
    everybody = any(uri.endswith("/followers") for uri in (*incoming.to, *incoming.cc))
    return Visibility.FOLLOWERS if everybody else Visibility.DIRECT


async def read_note(incoming: IncomingNote, visibility: Visibility | None) -> arriving.Arrived:
    mentioned = await _known_ids(incoming.mentions)
    published = incoming.published_at if incoming.published_at is not None else now_ms()
    question = poll_in(incoming.document)
    return arriving.Arrived(
        uri=incoming.id,
        html=clean(incoming.content),
        published_at=published,
        summary=incoming.summary,
        language=incoming.language,
        reply_to_uri=incoming.in_reply_to,
        mentioned=mentioned,
        files=[ArrivedFile(f.url, f.name, f.media_type, f.size, f.description, f.digest) for f in incoming.files],
        visibility=visibility,
        byline=plain(incoming.byline)[:200],
        edited_at=None if incoming.updated_at is None else min(incoming.updated_at, now_ms() + AHEAD_MS),
        poll=question.asked if question else None,
        tally=question.tally if question else None,
    )


async def _known_ids(uris: tuple[str, ...]) -> list[int]:
    if not uris:
        return []
    rows = await db.fetch(*Clause("SELECT id FROM actor WHERE").join(one_of("uri", uris)).statement())
    return [row["id"] for row in rows]


def emoji_of(said: Activity) -> str:
    """The gesture of a Like or EmojiReact; words, and a custom one that we do not have, are the plain thank-you."""
    emoji = said.content.strip()
    wordy = any(character.isalpha() or character.isspace() or character in "<>&:" for character in emoji)
    return "" if wordy or len(emoji.encode()) > gestures.EMOJI_BYTES else emoji


async def withdraw(author_id: int | None, uri: str, raw: str = "", attested_by: int | None = None) -> None:
    row = await db.fetch_one("SELECT author_id FROM post WHERE uri = $1", uri)
    if row is not None and author_id is not None and row["author_id"] != author_id:
        raise Refused("The object is somebody else's.", uri)
    owner = author_id if author_id is not None else (row["author_id"] if row else None)
    if owner is not None:
        await arriving.receive_withdrawal(owner, uri, raw, attested_by)


async def reaction(said: Activity, actor_id: int) -> tuple[gestures.Place, str]:
    """The reaction that an Undo names, by the id of its activity or by what it says."""
    row = await db.fetch_one(
        "SELECT r.emoji, p.id, p.author_id, p.space_id FROM reaction r JOIN post p ON p.id = r.post_id"
        " WHERE r.uri = $1 AND r.actor_id = $2",
        said.object_id,
        actor_id,
    )
    if row is None and isinstance(said.object, dict) and type_of(said.object) in LIKES:
        emoji = str(said.object.get("content") or "")
        row = await db.fetch_one(
            "SELECT r.emoji, p.id, p.author_id, p.space_id FROM reaction r JOIN post p ON p.id = r.post_id"
            " WHERE p.uri = $1 AND r.actor_id = $2 AND r.emoji = $3",
            identifier(said.object.get("object")),
            actor_id,
            emoji,
        )
    if row is None:
        raise NotFound(detail="no such reaction")
    return gestures.Place(row["id"], row["author_id"], row["space_id"]), row["emoji"]
