"""Invite, ask, admit, leave, remove: people here and elsewhere alike.

A space's host alone decides who is in it. Where the space is hosted elsewhere our rows say what the host told
us; what our people want is told to the host, and becomes true when it answers.
"""

from dataclasses import dataclass
from typing import Any

from server import database as db
from server import live
from server.actions import feeds, mails, recalls
from server.actions.audit import note
from server.actions.newcomers import tell_once_more, tell_the_first, told_from
from server.actions.notices import notify
from server.clock import APART_MS, now_ms
from server.errors import Conflict, Forbidden, NotFound
from server.events import Kind, record
from server.ids import new_id
from server.openness import Audience, Level, LinkState, MemberState, Office, Role
from server.policy import Act, Standing, rights
from server.queries import spaces
from server.queries.clocks import time_at
from server.queries.elsewhere import demand_asking
from server.queries.guests import admitted
from server.refusals import N_, demand
from server.viewer import Employee, Guest, Operator, PeerServer, RemotePerson, Resident, Viewer

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
LAST_OWNER = N_("Un espace garde au moins un responsable : nommez-en un autre d’abord.")
FULL = N_("L’espace est complet : il a %(seats)s places. Il suffirait que son responsable en ajoute.")
PARTNER_FULL = N_("%(host)s a déjà ses %(seats)s places dans cet espace. Il suffirait que son responsable en ajoute.")
NO_SUCH_PERSON = N_("Cette personne n’existe pas.")


@dataclass(frozen=True, slots=True)
class Invitee:
    """Who is to come in, as the rows say."""

    id: int
    name: str
    host: str
    peer_id: int | None
    guest: bool = False
    admitted: bool = True

    @property
    def handle(self) -> str:
        return f"{self.name}@{self.host}" if self.host else self.name


async def add(viewer: Resident | Operator, space_id: int, actor_id: int, role: Role = Role.MEMBER) -> MemberState:
    """Brings somebody in: a colleague at once, a person elsewhere by an invitation; who had asked is admitted.

    Doing it again changes nothing. Raises NotFound, Forbidden with the sentence that says what would be enough.
    """
    async with db.transaction():
        await _alone(space_id)
        space = await spaces.find_by_id(viewer, space_id)
        space.demand(viewer, Act.ADMIT_MEMBERS if role is not Role.MEMBER else Act.INVITE)
        who = await _person(actor_id)
        if not space.hosted_here:
            raise Forbidden(N_("Cet espace est tenu par une autre instance : c’est elle qui invite."))
        present = await _row(space.id, who.id)
        if present is not None and present["state"] == MemberState.MEMBER:
            if who.guest and role is not Role.MEMBER:
                raise Forbidden(GUESTS_LEAD_NOTHING)
            await _set_role(space.id, who.id, role, present["role"])
            return MemberState.MEMBER
        if who.peer_id is not None:
            await _admits_outside(space, who)
        if who.guest:
            space.demand(viewer, Act.ADMIT_MEMBERS)
            _admits_guests(space, who, role)
        await note(viewer, "add_member", subject=who.handle, space_id=space.id, role=role.value)
        if who.peer_id is None:
            await _enter(space.id, who, role)
            await notify([who.id], "member", key=f"member:{space.id}", by=_by(viewer), space_id=space.id)
            return MemberState.MEMBER
        if present is not None and present["state"] == MemberState.ASKED:
            await _enter(space.id, who, role)
            await _answer(space, who.id, present["uri"], accepted=True)
            await tell_the_first(space.id, who.peer_id)
            return MemberState.MEMBER
        await _invite(viewer, space, who, role)
        return MemberState.INVITED


