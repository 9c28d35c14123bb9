"""A space is its host's: who may write in ours, and what a host of theirs may make us show. Nothing more (RR1–RR7)."""

import asyncio
import json
from typing import Any

import pytest

from federation.composing import Receiver, compose
from federation.documents.posts import note as as_note
from federation.documents.posts import read_told
from federation.outbox import sequence_waiting
from federation.sending import take_due
from federation.signatures import messages
from federation.signatures.keys import PrivateKey
from federation.vocabulary import moment
from server import database as db
from server.actions import links
from server.actions.join_requests import ask_elsewhere
from server.actions.posts import Draft, publish
from server.clock import now_ms
from server.openness import Level
from server.viewer import Operator
from tests.federation.stranger import (
    Actor,
    Here,
    Json,
    OtherServer,
    enter,
    everything,
    linked,
    met,
    mirrored,
)
from tests.unit.federation.elsewhere import answer

pytestmark = pytest.mark.anyio
PUBLIC = "https://www.w3.org/ns/activitystreams#Public"


class Ours:
    """A space of ours, open to Kestrel: Chloé is in it, Driss is not, Eve's server is nobody's partner."""

    def __init__(self, here: Here, pin: Actor, chloe: Actor, driss: Actor, eve: Actor, space_id: int) -> None:
        self.here, self.pin, self.chloe, self.driss, self.eve, self.id = here, pin, chloe, driss, eve, space_id
        self.uri = here.space("projet")

    def create(self, author: Actor, **note: Any) -> Json:
        to = [self.uri, f"{self.uri}/members"]
        whole = author.note(**{"to": to, "audience": self.uri, **note})
        return author.says("Create", whole, to=to, audience=self.uri)

    async def nothing(self, activity: Json, by: PrivateKey, *but: str) -> str:
        """What is heard and refused: no row but the receipt changes."""
        before = await everything("receipt", "link_incident", *but)
        why = await self.here.take(activity, by)
        assert why and await everything("receipt", "link_incident", *but) == before, why
        return why


@pytest.fixture
async def ours(here: Here, kestrel: OtherServer, inconnu: OtherServer) -> Ours:
    pin = await linked(kestrel)
    chloe, driss, eve = kestrel.actor("chloe"), kestrel.actor("driss"), inconnu.actor("eve")
    space_id = await here.open_space("projet", Level.PARTNERS, kestrel)
    await enter(space_id, await met(chloe), kestrel)
    await met(driss)
    await met(eve)
    return Ours(here, pin, chloe, driss, eve, space_id)


async def test_a_member_writes_in_our_space_and_is_relayed_as_it_came(ours: Ours) -> None:
    activity = ours.chloe.proved(ours.create(ours.chloe))
    assert await ours.here.take(activity, ours.pin.ed) == ""
    [row] = await db.fetch("SELECT p.space_id, e.original FROM post p JOIN event e ON e.post_id = p.id")
    assert row["space_id"] == ours.id and activity["proof"]["proofValue"] in row["original"]


async def test_O15_a_create_by_a_non_member_is_refused_whoever_signs(ours: Ours) -> None:
    for author, key in ((ours.driss, ours.pin.ed), (ours.driss, ours.driss.ed), (ours.eve, ours.eve.ed)):
        await ours.nothing(ours.create(author), key)
    secret = await ours.here.open_space("secret", Level.CLOSED)
    for author in (ours.chloe, ours.eve):
        activity = ours.create(author, audience=ours.here.space("secret"), to=[ours.here.space("secret")])
        await ours.nothing(activity | {"audience": "", "to": []}, author.ed)
    assert secret


async def test_W2_a_member_whose_own_key_signs_instead_of_the_links_is_no_member(ours: Ours) -> None:
    await ours.nothing(ours.create(ours.chloe), ours.chloe.ed)


