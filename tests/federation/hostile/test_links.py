"""A link is made by two instances and two people: no person, no other key, no old word, nobody in the middle."""

from typing import Any

import pytest

from federation.keyring import instance_key
from federation.links import meet, offer, six_words
from server import database as db
from server.actions import links
from server.actions.join_requests import ask_elsewhere
from server.errors import Conflict
from server.openness import Level, LinkState
from server.viewer import Operator
from tests.federation.stranger import Actor, Here, Json, OtherServer, everything, linked, met, mirrored, other_server

pytestmark = pytest.mark.anyio
NONCE = "0123456789abcdef" * 2
ADMIN = Operator()


def side(who: Actor, nonce: str = NONCE) -> Json:
    return {"parvis:key": who.ed.public(who.uri).to_multikey(), "parvis:nonce": nonce}


def an_offer(who: Actor, here: Here, **changes: Any) -> Json:
    relation = {
        "id": who.server.new("links"),
        "type": ["Relationship", "parvis:Link"],
        "subject": who.uri,
        "object": here.instance.here.instance,
        "relationship": "parvis:LinkedInstance",
        **side(who),
        **changes,
    }
    return who.says("Offer", relation, to=[here.instance.here.instance])


async def state(server: OtherServer) -> str:
    row = await db.fetch_one(
        "SELECT l.state FROM link l JOIN peer q ON q.id = l.peer_id WHERE q.host = $1", server.host
    )
    return str(row["state"]) if row else "none"


async def unmoved(here: Here, activity: Json, by: Actor, **how: Any) -> str:
    """Heard, and nothing of any link changes."""
    before = await everything("receipt", "link_incident", "actor", "peer")
    why = await here.take(activity, by.ed, **how)
    assert why and await everything("receipt", "link_incident", "actor", "peer") == before
    return why


@pytest.fixture
async def pin(closed: Here, kestrel: OtherServer) -> Actor:
    """The instance of Kestrel, without a link."""
    return kestrel.instance()


async def _offered_by_us(here: Here, there: OtherServer) -> str:
    """We propose; the address of our offer."""
    await offer(here.instance, ADMIN, there.host)
    rows = await db.fetch("SELECT id FROM event WHERE kind = 'link_offered' ORDER BY id")
    return here.instance.here.activity(rows[-1]["id"])


async def test_two_instances_agree_and_only_then_is_the_link_active(closed: Here, pin: Actor) -> None:
    assert await closed.take(an_offer(pin, closed), pin.ed) == ""
    assert await state(pin.server) == "received"
    await links.accept(ADMIN, pin.server.host)
    words = await six_words(closed.instance, ADMIN, pin.server.host)
    assert len(words) == 6
    assert await closed.take(pin.says("parvis:Confirm", "x"), pin.ed) == ""
    assert await state(pin.server) == "confirmed", "a person here has not compared the words"
    assert await links.confirm(ADMIN, pin.server.host) is LinkState.ACTIVE


async def test_W2_an_offer_by_a_person_or_by_another_than_the_instance_itself_is_none(
    closed: Here, kestrel: OtherServer, pin: Actor
) -> None:
    person = kestrel.actor("mallory")
    robot = kestrel.actor("robot", "Application")
    for who in (person, robot):
        await unmoved(closed, an_offer(who, closed), who)
    assert await state(kestrel) == "none"


async def test_W2_an_offer_with_another_key_than_the_published_one_is_none(closed: Here, pin: Actor) -> None:
    other = pin.server.actor("other")
    await unmoved(closed, an_offer(pin, closed, **side(other)), pin)
    by_rsa = an_offer(pin, closed)
    before = await everything("receipt", "link_incident", "actor", "peer")
    assert "key of the link" in await closed.take(by_rsa, pin.rsa, scheme="cavage")
    assert await everything("receipt", "link_incident", "actor", "peer") == before


@pytest.mark.parametrize(
    "changes",
    [
        {"parvis:nonce": "short"},
        {"parvis:nonce": "x" * 32},
        {"parvis:nonce": "0" * 32 + "\n"},
        {"parvis:nonce": ["0" * 32]},
        {"relationship": "friend"},
        {"object": "https://somebody-else.example/actor"},
    ],
)
async def test_W2_an_offer_that_is_not_whole_is_none(closed: Here, pin: Actor, changes: Json) -> None:
    await unmoved(closed, an_offer(pin, closed, **changes), pin)


