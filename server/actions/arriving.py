"""What somebody elsewhere says, says better or takes back: rows, the fact and notices, in one transaction.

The caller has verified who speaks; whether they may is asked here, as it is of our own people.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from dataclasses import replace as replace_fields
from functools import partial

from server import database as db
from server.actions import holding, poll_rows, polls
from server.actions.arrived_files import ArrivedFile, arrive, arrive_again
from server.actions.finding import make_all_findable
from server.actions.naming import side_for, tell_named
from server.actions.poll_rows import NewPoll, Tally
from server.actions.post_rows import (
    hash_of,
    join_answers,
    ours_of,
    peer_of,
    replace,
    row_of,
    stamp_of,
    take_back,
    write,
    write_again,
    write_names,
)
from server.clock import APART_MS, now_ms
from server.errors import Conflict, NotFound, Unavailable
from server.events import Kind, record, record_published
from server.ids import LATE_MS, id_at, new_id
from server.openness import Visibility
from server.policy import Act, may_post
from server.queries import posts, spaces
from server.queries.former import moves
from server.sql import Clause, among
from server.transactions import BUSY
from server.viewer import PeerServer, RemotePerson, Viewer, side_of

WITHDRAWALS_PER_PEER = 10_000
"""Posts of one instance that were taken back before they came and are remembered: the newest."""
FUTURE_MS = 10 * 60 * 1000
"""How far ahead of our clock a date from elsewhere may be; later ones are taken as now (R20)."""
TAKEN_BACK = "it was taken back before it came (D4)"
SOMEBODY_ELSES = "the id belongs to somebody else's post (O27)"
TOLD_ELSEWHERE = "another host says that this stands in a space of its own (I8)"


@dataclass(frozen=True, slots=True)
class Arrived:
    """What somebody elsewhere said: HTML already cleaned, actors already known."""

    uri: str
    html: str
    published_at: int  # in a space elsewhere: as its host dates it
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
    poll: NewPoll | None = None
    tally: Tally | None = None  # how its poll stands, as its author says
    told_at: int = 1  # when the host of a space elsewhere said it (ms, by its clock)


async def receive(viewer: RemotePerson | PeerServer, author_id: int, arrived: Arrived, space_id: int | None) -> int:
    """Somebody elsewhere said something. Twice the same is once: the first id comes back.

    `viewer` is the author with their own right, or the server that hosts the space and speaks for it.
    Raises NotFound or Forbidden when they may not.
    """
    async with db.together():
        space = await spaces.find_by_id(viewer, space_id) if space_id else None
        if space is not None and not space.hosted_here:
            return (await receive_told(space, [Told(author_id, await peer_of(author_id, viewer), arrived)]))[0]
        if await _taken_back([Told(author_id, None, arrived)]):
            raise NotFound(detail=TAKEN_BACK)
        parent = await _parent(arrived.reply_to_uri, space_id)
        if space is not None and parent is not None and not await _is_for(viewer, space, parent, arrived.published_at):
            parent, arrived = None, replace_fields(arrived, reply_to_uri="")
        if space is not None:
            space.demand(viewer, Act.REPLY if parent else Act.POST)
        post_id, published = new_id(), await _published(arrived, space, parent)
        author_peer_id = await peer_of(author_id, viewer)
        waits = space is not None and await holding.must_wait(space, author_id)
        row = partial(
            write,
            post_id,
            arrived.uri,
            author_id,
            space,
            parent,
            arrived.visibility,
            {
                **_said(arrived, published),
                **await stamp_of(space, published, author_peer_id),
                "side": await side_for(side_of(viewer), space, "", ()),
                "held_at": now_ms() if waits else None,
                "peer_id": author_peer_id,
            },
            arrived.poll,
        )
        new = await row()
        if not new and await _gives_way((await _here({arrived.uri})).get(arrived.uri), arrived, space_id):
            new = await row()
        if not new:
            return await _the_same(arrived.uri, author_id)
        if space is not None:
            await join_answers(space.id, {arrived.uri: (post_id, (parent.root_id or parent.id) if parent else None)})
        await arrive(post_id, author_id, arrived.files)
        await write_names(post_id, arrived.mentioned)
        if space is None and arrived.tally is not None:
            await poll_rows.counted(post_id, arrived.tally)
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


@dataclass(frozen=True, slots=True)
class Told:
    """Something that is said in a space elsewhere, and whose it is."""

    author_id: int
    author_peer_id: int | None
    arrived: Arrived


async def receive_told(space: spaces.SeenSpace, told: Sequence[Told]) -> list[int]:
    """What the host of a space elsewhere tells, in its order and in few statements; the posts' ids, also of those that
    were here.

    All of it, or nothing: raises NotFound or Conflict for the first that does not fit, and Unavailable when somebody
    else writes the same at this moment.
    """
    async with db.together():
        if await _taken_back(told):
            raise NotFound(detail=TAKEN_BACK)
        here = await _here({uri for one in told for uri in (one.arrived.uri, one.arrived.reply_to_uri) if uri})
        ids, new, back = [], [], set()
        for one in told:
            before = here.get(one.arrived.uri)
            if await _gives_way(before, one.arrived, space.id):
                before = None
            again = before is not None and before.again(one.arrived.told_at) and before.space_id == space.id
            whose = {one.author_id, space.actor_id} if again else {one.author_id}
            if before is not None and before.author_id not in whose:
                raise Conflict(detail=SOMEBODY_ELSES)
            post_id = before.id if before is not None else _place_of(one.arrived)
            ids.append(post_id)
            if again:
                back.add(post_id)
            if before is None or again:
                parent = here.get(one.arrived.reply_to_uri)
                parent = parent if parent is not None and parent.space_id == space.id else None
                new.append((post_id, one, parent))
                root_id = (parent.root_id or parent.id) if parent else None
                here[one.arrived.uri] = _Here(post_id, root_id, one.author_id, space.id)
        await _write_told(space, new, back)
        return ids


def _place_of(arrived: Arrived) -> int:
    """Its id, by which lists are ordered: what comes late, after an outage or to somebody new, stands among what is of
    its time and not above what is of today.
    """
    late = arrived.published_at < now_ms() - LATE_MS
    return id_at(arrived.published_at) if late else new_id()


async def _write_told(
    space: spaces.SeenSpace, new: Sequence[tuple[int, Told, "_Here | None"]], back: Collection[int]
) -> None:
    """The rows of posts that are new here, what is found of them, whom they name, and that they came.

    `back`: those of them whose rows stayed when their host took them back with all of the space.
    """
    rows, places = [], {}
    for post_id, one, parent in new:
        places[one.arrived.uri] = post_id, (parent.root_id or parent.id) if parent else None
        published = min(one.arrived.published_at, now_ms() + APART_MS)
        said = _said(one.arrived, published) | {"peer_id": one.author_peer_id, "byline": one.arrived.byline}
        rows.append(row_of(post_id, one.arrived.uri, one.author_id, space, parent, None) | said)
    try:
        await db.insert_many("post", [row for row in rows if row["id"] not in back])
    except Conflict as error:
        raise Unavailable(BUSY, detail=f"written at the same time: {error.detail}") from error
    for row in rows:
        if row["id"] in back:
            await write_again(row)
    await join_answers(space.id, places)
    polls = [(post_id, one.arrived.poll) for post_id, one, _ in new if one.arrived.poll is not None]
    await poll_rows.write_polls(polls)
    asked = {post_id: poll.options for post_id, poll in polls}
    await make_all_findable([(post_id, one.arrived.html, asked.get(post_id, ())) for post_id, one, _ in new])
    for post_id, one, _ in new:
        await arrive(post_id, one.author_id, one.arrived.files)
        await write_names(post_id, one.arrived.mentioned)
    concerned = {
        post_id: {*one.arrived.mentioned, *([parent.author_id] if parent else [])} for post_id, one, parent in new
    }
    ours = await ours_of(sorted(set().union(*concerned.values())))
    for post_id, one, _ in new:
        if ours & concerned[post_id]:
            await tell_named(post_id, one.author_id, space)
    await record_published([(post_id, one.author_id, one.arrived.original) for post_id, one, _ in new], space.id)


async def receive_edit(viewer: RemotePerson | PeerServer, author_id: int, arrived: Arrived) -> None:
    """Somebody elsewhere says it better. An older version than ours, and what is not theirs, changes nothing."""
    async with db.together():
        alone = " FOR UPDATE" if db.engine_name() == "postgres" else ""
        row = await db.fetch_one(
            f"SELECT id, author_id, space_id, edited_at, deleted_at, html FROM post WHERE uri = $1{alone}", arrived.uri
        )
        if row is None or row["author_id"] != author_id or row["deleted_at"] is not None:
            raise NotFound(detail="nothing of theirs to edit (O25)")
        space = await spaces.find_by_id(viewer, row["space_id"]) if row["space_id"] else None
        if space is not None and space.hosted_here:
            space.demand(viewer, Act.REPLY)  # who may no longer write may no longer edit (O18)
        if arrived.tally is not None and (arrived.edited_at or 0) <= (row["edited_at"] or 0):
            if space is None:
                await polls.tallied(row["id"], None, arrived.tally)
            return  # how a poll stands is no edit
        said_at = min(arrived.edited_at or now_ms(), now_ms() + FUTURE_MS)
        if said_at <= (row["edited_at"] or 0):
            return
        await poll_rows.ask_anew(row["id"], arrived.poll)
        if space is None and arrived.tally is not None:
            await poll_rows.counted(row["id"], arrived.tally)
        await replace(row["id"], row["html"], "", arrived.html, "", said_at)
        await arrive_again(row["id"], author_id, arrived.files)
        if await holding.edited(row["id"], arrived.original):
            return
        await record(
            Kind.POST_EDITED,
            actor_id=author_id,
            space_id=row["space_id"],
            post_id=row["id"],
            original=arrived.original,
        )


async def receive_withdrawal(author_id: int, uri: str, original: str = "", attested_by: int | None = None) -> None:
    """Somebody elsewhere, or a steward of the space's host, takes a post back.

    An address not known here is remembered, so that a copy which comes late stays away (D4); on the word of one host
    alone (`attested_by`, a peer) what it tells itself.
    """
    async with db.together():
        row = await db.fetch_one("SELECT id, author_id, space_id, deleted_at FROM post WHERE uri = $1", uri)
        if row is None:
            await _remember_withdrawal(author_id, uri, attested_by)
        elif row["deleted_at"] is None:
            await take_back(row["id"], row["author_id"], row["space_id"], original)
        else:
            await db.execute("UPDATE post SET recalled_at = NULL WHERE id = $1", row["id"])


@dataclass(frozen=True, slots=True)
class _Here:
    """A post that is here already."""

    id: int
    root_id: int | None
    author_id: int
    space_id: int | None
    recalled_at: int | None = None
    attested_by: int | None = None

    def again(self, told_at: int) -> bool:
        """Whether its host, which took it back, brings it back by saying it at that moment."""
        return self.recalled_at is not None and told_at > self.recalled_at


async def _here(uris: Collection[str]) -> dict[str, _Here]:
    """Those of these addresses whose posts are here."""
    if not uris:
        return {}
    query = Clause("SELECT uri, id, root_id, author_id, space_id, peer_id, recalled_at, attested_by_id FROM post WHERE")
    query = query.join(among("uri", uris))
    return {
        row["uri"]: _Here(
            row["id"],
            row["root_id"],
            row["author_id"],
            row["space_id"],
            row["recalled_at"] if row["peer_id"] is not None else None,  # of our own people's words the host is told
            row["attested_by_id"],
        )
        for row in await db.fetch(*query.statement())
    }


def _said(arrived: Arrived, published_at: int) -> dict[str, object]:
    """The columns of what was said, as long as they may be."""
    return {
        "html": arrived.html,
        "summary": arrived.summary[:500],
        "language": arrived.language[:16],
        "reply_to_uri": arrived.reply_to_uri[:512],
        "published_at": published_at,
        "edited_at": arrived.edited_at,
        "attested_by_id": arrived.attested_by,
    }


async def _published(arrived: Arrived, space: spaces.SeenSpace | None, parent: _Here | None) -> int:
    """When it was written: as its author says, within what can be.

    Not in the future (R20). In a space of ours that date decides who of those that came in since may read it, whenever
    it comes and however often (I5): an earlier one takes readers away, and a later one than now is now. What answers
    something is never dated before it, so whoever asked reads the answer of somebody whose clock is late.
    """
    if space is None or not space.hosted_here:
        return min(arrived.published_at, now_ms() + FUTURE_MS)
    said = min(arrived.published_at, now_ms())
    answered = await db.fetch_one("SELECT published_at FROM post WHERE id = $1", parent.id) if parent else None
    return max(said, answered["published_at"]) if answered else said


async def _parent(uri: str, space_id: int | None) -> _Here | None:
    """What an arrived post answers, when we hold it and it stands in the same place."""
    found = (await _here({uri})).get(uri) if uri else None
    return found if found is not None and found.space_id == space_id else None


async def _is_for(viewer: Viewer, space: spaces.SeenSpace, parent: _Here, at: int) -> bool:
    """Whether an author could read, at a moment (ms), what they answer in a space of ours, also if it is taken back by
    now: else the answer would tell them that it is there, and by its date since when.
    """
    facts = await posts.facts_of(parent.id)
    then = min(at, now_ms())
    return facts is not None and bool(
        may_post(viewer, Act.READ, replace_fields(facts, deleted=False), space.standing, then)
    )


async def _gives_way(before: _Here | None, arrived: Arrived, space_id: int | None) -> bool:
    """Whether what stands under an address, told by one host alone in a space of its own, goes for what arrives now for
    another place: its author's word does, which that host had taken the address from. Raises Conflict when another
    host's word is all there is of that, too: nobody here can know which of both is true.
    """
    if before is None or before.attested_by is None or before.space_id == space_id:
        return False
    if arrived.attested_by is not None:
        if arrived.attested_by != before.attested_by:
            raise Conflict(detail=TOLD_ELSEWHERE)
        return False
    await take_back(before.id, before.author_id, before.space_id)
    await db.execute("UPDATE post SET uri = $1 WHERE id = $2", f"{arrived.uri[:480]}#{before.id}", before.id)
    return True


async def _the_same(uri: str, author_id: int) -> int:
    """The post that was here already. Raises Conflict when its id is somebody else's (O27)."""
    before = await db.fetch_one("SELECT id, author_id FROM post WHERE uri = $1", uri)
    if before is None or before["author_id"] != author_id:
        raise Conflict(detail=SOMEBODY_ELSES)
    return int(before["id"])


