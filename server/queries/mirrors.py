"""The partner's mirror: what one linked instance sees here, and what we hold of theirs, in counts. Never content."""

from dataclasses import dataclass
from typing import Any

from server import database as db
from server.clock import now_ms
from server.errors import NotFound
from server.openness import Level, LinkState
from server.policy import Act, scope_posts
from server.queries.offices import demand_overseer
from server.queries.spaces import around
from server.sql import Clause, one_of
from server.viewer import PeerServer, Viewer

MOST_SPACES = 200


@dataclass(frozen=True, slots=True)
class MirroredSpace:
    """A space that both are in. `here`: we host it, so `items` and `files` are what they may read and `copies` what
    they were sent; else they host it, `items` and `files` are what we hold and `copies` what of it came from there.

    `theirs`, `ours`: people of each in it, as known here. `last_at`: when something of it last went there, or came.
    """

    uri: str
    slug: str
    name: str
    level: Level
    here: bool
    named: bool
    theirs: int
    ours: int
    items: int
    files: int
    copies: int
    last_at: int | None


@dataclass(frozen=True, slots=True)
class Mirror:
    """All of one partner. `more`: there are more spaces than `MOST_SPACES`. Moments in milliseconds."""

    host: str
    title: str
    state: LinkState
    peer_id: int
    people: int
    last_heard_at: int | None
    spaces: tuple[MirroredSpace, ...]
    more: bool = False


async def of_host(viewer: Viewer, host: str) -> Mirror:
    """What the instance at a host sees here. For administrators and auditors. Raises Forbidden or NotFound."""
    demand_overseer(viewer)
    row = await db.fetch_one("SELECT q.id FROM peer q JOIN link l ON l.peer_id = q.id WHERE q.host = $1", host.lower())
    if row is None:
        raise NotFound(detail="no such link")
    return await of_peer(row["id"])


async def for_itself(viewer: Viewer) -> Mirror:
    """The same for the partner that asks. Raises NotFound to anybody but a linked instance."""
    if not isinstance(viewer, PeerServer) or not viewer.linked:
        raise NotFound(detail="for linked instances")
    return await of_peer(viewer.peer_id, shown_there=True)


async def of_peer(peer_id: int, *, shown_there: bool = False) -> Mirror:
    """The mirror of one instance: not a door. At most seven queries, however many spaces there are.

    `shown_there`: without how many of ours are in a space that does not let the other count them.
    """
    peer = await db.fetch_one(
        "SELECT q.host, q.title, q.last_heard_at, l.state FROM peer q JOIN link l ON l.peer_id = q.id WHERE q.id = $1",
        peer_id,
    )
    if peer is None:
        raise NotFound(detail="no such link")
    state = LinkState(peer["state"])
    rows = await db.fetch(_SPACES, peer_id, MOST_SPACES + 1)
    ids = [row["id"] for row in rows[:MOST_SPACES]]
    server = PeerServer(peer_id, state is LinkState.ACTIVE)
    if shown_there:
        seen = await around(server, ids)
        for row in rows[:MOST_SPACES]:
            row["ours"] = row["ours"] if seen[row["id"]].may(server, Act.COUNT_MEMBERS) or not row["here"] else 0
    counts = await _readable(server, ids) | await _held(peer_id)
    sent = await _sent(peer_id, ids) | await _received(peer_id)
    people = await db.fetch_one(
        "SELECT COUNT(DISTINCT actor_id) AS n FROM membership WHERE peer_id = $1 AND state = 'member'", peer_id
    )
    return Mirror(
        host=peer["host"],
        title=peer["title"] or peer["host"],
        state=state,
        peer_id=peer_id,
        people=people["n"] if people else 0,
        last_heard_at=peer["last_heard_at"],
        spaces=tuple(_space(row, counts, sent) for row in rows[:MOST_SPACES]),
        more=len(rows) > MOST_SPACES,
    )


_SPACES = """SELECT s.id, s.slug, s.name, s.level, g.uri, CASE WHEN s.peer_id IS NULL THEN 1 ELSE 0 END AS here,
  EXISTS (SELECT 1 FROM space_partner n WHERE n.space_id = s.id AND n.peer_id = $1) AS named,
  (SELECT COUNT(*) FROM membership m WHERE m.space_id = s.id AND m.peer_id = $1 AND m.state = 'member') AS theirs,
  (SELECT COUNT(*) FROM membership m WHERE m.space_id = s.id AND m.peer_id IS NULL AND m.state = 'member') AS ours
  FROM space s JOIN actor g ON g.id = s.actor_id WHERE s.peer_id = $1 OR (s.peer_id IS NULL AND (
    EXISTS (SELECT 1 FROM space_partner n WHERE n.space_id = s.id AND n.peer_id = $1)
    OR EXISTS (SELECT 1 FROM membership m WHERE m.space_id = s.id AND m.peer_id = $1 AND m.state = 'member')))
  ORDER BY s.slug LIMIT $2"""


