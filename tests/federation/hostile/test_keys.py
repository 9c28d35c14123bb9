"""The key of a link: renewed by its owner's word and by nobody else's; whatever else shows another key stops it."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from federation import keyring, signing, verify
from federation.composing import Receiver, compose
from federation.errors import Refused
from federation.keyring import instance_key, rotate
from federation.links import offer, resume, six_words
from federation.lookup import fetch
from federation.outbox import sequence_waiting
from federation.pins import pinned_keys
from federation.sending import Sender, take_due
from federation.signatures.keys import PrivateKey, generate_ed25519
from federation.signatures.proofs import with_proof
from federation.signing import Manner, sign_as_instance
from server import database as db
from server.actions import link_keys, links
from server.actions.link_rows import TheirSide
from server.clock import APART_MS, now_ms
from server.errors import Conflict
from server.openness import LinkState, Office
from server.viewer import Operator
from tests.federation.hostile.test_links import an_offer, side
from tests.federation.stranger import Actor, Here, Json, OtherServer, employee, linked

pytestmark = pytest.mark.anyio
ADMIN = Operator()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is remembered of one moment in the next."""
    monkeypatch.setattr(keyring, "LOOKS_EVERY_S", -1.0)
    monkeypatch.setattr(signing, "LOOKS_EVERY_S", -1.0)
    monkeypatch.setattr(verify, "REFETCH_MS", 0)


@pytest.fixture
async def pin(closed: Here, kestrel: OtherServer) -> Actor:
    return await linked(kestrel)


async def link() -> dict[str, Any]:
    [row] = await db.fetch("SELECT * FROM link")
    return row


def fresh(pin: Actor) -> PrivateKey:
    return PrivateKey(f"{pin.uri}#ed25519-2", generate_ed25519("new").key)


def renewal(
    pin: Actor, new: PrivateKey, *, shown: PrivateKey | None = None, by: PrivateKey | None = None, ahead_ms: int = 0
) -> Json:
    """The partner's word of its new key: `shown` in the document, proved `by`."""
    old, key = pin.ed, shown or new
    document = pin.document | {
        "assertionMethod": [
            {
                "id": one.key_id,
                "type": "Multikey",
                "controller": pin.uri,
                "publicKeyMultibase": one.public(pin.uri).to_multikey(),
            }
            for one in (key, old)
        ]
    }
    return dict(with_proof(pin.says("Update", document, to=["x"]), by or new, now_ms() + ahead_ms))


async def heard(here: Here, pin: Actor, document: Json, by: PrivateKey) -> int:
    """The status with which the word of a new key is answered: it is taken at the door, and not kept."""
    answer = await here.hear(document, by)
    assert await db.fetch("SELECT id FROM receipt WHERE body LIKE '%assertionMethod%'") == []
    return answer.status_code


async def test_a_new_key_signed_with_the_old_and_proved_with_the_new_counts_beside_it_for_a_week(
    closed: Here, pin: Actor
) -> None:
    old, new = pin.ed, fresh(pin)
    assert await heard(closed, pin, renewal(pin, new), old) == 202
    row = await link()
    assert (row["state"], row["their_key_uri"], row["their_old_key_uri"]) == ("active", new.key_id, old.key_id)
    for key in (old, new):
        assert (await closed.hear(pin.says("Like", "https://x.example/1"), key)).status_code == 202
    assert await heard(closed, pin, renewal(pin, new), old) == 202, "the word comes twice: nothing more happens"
    assert (await link())["their_key_uri"] == new.key_id
    pin.publish(**{"assertionMethod": renewal(pin, new)["object"]["assertionMethod"]})
    await db.execute("UPDATE link SET their_old_until_at = $1", now_ms() - 1)
    assert (await closed.hear(pin.says("Like", "https://x.example/1"), new)).status_code == 202
    late = pin.says("Like", "https://x.example/1")
    await closed.hear(late, old)
    await closed.process()
    [linked_] = await db.fetch("SELECT COUNT(*) AS n FROM receipt WHERE linked AND sender_uri = $1", old.key_id)
    assert linked_["n"] == 1, "after its week the old key is no key of the link"