async def _remember_withdrawal(author_id: int, uri: str, attested_by: int | None) -> None:
    """Of what never came: so many on the word of one instance, the newest, and no more."""
    peer_id = attested_by or await peer_of(author_id)
    if peer_id is None:
        return
    uri_hash = _taken_back_as((await moves()).first(uri), attested_by)
    row = {"id": new_id(), "peer_id": peer_id, "author_id": author_id, "uri_hash": uri_hash, "at": now_ms()}
    await db.insert_many("withdrawal", [row], ignore=True)
    await db.execute(
        "DELETE FROM withdrawal WHERE peer_id = $1 AND id <= (SELECT id FROM withdrawal WHERE peer_id = $2"
        " ORDER BY id DESC LIMIT 1 OFFSET $3)",
        peer_id,
        peer_id,
        WITHDRAWALS_PER_PEER,
    )


def _taken_back_as(uri: str, attested_by: int | None) -> str:
    """Under which hash it is remembered that a post was taken back: by its author, or on the word of one host."""
    return hash_of(uri if attested_by is None else f"{attested_by} {uri}")


async def _taken_back(told: Sequence[Told]) -> bool:
    """Whether the author of one of these took it back before it came (D4)."""
    known = await moves()
    by_hash = {
        _taken_back_as(known.first(one.arrived.uri), said_by): one.author_id
        for one in told
        for said_by in {None, one.arrived.attested_by}
    }
    query = Clause("SELECT uri_hash, author_id FROM withdrawal WHERE").join(among("uri_hash", by_hash))
    return any(by_hash[row["uri_hash"]] == row["author_id"] for row in await db.fetch(*query.statement()))
