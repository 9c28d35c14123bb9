"""D12: a partner moves. The pinned key moves its link and nothing else does; then nothing is lost or doubled."""

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest

from federation import hearsay, moving, processing, refusals, taking_effect, verify
from federation.moving_out import move
from federation.outbox import sequence_waiting
from federation.reading import actor as read_actor
from federation.signatures.keys import PrivateKey, generate_ed25519
from federation.signatures.proofs import with_proof
from federation.vocabulary import moment
from server import database as db
from server.actions.follows import follow
from server.actions.posts import Draft, publish
from server.clock import now_ms
from server.errors import Conflict
from server.ids import Addresses, new_id
from server.openness import Level, Visibility
from server.queries.former import moves
from tests.federation.hostile.test_peering_door import Door
from tests.federation.hostile.test_relays import Theirs
from tests.federation.stranger import Actor, Here, Json, OtherServer, enter, everything, linked, met, mirrored

pytestmark = pytest.mark.anyio
REFUSALS = pytest.mark.parametrize(
    "database_url", ["sqlite", pytest.param("postgres", marks=pytest.mark.soak)], indirect=True
)
"""What is decided before anything is stored is the same on both engines."""


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify, "REFETCH_MS", 0)
    monkeypatch.setattr(refusals, "UNPROVED_EVERY_MS", 0)
    monkeypatch.setattr(moving, "AGAIN_AFTER_MS", 0)
    hearsay._renames.clear()


@pytest.fixture
async def old(closed: Here, kestrel: OtherServer) -> Actor:
    """Kestrel where it was, linked."""
    return await linked(kestrel)


@pytest.fixture
async def new(old: Actor, merle: OtherServer) -> Actor:
    """Kestrel where it is now, with the same key; nobody answers at the old address."""
    there = at(merle, old)
    del old.server.there.scenes["/actor"]
    return there


def at(server: OtherServer, old: Actor) -> Actor:
    """The instance that was at the old address, at this server."""
    there = server.instance(alsoKnownAs=[old.uri])
    there.ed = PrivateKey(f"{there.uri}#ed25519", old.ed.key)
    there.publish()
    return there


def word(there: Actor, here: Here, old: Actor, by: PrivateKey | None = None, **more: Any) -> Json:
    """“I was there and am here”, proved."""
    what = {"type": ["Relationship", "parvis:Link"], "subject": there.uri, "object": here.instance.here.instance}
    what |= {"relationship": "parvis:LinkedInstance", "parvis:movedFrom": [old.uri]}
    said = there.says("Update", what, to=[here.instance.here.instance], published=moment(now_ms()))
    return dict(with_proof(said | more, by or there.ed, now_ms()))


async def refused(here: Here, said: Json, by: PrivateKey, *sentence: str) -> None:
    """Answered with a refusal; nothing is kept but the count that administrators see."""
    before = await everything("link_incident")
    answer = await here.hear(said, by, path="/actor/inbox")
    assert answer.status_code in (400, 401, 403), answer.text
    assert await everything("link_incident") == before
    assert all(words in answer.text for words in sentence), answer.text


async def counted() -> list[str]:
    return [row["rule"] for row in await db.fetch("SELECT rule FROM link_incident ORDER BY rule")]


async def host() -> str:
    [row] = await db.fetch("SELECT q.host FROM link l JOIN peer q ON q.id = l.peer_id")
    return str(row["host"])


# --- who may not -----------------------------------------------------------------------------------


@REFUSALS
async def test_D12_who_holds_a_domain_and_not_the_key_moves_nothing(closed: Here, old: Actor, new: Actor) -> None:
    thief = PrivateKey(new.ed.key_id, generate_ed25519("new").key)
    honest, new.ed = new.ed, thief
    new.publish()
    await refused(closed, word(new, closed, old), thief, "pinned key")
    new.ed = honest
    new.publish()  # it shows the key of the link, which is no secret, and signs the request with its own
    person = new.server.actor("mallory")
    await refused(closed, word(new, closed, old, by=thief), new.rsa)
    await refused(closed, word(new, closed, old) | {"actor": person.uri}, person.ed)
    stripped = word(new, closed, old)
    del stripped["proof"]
    await refused(closed, stripped, new.ed, "pinned key")
    assert await host() == old.server.host
    assert set(await counted()) == {"unproved move"}