async def join(viewer: Resident, space_id: int) -> MemberState:
    """One of our people comes in, or asks to: what the space's openness says. Doing it again changes nothing."""
    async with db.transaction():
        await _alone(space_id)
        space = await spaces.find_by_id(viewer, space_id)
        if space.state is MemberState.MEMBER:
            return MemberState.MEMBER
        me = await _person(viewer.actor_id)
        if not space.hosted_here:
            if isinstance(viewer, Guest):
                raise NotFound(detail="a space elsewhere is not for guests of ours")
            return await _ask_host(viewer, space, me)
        if space.may(viewer, Act.ACCEPT_INVITATION) or space.may(viewer, Act.JOIN):
            await _enter(space.id, me, Role.MEMBER)
            return MemberState.MEMBER
        demand(space.may(viewer, Act.ASK_TO_JOIN))
        await _put(space.id, me, Role.MEMBER, MemberState.ASKED, "")
        await _ask_stewards(space.id, me.id)
        return MemberState.ASKED


async def ask_elsewhere(viewer: Employee, space_id: int) -> MemberState:
    """One of our people asks the host of a space elsewhere that we have only just heard of. Raises NotFound."""
    async with db.transaction():
        space = (await spaces.around(viewer, [space_id]))[space_id]
        if space.hosted_here:
            raise NotFound(detail="not elsewhere")
        await demand_asking(viewer, space.host, space.level)
        return await _ask_host(viewer, space, await _person(viewer.actor_id))


async def leave(viewer: Resident, space_id: int) -> None:
    """One of our people leaves, or declines an invitation."""
    async with db.transaction():
        await _alone(space_id)
        row = await _row(space_id, viewer.actor_id)
        asked = row is not None and row["state"] == MemberState.ASKED
        # whoever asked knows of the space, also where its host shows it to members alone
        space = (
            (await spaces.around(viewer, [space_id]))[space_id] if asked else await spaces.find_by_id(viewer, space_id)
        )
        if space.standing.role is Role.OWNER and space.hosted_here:
            await _keep_an_owner(space.id, viewer.actor_id)
        await out(space.id, viewer.actor_id)
        if row is not None and not space.hosted_here:
            await record(Kind.LEFT, actor_id=viewer.actor_id, space_id=space.id, data={"uri": row["uri"]})


async def remove(viewer: Resident | Operator, space_id: int, actor_id: int) -> None:
    """A steward lets somebody go; their instance is told, and gets nothing more from this moment."""
    async with db.transaction():
        await _alone(space_id)
        space = await spaces.find_by_id(viewer, space_id)
        space.demand(viewer, Act.ADMIT_MEMBERS)
        if not space.hosted_here:
            raise Forbidden(N_("Cet espace est tenu par une autre instance : c’est elle qui décide de ses membres."))
        who = await _person(actor_id)
        row = await _row(space.id, who.id)
        if row is None:
            raise NotFound(N_("Cette personne n’est pas dans l’espace."))
        if row["role"] == Role.OWNER:
            await _keep_an_owner(space.id, who.id)
        await out(space.id, who.id)
        await note(viewer, "remove_member", subject=who.handle, space_id=space.id)
        if who.peer_id is None and row["state"] == MemberState.ASKED:
            await notify([who.id], "declined", key=f"declined:{row['id']}", space_id=space.id)
        if who.peer_id is not None:
            if row["state"] == MemberState.ASKED:
                await _answer(space, who.id, row["uri"], accepted=False)
            else:
                await record(Kind.MEMBER_REMOVED, actor_id=space.actor_id, space_id=space.id, data={"member": who.id})
            await recalls.after_leaving(viewer, space.id, who.peer_id, "remove_member")


# --- what comes from elsewhere --------------------------------------------------------------------


async def asked(viewer: RemotePerson, space_uri: str, uri: str) -> None:
    """A person elsewhere joins a space of ours, or asks to; the answer is sent. Raises NotFound when hidden."""
    async with db.transaction():
        await _alone((await spaces.find_by_uri(viewer, space_uri)).id)
        space = await spaces.find_by_uri(viewer, space_uri)
        if not space.hosted_here:
            raise NotFound(detail="not hosted here")
        who = await _person(viewer.actor_id)
        row = await _row(space.id, who.id)
        state = MemberState(row["state"]) if row else None
        if state is MemberState.MEMBER:
            await _answer(space, who.id, uri, accepted=True)
            await tell_once_more(viewer.peer_id)
        elif (state is MemberState.INVITED and space.may(viewer, Act.ACCEPT_INVITATION)) or space.may(viewer, Act.JOIN):
            await _enter(space.id, who, Role(row["role"]) if row else Role.MEMBER, uri)
            await _answer(space, who.id, uri, accepted=True)
            await tell_the_first(space.id, viewer.peer_id)
        elif space.may(viewer, Act.ASK_TO_JOIN):
            await _put(space.id, who, Role.MEMBER, MemberState.ASKED, uri)
            await _ask_stewards(space.id, who.id)
        else:
            await _answer(space, who.id, uri, accepted=False)


