"""Spaces that other instances host, before anybody here is in them: what is shown of one, and who asked to come in."""

from dataclasses import dataclass

from server import database as db
from server.openness import Level
from server.policy import may_ask_elsewhere
from server.refusals import demand
from server.viewer import Employee

MOST_ASKED = 50


@dataclass(frozen=True, slots=True)
class ShownSpace:
    """What the host of a space shows of it to our instance. `title`: how that instance calls itself, '' if unknown."""

    slug: str
    host: str
    title: str
    name: str
    description: str
    level: Level


@dataclass(frozen=True, slots=True)
class AskedSpace:
    """A space elsewhere that one has asked to come into, and since when (ms); it has not answered."""

    id: int
    slug: str
    host: str
    name: str
    asked_at: int

    @property
    def address(self) -> str:
        """As people write it to one another."""
        return f"!{self.slug}"


@dataclass(frozen=True, slots=True)
class Terms:
    """How we stand with an instance."""

    title: str
    linked: bool
    blocked: bool


async def terms_with(host: str) -> Terms:
    """How we stand with the instance at a host; with one that nobody here has met, as with any."""
    row = await db.fetch_one(
        "SELECT q.title, q.blocked_at, l.state FROM peer q LEFT JOIN link l ON l.peer_id = q.id WHERE q.host = $1", host
    )
    if row is None:
        return Terms("", linked=False, blocked=False)
    return Terms(row["title"], linked=row["state"] == "active", blocked=row["blocked_at"] is not None)


async def demand_asking(viewer: Employee, host: str, level: Level) -> None:
    """Goes on when one may ask to come into a space of this level at that host. Raises NotFound."""
    terms = await terms_with(host)
    demand(may_ask_elsewhere(viewer, level, linked=terms.linked, blocked=terms.blocked))


async def asked(viewer: Employee) -> list[AskedSpace]:
    """The spaces elsewhere that have not answered this person yet, the newest request first."""
    rows = await db.fetch(
        "SELECT s.id, s.slug, a.host, s.name, m.created_at AS asked_at FROM membership m"
        " JOIN space s ON s.id = m.space_id JOIN actor a ON a.id = s.actor_id"
        " WHERE m.actor_id = $1 AND m.state = 'asked' AND s.peer_id IS NOT NULL"
        " ORDER BY m.created_at DESC, m.id DESC LIMIT $2",
        viewer.actor_id,
        MOST_ASKED,
    )
    return [AskedSpace(**row) for row in rows]
