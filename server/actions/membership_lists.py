"""Our members of a space elsewhere against its host's list of them: who reads nothing meanwhile, who goes, who stays.

The host alone decides who is in its space; it never brings in somebody who left, or who does not want invitations.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from server import database as db
from server import live
from server.actions.audit import note
from server.actions.incidents import noticed
from server.actions.link_keys import tell_administrators
from server.clock import APART_MS, now_ms
from server.events import Kind, record
from server.ids import new_id
from server.openness import MemberState
from server.queries.clocks import time_at
from server.sql import Clause, one_of
from server.viewer import PeerServer

UNSURE_MS = 10 * 60_000
"""Lists that differ again within this time after a comparison freeze the space here, in milliseconds."""
LEFT_LATELY_MS = 10 * 60_000
"""How long the host may take to hear that somebody left, in milliseconds."""
DISAGREE = "The host's list of our members is not ours."
NOT_SHOWN = "The host shows no list of our members."


@dataclass(frozen=True, slots=True)
class Here:
    """A member of ours. `frozen`: the host did not name them, so they read nothing until that is settled."""

    actor_id: int
    uri: str
    since_at: int
    frozen: bool


async def members_here(space_id: int) -> list[Here]:
    """Our own members of a space, the frozen ones too."""
    rows = await db.fetch(
        "SELECT m.actor_id, a.uri, m.since_at, m.state FROM membership m JOIN actor a ON a.id = m.actor_id"
        " WHERE m.space_id = $1 AND m.peer_id IS NULL AND m.state IN ('member', 'frozen') ORDER BY m.actor_id",
        space_id,
    )
    return [Here(r["actor_id"], r["uri"], r["since_at"] or 0, r["state"] == MemberState.FROZEN) for r in rows]


async def freeze(space_id: int, actor_ids: Collection[int]) -> None:
    """These members read nothing until the lists were compared."""
    await _set(space_id, actor_ids, MemberState.MEMBER, MemberState.FROZEN)


async def agreed(space_id: int, listed: Collection[str]) -> bool:
    """Whether the host's list is ours already."""
    return {member.uri for member in await members_here(space_id)} == set(listed)


Listed = dict[str, int | None]
"""Who of ours is in by a host's list: by address, since when (ms, by its clock) where it says so."""


async def apply(space_id: int, listed: Listed, began_at: int) -> bool:
    """Makes the host's list true here, in the caller's transaction: removals first, then additions, then since when.

    `began_at`: when the fetch of the list began (ms, by the host's clock); who came in since is left alone. Says
    whether the lists now agree; when they do not for a second time within UNSURE_MS, the space is frozen here.
    """
    present, wanted = await members_here(space_id), set(listed)
    newer = {member.uri for member in present if member.since_at >= began_at}
    gone = [member.actor_id for member in present if member.uri not in wanted and member.uri not in newer]
    for actor_id in gone:
        await db.execute("DELETE FROM membership WHERE space_id = $1 AND actor_id = $2", space_id, actor_id)
        await db.execute("DELETE FROM notice WHERE space_id = $1 AND actor_id = $2", space_id, actor_id)
        _looks_again(space_id, actor_id)
    settled, there = True, await _time_there(space_id)
    for uri in sorted(wanted - {member.uri for member in present}):
        settled = await _bring_in(space_id, uri, there) and settled
    for member in await members_here(space_id):
        at = listed.get(member.uri)
        if at is not None and at != member.since_at and member.uri not in newer:
            await db.execute(
                "UPDATE membership SET since_at = $1 WHERE space_id = $2 AND actor_id = $3",
                min(at, now_ms() + APART_MS),
                space_id,
                member.actor_id,
            )
    if not settled:
        await _unsettled(space_id)
        return False
    back = [member.actor_id for member in await members_here(space_id) if member.uri in wanted]
    await _set(space_id, back, MemberState.FROZEN, MemberState.MEMBER)
    await db.execute(
        "UPDATE space SET checked_at = $1, unsure_at = NULL, frozen_at = NULL WHERE id = $2", now_ms(), space_id
    )
    if back and all(member.frozen for member in present):
        await ask_once_more(space_id, back[0])
    return True