async def left(viewer: RemotePerson, space_uri: str) -> None:
    """A person elsewhere leaves a space of ours, takes their request back, or declines."""
    async with db.transaction():
        space = await spaces.find_by_uri(viewer, space_uri)
        await _alone(space.id)
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


async def invited(viewer: PeerServer, space_id: int, actor_id: int, uri: str, by: int | None) -> None:
    """The host of a space elsewhere invites one of ours: by their choice they come in at once, or are asked.

    Who is in already asks again: their host no longer counts them, or it would not invite them.
    """
    async with db.transaction():
        who = await _person(actor_id)
        row = await _row(space_id, who.id)
        was_in = row is not None and row["state"] == MemberState.MEMBER
        account = await db.fetch_one("SELECT id, invitations FROM account WHERE actor_id = $1", actor_id)
        if account is None or who.peer_id is not None or who.guest:
            raise NotFound(detail="nobody here to invite")
        await _put(space_id, who, Role.MEMBER, MemberState.INVITED, uri, by)
        if not was_in:
            await notify([actor_id], "invitation", key=f"invitation:{space_id}", by=by, space_id=space_id)
        if viewer.linked and (was_in or account["invitations"] == "accept"):
            me = Employee(account["id"], actor_id)
            await _ask_host(me, (await spaces.around(me, [space_id]))[space_id], who)


async def answered(
    viewer: PeerServer, join_uri: str, accepted: bool, at: int | None = None, newcomers_from: int | None = None
) -> None:
    """The host answers what one of ours asked. An answer to nothing that we asked changes nothing (O24).

    `at`: when the host let them in (ms, by its clock): what it dates since then is theirs to read, as it is there, and
    since `newcomers_from`, which may have changed while nobody of ours was in.
    """
    async with db.transaction():
        row = await db.fetch_one(
            "SELECT m.id, m.space_id, m.actor_id, s.slug FROM membership m"
            " JOIN space s ON s.id = m.space_id WHERE m.uri = $1 AND m.state = 'asked' AND s.peer_id = $2",
            join_uri,
            viewer.peer_id,
        )
        if row is None and accepted:
            row = await _asked_before(viewer, join_uri)
        if row is None:
            known = await db.fetch_one(
                "SELECT m.id, m.space_id FROM membership m JOIN space s ON s.id = m.space_id"
                " WHERE m.uri = $1 AND m.state IN ('member', 'frozen') AND s.peer_id = $2",
                join_uri,
                viewer.peer_id,
            )
            if accepted and known is not None:  # the host's list of members said so before, but not since when
                await told_from(known["space_id"], newcomers_from)
                if at is not None:
                    await db.execute(
                        "UPDATE membership SET since_at = $1 WHERE id = $2 AND since_at > $1", at, known["id"]
                    )
                return
            raise NotFound(detail="an answer to nothing that was asked (O24)")
        if not accepted:
            await out(row["space_id"], row["actor_id"])
            # the space is not theirs to know any more; the address is what they asked for
            key, address = f"declined:{row['id']}", f"!{row['slug']}"
            await notify([row["actor_id"]], "declined", key=key, words=address)
            return
        await told_from(row["space_id"], newcomers_from)
        since = await time_at(viewer.peer_id) if at is None else min(at, now_ms() + APART_MS)
        await db.execute("UPDATE membership SET state = 'member', since_at = $1 WHERE id = $2", since, row["id"])
        await notify([row["actor_id"]], "member", key=f"member:{row['space_id']}", space_id=row["space_id"])
        _changed(row["space_id"], row["actor_id"])