async def test_a_member_of_a_suspended_or_ended_link_writes_nothing(ours: Ours) -> None:
    waiting = ours.create(ours.chloe)
    assert (await ours.here.hear(waiting, ours.pin.ed)).status_code == 202
    await db.execute("UPDATE link SET state = 'suspended'")
    assert await ours.here.outcome(waiting["id"]) != "", "what waited when it was suspended"
    assert (await ours.here.hear(ours.create(ours.chloe), ours.pin.ed)).status_code == 401
    await ours.nothing(ours.create(ours.chloe), ours.chloe.ed)
    assert await db.fetch("SELECT id FROM post") == []


@pytest.mark.parametrize("by", ["inbox", "stream", "stream, then ended"])
async def test_W2_what_was_read_before_a_link_stopped_takes_no_effect_after_it(
    ours: Ours, kestrel: OtherServer, by: str
) -> None:
    """Whoever is asked who somebody is may keep us waiting, and all that was read before is carried out then.

    What a stream brought is acknowledged, so it is not sent again: it waits until the link goes on, or ends (I10).
    """
    frida = kestrel.actor("frida")
    known = json.dumps(frida.document).encode()

    async def suspended(writer: asyncio.StreamWriter) -> None:
        await links.suspend(Operator(), kestrel.host)
        writer.write(answer(known, "Content-Type: application/activity+json"))

    kestrel.scene("/users/frida", suspended)
    said = [ours.create(ours.chloe), ours.create(frida)]
    for activity in said:
        assert (await ours.here.hear(activity, ours.pin.ed)).status_code == 202
    if by != "inbox":
        await db.execute("UPDATE receipt SET seq = id")
    await ours.here.process()
    assert await db.fetch("SELECT id FROM post") == []
    waits = await db.fetch("SELECT id FROM receipt WHERE processed_at IS NULL AND body <> ''")
    assert len(waits) == (0 if by == "inbox" else 2)
    await (links.end if by.endswith("ended") else links.resume)(Operator(), kestrel.host)
    await ours.here.process()
    assert len(await db.fetch("SELECT id FROM post")) == (1 if by == "stream" else 0), "Frida is no member"
    assert (await ours.here.outcome(said[0]["id"]) == "") is (by == "stream")


async def test_RR3_what_is_for_the_public_does_not_enter_a_restricted_space(ours: Ours) -> None:
    for name in ("to", "cc", "bto", "audience"):
        for public in (PUBLIC, "as:Public", "Public", {"id": PUBLIC}):
            inside = ours.create(ours.chloe)
            inside["object"][name] = [*inside["object"].get(name, []), public] if name == "to" else [ours.uri, public]
            assert "public" in await ours.nothing(inside, ours.pin.ed)
            outside = ours.create(ours.chloe)
            outside[name] = [ours.uri, public]
            assert "public" in await ours.nothing(outside, ours.pin.ed)


async def test_O20_an_activity_for_one_space_in_the_inbox_of_another_is_refused(ours: Ours) -> None:
    await ours.here.open_space("autre", Level.PARTNERS, ours.chloe.server)
    before = await everything("link_incident")
    answer = await ours.here.hear(ours.create(ours.chloe), ours.pin.ed, path="/spaces/autre/inbox")
    assert answer.status_code == 403
    assert await everything("link_incident") == before
    both = ours.create(ours.chloe)
    both["object"]["cc"] = [ours.here.space("autre")]
    assert "one space" in await ours.nothing(both, ours.pin.ed)
    assert await ours.here.take(ours.create(ours.chloe), ours.pin.ed, path="/spaces/projet/inbox") == ""


async def test_I7_nobody_learns_by_answering_it_whether_and_when_something_hidden_was_written(ours: Ours) -> None:
    """An answer is dated after what it answers, and its host says where that is: of what its author may read."""
    hidden = await publish(ours.here.alice, Draft("avant Chloé", ours.id), ours.here.instance.here)
    long_ago = now_ms() - 9_000_000
    await db.execute("UPDATE post SET published_at = $1 WHERE id = $2", long_ago, hidden)
    shown = await publish(ours.here.alice, Draft("depuis", ours.id), ours.here.instance.here)
    found = []
    for answered in (hidden, shown):
        create = ours.create(ours.chloe, inReplyTo=ours.here.instance.here.post(answered), published=moment(1000))
        assert await ours.here.take(create, ours.pin.ed) == ""
        [row] = await db.fetch("SELECT reply_to_id, reply_to_uri, published_at FROM post ORDER BY id DESC LIMIT 1")
        found.append((row["reply_to_id"], bool(row["reply_to_uri"]), row["published_at"] > long_ago))
    assert found == [(None, False, False), (shown, True, True)]


