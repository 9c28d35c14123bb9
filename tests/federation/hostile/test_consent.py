"""Who may say that words of an instance stay out of an opened past, and who that a past was opened (I5, I8)."""

import json
from dataclasses import replace
from typing import Any

import pytest

from federation.composing import Receiver, compose
from federation.documents.posts import read_told
from federation.links import meet
from federation.outbox import may_be_told
from federation.own_words import have_back
from federation.resync import held
from federation.vocabulary import CONSENT, moment
from server import database as db
from server.actions import consent, links
from server.actions.arriving import Arrived, receive
from server.actions.openness import Door, How, adjust
from server.actions.posts import Draft, publish
from server.clock import now_ms
from server.ids import new_id
from server.openness import History, Level, LinkState, PartnerView
from server.queries import notifications
from server.queries.notifications import PastOpened
from server.space_policy import PartnerTerms
from server.viewer import Operator, RemotePerson
from tests.federation.stranger import Actor, Here, Json, OtherServer, enter, everything, linked, met, mirrored

pytestmark = pytest.mark.anyio


def says(by: Actor, here: Here, word: Any) -> Json:
    about = {"id": f"{by.uri}/link", "type": ["Relationship", "parvis:Link"], CONSENT: word}
    return by.says("Update", {**about, "subject": by.uri, "object": f"{here.base}/actor"}, to=[f"{here.base}/actor"])


async def denying(server: OtherServer) -> bool:
    [row] = await db.fetch("SELECT denies_past FROM peer WHERE host = $1", server.host)
    return bool(row["denies_past"])


async def test_only_a_linked_instance_itself_denies_for_its_people_with_one_of_two_words(
    here: Here, kestrel: OtherServer, inconnu: OtherServer
) -> None:
    pin, chloe, nobody = await linked(kestrel), kestrel.actor("chloe"), inconnu.instance()
    await met(chloe)
    await met(nobody)
    for by, key, word in (
        (nobody, nobody.ed, "deny"),
        (chloe, pin.ed, "deny"),
        (chloe, chloe.ed, "deny"),
        (pin, pin.ed, "never"),
        (pin, pin.ed, ["deny"]),
        (pin, pin.ed, None),
    ):
        before = await everything("receipt", "link_incident")
        assert await here.take(says(by, here, word), key), (by.uri, word)
        assert await everything("receipt", "link_incident") == before
    assert not await denying(inconnu) and not await denying(kestrel)
    assert await here.take(says(pin, here, "deny"), pin.ed) == "" and await denying(kestrel)
    assert await here.take(says(pin, here, "deny"), pin.ed) == ""
    rows = await db.fetch("SELECT id FROM audit_entry WHERE act = 'partner_consent'")
    assert len(rows) == 1
    assert await here.take(says(pin, here, "allow"), pin.ed) == "" and not await denying(kestrel)


async def test_what_an_instance_shows_of_itself_is_read_whenever_it_is(closed: Here, kestrel: OtherServer) -> None:
    pin = await linked(kestrel)
    for shown in ("deny", "allow", "nonsense", "deny", None):
        pin.publish(**({CONSENT: shown} if shown else {CONSENT: None}))
        await meet(closed.instance, kestrel.host)
        assert await denying(kestrel) == (shown == "deny")


async def test_our_own_word_stands_in_our_actor_and_is_told_to_linked_instances(
    closed: Here, kestrel: OtherServer
) -> None:
    pin = await linked(kestrel)
    assert CONSENT not in (await closed.read("/actor", pin.ed)).json()
    await consent.set_history_consent(Operator(), False)
    assert (await closed.read("/actor", pin.ed)).json()[CONSENT] == "deny"
    [event] = await db.fetch("SELECT id FROM event WHERE kind = 'consent_changed'")
    [peer] = await db.fetch("SELECT id FROM peer WHERE host = $1", kestrel.host)
    sealed = await compose(closed.instance, event["id"], Receiver(peer["id"], kestrel.host, True))
    assert sealed is not None
    told = json.loads(sealed.body)
    assert (told["type"], told["object"][CONSENT], told["to"]) == ("Update", "deny", [pin.uri])
    assert await compose(closed.instance, event["id"], Receiver(peer["id"], kestrel.host, False)) is None


@pytest.mark.parametrize("spoke", [True, False])
async def test_our_word_is_told_once_more_when_a_link_begins(closed: Here, kestrel: OtherServer, spoke: bool) -> None:
    """They may have read what we say of ourselves before we said it, and a link that is agreed upon tells nothing."""
    await linked(kestrel)
    await db.execute("UPDATE link SET state = 'confirmed', active_at = NULL, confirmed_here_at = NULL")
    await db.execute("UPDATE link SET confirmed_there_at = changed_at")
    if spoke:
        await consent.set_history_consent(Operator(), False)
    assert await db.fetch("SELECT id FROM event WHERE kind = 'consent_changed'") == []
    assert await links.confirm(Operator(), kestrel.host) is LinkState.ACTIVE
    told = await db.fetch("SELECT data FROM event WHERE kind = 'consent_changed'")
    [peer] = await db.fetch("SELECT id FROM peer WHERE host = $1", kestrel.host)
    assert [json.loads(row["data"]) for row in told] == ([{"peers": [peer["id"]]}] if spoke else [])