async def _asked_before(viewer: PeerServer, join_uri: str) -> dict[str, Any] | None:
    """Who asked twice, and is answered the first time: not who left in between, of whom the host says it once more."""
    number = join_uri.removeprefix("event:")
    if not number.isdecimal():
        return None
    return await db.fetch_one(
        "SELECT m.id, m.space_id, m.actor_id FROM event e JOIN membership m ON m.space_id = e.space_id"
        " AND m.actor_id = e.actor_id JOIN space s ON s.id = m.space_id WHERE e.id = $1 AND e.kind = 'join_asked'"
        " AND e.created_at >= m.created_at AND m.state = 'asked' AND s.peer_id = $2",
        int(number),
        viewer.peer_id,
    )


async def removed(viewer: PeerServer, space_uri: str, actor_id: int) -> None:
    """The host of a space elsewhere lets one of ours go: nothing of it is shown to them from this moment."""
    async with db.transaction():
        space = await spaces.find_by_uri(viewer, space_uri)
        if space.facts.peer_id != viewer.peer_id:
            raise NotFound(detail="not its host (I8)")
        who = await _person(actor_id)
        if who.peer_id is None:
            await out(space.id, actor_id)


# --- the steps -----------------------------------------------------------------------------------


async def _person(actor_id: int) -> Invitee:
    row = await db.fetch_one(
        f"""SELECT a.id, a.name, a.host, a.peer_id, c.office, CASE WHEN {admitted("c", "$2")} THEN 1 ELSE 0 END AS comes
            FROM actor a LEFT JOIN account c ON c.actor_id = a.id
            WHERE a.id = $1 AND a.kind = 'person' AND a.suspended_at IS NULL AND a.gone_at IS NULL""",
        actor_id,
        now_ms(),
    )
    if row is None:
        raise NotFound(NO_SUCH_PERSON)
    guest = row["office"] == Office.GUEST
    return Invitee(row["id"], row["name"], row["host"], row["peer_id"], guest, not guest or bool(row["comes"]))


async def _alone(space_id: int) -> None:
    """One at a time comes into a space or goes, and not while its openness changes: the others see what this one makes.
    Asked before whatever decides.
    """
    if db.engine_name() == "postgres":
        await db.fetch("SELECT id FROM space WHERE id = $1 FOR NO KEY UPDATE", space_id)


async def _row(space_id: int, actor_id: int) -> dict[str, Any] | None:
    return await db.fetch_one(
        "SELECT id, role, state, uri FROM membership WHERE space_id = $1 AND actor_id = $2", space_id, actor_id
    )


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
    await _put(space.id, who, role, MemberState.INVITED, "", _by(viewer))
    await record(Kind.INVITED, actor_id=space.actor_id, space_id=space.id, data={"invited": who.id, "by": _by(viewer)})


async def _ask_host(viewer: Employee, space: spaces.SeenSpace, me: Invitee) -> MemberState:
    if space.state is MemberState.MEMBER:
        return MemberState.MEMBER
    event_id = new_id()
    await _put(space.id, me, Role.MEMBER, MemberState.ASKED, "")
    await record(Kind.JOIN_ASKED, actor_id=viewer.actor_id, space_id=space.id, event_id=event_id)
    # the answer names the Join by its id, which is the id of this fact
    await db.execute(
        "UPDATE membership SET uri = $1 WHERE space_id = $2 AND actor_id = $3", f"event:{event_id}", space.id, me.id
    )
    return MemberState.ASKED


async def _put(space_id: int, who: Invitee, role: Role, state: MemberState, uri: str, by: int | None = None) -> None:
    await db.execute(
        """INSERT INTO membership
             (id, space_id, actor_id, peer_id, role, state, since_at, invited_by_id, uri, created_at)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
           ON CONFLICT (space_id, actor_id) DO UPDATE SET role = excluded.role, state = excluded.state,
             since_at = excluded.since_at, uri = excluded.uri""",
        new_id(),
        space_id,
        who.id,
        who.peer_id,
        role.value,
        state.value,
        now_ms() if state is MemberState.MEMBER else None,
        by,
        uri[:512],
        now_ms(),
    )
    _changed(space_id, who.id)


