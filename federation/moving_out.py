"""Ourselves at another address: the operator has written it as `base_url`, and the database follows.

One transaction: every row that names us by the old address is written anew, every partner gets a word of it before
anything else, and each stream begins a new run of numbers. Until then the database belongs to the old address, and no
server starts on it.
"""

from dataclasses import dataclass

from federation.instance import Instance
from federation.streams import begin_again
from server import database as db
from server.actions import moving
from server.actions.audit import note
from server.clock import now_ms
from server.errors import Conflict
from server.events import Kind, record
from server.ids import host_of
from server.place import standing_at
from server.queries.former import left_by
from server.refusals import N_
from server.viewer import Operator

SAME_HOST = N_("%(new)s et %(old)s ont le même hôte : seul un autre hôte est une nouvelle adresse.")
TAKEN = N_("Une autre instance est connue à l’adresse %(new)s.")


@dataclass(frozen=True, slots=True)
class Moved:
    """Where we were, and the hosts that are told."""

    old: str
    told: tuple[str, ...]


async def move(instance: Instance) -> Moved | None:
    """The database follows `base_url`; None when it is there already. Raises Conflict.

    No server of this instance may run meanwhile (see `server.running`).
    """
    here, old = instance.here, await standing_at()
    if old in ("", here.base):
        return None
    if host_of(old) == here.host:
        raise Conflict(SAME_HOST, params={"old": old, "new": here.base})
    left = await left_by(here.host)
    theirs = left is not None and left["peer_id"] is not None
    if theirs or await db.fetch_one("SELECT id FROM peer WHERE host = $1", here.host):
        raise Conflict(TAKEN, params={"new": here.base})
    async with db.transaction():
        await _forget_stray(here.instance)
        await moving.follow(None, old, here.base, now_ms())
        await db.execute("UPDATE actor SET name = $1 WHERE uri = $2", here.host, here.instance)
        partners = await db.fetch(
            "SELECT l.peer_id, q.host FROM link l JOIN peer q ON q.id = l.peer_id"
            " WHERE l.state IN ('active', 'suspended') ORDER BY q.host"
        )
        for row in partners:
            await begin_again(row["peer_id"], "we are at another address", moved=True)
            await record(Kind.LINK_MOVED, data={"peer": row["peer_id"]})
        await note(Operator(), "move", subject=here.host, before=host_of(old), after=here.host)
    return Moved(old, tuple(row["host"] for row in partners))


async def _forget_stray(uri: str) -> None:
    """An actor of the instance that a command made under the new address before the move."""
    row = await db.fetch_one("SELECT id FROM actor WHERE uri = $1 AND peer_id IS NULL", uri)
    if row is not None:
        await db.execute("DELETE FROM actor_key WHERE actor_id = $1", row["id"])
        await db.execute("DELETE FROM actor WHERE id = $1", row["id"])