def _space(
    row: dict[str, Any], counts: dict[int, tuple[int, int]], sent: dict[int, tuple[int, int | None]]
) -> MirroredSpace:
    items, files = counts.get(row["id"], (0, 0))
    copies, last_at = sent.get(row["id"], (0, None))
    return MirroredSpace(
        uri=row["uri"],
        slug=row["slug"],
        name=row["name"],
        level=Level(row["level"]),
        here=bool(row["here"]),
        named=bool(row["named"]),
        theirs=row["theirs"],
        ours=row["ours"],
        items=items,
        files=files,
        copies=copies,
        last_at=last_at,
    )


async def _readable(server: PeerServer, space_ids: list[int]) -> dict[int, tuple[int, int]]:
    """What their server reads of each space: the same scope as every list."""
    if not space_ids:
        return {}
    query = (
        Clause(_COUNTED)
        .join(one_of("p.space_id", space_ids))
        .and_(scope_posts(server, now_ms()))
        .then("GROUP BY p.space_id")
    )
    return {row["space_id"]: (row["items"], row["files"]) for row in await db.fetch(*query.statement())}


_COUNTED = """SELECT p.space_id, COUNT(*) AS items,
  SUM((SELECT COUNT(*) FROM attachment t WHERE t.post_id = p.id)) AS files
  FROM post p JOIN space s ON s.id = p.space_id WHERE"""


async def _held(peer_id: int) -> dict[int, tuple[int, int]]:
    """What we hold of each of their spaces."""
    rows = await db.fetch(f"{_COUNTED} s.peer_id = $1 AND p.deleted_at IS NULL GROUP BY p.space_id", peer_id)
    return {row["space_id"]: (row["items"], row["files"]) for row in rows}


async def _sent(peer_id: int, space_ids: list[int]) -> dict[int, tuple[int, int | None]]:
    """How many posts of each space went there and were not taken back since, and when the last one did."""
    if not space_ids:
        return {}
    query = (
        Clause(
            "SELECT e.space_id, COUNT(DISTINCT CASE WHEN p.deleted_at IS NULL THEN e.post_id END) AS copies,"
            " MAX(d.done_at) AS last_at FROM delivery d JOIN event e ON e.id = d.event_id"
            " JOIN post p ON p.id = e.post_id WHERE d.peer_id = ? AND d.state = 'sent' AND e.kind = 'post_published'",
            (peer_id,),
        )
        .and_(one_of("e.space_id", space_ids))
        .then("GROUP BY e.space_id")
    )
    return {row["space_id"]: (row["copies"], row["last_at"]) for row in await db.fetch(*query.statement())}


async def _received(peer_id: int) -> dict[int, tuple[int, int | None]]:
    """How many posts of each of their spaces came from there and are kept here, and when the last one was written."""
    rows = await db.fetch(
        "SELECT p.space_id, COUNT(*) AS copies, MAX(p.published_at) AS last_at FROM post p"
        " JOIN space s ON s.id = p.space_id WHERE s.peer_id = $1 AND p.peer_id IS NOT NULL AND p.deleted_at IS NULL"
        " GROUP BY p.space_id",
        peer_id,
    )
    return {row["space_id"]: (row["copies"], row["last_at"]) for row in rows}


# --- both sides -----------------------------------------------------------------------------------


def as_json(mirror: Mirror, at: int) -> dict[str, Any]:
    """For the partner: counts by space, by its address."""
    return {
        "partner": mirror.host,
        "at": at,
        "people": mirror.people,
        "spaces": [
            {
                "space": one.uri,
                "hosted_here": one.here,
                "theirs": one.theirs,
                "ours": one.ours,
                "items": one.items,
                "files": one.files,
                "copies": one.copies,
            }
            for one in mirror.spaces
        ],
        "more": mirror.more,
    }


@dataclass(frozen=True, slots=True)
class Compared:
    """One space as both tell it. `theirs` None: they do not name it. `differs`: which numbers are not the same."""

    space: MirroredSpace | None
    uri: str
    theirs: dict[str, int] | None
    differs: tuple[str, ...]


def compare(ours: Mirror, told: dict[str, Any]) -> list[Compared]:
    """Space by space, ours first. Compared are the copies (what the host sent, what the other holds of it) and the
    members that a space has from the other side; what only the host can count is shown and not compared.
    """
    there = {str(one["space"]): one for one in told["spaces"]}
    found = [_compared(space, there.pop(space.uri, None)) for space in ours.spaces]
    return found + [Compared(None, uri, _numbers(one), ("space",)) for uri, one in sorted(there.items())]


def _compared(space: MirroredSpace, told: dict[str, Any] | None) -> Compared:
    if told is None:
        return Compared(space, space.uri, None, ("space",) if space.copies else ())
    numbers = _numbers(told)
    guests = space.theirs == numbers["ours"] if space.here else space.ours == numbers["theirs"]
    copies = space.copies == numbers["copies"]
    return Compared(
        space, space.uri, numbers, tuple(n for n, same in (("people", guests), ("copies", copies)) if not same)
    )


def _numbers(told: dict[str, Any]) -> dict[str, int]:
    return {name: int(told[name]) for name in ("theirs", "ours", "items", "files", "copies")}