@pytest.mark.parametrize("state", ["suspended", "confirmed"])
async def test_a_new_key_is_taken_while_the_link_stands_still_and_before_all_that_waits(
    closed: Here, pin: Actor, state: str
) -> None:
    """Who is answered 202 signs with it from then on, and is no stranger when the link goes on."""
    new = fresh(pin)
    waits = pin.says("Like", "https://x.example/1")
    assert (await closed.hear(waits, pin.ed)).status_code == 202
    await db.execute("UPDATE link SET state = $1", state)
    for told, by in ((renewal(pin, new), new), (by_a_person(pin, renewal(pin, new)), pin.ed)):
        assert (await closed.hear(told, by)).status_code == 401
        assert (await link())["their_key_uri"] == pin.ed.key_id
    assert await heard(closed, pin, renewal(pin, new), pin.ed) == 202
    row = await link()
    assert (row["state"], row["cause"], row["their_key_uri"]) == (state, "", new.key_id)
    assert [row["processed_at"] for row in await db.fetch("SELECT processed_at FROM receipt")] == [None]
    await db.execute("UPDATE link SET state = 'active'")
    assert (await closed.hear(pin.says("Like", "https://x.example/1"), new)).status_code == 202


def by_a_person(pin: Actor, told: Json) -> Json:
    """The same, said by somebody of that instance."""
    return told | {"actor": f"{pin.uri}s/chloe", "object": told["object"] | {"id": f"{pin.uri}s/chloe"}}


async def test_D9_a_new_key_of_an_instance_whose_clock_is_ahead_is_taken(closed: Here, pin: Actor) -> None:
    """Up to a quarter of an hour: what is signed is dated by the clock of whoever reads it, a proof cannot be."""
    new = fresh(pin)
    assert await heard(closed, pin, renewal(pin, new, ahead_ms=APART_MS - 60_000), pin.ed) == 202
    row = await link()
    assert (row["state"], row["their_key_uri"]) == ("active", new.key_id)
    await heard(closed, pin, renewal(pin, fresh(pin), ahead_ms=APART_MS + 60_000), new)
    assert (await link())["cause"] == "key"


async def test_a_new_key_that_is_told_without_the_document_is_refused_with_what_is_wanted(
    closed: Here, pin: Actor
) -> None:
    new = fresh(pin)
    told = with_proof(pin.says("Update", pin.uri, to=["x"]), new, now_ms())
    answer = await closed.hear(dict(told), pin.ed)
    assert (answer.status_code, "the whole document" in answer.text) == (400, True)
    assert (await link())["their_key_uri"] == pin.ed.key_id and (await link())["state"] == "active"


async def test_a_new_key_that_is_not_proved_by_itself_stops_the_link_and_administrators_are_told(
    closed: Here, pin: Actor
) -> None:
    new, other = fresh(pin), fresh(pin)
    await heard(closed, pin, renewal(pin, new, by=other), pin.ed)
    row = await link()
    assert (row["state"], row["cause"]) == ("suspended", "key")
    assert row["their_key_uri"] == pin.ed.key_id, "the pin stays what it was"
    [notice] = await db.fetch("SELECT actor_id, kind FROM notice")
    assert notice == {"actor_id": closed.odile.actor_id, "kind": "link"}
    assert [deed["act"] for deed in await db.fetch("SELECT act FROM audit_entry")] == ["link_key_disagrees"]
    [incident] = await db.fetch("SELECT rule, reason, count FROM link_incident WHERE rule = 'key'")
    assert "without proof" in incident["reason"] and incident["count"] == 1


async def test_a_document_with_another_key_than_the_pinned_one_stops_the_link(closed: Here, pin: Actor) -> None:
    await fetch(closed.instance, pin.uri)
    assert (await link())["state"] == "active", "the same key changes nothing"
    swapped = fresh(pin)
    pin.ed = swapped
    pin.publish()
    with pytest.raises(Refused, match="another key"):
        await fetch(closed.instance, pin.uri)
    assert (await link())["cause"] == "key"


