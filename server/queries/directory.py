"""Which spaces a viewer may find, and who is in one, as far as its openness lets them know."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from server import database as db
from server.clock import now_ms
from server.openness import Existence, MemberState, Role
from server.policy import Act, scope_spaces
from server.queries import identity, sides, spaces
from server.queries.folding import folded, named
from server.queries.posts import GUEST_UNTIL, PersonCard, person_card
from server.queries.spaces import SeenSpace
from server.sql import Clause, any_of, one_of
from server.viewer import Resident, Viewer

PAGE = 50


@dataclass(frozen=True, slots=True)
class SpaceRow:
    """A space in a list. `members` None: this viewer may not count, or its host alone knows."""

    space: SeenSpace
    members: int | None


@dataclass(frozen=True, slots=True)
class Member:
    """Somebody in a space, or on the way into it."""

    person: PersonCard
    role: Role
    state: MemberState
    since_at: int | None
    organisation: str  # the title of their instance, '' for ours
    cursor: str


@dataclass(frozen=True, slots=True)
class Organisation:
    """How many people one instance has in a space; `host` '' is ours.

    `guests`: people of an organisation, with accounts here.
    """

    host: str
    title: str
    count: int
    guests: bool = False


@dataclass(frozen=True, slots=True)
class MemberList:
    """What a viewer may know of who is in a space: each part is empty (or None) when they may not.

    `waiting`: who is invited or has asked, for those who admit members.
    """

    count: int | None = None
    organisations: tuple[Organisation, ...] = ()
    people: tuple[Member, ...] = ()
    waiting: tuple[Member, ...] = ()
    more: bool = False
    whole: bool = True  # False: the space lives elsewhere, and we know our own people only


async def listed(viewer: Viewer, *, matching: str = "", after: str = "", limit: int = PAGE) -> list[SpaceRow]:
    """Spaces that a viewer may find, by name; `after`: the slug of the last one of the page before."""
    found = scope_spaces(viewer, now_ms(), Existence.LISTED)
    if isinstance(viewer, Resident):
        # whoever is in it, invited or asking knows it already
        found = any_of([found, Clause("m.state IS NOT NULL AND m.state <> 'asked'")])
    return await _rows(viewer, found, matching, after, limit)


async def mine(viewer: Resident, *, matching: str = "", after: str = "", limit: int = PAGE) -> list[SpaceRow]:
    """The spaces that somebody is a member of, by name."""
    return await _rows(viewer, Clause("m.state = 'member'"), matching, after, limit)


async def invitations(viewer: Resident) -> list[SpaceRow]:
    """The spaces that wait for this person's answer."""
    return await _rows(viewer, Clause("m.state = 'invited'"), "", "", PAGE)


async def writable(viewer: Resident, limit: int = 100) -> list[SeenSpace]:
    """The spaces in which this person may write: what a composer offers."""
    rows = await _rows(viewer, Clause("m.state = 'member'"), "", "", limit)
    return [row.space for row in rows if row.space.may(viewer, Act.POST)]


async def _rows(viewer: Viewer, found: Clause, matching: str, after: str, limit: int) -> list[SpaceRow]:
    where = found
    for word in folded(matching).split():
        where = where.and_(named(("s.name",), word))
    if after:
        where = where.then("AND (s.name, s.id) > (SELECT name, id FROM space WHERE slug = ?)", after)
    kept = await spaces.selected(viewer, where.then("ORDER BY s.name, s.id LIMIT ?", limit))
    counts = await _counts(viewer, [s for s in kept if s.hosted_here and s.may(viewer, Act.COUNT_MEMBERS)])
    return [SpaceRow(space, counts.get(space.id)) for space in kept]


async def _counts(viewer: Viewer, counted: Sequence[SeenSpace]) -> dict[int, int]:
    """How many are in each, before this viewer, who is told nothing of blind partners beside their own."""
    if not counted:
        return {}
    whose = await sides.counted_in(viewer, counted)
    among = [one_of("m.space_id", [space_id for space_id in whose if whose[space_id] == sides.EVERYBODY])]
    among += [
        Clause("m.space_id = ?", (space_id,)).and_(clause)
        for space_id, clause in whose.items()
        if clause != sides.EVERYBODY
    ]
    query = Clause("SELECT m.space_id, COUNT(*) AS n FROM membership m WHERE m.state = 'member' AND")
    query = query.join(any_of(among)).then("GROUP BY m.space_id")
    return dict.fromkeys(whose, 0) | {row["space_id"]: row["n"] for row in await db.fetch(*query.statement())}


# --- who is in a space ----------------------------------------------------------------------------


