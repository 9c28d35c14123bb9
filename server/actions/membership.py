"""Invite, admit, leave, remove: people here and elsewhere alike. Asking and answering are in `join_requests`.

A space's host alone decides who is in it. Where the space is hosted elsewhere our rows say what the host told us.
"""

from server import database as db
from server.actions import recalls
from server.actions.audit import note
from server.actions.join_requests import answer
from server.actions.membership_rows import (
    Invitee,
    alone,
    by_whom,
    enter,
    keep_an_owner,
    out,
    person,
    put,
    row_of,
    set_role,
)
from server.actions.newcomers import tell_the_first
from server.actions.notices import notify
from server.errors import Forbidden, NotFound
from server.events import Kind, record
from server.openness import Audience, Level, LinkState, MemberState, Role
from server.policy import Act, Standing, rights
from server.queries import spaces
from server.refusals import N_
from server.viewer import Operator, PeerServer, RemotePerson, Resident, Viewer

STAYS_INSIDE = N_(
    "Vous ne pouvez pas inviter %(who)s, parce que l’espace n’est pas ouvert à l’extérieur. "
    "Il suffirait qu’il passe au niveau Partenaires et nomme %(host)s."
)
NOT_NAMED = N_(
    "Vous ne pouvez pas inviter %(who)s, parce que %(host)s n’est pas un partenaire de cet espace. "
    "Il suffirait de le nommer."
)
NOT_LINKED = N_(
    "Vous ne pouvez pas inviter %(who)s, parce que l’instance %(host)s n’est pas liée à la nôtre. "
    "Il suffirait que les deux administrateurs la lient."
)
NO_GUESTS = N_(
    "Vous ne pouvez pas inviter %(who)s, parce que l’espace n’est pas ouvert à l’extérieur. "
    "Il suffirait qu’il passe au niveau Partenaires."
)
GUESTS_LEAD_NOTHING = N_("Une personne de l’extérieur n’anime pas un espace : elle en est membre.")
GUEST_IS_OUT = N_("Le séjour de %(who)s est terminé : prolongez-le d’abord.")


async def add(viewer: Resident | Operator, space_id: int, actor_id: int, role: Role = Role.MEMBER) -> MemberState:
    """Brings somebody in: a colleague at once, a person elsewhere by an invitation; who had asked is admitted.

    Doing it again changes nothing. Raises NotFound, Forbidden with the sentence that says what would be enough.
    """
    async with db.transaction():
        await alone(space_id)
        space = await spaces.find_by_id(viewer, space_id)
        space.demand(viewer, Act.ADMIT_MEMBERS if role is not Role.MEMBER else Act.INVITE)
        who = await person(actor_id)
        if not space.hosted_here:
            raise Forbidden(N_("Cet espace est tenu par une autre instance : c’est elle qui invite."))
        present = await row_of(space.id, who.id)
        if present is not None and present["state"] == MemberState.MEMBER:
            if who.guest and role is not Role.MEMBER:
                raise Forbidden(GUESTS_LEAD_NOTHING)
            await set_role(space.id, who.id, role, present["role"])
            return MemberState.MEMBER
        if who.peer_id is not None:
            await _admits_outside(space, who)
        if who.guest:
            space.demand(viewer, Act.ADMIT_MEMBERS)
            _admits_guests(space, who, role)
        await note(viewer, "add_member", subject=who.handle, space_id=space.id, role=role.value)
        if who.peer_id is None:
            await enter(space.id, who, role)
            await notify([who.id], "member", key=f"member:{space.id}", by=by_whom(viewer), space_id=space.id)
            return MemberState.MEMBER
        if present is not None and present["state"] == MemberState.ASKED:
            await enter(space.id, who, role)
            await answer(space, who.id, present["uri"], accepted=True)
            await tell_the_first(space.id, who.peer_id)
            return MemberState.MEMBER
        await _invite(viewer, space, who, role)
        return MemberState.INVITED


async def leave(viewer: Resident, space_id: int) -> None:
    """One of our people leaves, or declines an invitation."""
    async with db.transaction():
        await alone(space_id)
        row = await row_of(space_id, viewer.actor_id)
        asked = row is not None and row["state"] == MemberState.ASKED
        # whoever asked knows of the space, also where its host shows it to members alone
        space = (
            (await spaces.around(viewer, [space_id]))[space_id] if asked else await spaces.find_by_id(viewer, space_id)
        )
        if space.standing.role is Role.OWNER and space.hosted_here:
            await keep_an_owner(space.id, viewer.actor_id)
        await out(space.id, viewer.actor_id)
        if row is not None and not space.hosted_here:
            await record(Kind.LEFT, actor_id=viewer.actor_id, space_id=space.id, data={"uri": row["uri"]})


