"""Who is answered what, as the wire design has it: each resource for each asker, and one nothing for all others."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import httpx
import pytest

from server import database as db
from server.actions.posts import Draft, publish
from server.actions.spaces import set_openness
from server.clock import now_ms
from server.ids import new_id
from server.openness import Level
from tests import cast as company
from tests.cast import HERE, INCONNU, KESTREL, Cast, enter, gather, say, space, stranger
from tests.unit.federation.asking import Asking, asking, same

pytestmark = pytest.mark.anyio
NAMED, OTHER = "solstice.test", "merle.test"
"""Linked with us: named by the space, without a member; and linked, but not named."""
WEB = None
ASKERS = (KESTREL, NAMED, OTHER, INCONNU, WEB)
HOUR_MS = 3_600_000


@pytest.fixture
async def cast(database: str) -> Cast:
    found = await gather()
    for host in (NAMED, OTHER):
        await company._peer(host, host, linked=True)
    return found


@pytest.fixture
async def ask(cast: Cast, tmp_path: Path) -> AsyncIterator[Asking]:
    async with asking(tmp_path, "linked", KESTREL, NAMED, OTHER, INCONNU) as found:
        yield found


class Ours:
    """A space of ours that names Kestrel, where Chloé is a member, and Solstice, where nobody is."""

    def __init__(self, space_id: int, post: int, theirs: int) -> None:
        self.space_id, self.post, self.theirs = space_id, post, theirs

    async def paths(self) -> dict[str, str]:
        [event] = await db.fetch("SELECT id FROM event WHERE post_id = $1 AND kind = 'post_published'", self.post)
        return {
            "post": f"/posts/{self.post}",
            "replica": f"/posts/{self.post}/replica",
            "replica of theirs": f"/posts/{self.theirs}/replica",
            "relay": f"/activities/{event['id']}/announce",
            "thread": f"/posts/{self.post}/context",
            "log": "/spaces/offre/outbox",
        }


@pytest.fixture
async def ours(cast: Cast) -> Ours:
    space_id = await space("offre", Level.PARTNERS, cast.alice, cast.chloe, partners=(KESTREL, NAMED))
    return Ours(space_id, await say(cast.alice, "le plan", space_id), await say(cast.chloe, "reçu", space_id))


async def answers(ask: Asking, path: str) -> dict[str | None, httpx.Response]:
    return {asker: await ask(path, asker) for asker in ASKERS}


async def test_the_host_answers_partners_that_the_space_names_and_that_have_a_member(ask: Asking, ours: Ours) -> None:
    nothing = await ask("/posts/4611686018427387903", KESTREL)
    assert nothing.status_code == 404 and "etag" not in nothing.headers
    for name, path in (await ours.paths()).items():
        found = await answers(ask, path)
        assert found.pop(KESTREL).status_code == 200, name
        if name == "log":
            found.pop(NAMED)  # it may know of the space, and sees an empty log: see below
        for asker, answer in found.items():
            assert same(answer, nothing), (name, asker)
    assert await ask.items("/spaces/offre/outbox", NAMED) == []


async def test_a_list_of_members_is_the_askers_own_part(ask: Asking, ours: Ours, cast: Cast) -> None:
    await enter(ours.space_id, await stranger("sami", "Sami", NAMED))
    for host, name in ((KESTREL, "chloe"), (NAMED, "sami")):
        assert await ask.items(f"/spaces/offre/members?host={host}", host) == [f"https://{host}/@{name}"]
        page = await ask.document(f"/spaces/offre/members?host={host}&page=true", host)
        assert page["parvis:policyEpoch"] == (await ask.document("/spaces/offre", host))["parvis:policyEpoch"]
    nothing = await ask("/posts/4611686018427387903", KESTREL)
    for host, asker in ((NAMED, KESTREL), (OTHER, OTHER), (KESTREL, INCONNU), (KESTREL, WEB)):
        assert same(await ask(f"/spaces/offre/members?host={host}", asker), nothing), (host, asker)
    assert cast


Change = Callable[[Ours, Cast], Awaitable[object]]
LOST: dict[str, Change] = {
    "the last member went": lambda ours, cast: db.execute("DELETE FROM membership WHERE peer_id IS NOT NULL"),
    "the link is suspended": lambda ours, cast: db.execute("UPDATE link SET state = 'suspended'"),
    "the space names it no more": lambda ours, cast: db.execute("DELETE FROM space_partner"),
    "the instance is blocked": lambda ours, cast: db.execute("UPDATE peer SET blocked_at = $1", now_ms()),
    "the space was narrowed": lambda ours, cast: set_openness(cast.alice, ours.space_id, Level.CLOSED),
    "the item was written for colleagues": lambda ours, cast: db.execute("UPDATE post SET stamp = 'internal'"),
    "the item is older than its first member": lambda ours, cast: db.execute(
        "UPDATE post SET published_at = $1", now_ms() - HOUR_MS
    ),
}


@pytest.mark.parametrize("change", LOST)
async def test_what_is_no_longer_for_a_partner_is_nothing_at_the_next_request(
    ask: Asking, ours: Ours, cast: Cast, change: str
) -> None:
    paths = await ours.paths()
    await LOST[change](ours, cast)
    nothing = await ask("/posts/4611686018427387903", KESTREL)
    for name in ("post", "replica", "replica of theirs", "relay", "thread"):
        assert same(await ask(paths[name], KESTREL), nothing), name


async def test_the_authors_own_instance_answers_to_the_host_of_the_space_alone(ask: Asking, cast: Cast) -> None:
    """What Alice writes in a space at Kestrel: Kestrel is answered; who shares that space with it is not."""
    [peer] = await db.fetch("SELECT id FROM peer WHERE host = $1", KESTREL)
    group, space_id = new_id(), new_id()
    uri = f"https://{KESTREL}/spaces/vosges"
    actor = {"id": group, "uri": uri, "kind": "group", "name": "vosges", "host": KESTREL, "peer_id": peer["id"]}
    await db.insert("actor", {**actor, "inbox": f"{uri}/inbox", "created_at": now_ms()})
    row = {"id": space_id, "actor_id": group, "slug": f"vosges@{KESTREL}", "peer_id": peer["id"], "name": "Vosges"}
    await db.insert("space", {**row, "level": "partners", "created_at": now_ms()})
    await enter(space_id, cast.alice)
    post = await publish(cast.alice, Draft("chez eux", space_id), HERE)
    [event] = await db.fetch("SELECT id FROM event WHERE post_id = $1", post)
    nothing = await ask("/posts/4611686018427387903", KESTREL)
    for path in (f"/posts/{post}", f"/activities/{event['id']}"):
        found = await answers(ask, path)
        assert found.pop(KESTREL).status_code == 200, path
        for asker, answer in found.items():
            assert same(answer, nothing), (path, asker)
    for asker in ASKERS:
        assert same(await ask(f"/posts/{post}/replica", asker), nothing), "only the host keeps replicas"
