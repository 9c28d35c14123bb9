"""Home and other feeds, newest first, by keyset: a page costs the same however long the history is.

Each source of a feed (a space, a person, what colleagues wrote, what names me) is asked for its own newest
rows through an index, and the sources are merged; the policy's scope stands inside each of them.
"""

from dataclasses import dataclass

from server import database as db
from server.clock import now_ms
from server.policy import scope_posts
from server.queries.posts import READABLE, PostCard, cards
from server.sql import Clause
from server.viewer import Employee, Viewer

PAGE = 20
MOST = 80
MAX_SOURCES = 300
"""Spaces and people that a home feed draws from at once, the most recently joined first."""


@dataclass(frozen=True, slots=True)
class Window:
    """Which part of a feed: posts older than `before`, newer than `after` (ids), at most `limit`.

    `upward`: the ones just after `after` rather than the newest (a client's min_id).
    """

    before: int | None = None
    after: int | None = None
    limit: int = PAGE
    upward: bool = False


async def home(viewer: Employee, window: Window) -> list[PostCard]:
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
    sources.append(Clause("p.visibility = 'colleagues'"))
    sources.append(Clause("p.id IN (SELECT post_id FROM mention WHERE actor_id = ?)", (viewer.actor_id,)))
    return await cards(viewer, await _merged(viewer, sources, window))


async def of_space(viewer: Viewer, space_id: int, window: Window) -> list[PostCard]:
    """What was written in a space. Whoever calls has found the space through the viewer."""
    return await cards(viewer, await _merged(viewer, [Clause("p.space_id = ?", (space_id,))], window))


async def of_person(viewer: Viewer, actor_id: int, window: Window) -> list[PostCard]:
    """What somebody wrote, as far as the viewer may read it."""
    return await cards(viewer, await _merged(viewer, [Clause("p.author_id = ?", (actor_id,))], window))


async def public(viewer: Viewer, window: Window) -> list[PostCard]:
    """Personal posts addressed to everybody."""
    return await cards(viewer, await _merged(viewer, [Clause("p.visibility = 'public'")], window))


async def _merged(viewer: Viewer, sources: list[Clause], window: Window) -> list[int]:
    limit = max(1, min(window.limit, MOST))
    order = "ASC" if window.upward else "DESC"
    scope = scope_posts(viewer, now_ms())
    pieces = [
        Clause(f"SELECT * FROM (SELECT p.id {READABLE} WHERE")
        .join(source)
        .join(_between(window))
        .and_(scope)
        .then(f"ORDER BY p.id {order} LIMIT {limit}) AS part")
        for source in sources
    ]
    whole = pieces[0]
    for piece in pieces[1:]:
        whole = whole.then("UNION").join(piece)
    query = Clause("SELECT id FROM (").join(whole).then(f") AS feed ORDER BY id {order} LIMIT {limit}")
    ids = [row["id"] for row in await db.fetch(*query.statement())]
    return sorted(ids, reverse=True)


def _between(window: Window) -> Clause:
    clause = Clause("")
    if window.before is not None:
        clause = clause.then("AND p.id < ?", window.before)
    if window.after is not None:
        clause = clause.then("AND p.id > ?", window.after)
    return clause