@REFUSALS
async def test_D12_the_old_domain_in_other_hands_speaks_for_nobody(closed: Here, old: Actor, new: Actor) -> None:
    assert (await closed.hear(word(new, closed, old), new.ed, path="/actor/inbox")).status_code == 202
    mallory = old.server.actor("chloe")
    old.ed = PrivateKey(old.ed.key_id, generate_ed25519("new").key)
    old.publish()
    await refused(closed, mallory.says("Create", mallory.note()), mallory.ed, "has moved")
    await refused(closed, old.says("Undo", "x"), old.ed, "has moved")
    await refused(closed, word(old, closed, new), old.ed, "pinned key")


@REFUSALS
async def test_D12_a_link_that_does_not_flow_stays_where_it_is(closed: Here, old: Actor, new: Actor) -> None:
    for state in ("confirmed", "suspended", "ended"):
        await db.execute("UPDATE link SET state = $1", state)
        await refused(closed, word(new, closed, old), new.ed, "not active")
    assert await counted() == ["move"]


@REFUSALS
async def test_D12_the_new_address_agrees_or_nothing_moves(closed: Here, old: Actor, new: Actor) -> None:
    said = word(new, closed, old)
    new.publish(alsoKnownAs=["https://elsewhere.example/actor"])
    await refused(closed, said, new.ed, "at the old one")
    new.publish(alsoKnownAs=[old.uri])
    await refused(closed, word(new, closed, old, published="yesterday"), new.ed, "when")
    ahead = await closed.hear(word(new, closed, old, published=moment(now_ms() + 86_400_000)), new.ed)
    assert ahead.status_code == 403, "it is said again when that time has come: 400 would be given up"
    other = word(new, closed, old)
    other["object"]["object"] = "https://c.example/actor"
    await refused(closed, dict(with_proof({k: v for k, v in other.items() if k != "proof"}, new.ed, now_ms())), new.ed)
    assert await host() == old.server.host


@REFUSALS
async def test_D12_who_has_the_key_of_an_instance_that_is_still_there_does_not_take_its_link(
    closed: Here, old: Actor, new: Actor
) -> None:
    old.publish()  # the true one still answers
    await refused(closed, word(new, closed, old), new.ed, "still answers")
    old.publish(movedTo="https://elsewhere.example/actor")
    await refused(closed, word(new, closed, old), new.ed, "still answers")
    old.publish(movedTo=new.uri)
    assert (await closed.hear(word(new, closed, old), new.ed, path="/actor/inbox")).status_code == 202
    assert await host() == new.server.host


@REFUSALS
async def test_D12_whoever_says_that_others_moved_does_not_learn_who_is_linked_here(
    closed: Here, old: Actor, new: Actor, inconnu: OtherServer
) -> None:
    mallory = inconnu.instance()
    said = [word(mallory, closed, old), word(mallory, closed, new), word(mallory, closed, mallory)]
    answers = [await closed.hear(one, mallory.ed, path="/actor/inbox") for one in said]
    assert len({(answer.status_code, answer.content) for answer in answers}) == 1


@REFUSALS
async def test_D12_nobody_moves_twice_in_an_hour_nor_without_end(
    closed: Here, old: Actor, new: Actor, inconnu: OtherServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moving, "AGAIN_AFTER_MS", 3_600_000)
    assert (await closed.hear(word(new, closed, old), new.ed, path="/actor/inbox")).status_code == 202
    there = at(inconnu, new)
    del new.server.there.scenes["/actor"]
    said = word(there, closed, new)
    assert (await closed.hear(said, there.ed, path="/actor/inbox")).status_code == 429
    assert await host() == new.server.host
    await db.execute("UPDATE former_origin SET moved_at = moved_at - 3600001")
    monkeypatch.setattr(moving, "MOST_FORMER", 1)
    await refused(closed, said, there.ed, "too many")
    monkeypatch.setattr(moving, "MOST_FORMER", 2)
    assert (await closed.hear(said, there.ed, path="/actor/inbox")).status_code == 202