async def test_O18_who_was_let_go_edits_reacts_and_writes_no_more(ours: Ours) -> None:
    create = ours.create(ours.chloe)
    assert await ours.here.take(create, ours.pin.ed) == ""
    await db.execute("DELETE FROM membership WHERE peer_id IS NOT NULL")
    edited = create["object"] | {"content": "<p>after</p>", "updated": moment(now_ms() + 1000)}
    for activity in (
        ours.chloe.says("Update", edited, to=[ours.uri]),
        ours.chloe.says("Like", create["object"]["id"]),
        ours.create(ours.chloe),
        ours.chloe.says("Update", ours.create(ours.chloe)["object"], to=[ours.uri]),
    ):
        await ours.nothing(activity, ours.pin.ed)


async def test_O16_O17_O19_nobody_elsewhere_moderates_our_space(ours: Ours) -> None:
    await enter(ours.id, ours.here.bruno.actor_id)
    await db.execute("UPDATE membership SET role = 'owner' WHERE peer_id IS NOT NULL")
    post_id = await publish(ours.here.alice, Draft("ordre du jour", ours.id), ours.here.instance.here)
    post = ours.here.instance.here.post(post_id)
    for activity in (
        ours.chloe.says("Delete", post),
        ours.chloe.says("Remove", ours.here.person("bruno"), target=f"{ours.uri}/members"),
        ours.chloe.says("Block", ours.here.person("bruno"), target=ours.uri),
        ours.chloe.says("Add", post, target=f"{ours.uri}/featured"),
        ours.pin.says("Announce", ours.create(ours.chloe), to=[f"{ours.uri}/members"]),
        ours.pin.says("Delete", ours.uri),
    ):
        await ours.nothing(activity, ours.pin.ed)
    taken = ours.chloe.says("Update", {"id": ours.uri, "type": "Group", "name": "Taken"})
    await ours.nothing(taken, ours.pin.ed, "actor")
    [row] = await db.fetch("SELECT display_name FROM actor WHERE uri = $1", ours.uri)
    assert row["display_name"] == "Projet"


async def test_R9_words_and_markup_are_no_gesture(ours: Ours) -> None:
    create = ours.create(ours.chloe)
    assert await ours.here.take(create, ours.pin.ed) == ""
    for emoji in ("<b>", "idiot", ":custom:", "x" * 200, "👍 👍", "👍"):
        react = ours.chloe.says("EmojiReact", create["object"]["id"], content=emoji)
        assert await ours.here.take(react, ours.pin.ed) == ""
    assert {row["emoji"] for row in await db.fetch("SELECT emoji FROM reaction")} == {"", "👍"}


async def test_K11_no_alias_of_a_partner_makes_it_somebody_else(ours: Ours, inconnu: OtherServer) -> None:
    """The partner's `/k` is a key whose owner lives elsewhere, or is one of ours: it stays nobody."""
    alice = ours.here.person("alice")
    for victim in (ours.eve.uri, alice, alice.upper(), ours.chloe.uri):
        alias = f"{ours.pin.server.base}/k"
        ours.pin.server.serve(
            alias,
            {
                "@context": "https://www.w3.org/ns/activitystreams",
                "id": f"{ours.pin.server.base}/k2",
                "type": "Key",
                "publicKey": {"id": alias, "owner": victim, "publicKeyPem": ours.pin.rsa.public("x").to_pem()},
            },
        )
        create = ours.create(ours.chloe)
        create["actor"] = create["object"]["attributedTo"] = alias
        await ours.nothing(create, ours.pin.ed)


