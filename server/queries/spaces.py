"""Spaces as one viewer knows them. The lookup is the lock: what a viewer may not know of is not found."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import msgspec

from server import database as db
from server.clock import now_ms
from server.errors import NotFound
from server.explaining import Case
from server.explaining_words import refused
from server.openness import Audience, History, Identity, Level, MemberState, PartnerView, Reach, Role
from server.policy import (
    Act,
    Decision,
    Rights,
    SpaceFacts,
    Standing,
    audience_of,
    may,
    rights,
    scope_spaces,
    variant_of,
)
from server.queries.former import moves, new_slug
from server.rights import INSIDE, NAMED, OUTSIDE_NAMES, Less, taken
from server.sql import Clause, one_of
from server.viewer import Employee, Guest, Operator, PeerServer, RemotePerson, Viewer, side_of

FACTS = """s.level, s.listed, s.reach, s.staff_read, s.partner_view, s.history, s.history_days, s.narrowed,
 s.opened_at, s.closed_at, s.newcomers_from, s.came_open_at"""
"""The columns of a space s that `facts_of` reads, beside its id and its peer's."""
COLUMNS = f"""s.identity_outside, s.id, s.actor_id, s.slug, s.peer_id, s.name, s.description, s.epoch, s.created_at,
 {FACTS}, a.uri, a.inbox, a.host"""


@dataclass(frozen=True, slots=True)
class SeenSpace:
    """A space, and what its viewer is to it."""

    id: int
    actor_id: int
    slug: str
    uri: str
    inbox: str
    host: str  # '' when it is hosted here
    name: str
    description: str
    level: Level
    listed: bool
    reach: Reach
    partner_view: PartnerView
    identity: Identity  # under which names ours appear outside
    epoch: int
    created_at: int
    facts: SpaceFacts
    standing: Standing
    state: MemberState | None

    @property
    def hosted_here(self) -> bool:
        return self.facts.peer_id is None

    def rights(self) -> Rights:
        """What this viewer has here."""
        return rights(self.facts, self.standing)

    def may(self, viewer: Viewer, act: Act) -> Decision:
        return may(viewer, act, self.facts, self.standing)

    def demand(self, viewer: Viewer, act: Act) -> None:
        """Raises NotFound or Forbidden, with the sentence and what would be enough, when this viewer may not."""
        decision = self.may(viewer, act)
        if not decision:
            raise refused(Case(viewer, act, self.standing, self.facts, now=now_ms()), decision)


async def find(viewer: Viewer, slug: str) -> SeenSpace:
    """The space at this slug (`name`, or `name@host` elsewhere). Raises NotFound."""
    return await _one(viewer, Clause("s.slug = ?", (await new_slug(slug) if "@" in slug else slug,)))


async def find_by_id(viewer: Viewer, space_id: int) -> SeenSpace:
    """Raises NotFound."""
    return await _one(viewer, Clause("s.id = ?", (space_id,)))


async def find_to_decide(viewer: Viewer, space_id: int) -> SeenSpace:
    """A space of which the viewer may decide what waits, and which they may not know of otherwise: for the change
    alone. Raises NotFound or Forbidden.
    """
    return await _one(viewer, Clause("s.id = ?", (space_id,)), Act.DECIDE)


async def find_by_uri(viewer: Viewer, uri: str) -> SeenSpace:
    """The space whose Group actor has this id. Raises NotFound."""
    return await _one(viewer, Clause("a.uri = ?", ((await moves()).now(uri),)))


async def known(
    viewer: Viewer, *, mine: bool = False, after: str = "", limit: int = 100, matching: str = ""
) -> list[SeenSpace]:
    """Spaces that this viewer may know of, by name, at most `limit`; `mine`: those they are a member of."""
    where = scope_spaces(viewer, now_ms())
    if after:
        where = where.then("AND s.name > ?", after)
    if mine:
        where = where.then("AND m.state = 'member'")
    if matching:
        where = where.then("AND LOWER(s.name) LIKE ?", f"%{matching.lower()}%")
    query = _select(viewer).join(Clause("WHERE")).join(where).then("ORDER BY s.name, s.id LIMIT ?", limit)
    return [_seen(viewer, row) for row in await db.fetch(*query.statement())]


