"""Open a space, name its partners, change its openness."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from server import database as db
from server.actions.audit import note
from server.actions.openness import ELSEWHERE, Done, Door, How, adjust
from server.actions.policy_history import Made, append
from server.bounds import TOO_CLOSED, problems
from server.clock import now_ms
from server.errors import Conflict, Forbidden, Invalid, NotFound
from server.events import Kind, record
from server.ids import Addresses, new_id
from server.limits import DISPLAY_NAME_CHARACTERS, SUMMARY_BYTES
from server.openness import Level, LinkState, MemberState, Reach, Role
from server.policy import Act
from server.queries import policies, spaces
from server.refusals import N_
from server.space_policy import PartnerTerms, SpacePolicy
from server.text import one_line, plain
from server.viewer import Employee, Operator, PeerServer

SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?")
BAD_SLUG = N_("L’adresse d’un espace a 1 à 64 lettres minuscules, chiffres ou tirets ; « %(slug)s » ne convient pas.")
TAKEN = N_("« %(slug)s » est déjà pris, par un espace ou par une personne.")
NEEDS_NAME = N_("Donnez un nom à l’espace.")
NO_OWNER = N_("« %(who)s » n’est pas une personne de cette instance.")
ODD_NAME = N_("Ce nom porte un caractère qui ne se voit pas, ou qui retourne ce qui l’entoure.")
NO_LINK = N_("« %(host)s » n’est pas une instance liée : liez-la d’abord.")


@dataclass(frozen=True, slots=True)
class NewSpace:
    """What a space is to be. `partners` are hosts of linked instances."""

    slug: str
    name: str
    level: Level = Level.CLOSED
    owner: str = ""
    description: str = ""
    listed: bool | None = None
    reach: Reach = Reach.INVITED
    partners: Sequence[str] = ()

    @property
    def in_lists(self) -> bool:
        """Whether colleagues outside it see its card; unsaid, a space with invited partners only is not shown."""
        if self.listed is None:
            return not (self.level is Level.PARTNERS and self.reach is Reach.INVITED)
        return self.listed


async def open_space(viewer: Employee | Operator, new: NewSpace, here: Addresses) -> int:
    """Makes a space and its first owner; returns its id. Raises Invalid (naming the field) or Conflict."""
    if not SLUG.fullmatch(new.slug):
        raise Invalid(BAD_SLUG, field="slug", params={"slug": new.slug[:80]})
    _check_name(new.name)
    if new.partners and new.level.rank < Level.PARTNERS.rank:
        raise Invalid(TOO_CLOSED, field="partners")
    async with db.transaction():
        if await db.fetch_one("SELECT id FROM actor WHERE host = '' AND name = $1", new.slug):
            raise Conflict(TAKEN, field="slug", params={"slug": new.slug})
        owner_id = await _owner(viewer, new.owner)
        space_id = await _write(new, here)
        await _own(space_id, owner_id)
        for host in new.partners:
            await _name_partner(space_id, host)
        policy = await policies.current(space_id)
        for problem in problems(policy, await policies.guardrails(), now_ms()):
            raise Invalid(problem.sentence, field=problem.field, params=problem.params)
        door = Door.COMMAND if isinstance(viewer, Operator) else Door.PAGE
        await append(viewer, space_id, Made(1, policy, policy, door.value))
        await note(viewer, "open_space", subject=new.slug, space_id=space_id, level=new.level.value)
        return space_id


async def set_openness(
    viewer: Employee | Operator, space_id: int, level: Level, *, listed: bool = True, reach: Reach = Reach.INVITED
) -> Done:
    """Changes how open a space is, from this commit on, for every door at once.

    What was written before keeps its stamp: widening does not open the past.
    """
    return await adjust(
        viewer, space_id, _how(viewer), lambda policy: replace(policy, level=level, listed=listed, reach=reach)
    )


async def name_partner(viewer: Employee | Operator, space_id: int, host: str) -> Done:
    """Names a linked instance as a partner of the space; doing it again changes nothing."""
    wanted = host.strip().lower()

    def named(policy: SpacePolicy) -> SpacePolicy:
        if policy.level.rank < Level.PARTNERS.rank:
            raise Invalid(TOO_CLOSED, field="partners")
        if policy.partner(wanted) is not None:
            return policy
        return replace(policy, partners=tuple(sorted((*policy.partners, PartnerTerms(wanted)), key=_by_host)))

    return await adjust(viewer, space_id, _how(viewer), named)


async def unname_partner(viewer: Employee | Operator, space_id: int, host: str) -> Done:
    """The space no longer names an instance: its people are out, and it is told so."""

    def without(policy: SpacePolicy) -> SpacePolicy:
        if policy.partner(host) is None:
            raise NotFound(NO_LINK, params={"host": host})
        return replace(policy, partners=tuple(terms for terms in policy.partners if terms.host != host))

    return await adjust(viewer, space_id, _how(viewer), without)


async def describe(viewer: Employee | Operator, space_id: int, name: str, description: str) -> None:
    """Says anew what a space is called and what it is for. Raises Invalid, Forbidden, NotFound."""
    _check_name(name)
    async with db.together():
        space = await spaces.find_by_id(viewer, space_id)
        space.demand(viewer, Act.CHANGE_POLICY)
        words = (name.strip()[:200], description)
        if not space.hosted_here:
            raise Forbidden(ELSEWHERE, detail="hosted elsewhere")
        await db.execute("UPDATE space SET name = $1, description = $2 WHERE id = $3", *words, space.id)
        await db.execute("UPDATE actor SET display_name = $1, summary = $2 WHERE id = $3", *words, space.actor_id)
        await note(viewer, "describe_space", subject=space.slug, space_id=space.id)
        await record(Kind.SPACE_CHANGED, actor_id=space.actor_id, space_id=space.id)


def _check_name(name: str) -> None:
    """Raises Invalid."""
    if not name.strip():
        raise Invalid(NEEDS_NAME, field="name")
    if not one_line(name):
        raise Invalid(ODD_NAME, field="name")


def _by_host(terms: PartnerTerms) -> str:
    return terms.host


def _how(viewer: Employee | Operator) -> How:
    return How(Door.COMMAND if isinstance(viewer, Operator) else Door.PAGE)


@dataclass(frozen=True, slots=True)
class SpaceElsewhere:
    """A space that another instance hosts, as its Group actor says. `actor_id`: that actor, known here."""

    actor_id: int
    slug: str
    host: str
    name: str
    description: str
    level: Level
    newcomers_from: int | None = None


async def mirror(viewer: PeerServer, told: SpaceElsewhere) -> int:
    """Keeps our view of a space hosted by this peer, new or changed; returns its id here."""
    async with db.transaction():
        row = await db.fetch_one("SELECT id, peer_id FROM space WHERE actor_id = $1", told.actor_id)
        if row is not None and row["peer_id"] != viewer.peer_id:
            raise NotFound(detail="not its host (I8)")
        name = plain(told.name)[:DISPLAY_NAME_CHARACTERS] or told.slug
        description = plain(told.description)[:SUMMARY_BYTES]
        if row is not None:
            await db.execute(
                "UPDATE space SET name = $1, description = $2, level = $3, newcomers_from = $4 WHERE id = $5",
                name,
                description,
                told.level.value,
                told.newcomers_from,
                row["id"],
            )
            return int(row["id"])
        space_id = new_id()
        await db.insert(
            "space",
            {
                "id": space_id,
                "actor_id": told.actor_id,
                "slug": f"{told.slug}@{told.host}"[:200],
                "peer_id": viewer.peer_id,
                "name": name,
                "description": description,
                "level": told.level.value,
                "newcomers_from": told.newcomers_from,
                "created_at": now_ms(),
            },
        )
        return space_id


# --- the steps -----------------------------------------------------------------------------------


async def _owner(viewer: Employee | Operator, name: str) -> int:
    if not name and isinstance(viewer, Employee):
        return viewer.actor_id
    row = await db.fetch_one(
        "SELECT id FROM actor WHERE host = '' AND name = $1 AND kind = 'person' AND suspended_at IS NULL", name
    )
    if row is None:
        raise Invalid(NO_OWNER, field="owner", params={"who": name[:80]})
    return int(row["id"])


async def _write(new: NewSpace, here: Addresses) -> int:
    actor_id, space_id, now = new_id(), new_id(), now_ms()
    uri = here.space(new.slug)
    await db.insert(
        "actor",
        {
            "id": actor_id,
            "uri": uri,
            "kind": "group",
            "name": new.slug,
            "display_name": new.name.strip()[:200],
            "summary": new.description,
            "inbox": f"{uri}/inbox",
            "shared_inbox": here.shared_inbox,
            "followers_uri": here.members(new.slug),
            "created_at": now,
        },
    )
    await db.insert(
        "space",
        {
            "id": space_id,
            "actor_id": actor_id,
            "slug": new.slug,
            "name": new.name.strip()[:200],
            "description": new.description,
            "level": new.level.value,
            "listed": new.in_lists,
            "reach": new.reach.value,
            "opened_at": now if new.level.rank >= Level.NETWORK.rank else None,
            "came_open_at": now if new.level.rank >= Level.NETWORK.rank else None,
            "created_at": now,
        },
    )
    return space_id


async def _own(space_id: int, owner_id: int) -> None:
    await db.insert(
        "membership",
        {
            "id": new_id(),
            "space_id": space_id,
            "actor_id": owner_id,
            "role": Role.OWNER.value,
            "state": MemberState.MEMBER.value,
            "since_at": now_ms(),
            "created_at": now_ms(),
        },
    )


async def _name_partner(space_id: int, host: str) -> None:
    row = await db.fetch_one(
        "SELECT q.id, l.state FROM peer q JOIN link l ON l.peer_id = q.id WHERE q.host = $1", host.strip().lower()
    )
    if row is None or row["state"] != LinkState.ACTIVE:
        raise Invalid(NO_LINK, field="partners", params={"host": host[:255]})
    now = now_ms()
    await db.insert_many(
        "space_partner",
        [{"id": new_id(), "space_id": space_id, "peer_id": row["id"], "added_at": now, "named_at": now}],
        ignore=True,
    )