async def test_D12_of_two_moves_at_once_one_is_made(closed: Here, old: Actor, new: Actor, inconnu: OtherServer) -> None:
    await met(old.server.actor("chloe"))
    there = at(inconnu, old)
    [link] = await db.fetch("SELECT l.*, q.host, q.base_url FROM link l JOIN peer q ON q.id = l.peer_id")
    document = {one.uri: read_actor(one.document) for one in (new, there)}
    ways = [moving._follow(link, one.server.base, document[one.uri], now_ms()) for one in (new, there)]
    done = await asyncio.gather(*ways, return_exceptions=True)
    assert [type(one).__name__ for one in done if one is not None] == ["Refused"]
    [peer] = await db.fetch("SELECT base_url FROM peer WHERE host <> '' AND id = $1", link["peer_id"])
    uris = [row["uri"] for row in await db.fetch("SELECT uri FROM actor WHERE peer_id = $1", link["peer_id"])]
    assert len(uris) == 2 and all(uri.startswith(peer["base_url"]) for uri in uris)


@REFUSALS
async def test_D12_a_link_that_was_made_anew_meanwhile_is_the_one_that_moves(
    closed: Here, old: Actor, new: Actor, inconnu: OtherServer
) -> None:
    await db.execute("UPDATE link SET state = 'ended'")
    await linked(new.server)
    there = at(inconnu, new)
    del new.server.there.scenes["/actor"]
    said = there.says(
        "Update",
        word(there, closed, new)["object"] | {"parvis:movedFrom": [new.uri, old.uri]},
        to=[closed.instance.here.instance],
        published=moment(now_ms()),
    )
    answer = await closed.hear(dict(with_proof(said, there.ed, now_ms())), there.ed, path="/actor/inbox")
    assert answer.status_code == 202, answer.text
    hosts = {row["host"] for row in await db.fetch("SELECT q.host FROM link l JOIN peer q ON q.id = l.peer_id")}
    assert hosts == {inconnu.host, old.server.host}


@REFUSALS
async def test_D12_we_do_not_move_to_where_a_partner_was(closed: Here, old: Actor, new: Actor) -> None:
    assert (await closed.hear(word(new, closed, old), new.ed, path="/actor/inbox")).status_code == 202
    with pytest.raises(Conflict):
        await move(replace(closed.instance, here=Addresses(old.server.base)))


@REFUSALS
async def test_D12_an_address_that_has_a_link_takes_no_other(
    closed: Here, old: Actor, new: Actor, inconnu: OtherServer
) -> None:
    await linked(new.server)
    await refused(closed, word(new, closed, old), new.ed)
    other = await linked(inconnu)
    await refused(closed, word(other, closed, old), other.ed, "pinned key")


@REFUSALS
async def test_D12_an_old_word_said_again_moves_nothing_back(
    closed: Here, old: Actor, new: Actor, inconnu: OtherServer
) -> None:
    first = word(new, closed, old)
    assert (await closed.hear(first, new.ed, path="/actor/inbox")).status_code == 202
    home = at(inconnu, new)
    del new.server.there.scenes["/actor"]
    assert (await closed.hear(word(home, closed, new), home.ed, path="/actor/inbox")).status_code == 202
    assert await host() == inconnu.host
    await refused(closed, first, new.ed)
    # and back to where it was once: that is a move like others, and an older word of it is none
    back = at(new.server, home)
    del inconnu.there.scenes["/actor"]
    await refused(closed, word(back, closed, home, published=first["published"]), back.ed, "said later")
    assert await host() == inconnu.host
    assert (await closed.hear(word(back, closed, home), back.ed, path="/actor/inbox")).status_code == 202
    assert await host() == back.server.host
    known = await moves()
    assert [known.now(f"{one.base}/posts/7") for one in (old.server, inconnu, back.server)] == [
        f"{back.server.base}/posts/7"
    ] * 3
    chloe = back.server.actor("chloe")
    assert (await closed.hear(chloe.says("Like", "https://x.example/1"), back.ed)).status_code == 202, (
        "it is heard again"
    )


