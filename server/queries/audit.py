"""The deeds that administrators and auditors may look back on."""

from dataclasses import dataclass
from typing import Any

import msgspec

from server import database as db
from server.queries.offices import demand_overseer
from server.sql import Clause
from server.viewer import Viewer

PAGE = 50


@dataclass(frozen=True, slots=True)
class Deed:
    """Who did what. `by`: a name (`name@host` elsewhere), or the operator's; `space`: its slug, or ''."""

    id: int
    at: int
    by: str
    operator: bool
    act: str
    space: str
    subject: str
    data: dict[str, Any]


async def listed(viewer: Viewer, *, space: str = "", before: int | None = None, limit: int = PAGE) -> list[Deed]:
    """Newest first; `space`: only what concerns this slug. Raises Forbidden for ordinary colleagues."""
    demand_overseer(viewer)
    query = Clause(
        "SELECT u.id, u.at, u.operator, u.act, u.subject, u.data, a.name, a.host, s.slug FROM audit_entry u"
        " LEFT JOIN actor a ON a.id = u.actor_id LEFT JOIN space s ON s.id = u.space_id WHERE 1 = 1"
    )
    if space:
        query = query.then("AND s.slug = ?", space)
    if before is not None:
        query = query.then("AND u.id < ?", before)
    rows = await db.fetch(*query.then("ORDER BY u.id DESC LIMIT ?", limit).statement())
    return [_deed(row) for row in rows]


def _deed(row: dict[str, Any]) -> Deed:
    name = row["name"] or ""
    return Deed(
        id=row["id"],
        at=row["at"],
        by=row["operator"] or (f"{name}@{row['host']}" if row["host"] else name),
        operator=bool(row["operator"]),
        act=row["act"],
        space=row["slug"] or "",
        subject=row["subject"],
        data=msgspec.json.decode(row["data"]),
    )
