"""Before it is applied: what a change of openness would do, found by doing it and taking it back.

A rehearsal writes the wanted policy in a transaction (a savepoint inside another one), counts with the same scopes
that every door asks, and rolls back: what a plan says is what is found afterwards, and a preview is the real page.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import NamedTuple

from server import bounds
from server import database as db
from server.actions.policy_rows import Written, denying, write
from server.clock import now_ms
from server.openness import Audience, Files, LinkState, MemberState, Office, Read
from server.policy import Act, scope_posts
from server.queries import policies, spaces
from server.rights import TABLE
from server.space_policy import CellChange, SpacePolicy, canonical, compare, digest_of, opens_further_back, widens
from server.sql import Clause, any_of, one_of
from server.viewer import Anonymous, Employee, Guest, Operator, PeerServer, Viewer, guest_side

NOBODY = 0
AT_ONCE = 20
"""Readers that one statement asks for: its length is what bounds them."""


class _TakenBack(Exception):
    """Ends a rehearsal."""


@asynccontextmanager
async def rehearsed(space_id: int, wanted: SpacePolicy, *, past: bool = False) -> AsyncIterator[Written]:
    """Inside, the space is as open as wanted; afterwards nothing of it was. Nobody else sees it meanwhile.

    Everything that is done inside is undone, and what was to follow a commit does not.
    """
    try:
        async with db.transaction():
            yield await write(space_id, await policies.current(space_id), wanted, now_ms(), past=past)
            raise _TakenBack
    except _TakenBack:
        pass


@dataclass(frozen=True, slots=True)
class Measure:
    """What some readers have of a space: how many people, of how many items by how many authors, how many files.

    `people` None: they cannot be counted. `everyone`: anybody there, not only members.
    """

    people: int | None = 0
    everyone: bool = False
    items: int = 0
    files: int = 0
    authors: int = 0


@dataclass(frozen=True, slots=True)
class Impact:
    """What changes for colleagues, guests, one partner (`host`), strangers elsewhere, or the web."""

    audience: Audience
    host: str
    title: str
    before: Measure
    after: Measure
    gained: Measure
    lost: Measure
    copies: int = 0  # items that were sent there and that it loses

    @property
    def none(self) -> bool:
        """Whether nothing changes for them."""
        return self.before == self.after and not self.gained.items and not self.lost.items


@dataclass(frozen=True, slots=True)
class Authors:
    """Whose words of before are for more people after a change: ours (`host` ''), or an instance's. `opened`: those
    that somebody more reads; `left_out`: those that stay as they are, for their instance does not consent.
    """

    host: str
    title: str
    opened: Measure
    left_out: Measure


@dataclass(frozen=True, slots=True)
class Plan:
    """A change of one space's openness, before it is made. `hash`: what an approval is bound to."""

    space_id: int
    slug: str
    base_epoch: int
    before: SpacePolicy
    after: SpacePolicy
    past: bool
    cells: tuple[CellChange, ...]
    impacts: tuple[Impact, ...]
    problems: tuple[bounds.Problem, ...]
    needs_approval: bool
    hash: str
    authors: tuple[Authors, ...] = ()  # whose words are opened, where a past is

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do."""
        return self.before == self.after and not self.past

    @property
    def widens(self) -> bool:
        return self.past or widens(list(self.cells))


async def plan(
    viewer: Employee | Operator,
    space_id: int,
    wanted: SpacePolicy,
    *,
    past: bool = False,
    counted: bool = True,
    act: Act = Act.CHANGE_POLICY,
) -> Plan:
    """What would change. Raises NotFound or Forbidden to whoever may not change the policy; with `act` DECIDE to
    whoever may not agree to such a change.

    Without `counted` nothing is measured: for whoever needs to know only whether, and what is in the way.
    """
    find = spaces.find_to_decide if act is Act.DECIDE else spaces.find_by_id
    space = await find(viewer, space_id)
    space.demand(viewer, act)
    before, rails = await policies.current(space_id), await policies.guardrails()
    found = tuple(bounds.problems(wanted, rails, now_ms(), before))
    impacts: tuple[Impact, ...] = ()
    authors: tuple[Authors, ...] = ()
    if counted and not found and (before != wanted or past):
        impacts, authors = await _impacts(space_id, before, wanted, past)
    return Plan(
        space_id=space_id,
        slug=space.slug,
        base_epoch=space.epoch,
        before=before,
        after=wanted,
        past=past,
        cells=tuple(compare(before, wanted)),
        impacts=impacts,
        problems=found,
        needs_approval=bounds.needs_second_person(wanted, before, rails, past),
        hash=hash_of(space.slug, space.epoch, before, wanted, past, await denying(space_id, before, wanted, past)),
        authors=authors,
    )


def hash_of(
    slug: str, epoch: int, before: SpacePolicy, after: SpacePolicy, past: bool, without: Sequence[int] = ()
) -> str:
    """The same for the same change of the same version, whoever computes it and when. `without`: the peers whose words
    an opening of the past leaves out; who agreed to that has not agreed to more.
    """
    return digest_of(slug, str(epoch), canonical(before), canonical(after), str(past), *map(str, without))


# --- counting -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Readers:
    """Some readers of a space, and somebody who stands for them."""

    audience: Audience
    viewers: tuple[Viewer, ...]
    host: str = ""
    title: str = ""
    peer_id: int | None = None


class Item(NamedTuple):
    """A post, as it is counted. `peer_id`: its author's instance; None: ours."""

    author_id: int
    files: int
    peer_id: int | None