async def test_a_signature_in_the_name_of_the_pin_that_is_not_its_own_makes_us_look_and_no_more(
    closed: Here, pin: Actor
) -> None:
    """Anybody can send that: the partner's own origin says whether its key changed."""
    forged = PrivateKey(pin.ed.key_id, fresh(pin).key)
    assert (await closed.hear(pin.says("Like", "https://x.example/1"), forged)).status_code == 401
    assert (await link())["state"] == "active"
    [incident] = await db.fetch("SELECT rule FROM link_incident")
    assert incident["rule"] == "unproved untrusted"
    pin.ed = forged
    pin.publish()
    assert (await closed.hear(pin.says("Like", "https://x.example/1"), forged)).status_code == 401
    assert (await link())["state"] == "suspended", "now its origin shows the other key"


async def test_a_link_that_stopped_for_its_key_goes_on_when_the_words_were_compared_by_a_second_person(
    closed: Here, pin: Actor
) -> None:
    second = await employee(closed.instance, "selma", Office.ADMIN)
    host = pin.server.host
    await links.suspend(ADMIN, host)
    await links.resume(ADMIN, host)
    pin.ed = fresh(pin)
    pin.publish()
    with pytest.raises(Refused):
        await fetch(closed.instance, pin.uri)
    before = await link()
    with pytest.raises(Conflict):
        await links.resume(closed.odile, host)
    assert await link() == before
    assert await resume(closed.instance, closed.odile, host) is False
    assert len(await six_words(closed.instance, closed.odile, host)) == 6
    row = await link()
    assert (row["state"], row["their_key"]) == ("confirmed", pin.ed.public(pin.uri).to_multikey())
    with pytest.raises(Conflict, match="vous-même"):
        await links.confirm(closed.odile, host)
    assert await links.confirm(second, host) is LinkState.ACTIVE
    assert (await link())["cause"] == ""


async def test_one_administrator_alone_may_compare_again(closed: Here, pin: Actor) -> None:
    pin.ed = fresh(pin)
    pin.publish()
    with pytest.raises(Refused):
        await fetch(closed.instance, pin.uri)
    assert await resume(closed.instance, closed.odile, pin.server.host) is False
    assert await links.confirm(closed.odile, pin.server.host) is LinkState.ACTIVE


async def test_our_new_key_is_told_with_the_old_one_and_used_once_they_have_it(closed: Here, pin: Actor) -> None:
    old = await instance_key(closed.instance)
    assert await rotate(closed.instance) == [pin.server.host]
    assert await rotate(closed.instance) == [], "again: nothing"
    new = await instance_key(closed.instance)
    assert new.key_id != old.key_id
    assert await signed_by(closed, pin) == old.key_id, "they do not know the new one yet"
    while await sequence_waiting(closed.instance):
        pass
    [delivery] = await db.fetch("SELECT d.* FROM delivery d JOIN event e ON e.id = d.event_id")
    sealed = await compose(closed.instance, delivery["event_id"], Receiver(delivery["peer_id"], "x", True))
    assert sealed is not None and sealed.signer_uri == closed.instance.here.instance
    assert f'"verificationMethod":"{new.key_id}"'.encode() in sealed.body
    await db.execute("UPDATE delivery SET state = 'sent'")
    assert await signed_by(closed, pin) == new.key_id
    document = (await closed.http.get(closed.instance.here.instance)).json()
    assert [key["id"] for key in document["assertionMethod"]] == [new.key_id, old.key_id]
    await db.execute("UPDATE actor_key SET retired_at = retired_at - $1", link_keys.OVERLAP_MS + 1)
    document = (await closed.http.get(closed.instance.here.instance)).json()
    assert [key["id"] for key in document["assertionMethod"]] == [new.key_id]