# --- the spaces of others -------------------------------------------------------------------------


class Theirs:
    """A space at Kestrel, which Alice is in; Merle is a third instance, linked with us too, with Mia."""

    def __init__(self, here: Here, pin: Actor, group: Actor, chloe: Actor, mia: Actor, space_id: int) -> None:
        self.here, self.pin, self.group, self.chloe, self.mia, self.id = here, pin, group, chloe, mia, space_id

    def create(self, author: Actor, **note: Any) -> Json:
        to = [self.group.uri, f"{self.group.uri}/members"]
        return author.says("Create", author.note(**{"to": to, "audience": self.group.uri, **note}), to=to)

    def announce(self, inner: Any, by: Actor | None = None) -> Json:
        return (by or self.group).says("Announce", inner, to=[f"{self.group.uri}/members"])

    async def nothing(self, activity: Json, by: PrivateKey | None = None, but: str = "peer") -> str:
        before = await everything("receipt", "link_incident", "actor", "peer", but)
        why = await self.here.take(activity, by or self.pin.ed)
        assert why and await everything("receipt", "link_incident", "actor", "peer", but) == before, why
        return why

    async def posts(self) -> list[Json]:
        return await db.fetch(
            "SELECT p.html, a.uri AS author FROM post p JOIN actor a ON a.id = p.author_id WHERE p.space_id = $1"
            " AND p.deleted_at IS NULL ORDER BY p.id",
            self.id,
        )


@pytest.fixture
async def theirs(here: Here, kestrel: OtherServer, merle: OtherServer) -> Theirs:
    pin = await linked(kestrel)
    await linked(merle)
    group = kestrel.actor("cevennes", "Group", "/spaces/cevennes")
    space_id = await mirrored(group, here.alice)
    return Theirs(here, pin, group, kestrel.actor("chloe"), merle.actor("mia"), space_id)


async def test_the_host_tells_of_its_own_people_and_with_proof_of_others(theirs: Theirs) -> None:
    assert await theirs.here.take(theirs.announce(theirs.create(theirs.chloe)), theirs.pin.ed) == ""
    proved = theirs.mia.proved(theirs.create(theirs.mia))
    assert await theirs.here.take(theirs.announce(proved), theirs.pin.ed) == ""
    assert [post["author"] for post in await theirs.posts()] == [theirs.chloe.uri, theirs.mia.uri]
    again = theirs.mia.proved(theirs.create(theirs.mia))
    assert await theirs.here.take(theirs.announce(again), theirs.pin.ed) == ""
    assert theirs.mia.server.asked("/users/mia") == 1, "her key is known by now"


async def test_K11_O26_the_host_does_not_forge_the_words_of_a_third_instance(theirs: Theirs) -> None:
    inner = theirs.create(theirs.mia)
    proved = theirs.mia.proved(inner)
    stolen = {**theirs.mia.proved(theirs.create(theirs.mia)), "object": proved["object"]}
    own_key = dict(theirs.chloe.proved(inner))
    named = {**own_key, "proof": {**own_key["proof"], "verificationMethod": theirs.mia.ed.key_id}}
    elsewhere = theirs.mia.proved(theirs.create(theirs.mia, audience="https://x.example", to=["https://x.example"]))
    late = {**proved, "object": {**proved["object"], "content": "<p>other words</p>"}}
    future = {**proved, "proof": {**proved["proof"], "created": "2099-01-01T00:00:00Z"}}
    several = {**proved, "proof": [proved["proof"]]}
    foreign = theirs.mia.proved({**inner, "id": f"{theirs.group.server.base}/1"})
    taken = theirs.mia.proved(theirs.create(theirs.mia, attributedTo=theirs.chloe.uri))
    for forged in (inner, stolen, own_key, named, elsewhere, late, future, several, foreign, taken):
        await theirs.nothing(theirs.announce(forged))
    assert await theirs.here.take(theirs.announce(proved), theirs.pin.ed) == ""


