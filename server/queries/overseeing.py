"""What those see who look after the instance: every space in figures, exceptional readings. Never content."""

from dataclasses import dataclass
from typing import Any

from server import database as db
from server.clock import now_ms
from server.errors import Forbidden, NotFound
from server.openness import Level, Office
from server.queries import policies
from server.queries.offices import demand_overseer
from server.space_policy import SpacePolicy
from server.sql import Clause
from server.viewer import Employee, Viewer

PAGE = 50


@dataclass(frozen=True, slots=True)
class Overseen:
    """A space of ours in figures. `closes_at`, `review_due_at`: moments in milliseconds."""

    id: int
    slug: str
    level: Level
    members: int
    outside: int  # of them from elsewhere or guests
    partners: int
    items: int
    version: int
    closes_at: int | None
    review_due_at: int | None
    managed_by: str
    owners: tuple[str, ...]


async def spaces(viewer: Viewer, *, after: str = "", limit: int = PAGE) -> list[Overseen]:
    """Every space of ours by slug; `after`: the last slug of the page before. Raises Forbidden to others."""
    demand_overseer(viewer)
    return await _figures(Clause("s.slug > ?", (after,)), limit)


async def space(viewer: Viewer, slug: str) -> Overseen:
    """One of them, which the viewer may not know of otherwise. Raises Forbidden to others, NotFound."""
    demand_overseer(viewer)
    found = await _figures(Clause("s.slug = ?", (slug,)), 1)
    if not found:
        raise NotFound(detail="no such space of ours")
    return found[0]


async def history(viewer: Viewer, space: Overseen, limit: int, before: int = 0) -> list[policies.Version]:
    """The changes of its policy, newest first; `before`: the epoch of the last one of the page before."""
    demand_overseer(viewer)
    return await policies.changes(space.id, limit, before)


async def policy(viewer: Viewer, space: Overseen) -> SpacePolicy:
    """How open it is now."""
    demand_overseer(viewer)
    return await policies.current(space.id)


async def _figures(where: Clause, limit: int) -> list[Overseen]:
    counted = Clause(
        """SELECT s.id, s.slug, s.level, s.epoch, s.closes_at, s.review_due_at, s.managed_by,
             (SELECT COUNT(*) FROM membership m WHERE m.space_id = s.id AND m.state = 'member') AS members,
             (SELECT COUNT(*) FROM membership m LEFT JOIN account c ON c.actor_id = m.actor_id
               WHERE m.space_id = s.id AND m.state = 'member'
                 AND (m.peer_id IS NOT NULL OR c.office = 'guest')) AS outside,
             (SELECT COUNT(*) FROM space_partner n WHERE n.space_id = s.id) AS partners,
             (SELECT COUNT(*) FROM post p WHERE p.space_id = s.id AND p.deleted_at IS NULL) AS items
           FROM space s WHERE s.peer_id IS NULL AND"""
    )
    query = counted.join(where).then("ORDER BY s.slug LIMIT ?", limit)
    rows = await db.fetch(*query.statement())
    owners = await _owners([row["id"] for row in rows])
    return [
        Overseen(
            id=row["id"],
            slug=row["slug"],
            level=Level(row["level"]),
            members=row["members"],
            outside=row["outside"],
            partners=row["partners"],
            items=row["items"],
            version=row["epoch"],
            closes_at=row["closes_at"],
            review_due_at=row["review_due_at"],
            managed_by=row["managed_by"],
            owners=tuple(owners.get(row["id"], ())),
        )
        for row in rows
    ]


async def _owners(space_ids: list[int]) -> dict[int, list[str]]:
    if not space_ids:
        return {}
    marks = ", ".join(f"${number}" for number in range(1, len(space_ids) + 1))
    rows = await db.fetch(
        "SELECT m.space_id, a.name FROM membership m JOIN actor a ON a.id = m.actor_id"
        f" WHERE m.role = 'owner' AND m.state = 'member' AND m.space_id IN ({marks}) ORDER BY a.name",
        *space_ids,
    )
    found: dict[int, list[str]] = {}
    for row in rows:
        found.setdefault(row["space_id"], []).append(row["name"])
    return found


@dataclass(frozen=True, slots=True)
class Glass:
    """A request to read a space exceptionally, and what became of it."""

    id: int
    slug: str
    by: str
    reason: str
    asked_at: int
    approver: str
    until_at: int | None
    ended_at: int | None
    state: str  # waiting, active, over
    mine: bool
    may_grant: bool


async def glasses(viewer: Viewer, *, before: int | None = None, limit: int = PAGE) -> list[Glass]:
    """Exceptional readings, newest first: for administrators and auditors, and for owners those of their own spaces."""
    if not isinstance(viewer, Employee) or viewer.scopes is not None:
        raise Forbidden()
    query = Clause(
        "SELECT b.*, s.slug, a.name AS by_name, o.name AS approver FROM break_glass b JOIN space s ON s.id = b.space_id"
        " JOIN actor a ON a.id = b.asked_by_id LEFT JOIN actor o ON o.id = b.approved_by_id WHERE 1 = 1"
    )
    if viewer.office not in (Office.ADMIN, Office.AUDITOR):
        query = query.then(
            "AND EXISTS (SELECT 1 FROM membership m WHERE m.space_id = b.space_id AND m.actor_id = ?"
            " AND m.role = 'owner' AND m.state = 'member')",
            viewer.actor_id,
        )
    if before is not None:
        query = query.then("AND b.id < ?", before)
    return [_glass(viewer, row) for row in await db.fetch(*query.then("ORDER BY b.id DESC LIMIT ?", limit).statement())]


async def reading_now(space_id: int) -> list[Glass]:
    """Exceptional readings of a space that are going on: for a page that its members have found, not a door."""
    rows = await db.fetch(
        "SELECT b.*, s.slug, COALESCE(NULLIF(a.display_name, ''), a.name) AS by_name, o.name AS approver"
        " FROM break_glass b JOIN space s ON s.id = b.space_id JOIN actor a ON a.id = b.asked_by_id"
        " LEFT JOIN actor o ON o.id = b.approved_by_id WHERE b.space_id = $1 AND b.approved_at IS NOT NULL"
        " AND b.ended_at IS NULL AND b.until_at > $2",
        space_id,
        now_ms(),
    )
    return [_glass(Employee(0, 0), row) for row in rows]


def _glass(viewer: Employee, row: dict[str, Any]) -> Glass:
    now = now_ms()
    over = row["ended_at"] is not None or (row["until_at"] is not None and row["until_at"] <= now)
    state = "over" if over else "active" if row["approved_at"] is not None else "waiting"
    mine = row["asked_by_id"] == viewer.actor_id
    return Glass(
        id=row["id"],
        slug=row["slug"],
        by=row["by_name"],
        reason=row["reason"],
        asked_at=row["asked_at"],
        approver=row["approver"] or "",
        until_at=row["until_at"],
        ended_at=row["ended_at"],
        state=state,
        mine=mine,
        may_grant=state == "waiting" and not mine,
    )
