"""Home and other feeds, newest first, by keyset: a page costs the same however long the history is.

A feed of one source (a space, a person) is one question with the policy's scope inside. Home has many: each is
asked for its newest ids through an index, without a word of policy; the newest of all of them are then asked of
the scope together, and more are taken when too few of those are this viewer's to read.
"""

from dataclasses import dataclass, replace

from server import database as db
from server.clock import now_ms
from server.policy import scope_posts
from server.queries import identity
from server.queries.posts import READABLE, PostCard, cards
from server.sql import Clause
from server.viewer import Employee, Resident, Viewer

PAGE = 20
MOST = 80
MAX_SOURCES = 300
"""Spaces and people that a home feed draws from at once, the most recently joined first."""

MOST_CANDIDATES = 1000
"""Ids that are asked of the policy at once, when few of those before were the viewer's to read."""


@dataclass(frozen=True, slots=True)
class Window:
    """Which part of a feed: posts older than `before`, newer than `after` (ids), at most `limit`.

    `upward`: the ones just after `after` rather than the newest (a client's min_id).
    """

    before: int | None = None
    after: int | None = None
    limit: int = PAGE
    upward: bool = False


async def home(viewer: Resident, window: Window) -> list[PostCard]:
    """What is new for somebody: their spaces, the people they follow, colleagues at large, what names them."""
    spaces = await db.fetch(
        "SELECT space_id FROM membership WHERE actor_id = $1 AND state = 'member' ORDER BY since_at DESC LIMIT $2",
        viewer.actor_id,
        MAX_SOURCES,
    )
    followed = await db.fetch(
        "SELECT followed_id FROM follow WHERE follower_id = $1 AND state = 'accepted' ORDER BY id DESC LIMIT $2",
        viewer.actor_id,
        MAX_SOURCES - min(len(spaces), MAX_SOURCES - 1),
    )
    people = [row["followed_id"] for row in followed] + [viewer.actor_id]
    sources = [Clause("p.space_id = ?", (row["space_id"],)) for row in spaces]
    sources += [Clause("p.author_id = ?", (i,)) for i in people]
    if isinstance(viewer, Employee):
        sources.append(Clause("p.visibility = 'colleagues'"))
    sources.append(Clause("p.id IN (SELECT post_id FROM mention WHERE actor_id = ?)", (viewer.actor_id,)))
    return await cards(viewer, await _merged(viewer, sources, window))


async def of_space(viewer: Viewer, space_id: int, window: Window) -> list[PostCard]:
    """What was written in a space. Whoever calls has found the space through the viewer."""
    return await _of(viewer, Clause("p.space_id = ?", (space_id,)), window)


async def of_person(viewer: Viewer, actor_id: int, window: Window) -> list[PostCard]:
    """What somebody wrote, as far as the viewer may read it."""
    return await _of(viewer, Clause("p.author_id = ?", (actor_id,)).and_(identity.by_name(viewer)), window)


async def public(viewer: Viewer, window: Window) -> list[PostCard]:
    """Personal posts addressed to everybody."""
    return await _of(viewer, Clause("p.visibility = 'public'"), window)


async def _of(viewer: Viewer, source: Clause, window: Window) -> list[PostCard]:
    where = source.join(_between(window)).and_(scope_posts(viewer, now_ms()))
    query = Clause(f"SELECT p.id {READABLE} WHERE").join(where).join(_newest(window, _limit(window), "p.id"))
    ids = [row["id"] for row in await db.fetch(*query.statement())]
    return await cards(viewer, sorted(ids, reverse=True))


async def _merged(viewer: Viewer, sources: list[Clause], window: Window) -> list[int]:
    """The newest ids of all these sources that the viewer may read; what a page leaves is where the next begins."""
    limit, found = _limit(window), list[int]()
    size = limit
    while True:
        rows = await db.fetch(*_candidates(viewer, sources, window, size).statement())
        found += [row["id"] for row in rows if row["readable"]]
        if len(found) >= limit or len(rows) < size:
            return sorted(found[:limit], reverse=True)
        last = rows[-1]["id"]
        window = replace(window, after=last) if window.upward else replace(window, before=last)
        size = min(size * 2, MOST_CANDIDATES)


def _candidates(viewer: Viewer, sources: list[Clause], window: Window, size: int) -> Clause:
    """The next ids of all the sources, and of each whether this viewer may read it."""
    end = _between(window).join(_newest(window, size, "p.id"))
    merged = Clause(
        " UNION ".join(
            f"SELECT * FROM (SELECT p.id FROM post p WHERE {source.text} {end.text}) AS part" for source in sources
        ),
        tuple(value for source in sources for value in (*source.values, *end.values)),
    )
    return (
        Clause("SELECT p.id, CASE WHEN")
        .join(scope_posts(viewer, now_ms()))
        .then("THEN 1 ELSE 0 END AS readable FROM (SELECT id FROM (")
        .join(merged)
        .then(") AS parts")
        .join(_newest(window, size, "id"))
        .then(") AS feed JOIN post p ON p.id = feed.id LEFT JOIN space s ON s.id = p.space_id")
        .join(_newest(window, size, "p.id"))
    )


def _limit(window: Window) -> int:
    return max(1, min(window.limit, MOST))


def _newest(window: Window, count: int, column: str) -> Clause:
    return Clause(f"ORDER BY {column} {'ASC' if window.upward else 'DESC'} LIMIT ?", (count,))


def _between(window: Window) -> Clause:
    clause = Clause("")
    if window.before is not None:
        clause = clause.then("AND p.id < ?", window.before)
    if window.after is not None:
        clause = clause.then("AND p.id > ?", window.after)
    return clause
