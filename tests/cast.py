"""The named company: who is who in every test, as rows, and what each of them is to the policy.

Aubrac Énergie is ours. Alice owns spaces, Bruno works here and is in none of them, Odile administers, Zoé left.
Kestrel is linked: Chloé is invited, Driss is not. At inconnu, which no link ties to us, Eve lies.
"""

from dataclasses import dataclass

from server import database as db
from server.actions.arriving import Arrived, receive
from server.actions.posts import Draft, publish
from server.actions.spaces import NewSpace, name_partner, open_space
from server.clock import now_ms
from server.ids import Addresses, new_id
from server.openness import Level, Office, Reach, Visibility
from server.rights import DAY_MS
from server.viewer import (
    Anonymous,
    Employee,
    Guest,
    Operator,
    PeerServer,
    RemotePerson,
    Resident,
    Viewer,
    guest_side,
)

HERE = Addresses("https://aubrac.test")
KESTREL = "kestrel.test"
INCONNU = "inconnu.test"


@dataclass(frozen=True, slots=True)
class Cast:
    """Everybody, as viewers."""

    alice: Employee
    bruno: Employee
    odile: Employee
    chloe: RemotePerson
    driss: RemotePerson
    eve: RemotePerson
    kestrel: PeerServer
    inconnu: PeerServer
    web: Anonymous

    def outsiders(self) -> list[Viewer]:
        """Whoever does not work here and is in no space."""
        return [self.driss, self.eve, self.inconnu, self.web]


async def gather() -> Cast:
    """Writes the company into an empty database."""
    await _peer(KESTREL, "Kestrel GmbH", linked=True)
    await _peer(INCONNU, "Inconnu", linked=False)
    zoe = await employee("zoe", "Zoé Martin")
    await db.execute("UPDATE account SET suspended_at = $1 WHERE id = $2", now_ms(), zoe.account_id)
    await db.execute("UPDATE actor SET suspended_at = $1 WHERE id = $2", now_ms(), zoe.actor_id)
    return Cast(
        alice=await employee("alice", "Alice Fournier"),
        bruno=await employee("bruno", "Bruno Keller"),
        odile=await employee("odile", "Odile Garnier", Office.ADMIN),
        chloe=await stranger("chloe", "Chloé Lindner", KESTREL),
        driss=await stranger("driss", "Driss Haddad", KESTREL),
        eve=await stranger("eve", "Eve", INCONNU),
        kestrel=PeerServer(await _peer_id(KESTREL), linked=True),
        inconnu=PeerServer(await _peer_id(INCONNU)),
        web=Anonymous(),
    )


async def employee(name: str, display_name: str, office: Office = Office.MEMBER) -> Employee:
    """Somebody who works here."""
    actor_id = await _actor(HERE.person(name), name, display_name, "", None)
    account_id = new_id()
    row = {"id": account_id, "actor_id": actor_id, "name": name, "office": office.value, "created_at": now_ms()}
    await db.insert("account", row)
    return Employee(account_id, actor_id, office)


async def guest(name: str, display_name: str, sponsor: Employee, organisation: str = "", days: int = 30) -> Guest:
    """Somebody from outside with an account here; `sponsor` answers for them."""
    actor_id = await _actor(HERE.person(name), name, display_name, "", None)
    account_id, now = new_id(), now_ms()
    row = {"id": account_id, "actor_id": actor_id, "name": name, "office": Office.GUEST.value, "created_at": now}
    row |= {"organisation": organisation, "sponsor_id": sponsor.actor_id, "until_at": now + days * DAY_MS}
    await db.insert("account", row)
    return Guest(account_id, actor_id, guest_side(organisation, actor_id))


async def stranger(name: str, display_name: str, host: str) -> RemotePerson:
    """Somebody elsewhere whom this instance has met."""
    peer_id = await _peer_id(host)
    linked = bool(await db.fetch_one("SELECT id FROM link WHERE peer_id = $1 AND state = 'active'", peer_id))
    actor_id = await _actor(f"https://{host}/@{name}", name, display_name, host, peer_id)
    return RemotePerson(actor_id, peer_id, linked)


async def space(
    slug: str,
    level: Level,
    owner: Employee,
    *members: Resident | RemotePerson,
    listed: bool = True,
    reach: Reach = Reach.INVITED,
    partners: tuple[str, ...] = (),
) -> int:
    """A space of ours with its owner and these members; returns its id."""
    new = NewSpace(slug, slug.replace("-", " ").title(), level, listed=listed, reach=reach)
    space_id = await open_space(owner, new, HERE)
    for host in partners:
        await name_partner(Operator(), space_id, host)
    for viewer in members:
        await enter(space_id, viewer)
    return space_id


async def enter(space_id: int, who: Resident | RemotePerson, role: str = "member", state: str = "member") -> None:
    """Puts somebody into a space, or on the way into it, as the rows say it."""
    peer_id = who.peer_id if isinstance(who, RemotePerson) else None
    row = {"id": new_id(), "space_id": space_id, "actor_id": who.actor_id, "peer_id": peer_id, "role": role}
    await db.insert("membership", {**row, "state": state, "since_at": now_ms() - 1, "created_at": now_ms()})


async def say(
    who: Resident | RemotePerson,
    text: str,
    space_id: int | None = None,
    *,
    answers: int | None = None,
    visibility: Visibility = Visibility.COLLEAGUES,
) -> int:
    """Somebody writes; returns the post's id."""
    if isinstance(who, Resident):
        draft = Draft(text, space_id, visibility, reply_to_id=answers)
        return await publish(who, draft, HERE)
    answered = await db.fetch_one("SELECT uri FROM post WHERE id = $1", answers) if answers else None
    arrived = Arrived(
        uri=f"https://{INCONNU}/posts/{new_id()}",
        html=f"<p>{text}</p>",
        published_at=now_ms(),
        reply_to_uri=answered["uri"] if answered else "",
        visibility=None if space_id else visibility,
    )
    return await receive(who, who.actor_id, arrived, space_id)


async def _actor(uri: str, name: str, display_name: str, host: str, peer_id: int | None) -> int:
    actor_id = new_id()
    row = {"id": actor_id, "uri": uri, "kind": "person", "name": name, "display_name": display_name, "host": host}
    await db.insert("actor", {**row, "peer_id": peer_id, "inbox": f"{uri}/inbox", "created_at": now_ms()})
    return actor_id


async def _peer(host: str, title: str, *, linked: bool) -> None:
    peer_id = new_id()
    row = {"id": peer_id, "host": host, "base_url": f"https://{host}", "title": title, "created_at": now_ms()}
    await db.insert("peer", row)
    if linked:
        now = now_ms()
        link = {"id": new_id(), "peer_id": peer_id, "state": "active", "active_at": now}
        await db.insert("link", {**link, "created_at": now, "changed_at": now})


async def _peer_id(host: str) -> int:
    row = await db.fetch_one("SELECT id FROM peer WHERE host = $1", host)
    assert row is not None
    return int(row["id"])