async def test_W2_a_link_speaks_the_higher_of_both_versions_and_none_that_is_not_spoken_here(
    closed: Here, pin: Actor
) -> None:
    for version in (2, 0, -1, "1", 1.0, True, 1000, None):
        await unmoved(closed, an_offer(pin, closed, **{"parvis:minVersion": version}), pin)
    assert await state(pin.server) == "none"
    offered = await _offered_by_us(closed, pin.server)
    await unmoved(closed, pin.says("Accept", offered, result=side(pin) | {"parvis:minVersion": 2}), pin)
    assert await state(pin.server) == "offered"
    assert await closed.take(pin.says("Accept", offered, result=side(pin) | {"parvis:minVersion": 1}), pin.ed) == ""
    [row] = await db.fetch("SELECT state, min_version FROM link")
    assert row == {"state": "confirmed", "min_version": 1}


async def test_S9_an_old_offer_comes_again_and_changes_nothing(closed: Here, pin: Actor) -> None:
    first = an_offer(pin, closed)
    assert await closed.take(first, pin.ed) == ""
    await links.end(ADMIN, pin.server.host)
    before = await everything()
    assert (await closed.hear(first, pin.ed)).status_code == 202
    await closed.process()
    assert await everything() == before and await state(pin.server) == "ended"


@pytest.mark.parametrize("now", ["confirmed", "active", "suspended"])
async def test_W2_an_offer_does_not_move_a_link_that_stands(closed: Here, kestrel: OtherServer, now: str) -> None:
    pin = await linked(kestrel, now)
    await unmoved(closed, an_offer(pin, closed), pin)


async def test_W2_an_instance_that_speaks_with_a_new_key_is_not_heard_and_its_link_stops(
    closed: Here, kestrel: OtherServer
) -> None:
    pin = await linked(kestrel)
    evil = kestrel.actor("evil")
    pin.ed = type(pin.ed)(pin.ed.key_id, evil.ed.key)
    pin.publish()
    for activity in (an_offer(pin, closed), pin.says("parvis:Confirm", "x"), pin.says("Undo", {"type": "Offer"})):
        assert (await closed.hear(activity, pin.ed)).status_code == 401
        by_another_name = type(pin.ed)(f"{pin.uri}#new", evil.ed.key)
        pin.publish(
            assertionMethod=[
                {
                    "id": f"{pin.uri}#new",
                    "type": "Multikey",
                    "controller": pin.uri,
                    "publicKeyMultibase": evil.ed.public("x").to_multikey(),
                }
            ]
        )
        await closed.hear(activity, by_another_name)
        await closed.process()
    [row] = await db.fetch("SELECT state, cause, their_key, confirmed_here_at FROM link")
    assert (row["state"], row["cause"]) == ("suspended", "key"), "somebody should look"
    assert row["their_key"] != evil.ed.public("x").to_multikey() and row["confirmed_here_at"]


async def test_O24_an_accept_of_nothing_that_we_offered_changes_nothing(
    closed: Here, pin: Actor, merle: OtherServer
) -> None:
    await unmoved(closed, pin.says("Accept", f"{closed.base}/activities/1", result=side(pin)), pin)
    await unmoved(closed, pin.says("Accept", "https://nowhere.example/1", result=side(pin)), pin)
    offered = await _offered_by_us(closed, pin.server)
    stranger = merle.instance()
    await unmoved(closed, stranger.says("Accept", offered, result=side(stranger)), stranger)
    person = pin.server.actor("mallory")
    await unmoved(closed, person.says("Accept", offered, result=side(person)), person)
    await unmoved(closed, pin.says("Reject", offered), pin)
    await unmoved(closed, pin.says("Accept", offered), pin)
    assert await state(pin.server) == "offered"
    assert await closed.take(pin.says("Accept", offered, result=side(pin)), pin.ed) == ""
    assert await state(pin.server) == "confirmed"


async def test_W2_an_accept_with_another_key_than_we_were_shown_ends_it_for_good(closed: Here, pin: Actor) -> None:
    offered = await _offered_by_us(closed, pin.server)
    pin.ed = type(pin.ed)(pin.ed.key_id, pin.server.actor("evil").ed.key)
    pin.publish()
    await closed.take(pin.says("Accept", offered, result=side(pin)), pin.ed)
    assert await state(pin.server) == "ended"
    with pytest.raises(Conflict):
        await links.resume(ADMIN, pin.server.host)


