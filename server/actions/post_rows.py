"""The rows of a post: written once, said better, emptied when it is taken back. Who may was asked before."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from server import database as db
from server.actions import file_bytes, holding, poll_rows
from server.actions.finding import make_findable
from server.actions.poll_rows import NewPoll
from server.clock import now_ms
from server.errors import NotFound
from server.events import Kind, record
from server.ids import new_id
from server.openness import PartnerView, Visibility
from server.queries import spaces
from server.queries.policies import written_under
from server.queries.polls import titles
from server.sql import Clause, among
from server.viewer import RemotePerson, Viewer

TAKEN_BACK_MEANWHILE = "it was taken back meanwhile"


class _Answered(Protocol):
    """What a reply needs to know of the post that it answers."""

    @property
    def id(self) -> int: ...
    @property
    def root_id(self) -> int | None: ...
    @property
    def author_id(self) -> int: ...


def row_of(
    post_id: int,
    uri: str,
    author_id: int,
    space: spaces.SeenSpace | None,
    parent: _Answered | None,
    visibility: Visibility | None,
) -> dict[str, object]:
    """Where a post stands, for whom it is written and what it answers, as columns."""
    return {
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
    }


async def stamp_of(space: spaces.SeenSpace | None, at: int, peer_id: int | None = None) -> dict[str, object]:
    """Where a post of a past moment (ms), by somebody of this peer, comes into a space of ours: the columns that say
    for whom it was written then.

    What has been opened since is opened for what was written since; without this what came late, or once more after a
    backup, was read by whom its author never meant.
    """
    found = await written_under(space.id, at, peer_id) if space is not None and space.hosted_here else None
    if space is None or found is None:
        return {}
    blind = space.facts.blind or found.policy.partner_view is PartnerView.BLIND
    stamp: dict[str, object] = {"stamp": found.policy.variant.value, "stamp_epoch": found.epoch, "stamp_blind": blind}
    kept = found.kept
    return stamp | (
        {} if kept is None else {"kept_at": kept.at, "kept_history": kept.history.value, "kept_days": kept.days}
    )


async def write(
    post_id: int,
    uri: str,
    author_id: int,
    space: spaces.SeenSpace | None,
    parent: _Answered | None,
    visibility: Visibility | None,
    said: dict[str, object],
    poll: NewPoll | None = None,
) -> bool:
    """Writes a post, its words and its poll, unless there is one with this uri; says whether it did."""
    new = await db.insert_new("post", row_of(post_id, uri, author_id, space, parent, visibility) | said, "uri")
    if new:
        if poll is not None:
            await poll_rows.write_polls([(post_id, poll)])
        await make_findable(post_id, str(said["html"]), poll.options if poll else ())
    return new


async def join_answers(space_id: int, written: Mapping[str, tuple[int, int | None]]) -> None:
    """Posts of a space that were written now, each address with its id and its thread's first: what answers one of them
    and came before it finds its place.
    """
    query = Clause(
        "SELECT id, reply_to_uri FROM post WHERE space_id = ? AND reply_to_id IS NULL AND reply_to_uri <> '' AND",
        (space_id,),
    ).join(among("reply_to_uri", written))
    for row in await db.fetch(*query.statement()):
        post_id, root_id = written[row["reply_to_uri"]]
        root_id = root_id or post_id
        await db.execute("UPDATE post SET reply_to_id = $1, root_id = $2 WHERE id = $3", post_id, root_id, row["id"])
        await db.execute("UPDATE post SET root_id = $1 WHERE root_id = $2", root_id, row["id"])


async def write_again(row: Mapping[str, object]) -> None:
    """What a host took back with all of its space, and tells once more: in its old place, with the words of now."""
    columns = [name for name in row if name != "id"]
    sets = ", ".join(f"{name} = ${number}" for number, name in enumerate(columns, 1))
    await db.execute(
        f"UPDATE post SET {sets}, deleted_at = NULL, recalled_at = NULL WHERE id = ${len(columns) + 1}",
        *(row[name] for name in columns),
        row["id"],
    )


async def write_names(post_id: int, mentioned: Sequence[int]) -> None:
    rows = [{"id": new_id(), "post_id": post_id, "actor_id": actor_id} for actor_id in dict.fromkeys(mentioned)]
    await db.insert_many("mention", rows, ignore=True)


async def stands(post_id: int) -> None:
    """The post is there until the end of the caller's transaction: who takes it back waits. Raises NotFound."""
    held = " FOR SHARE" if db.engine_name() == "postgres" else ""
    if not await db.fetch_one(f"SELECT id FROM post WHERE id = $1 AND deleted_at IS NULL{held}", post_id):
        raise NotFound(detail=TAKEN_BACK_MEANWHILE)


async def replace(post_id: int, old_html: str, old_source: str, html: str, source: str, at: int) -> None:
    """The post says something else. Raises NotFound when it was taken back meanwhile."""
    there = await db.execute(
        "UPDATE post SET html = $1, source = $2, edited_at = $3 WHERE id = $4 AND deleted_at IS NULL",
        html,
        source,
        at,
        post_id,
    )
    if not there:
        raise NotFound(detail=TAKEN_BACK_MEANWHILE)
    version = {"id": new_id(), "post_id": post_id, "html": old_html, "source": old_source, "replaced_at": at}
    await db.insert("post_version", version)
    await make_findable(post_id, html, (await titles([post_id])).get(post_id, ()))


async def take_back(
    post_id: int, author_id: int, space_id: int | None, original: str = "", event_id: int | None = None
) -> None:
    await db.execute(
        "UPDATE post SET deleted_at = $1, html = '', source = '', summary = '', byline = '' WHERE id = $2",
        now_ms(),
        post_id,
    )
    for table in ("post_version", "mention", "reaction", "notice", "search_row", *poll_rows.TABLES):
        await db.execute(f"DELETE FROM {table} WHERE post_id = $1", post_id)
    await file_bytes.leave(post_id)
    await db.execute("UPDATE event SET original = '' WHERE post_id = $1", post_id)
    if await holding.forget(post_id):
        return  # nobody has heard of it
    where: dict[str, Any] = {"space_id": space_id, "post_id": post_id, "event_id": event_id}
    await record(Kind.POST_WITHDRAWN, actor_id=author_id, original=original, **where)


async def peer_of(actor_id: int, viewer: Viewer | None = None) -> int | None:
    if isinstance(viewer, RemotePerson) and viewer.actor_id == actor_id:
        return viewer.peer_id
    row = await db.fetch_one("SELECT peer_id FROM actor WHERE id = $1", actor_id)
    return row["peer_id"] if row else None


async def ours_of(actor_ids: Sequence[int]) -> set[int]:
    """Those of these actors who are people here."""
    if not actor_ids:
        return set()
    query = Clause("SELECT id FROM actor WHERE peer_id IS NULL AND kind = 'person' AND").join(among("id", actor_ids))
    return {row["id"] for row in await db.fetch(*query.statement())}


async def is_ours(actor_id: int) -> bool:
    return bool(await ours_of([actor_id]))


def hash_of(uri: str) -> str:
    return hashlib.sha256(uri.encode()).hexdigest()
