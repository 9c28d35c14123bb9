"""Spaces that other instances host, as they show themselves to us."""

from federation.errors import Refused
from federation.instance import Instance
from federation.lookup import KnownActor, fetch_document, remember
from federation.reading import moment
from server.actions.spaces import SpaceElsewhere, mirror
from server.openness import Level
from server.viewer import PeerServer


async def space_of(instance: Instance, group: KnownActor) -> int:
    """Our view of the space of a Group elsewhere, made or brought up to date from its document; its id here."""
    if group.peer_id is None:
        raise Refused("That space is ours.", group.uri)
    document = await fetch_document(instance, group.uri)
    known = await remember(document)
    level = Level(document.openness) if document.openness in set(Level) else Level.PARTNERS
    newcomers = moment(document.document.get("parvis:newcomersFrom"))
    told = SpaceElsewhere(known.id, known.name, known.host, document.display_name, document.summary, level, newcomers)
    return await mirror(PeerServer(group.peer_id, linked=True), told)