# --- what becomes of it ----------------------------------------------------------------------------


async def test_D12_everything_of_theirs_goes_along_and_what_comes_by_old_ids_is_the_same_thing(
    closed: Here, old: Actor, new: Actor
) -> None:
    chloe, group = old.server.actor("chloe"), old.server.actor("projet", "Group", "/spaces/projet")
    chloe_id = await met(chloe)
    space_id = await mirrored(group, closed.alice)
    ours = await closed.open_space("chantier", Level.PARTNERS, old.server)
    await enter(ours, chloe_id, old.server)
    theirs = chloe.note(audience=closed.space("chantier"), to=[closed.space("chantier")])
    created = chloe.says("Create", theirs, audience=closed.space("chantier"), to=[closed.space("chantier")])
    assert await closed.take(created, old.ed) == ""
    waiting = chloe.says("Like", theirs["id"])
    assert (await closed.hear(waiting, old.ed)).status_code == 202, "it came before the move and waits"
    before = {t: await db.fetch(f"SELECT id FROM {t} ORDER BY id") for t in ("actor", "post", "membership", "space")}

    assert (await closed.hear(word(new, closed, old), new.ed, path="/actor/inbox")).status_code == 202
    assert (await closed.hear(word(new, closed, old), new.ed, path="/actor/inbox")).status_code == 202, (
        "again: the same"
    )

    after = {t: await db.fetch(f"SELECT id FROM {t} ORDER BY id") for t in before}
    assert after == before, "nobody twice, nobody lost"
    still = {table for table, rows in (await everything()).items() if old.server.host in str(rows)}
    assert still <= {"former_origin", "audit_entry", "policy_version", "event", "receipt"}, "and there as it was said"
    [space] = await db.fetch("SELECT slug, peer_id FROM space WHERE id = $1", space_id)
    assert space["slug"] == f"projet@{new.server.host}"
    [partner] = await db.fetch("SELECT q.host FROM space_partner n JOIN peer q ON q.id = n.peer_id")
    assert partner["host"] == new.server.host
    acts = [row["act"] for row in await db.fetch("SELECT act FROM audit_entry WHERE act = 'link_moved'")]
    notices = await db.fetch("SELECT actor_id FROM notice WHERE kind = 'link'")
    assert acts == ["link_moved"] and [row["actor_id"] for row in notices] == [closed.odile.actor_id]

    await closed.process()
    assert len(await db.fetch("SELECT id FROM reaction")) == 1, "what waited took effect, by its old ids"
    again = renamed(created, old.server, new.server)
    came = await db.fetch("SELECT id FROM receipt")
    assert (await closed.hear(again, new.ed)).status_code == 202
    await closed.process()
    assert await db.fetch("SELECT id FROM receipt") == came, "an activity counts once under either id"
    assert len(await db.fetch("SELECT id FROM post")) == 1
    edited = {**again["object"], "content": "<p>mieux</p>", "updated": moment(now_ms())}
    said = {**again, "id": f"{new.server.base}/activities/edit", "type": "Update", "object": edited}
    assert (await closed.hear(said, new.ed)).status_code == 202
    await closed.process()
    [post] = await db.fetch("SELECT html FROM post")
    assert "mieux" in post["html"]


async def test_D12_who_was_met_at_the_new_address_before_the_move_was_said_is_the_one_we_knew(
    closed: Here, old: Actor, new: Actor
) -> None:
    chloe, early, zoe = old.server.actor("chloe"), new.server.actor("chloe"), new.server.actor("zoe")
    known, met_early = await met(chloe), await met(early)
    await met(zoe)
    post_id = await publish(closed.alice, Draft("@chloe", None, visibility=Visibility.COLLEAGUES), closed.instance.here)
    for actor_id in (known, met_early):
        await db.insert("mention", {"id": new_id(), "post_id": post_id, "actor_id": actor_id})
    await follow(closed.alice, met_early)
    await sequence_waiting(closed.instance)
    assert (await closed.hear(word(new, closed, old), new.ed, path="/actor/inbox")).status_code == 202
    people = await db.fetch("SELECT id, uri FROM actor WHERE kind = 'person' AND peer_id IS NOT NULL ORDER BY name")
    assert [(row["id"] == known, row["uri"]) for row in people] == [(True, early.uri), (False, zoe.uri)]
    assert [row["actor_id"] for row in await db.fetch("SELECT actor_id FROM mention")] == [known]
    assert [row["followed_id"] for row in await db.fetch("SELECT followed_id FROM follow")] == [known]
    assert len(await db.fetch("SELECT id FROM peer")) == 1
    [waiting] = await db.fetch("SELECT inbox FROM delivery WHERE state = 'pending'")
    assert waiting["inbox"].startswith(new.server.base)


