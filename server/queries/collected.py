"""What stands in a collection, by address only, in keyset pages: what another instance is told of a list.

The viewer is asked for each entry: a server counts and names its own people, and of others as many as the openness
of a space lets it know, but never those of a third instance.
"""

from dataclasses import dataclass
from typing import Any

from server import database as db
from server.clock import now_ms
from server.openness import Identity
from server.policy import Act, scope_posts
from server.queries import identity, sides
from server.queries.posts import READABLE
from server.queries.spaces import SeenSpace
from server.sql import Clause
from server.viewer import PeerServer, Viewer

PAGE = 40
NOBODY = 0


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry. `id` is the place to go on from; `event_id`: the fact that published it, when it is a post."""

    id: int
    uri: str
    at: int
    event_id: int | None = None


@dataclass(frozen=True, slots=True)
class Entries:
    """One page, and whether others follow."""

    entries: tuple[Entry, ...]
    more: bool


# --- posts ----------------------------------------------------------------------------------------


async def written_by(viewer: Viewer, actor_id: int, after: int | None = None) -> Entries:
    """What somebody wrote that this viewer may read, newest first."""
    own = Clause("p.author_id = ?", (actor_id,)).and_(identity.by_name(viewer))
    return await _posts(viewer, own, after, newest_first=True)


async def written_in(viewer: Viewer, space_id: int, after: int | None = None) -> Entries:
    """What was written in a space that this viewer may read, newest first."""
    return await _posts(viewer, Clause("p.space_id = ?", (space_id,)), after, newest_first=True)


async def answers(viewer: Viewer, post_id: int, after: int | None = None) -> Entries:
    """The direct answers to a post that this viewer may read, oldest first."""
    return await _posts(viewer, Clause("p.reply_to_id = ?", (post_id,)), after, newest_first=False)


async def conversation(viewer: Viewer, root_id: int, after: int | None = None) -> Entries:
    """A post that began a thread, and all that followed and this viewer may read, oldest first."""
    return await _posts(viewer, Clause("(p.id = ? OR p.root_id = ?)", (root_id, root_id)), after, newest_first=False)


async def _posts(viewer: Viewer, among: Clause, after: int | None, *, newest_first: bool) -> Entries:
    where = among.and_(scope_posts(viewer, now_ms()))
    if after is not None:
        where = where.then("AND p.id < ?" if newest_first else "AND p.id > ?", after)
    query = (
        Clause("SELECT p.id, p.uri, p.published_at AS at, (SELECT MIN(e.id) FROM event e WHERE e.post_id = p.id")
        .then(f"AND e.kind = 'post_published') AS event_id {READABLE} WHERE")
        .join(where)
        .then(f"ORDER BY p.id {'DESC' if newest_first else 'ASC'} LIMIT ?", PAGE + 1)
    )
    return _page(await db.fetch(*query.statement()))


# --- people ---------------------------------------------------------------------------------------

_PRESENT = (
    "a.suspended_at IS NULL AND a.gone_at IS NULL"
    " AND NOT EXISTS (SELECT 1 FROM account c WHERE c.actor_id = a.id AND c.suspended_at IS NOT NULL)"
)


async def members(viewer: Viewer, space: SeenSpace, after: int | None = None, *, own_only: bool = False) -> Entries:
    """Who is in a space that the viewer has found: a server's own people and, where it may know names, ours.

    `own_only`: its own people alone, as far as it asks for its part of the collection.
    """
    whose = Clause("m.peer_id = ?", (_peer(viewer),))
    if not own_only and space.may(viewer, Act.NAME_MEMBERS) and space.identity is not Identity.FUNCTION:
        # the addresses of a third instance's people are that instance's to tell, whatever the space shows on its pages
        whose = Clause("(m.peer_id = ? OR m.peer_id IS NULL)", (_peer(viewer),)).and_(await sides.named(viewer, space))
    query = (
        Clause("SELECT m.id, a.uri, m.since_at AS at FROM membership m JOIN actor a ON a.id = m.actor_id WHERE")
        .then(f"m.space_id = ? AND m.state = 'member' AND {_PRESENT}", space.id)
        .then("AND (m.until_at IS NULL OR m.until_at >= ?)", now_ms())
        .and_(whose)
    )
    return await _people(query, "m.id", after)


async def count_members(viewer: Viewer, space: SeenSpace, *, own_only: bool = False) -> int | None:
    """How many there are, when this viewer may count them; `own_only`: how many of a server's own."""
    query = Clause("SELECT COUNT(*) AS n FROM membership m WHERE m.space_id = ? AND m.state = 'member'", (space.id,))
    if own_only:
        query = query.then("AND m.peer_id = ?", _peer(viewer))
    elif not space.may(viewer, Act.COUNT_MEMBERS):
        return None
    else:
        query = query.and_(await sides.counted(viewer, space))
    row = await db.fetch_one(*query.statement())
    return int(row["n"]) if row else None


async def followers(viewer: Viewer, actor_id: int, after: int | None = None) -> Entries:
    """Those of a server's own people who follow one of ours."""
    return await _follows(viewer, "f.followed_id", "f.follower_id", actor_id, after)


async def following(viewer: Viewer, actor_id: int, after: int | None = None) -> Entries:
    """Those of a server's own people whom one of ours follows."""
    return await _follows(viewer, "f.follower_id", "f.followed_id", actor_id, after)


async def _follows(viewer: Viewer, ours: str, theirs: str, actor_id: int, after: int | None) -> Entries:
    query = Clause(f"SELECT f.id, a.uri, f.created_at AS at FROM follow f JOIN actor a ON a.id = {theirs} WHERE").then(
        f"{ours} = ? AND f.state = 'accepted' AND a.peer_id = ? AND {_PRESENT}", actor_id, _peer(viewer)
    )
    return await _people(query, "f.id", after)


async def _people(query: Clause, key: str, after: int | None) -> Entries:
    if after is not None:
        query = query.then(f"AND {key} > ?", after)
    return _page(await db.fetch(*query.then(f"ORDER BY {key} LIMIT ?", PAGE + 1).statement()))


def _peer(viewer: Viewer) -> int:
    """Whose own people count; whoever is no server has none."""
    return viewer.peer_id if isinstance(viewer, PeerServer) else NOBODY


def _page(rows: list[dict[str, Any]]) -> Entries:
    entries = tuple(Entry(row["id"], row["uri"], row["at"] or 0, row.get("event_id")) for row in rows[:PAGE])
    return Entries(entries, more=len(rows) > PAGE)