async def selected(viewer: Viewer, where: Clause) -> list[SeenSpace]:
    """Spaces by a condition (space s, actor a, the viewer's membership m) that holds its own narrowing: not a
    door, asked by other queries only.
    """
    query = _select(viewer).join(Clause("WHERE")).join(where)
    return [_seen(viewer, row) for row in await db.fetch(*query.statement())]


@dataclass(frozen=True, slots=True)
class PartnerName:
    """An instance that a space names."""

    host: str
    title: str


def knows_partners(viewer: Viewer, space: SeenSpace) -> bool:
    """Whether somebody may know which partners a space has, and not only their own."""
    sees = space.partner_view is not PartnerView.BLIND or space.standing.audience in INSIDE
    return sees and bool(space.may(viewer, Act.SEE_ORGANISATIONS))


async def partners(viewer: Viewer, space: SeenSpace) -> list[PartnerName]:
    """The instances that a space names, for those who may see which organisations are in it."""
    if not space.may(viewer, Act.SEE_ORGANISATIONS):
        return []
    others = knows_partners(viewer, space)
    rows = await db.fetch(
        "SELECT q.host, q.title FROM space_partner n JOIN peer q ON q.id = n.peer_id WHERE n.space_id = $1"
        " AND (q.id = $2 OR CAST($3 AS INT) = 1) ORDER BY q.host LIMIT 200",
        space.id,
        viewer.peer_id if isinstance(viewer, (RemotePerson, PeerServer)) else 0,
        int(others or isinstance(viewer, Operator)),
    )
    return [PartnerName(row["host"], row["title"] or row["host"]) for row in rows]


async def tone_of(space: SeenSpace) -> tuple[str, str]:
    """The tone and the frame that a space's owner asks for, for whoever may write in it."""
    row = await db.fetch_one("SELECT tone, frame FROM space WHERE id = $1", space.id)
    return (row["tone"], row["frame"]) if row else ("", "")


async def around(viewer: Viewer, space_ids: Iterable[int]) -> dict[int, SeenSpace]:
    """The spaces of things that were found by their own right: not a door, asked by other queries only.

    Whoever calls asks the policy for the thing itself.
    """
    wanted = list(space_ids)
    if not wanted:
        return {}
    query = _select(viewer).join(Clause("WHERE")).join(one_of("s.id", wanted))
    return {row["id"]: _seen(viewer, row) for row in await db.fetch(*query.statement())}


def stranger_at(peer_id: int, linked: bool) -> RemotePerson:
    """Anybody at an instance who is in no space: for counting, not somebody who asks."""
    return RemotePerson(0, peer_id, linked)


async def _one(viewer: Viewer, where: Clause, act: Act = Act.SEE) -> SeenSpace:
    row = await db.fetch_one(*_select(viewer).join(Clause("WHERE")).join(where).statement())
    if row is None:
        raise NotFound(detail="no such space")
    space = _seen(viewer, row)
    space.demand(viewer, act)
    return space