async def test_S7_a_proof_over_any_other_document_does_not_hold(theirs: Theirs) -> None:
    proved = theirs.mia.proved(theirs.create(theirs.mia))
    for name in ("type", "id", "actor", "to", "object", "@context"):
        changed = {key: value for key, value in proved.items() if key != name}
        await theirs.nothing(theirs.announce(changed))
        await theirs.nothing(theirs.announce({**proved, "cc": ["https://x.example"]}))
    context = {**proved, "proof": {**proved["proof"], "@context": ["https://evil.example"]}}
    await theirs.nothing(theirs.announce(context))


async def test_RR1_only_the_host_by_its_link_tells_what_happens_in_its_space(
    theirs: Theirs, inconnu: OtherServer
) -> None:
    inner = theirs.create(theirs.chloe)
    eve = inconnu.actor("eve")
    await theirs.nothing(theirs.announce(inner, theirs.chloe))
    await theirs.nothing(theirs.announce(inner, eve), eve.ed)
    await theirs.nothing(theirs.announce(inner), theirs.group.ed)
    before = await everything()
    assert (await theirs.here.hear(theirs.announce(inner), eve.ed)).status_code == 401
    assert await everything() == before
    merle = await linked(theirs.mia.server)
    other = theirs.mia.server.actor("autre", "Group", "/spaces/autre")
    await theirs.nothing(theirs.announce(theirs.create(theirs.mia), other), merle.ed)
    own = await theirs.here.open_space("projet", Level.PARTNERS, theirs.group.server)
    assert own
    await theirs.nothing(
        theirs.announce(theirs.create(theirs.chloe, audience=theirs.here.space("projet")))
        | {"to": []}
        | {"actor": theirs.pin.uri, "id": theirs.pin.server.new("x")}
    )


async def test_RR2_a_space_that_nobody_here_is_in_any_more_tells_us_nothing(theirs: Theirs) -> None:
    assert await theirs.here.take(theirs.announce(theirs.create(theirs.chloe)), theirs.pin.ed) == ""
    await db.execute("DELETE FROM membership WHERE space_id = $1", theirs.id)
    assert "RR2" in await theirs.nothing(theirs.announce(theirs.create(theirs.chloe)), but="job")
    await enter(theirs.id, theirs.here.bruno.actor_id, state="invited")
    assert "RR2" in await theirs.nothing(theirs.announce(theirs.create(theirs.chloe)), but="job")
    assert [row["kind"] for row in await db.fetch("SELECT kind FROM job")] == ["members"], "asked who is in, once"


async def test_RR3_what_is_for_the_public_is_not_told_in_a_restricted_space(theirs: Theirs) -> None:
    inside = theirs.create(theirs.chloe)
    inside["object"]["cc"] = ["as:Public"]
    outside = theirs.create(theirs.chloe) | {"cc": [PUBLIC]}
    for inner in (inside, outside):
        assert "public" in await theirs.nothing(theirs.announce(inner))
    other = theirs.create(theirs.chloe, audience="https://x.example", to=["https://x.example"])
    assert "RR3" in await theirs.nothing(theirs.announce(other))


async def test_RR3_our_own_words_come_back_and_change_nothing(theirs: Theirs) -> None:
    post_id = await publish(theirs.here.alice, Draft("nos mots", theirs.id), theirs.here.instance.here)
    told = await read_told(post_id)
    assert told is not None
    changed = {**as_note(told, theirs.here.instance.here), "content": "<p>not ours</p>"}
    before = await everything("receipt", "link_incident")
    for kind in ("Create", "Update", "Delete", "Like"):
        for person in ("alice", "bruno"):
            actor = theirs.here.person(person)
            inner = {"id": f"{theirs.here.base}/activities/1", "type": kind, "actor": actor, "object": changed}
            await theirs.here.take(theirs.announce(inner), theirs.pin.ed)
            shout = actor.replace("http://localhost", "http://LOCALHOST")
            loud = {**inner, "actor": shout, "id": f"{shout}/1"}
            await theirs.here.take(theirs.announce(loud), theirs.pin.ed)
    assert await everything("receipt", "link_incident") == before


