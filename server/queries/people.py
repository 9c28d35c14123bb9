"""People as a viewer may find them: colleagues know one another, everybody else sees a card."""

from dataclasses import dataclass, replace
from typing import Any

from server import database as db
from server.clock import now_ms
from server.errors import NotFound
from server.openness import Identity, Office
from server.policy import Act, scope_posts
from server.queries import identity, sides, spaces
from server.queries.folding import folded, named
from server.queries.former import new_host
from server.queries.posts import GUEST_UNTIL, READABLE, PersonCard, person_card
from server.sql import Clause
from server.viewer import Employee, Guest, Operator, RemotePerson, Viewer

PAGE = 50
MOST_SPACES = 300
"""Spaces of somebody that are looked through for one in which the asker meets them."""

_PRESENT = (
    "a.kind = 'person' AND a.suspended_at IS NULL AND a.gone_at IS NULL"
    " AND NOT EXISTS (SELECT 1 FROM account c WHERE c.actor_id = a.id AND c.suspended_at IS NOT NULL)"
    " AND NOT EXISTS (SELECT 1 FROM peer q WHERE q.id = a.peer_id AND q.blocked_at IS NOT NULL)"
)


@dataclass(frozen=True, slots=True)
class Relation:
    """What a viewer and a person are to one another. `following`: '', pending or accepted."""

    following: str = ""
    followed_by: bool = False
    myself: bool = False


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody, as far as the viewer may know. What an outsider may not know is empty or None."""

    card: PersonCard
    summary: str = ""
    since_at: int | None = None
    organisation: str = ""  # the title of their instance; '' for our own people
    office: str = ""  # admin or auditor, shown to colleagues
    followers: int | None = None
    following: int | None = None
    relation: Relation = Relation()


async def colleagues(viewer: Viewer, *, matching: str = "", after: str = "", limit: int = PAGE) -> list[PersonCard]:
    """The people of this instance, by name, for those who work here; nobody for anybody else.

    `after`: the name of the last one of the page before.
    """
    return await _found(viewer, Clause("a.peer_id IS NULL"), matching, after, limit)


async def known(viewer: Viewer, *, matching: str, limit: int = PAGE) -> list[PersonCard]:
    """Colleagues and people elsewhere that this instance has met, by name, for those who work here."""
    return await _found(viewer, Clause("1 = 1"), matching, "", limit)


async def find(viewer: Viewer, name: str, host: str = "") -> Person:
    """One person. Raises NotFound: also for the suspended, and for strangers asked about by strangers."""
    row = await db.fetch_one(
        f"""SELECT a.*, q.title, c.office, c.organisation, {GUEST_UNTIL} FROM actor a
            LEFT JOIN peer q ON q.id = a.peer_id LEFT JOIN account c ON c.actor_id = a.id
            WHERE a.host = $1 AND a.name = $2 AND {_PRESENT}""",
        await new_host(host) if host else "",
        name if host else name.lower(),
    )
    if row is None or not await _may_be_found(viewer, row):
        raise NotFound(detail="nobody of that name")
    return await _seen(viewer, row)


async def find_by_id(viewer: Viewer, actor_id: int) -> Person:
    """One person by the id of their actor. Raises NotFound, as `find` does."""
    row = await db.fetch_one(
        f"""SELECT a.*, q.title, c.office, c.organisation, {GUEST_UNTIL} FROM actor a
            LEFT JOIN peer q ON q.id = a.peer_id LEFT JOIN account c ON c.actor_id = a.id
            WHERE a.id = $1 AND {_PRESENT}""",
        actor_id,
    )
    if row is None or not await _may_be_found(viewer, row):
        raise NotFound(detail="nobody of that id")
    return await _seen(viewer, row)


async def _may_be_found(viewer: Viewer, row: dict[str, Any]) -> bool:
    """Colleagues find everybody; others find our people, and guests and strangers only where they meet them."""
    if isinstance(viewer, Employee):
        return True
    if row["host"] and not isinstance(viewer, Guest):
        return False
    return (not row["host"] and row["office"] != Office.GUEST) or await meets(viewer, row["id"])


async def meets(viewer: Viewer, actor_id: int) -> bool:
    """Whether a viewer reads what somebody wrote, or is in a space that names them before the viewer."""
    if isinstance(viewer, Guest) and viewer.actor_id == actor_id:
        return True
    wrote = Clause(f"SELECT p.id {READABLE} WHERE p.author_id = ?", (actor_id,)).and_(scope_posts(viewer, now_ms()))
    if await db.fetch_one(*wrote.then("LIMIT 1").statement()):
        return True
    rows = await db.fetch(
        "SELECT space_id FROM membership WHERE actor_id = $1 AND state = 'member' LIMIT $2", actor_id, MOST_SPACES
    )
    around = await spaces.around(viewer, [row["space_id"] for row in rows])
    for space in around.values():
        if space.may(viewer, Act.SEE) and space.may(viewer, Act.NAME_MEMBERS):
            whose = await sides.named(viewer, space)
            member = Clause("SELECT m.id FROM membership m WHERE m.space_id = ? AND m.actor_id = ?")
            query = Clause(member.text, (space.id, actor_id)).and_(whose)
            if await db.fetch_one(*query.statement()):
                return True
    return False


async def _found(viewer: Viewer, among: Clause, matching: str, after: str, limit: int) -> list[PersonCard]:
    if not isinstance(viewer, (Employee, Operator)):
        return []
    where = among.then(f"AND {_PRESENT}")
    for word in folded(matching).lstrip("@").split():
        where = where.and_(named(("a.display_name", "a.name"), word))
    if after:
        where = where.then(
            "AND (a.display_name, a.id) > (SELECT display_name, id FROM actor WHERE host = '' AND name = ?)", after
        )
    query = (
        Clause(f"SELECT a.*, {GUEST_UNTIL} FROM actor a WHERE")
        .join(where)
        .then("ORDER BY a.display_name, a.id LIMIT ?", limit)
    )
    return [person_card(row) for row in await db.fetch(*query.statement())]


async def _seen(viewer: Viewer, row: dict[str, Any]) -> Person:
    card = person_card(row)
    organisation = row["title"] or (row["organisation"] if row["office"] == Office.GUEST else "") or ""
    if not isinstance(viewer, Employee):
        card = await _as_outside(viewer, card)
        met = isinstance(viewer, Guest) and await meets(viewer, card.id)
        myself = Relation(myself=isinstance(viewer, Guest) and viewer.actor_id == card.id)
        return Person(card, row["summary"], organisation=organisation, relation=myself) if met else Person(card)
    counts = await db.fetch_one(
        """SELECT (SELECT COUNT(*) FROM follow WHERE followed_id = $1 AND state = 'accepted') AS followers,
                  (SELECT COUNT(*) FROM follow WHERE follower_id = $1 AND state = 'accepted') AS following""",
        card.id,
    )
    assert counts is not None
    ours = not card.host
    return Person(
        card,
        summary=row["summary"],
        since_at=row["created_at"] if ours else None,
        organisation=organisation,
        office=(row["office"] or "") if ours else "",
        followers=counts["followers"] if ours else None,
        following=counts["following"] if ours else None,
        relation=await relation(viewer, card.id),
    )


async def _as_outside(viewer: Viewer, card: PersonCard) -> PersonCard:
    """One of ours by the name that an outsider knows from the spaces that they share: whole, unless all of them say
    first names.
    """
    job = (await identity.jobs([card.id])).get(card.id)
    if job is None or not identity.outside(viewer):
        return card
    rows = await db.fetch(
        "SELECT space_id FROM membership WHERE actor_id = $1 AND state = 'member' LIMIT $2", card.id, MOST_SPACES
    )
    around = await spaces.around(viewer, [row["space_id"] for row in rows])
    seen = {space.identity for space in around.values() if space.hosted_here and space.may(viewer, Act.SEE)}
    if not seen or Identity.FULL in seen:
        return card
    return replace(card, display_name=identity.words(card.display_name, job, Identity.FIRST_NAME, ""))


async def relation(viewer: Viewer, actor_id: int) -> Relation:
    """What the viewer and somebody are to one another."""
    if not isinstance(viewer, (Employee, RemotePerson)):
        return Relation()
    if viewer.actor_id == actor_id:
        return Relation(myself=True)
    row = await db.fetch_one(
        """SELECT (SELECT state FROM follow WHERE follower_id = $1 AND followed_id = $2) AS following,
                  (SELECT state FROM follow WHERE follower_id = $2 AND followed_id = $1) AS followed""",
        viewer.actor_id,
        actor_id,
    )
    assert row is not None
    return Relation(following=row["following"] or "", followed_by=row["followed"] == "accepted")