@REFUSALS
async def test_D12_a_page_that_came_before_the_move_and_comes_again_after_it_counts_once(
    closed: Here, old: Actor, new: Actor
) -> None:
    chloe = old.server.actor("chloe")
    await met(chloe)
    asked = chloe.says("Follow", closed.person("alice"))
    door = Door(closed, old, old, chloe)
    assert (await door.post(door.page(asked))).status_code == 202
    assert (await closed.hear(word(new, closed, old), new.ed, path="/actor/inbox")).status_code == 202
    door.pin = new
    again = renamed(asked, old.server, new.server)
    answer = await door.post(door.page(again, {**again, "id": f"{again['id']}0"}, generation="g2"))
    assert answer.status_code == 202 and answer.json()["acked"] == 2
    await closed.process()
    assert len(await db.fetch("SELECT id FROM receipt")) == 2 and len(await db.fetch("SELECT id FROM follow")) == 1
    [stream] = await db.fetch("SELECT their_generation, got FROM stream")
    assert (stream["their_generation"], stream["got"]) == ("g2", 2)


@REFUSALS
async def test_D12_what_was_read_before_a_move_does_not_take_effect_after_it_under_old_names(
    closed: Here, old: Actor, new: Actor
) -> None:
    chloe = old.server.actor("chloe")
    await enter(await closed.open_space("chantier", Level.PARTNERS, old.server), await met(chloe), old.server)
    to = [closed.space("chantier")]
    created = chloe.says("Create", chloe.note(audience=to[0], to=to), audience=to[0], to=to)
    assert (await closed.hear(created, old.ed)).status_code == 202
    [row] = await processing._waiting()
    ready = await processing.prepare(closed.instance, processing._read(row, await moves()))
    assert (await closed.hear(word(new, closed, old), new.ed, path="/actor/inbox")).status_code == 202
    assert await taking_effect.apply([ready]) == 0 and await db.fetch("SELECT id FROM post") == []
    await db.execute("UPDATE receipt SET attempts = 0")
    await closed.process()
    [post] = await db.fetch("SELECT uri FROM post")
    assert post["uri"].startswith(new.server.base)


# --- what the host of a space says of a third instance that moved ----------------------------------


@pytest.fixture
async def third(closed: Here, kestrel: OtherServer, merle: OtherServer) -> Theirs:
    """A space at Kestrel in which Mia, of Merle, writes: we know her by Kestrel's passports."""
    pin, group = await linked(kestrel), kestrel.actor("cevennes", "Group", "/spaces/cevennes")
    group.publish(followers=f"{group.uri}/members")
    space_id = await mirrored(group, closed.alice)
    return Theirs(closed, pin, group, kestrel.actor("chloe"), merle.actor("mia"), space_id)


def elsewhere(server: OtherServer, who: Actor) -> Actor:
    there = server.actor(who.name)
    there.ed = PrivateKey(f"{there.uri}#ed25519", who.ed.key)
    there.publish()
    return there


def renamed(value: Any, old: OtherServer, new: OtherServer) -> Any:
    return json.loads(json.dumps(value).replace(old.base, new.base))


async def mias() -> list[str]:
    return [row["uri"] for row in await db.fetch("SELECT uri FROM actor WHERE name = 'mia'")]