async def _impacts(
    space_id: int, before: SpacePolicy, wanted: SpacePolicy, past: bool
) -> tuple[tuple[Impact, ...], tuple[Authors, ...]]:
    hosts = {terms.host for terms in (*before.partners, *wanted.partners)}
    everybody = await readers(space_id, hosts)
    items = await _items(space_id)
    old = [(await _read_by(space_id, one), await _people(space_id, one)) for one in everybody]
    async with rehearsed(space_id, wanted, past=past) as written:
        new = [(await _read_by(space_id, one), await _people(space_id, one)) for one in everybody]
    sent = await sent_items(space_id)
    found = []
    for one, (had, had_people), (has, has_people) in zip(everybody, old, new, strict=True):
        opens, opened = _opens_files(one, wanted), _opens_files(one, before)
        found.append(
            Impact(
                audience=one.audience,
                host=one.host,
                title=one.title,
                before=_measure(had, items, opened, *had_people),
                after=_measure(has, items, opens, *has_people),
                gained=_measure(has - had, items, opens),
                lost=_measure(had - has, items, opened),
                copies=len((had - has) & sent.get(one.peer_id or NOBODY, set())),
            )
        )
    if not past and not opens_further_back(before, wanted):
        return tuple(found), ()
    gained = set[int]().union(*(has - had for (had, _), (has, _) in zip(old, new, strict=True)))
    return tuple(found), await _authors(items, gained, written)


async def _authors(items: Mapping[int, Item], gained: set[int], written: Written) -> tuple[Authors, ...]:
    """Whose words these are, organisation by organisation: ours first, then by host."""
    out = {i for i, item in items.items() if item.peer_id in written.kept and i not in gained}
    query = Clause("SELECT id, host, title FROM peer WHERE")
    peers = {items[i].peer_id for i in gained | out} - {None}
    named = {row["id"]: row for row in await db.fetch(*query.join(one_of("id", sorted(peers, key=int))).statement())}
    found = []
    for peer_id in {items[i].peer_id for i in gained | out}:
        theirs = {i for i in gained | out if items[i].peer_id == peer_id}
        row = named.get(peer_id, {"host": "", "title": ""})
        opened, left_out = (_measure(theirs & some, items, True) for some in (gained, out))
        found.append(Authors(row["host"], row["title"] or row["host"], opened, left_out))
    return tuple(sorted(found, key=lambda one: one.host))


def _opens_files(one: Readers, policy: SpacePolicy) -> bool:
    member = {
        Audience.STAFF: Audience.STAFF_MEMBER,
        Audience.PARTNER: Audience.PARTNER_MEMBER,
        Audience.GUEST: Audience.GUEST_MEMBER,
        Audience.FED: Audience.FED_MEMBER,
    }.get(one.audience, one.audience)
    return TABLE[policy.variant, member].files >= Files.VIEW


async def readers(space_id: int, hosts: set[str]) -> list[Readers]:
    """Everybody for whom a change is told apart: colleagues, guests, each partner, strangers elsewhere, the web."""
    found = [Readers(Audience.STAFF, (Employee(NOBODY, NOBODY),))]
    guests = await db.fetch(
        "SELECT c.id, c.actor_id, c.organisation FROM membership m JOIN account c ON c.actor_id = m.actor_id"
        " WHERE m.space_id = $1 AND m.state = 'member' AND c.office = 'guest' ORDER BY m.id LIMIT 500",
        space_id,
    )
    stand_in = tuple(Guest(g["id"], g["actor_id"], guest_side(g["organisation"], g["actor_id"])) for g in guests)
    found.append(Readers(Audience.GUEST, stand_in))
    rows = await db.fetch(
        """SELECT q.id, q.host, q.title, l.state FROM peer q LEFT JOIN link l ON l.peer_id = q.id
           WHERE q.blocked_at IS NULL AND q.id IN (SELECT peer_id FROM space_partner WHERE space_id = $1
                        UNION SELECT peer_id FROM membership WHERE space_id = $1 AND peer_id IS NOT NULL)
           ORDER BY q.host""",
        space_id,
    )
    named = {row["host"] for row in rows}
    for host in sorted(hosts - named):
        row = await db.fetch_one(
            "SELECT q.id, q.host, q.title, l.state FROM peer q LEFT JOIN link l ON l.peer_id = q.id WHERE q.host = $1",
            host,
        )
        rows += [row] if row else []
    for row in rows:
        server = PeerServer(row["id"], row["state"] == LinkState.ACTIVE)
        found.append(Readers(Audience.PARTNER, (server,), row["host"], row["title"] or row["host"], row["id"]))
    found.append(Readers(Audience.FED, (PeerServer(NOBODY),)))
    found.append(Readers(Audience.WEB, (Anonymous(),)))
    return found