async def test_W2_a_confirm_by_a_person_or_with_another_key_confirms_nothing(
    closed: Here, kestrel: OtherServer
) -> None:
    pin = await linked(kestrel, "confirmed")
    mallory = kestrel.actor("mallory")
    await met(mallory)
    await unmoved(closed, mallory.says("parvis:Confirm", "x"), mallory)
    confirm = pin.says("parvis:Confirm", "x")
    before = await everything("receipt", "link_incident", "actor", "peer")
    assert (await closed.hear(confirm, mallory.ed)).status_code == 401
    assert "key of the link" in await closed.take(confirm, pin.rsa, scheme="cavage")
    assert await everything("receipt", "link_incident", "actor", "peer") == before
    assert await closed.take(pin.says("parvis:Confirm", "x"), pin.ed) == ""
    [row] = await db.fetch("SELECT state, confirmed_there_at FROM link")
    assert row["state"] == "confirmed" and row["confirmed_there_at"]


async def test_W2_a_confirm_without_an_agreement_confirms_nothing(closed: Here, pin: Actor) -> None:
    await unmoved(closed, pin.says("parvis:Confirm", "x"), pin)
    await _offered_by_us(closed, pin.server)
    await unmoved(closed, pin.says("parvis:Confirm", "x"), pin)


async def test_only_the_key_of_the_link_ends_it(closed: Here, kestrel: OtherServer) -> None:
    pin = await linked(kestrel)
    mallory = kestrel.actor("mallory")
    undo = {"type": "Offer", "id": "x"}
    before = await everything("receipt", "link_incident", "actor", "peer")
    for by, who in ((mallory.ed, mallory), (pin.rsa, pin)):
        heard = await closed.hear(who.says("Undo", undo), by, scheme="cavage" if by is pin.rsa else "rfc9421")
        assert heard.status_code in (202, 403)
        await closed.process()
    assert await everything("receipt", "link_incident", "actor", "peer") == before
    assert await closed.take(pin.says("Undo", undo), pin.ed) == ""
    assert await state(kestrel) == "ended"


async def test_an_end_that_cannot_be_read_is_not_taken_for_none(closed: Here, pin: Actor) -> None:
    """The other side believes that the link, or its offer, ends; here it would go on for ever."""
    assert "endTime" in await unmoved(closed, an_offer(pin, closed, endTime="2027-13-45"), pin)
    assert "endTime" in await unmoved(closed, an_offer(pin, closed) | {"endTime": 1798675200}, pin)
    offered = await _offered_by_us(closed, pin.server)
    assert "endTime" in await unmoved(closed, pin.says("Accept", offered, result=side(pin) | {"endTime": "soon"}), pin)
    assert await closed.take(pin.says("Accept", offered, result=side(pin)), pin.ed) == ""


async def test_who_names_the_offer_by_its_address_alone_ends_the_link_too(closed: Here, pin: Actor) -> None:
    """As FEDERATION.md says it, and as an Accept and a Confirm name it; of ours or of theirs."""
    offered = await _offered_by_us(closed, pin.server)
    mallory = pin.server.actor("mallory")
    await met(mallory)
    await unmoved(closed, mallory.says("Undo", offered), mallory)
    await unmoved(closed, pin.says("Undo", f"{offered}0"), pin)
    assert await state(pin.server) == "offered"
    assert await closed.take(pin.says("Undo", offered), pin.ed) == ""
    assert await state(pin.server) == "ended"
    offer = an_offer(pin, closed)
    assert await closed.take(offer, pin.ed) == ""
    assert await closed.take(pin.says("Undo", offer["id"]), pin.ed) == ""
    assert await state(pin.server) == "ended"


async def test_a_link_is_ended_by_an_instance_that_cannot_be_asked_any_more(closed: Here, kestrel: OtherServer) -> None:
    """It waited for an answer that never came, and the proposal that followed was lost."""
    pin = await linked(kestrel)
    kestrel.scene("/actor", b"HTTP/1.1 503 X\r\ncontent-length: 0\r\n\r\n")
    assert await closed.take(pin.says("Undo", {"type": "Offer", "id": "x"}), pin.ed) == ""
    assert await state(kestrel) == "ended" and kestrel.asked("/actor") == 0


async def test_when_both_propose_at_once_the_smaller_address_counts_on_both_sides(closed: Here, pin: Actor) -> None:
    """Addresses of 127.0.0.1 come before ours at localhost, those of zulu.example after."""
    await _offered_by_us(closed, pin.server)
    assert await closed.take(an_offer(pin, closed), pin.ed) == ""
    assert await state(pin.server) == "received"

    async def loopback(name: str) -> list[str]:
        return ["127.0.0.1"]

    closed.instance.transport._names._lookup = loopback
    async with other_server(name="zulu.example") as there:
        zulu = there.instance()
        ours = await _offered_by_us(closed, there)
        assert await closed.take(an_offer(zulu, closed), zulu.ed) == ""
        assert await state(there) == "offered"
        assert await closed.take(zulu.says("Accept", ours, result=side(zulu)), zulu.ed) == ""
        assert await state(there) == "confirmed"