async def test_RR4_only_the_author_or_the_space_takes_a_post_back_and_only_the_author_edits(theirs: Theirs) -> None:
    create = theirs.mia.proved(theirs.create(theirs.mia))
    assert await theirs.here.take(theirs.announce(create), theirs.pin.ed) == ""
    note = create["object"]
    edited = {**note, "content": "<p>not hers</p>", "updated": moment(now_ms() + 1000)}
    for inner in (
        theirs.chloe.says("Delete", note["id"]),
        theirs.chloe.says("Update", edited),
        theirs.chloe.says("Update", {**edited, "attributedTo": theirs.chloe.uri}),
        theirs.group.says("Update", edited),
        theirs.mia.says("Delete", note["id"]),
        theirs.mia.says("Update", edited),
        theirs.mia.proved(theirs.mia.says("Update", {k: v for k, v in edited.items() if k != "updated"})),
    ):
        await theirs.nothing(theirs.announce(inner))
    assert await theirs.here.take(theirs.announce(theirs.group.says("Delete", note["id"])), theirs.pin.ed) == ""
    assert await theirs.posts() == []
    await theirs.here.take(theirs.announce(create), theirs.pin.ed)
    assert await theirs.posts() == []


async def test_RR4_a_space_takes_back_only_what_stands_in_it(theirs: Theirs) -> None:
    outside = await publish(theirs.here.alice, Draft("ailleurs"), theirs.here.instance.here)
    uri = theirs.here.instance.here.post(outside)
    await theirs.nothing(theirs.announce(theirs.group.says("Delete", uri)))
    await theirs.nothing(theirs.announce(theirs.chloe.says("Like", uri)))
    await theirs.nothing(theirs.group.says("Delete", uri))


async def test_RR5_an_answer_to_what_we_do_not_have_makes_us_ask_no_third_instance(theirs: Theirs) -> None:
    answer = theirs.create(theirs.chloe, inReplyTo=theirs.mia.server.new("notes"), context=f"{theirs.mia.uri}/c")
    assert await theirs.here.take(theirs.announce(answer), theirs.pin.ed) == ""
    assert theirs.mia.server.there.requests == []


async def test_K6_RR7_naming_a_colleague_who_is_not_in_the_space_tells_them_nothing(theirs: Theirs) -> None:
    tag = [{"type": "Mention", "href": theirs.here.person("bruno")}]
    assert await theirs.here.take(theirs.announce(theirs.create(theirs.chloe, tag=tag)), theirs.pin.ed) == ""
    assert await db.fetch("SELECT id FROM notice") == []


# --- membership -----------------------------------------------------------------------------------


async def test_O19_only_the_host_lets_one_of_ours_go_and_nobody_elses(theirs: Theirs, inconnu: OtherServer) -> None:
    alice, members = theirs.here.person("alice"), f"{theirs.group.uri}/members"
    eve, merle = inconnu.actor("eve"), await linked(theirs.mia.server)
    other = theirs.mia.server.actor("autre", "Group", "/spaces/autre")
    await mirrored(other)
    await enter(theirs.id, await met(theirs.mia), theirs.mia.server)
    before = await everything("receipt", "link_incident", "actor", "peer")
    for by, key in ((theirs.chloe, theirs.pin.ed), (eve, eve.ed), (other, merle.ed), (theirs.group, theirs.group.ed)):
        await theirs.here.take(by.says("Remove", alice, target=members), key)
    await theirs.here.take(theirs.group.says("Remove", theirs.mia.uri, target=members), theirs.pin.ed)
    assert await everything("receipt", "link_incident", "actor", "peer") == before
    assert await theirs.here.take(theirs.group.says("Remove", alice, target=members), theirs.pin.ed) == ""
    assert await db.fetch("SELECT id FROM membership WHERE peer_id IS NULL AND space_id = $1", theirs.id) == []


