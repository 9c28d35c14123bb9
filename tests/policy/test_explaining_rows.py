"""What an explanation proposes is done to real rows, and undone again: then whoever was refused gets in.

Each kind of reader looks at a new and an old post of a space on each row of the table, by the doors' own lookups.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from server import database as db
from server.actions.plans import rehearsed
from server.clock import now_ms
from server.errors import NotFound
from server.explaining import Changes, Step
from server.openness import History, Level, PartnerView, Reach, Variant
from server.policy import Act
from server.queries import explanations, policies, posts, spaces
from server.queries.explanations import Subject, Told
from server.space_policy import PartnerTerms, SpacePolicy, reset_outside
from server.viewer import Employee, Guest, Operator, PeerServer, RemotePerson, Viewer
from tests import cast as company
from tests.cast import HERE, KESTREL, Cast

pytestmark = pytest.mark.anyio

DAY = 24 * 3600 * 1000
OLD = 200 * DAY
DIALS = {
    Variant.CLOSED: SpacePolicy(Level.CLOSED),
    Variant.UNLISTED: SpacePolicy(Level.CLOSED, listed=False),
    Variant.INTERNAL: SpacePolicy(Level.INTERNAL),
    Variant.INVITED: SpacePolicy(Level.PARTNERS),
    Variant.INVITED_UNLISTED: SpacePolicy(Level.PARTNERS, listed=False),
    Variant.INVITED_READABLE: SpacePolicy(Level.PARTNERS, staff_read=True),
    Variant.EVERYONE: SpacePolicy(Level.PARTNERS, reach=Reach.EVERYONE),
    Variant.NETWORK: SpacePolicy(Level.NETWORK),
    Variant.PUBLIC: SpacePolicy(Level.PUBLIC),
}
ACTS = (Act.NAME_MEMBERS, Act.POST, Act.INVITE)
WORDS = {act: word for word, act in explanations.RIGHTS.items()}


class _Undone(Exception):
    """Ends what was only tried."""


@asynccontextmanager
async def tried() -> AsyncIterator[None]:
    try:
        async with db.transaction():
            yield
            raise _Undone
    except _Undone:
        pass


async def readers(cast: Cast) -> dict[str, Viewer]:
    guest = await company.guest("gisele", "Gisèle", cast.alice, "Atelier")
    return {
        "web": cast.web,
        "eve": cast.eve,
        "inconnu": cast.inconnu,
        "driss": cast.driss,
        "kestrel": cast.kestrel,
        "guest": guest,
        "bruno": cast.bruno,
        "odile": cast.odile,
    }


async def place(cast: Cast, variant: Variant) -> tuple[int, list[int]]:
    """A space on this row, with posts of now, of long ago, and of when it was closed."""
    wanted = DIALS[variant]
    partners = (KESTREL,) if wanted.level is Level.PARTNERS else ()
    slug = variant.value.replace("_", "-")
    space_id = await company.space(
        slug, wanted.level, cast.alice, listed=wanted.listed, reach=wanted.reach, partners=partners
    )
    await db.execute("UPDATE space SET staff_read = $1 WHERE id = $2", wanted.staff_read, space_id)
    new, old, narrow = [await company.say(cast.alice, text, space_id) for text in ("neuf", "vieux", "fermé")]
    await db.execute("UPDATE post SET stamp = $1 WHERE space_id = $2", variant.value, space_id)
    await db.execute("UPDATE post SET published_at = $1 WHERE id = $2", now_ms() - OLD, old)
    await db.execute("UPDATE post SET stamp = 'closed' WHERE id = $1", narrow)
    return space_id, [new, old, narrow]


async def told(space_id: int, post_id: int | None, viewer: Viewer, right: str) -> Told:
    asked: Viewer = Operator()
    thing = explanations.of_space(await spaces.find_by_id(asked, space_id))
    if post_id is not None:
        thing = await explanations.find_thing(asked, f"post:{post_id}", HERE)
    return await explanations.tell_of(asked, thing, Subject("someone", viewer, one=True), right)


async def gets(space_id: int, post_id: int | None, viewer: Viewer, act: Act) -> bool:
    """The answer of the lookup that every door uses."""
    try:
        if post_id is not None:
            return (await posts.find(viewer, post_id)).id == post_id
        return bool((await spaces.find_by_id(viewer, space_id)).may(viewer, act))
    except NotFound:
        return False


@asynccontextmanager
async def applied(cast: Cast, space_id: int, viewer: Viewer, made: Changes) -> AsyncIterator[Viewer]:
    """The world in which these steps were made, and who the reader then is."""
    steps = {change.step for change in made}
    async with tried():
        if Step.SIGN_IN in steps:
            viewer = cast.eve
        if Step.SIGN_THEMSELVES in steps:
            viewer = cast.driss if viewer == cast.kestrel else cast.eve
        if Step.LINK in steps:
            viewer = await linked(viewer)
        wanted = reset_outside(altered(await policies.current(space_id), made, await host_of(viewer)))
        async with rehearsed(space_id, wanted, past=Step.PAST in steps):
            if steps & {Step.JOIN, Step.ASK, Step.INVITE, Step.ACCEPT}:
                await let_in(space_id, viewer, steps)
            if steps & {Step.LEAD, Step.OWN}:
                role = "owner" if Step.OWN in steps else "steward"
                member = getattr(viewer, "actor_id", 0)
                await db.execute(
                    "UPDATE membership SET role = $1 WHERE space_id = $2 AND actor_id = $3", role, space_id, member
                )
            yield viewer


def altered(policy: SpacePolicy, made: Changes, host: str) -> SpacePolicy:
    steps = {change.step for change in made}
    for change in made:
        if change.step is Step.LEVEL:
            policy = replace(policy, level=Level(change.to), listed=True, reach=Reach.INVITED, staff_read=False)
    if Step.NAME_PARTNER in steps:
        policy = replace(policy, partners=(*policy.partners, PartnerTerms(host)))
    for step, dial in {
        Step.REACH: {"reach": Reach.EVERYONE, "staff_read": False},
        Step.STAFF_READ: {"staff_read": True, "listed": True},
        Step.LIST: {"listed": True},
        Step.HISTORY: {"history": History.ALL},
        Step.SEE_EACH_OTHER: {"partner_view": PartnerView.EVERYONE},
        Step.GIVE_BACK: {"less": ()},
    }.items():
        if step in steps:
            policy = replace(policy, **dial)  # type: ignore[arg-type]
    return policy


async def linked(viewer: Viewer) -> Viewer:
    assert isinstance(viewer, (RemotePerson, PeerServer))
    now = now_ms()
    row = {"id": now, "peer_id": viewer.peer_id, "state": "active", "created_at": now, "changed_at": now}
    await db.insert("link", row)
    return replace(viewer, linked=True)


async def host_of(viewer: Viewer) -> str:
    peer = getattr(viewer, "peer_id", 0)
    row = await db.fetch_one("SELECT host FROM peer WHERE id = $1", peer)
    return row["host"] if row else ""


async def let_in(space_id: int, viewer: Viewer, steps: set[Step]) -> None:
    who = viewer
    if isinstance(viewer, PeerServer):  # somebody there comes in
        row = await db.fetch_one("SELECT id FROM actor WHERE peer_id = $1 ORDER BY id LIMIT 1", viewer.peer_id)
        assert row is not None
        who = RemotePerson(row["id"], viewer.peer_id, viewer.linked)
    assert isinstance(who, (Employee, Guest, RemotePerson))
    await company.enter(space_id, who)
    await db.execute(
        "UPDATE membership SET since_at = $1 WHERE space_id = $2 AND actor_id = $3", now_ms(), space_id, who.actor_id
    )


@pytest.mark.parametrize("variant", DIALS)
async def test_a_proposed_change_lets_in_whoever_was_refused(database: str, variant: Variant) -> None:
    cast = await company.gather()
    space_id, written = await place(cast, variant)
    people = await readers(cast)
    refused, flipped = 0, set()
    for name, viewer in people.items():
        asked = [(post_id, Act.READ) for post_id in written] + [(None, act) for act in ACTS]
        for post_id, act in asked:
            answer = await told(space_id, post_id, viewer, WORDS[act])
            case = (variant, name, post_id and written.index(post_id), act)
            assert answer.allowed == await gets(space_id, post_id, viewer, act), case
            if answer.allowed or not answer.would_change_if:
                continue
            refused += 1
            made = answer.would_change_if[0]
            flipped |= {change.step for change in made}
            async with applied(cast, space_id, viewer, made) as then:
                assert await gets(space_id, post_id, then, act), (case, made)
            assert not await gets(space_id, post_id, viewer, act), case
    assert refused > 5
    assert flipped
