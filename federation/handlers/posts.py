"""Create, Update, Delete, Like, EmojiReact, Undo of a reaction, and a space's Announce of any of them."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import msgspec

from federation.errors import Malformed, Refused
from federation.handlers.call import Call
from federation.held_keys import drop_keys_of
from federation.lookup import known
from federation.membership_sync import compare_members
from federation.reading import Activity, IncomingNote, identifier, many, note, type_of
from federation.replicas import wanted
from federation.trust import owns_note, owns_object, same_origin
from server import database as db
from server.actions import arriving, gestures
from server.clock import now_ms
from server.errors import NotFound
from server.limits import AHEAD_MS, ATTACHMENTS
from server.openness import Level, Visibility
from server.queries import posts as reading_posts
from server.queries import spaces
from server.sql import Clause, one_of
from server.text import clean, plain

LIKES = frozenset({"Like", "EmojiReact"})


async def create(call: Call) -> None:
    """A person elsewhere wrote: in a space that we host, or to people here."""
    incoming = note(call.said.object)
    owns_note(call.said, incoming)
    await _take(call, incoming)


async def _take(call: Call, incoming: IncomingNote) -> None:
    space_uri = await _our_space(call, incoming)
    if space_uri is not None:
        await _into_our_space(call, incoming, space_uri)
    elif await _concerns_us(call, incoming):
        arrived = await _arrived(incoming, _visibility(incoming))
        if not await _may_answer(call, incoming):
            arrived = replace(arrived, reply_to_uri="")
        await arriving.receive(call.person, call.actor.id, arrived, None)
    else:
        raise Refused("Nobody here is concerned.", incoming.id)


async def update(call: Call) -> None:
    """A person elsewhere says it better; what had not come yet comes now, and its Create changes nothing (D4)."""
    incoming = note(call.said.object)
    owns_note(call.said, incoming)
    if not await _is_here(incoming.id):
        await _take(call, incoming)
        return
    arrived = replace(await _arrived(incoming, None), original=call.raw)
    await arriving.receive_edit(call.person, call.actor.id, arrived)


async def delete(call: Call) -> None:
    """A person elsewhere takes a post back; or is gone."""
    owns_object(call.said)
    if call.said.object_id == call.said.actor:
        await db.execute("UPDATE actor SET gone_at = $1 WHERE id = $2", now_ms(), call.actor.id)
        drop_keys_of(call.said.actor)
        await db.execute("DELETE FROM membership WHERE actor_id = $1", call.actor.id)
        await db.execute("DELETE FROM follow WHERE follower_id = $1 OR followed_id = $1", call.actor.id)
        return
    if await known(call.said.object_id):
        raise Refused("Nobody but itself takes an actor back.", call.said.object_id)
    await _withdraw(call.actor.id, call.said.object_id, call.raw)


async def like(call: Call) -> None:
    """A person elsewhere answers with a gesture."""
    post = await reading_posts.find_by_uri(call.person, call.said.object_id)
    await gestures.react(call.person, post.id, emoji_of(call.said), uri=call.said.id, original=call.raw)


async def undo_like(call: Call) -> None:
    """A person elsewhere takes a gesture back."""
    owns_object(call.said)
    found = await _reaction(call.said, call.actor.id)
    await gestures.ungesture(found[0], call.actor.id, found[1], call.raw)


async def announce(call: Call) -> None:
    """The host of a space that our people are in tells what happened there (FEP-1b12)."""
    said = call.wrapped
    if said is None or not call.linked:
        raise Refused("Only a linked instance tells what happens in its spaces.", call.said.id)
    space = await spaces.find_by_uri(call.server, call.said.actor)
    if space.facts.peer_id != call.peer_id:
        raise NotFound(detail="not its host (RR1)")
    if same_origin(said.actor, call.instance.here.base):
        await _echoed(call, said)
        return
    if said.type != "Delete" and not await _somebody_is_in(space.id):
        raise Refused("Nobody here is in that space (RR2).", call.said.actor)
    await _of_this_policy(call, space)
    by_host = same_origin(said.actor, call.said.actor)
    if not by_host and not call.proved and not call.attested:
        raise Refused("The words of a third instance need its author's proof.", said.id, rule="RR3")
    await compare_members(call, space)
    await _TOLD.get(said.type, _told_nothing)(call, said, space)


async def _echoed(call: Call, said: Activity) -> None:
    """Our own words come back: the host has them. Words that we never said are counted, and not shown (RR3)."""
    number = call.own_event(said.id)
    if number is None or not await db.fetch_one("SELECT id FROM event WHERE id = $1", number):
        raise Refused("The host relays words of ours that we never said.", said.id, rule="RR3")


async def _of_this_policy(call: Call, space: spaces.SeenSpace) -> None:
    """The relay was made under the policy that is known here, or a newer one (RR1): an old one may be a replay."""
    epoch = call.said.document.get("parvis:policyEpoch")
    known = await db.fetch_one("SELECT epoch FROM space WHERE id = $1", space.id)
    held = known["epoch"] if known else 0
    if type(epoch) is not int or epoch < 0:
        if held > 1 and space.level is not Level.PUBLIC:
            raise Refused("The relay does not say under which policy it was made.", call.said.id, rule="RR1")
        return
    if epoch < held:
        raise Refused("The relay was made under an older policy than the one known here.", call.said.id, rule="RR1")
    if epoch > held:
        await db.execute("UPDATE space SET epoch = $1 WHERE id = $2", min(epoch, 1 << 53), space.id)


async def _told_nothing(call: Call, said: Activity, space: spaces.SeenSpace) -> None:
    raise Refused("That is not told by a space.", said.type)


async def _told_create(call: Call, said: Activity, space: spaces.SeenSpace) -> None:
    incoming = note(said.object)
    owns_note(said, incoming)
    if space.uri not in (incoming.audience, *incoming.to, *incoming.cc):
        raise Refused("The object is not of this space (RR3).", incoming.id)
    _stays_inside(said, incoming, space)
    post_id = await arriving.receive(call.server, _author(call), await _relayed(call, incoming), space.id)
    if incoming.in_reply_to and not await _is_here(incoming.in_reply_to):
        await wanted(call, post_id)


async def _told_update(call: Call, said: Activity, space: spaces.SeenSpace) -> None:
    incoming = note(said.object)
    owns_note(said, incoming)
    if not await _is_here(incoming.id):
        await _told_create(call, said, space)
        return
    _stays_inside(said, incoming, space)
    if incoming.updated_at is None and not same_origin(said.actor, call.said.actor):
        raise Refused("An edit by a third instance must say when it was made.", incoming.id)
    await _in_space(incoming.id, space)
    await arriving.receive_edit(call.server, _author(call), await _relayed(call, incoming))


def _stays_inside(said: Activity, incoming: IncomingNote, space: spaces.SeenSpace) -> None:
    if (said.public or incoming.public) and space.level is not Level.PUBLIC:
        raise Refused("What is written in this space is not for the public (RR3).", incoming.id)


async def _told_delete(call: Call, said: Activity, space: spaces.SeenSpace) -> None:
    """By its author, or by the space's stewards in the space's own name (RR4)."""
    if said.actor == space.uri:
        await _in_space(said.object_id, space)
        await _withdraw(None, said.object_id)
        return
    owns_object(said)
    await _withdraw(_author(call), said.object_id, _kept(call, said))


async def _told_like(call: Call, said: Activity, space: spaces.SeenSpace) -> None:
    place = await _in_space(said.object_id, space)
    await gestures.gesture(place, _author(call), emoji_of(said), said.id, _kept(call, said))


async def _told_undo(call: Call, said: Activity, space: spaces.SeenSpace) -> None:
    owns_object(said)
    place, emoji = await _reaction(said, _author(call))
    await gestures.ungesture(place, _author(call), emoji, _kept(call, said))


_TOLD = {
    "Create": _told_create,
    "Update": _told_update,
    "Delete": _told_delete,
    "Like": _told_like,
    "EmojiReact": _told_like,
    "Undo": _told_undo,
}


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
    _stays_inside(call.said, incoming, space)
    arrived = replace(await _arrived(incoming, None), original=call.raw)
    await arriving.receive(call.person, call.actor.id, arrived, space.id)


async def _concerns_us(call: Call, incoming: IncomingNote) -> bool:
    """Whether somebody here is named, answered, or follows the author: nothing else is kept."""
    if any(call.instance.here.is_ours(uri) for uri in incoming.mentions):
        return True
    followed = await db.fetch_one(
        "SELECT f.id FROM follow f JOIN actor a ON a.id = f.follower_id"
        " WHERE f.followed_id = $1 AND f.state = 'accepted' AND a.peer_id IS NULL LIMIT 1",
        call.actor.id,
    )
    answers_us = call.instance.here.is_ours(incoming.in_reply_to) and await _is_here(incoming.in_reply_to)
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


async def _is_here(uri: str) -> bool:
    return bool(await db.fetch_one("SELECT id FROM post WHERE uri = $1", uri))


async def _somebody_is_in(space_id: int) -> bool:
    return bool(
        await db.fetch_one(
            "SELECT id FROM membership WHERE space_id = $1 AND peer_id IS NULL AND state = 'member' LIMIT 1", space_id
        )
    )


def _visibility(incoming: IncomingNote) -> Visibility:
    if incoming.public:
        return Visibility.PUBLIC
    everybody = any(uri.endswith("/followers") for uri in (*incoming.to, *incoming.cc))
    return Visibility.FOLLOWERS if everybody else Visibility.DIRECT


async def _arrived(incoming: IncomingNote, visibility: Visibility | None) -> arriving.Arrived:
    mentioned = await _known_ids(incoming.mentions)
    published = incoming.published_at if incoming.published_at is not None else now_ms()
    return arriving.Arrived(
        uri=incoming.id,
        html=clean(incoming.content),
        published_at=published,
        summary=incoming.summary,
        language=incoming.language,
        reply_to_uri=incoming.in_reply_to,
        mentioned=mentioned,
        files=[
            arriving.ArrivedFile(f.url, f.name, f.media_type, f.size, f.description, f.digest) for f in incoming.files
        ],
        visibility=visibility,
        byline=plain(incoming.byline)[:200],
        edited_at=None if incoming.updated_at is None else min(incoming.updated_at, now_ms() + AHEAD_MS),
    )


async def _relayed(call: Call, incoming: IncomingNote) -> arriving.Arrived:
    """What a space's host relays: its files are had from the host alone, wherever the author keeps them (RR5)."""
    arrived = await _arrived(incoming, None)
    copies = dict(_copies(call.said.document.get("parvis:media"), call.said.actor))
    own = same_origin(incoming.id, call.said.actor)
    files = [replace(file, uri=file.uri if own else copies.get(file.uri, "")) for file in arrived.files]
    attested = call.peer_id if call.attested else None
    return replace(arrived, files=files, attested_by=attested, original=_kept(call, call.wrapped))