async def test_a_proposal_that_goes_out_again_is_the_same_one(closed: Here, pin: Actor) -> None:
    """Who took the first one, or declined it, while the second was on its way was of another mind for good."""
    first = an_offer(pin, closed)
    again = an_offer(pin, closed, id=f"{first['id']}/link")
    assert await closed.take(first, pin.ed) == await closed.take(again, pin.ed) == ""
    await links.end(ADMIN, pin.server.host)
    once_more = an_offer(pin, closed, id=f"{first['id']}/link")
    assert await closed.take(once_more, pin.ed) == "" and await state(pin.server) == "ended"
    ours = await _offered_by_us(closed, pin.server)
    second = await _offered_by_us(closed, pin.server)
    assert ours != second
    assert await closed.take(pin.says("Accept", ours, result=side(pin)), pin.ed) == ""
    assert await state(pin.server) == "confirmed"


async def test_the_end_of_a_proposal_does_not_end_the_one_that_followed(closed: Here, pin: Actor) -> None:
    before = await _offered_by_us(closed, pin.server)
    await links.end(ADMIN, pin.server.host)
    await _offered_by_us(closed, pin.server)
    for named in (before, an_offer(pin, closed)["id"]):
        await unmoved(closed, pin.says("Undo", {"type": "Offer", "id": named}), pin)
    assert await state(pin.server) == "offered"


async def test_W2_without_a_link_nothing_is_heard_but_about_a_link(closed: Here, pin: Actor) -> None:
    space = await closed.open_space("projet", Level.PARTNERS)
    assert space
    before = await everything()
    for kind in ("Create", "Update", "Delete", "Like", "Announce", "Follow", "Join", "Leave", "Invite", "Remove"):
        assert (await closed.hear(pin.says(kind, closed.space("projet")), pin.ed)).status_code == 403, kind
    assert await everything() == before


async def test_W2_a_link_that_is_suspended_lets_nobody_in(closed: Here, kestrel: OtherServer) -> None:
    pin = await linked(kestrel)
    group = kestrel.actor("cevennes", "Group", "/spaces/cevennes")
    space_id = await mirrored(group, closed.alice)
    await ask_elsewhere(closed.bruno, space_id)
    [event] = await db.fetch("SELECT id FROM event WHERE kind = 'join_asked'")
    await db.execute("UPDATE link SET state = 'suspended'")
    accept = group.says("Accept", {"type": "Join", "id": f"{closed.base}/activities/{event['id']}"})
    await unmoved(closed, accept, group)
    before = await everything()
    assert (await closed.hear(accept, pin.ed)).status_code == 401
    announce = group.says("Announce", {"type": "Create"})
    assert (await closed.hear(announce, group.ed)).status_code == 403
    assert await everything() == before


async def test_the_six_words_are_equal_on_both_sides_and_different_with_somebody_in_the_middle(
    closed: Here, pin: Actor, merle: OtherServer
) -> None:
    """Kestrel's side of the words, computed from what Kestrel knows; and with Merle between the two."""
    assert await closed.take(an_offer(pin, closed), pin.ed) == ""
    await links.accept(ADMIN, pin.server.host)
    [ours] = await db.fetch("SELECT * FROM link")
    our_key = (await instance_key(closed.instance)).public("x").to_multikey()
    here = await six_words(closed.instance, ADMIN, pin.server.host)
    theirs = {
        "their_key": our_key,
        "base_url": closed.base,
        "their_nonce": ours["our_nonce"],
        "our_nonce": NONCE,
    }
    assert links.words_of(theirs, pin.server.base, ours["their_key"]) == here
    middle = merle.instance().ed.public("x").to_multikey()
    for name, value in (("their_key", middle), ("base_url", merle.base), ("their_nonce", "f" * 32)):
        assert links.words_of({**theirs, name: value}, pin.server.base, ours["their_key"]) != here
    swapped = {**theirs, "their_key": ours["their_key"]}
    assert links.words_of(swapped, pin.server.base, middle) != here
    assert (await meet(closed.instance, pin.server.host)).key == ours["their_key"]