async def hide(space_id: int) -> None:
    """In the caller's transaction: the host shows no list, so nobody here reads the space until it shows one."""
    await freeze(space_id, [member.actor_id for member in await members_here(space_id)])
    space = await db.fetch_one("SELECT peer_id, slug, frozen_at FROM space WHERE id = $1", space_id)
    if space is not None and space["frozen_at"] is None:
        await db.execute("UPDATE space SET frozen_at = $1 WHERE id = $2", now_ms(), space_id)
        await noticed(space["peer_id"], "members", NOT_SHOWN, space["slug"])
        await note(PeerServer(space["peer_id"]), "space_frozen", subject=space["slug"], space_id=space_id)


async def ask_once_more(space_id: int, actor_id: int) -> None:
    """In the caller's transaction: a host tells what we lack when somebody who is in asks to come in.

    So where nobody of ours was in, for all we knew, or read the space, and what it told was refused; or where that was
    told while all of the space was being taken back.
    """
    event_id = new_id()
    await record(Kind.JOIN_ASKED, actor_id=actor_id, space_id=space_id, event_id=event_id)
    await db.execute(
        "UPDATE membership SET uri = $1 WHERE space_id = $2 AND actor_id = $3", f"event:{event_id}", space_id, actor_id
    )


async def _time_there(space_id: int) -> int:
    space = await db.fetch_one("SELECT peer_id FROM space WHERE id = $1", space_id)
    return await time_at(space["peer_id"] if space else None)


async def _bring_in(space_id: int, uri: str, there: int) -> bool:
    """Somebody who is in by the host's word, where it says no date from now on, which is `there` by its clock.

    False when nobody here can be brought in under that address.
    """
    who = await db.fetch_one(
        "SELECT a.id, c.invitations, (SELECT m.state FROM membership m WHERE m.space_id = $1 AND m.actor_id = a.id)"
        " AS state FROM actor a JOIN account c ON c.actor_id = a.id WHERE a.uri = $2 AND a.peer_id IS NULL"
        " AND a.gone_at IS NULL",
        space_id,
        uri,
    )
    if who is None:
        return False
    left = await db.fetch_one(
        "SELECT MAX(created_at) AS at FROM event WHERE kind = 'left' AND space_id = $1 AND actor_id = $2",
        space_id,
        who["id"],
    )
    if who["state"] is None and ((left and left["at"] is not None) or who["invitations"] != "accept"):
        if not left or (left["at"] or 0) < now_ms() - LEFT_LATELY_MS:
            await record(Kind.LEFT, actor_id=who["id"], space_id=space_id, data={"uri": ""})
        return True
    row = {"id": new_id(), "space_id": space_id, "actor_id": who["id"], "state": "member", "since_at": there}
    await db.insert_many("membership", [{**row, "created_at": now_ms()}], ignore=True)
    await db.execute(
        "UPDATE membership SET state = 'member', since_at = COALESCE(since_at, $1)"
        " WHERE space_id = $2 AND actor_id = $3",
        there,
        space_id,
        who["id"],
    )
    _looks_again(space_id, who["id"])
    return True


async def _unsettled(space_id: int) -> None:
    space = await db.fetch_one("SELECT peer_id, slug, unsure_at, frozen_at FROM space WHERE id = $1", space_id)
    assert space is not None
    now = now_ms()
    await noticed(space["peer_id"], "members", DISAGREE, space["slug"])
    if space["unsure_at"] is None or now - space["unsure_at"] > UNSURE_MS:
        await db.execute("UPDATE space SET checked_at = $1, unsure_at = $1 WHERE id = $2", now, space_id)
    elif space["frozen_at"] is None:
        await db.execute("UPDATE space SET checked_at = $1, frozen_at = $1 WHERE id = $2", now, space_id)
        await freeze(space_id, [member.actor_id for member in await members_here(space_id)])
        await note(PeerServer(space["peer_id"]), "space_frozen", subject=space["slug"], space_id=space_id)
        await tell_administrators(space["peer_id"], "members")
        await record(Kind.MEMBERS_DISAGREE, space_id=space_id)


async def _set(space_id: int, actor_ids: Iterable[int], before: MemberState, after: MemberState) -> None:
    ids = list(actor_ids)
    if not ids:
        return
    query = Clause(
        "UPDATE membership SET state = ? WHERE space_id = ? AND state = ? AND", (after.value, space_id, before.value)
    )
    await db.execute(*query.join(one_of("actor_id", ids)).statement())
    for actor_id in ids:
        _looks_again(space_id, actor_id)


def _looks_again(space_id: int, actor_id: int) -> None:
    """Open pages of this person look again at what they may see."""
    db.after_commit(lambda: live.publish(live.Fact("access", space_id=space_id, actor_id=actor_id)))