def _kept(call: Call, said: Activity | None) -> str:
    """What the host's own people say with their proof is kept as it came: the host may have lost it one day."""
    if said is None or "proof" not in said.document or not same_origin(said.actor, call.said.actor):
        return ""
    return msgspec.json.encode(said.document).decode()


def _copies(value: Any, host: str) -> Iterator[tuple[str, str]]:
    """(address at its author's, address of the host's copy), as the host lists them; each of the host's own origin."""
    for item in many(value)[:ATTACHMENTS]:
        if isinstance(item, dict):
            url, copy = identifier(item.get("url")), identifier(item.get("parvis:replica"))
            if url and copy and same_origin(copy, host):
                yield url, copy


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


def _author(call: Call) -> int:
    if call.wrapped_actor is None:
        raise Malformed("The author is not known.")
    return call.wrapped_actor.id


async def _in_space(uri: str, space: spaces.SeenSpace) -> gestures.Place:
    """A post that stands in this space. Raises NotFound."""
    row = await db.fetch_one(
        "SELECT id, author_id FROM post WHERE uri = $1 AND space_id = $2 AND deleted_at IS NULL", uri, space.id
    )
    if row is None:
        raise NotFound(detail="not in this space")
    return gestures.Place(row["id"], row["author_id"], space.id)


async def _withdraw(author_id: int | None, uri: str, raw: str = "") -> None:
    row = await db.fetch_one("SELECT author_id FROM post WHERE uri = $1", uri)
    if row is not None and author_id is not None and row["author_id"] != author_id:
        raise Refused("The object is somebody else's.", uri)
    owner = author_id if author_id is not None else (row["author_id"] if row else None)
    if owner is not None:
        await arriving.receive_withdrawal(owner, uri, raw)


async def _reaction(said: Activity, actor_id: int) -> tuple[gestures.Place, str]:
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