async def members(viewer: Viewer, space: SeenSpace, *, after: str = "", limit: int = PAGE) -> MemberList:
    """Who is in a space that the viewer has found: names, or organisations, or a number, or nothing.

    `after`: the cursor of the last member of the page before.
    """
    if not space.may(viewer, Act.COUNT_MEMBERS):
        return MemberList(whole=space.hosted_here)
    organisations = await _organisations(space.id, await sides.counted(viewer, space))
    people: list[Member] = []
    if space.may(viewer, Act.NAME_MEMBERS):
        people = await _people(space.id, await sides.named(viewer, space), after, limit + 1)
        people = await _as_outside(viewer, space, people)
    return MemberList(
        count=sum(row.count for row in organisations) if space.hosted_here else None,
        organisations=organisations if space.may(viewer, Act.SEE_ORGANISATIONS) else (),
        people=tuple(people[:limit]),
        waiting=await _waiting(space.id) if space.may(viewer, Act.ADMIT_MEMBERS) else (),
        more=len(people) > limit,
        whole=space.hosted_here,
    )


async def find_member(viewer: Viewer, space: SeenSpace, actor_id: int) -> Member | None:
    """Somebody in this space, or on the way into it, as far as the viewer may know."""
    if not space.may(viewer, Act.NAME_MEMBERS):
        return None
    whose = await sides.named(viewer, space)
    rows = await _select(Clause("m.space_id = ? AND m.actor_id = ?", (space.id, actor_id)).and_(whose), 1)
    if rows and rows[0].state is not MemberState.MEMBER and not space.may(viewer, Act.ADMIT_MEMBERS):
        return None
    return (await _as_outside(viewer, space, rows[:1]))[0] if rows else None


async def _organisations(space_id: int, counted: Clause) -> tuple[Organisation, ...]:
    """Ours first, then the organisations of guests, then instances."""
    query = (
        Clause(
            "SELECT COALESCE(q.host, '') AS host, COALESCE(q.title, c.organisation, '') AS title,"
            " CASE WHEN c.id IS NULL THEN 0 ELSE 1 END AS guests, COUNT(*) AS n FROM membership m"
            " LEFT JOIN peer q ON q.id = m.peer_id"
            " LEFT JOIN account c ON c.actor_id = m.actor_id AND c.office = 'guest'"
            " WHERE m.space_id = ? AND m.state = 'member'",
            (space_id,),
        )
        .and_(counted)
        .then("GROUP BY 1, 2, 3 ORDER BY 1, 3, 2")
    )
    rows = await db.fetch(*query.statement())
    return tuple(Organisation(row["host"], row["title"], row["n"], bool(row["guests"])) for row in rows)


async def _as_outside(viewer: Viewer, space: SeenSpace, people: list[Member]) -> list[Member]:
    """Our people as the space names them before this viewer."""
    if not identity.outside(viewer) or not space.hosted_here:
        return people
    jobs = await identity.jobs(member.person.id for member in people)
    group = PersonCard(space.actor_id, space.uri, space.slug, "", space.name, "group")
    return [
        replace(member, person=identity.shown(member.person, jobs.get(member.person.id), space.identity, group))
        for member in people
    ]


_RANK = "CASE m.role WHEN 'owner' THEN 0 WHEN 'steward' THEN 1 ELSE 2 END"


async def _people(space_id: int, whose: Clause, after: str, limit: int) -> list[Member]:
    present = "m.state = 'member' AND a.suspended_at IS NULL AND a.gone_at IS NULL"
    where = Clause(f"m.space_id = ? AND {present}", (space_id,)).and_(whose)
    rank, _, member_id = after.partition(".")
    if rank.isdecimal() and member_id.isdecimal() and len(member_id) < 19:
        where = where.then(f"AND ({_RANK}, m.id) > (CAST(? AS BIGINT), CAST(? AS BIGINT))", int(rank), int(member_id))
    return await _select(where, limit)


async def _waiting(space_id: int) -> tuple[Member, ...]:
    return tuple(await _select(Clause("m.space_id = ? AND m.state <> 'member'", (space_id,)), 200))


async def _select(where: Clause, limit: int) -> list[Member]:
    query = (
        Clause(
            f"SELECT a.*, {GUEST_UNTIL}, m.id AS m_id, m.role, m.state, m.since_at, q.title, {_RANK} AS m_rank"
            " FROM membership m JOIN actor a ON a.id = m.actor_id LEFT JOIN peer q ON q.id = m.peer_id WHERE"
        )
        .join(where)
        .then(f"ORDER BY {_RANK}, m.id LIMIT ?", limit)
    )
    return [_member(row) for row in await db.fetch(*query.statement())]


def _member(row: dict[str, Any]) -> Member:
    return Member(
        person=person_card(row),
        role=Role(row["role"]),
        state=MemberState(row["state"]),
        since_at=row["since_at"],
        organisation=row["title"] or "",
        cursor=f"{row['m_rank']}.{row['m_id']}",
    )