async def _enter(space_id: int, who: Invitee, role: Role, uri: str = "") -> None:
    await _has_room(space_id, who)
    await _put(space_id, who, role, MemberState.MEMBER, uri)


async def _has_room(space_id: int, who: Invitee) -> None:
    """Raises Conflict when the space, or its agreement with this person's instance, has no seat left."""
    row = await db.fetch_one(
        """SELECT s.seats, COALESCE(n.people_max, 0) AS people_max,
             (SELECT COUNT(*) FROM membership m WHERE m.space_id = s.id AND m.state = 'member') AS here,
             (SELECT COUNT(*) FROM membership m WHERE m.space_id = s.id AND m.state = 'member'
               AND m.peer_id = $2) AS theirs
           FROM space s LEFT JOIN space_partner n ON n.space_id = s.id AND n.peer_id = $2 WHERE s.id = $1""",
        space_id,
        who.peer_id or 0,
    )
    if row is None:
        return
    if row["seats"] and row["here"] >= row["seats"]:
        raise Conflict(FULL, params={"seats": row["seats"]})
    if row["people_max"] and row["theirs"] >= row["people_max"]:
        raise Conflict(PARTNER_FULL, params={"seats": row["people_max"], "host": who.host})


async def out(space_id: int, actor_id: int) -> None:
    """In the caller's transaction: somebody is no longer in a space, nor on the way into it."""
    await db.execute("DELETE FROM membership WHERE space_id = $1 AND actor_id = $2", space_id, actor_id)
    await db.execute("DELETE FROM notice WHERE space_id = $1 AND actor_id = $2", space_id, actor_id)
    await feeds.leave(space_id, actor_id)
    await mails.leave(space_id, actor_id)
    _changed(space_id, actor_id)


def _changed(space_id: int, actor_id: int) -> None:
    """Open pages of this person look again at what they may see."""
    db.after_commit(lambda: live.publish(live.Fact("access", space_id=space_id, actor_id=actor_id)))


async def _answer(space: spaces.SeenSpace, member_id: int, uri: str, *, accepted: bool) -> None:
    row = await db.fetch_one(
        "SELECT since_at FROM membership WHERE space_id = $1 AND actor_id = $2 AND state = 'member'",
        space.id,
        member_id,
    )
    data = {"member": member_id, "uri": uri, "accepted": accepted, "since": row["since_at"] if row else None}
    await record(Kind.JOIN_ANSWERED, actor_id=space.actor_id, space_id=space.id, data=data)


async def _set_role(space_id: int, actor_id: int, role: Role, present: str) -> None:
    if role is Role.MEMBER or present == role:
        return
    await db.execute(
        "UPDATE membership SET role = $1 WHERE space_id = $2 AND actor_id = $3", role.value, space_id, actor_id
    )


async def _keep_an_owner(space_id: int, going: int) -> None:
    others = await db.fetch_one(
        "SELECT COUNT(*) AS n FROM membership WHERE space_id = $1 AND role = 'owner' AND state = 'member'"
        " AND actor_id <> $2",
        space_id,
        going,
    )
    if not others or not others["n"]:
        raise Conflict(LAST_OWNER)


async def _ask_stewards(space_id: int, asker: int) -> None:
    stewards = await db.fetch(
        "SELECT actor_id FROM membership WHERE space_id = $1 AND state = 'member' AND role IN ('steward', 'owner')"
        " AND peer_id IS NULL",
        space_id,
    )
    key = f"request:{space_id}:{asker}"
    await notify([row["actor_id"] for row in stewards], "request", key=key, by=asker, space_id=space_id)


def _by(viewer: Viewer) -> int | None:
    return viewer.actor_id if isinstance(viewer, Resident) else None
