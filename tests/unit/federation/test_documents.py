"""Collections, each as large as its asker's right, and documents that others can read."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from federation.vocabulary import PUBLIC
from server import database as db
from server.actions import follows
from server.actions.posts import withdraw
from server.clock import now_ms
from server.ids import new_id
from server.openness import Level, Reach, Visibility
from server.queries import collected
from server.viewer import RemotePerson
from tests.cast import HERE, INCONNU, KESTREL, Cast, enter, gather, say, space
from tests.unit.federation.asking import Asking, asking, introduce

pytestmark = pytest.mark.anyio
CORVUS = "corvus.test"


@pytest.fixture
async def cast(database: str) -> Cast:
    return await gather()


@pytest.fixture
async def ask(cast: Cast, tmp_path: Path) -> AsyncIterator[Asking]:
    async with asking(tmp_path, "linked", KESTREL) as found:
        yield found


@pytest.fixture
async def open_ask(cast: Cast, tmp_path: Path) -> AsyncIterator[Asking]:
    async with asking(tmp_path, "open", KESTREL, INCONNU) as found:
        yield found


async def uri_of(actor_id: int) -> str:
    row = await db.fetch_one("SELECT uri FROM actor WHERE id = $1", actor_id)
    assert row is not None
    return str(row["uri"])


async def post_uri(post_id: int) -> str:
    row = await db.fetch_one("SELECT uri FROM post WHERE id = $1", post_id)
    assert row is not None
    return str(row["uri"])


async def corvus(ask: Asking) -> RemotePerson:
    """Somebody at a second partner, who must not be seen by the first."""
    now, peer_id, actor_id = now_ms(), new_id(), new_id()
    await db.insert("peer", {"id": peer_id, "host": CORVUS, "base_url": f"https://{CORVUS}", "created_at": now})
    link = {"id": new_id(), "peer_id": peer_id, "state": "active", "active_at": now}
    await db.insert("link", {**link, "created_at": now, "changed_at": now})
    uri = f"https://{CORVUS}/@ines"
    actor = {"id": actor_id, "uri": uri, "kind": "person", "name": "ines", "host": CORVUS, "peer_id": peer_id}
    await db.insert("actor", {**actor, "inbox": f"{uri}/inbox", "created_at": now})
    ask.keys[CORVUS] = await introduce(CORVUS)
    return RemotePerson(actor_id, peer_id, linked=True)


# --- who is in a space ----------------------------------------------------------------------------


async def test_partners_that_share_a_space_are_not_shown_one_another(ask: Asking, cast: Cast) -> None:
    ines = await corvus(ask)
    space_id = await space("offre", Level.PARTNERS, cast.alice, cast.chloe, partners=(KESTREL, CORVUS))
    await enter(space_id, ines)
    await enter(space_id, cast.driss, state="invited")
    ours = await uri_of(cast.alice.actor_id)
    assert await ask.items("/spaces/offre/members", KESTREL) == [ours, await uri_of(cast.chloe.actor_id)]
    assert await ask.items("/spaces/offre/members", CORVUS) == [ours, await uri_of(ines.actor_id)]
    assert (await ask.document("/spaces/offre/members", KESTREL))["totalItems"] == 3


async def test_a_server_gets_its_own_part_of_the_members_and_nobody_elses(ask: Asking, cast: Cast) -> None:
    ines = await corvus(ask)
    space_id = await space("offre", Level.PARTNERS, cast.alice, cast.chloe, partners=(KESTREL, CORVUS))
    await enter(space_id, ines)
    for path in (f"/spaces/offre/members?host={CORVUS}", "/spaces/offre/members?host=aubrac.test&page=true"):
        assert (await ask(path, KESTREL)).status_code == 404
    part = await ask.document(f"/spaces/offre/members?host={KESTREL}", KESTREL)
    assert part["id"] == f"{HERE.members('offre')}?host={KESTREL}"
    assert part["totalItems"] == 1
    assert await ask.items(f"/spaces/offre/members?host={KESTREL}", KESTREL) == [await uri_of(cast.chloe.actor_id)]


async def test_a_partner_without_members_gets_nobody_and_may_not_count(ask: Asking, cast: Cast) -> None:
    await space("offre", Level.PARTNERS, cast.alice, cast.bruno, partners=(KESTREL,))
    assert "totalItems" not in await ask.document("/spaces/offre/members", KESTREL)
    assert await ask.items("/spaces/offre/members", KESTREL) == []


async def test_the_web_and_strangers_count_the_members_of_a_public_space_and_name_none_of_ours(
    open_ask: Asking, cast: Cast
) -> None:
    await space("place", Level.PUBLIC, cast.alice, cast.bruno, cast.eve)
    counted = await open_ask.document("/spaces/place/members")
    assert counted["totalItems"] == 3
    assert "first" not in counted
    assert (await open_ask.document("/spaces/place/members?page=true"))["orderedItems"] == []
    assert await open_ask.items("/spaces/place/members", INCONNU) == [await uri_of(cast.eve.actor_id)]


async def test_the_suspended_stand_in_no_collection(ask: Asking, cast: Cast) -> None:
    await space("offre", Level.PARTNERS, cast.alice, cast.bruno, cast.chloe, partners=(KESTREL,))
    await db.execute("UPDATE account SET suspended_at = 1 WHERE actor_id = $1", cast.bruno.actor_id)
    assert HERE.person("bruno") not in await ask.items("/spaces/offre/members", KESTREL)


async def test_long_collections_come_in_bounded_pages_each_entry_once(
    ask: Asking, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collected, "PAGE", 2)
    space_id = await space("place", Level.PUBLIC, cast.alice, cast.bruno, cast.odile, cast.chloe, partners=(KESTREL,))
    written = [await say(cast.alice, f"message {number}", space_id) for number in range(5)]
    first = await ask.document("/spaces/place/outbox?page=true")
    assert len(first["orderedItems"]) == 2
    assert first["partOf"] == f"{HERE.space('place')}/outbox"
    items = await ask.items("/spaces/place/outbox")
    assert [item["object"] for item in items] == [HERE.post(i) for i in reversed(written)]
    assert len(await ask.items("/spaces/place/members", KESTREL)) == 4
    assert [item["object"] for item in await ask.items("/@alice/outbox", KESTREL)] == [
        HERE.post(i) for i in reversed(written)
    ]


# --- what was written -----------------------------------------------------------------------------


async def test_an_outbox_holds_what_its_asker_may_read(ask: Asking, cast: Cast) -> None:
    inside = await space("dedans", Level.INTERNAL, cast.alice)
    shared = await space("offre", Level.PARTNERS, cast.alice, cast.chloe, partners=(KESTREL,))
    for text in ("interne", "privé"):
        await say(cast.alice, text, inside)
    await say(cast.alice, "ici")
    read = [await say(cast.alice, "à relire", shared), await say(cast.alice, "à tous", visibility=Visibility.PUBLIC)]
    gone = await say(cast.alice, "parti", shared)
    await withdraw(cast.alice, gone)
    items = await ask.items("/@alice/outbox", KESTREL)
    assert [(item["type"], item["actor"], item["object"]) for item in items] == [
        ("Create", HERE.person("alice"), HERE.post(i)) for i in reversed(read)
    ]
    for item in items:
        assert (await ask.document(item["id"].removeprefix(HERE.base), KESTREL))["object"]["id"] == item["object"]


async def test_the_outbox_of_a_space_announces_and_each_announcement_can_be_fetched(ask: Asking, cast: Cast) -> None:
    shared = await space("offre", Level.PARTNERS, cast.alice, cast.chloe, partners=(KESTREL,))
    ours, theirs = await say(cast.alice, "le plan", shared), await say(cast.chloe, "reçu", shared)
    items = await ask.items("/spaces/offre/outbox", KESTREL)
    assert [item["object"] for item in items] == [await post_uri(theirs), HERE.post(ours)]
    announce = await ask.document(items[1]["id"].removeprefix(HERE.base), KESTREL)
    assert (announce["type"], announce["actor"], announce["to"]) == (
        "Announce",
        HERE.space("offre"),
        [HERE.members("offre"), "https://kestrel.test/@chloe"],
    )
    assert announce["object"]["object"]["content"] == "<p>le plan</p>"


async def test_a_partner_reads_no_past_from_before_its_first_member(ask: Asking, cast: Cast) -> None:
    shared = await space("offre", Level.PARTNERS, cast.alice, partners=(KESTREL,))
    before = await say(cast.alice, "avant", shared)
    await db.execute("UPDATE post SET published_at = published_at - 60000 WHERE id = $1", before)
    await enter(shared, cast.chloe)
    after = await say(cast.alice, "depuis", shared, answers=before)
    assert [item["object"] for item in await ask.items("/spaces/offre/outbox", KESTREL)] == [HERE.post(after)]
    assert (await ask(f"/posts/{before}/context", KESTREL)).status_code == 404
    assert (await ask(f"/posts/{before}", KESTREL)).status_code == 404


async def test_a_thread_is_told_by_its_beginning_oldest_first(ask: Asking, cast: Cast) -> None:
    shared = await space("offre", Level.PARTNERS, cast.alice, cast.bruno, cast.chloe, partners=(KESTREL,))
    root = await say(cast.alice, "le plan", shared)
    answer = await say(cast.chloe, "d'accord", shared, answers=root)
    deeper = await say(cast.bruno, "moi aussi", shared, answers=answer)
    gone = await say(cast.bruno, "pardon", shared, answers=root)
    await withdraw(cast.bruno, gone)
    thread = await ask.document(f"/posts/{root}/context", KESTREL)
    assert thread["attributedTo"] == HERE.space("offre")
    assert "totalItems" not in thread
    told = [await post_uri(i) for i in (root, answer, deeper)]
    assert await ask.items(f"/posts/{root}/context", KESTREL) == told
    assert await ask.items(f"/posts/{root}/replies", KESTREL) == [told[1]]
    assert (await ask(f"/posts/{deeper}/context", KESTREL)).status_code == 404
    assert (await ask.document(f"/posts/{deeper}", KESTREL))["context"] == f"{HERE.post(root)}/context"


async def test_a_thread_outside_spaces_is_its_authors(ask: Asking, cast: Cast) -> None:
    root = await say(cast.alice, "à tous", visibility=Visibility.PUBLIC)
    assert (await ask.document(f"/posts/{root}/context"))["attributedTo"] == HERE.person("alice")
    assert (await ask.document(f"/posts/{root}"))["to"] == [PUBLIC]


# --- who follows whom -----------------------------------------------------------------------------


async def test_a_server_sees_its_own_people_among_followers_and_counts_nobody(ask: Asking, cast: Cast) -> None:
    ines = await corvus(ask)
    for who in (cast.chloe, ines):
        await follows.asked(who, cast.alice.actor_id, f"https://{KESTREL}/follows/{who.actor_id}")
    await follows.follow(cast.bruno, cast.alice.actor_id)
    await follows.follow(cast.alice, cast.driss.actor_id)
    chloe, driss = await uri_of(cast.chloe.actor_id), await uri_of(cast.driss.actor_id)
    assert await ask.items("/@alice/followers", KESTREL) == [chloe]
    assert await ask.items(f"/@alice/followers?host={KESTREL}", KESTREL) == [chloe]
    assert (await ask(f"/@alice/followers?host={CORVUS}", KESTREL)).status_code == 404
    assert await ask.items("/@alice/following", KESTREL) == []  # asked, not accepted yet
    await db.execute("UPDATE follow SET state = 'accepted'")
    assert await ask.items("/@alice/following", KESTREL) == [driss]
    assert await ask.items("/@alice/following", CORVUS) == []
    for name in ("followers", "following", "outbox"):
        assert "totalItems" not in await ask.document(f"/@alice/{name}", KESTREL)


async def test_an_open_instance_shows_the_web_no_followers(open_ask: Asking, cast: Cast) -> None:
    await follows.asked(cast.eve, cast.alice.actor_id, f"https://{INCONNU}/follows/1")
    assert await open_ask.items("/@alice/followers", INCONNU) == []  # she waits for Alice
    await follows.decide(cast.alice, cast.eve.actor_id, accepted=True)
    assert set(await open_ask.document("/@alice/followers")) == {"@context", "id", "type"}
    assert await open_ask.items("/@alice/followers", INCONNU) == [await uri_of(cast.eve.actor_id)]


# --- documents ------------------------------------------------------------------------------------


@pytest.mark.parametrize("reach", list(Reach))
async def test_a_space_open_to_partners_addresses_its_members_and_never_the_public(
    ask: Asking, cast: Cast, reach: Reach
) -> None:
    shared = await space("offre", Level.PARTNERS, cast.alice, cast.chloe, reach=reach, partners=(KESTREL,))
    post_id = await say(cast.alice, "à relire", shared)
    told = await ask.document(f"/posts/{post_id}", KESTREL)
    assert (told["to"], told["cc"], told["audience"]) == (
        [HERE.space("offre"), HERE.members("offre")],
        [],
        HERE.space("offre"),
    )


async def test_every_document_says_its_own_address_and_who_is_answerable(ask: Asking, cast: Cast) -> None:
    place = await space("place", Level.PUBLIC, cast.alice)
    post_id = await say(cast.alice, "bonjour", place)
    paths = ["/actor", "/@alice", "/spaces/place", f"/posts/{post_id}", f"/posts/{post_id}/replies"]
    paths += [f"/posts/{post_id}/context?page=true", "/spaces/place/outbox", "/spaces/place/members"]
    for path in paths:
        found = await ask.document(path, KESTREL)
        assert found["id"] == HERE.base + path
        assert found["@context"][0] == "https://www.w3.org/ns/activitystreams"
        if "publicKey" in found:
            assert found["publicKey"]["owner"] == found["assertionMethod"][0]["controller"] == found["id"]