async def _items(space_id: int) -> dict[int, Item]:
    rows = await db.fetch(
        "SELECT p.id, p.author_id, p.peer_id, (SELECT COUNT(*) FROM attachment t WHERE t.post_id = p.id) AS files"
        " FROM post p WHERE p.space_id = $1 AND p.deleted_at IS NULL",
        space_id,
    )
    return {row["id"]: Item(row["author_id"], row["files"], row["peer_id"]) for row in rows}


async def _read_by(space_id: int, one: Readers) -> set[int]:
    found: set[int] = set()
    for first in range(0, len(one.viewers), AT_ONCE):
        found |= await readable_in(space_id, *one.viewers[first : first + AT_ONCE])
    return found


async def readable_in(space_id: int, *viewers: Viewer) -> set[int]:
    """The items of a space that any of them reads now."""
    query = (
        Clause("SELECT p.id FROM post p LEFT JOIN space s ON s.id = p.space_id WHERE p.space_id = ?", (space_id,))
        .and_(Clause("p.deleted_at IS NULL"))
        .and_(any_of(scope_posts(viewer, now_ms()) for viewer in viewers))
    )
    return {row["id"] for row in await db.fetch(*query.statement())}


async def sent_items(space_id: int) -> dict[int, set[int]]:
    """What was sent to each instance, by the peer's id."""
    rows = await db.fetch(
        "SELECT DISTINCT d.peer_id, e.post_id FROM event e JOIN delivery d ON d.event_id = e.id WHERE e.space_id = $1"
        " AND e.kind = 'post_published' AND d.state = 'sent' AND e.post_id IS NOT NULL",
        space_id,
    )
    sent: dict[int, set[int]] = {}
    for row in rows:
        sent.setdefault(row["peer_id"], set()).add(row["post_id"])
    return sent


async def _people(space_id: int, one: Readers) -> tuple[int | None, bool]:
    """How many people read, and whether it is all that there are."""
    if one.audience in (Audience.FED, Audience.WEB):
        return None, await _reads_now(space_id, one)
    if one.audience is Audience.STAFF:
        return await _colleagues(space_id, one)
    where, value = ("m.peer_id = $2", one.peer_id) if one.peer_id else ("c.office = $2", Office.GUEST.value)
    row = await db.fetch_one(
        "SELECT COUNT(*) AS n FROM membership m JOIN actor a ON a.id = m.actor_id"
        " LEFT JOIN account c ON c.actor_id = a.id"
        f" WHERE m.space_id = $1 AND m.state = $3 AND {where} AND a.suspended_at IS NULL AND a.gone_at IS NULL",
        space_id,
        value,
        MemberState.MEMBER.value,
    )
    if one.peer_id is None:
        return (row["n"] if row else 0), False
    space = (await spaces.around(PeerServer(one.peer_id, _linked(one)), [space_id]))[space_id]
    reads_as_member = space.rights().read >= Read.LIMITED
    stranger = await _stranger_reads(space_id, one)
    return (row["n"] if row and reads_as_member else 0), stranger


def _linked(one: Readers) -> bool:
    return any(isinstance(viewer, PeerServer) and viewer.linked for viewer in one.viewers)


async def _stranger_reads(space_id: int, one: Readers) -> bool:
    """Whether somebody at this partner who is in no space reads."""
    from_there = spaces.stranger_at(one.peer_id or NOBODY, _linked(one))
    space = (await spaces.around(from_there, [space_id]))[space_id]
    return space.rights().read >= Read.LIMITED


async def _reads_now(space_id: int, one: Readers) -> bool:
    space = (await spaces.around(one.viewers[0], [space_id]))[space_id]
    return space.rights().read >= Read.LIMITED


async def _colleagues(space_id: int, one: Readers) -> tuple[int, bool]:
    everyone = await _reads_now(space_id, one)
    row = await db.fetch_one(
        "SELECT COUNT(*) AS n FROM account c WHERE c.suspended_at IS NULL AND c.office <> 'guest'"
        " AND ($1 = 1 OR EXISTS (SELECT 1 FROM membership m WHERE m.space_id = $2 AND m.actor_id = c.actor_id"
        " AND m.state = 'member'))",
        int(everyone),
        space_id,
    )
    return (row["n"] if row else 0), everyone


def _measure(
    ids: set[int], items: Mapping[int, Item], opens: bool, people: int | None = 0, everyone: bool = False
) -> Measure:
    return Measure(
        people=people,
        everyone=everyone,
        items=len(ids),
        files=sum(items[i].files for i in ids if i in items) if opens else 0,
        authors=len({items[i].author_id for i in ids if i in items}),
    )