async def remove(viewer: Resident | Operator, space_id: int, actor_id: int) -> None:
    """A steward lets somebody go; their instance is told, and gets nothing more from this moment."""
    async with db.transaction():
        await alone(space_id)
        space = await spaces.find_by_id(viewer, space_id)
        space.demand(viewer, Act.ADMIT_MEMBERS)
        if not space.hosted_here:
            raise Forbidden(N_("Cet espace est tenu par une autre instance : c’est elle qui décide de ses membres."))
        who = await person(actor_id)
        row = await row_of(space.id, who.id)
        if row is None:
            raise NotFound(N_("Cette personne n’est pas dans l’espace."))
        if row["role"] == Role.OWNER:
            await keep_an_owner(space.id, who.id)
        await out(space.id, who.id)
        await note(viewer, "remove_member", subject=who.handle, space_id=space.id)
        if who.peer_id is None and row["state"] == MemberState.ASKED:
            await notify([who.id], "declined", key=f"declined:{row['id']}", space_id=space.id)
        if who.peer_id is not None:
            if row["state"] == MemberState.ASKED:
                await answer(space, who.id, row["uri"], accepted=False)
            else:
                await record(Kind.MEMBER_REMOVED, actor_id=space.actor_id, space_id=space.id, data={"member": who.id})
            await recalls.after_leaving(viewer, space.id, who.peer_id, "remove_member")


async def left(viewer: RemotePerson, space_uri: str) -> None:
    """A person elsewhere leaves a space of ours, takes their request back, or declines."""
    async with db.transaction():
        space = await spaces.find_by_uri(viewer, space_uri)
        await alone(space.id)
        if space.hosted_here:
            await out(space.id, viewer.actor_id)
            await recalls.after_leaving(viewer, space.id, viewer.peer_id, "left")


async def gone(viewer: RemotePerson) -> None:
    """Somebody elsewhere is no more: out of all spaces, each of which takes back what their instance has of it where
    they were the last.
    """
    async with db.transaction():
        rows = await db.fetch(
            "SELECT m.space_id FROM membership m JOIN space s ON s.id = m.space_id AND s.peer_id IS NULL"
            " WHERE m.actor_id = $1 ORDER BY m.space_id",
            viewer.actor_id,
        )
        await db.execute("DELETE FROM membership WHERE actor_id = $1", viewer.actor_id)
        for row in rows:
            await recalls.after_leaving(viewer, row["space_id"], viewer.peer_id, "left")


async def removed(viewer: PeerServer, space_uri: str, actor_id: int) -> None:
    """The host of a space elsewhere lets one of ours go: nothing of it is shown to them from this moment."""
    async with db.transaction():
        space = await spaces.find_by_uri(viewer, space_uri)
        if space.facts.peer_id != viewer.peer_id:
            raise NotFound(detail="not its host (I8)")
        who = await person(actor_id)
        row = await row_of(space.id, who.id)
        # a request is answered by itself: the host had not heard of it, or it would have said so first
        if who.peer_id is None and (row is None or row["state"] != MemberState.ASKED):
            await out(space.id, actor_id)


def takes_guests(space: spaces.SeenSpace) -> bool:
    """Whether a space has room for people from outside as it is now."""
    return bool(space.hosted_here and rights(space.facts, Standing(Audience.GUEST_MEMBER)).existence)


def _admits_guests(space: spaces.SeenSpace, who: Invitee, role: Role) -> None:
    """Whether this space has room for people from outside; else says what would be enough."""
    if not takes_guests(space):
        raise Forbidden(NO_GUESTS, params={"who": who.handle})
    if role is not Role.MEMBER:
        raise Forbidden(GUESTS_LEAD_NOTHING)
    if not who.admitted:
        raise Forbidden(GUEST_IS_OUT, params={"who": who.handle})


async def _admits_outside(space: spaces.SeenSpace, who: Invitee) -> None:
    """Whether this space lets people of that instance in at all; else says what would be enough."""
    words = {"who": who.handle, "host": who.host}
    if space.level.rank < Level.PARTNERS.rank:
        raise Forbidden(STAYS_INSIDE, params=words)
    link = await db.fetch_one("SELECT state FROM link WHERE peer_id = $1", who.peer_id)
    linked = link is not None and link["state"] == LinkState.ACTIVE
    if space.level is not Level.PARTNERS:
        return
    if not linked:
        raise Forbidden(NOT_LINKED, params=words)
    if not await db.fetch_one(
        "SELECT id FROM space_partner WHERE space_id = $1 AND peer_id = $2", space.id, who.peer_id
    ):
        raise Forbidden(NOT_NAMED, params=words)


async def _invite(viewer: Viewer, space: spaces.SeenSpace, who: Invitee, role: Role) -> None:
    by = by_whom(viewer)
    await put(space.id, who, role, MemberState.INVITED, "", by)
    await record(Kind.INVITED, actor_id=space.actor_id, space_id=space.id, data={"invited": who.id, "by": by})
