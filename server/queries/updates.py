"""What happened, as one person may hear of it on an open page: ids only, each asked of the policy again (A38)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from server import database as db
from server.clock import now_ms
from server.ids import LATE_MS, born_ms
from server.openness import Visibility
from server.policy import Act
from server.queries import posts, sides, spaces
from server.queries.spaces import SeenSpace
from server.sql import Clause, one_of
from server.transactions import Row
from server.viewer import Employee, Resident

KINDS = {
    "post_published": "new",
    "post_edited": "edited",
    "post_withdrawn": "withdrawn",
    "reacted": "reacted",
    "reaction_undone": "reacted",
    "voted": "reacted",
    "tallied": "reacted",
}
"""Which facts concern a post, and what pages call them."""

MOST_REPLAYED = 200
"""Facts that a page which was away is told one by one; after more it had better read again."""


@dataclass(frozen=True, slots=True)
class Update:
    """Something about a post that this person may read, or might have read before it was withdrawn.

    `kind`: new, edited, withdrawn, reacted. `answers`: the post that it answers, `root`: where its thread began.
    """

    id: int
    kind: str
    space_id: int | None
    answers: int | None
    root: int | None
    mine: bool


async def told(viewer: Resident, facts: Iterable[tuple[str, int, int | None]]) -> list[Update]:
    """Those of these facts (kind of event, post id, who did it) that this person may hear of, in order, each once.

    What is told late of the past is not news: it stands further down.
    """
    heard = await _heard(viewer, list(dict.fromkeys(facts)))
    wanted = list(dict.fromkeys((KINDS[kind], post_id) for kind, post_id in heard))
    wanted = [(kind, post_id) for kind, post_id in wanted if kind != "new" or born_ms(post_id) > now_ms() - LATE_MS]
    ids = list(dict.fromkeys(post_id for _, post_id in wanted))
    if not ids:
        return []
    select = (
        "SELECT id, author_id, space_id, visibility, reply_to_id, root_id, deleted_at, held_at, side, stamp_blind"
        " FROM post WHERE"
    )
    rows = {row["id"]: row for row in await db.fetch(*Clause(select).join(one_of("id", ids)).statement())}
    gone = [row for row in rows.values() if row["deleted_at"] is not None and row["held_at"] is None]
    allowed = await posts.readable(viewer, ids) | await _once_readable(viewer, gone)
    return [
        Update(
            id=post_id,
            kind="withdrawn" if rows[post_id]["deleted_at"] is not None else kind,
            space_id=rows[post_id]["space_id"],
            answers=rows[post_id]["reply_to_id"],
            root=rows[post_id]["root_id"],
            mine=rows[post_id]["author_id"] == viewer.actor_id,
        )
        for kind, post_id in wanted
        if post_id in allowed
    ]


async def _heard(viewer: Resident, facts: Sequence[tuple[str, int, int | None]]) -> list[tuple[str, int]]:
    """Without the gestures and votes of partners who are not there for this person."""
    known = [(kind, post_id, actor_id) for kind, post_id, actor_id in facts if kind in KINDS]
    if isinstance(viewer, Employee):
        return [(kind, post_id) for kind, post_id, _ in known]
    gestures = [(post_id, actor_id) for kind, post_id, actor_id in known if KINDS[kind] == "reacted" and actor_id]
    for_them = await sides.gestures_for(viewer.side, gestures)
    return [
        (kind, post_id)
        for kind, post_id, actor_id in known
        if KINDS[kind] != "reacted" or not actor_id or (post_id, actor_id) in for_them
    ]


async def _once_readable(viewer: Resident, gone: Sequence[Row]) -> set[int]:
    """Withdrawn posts whose place this person may read: that one of them is gone tells them nothing new."""
    around = await spaces.around(viewer, {row["space_id"] for row in gone if row["space_id"]})
    read = {space_id for space_id, space in around.items() if space.may(viewer, Act.READ)}
    here = [row for row in gone if (row["space_id"] in read if row["space_id"] else _was_open(viewer, row))]
    return {row["id"] for row in here if not row["space_id"] or _same_side(viewer, row, around[row["space_id"]])}


def _was_open(viewer: Resident, row: Row) -> bool:
    open_to = (Visibility.PUBLIC, Visibility.COLLEAGUES) if isinstance(viewer, Employee) else (Visibility.PUBLIC,)
    return row["visibility"] in open_to


def _same_side(viewer: Resident, row: Row, space: SeenSpace) -> bool:
    """Blind partners: that one of them took something back is not there for the others."""
    blind = space.facts.blind or row["stamp_blind"]
    return isinstance(viewer, Employee) or not blind or row["side"] in ("", viewer.side)


async def since(viewer: Resident, event_id: int) -> list[Update] | None:
    """What this person may hear of that happened after a fact; None when it is too much to tell one by one."""
    query = Clause(
        "SELECT kind, post_id, actor_id FROM event WHERE id > ? AND post_id IS NOT NULL AND", (event_id,)
    ).join(one_of("kind", KINDS))
    rows = await db.fetch(*query.then("ORDER BY id LIMIT ?", MOST_REPLAYED + 1).statement())
    if len(rows) > MOST_REPLAYED:
        return None
    return await told(viewer, [(row["kind"], row["post_id"], row["actor_id"]) for row in rows])
