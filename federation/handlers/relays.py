"""A space's Announce of what was done in it (FEP-1b12): Create, Update, Delete, Like, EmojiReact, Undo.

A host tells a page at a time, and what is asked of a page is asked once (see `page_memory`). Posts that came together
are written together; what else is about one of them waits until it stands.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from federation.errors import Malformed, NobodyHere, Refused
from federation.handlers.call import Call
from federation.handlers.posts import emoji_of, is_here, of_origin, reaction, read_note, stays_inside, withdraw
from federation.membership_sync import compare_members
from federation.membership_wishes import wish
from federation.page_memory import keep, once
from federation.poll_reading import QUESTION, poll_in
from federation.reading import Activity, IncomingNote, first, identifier, many, moment, note, type_of
from federation.replicas import wanted
from federation.trust import owns_note, owns_object, same_origin
from server import database as db
from server.actions import arriving, gestures, polls
from server.errors import NotFound
from server.limits import ATTACHMENTS
from server.openness import Level
from server.queries import spaces
from server.sql import Clause, among

NOT_IN_SPACE = "not in this space"


async def announce(call: Call) -> None:
    """The host of a space that our people are in tells what happened there."""
    space = await _admitted(call)
    if space is not None:
        await _take(call, _inner(call), space)


@dataclass(frozen=True, slots=True)
class _Create:
    """A post that is told, checked and not yet written."""

    call: Call
    incoming: IncomingNote
    told: arriving.Told


class Gathering:
    """Relays of one page. The posts among them wait for one another, and for `flush`."""

    def __init__(self) -> None:
        self._creates: dict[str, _Create] = {}
        self._space: spaces.SeenSpace | None = None

    async def take(self, call: Call) -> None:
        """Raises what `announce` raises, for this one or for one before it."""
        space = await _admitted(call)
        if space is None:
            return
        said = _inner(call)
        if space != self._space or said.type not in ("Create", "Like", "EmojiReact"):
            await self.flush()
            self._space = space
        if said.type != "Create":
            if said.object_id in self._creates:
                await self.flush()
            await _take(call, said, space)
            return
        if said.object_id in self._creates:
            await self.flush()
        create = await _create(call, said, space)
        self._creates[create.incoming.id] = create

    async def flush(self) -> None:
        """Writes the posts that wait."""
        creates, self._creates = list(self._creates.values()), {}
        if creates and self._space is not None:
            await _write(self._space, creates)


# --- who, where, under which policy (RR1 to RR3) --------------------------------------------------


def _inner(call: Call) -> Activity:
    if call.wrapped is None or not call.linked:
        raise Refused("Only a linked instance tells what happens in its spaces.", call.said.id)
    return call.wrapped


async def _admitted(call: Call) -> spaces.SeenSpace | None:
    """The space in which something is told that may be; None when those are our own words. Raises the refusal."""
    said, uri = _inner(call), call.said.actor
    space = await once(("space", uri, call.server), lambda: spaces.find_by_uri(call.server, uri))
    if space.facts.peer_id != call.peer_id:
        raise NotFound(detail="not its host (RR1)")
    if same_origin(said.actor, call.instance.here.base):
        await _echoed(call, said)
        return None
    if said.type != "Delete" and not await once(("in", space.id), lambda: _somebody_is_in(space.id)):
        raise NobodyHere("Nobody here is in that space (RR2).", uri)
    space = await _under_its_policy(call, space)
    by_host = same_origin(said.actor, uri)
    if not by_host and not call.proved and not call.attested:
        raise Refused("The words of a third instance need its author's proof.", said.id, rule="RR3")
    await compare_members(call, space)
    return space


async def _echoed(call: Call, said: Activity) -> None:
    """Our own words come back: the host has them. Words that we never said are counted, and not shown (RR3)."""
    number = call.own_event(said.id)
    if number is None or not await db.fetch_one("SELECT id FROM event WHERE id = $1", number):
        raise Refused("The host relays words of ours that we never said.", said.id, rule="RR3")


async def _somebody_is_in(space_id: int) -> bool:
    """Whether somebody here is, and stays until the end of this transaction: what takes them out waits for it."""
    held = " FOR SHARE" if db.engine_name() == "postgres" else ""
    return bool(
        await db.fetch_one(
            f"SELECT id FROM membership WHERE space_id = $1 AND peer_id IS NULL AND state = 'member' LIMIT 1{held}",
            space_id,
        )
    )


async def _under_its_policy(call: Call, space: spaces.SeenSpace) -> spaces.SeenSpace:
    """The relay was made under the policy that is known here, or a newer one (RR1): an old one may be a replay."""
    epoch = call.said.document.get("parvis:policyEpoch")
    if type(epoch) is not int or epoch < 0:
        if space.epoch > 1 and space.level is not Level.PUBLIC:
            raise Refused("The relay does not say under which policy it was made.", call.said.id, rule="RR1")
        return space
    if epoch < space.epoch:
        raise Refused("The relay was made under an older policy than the one known here.", call.said.id, rule="RR1")
    if epoch == space.epoch:
        return space
    newer = replace(space, epoch=min(epoch, 1 << 53))
    # what it says of its past comes with the Update; should that be lost, with its list of members
    await db.execute("UPDATE space SET epoch = $1, newcomers_from = NULL WHERE id = $2", newer.epoch, space.id)
    await wish(space.id)
    keep({("space", call.said.actor, call.server): newer})
    return newer


# --- what is told ---------------------------------------------------------------------------------


async def _take(call: Call, said: Activity, space: spaces.SeenSpace) -> None:
    await _TOLD.get(said.type, _told_nothing)(call, said, space)


async def _told_nothing(call: Call, said: Activity, space: spaces.SeenSpace) -> None:
    raise Refused("That is not told by a space.", said.type)


async def _told_create(call: Call, said: Activity, space: spaces.SeenSpace) -> None:
    await _write(space, [await _create(call, said, space)])


async def _create(call: Call, said: Activity, space: spaces.SeenSpace) -> _Create:
    incoming = note(said.object)
    owns_note(said, incoming)
    if space.uri not in (incoming.audience, *incoming.to, *incoming.cc):
        raise Refused("The object is not of this space (RR3).", incoming.id)
    stays_inside(said, incoming, space)
    author = call.wrapped_actor
    if author is None:
        raise Malformed("The author is not known.")
    return _Create(call, incoming, arriving.Told(author.id, author.peer_id, await _relayed(call, incoming)))


async def _write(space: spaces.SeenSpace, creates: Sequence[_Create]) -> None:
    ids = await arriving.receive_told(space, [create.told for create in creates])
    for create in creates:
        await _stands(create.call, space)
    answers = {create.incoming.in_reply_to for create in creates} - {""}
    if not answers:
        return
    query = Clause("SELECT uri FROM post WHERE").join(among("uri", answers))
    here = {row["uri"] for row in await db.fetch(*query.statement())}
    for post_id, create in zip(ids, creates, strict=True):
        if create.incoming.in_reply_to and create.incoming.in_reply_to not in here:
            await wanted(create.call, post_id)


async def _stands(call: Call, space: spaces.SeenSpace) -> None:
    """A relay says beside a poll how it stands."""
    told = call.said.document.get("parvis:tally")
    if isinstance(told, dict) and type_of(told) == QUESTION:
        await _tallied(space, told)


async def _told_update(call: Call, said: Activity, space: spaces.SeenSpace) -> None:
    if said.actor == space.uri and is_tally(said):
        await _tallied(space, said.object)
        return
    incoming = note(said.object)
    owns_note(said, incoming)
    if not await is_here(incoming.id):
        await _told_create(call, said, space)
        return
    stays_inside(said, incoming, space)
    if incoming.updated_at is None and not same_origin(said.actor, call.said.actor):
        raise Refused("An edit by a third instance must say when it was made.", incoming.id)
    await _in_space(incoming.id, space)
    await arriving.receive_edit(call.server, _author(call), await _relayed(call, incoming))
    await _stands(call, space)


def is_tally(said: Activity) -> bool:
    """Whether a space tells how a poll stands: a `Question` that is attributed to nobody."""
    return said.object_type == QUESTION and not identifier(first(said.object.get("attributedTo")))


async def _tallied(space: spaces.SeenSpace, document: dict[str, Any]) -> None:
    """How a poll in a space elsewhere stands: only its host counts, whoever asked."""
    poll = poll_in(document)
    place = await _in_space(identifier(document), space)
    if poll is not None:
        await polls.tallied(place.post_id, space.id, poll.tally)


async def _told_delete(call: Call, said: Activity, space: spaces.SeenSpace) -> None:
    """By its author, or by the space's stewards in the space's own name (RR4)."""
    if said.actor == space.uri:
        await _in_space(said.object_id, space)
        await withdraw(None, said.object_id)
        return
    owns_object(said)
    await _its_own(call, said.object_id, space)
    await withdraw(_author(call), said.object_id, _kept(call, said), call.peer_id if call.attested else None)


async def _told_like(call: Call, said: Activity, space: spaces.SeenSpace) -> None:
    place = await _in_space(said.object_id, space)
    await gestures.gesture(place, _author(call), emoji_of(said), said.id, _kept(call, said))


async def _told_undo(call: Call, said: Activity, space: spaces.SeenSpace) -> None:
    owns_object(said)
    place, which = await reaction(said, _author(call))
    if call.attested and place.space_id != space.id:
        raise NotFound(detail=NOT_IN_SPACE)
    await gestures.ungesture(place, _author(call), which, _kept(call, said))


_TOLD = {
    "Create": _told_create,
    "Update": _told_update,
    "Delete": _told_delete,
    "Like": _told_like,
    "EmojiReact": _told_like,
    "Undo": _told_undo,
}


# --- the steps ------------------------------------------------------------------------------------


async def _relayed(call: Call, incoming: IncomingNote) -> arriving.Arrived:
    """What a space's host relays: its files are had from the host alone, wherever the author keeps them (RR5)."""
    said = await read_note(incoming, None)
    copies = dict(_copies(call.said.document.get("parvis:media"), call.said.actor))
    own = same_origin(incoming.id, call.said.actor)
    files = [replace(file, uri=file.uri if own else copies.get(file.uri, "")) for file in said.files]
    dated, told_at = (moment(call.said.document.get(name)) for name in ("parvis:published", "published"))
    return replace(
        said,
        published_at=said.published_at if dated is None else dated,
        files=of_origin(files, call.said.actor),
        attested_by=call.peer_id if call.attested else None,
        told_at=told_at or 1,
        original=_kept(call, call.wrapped),
    )


