"""Spaces that other instances host, as they show themselves to us."""

from federation.errors import FederationError, Refused, Unreachable
from federation.instance import Instance
from federation.lookup import KnownActor, ask_host, fetch_document, remember
from federation.reading import IncomingActor, moment
from federation.trust import host_at
from server.actions.join_requests import ask_elsewhere
from server.actions.spaces import SpaceElsewhere, mirror
from server.errors import NotFound, Unavailable
from server.openness import Level, MemberState
from server.queries.elsewhere import ShownSpace, demand_asking, terms_with
from server.queries.former import new_host
from server.refusals import N_
from server.text import plain
from server.viewer import Employee, PeerServer

SILENT = N_("%(host)s ne répond pas pour l’instant. Vérifiez l’adresse, ou réessayez plus tard.")


async def space_of(instance: Instance, group: KnownActor) -> int:
    """Our view of the space of a Group elsewhere, made or brought up to date from its document; its id here."""
    if group.peer_id is None:
        raise Refused("That space is ours.", group.uri)
    return await _kept(await fetch_document(instance, group.uri))


async def look(instance: Instance, viewer: Employee, slug: str, host: str) -> ShownSpace:
    """What its host shows of a space now. Raises NotFound, in the same way and after the same questions for what is
    hidden from us, for what is no space and for what never was; Unavailable when nobody answers there.
    """
    found = await _asked_for(instance, viewer, slug, host)
    there = host_at(found.id)
    return ShownSpace(
        slug=found.name,
        host=there,
        title=(await terms_with(there)).title,
        name=plain(found.display_name) or found.name,
        description=plain(found.summary),
        level=await _level_of(found),
    )


async def ask(instance: Instance, viewer: Employee, slug: str, host: str) -> MemberState:
    """Asks the host to let somebody of ours in; it answers later. Raises as `look` does."""
    found = await _asked_for(instance, viewer, slug, host)
    return await ask_elsewhere(viewer, await _kept(found))


async def _asked_for(instance: Instance, viewer: Employee, slug: str, host: str) -> IncomingActor:
    host = await new_host(host.lower())
    await demand_asking(viewer, host, Level.PUBLIC)  # of a blocked instance nothing is asked at all
    try:
        found = await ask_host(instance, slug, host)
    except Unreachable as error:
        raise Unavailable(SILENT, params={"host": host[:80]}, detail=str(error)) from error
    except FederationError as error:
        raise NotFound(detail=str(error)) from error
    if found.type != "Group":
        raise NotFound(detail="not a space")
    await demand_asking(viewer, host_at(found.id), await _level_of(found))
    return found


async def _level_of(found: IncomingActor) -> Level:
    """How open its host says that it is. Who is not linked and says nothing showed it to a stranger."""
    if found.openness in set(Level):
        return Level(found.openness)
    return Level.PARTNERS if (await terms_with(host_at(found.id))).linked else Level.NETWORK


async def _kept(found: IncomingActor) -> int:
    known = await remember(found)
    assert known.peer_id is not None  # `remember` writes nobody of ours
    newcomers = moment(found.document.get("parvis:newcomersFrom"))
    level = await _level_of(found)
    told = SpaceElsewhere(known.id, known.name, known.host, found.display_name, found.summary, level, newcomers)
    return await mirror(PeerServer(known.peer_id, linked=True), told)
