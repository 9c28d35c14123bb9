"""Look at a space as somebody else: as it is, or as it would be, with the rights of whoever looks and nothing kept.

Whoever stands for an outsider is looked up where one is there; for a member that a partner does not have yet, a
member is made, who is gone with the rest when the look is over.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from server import database as db
from server.actions.openness import ELSEWHERE
from server.actions.plans import rehearsed
from server.clock import now_ms
from server.errors import Forbidden, NotFound
from server.ids import new_id
from server.openness import LinkState, MemberState
from server.policy import Act
from server.queries import policies, spaces
from server.queries.spaces import stranger_at
from server.space_policy import SpacePolicy
from server.viewer import Anonymous, Employee, Guest, PeerServer, Viewer, guest_side

WEB, FED, PARTNER, MEMBER, GUEST = "web", "fed", "partner", "member", "guest"
MOST_GUESTS = 100
NOBODY = 0


@dataclass(frozen=True, slots=True)
class Observer:
    """As whom one can look: `kind`, and the host or the account that goes with it."""

    kind: str
    of: str = ""
    name: str = ""

    @property
    def key(self) -> str:
        return f"{self.kind}:{self.of}" if self.of else self.kind


async def observers(viewer: Employee, space_id: int, wanted: SpacePolicy) -> list[Observer]:
    """As whom a space can be looked at: the web, another instance, each partner's people and members, guests.

    Raises NotFound or Forbidden to whoever may not change the policy.
    """
    await _demand(viewer, space_id)
    found = [Observer(WEB), Observer(FED)]
    hosts = {terms.host for terms in (*wanted.partners, *(await policies.current(space_id)).partners)}
    for host in sorted(hosts):
        row = await db.fetch_one("SELECT title FROM peer WHERE host = $1", host)
        if row is not None:
            title = row["title"] or host
            found += [Observer(PARTNER, host, title), Observer(MEMBER, host, title)]
    rows = await db.fetch(
        "SELECT c.id, a.display_name, a.name FROM account c JOIN actor a ON a.id = c.actor_id"
        " WHERE c.office = 'guest' AND c.suspended_at IS NULL ORDER BY a.name LIMIT $1",
        MOST_GUESTS,
    )
    return [*found, *(Observer(GUEST, str(row["id"]), row["display_name"] or row["name"]) for row in rows)]


@asynccontextmanager
async def looked_at(
    viewer: Employee,
    space_id: int,
    observer: Observer,
    wanted: SpacePolicy,
    *,
    past: bool = False,
    server: bool = False,
) -> AsyncIterator[Viewer]:
    """Inside, the space is as wanted, and whoever is given looks at it; afterwards nothing of it was.

    `server`: the instance itself asks, for a document, rather than a person of it. Raises NotFound or Forbidden to
    whoever may not change the policy, Invalid when the policy cannot be written.
    """
    space = await _demand(viewer, space_id)
    changes = past or await policies.current(space.id) != wanted
    async with rehearsed(space.id, wanted, past=past):
        if changes:
            await db.execute("UPDATE space SET epoch = epoch + 1 WHERE id = $1", space.id)
        yield await _stands_for(space.id, observer, server)


async def _demand(viewer: Employee, space_id: int) -> spaces.SeenSpace:
    space = await spaces.find_by_id(viewer, space_id)
    if not space.hosted_here:
        raise Forbidden(ELSEWHERE, detail="hosted elsewhere")
    space.demand(viewer, Act.CHANGE_POLICY)
    return space


async def _stands_for(space_id: int, observer: Observer, server: bool) -> Viewer:
    if observer.kind == WEB:
        return Anonymous()
    if observer.kind == FED:
        return PeerServer(NOBODY) if server else stranger_at(NOBODY, False)
    if observer.kind == GUEST:
        return await _guest(observer.of)
    peer = await db.fetch_one(
        "SELECT q.id, q.host, l.state FROM peer q LEFT JOIN link l ON l.peer_id = q.id WHERE q.host = $1", observer.of
    )
    if peer is None:
        raise NotFound(detail="no such instance")
    linked = peer["state"] == LinkState.ACTIVE
    member = await _member_of(space_id, peer["id"], peer["host"]) if observer.kind == MEMBER else NOBODY
    if server:
        return PeerServer(peer["id"], linked)
    stranger = stranger_at(peer["id"], linked)
    return type(stranger)(member, peer["id"], linked)


async def _guest(account_id: str) -> Guest:
    row = await db.fetch_one(
        "SELECT id, actor_id, organisation FROM account WHERE id = $1 AND office = 'guest' AND suspended_at IS NULL",
        int(account_id) if account_id.isdecimal() and len(account_id) < 19 else NOBODY,
    )
    if row is None:
        raise NotFound(detail="no such guest")
    return Guest(row["id"], row["actor_id"], guest_side(row["organisation"], row["actor_id"]))


async def _member_of(space_id: int, peer_id: int, host: str) -> int:
    """A member of that instance: the first that there is, else one who is made for the look."""
    row = await db.fetch_one(
        "SELECT actor_id FROM membership WHERE space_id = $1 AND peer_id = $2 AND state = 'member' ORDER BY id LIMIT 1",
        space_id,
        peer_id,
    )
    if row is not None:
        return int(row["actor_id"])
    actor_id, now = new_id(), now_ms()
    person = {"id": actor_id, "uri": f"urn:parvis:look:{actor_id}", "kind": "person", "name": f"look-{actor_id}"}
    await db.insert("actor", {**person, "peer_id": peer_id, "host": host, "created_at": now})
    member = {"id": new_id(), "space_id": space_id, "actor_id": actor_id, "peer_id": peer_id}
    await db.insert("membership", {**member, "state": MemberState.MEMBER.value, "since_at": now, "created_at": now})
    return actor_id
