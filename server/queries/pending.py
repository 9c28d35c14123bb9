"""Changes of openness that are not applied yet: drafts, what waits for a second person, what waits for its date."""

from dataclasses import dataclass
from typing import Any

import msgspec

from server import database as db
from server.errors import NotFound
from server.openness import LinkState, Office
from server.policy import Act
from server.queries import spaces
from server.queries.spaces import PartnerName, SeenSpace
from server.space_policy import SpacePolicy, from_json
from server.viewer import Employee


@dataclass(frozen=True, slots=True)
class Pending:
    """One change. `by`: who asked for it; `mine`: the reader did; `stale`: the policy moved since."""

    id: int
    state: str  # draft, waiting, planned
    wanted: SpacePolicy
    past: bool
    plan_hash: str
    reason: str
    door: str
    source: str
    by: str
    mine: bool
    stale: bool
    asked_at: int


_CHANGE = """SELECT c.*, a.display_name, a.name FROM policy_change c LEFT JOIN actor a ON a.id = c.asked_by_id
 WHERE c.space_id = $1 AND (c.state IN ('waiting', 'planned') OR c.state = 'draft' AND c.asked_by_id = $2)"""


async def pending(viewer: Employee, space: SeenSpace) -> list[Pending]:
    """What is not applied yet, the requests first; drafts are their author's alone. Raises NotFound or Forbidden."""
    space.demand(viewer, Act.CHANGE_POLICY)
    rows = await db.fetch(f"{_CHANGE} ORDER BY c.state DESC, c.id LIMIT 50", space.id, viewer.actor_id)
    return [_pending(viewer, space, row) for row in rows]


async def find(viewer: Employee, space: SeenSpace, change_id: int) -> Pending:
    """One of them. Raises NotFound or Forbidden."""
    space.demand(viewer, Act.CHANGE_POLICY)
    row = await db.fetch_one(f"{_CHANGE} AND c.id = $3", space.id, viewer.actor_id, change_id)
    if row is None:
        raise NotFound(detail="no such change of this space")
    return _pending(viewer, space, row)


async def to_decide(viewer: Employee, change_id: int) -> tuple[SeenSpace, Pending]:
    """A change that waits for a second person, and its space: all that whoever decides is shown of a space that they
    may not know of otherwise. Raises NotFound, also when it waits no more, or Forbidden.
    """
    row = await db.fetch_one(
        "SELECT c.*, a.display_name, a.name FROM policy_change c LEFT JOIN actor a ON a.id = c.asked_by_id"
        " WHERE c.id = $1 AND c.state = 'waiting'",
        change_id,
    )
    if row is None:
        raise NotFound(detail="no such change waits")
    space = await spaces.find_to_decide(viewer, row["space_id"])
    return space, _pending(viewer, space, row)


def _pending(viewer: Employee, space: SeenSpace, row: dict[str, Any]) -> Pending:
    return Pending(
        id=row["id"],
        state=row["state"],
        wanted=from_json(msgspec.json.decode(row["wanted"])),
        past=bool(row["past"]),
        plan_hash=row["plan_hash"],
        reason=row["reason"],
        door=row["door"],
        source=row["source"],
        by=row["display_name"] or row["name"] or "",
        mine=row["asked_by_id"] == viewer.actor_id,
        stale=row["base_epoch"] != space.epoch,
        asked_at=row["asked_at"],
    )


async def deciders(viewer: Employee, space: SeenSpace) -> list[str]:
    """The names of those who could agree to a change that the viewer asks for."""
    space.demand(viewer, Act.CHANGE_POLICY)
    rows = await db.fetch(
        "SELECT a.display_name, a.name FROM actor a JOIN account c ON c.actor_id = a.id WHERE a.id <> $2"
        " AND c.suspended_at IS NULL AND (c.office = 'admin' OR EXISTS (SELECT 1 FROM membership m"
        " WHERE m.space_id = $1 AND m.actor_id = a.id AND m.role = 'owner' AND m.state = 'member'))"
        " ORDER BY a.name LIMIT 10",
        space.id,
        viewer.actor_id,
    )
    return [row["display_name"] or row["name"] for row in rows]


async def linked(viewer: Employee, space: SeenSpace) -> list[PartnerName]:
    """The linked instances that a space could name. Raises NotFound or Forbidden to who may not change its policy."""
    space.demand(viewer, Act.CHANGE_POLICY)
    rows = await db.fetch(
        "SELECT q.host, q.title FROM link l JOIN peer q ON q.id = l.peer_id WHERE l.state IN ($1, $2)"
        " AND q.blocked_at IS NULL ORDER BY q.host LIMIT 500",
        LinkState.ACTIVE.value,
        LinkState.SUSPENDED.value,
    )
    return [PartnerName(row["host"], row["title"] or row["host"]) for row in rows]


@dataclass(frozen=True, slots=True)
class Managed:
    """The file that declares some fields of a space, and which ones."""

    by: str
    fields: frozenset[str]


async def managed(space: SeenSpace) -> Managed | None:
    """By which file a space is managed, if by one: for whoever may see its openness."""
    row = await db.fetch_one("SELECT managed_by, managed_fields FROM space WHERE id = $1", space.id)
    if row is None or not row["managed_by"]:
        return None
    return Managed(row["managed_by"], frozenset(msgspec.json.decode(row["managed_fields"] or "[]")))


async def still_asks(asker_id: int | None, space_id: int) -> bool:
    """Whether whoever asked for a change may still change the openness of its space; the operator always may."""
    if asker_id is None:
        return True
    account = await db.fetch_one(
        "SELECT c.id, c.office FROM account c JOIN actor a ON a.id = c.actor_id"
        " WHERE a.id = $1 AND c.suspended_at IS NULL AND a.gone_at IS NULL",
        asker_id,
    )
    if account is None or account["office"] == Office.GUEST:
        return False
    asker = Employee(account["id"], asker_id, Office(account["office"]))
    try:
        return bool((await spaces.find_by_id(asker, space_id)).may(asker, Act.CHANGE_POLICY))
    except NotFound:
        return False
