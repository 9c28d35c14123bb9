"""Who is in a space, or on the way into it, as rows: written by the verbs of `membership` and `join_requests`, in their
transactions.
"""

from dataclasses import dataclass
from typing import Any

from server import database as db
from server import live
from server.actions import feeds, mails
from server.clock import now_ms
from server.errors import Conflict, NotFound
from server.ids import new_id
from server.openness import MemberState, Office, Role
from server.queries.guests import admitted
from server.refusals import N_
from server.viewer import Resident, Viewer

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


async def person(actor_id: int) -> Invitee:
    """Somebody here or elsewhere. Raises NotFound for whoever is suspended, gone or no person."""
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


async def alone(space_id: int) -> None:
    """One at a time comes into a space or goes, and not while its openness changes: the others see what this one makes.
    Asked before whatever decides.
    """
    if db.engine_name() == "postgres":
        await db.fetch("SELECT id FROM space WHERE id = $1 FOR NO KEY UPDATE", space_id)


async def row_of(space_id: int, actor_id: int) -> dict[str, Any] | None:
    """How somebody stands in a space: id, role, state, uri; None for whoever is not even on the way."""
    return await db.fetch_one(
        "SELECT id, role, state, uri FROM membership WHERE space_id = $1 AND actor_id = $2", space_id, actor_id
    )


async def put(space_id: int, who: Invitee, role: Role, state: MemberState, uri: str, by: int | None = None) -> None:
    """Writes how somebody stands in a space. `uri`: of what they asked or were asked with; `by`: who invited them."""
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
    changed(space_id, who.id)


async def enter(space_id: int, who: Invitee, role: Role, uri: str = "") -> None:
    """Somebody is a member from now on. Raises Conflict when there is no seat left."""
    await _has_room(space_id, who)
    await put(space_id, who, role, MemberState.MEMBER, uri)


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
    changed(space_id, actor_id)


def changed(space_id: int, actor_id: int) -> None:
    """Open pages of this person look again at what they may see."""
    db.after_commit(lambda: live.publish(live.Fact("access", space_id=space_id, actor_id=actor_id)))


async def set_role(space_id: int, actor_id: int, role: Role, present: str) -> None:
    """Gives a member another role; who is more than a member stays so."""
    if role is Role.MEMBER or present == role:
        return
    await db.execute(
        "UPDATE membership SET role = $1 WHERE space_id = $2 AND actor_id = $3", role.value, space_id, actor_id
    )


async def keep_an_owner(space_id: int, going: int) -> None:
    """Raises Conflict when whoever goes is the last owner."""
    others = await db.fetch_one(
        "SELECT COUNT(*) AS n FROM membership WHERE space_id = $1 AND role = 'owner' AND state = 'member'"
        " AND actor_id <> $2",
        space_id,
        going,
    )
    if not others or not others["n"]:
        raise Conflict(LAST_OWNER)


def by_whom(viewer: Viewer) -> int | None:
    """The actor who does it; None for the operator and for instances."""
    return viewer.actor_id if isinstance(viewer, Resident) else None
