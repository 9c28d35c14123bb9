"""Ask to come in, and answer: people here and elsewhere alike.

A space's host alone decides who is in it. What our people want of a space elsewhere is told to its host, and becomes
true when it answers; a space of ours answers people elsewhere the same way.
"""

from typing import Any

from server import database as db
from server.actions.membership_rows import Invitee, alone, changed, enter, out, person, put, row_of
from server.actions.newcomers import tell_once_more, tell_the_first, told_from
from server.actions.notices import notify
from server.clock import APART_MS, now_ms
from server.errors import NotFound
from server.events import Kind, record
from server.ids import new_id
from server.openness import MemberState, Role
from server.policy import Act
from server.queries import spaces
from server.queries.clocks import time_at
from server.queries.elsewhere import demand_asking
from server.refusals import demand
from server.viewer import Employee, Guest, PeerServer, RemotePerson, Resident


async def join(viewer: Resident, space_id: int) -> MemberState:
    """One of our people comes in, or asks to: what the space's openness says. Doing it again changes nothing."""
    async with db.transaction():
        await alone(space_id)
        space = await spaces.find_by_id(viewer, space_id)
        if space.state is MemberState.MEMBER:
            return MemberState.MEMBER
        me = await person(viewer.actor_id)
        if not space.hosted_here:
            if isinstance(viewer, Guest):
                raise NotFound(detail="a space elsewhere is not for guests of ours")
            return await _ask_host(viewer, space, me)
        if space.may(viewer, Act.ACCEPT_INVITATION) or space.may(viewer, Act.JOIN):
            await enter(space.id, me, Role.MEMBER)
            return MemberState.MEMBER
        demand(space.may(viewer, Act.ASK_TO_JOIN))
        await put(space.id, me, Role.MEMBER, MemberState.ASKED, "")
        await _ask_stewards(space.id, me.id)
        return MemberState.ASKED


async def ask_elsewhere(viewer: Employee, space_id: int) -> MemberState:
    """One of our people asks the host of a space elsewhere that we have only just heard of. Raises NotFound."""
    async with db.transaction():
        space = (await spaces.around(viewer, [space_id]))[space_id]
        if space.hosted_here:
            raise NotFound(detail="not elsewhere")
        await demand_asking(viewer, space.host, space.level)
        return await _ask_host(viewer, space, await person(viewer.actor_id))


async def asked(viewer: RemotePerson, space_uri: str, uri: str) -> None:
    """A person elsewhere joins a space of ours, or asks to; the answer is sent. Raises NotFound when hidden."""
    async with db.transaction():
        await alone((await spaces.find_by_uri(viewer, space_uri)).id)
        space = await spaces.find_by_uri(viewer, space_uri)
        if not space.hosted_here:
            raise NotFound(detail="not hosted here")
        who = await person(viewer.actor_id)
        row = await row_of(space.id, who.id)
        state = MemberState(row["state"]) if row else None
        if state is MemberState.MEMBER:
            await answer(space, who.id, uri, accepted=True)
            await tell_once_more(viewer.peer_id)
        elif (state is MemberState.INVITED and space.may(viewer, Act.ACCEPT_INVITATION)) or space.may(viewer, Act.JOIN):
            await enter(space.id, who, Role(row["role"]) if row else Role.MEMBER, uri)
            await answer(space, who.id, uri, accepted=True)
            await tell_the_first(space.id, viewer.peer_id)
        elif space.may(viewer, Act.ASK_TO_JOIN):
            await put(space.id, who, Role.MEMBER, MemberState.ASKED, uri)
            await _ask_stewards(space.id, who.id)
        else:
            await answer(space, who.id, uri, accepted=False)