async def test_a_space_tells_an_opening_to_who_consents_and_names_no_partner_that_it_hides(
    closed: Here, kestrel: OtherServer, merle: OtherServer
) -> None:
    await linked(kestrel)
    await linked(merle)
    there = await closed.open_space("projet", Level.PARTNERS, kestrel, merle)
    for server in (kestrel, merle):
        await enter(there, await met(server.actor("chloe")), server)
    await publish(closed.alice, Draft("avant", there), closed.instance.here)

    async def told(server: OtherServer) -> Any:
        [peer] = await db.fetch("SELECT id FROM peer WHERE host = $1", server.host)
        [event] = await db.fetch("SELECT id FROM event WHERE kind = 'space_changed' ORDER BY id DESC LIMIT 1")
        sealed = await compose(closed.instance, event["id"], Receiver(peer["id"], server.host, True))
        assert sealed is not None
        return json.loads(sealed.body).get("parvis:pastOpened")

    async def change(past: bool, **dials: Any) -> None:
        await adjust(Operator(), there, How(Door.COMMAND, past=past), lambda p: replace(p, **dials))

    await change(False, seats=40)
    assert await told(kestrel) is None, "nothing of before was opened"
    await change(True, seats=41)
    opened = await told(kestrel)
    assert opened["parvis:organisations"] == [merle.host] and opened["parvis:policyEpoch"] == 3
    await change(True, partner_view=PartnerView.BLIND)
    assert (await told(kestrel))["parvis:organisations"] == []
    [peer] = await db.fetch("SELECT id FROM peer WHERE host = $1", kestrel.host)
    await consent.heard(peer["id"], False)
    await change(True, seats=42)
    assert await told(kestrel) is None and await told(merle) is not None


async def test_only_the_host_of_a_space_tells_ours_that_their_words_are_opened_and_once(
    closed: Here, kestrel: OtherServer
) -> None:
    pin, group = await linked(kestrel), kestrel.actor("labo", "Group", "/spaces/labo")
    foreign = kestrel.actor("autre", "Group", "/spaces/autre")
    there = await mirrored(group, closed.alice, closed.bruno)
    await mirrored(foreign, closed.odile)
    await publish(closed.alice, Draft("avant", there), closed.instance.here)

    async def past(who: Any) -> list[PastOpened | None]:
        return [one.past for one in await notifications.waiting(who)]

    def opening(by: Actor, **changed: Any) -> Json:
        value = {"parvis:policyEpoch": 7, "published": moment(now_ms()), "parvis:organisations": ["c.example"]}
        said = by.says("Update", {"id": group.uri, "type": "Group"}, to=[f"{group.uri}/members"])
        return said | {"parvis:pastOpened": {**value, **changed}}

    for by, changed in (
        (foreign, {}),
        (kestrel.actor("chloe"), {}),
        (group, {"parvis:policyEpoch": "7"}),
        (group, {"parvis:policyEpoch": 1 << 60}),
        (group, {"published": "hier"}),
    ):
        before = await everything("receipt", "link_incident", "actor")
        assert await closed.take(opening(by, **changed), pin.ed), (by.uri, changed)
        assert await everything("receipt", "link_incident", "actor") == before
    assert await past(closed.alice) == []
    hosts = ["c.example", "<b>x</b>", 7, "d.example", *["e" * 200 + ".example"] * 60]
    for _ in range(2):
        assert await closed.take(opening(group, **{"parvis:organisations": hosts}), pin.ed) == ""
    [told] = await past(closed.alice)
    assert told is not None and told.hosts[:2] == ("c.example", "d.example") and told.more
    assert await past(closed.bruno) == await past(closed.odile) == [], "who wrote nothing there"


async def test_a_word_that_was_lost_with_our_database_is_read_again(closed: Here, kestrel: OtherServer) -> None:
    pin = await linked(kestrel)
    pin.publish(**{CONSENT: "deny"})
    await db.execute("UPDATE peer SET peering = $1 WHERE host = $2", f"{pin.uri}/peering", kestrel.host)
    [peer] = await db.fetch("SELECT id FROM peer WHERE host = $1", kestrel.host)
    job = {"id": new_id(), "key": f"{peer['id']}:", "payload": "", "attempts": 0, "error": ""}
    await have_back(closed.instance, job)
    assert await denying(kestrel)


async def test_what_is_left_out_is_neither_told_to_an_instance_that_was_let_in_later_nor_compared_with_it(
    closed: Here, kestrel: OtherServer, merle: OtherServer
) -> None:
    await linked(kestrel)
    await linked(merle)
    there = await closed.open_space("projet", Level.PARTNERS, kestrel)
    await enter(there, author := await met(kestrel.actor("chloe")), kestrel)
    peers = {row["host"]: row["id"] for row in await db.fetch("SELECT id, host FROM peer")}
    chloe = RemotePerson(author, peers[kestrel.host], True)
    theirs = f"{kestrel.actor('chloe').uri}/posts/1"
    await receive(chloe, author, Arrived(theirs, "<p>entre nous</p>", now_ms()), there)
    ours = await publish(closed.alice, Draft("de chez nous", there), closed.instance.here)
    await consent.heard(peers[kestrel.host], False)
    named = PartnerTerms(merle.host)
    await adjust(Operator(), there, How(Door.COMMAND, past=True), lambda p: replace(p, partners=(*p.partners, named)))
    await adjust(Operator(), there, How(Door.COMMAND, past=True), lambda p: replace(p, history=History.ALL))
    await enter(there, await met(merle.actor("dora")), merle)
    for server, wanted in (
        (kestrel, {theirs, closed.instance.here.post(ours)}),
        (merle, {closed.instance.here.post(ours)}),
    ):
        days = await held(peers[server.host], there, True)
        assert {uri for day in days.values() for uri in day} == wanted
    [post] = await db.fetch("SELECT id FROM post WHERE uri = $1", theirs)
    told = await read_told(post["id"])
    assert told is not None
    assert await may_be_told(told, peers[kestrel.host]) and not await may_be_told(told, peers[merle.host])