async def test_a_process_that_holds_the_old_key_tells_the_new_one_and_signs_with_the_old(
    closed: Here, pin: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`parvis link rotate` is another process than the one that tells: it told the old key again, and nobody knew."""
    for module in (keyring, signing):
        monkeypatch.setattr(module, "LOOKS_EVERY_S", 60.0)
    old = await instance_key(closed.instance)
    assert await signed_by(closed, pin) == old.key_id
    held = dict(keyring._opened)
    await rotate(closed.instance)
    keyring._opened.update(held)
    while await sequence_waiting(closed.instance):
        pass
    [delivery] = await db.fetch("SELECT * FROM delivery")
    sealed = await compose(closed.instance, delivery["event_id"], Receiver(delivery["peer_id"], "x", True))
    assert sealed is not None
    [row] = await db.fetch("SELECT uri FROM actor_key WHERE algorithm = 'ed25519' AND retired_at IS NULL")
    assert json.loads(sealed.body)["object"]["assertionMethod"][0]["id"] == row["uri"] != old.key_id
    assert await signed_by(closed, pin) == old.key_id, "they do not know the new one yet"


async def test_an_agreement_that_begins_anew_is_signed_with_the_newest_key_at_once(
    closed: Here, pin: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that had looked a moment before which key they hold signed it with the old one, and was refused."""
    for module in (keyring, signing):
        monkeypatch.setattr(module, "LOOKS_EVERY_S", 60.0)
    await rotate(closed.instance)
    assert await signed_by(closed, pin) != (await instance_key(closed.instance)).key_id
    await links.end(ADMIN, pin.server.host)
    await db.execute("UPDATE link SET our_key_uri = '', rekey_event_id = NULL")
    [event] = await db.fetch("SELECT id FROM event WHERE kind = 'link_ended'")
    assert await compose(closed.instance, event["id"], Receiver((await link())["peer_id"], pin.server.host, False))
    assert await signed_by(closed, pin) == (await instance_key(closed.instance)).key_id


@pytest.mark.parametrize("heard", [False, True])
async def test_who_has_not_heard_of_a_new_key_hears_of_it_before_the_links_end_though_it_is_offered_anew(
    closed: Here, pin: Actor, heard: bool
) -> None:
    """The end and the recalls were signed with a key that they did not know: they kept all, and believed to be linked.

    Who heard the end goes by no key of ours, and is shown the newest.
    """
    old = await instance_key(closed.instance)
    await rotate(closed.instance)
    await links.end(ADMIN, pin.server.host)
    while await sequence_waiting(closed.instance):
        pass
    if heard:
        await db.execute("UPDATE delivery SET state = 'sent' WHERE event_id = (SELECT MAX(event_id) FROM delivery)")
    key = pin.ed.public(pin.uri).to_multikey()
    await links.offer(ADMIN, TheirSide((await link())["peer_id"], pin.server.host, pin.ed.key_id, key))
    newest = (await instance_key(closed.instance)).key_id
    signing._older_kept.clear()
    assert await signed_by(closed, pin) == (newest if heard else old.key_id)
    [event] = await db.fetch("SELECT id FROM event WHERE kind = 'link_rekeyed'")
    to = Receiver((await link())["peer_id"], pin.server.host, False)
    assert (await compose(closed.instance, event["id"], to) is None) == heard
    await db.execute("UPDATE delivery SET state = 'sent' WHERE event_id = $1", event["id"])
    signing._older_kept.clear()
    assert await signed_by(closed, pin) == newest


@pytest.mark.parametrize("first", ["the new key", "the end"])
async def test_each_word_of_a_link_is_signed_with_the_key_that_the_word_before_left(
    closed: Here, pin: Actor, first: str
) -> None:
    """A new key, the end and an offer went in one turn: the offer was signed with the old key, and was none (202).

    Who hears the end before the new key is not told of that, and shown it in the offer: so it counts from then on.
    """
    old = await instance_key(closed.instance)
    if first == "the new key":
        await rotate(closed.instance)
    await links.end(ADMIN, pin.server.host)
    if first == "the end":
        await rotate(closed.instance)
    key = pin.ed.public(pin.uri).to_multikey()
    await links.offer(ADMIN, TheirSide((await link())["peer_id"], pin.server.host, pin.ed.key_id, key))
    new = await instance_key(closed.instance)
    while await sequence_waiting(closed.instance):
        pass
    [peer] = await take_due("test", 10)
    await Sender(closed.instance).serve(peer, "test")
    said = [request for request in pin.server.there.requests if request.method == "POST"]
    assert [(json.loads(one.body)["type"], signer(one.headers)) for one in said] == (
        [("Update", old.key_id), ("Undo", new.key_id), ("Offer", new.key_id)]
        if first == "the new key"
        else [("Undo", old.key_id), ("Offer", new.key_id)]
    )
    await db.execute("UPDATE link SET state = 'confirmed'")
    assert await signed_by(closed, pin) == new.key_id
    row = await links.comparable(ADMIN, pin.server.host)
    words = links.words_of(row, closed.base, new.public("x").to_multikey())
    assert await six_words(closed.instance, closed.odile, pin.server.host) == words


async def said_by_us(here: Here, pin: Actor) -> list[tuple[Json, str]]:
    """What waits is sent: all that was ever posted there, each with the key that signed it."""
    while await sequence_waiting(here.instance):
        pass
    for peer in await take_due("test", 10):
        await Sender(here.instance).serve(peer, "test")
    posted = [request for request in pin.server.there.requests if request.method == "POST"]
    return [(json.loads(one.body), signer(one.headers)) for one in posted]


async def our_side(here: Here, pin: Actor, key: PrivateKey) -> None:
    """The link goes by this key of ours: what is signed, and the six words."""
    assert await signed_by(here, pin) == key.key_id
    row = await links.comparable(ADMIN, pin.server.host)
    words = links.words_of(row, here.base, key.public("x").to_multikey())
    assert await six_words(here.instance, here.odile, pin.server.host) == words


@pytest.mark.parametrize("heard", ["", "Offer", "Offer Update"])
async def test_a_new_key_is_told_to_whom_a_link_was_offered_with_the_old_one(
    closed: Here, kestrel: OtherServer, heard: str
) -> None:
    """Who took the offer days later held a key that was not used any more, and was told of no other."""
    pin, old = kestrel.instance(), await instance_key(closed.instance)
    await offer(closed.instance, ADMIN, kestrel.host)
    [event] = await db.fetch("SELECT id FROM event WHERE kind = 'link_offered'")
    if heard:
        await said_by_us(closed, pin)
    await rotate(closed.instance)
    if heard:
        await offer(closed.instance, ADMIN, kestrel.host)
    new = await instance_key(closed.instance)
    if heard != "Offer":
        said = await said_by_us(closed, pin)
        shown = [document["object"].get("parvis:key") for document, _ in said if document["type"] == "Offer"]
        assert shown[0] == old.public("x").to_multikey()
        [(told, by)] = [one for one in said if one[0]["type"] == "Update"]
        assert by == old.key_id and told["object"]["assertionMethod"][0]["id"] == new.key_id
    accept = pin.says("Accept", f"{closed.base}/activities/{event['id']}", result=side(pin))
    assert await closed.take(accept, pin.ed) == ""
    await our_side(closed, pin, old if heard == "Offer" else new)


async def test_who_accepts_and_has_a_new_key_before_it_is_heard_shows_the_one_that_signs(
    closed: Here, kestrel: OtherServer
) -> None:
    """It showed the new one, signed with the old, and was none: one side waited for good."""
    pin, old = kestrel.instance(), await instance_key(closed.instance)
    assert await closed.take(an_offer(pin, closed), pin.ed) == ""
    await links.accept(ADMIN, kestrel.host)
    await rotate(closed.instance)
    (accept, one), (told, other) = await said_by_us(closed, pin)
    assert accept["result"]["parvis:key"] == old.public("x").to_multikey()
    assert (one, other, told["type"]) == (old.key_id, old.key_id, "Update")
    await our_side(closed, pin, await instance_key(closed.instance))


@pytest.mark.parametrize("state", ["offered", "received"])
async def test_a_new_key_of_whom_a_link_is_proposed_with_is_taken(
    closed: Here, kestrel: OtherServer, state: str
) -> None:
    pin = await linked(kestrel, state)
    new = fresh(pin)
    before = {"their_old_key": "compared", "their_old_key_uri": "https://x.example/actor#0", "their_old_until_at": None}
    await db.execute("UPDATE link SET their_old_key = 'compared', their_old_key_uri = 'https://x.example/actor#0'")
    assert (await closed.hear(renewal(pin, new), new)).status_code == 401
    await heard(closed, pin, renewal(pin, new, by=fresh(pin)), pin.ed)
    assert (await link())["their_key_uri"] == pin.ed.key_id and (await link())["state"] == state
    assert await heard(closed, pin, renewal(pin, new), pin.ed) == 202
    row = await link()
    assert (row["state"], row["their_key_uri"]) == (state, new.key_id)
    assert {name: row[name] for name in before} == before, "what people compared is not forgotten for it"


async def test_a_new_key_before_the_words_are_compared_forgets_none_that_were(
    closed: Here, kestrel: OtherServer
) -> None:
    """Else whoever holds their domain, and proposes a link with one key after another, has what was told stay there."""
    pin = await linked(kestrel, "confirmed")
    row, new = await link(), fresh(pin)
    await db.execute("UPDATE link SET confirmed_here_at = NULL, their_old_key = 'compared', their_old_until_at = NULL")
    await db.execute("UPDATE link SET their_old_key_uri = their_key_uri")
    before = await pinned_keys(row["peer_id"])
    assert [key[3] for key in before] == ["compared"]
    assert await heard(closed, pin, renewal(pin, new), pin.ed) == 202
    assert (await link())["their_key_uri"] == new.key_id and await pinned_keys(row["peer_id"]) == before


async def test_an_accept_by_the_key_that_is_still_published_beside_a_new_one_is_taken(
    closed: Here, kestrel: OtherServer
) -> None:
    pin = kestrel.instance()
    old = pin.ed
    await offer(closed.instance, ADMIN, kestrel.host)
    [event] = await db.fetch("SELECT id FROM event WHERE kind = 'link_offered'")
    pin.publish(assertionMethod=renewal(pin, fresh(pin))["object"]["assertionMethod"])
    accept = pin.says("Accept", f"{closed.base}/activities/{event['id']}", result=side(pin))
    assert await closed.take(accept, old) == ""
    assert ((await link())["state"], (await link())["their_key_uri"]) == ("confirmed", old.key_id)


@pytest.mark.parametrize("end", ["committed", "waits", "heard"])
async def test_a_new_key_is_told_to_whom_the_end_of_the_link_is_still_to_be_told(
    closed: Here, pin: Actor, end: str
) -> None:
    old = await instance_key(closed.instance)
    await links.end(ADMIN, pin.server.host)
    while end != "committed" and await sequence_waiting(closed.instance):
        pass
    if end == "heard":
        await db.execute("UPDATE delivery SET state = 'sent'")
    assert await rotate(closed.instance) == ([] if end == "heard" else [pin.server.host])
    signing._older_kept.clear()
    assert (await signed_by(closed, pin) == old.key_id) == (end != "heard")


async def signed_by(here: Here, pin: Actor) -> str:
    sign = await sign_as_instance(here.instance, Manner(linked=True, scheme="rfc9421"))
    return signer(sign("GET", pin.uri, {}, b""))


def signer(headers: Mapping[str, str]) -> str:
    return headers["signature-input"].split('keyid="')[1].split('"')[0]


async def test_an_offer_and_a_link_end_on_their_date(closed: Here, kestrel: OtherServer) -> None:
    pin = await linked(kestrel)
    await db.execute("UPDATE link SET until_at = $1", now_ms() + 60_000)
    assert await links.end_overdue() == 0
    await db.execute("UPDATE link SET until_at = $1", now_ms() - 1)
    assert await links.end_overdue() == 1
    row = await link()
    assert (row["state"], row["cause"]) == ("ended", "until") and pin
    assert [event["kind"] for event in await db.fetch("SELECT kind FROM event")] == ["link_ended"]
    await db.execute("UPDATE link SET state = 'offered', offer_until_at = $1", now_ms() - 1)
    assert await links.end_overdue() == 1


@pytest.mark.parametrize("step", ["suspend", "resume", "end", "set_kin"])
async def test_each_step_again_changes_nothing(closed: Here, pin: Actor, step: str) -> None:
    host = pin.server.host
    once: dict[str, Any] = {
        "suspend": lambda: links.suspend(ADMIN, host),
        "resume": lambda: links.resume(ADMIN, host),
        "end": lambda: links.end(ADMIN, host),
        "set_kin": lambda: links.set_kin(ADMIN, host, True),
    }
    await once[step]()
    before, deeds = await link(), await db.fetch("SELECT id FROM audit_entry")
    await once[step]()
    assert await link() == before and await db.fetch("SELECT id FROM audit_entry") == deeds
