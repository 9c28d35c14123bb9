"""Under which name our own people appear before outsiders, in each space: their whole name, their first name and their
job, or their job alone.

Before colleagues nothing changes. With the job alone the space speaks: it stands where the person would, and whoever
answers still reaches them.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from server import database as db
from server.openness import Identity, Level
from server.queries.cards import PersonCard
from server.rights import OUTSIDE_NAMES
from server.sql import Clause, one_of
from server.viewer import Employee, Operator, Viewer

OWN_JOB = "(SELECT c.job FROM account c WHERE c.actor_id = {actor} AND c.office <> 'guest')"
"""What one of ours does here; NULL for guests and for people elsewhere."""


def wanted(level: str, said: str) -> Identity:
    """How a space of this level names ours outside, by its dial."""
    return Identity(said) if said else OUTSIDE_NAMES[Level(level)]


def outside(viewer: Viewer) -> bool:
    """Whether names are to be as the space shows them outside."""
    return not isinstance(viewer, (Employee, Operator))


def by_name(viewer: Viewer) -> Clause:
    """The condition under which a post (post p, its space s) may stand in a list of what one person wrote: not where
    the space speaks for them.
    """
    if not outside(viewer):
        return Clause("1 = 1")
    return Clause("NOT (p.space_id IS NOT NULL AND s.peer_id IS NULL AND s.identity_outside = 'function')")


def words(display_name: str, job: str, how: Identity, otherwise: str) -> str:
    """A name as outsiders read it; `otherwise`: for whoever has no job to be named by."""
    if how is Identity.FULL:
        return display_name
    if how is Identity.FUNCTION:
        return job or otherwise
    first = (display_name.split() or [display_name])[0]
    return f"{first}, {job}" if job else first


def shown(card: PersonCard, job: str | None, how: Identity, space: PersonCard) -> PersonCard:
    """One of ours as outsiders see them in a space; `job` None: not one of ours. `space`: its own card."""
    if job is None or how is Identity.FULL:
        return card
    name = words(card.display_name or card.name, job, how, space.display_name)
    return replace(space, display_name=name) if how is Identity.FUNCTION else replace(card, display_name=name)


async def jobs(actor_ids: Iterable[int]) -> dict[int, str]:
    """What those of these actors do who are ours and no guests."""
    ids = list(dict.fromkeys(actor_ids))
    if not ids:
        return {}
    query = Clause("SELECT c.actor_id, c.job FROM account c WHERE c.office <> 'guest' AND").join(
        one_of("c.actor_id", ids)
    )
    return {row["actor_id"]: row["job"] for row in await db.fetch(*query.statement())}


def card_of(row: dict[str, Any]) -> PersonCard:
    """A space's own card, from its actor's id, address, slug and name."""
    return PersonCard(row["s_actor"], row["s_uri"], row["slug"], "", row["s_name"], "group")
