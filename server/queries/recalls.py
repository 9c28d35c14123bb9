"""The ledger of recalls: what was taken back from whom, and what each instance answered. Figures, never content."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from server import database as db
from server.errors import NotFound
from server.openness import Role
from server.queries.offices import demand_administrator, demand_overseer
from server.queries.spaces import SeenSpace
from server.recall_terms import OPEN, RecallScope, TargetState
from server.sql import Clause, one_of
from server.viewer import Employee, Viewer

PAGE = 50
TRIED_OFTEN = 8
"""How often a list was asked for, or bytes were to be removed, when it is told: for some ten minutes."""
MAY_HAVE = "(d.state IN ('sent', 'dead', 'refused') OR d.attempts > 0 OR (d.number > 0 AND d.state = 'pending'))"
"""Which deliveries `d` may have arrived: answered, tried, or under way with a number of the stream."""


@dataclass(frozen=True, slots=True)
class TargetCard:
    """How one instance stands to a recall. `items`: what it was sent; times in ms since 1970."""

    host: str
    title: str
    linked: bool
    state: TargetState
    items: int
    purged: int
    retained: int
    tries: int
    next_at: int
    reason: str
    root: str
    receipt: str
    sent_at: int | None
    answered_at: int | None
    late: bool

    @property
    def open(self) -> bool:
        return self.state in OPEN


@dataclass(frozen=True, slots=True)
class RecallCard:
    """One recall with its instances. `by`: who narrowed; `reason`: the act, as the audit names it."""

    id: int
    space_id: int
    space: str
    space_name: str
    scope: RecallScope
    reason: str
    keep: str
    by: str
    created_at: int
    deadline_at: int
    targets: Sequence[TargetCard]

    @property
    def open(self) -> bool:
        return any(target.open for target in self.targets)

    @property
    def answered(self) -> int:
        """How many instances are through with it."""
        return sum(not target.open for target in self.targets)

    @property
    def gone(self) -> int:
        """What was erased in all, as signed."""
        return sum(target.purged for target in self.targets)

    @property
    def items(self) -> int:
        """The most that any one instance was sent."""
        return max((target.items for target in self.targets), default=0)


async def listed(
    viewer: Viewer, *, open_only: bool = False, before: int | None = None, limit: int = PAGE
) -> list[RecallCard]:
    """Newest first. Raises Forbidden to all but those who look after the instance, or look on."""
    demand_overseer(viewer)
    query = Clause(f"{_RECALL} WHERE 1 = 1")
    if before is not None:
        query = query.then("AND r.id < ?", before)
    if open_only:
        states = one_of("t.state", [state.value for state in OPEN])
        query = query.then("AND EXISTS (SELECT 1 FROM recall_target t WHERE t.recall_id = r.id AND").join(states)
        query = query.then(")")
    return await _with_targets(await db.fetch(*query.then("ORDER BY r.id DESC LIMIT ?", limit).statement()))


async def find(viewer: Viewer, recall_id: int) -> RecallCard:
    """One recall. Raises Forbidden, NotFound."""
    demand_overseer(viewer)
    found = await _with_targets(await db.fetch(f"{_RECALL} WHERE r.id = $1", recall_id))
    if not found:
        raise NotFound(detail="no such recall")
    return found[0]


async def under_way(viewer: Viewer, space: SeenSpace) -> list[RecallCard]:
    """For the owners of a space: its recalls that still wait for something, and the last one; newest first."""
    owner = isinstance(viewer, Employee) and (space.standing.role is Role.OWNER or viewer.is_admin)
    if not owner or not space.hosted_here:
        return []
    rows = await db.fetch(f"{_RECALL} WHERE r.space_id = $1 ORDER BY r.id DESC LIMIT 10", space.id)
    cards = await _with_targets(rows)
    return [card for number, card in enumerate(cards) if card.open or not number]


@dataclass(frozen=True, slots=True)
class Drill:
    """What would be taken back from one instance, were the link to end now."""

    space: str
    space_name: str
    items: int
    people: int


async def drill(viewer: Viewer, host: str) -> list[Drill]:
    """Counts, space by space, what a recall from this instance would list; nothing is changed. Raises NotFound."""
    demand_administrator(viewer)
    peer = await db.fetch_one("SELECT id FROM peer WHERE host = $1", host)
    if peer is None:
        raise NotFound(detail="no such instance")
    rows = await db.fetch(
        "SELECT s.slug AS space, s.name AS space_name, x.items, (SELECT COUNT(*) FROM membership m"
        " WHERE m.space_id = s.id AND m.peer_id = $1 AND m.state = 'member') AS people FROM"
        " (SELECT e.space_id, COUNT(DISTINCT e.post_id) AS items FROM delivery d JOIN event e ON e.id = d.event_id"
        " WHERE d.peer_id = $1 AND e.kind IN ('post_published', 'post_edited')"
        f" AND {MAY_HAVE} GROUP BY e.space_id) x"
        " JOIN space s ON s.id = x.space_id WHERE s.peer_id IS NULL ORDER BY s.slug",
        peer["id"],
    )
    return [Drill(**row) for row in rows]


async def undone(viewer: Viewer, limit: int = PAGE) -> list[tuple[str, str]]:
    """Recalls of others that are not done here: who takes back (host), and what stands against it. Raises Forbidden.

    Their list is not believed, or has not been had for long; or bytes cannot be removed.
    """
    demand_overseer(viewer)
    rows = await db.fetch(
        "SELECT q.host, p.reason FROM purge p JOIN peer q ON q.id = p.peer_id WHERE p.state = 'refused'"
        " OR (p.state IN ('listing', 'files') AND p.tries >= $1) ORDER BY q.host, p.id LIMIT $2",
        TRIED_OFTEN,
        limit,
    )
    return [(row["host"], row["reason"]) for row in rows]


_RECALL = (
    "SELECT r.id, r.space_id, s.slug AS space, s.name AS space_name, r.scope, r.reason, r.keep, r.operator, a.name,"
    " r.created_at, r.deadline_at FROM recall r JOIN space s ON s.id = r.space_id"
    " LEFT JOIN actor a ON a.id = r.made_by_id"
)


async def _with_targets(rows: list[dict[str, Any]]) -> list[RecallCard]:
    """All targets of these recalls in one query."""
    query = (
        Clause("SELECT t.*, q.host, q.title FROM recall_target t JOIN peer q ON q.id = t.peer_id WHERE")
        .join(one_of("t.recall_id", [row["id"] for row in rows]))
        .then("ORDER BY q.host")
    )
    by_recall: dict[int, list[dict[str, Any]]] = {}
    for target in await db.fetch(*query.statement()):
        by_recall.setdefault(target["recall_id"], []).append(target)
    return [_card(row, by_recall.get(row["id"], [])) for row in rows]


def _card(row: dict[str, Any], targets: list[dict[str, Any]]) -> RecallCard:
    return RecallCard(
        id=row["id"],
        space_id=row["space_id"],
        space=row["space"],
        space_name=row["space_name"],
        scope=RecallScope(row["scope"]),
        reason=row["reason"],
        keep=row["keep"],
        by=row["operator"] or row["name"] or "",
        created_at=row["created_at"],
        deadline_at=row["deadline_at"],
        targets=[_target(target, row["deadline_at"]) for target in targets],
    )


def _target(row: dict[str, Any], deadline_at: int) -> TargetCard:
    return TargetCard(
        host=row["host"],
        title=row["title"],
        linked=bool(row["linked"]),
        state=TargetState(row["state"]),
        items=row["items"],
        purged=row["purged"],
        retained=row["retained"],
        tries=row["tries"],
        next_at=row["next_at"],
        reason=row["reason"],
        root=row["root"],
        receipt=row["receipt"],
        sent_at=row["sent_at"],
        answered_at=row["answered_at"],
        late=(row["answered_at"] or 0) > deadline_at,
    )