async def test_D12_whom_we_know_by_a_host_alone_is_the_same_person_under_the_new_name(
    third: Theirs, merle: OtherServer, inconnu: OtherServer
) -> None:
    mia, here = third.mia, elsewhere(inconnu, third.mia)
    around = {"parvis:passport": third.card(here), "parvis:formerly": {inconnu.base: [merle.base]}}
    first, second = third.create(mia), mia.proved(third.create(mia))
    assert await third.take(third.announce(mia.proved(first), **{"parvis:passport": third.card(mia)})) == ""
    edited = {**renamed(first["object"], merle, inconnu), "content": "<p>mieux</p>", "updated": moment(now_ms())}
    said = here.proved(here.says("Update", edited, to=first["to"]))
    assert await third.take(third.announce(said, **around)) == ""
    assert await mias() == [here.uri]
    [post] = await db.fetch("SELECT uri, html FROM post")
    assert post["uri"] == edited["id"] and "mieux" in post["html"], "an edit is no second post"
    assert await third.take(third.announce(second, **around)) == "", "what she signed by her old name is hers"
    assert len(await db.fetch("SELECT id FROM post WHERE author_id = (SELECT id FROM actor WHERE name = 'mia')")) == 2
    gone = third.group.says("Delete", edited["id"])
    assert await third.take(third.announce(gone, **around)) == ""
    assert len(await third.posts()) == 1, "and what the host takes back is found"
    assert merle.there.requests == inconnu.there.requests == [], "nobody but the host was asked"


@REFUSALS
async def test_D12_what_a_host_says_of_a_partner_of_ours_waits_for_its_own_word(
    third: Theirs, merle: OtherServer, inconnu: OtherServer
) -> None:
    old = await linked(merle)
    await met(third.mia)
    new, mia = at(inconnu, old), elsewhere(inconnu, third.mia)
    around = {"parvis:passport": third.card(mia), "parvis:formerly": {inconnu.base: [merle.base]}}
    assert await third.take(third.announce(mia.proved(third.create(mia)), **around)) == ""
    assert await mias() == [third.mia.uri], "she is who gave us her key"
    del merle.there.scenes["/actor"]
    assert (await third.here.hear(word(new, third.here, old), new.ed, path="/actor/inbox")).status_code == 202
    assert await mias() == [mia.uri]
    [post] = await db.fetch("SELECT uri FROM post WHERE space_id = $1", third.id)
    assert post["uri"].startswith(inconnu.base)


@REFUSALS
async def test_D12_a_host_renames_nobody_again_and_again(
    third: Theirs, merle: OtherServer, inconnu: OtherServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hearsay, "RENAMES_AN_HOUR", 2)
    card = {"parvis:passport": third.card(third.mia)}
    assert await third.take(third.announce(third.mia.proved(third.create(third.mia)), **card)) == ""
    said = third.announce(third.mia.proved(third.create(third.mia)), **card)
    bases = [merle.base, inconnu.base]
    for turn in range(3):
        now, before = bases[(turn + 1) % 2], bases[turn % 2]
        again = said | {"id": third.group.server.new("activities"), "parvis:formerly": {now: [before]}}
        assert (await third.here.hear(again, third.pin.ed)).status_code == 202
        await third.here.process()
    assert await mias() == [third.mia.uri], "there, back, and not there again"
    [waiting] = await db.fetch("SELECT attempts FROM receipt WHERE processed_at IS NULL")
    assert waiting["attempts"] == 1


@REFUSALS
async def test_D12_a_host_renames_neither_us_nor_whoever_spoke_for_themselves(
    third: Theirs, merle: OtherServer, inconnu: OtherServer
) -> None:
    await met(third.mia)
    mallory = inconnu.actor("mia")
    create = third.create(mallory)
    for former in (merle.base, third.here.base, third.pin.server.base, "nonsense", f"{merle.base}/x"):
        around = {"parvis:passport": third.card(mallory), "parvis:formerly": {inconnu.base: [former]}}
        await third.take(third.announce(mallory.proved(create), **around))
        around["parvis:formerly"] = {former: [inconnu.base]}
        await third.take(third.announce(third.create(mallory), **around))
    assert third.mia.uri in await mias()
    [alice] = await db.fetch("SELECT uri FROM actor WHERE name = 'alice'")
    assert alice["uri"] == third.here.person("alice")