async def test_W2_an_invitation_by_who_is_not_linked_or_not_the_space_is_none(
    theirs: Theirs, inconnu: OtherServer
) -> None:
    bruno = theirs.here.person("bruno")
    stray = inconnu.actor("club", "Group", "/spaces/club")
    await theirs.nothing(stray.says("Invite", stray.uri, target=bruno), stray.ed)
    await theirs.nothing(theirs.chloe.says("Invite", theirs.group.uri, target=bruno))
    await theirs.nothing(theirs.chloe.says("Invite", theirs.chloe.uri, target=bruno))
    await theirs.nothing(theirs.group.says("Invite", theirs.group.uri, target=bruno), theirs.group.ed)
    await theirs.nothing(theirs.group.says("Invite", theirs.group.uri, target=theirs.mia.uri))
    theirs.group.publish(name="<b>Cévennes</b>", summary="<script>x</script><p>Un espace</p>")
    assert await theirs.here.take(theirs.group.says("Invite", theirs.group.uri, target=bruno), theirs.pin.ed) == ""
    [space] = await db.fetch("SELECT name, description FROM space WHERE id = $1", theirs.id)
    assert space == {"name": "Cévennes", "description": "Un espace"}
    [member] = await db.fetch("SELECT state FROM membership WHERE actor_id = $1", theirs.here.bruno.actor_id)
    assert member["state"] in ("invited", "asked")


async def test_O24_only_the_space_itself_answers_who_asks_to_come_in(theirs: Theirs) -> None:
    await ask_elsewhere(theirs.here.bruno, theirs.id)
    [event] = await db.fetch("SELECT id FROM event WHERE kind = 'join_asked'")
    join = {"type": "Join", "id": f"{theirs.here.base}/activities/{event['id']}", "actor": theirs.here.person("bruno")}
    merle = await linked(theirs.mia.server)
    for kind in ("Accept", "Reject"):
        await theirs.nothing(theirs.chloe.says(kind, join), theirs.pin.ed)
        await theirs.nothing(theirs.pin.says(kind, join), theirs.pin.ed)
        await theirs.nothing(theirs.mia.says(kind, join), merle.ed)
        await theirs.nothing(theirs.group.says(kind, {**join, "id": f"{theirs.here.base}/activities/1"}))
    assert await theirs.here.take(theirs.group.says("Accept", join), theirs.pin.ed) == ""
    [row] = await db.fetch("SELECT state FROM membership WHERE actor_id = $1", theirs.here.bruno.actor_id)
    assert row["state"] == "member"
    await theirs.nothing(theirs.group.says("Reject", join))


# --- what leaves ----------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["offered", "received", "confirmed", "suspended", "ended"])
async def test_W2_nothing_restricted_is_told_or_read_while_a_link_is_not_active(
    here: Here, kestrel: OtherServer, state: str
) -> None:
    pin = await linked(kestrel)
    chloe = kestrel.actor("chloe")
    space_id = await here.open_space("projet", Level.PARTNERS, kestrel)
    await enter(space_id, await met(chloe), kestrel)
    post_id = await publish(here.alice, Draft("confidentiel", space_id), here.instance.here)
    url = here.instance.here.post(post_id)
    peer = (await db.fetch("SELECT peer_id FROM link"))[0]["peer_id"]
    [event] = await db.fetch("SELECT id FROM event WHERE post_id = $1", post_id)

    async def read() -> int:
        headers = {"accept": "application/activity+json"}
        signed = messages.sign("GET", url, headers, b"", pin.ed, now_ms(), tag="parvis-link")
        return (await here.http.get(url, headers=signed)).status_code

    assert await read() == 200
    assert await compose(here.instance, event["id"], Receiver(peer, kestrel.host, linked=True)) is not None
    await db.execute("UPDATE link SET state = $1", state)
    assert await read() == 404
    assert await compose(here.instance, event["id"], Receiver(peer, kestrel.host, linked=False)) is None
    await sequence_waiting(here.instance)
    waits = await db.fetch("SELECT id FROM delivery WHERE event_id = $1", event["id"])
    assert len(waits) == (state == "suspended"), "what is told when the link goes on"
    assert await take_due("test", 10) == []
