"""Which of our people and spaces an asker may know of, and how much: the same for WebFinger and for addresses."""

from dataclasses import dataclass

from federation.documents.actors import OwnActor
from federation.instance import Instance
from server import database as db
from server.errors import NotFound
from server.events import Kind
from server.queries import people, spaces
from server.queries.spaces import SeenSpace
from server.viewer import PeerServer, Viewer

STRANGER = PeerServer(peer_id=0)
"""A server of nobody we know: what it may know of, anybody may ask the keys of."""


@dataclass(frozen=True, slots=True)
class OwnPerson:
    """One of our people. `full`: more than what checking their signature takes."""

    actor_id: int
    actor: OwnActor
    full: bool


@dataclass(frozen=True, slots=True)
class OwnSpace:
    """One of our spaces. `full`: more than what checking its signature takes."""

    space: SeenSpace
    actor: OwnActor
    full: bool


async def own_person(instance: Instance, viewer: Viewer, name: str) -> OwnPerson:
    """Somebody who works here. Raises NotFound: also for the suspended.

    Where only links federate, whoever signs with none gets no more than the keys. What somebody says about
    themselves is told to servers, not to the web.
    """
    if not name.isprintable() or name != name.lower():
        raise NotFound(detail="not a name of ours")
    found = await people.find(viewer, name)
    row = await db.fetch_one("SELECT summary, created_at FROM actor WHERE id = $1", found.card.id)
    if row is None:
        raise NotFound(detail="gone meanwhile")
    card, server = found.card, isinstance(viewer, PeerServer)
    actor = OwnActor(card.uri, card.name, card.display_name, row["summary"] if server else "", row["created_at"])
    return OwnPerson(card.id, actor, full=server or instance.open)


async def is_gone(instance: Instance, viewer: Viewer, name: str) -> bool:
    """Whether somebody of that name was here and was erased: for whoever could know of them.

    Where any instance federates that is everybody; else the instances that were told so (I7).
    """
    row = await db.fetch_one(
        "SELECT id FROM actor WHERE host = '' AND kind = 'person' AND name = $1 AND gone_at IS NOT NULL",
        name if name.isprintable() else "",
    )
    if row is None or instance.open:
        return row is not None
    peer_id = viewer.peer_id if isinstance(viewer, PeerServer) else 0
    told = "SELECT 1 FROM delivery d JOIN event e ON e.id = d.event_id WHERE e.kind = $1 AND e.actor_id = $2"
    found = await db.fetch_one(f"{told} AND d.peer_id = $3 LIMIT 1", Kind.PERSON_ERASED.value, row["id"], peer_id)
    return found is not None


async def own_space(instance: Instance, viewer: Viewer, slug: str) -> OwnSpace:
    """A space that lives here and that the viewer may know of. Raises NotFound.

    Where any instance federates, the keys of a space that any server may know of are for everybody: without them a
    server that is strict like us could not check who signs. Its title is not: the web has no right to it. Where only
    links federate there is no such server, and the web finds nothing (I7).
    """
    if not slug.isprintable() or "@" in slug:
        raise NotFound(detail="a space elsewhere answers there")
    try:
        space, full = await spaces.find(viewer, slug), True
    except NotFound:
        if not instance.open:
            raise
        space, full = await spaces.find(STRANGER, slug), False
    if not space.hosted_here:
        raise NotFound(detail="a space elsewhere answers there")
    summary = space.description if full else ""
    return OwnSpace(space, OwnActor(space.uri, slug, space.name if full else slug, summary, space.created_at), full)