async def invited(viewer: PeerServer, space_id: int, actor_id: int, uri: str, by: int | None) -> None:
    """The host of a space elsewhere invites one of ours: by their choice they come in at once, or are asked.

    Who is in already asks again: their host no longer counts them, or it would not invite them. So does who has asked:
    what they said is on its way, or was lost there.
    """
    async with db.transaction():
        who = await person(actor_id)
        row = await row_of(space_id, who.id)
        wants_in = row is not None and row["state"] != MemberState.INVITED
        account = await db.fetch_one("SELECT id, invitations FROM account WHERE actor_id = $1", actor_id)
        if account is None or who.peer_id is not None or who.guest:
            raise NotFound(detail="nobody here to invite")
        await put(space_id, who, Role.MEMBER, MemberState.INVITED, uri, by)
        if not wants_in:
            await notify([actor_id], "invitation", key=f"invitation:{space_id}", by=by, space_id=space_id)
        if viewer.linked and (wants_in or account["invitations"] == "accept"):
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
            await _declined(row)
            return
        await told_from(row["space_id"], newcomers_from)
        since = await time_at(viewer.peer_id) if at is None else min(at, now_ms() + APART_MS)
        await db.execute("UPDATE membership SET state = 'member', since_at = $1 WHERE id = $2", since, row["id"])
        await notify([row["actor_id"]], "member", key=f"member:{row['space_id']}", space_id=row["space_id"])
        changed(row["space_id"], row["actor_id"])


async def not_heard(event_id: int) -> None:
    """In the caller's transaction: the host says that nothing comes of what one of ours asked, so no answer will.

    It shows them no such space any more, or has no seat left. Whoever asked once more since waits for that.
    """
    row = await db.fetch_one(
        "SELECT m.id, m.space_id, m.actor_id, s.slug FROM membership m JOIN space s ON s.id = m.space_id"
        " JOIN event e ON e.actor_id = m.actor_id AND e.space_id = m.space_id"
        " WHERE e.id = $1 AND e.kind = 'join_asked' AND m.uri = $2 AND m.state = 'asked' AND s.peer_id IS NOT NULL",
        event_id,
        f"event:{event_id}",
    )
    if row is not None:
        await _declined(row)


async def _declined(row: dict[str, Any]) -> None:
    await out(row["space_id"], row["actor_id"])
    # the space is not theirs to know any more; the address is what they asked for
    key, address = f"declined:{row['id']}", f"!{row['slug']}"
    await notify([row["actor_id"]], "declined", key=key, words=address)


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


async def answer(space: spaces.SeenSpace, member_id: int, uri: str, *, accepted: bool) -> None:
    """In the caller's transaction: a person elsewhere is told, by what they asked (`uri`), whether they are let in."""
    row = await db.fetch_one(
        "SELECT since_at FROM membership WHERE space_id = $1 AND actor_id = $2 AND state = 'member'",
        space.id,
        member_id,
    )
    data = {"member": member_id, "uri": uri, "accepted": accepted, "since": row["since_at"] if row else None}
    await record(Kind.JOIN_ANSWERED, actor_id=space.actor_id, space_id=space.id, data=data)


async def _ask_host(viewer: Employee, space: spaces.SeenSpace, me: Invitee) -> MemberState:
    if space.state is MemberState.MEMBER:
        return MemberState.MEMBER
    event_id = new_id()
    await put(space.id, me, Role.MEMBER, MemberState.ASKED, "")
    await record(Kind.JOIN_ASKED, actor_id=viewer.actor_id, space_id=space.id, event_id=event_id)
    # the answer names the Join by its id, which is the id of this fact
    await db.execute(
        "UPDATE membership SET uri = $1 WHERE space_id = $2 AND actor_id = $3", f"event:{event_id}", space.id, me.id
    )
    return MemberState.ASKED


async def _ask_stewards(space_id: int, asker: int) -> None:
    stewards = await db.fetch(
        "SELECT actor_id FROM membership WHERE space_id = $1 AND state = 'member' AND role IN ('steward', 'owner')"
        " AND peer_id IS NULL",
        space_id,
    )
    key = f"request:{space_id}:{asker}"
    await notify([row["actor_id"] for row in stewards], "request", key=key, by=asker, space_id=space_id)