def _select(viewer: Viewer) -> Clause:
    """Each space with the viewer's own membership and whether it names the viewer's instance."""
    actor = viewer.actor_id if isinstance(viewer, (Employee, Guest, RemotePerson)) else 0
    peer = viewer.peer_id if isinstance(viewer, (RemotePerson, PeerServer)) else 0
    now = now_ms()  # read once: of two moments the later one would end what has no end
    if isinstance(viewer, PeerServer):
        membership = Clause(
            "LEFT JOIN (SELECT space_id, 'member' AS state, 'member' AS role, MIN(since_at) AS since_at"
            " FROM membership WHERE peer_id = ? AND state = 'member' AND COALESCE(until_at, ?) >= ?"
            " GROUP BY space_id) m ON m.space_id = s.id",
            (peer, now, now),
        )
    else:
        membership = Clause(
            "LEFT JOIN membership m ON m.space_id = s.id AND m.actor_id = ? AND COALESCE(m.until_at, ?) >= ?",
            (actor, now, now),
        )
    glass = Clause("0")
    if isinstance(viewer, Employee) and viewer.is_admin:
        glass = Clause(
            "EXISTS (SELECT 1 FROM break_glass b WHERE b.space_id = s.id AND b.asked_by_id = ?"
            " AND b.approved_at IS NOT NULL AND b.ended_at IS NULL AND b.until_at > ?)",
            (viewer.actor_id, now),
        )
    return (
        Clause(
            f"SELECT {COLUMNS}, m.state, m.role, m.since_at, n.added_at, n.named_at, n.reach AS n_reach,"
            " n.narrowed AS n_narrowed, k.kin,"
        )
        .join(glass)
        .then("AS glass FROM space s JOIN actor a ON a.id = s.actor_id")
        .join(membership)
        .then(
            "LEFT JOIN space_partner n ON n.space_id = s.id AND n.peer_id = ? AND COALESCE(n.until_at, ?) >= ?"
            " LEFT JOIN link k ON k.peer_id = n.peer_id",
            peer,
            now,
            now,
        )
    )


def _seen(viewer: Viewer, row: dict[str, Any]) -> SeenSpace:
    facts = facts_of(row["id"], row["peer_id"], row)
    state = MemberState(row["state"]) if row["state"] else None
    return SeenSpace(
        id=row["id"],
        actor_id=row["actor_id"],
        slug=row["slug"],
        uri=row["uri"],
        inbox=row["inbox"],
        host=row["host"],
        name=row["name"],
        description=row["description"],
        level=Level(row["level"]),
        listed=bool(row["listed"]),
        reach=Reach(row["reach"]),
        partner_view=PartnerView(row["partner_view"]),
        identity=Identity(row["identity_outside"]) if row["identity_outside"] else OUTSIDE_NAMES[Level(row["level"])],
        epoch=row["epoch"],
        created_at=row["created_at"],
        facts=facts,
        standing=_standing(viewer, facts, state, row),
        state=state,
    )


def facts_of(space_id: int, peer_id: int | None, row: dict[str, Any]) -> SpaceFacts:
    """What policy needs to know of a space, from a row with the columns `FACTS`."""
    return SpaceFacts(
        space_id,
        variant_of(
            Level(row["level"]), bool(row["listed"]), Reach(row["reach"]), peer_id is None, bool(row["staff_read"])
        ),
        peer_id,
        row["opened_at"],
        row["closed_at"],
        History(row["history"]),
        row["history_days"],
        row["partner_view"] == PartnerView.BLIND,
        less_by_audience(row["narrowed"]),
        row["newcomers_from"],
        row["came_open_at"],
    )


@lru_cache(maxsize=1024)
def less_by_audience(narrowed: str) -> tuple[tuple[Audience, Less], ...]:
    """The rights that a space's dial takes, by audience: the JSON of its column."""
    if narrowed == "{}":
        return ()
    return tuple((Audience(who), taken(rights.items())) for who, rights in msgspec.json.decode(narrowed).items())


@lru_cache(maxsize=1024)
def less_of(narrowed: str) -> Less:
    """The rights that a space takes from one partner: the JSON of its column."""
    return () if narrowed == "{}" else taken(msgspec.json.decode(narrowed).items())


def _standing(viewer: Viewer, facts: SpaceFacts, state: MemberState | None, row: dict[str, Any]) -> Standing:
    member = state is MemberState.MEMBER
    who = audience_of(
        viewer,
        facts,
        member=member,
        partner=row["added_at"] is not None,
        kin=bool(row["kin"]),
        by_invitation=row["n_reach"] == Reach.INVITED,
        glass=bool(row["glass"]),
    )
    unlimited = who is Audience.STAFF_MEMBER and facts.peer_id is None
    return Standing(
        who,
        role=Role(row["role"]) if member else None,
        since_at=(0 if unlimited else row["since_at"]) if member else None,
        let_in_at=row["added_at"],
        invited=state is MemberState.INVITED,
        side=side_of(viewer),
        less=less_of(row["n_narrowed"]) if row["n_narrowed"] and who in NAMED else (),
        named_at=row["named_at"],
    )