def _kept(call: Call, said: Activity | None) -> str:
    """What the host's own people say with their proof is kept as it came: the host may have lost it one day."""
    if said is None or "proof" not in said.document or not same_origin(said.actor, call.said.actor):
        return ""
    return msgspec.json.encode(said.as_came).decode()


def _copies(value: Any, host: str) -> Iterator[tuple[str, str]]:
    """(address at its author's, address of the host's copy), as the host lists them; each of the host's own origin."""
    for item in many(value)[:ATTACHMENTS]:
        if isinstance(item, dict):
            url, copy = identifier(item.get("url")), identifier(item.get("parvis:replica"))
            if url and copy and same_origin(copy, host):
                yield url, copy


def _author(call: Call) -> int:
    if call.wrapped_actor is None:
        raise Malformed("The author is not known.")
    return call.wrapped_actor.id


async def _its_own(call: Call, uri: str, space: spaces.SeenSpace) -> None:
    """On its word alone a host speaks of what stands in its space, or is not here. Raises NotFound."""
    row = await db.fetch_one("SELECT space_id FROM post WHERE uri = $1", uri) if call.attested else None
    if row is not None and row["space_id"] != space.id:
        raise NotFound(detail=NOT_IN_SPACE)


async def _in_space(uri: str, space: spaces.SeenSpace) -> gestures.Place:
    """A post that stands in this space. Raises NotFound."""
    row = await db.fetch_one(
        "SELECT id, author_id FROM post WHERE uri = $1 AND space_id = $2 AND deleted_at IS NULL", uri, space.id
    )
    if row is None:
        raise NotFound(detail=NOT_IN_SPACE)
    return gestures.Place(row["id"], row["author_id"], space.id)
