"""What a host adds around what it relays, and what a receiver does with it: the rules RR1 to RR7, one by one."""

import asyncio
import json
from hashlib import sha256
from typing import Any

import pytest

from federation import files, resync, upkeep
from federation.composing import Receiver, compose
from federation.outbox import sequence_waiting
from federation.relaying import passport
from federation.roots import root_of
from federation.signatures.keys import PrivateKey
from federation.signatures.multibase import encode_multibase
from federation.signatures.proofs import with_proof
from federation.vocabulary import PUBLIC, moment
from server import database as db
from server.actions import file_bytes, follows
from server.actions.gestures import react
from server.actions.join_requests import asked
from server.actions.posts import Draft, publish
from server.clock import now_ms
from server.errors import NotFound
from server.openness import Level
from server.queries import posts as reading_posts
from server.queries import timelines
from server.viewer import RemotePerson, Viewer
from tests.federation.harness import worded
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
CHANGES = ("receipt", "link_incident", "passport", "actor", "peer", "job")
"""Tables that may say more after a refusal: who it was, and why."""
WEEK_MS = 7 * 24 * 3_600_000


class Theirs:
    """A space at Kestrel, which Alice is in. Merle, where Mia works, is no partner of ours: nobody asks it anything."""

    def __init__(self, here: Here, pin: Actor, group: Actor, chloe: Actor, mia: Actor, space_id: int) -> None:
        self.here, self.pin, self.group, self.chloe, self.mia, self.id = here, pin, group, chloe, mia, space_id

    def create(self, author: Actor, **note: Any) -> Json:
        to = [self.group.uri, f"{self.group.uri}/members"]
        return author.says("Create", author.note(**{"to": to, "audience": self.group.uri, **note}), to=to)

    def announce(self, inner: Any, **more: Any) -> Json:
        return self.group.says("Announce", inner, **{"to": [f"{self.group.uri}/members"], **more})

    def card(self, who: Actor, by: PrivateKey | None = None, **changes: Any) -> Json:
        """The host's passport of somebody."""
        document = {
            "@context": "https://www.w3.org/ns/activitystreams",
            "type": "parvis:Passport",
            "id": who.uri,
            "attributedTo": self.pin.uri,
            "preferredUsername": who.name,
            "name": who.name.title(),
            "parvis:organisation": "Merle",
            "assertionMethod": who.document["assertionMethod"],
            "parvis:validUntil": moment(now_ms() + WEEK_MS),
            **changes,
        }
        return dict(with_proof(document, by or self.pin.ed, now_ms()))

    async def take(self, activity: Json) -> str:
        return await self.here.take(activity, self.pin.ed)

    async def nothing(self, activity: Json) -> str:
        before = await everything(*CHANGES)
        why = await self.take(activity)
        after = await everything(*CHANGES)
        assert why and after == before, why
        return why

    async def rules(self) -> dict[str, int]:
        rows = await db.fetch("SELECT rule, SUM(count) AS n FROM link_incident GROUP BY rule")
        return {row["rule"]: int(row["n"]) for row in rows}

    async def posts(self) -> list[Json]:
        return await db.fetch(
            "SELECT p.id, p.attested_by_id, a.uri AS author FROM post p JOIN actor a ON a.id = p.author_id"
            " WHERE p.space_id = $1 AND p.deleted_at IS NULL ORDER BY p.id",
            self.id,
        )


@pytest.fixture
async def theirs(closed: Here, kestrel: OtherServer, merle: OtherServer) -> Theirs:
    pin = await linked(kestrel)
    group = kestrel.actor("cevennes", "Group", "/spaces/cevennes")
    group.publish(followers=f"{group.uri}/members")
    space_id = await mirrored(group, closed.alice)
    return Theirs(closed, pin, group, kestrel.actor("chloe"), merle.actor("mia"), space_id)


# --- RR1: who, where, under which policy ----------------------------------------------------------


async def test_RR1_a_relay_of_an_older_policy_than_the_one_known_is_refused(theirs: Theirs) -> None:
    assert await theirs.take(theirs.announce(theirs.create(theirs.chloe), **{"parvis:policyEpoch": 7})) == ""
    [space] = await db.fetch("SELECT epoch FROM space WHERE id = $1", theirs.id)
    assert space["epoch"] == 7
    for epoch in (6, 0, None, "8", -1, True):
        why = await theirs.nothing(theirs.announce(theirs.create(theirs.chloe), **{"parvis:policyEpoch": epoch}))
        assert "policy" in why
    assert await theirs.take(theirs.announce(theirs.create(theirs.chloe), **{"parvis:policyEpoch": 7})) == ""
    assert await theirs.rules() == {"RR1": 6}


async def test_RR1_a_space_that_was_never_shared_with_us_tells_us_nothing(theirs: Theirs) -> None:
    stray = theirs.pin.server.actor("vosges", "Group", "/spaces/vosges")
    theirs.group = stray
    await theirs.nothing(theirs.announce(theirs.create(theirs.chloe)))
    assert (await theirs.rules())["hidden"] == 1


# --- RR2: intersection ----------------------------------------------------------------------------


async def test_RR2_a_member_whom_the_host_does_not_name_reads_nothing_until_it_is_settled(theirs: Theirs) -> None:
    bruno = theirs.here.bruno
    await enter(theirs.id, bruno.actor_id)
    alice = theirs.here.person("alice")
    around = {"to": [alice], "parvis:membersRoot": root_of([alice]), "parvis:membersCount": 1}
    assert await theirs.take(theirs.announce(theirs.create(theirs.chloe), **around)) == ""
    [post] = await theirs.posts()
    assert (await reading_posts.find(theirs.here.alice, post["id"])).id == post["id"]
    assert await reading_posts.readable(bruno, [post["id"]]) == set()
    await members(theirs, [alice])
    await upkeep.work_off(theirs.here.instance)
    assert [job["error"] for job in await db.fetch("SELECT error FROM job")] == [""]
    rows = await db.fetch("SELECT actor_id, state FROM membership WHERE space_id = $1", theirs.id)
    assert rows == [{"actor_id": theirs.here.alice.actor_id, "state": "member"}]


async def members(theirs: Theirs, uris: list[str], epoch: int = 1, **changes: Any) -> None:
    """What the host's list of our members says, on two pages."""
    address = f"{theirs.group.uri}/members?host={theirs.here.instance.here.host}"
    half = (len(uris) + 1) // 2
    whole = {"id": address, "type": "OrderedCollection", "totalItems": len(uris), "parvis:policyEpoch": epoch}
    page = {"type": "OrderedCollectionPage", "partOf": address, "parvis:policyEpoch": epoch}
    first, second = f"{theirs.group.uri}/members/1", f"{theirs.group.uri}/members/2"
    bodies = {
        f"{theirs.group.uri}/members": {**whole, "first": first},
        first: {**page, "id": first, "orderedItems": uris[:half], "next": second},
        second: {**page, "id": second, "orderedItems": uris[half:], **changes},
    }
    for at, document in bodies.items():
        theirs.group.server.serve(at, document)


async def test_I5_what_comes_late_is_read_by_those_who_were_in_when_it_was_dated(theirs: Theirs) -> None:
    """After an outage, or asked for again: what a host dates before somebody came in is not theirs."""
    alice, bruno = theirs.here.alice, theirs.here.bruno
    await enter(theirs.id, bruno.actor_id)
    came = now_ms()
    for actor_id, at in ((alice.actor_id, came - 50), (bruno.actor_id, came)):
        await db.execute("UPDATE membership SET since_at = $1 WHERE actor_id = $2", at, actor_id)
    read: list[tuple[bool, bool]] = []
    for dated in (came - 60, came - 1, came, None):
        around: Json = {"parvis:published": moment(dated)} if dated else {}
        said = theirs.create(theirs.chloe, published=moment(came - 2))
        assert await theirs.take(theirs.announce(said, **around)) == ""
        newest = (await theirs.posts())[-1]["id"]
        read.append((newest in await reading_posts.readable(alice, [newest]), await there(bruno, newest)))
    assert read == [(False, False), (True, False), (True, True), (True, False)]
    theirs.group.publish(**{"parvis:newcomersFrom": moment(came - 1)})
    update = theirs.group.says("Update", theirs.group.document)
    assert await theirs.take(update) == ""
    assert [await there(bruno, post["id"]) for post in await theirs.posts()] == [False, True, True, False]
    for told in (None, 5, "1970"):
        theirs.group.publish(**{"parvis:newcomersFrom": told})
        assert await theirs.take(theirs.group.says("Update", theirs.group.document)) == ""
        assert [await there(bruno, post["id"]) for post in await theirs.posts()] == [False, False, True, False]


async def test_D3_what_comes_late_stands_among_what_is_of_its_time(theirs: Theirs) -> None:
    """After an outage, and when a past is told to somebody new: what is of today is not below a month of it."""
    now, day = now_ms(), 24 * 3_600_000
    await db.execute("UPDATE membership SET since_at = 0 WHERE peer_id IS NULL")
    dates = [now - 5, now - 30 * day, now - 30 * day, now - 40 * day, now - 3_000_000, now - 20 * 365 * day]
    for dated in dates:
        said = theirs.create(theirs.chloe, published=moment(dated))
        assert await theirs.take(theirs.announce(said, **{"parvis:published": moment(dated)})) == ""
    by_id = {post["id"]: dated for post, dated in zip(await came(), dates, strict=True)}
    same = [post["id"] for post in await came()]
    for listed in (
        await timelines.home(theirs.here.alice, timelines.Window()),
        await timelines.of_space(theirs.here.alice, theirs.id, timelines.Window()),
    ):
        order = [by_id[post.id] for post in listed]
        assert order[:2] == [dates[4], dates[0]], "what is not late in the order in which it came"
        assert order[2:] == sorted(order[2:], reverse=True)
        assert [post.id for post in listed if by_id[post.id] == dates[1]] == [same[2], same[1]]


async def came() -> list[Json]:
    """Posts in the order in which they came, whatever their date."""
    return await db.fetch("SELECT e.post_id AS id FROM event e WHERE e.kind = 'post_published' ORDER BY e.id")


async def there(viewer: Viewer, post_id: int) -> bool:
    try:
        return (await reading_posts.find(viewer, post_id)).id == post_id
    except NotFound:
        return False


# --- RR3: authors ---------------------------------------------------------------------------------


async def test_RR3_a_third_author_with_a_passport_is_attested_and_nobody_asks_their_instance(theirs: Theirs) -> None:
    proved = theirs.mia.proved(theirs.create(theirs.mia))
    around = {"parvis:passport": theirs.card(theirs.mia)}
    assert await theirs.take(theirs.announce(proved, **around)) == ""
    [post] = await theirs.posts()
    [kestrel] = await db.fetch("SELECT peer_id AS id FROM link")
    assert post == {"id": post["id"], "attested_by_id": kestrel["id"], "author": theirs.mia.uri}
    [row] = await db.fetch("SELECT display_name, keys, fetched_at FROM actor WHERE uri = $1", theirs.mia.uri)
    assert row == {"display_name": "Mia", "keys": "[]", "fetched_at": None}, "its keys are the host's word only"
    assert theirs.mia.server.there.requests == []


async def test_RR3_no_other_passport_counts(theirs: Theirs) -> None:
    mia, chloe = theirs.mia, theirs.chloe
    proved = mia.proved(theirs.create(mia))
    other = PrivateKey(theirs.pin.ed.key_id, chloe.ed.key)
    expired: Json = {"parvis:validUntil": moment(now_ms() - 1)}
    forged = theirs.card(mia) | {"name": "Somebody"}
    swapped = theirs.card(mia, assertionMethod=chloe.document["assertionMethod"])
    cards = [
        None,
        "x",
        theirs.card(chloe),
        theirs.card(mia, other),
        theirs.card(mia, mia.ed),
        theirs.card(mia, **expired),
        forged,
        swapped,
        theirs.card(mia, type="Person"),
        {key: value for key, value in theirs.card(mia).items() if key != "proof"},
    ]
    for card in cards:
        await theirs.nothing(theirs.announce(proved, **{"parvis:passport": card}))
    unproved = theirs.create(mia)
    await theirs.nothing(theirs.announce(unproved, **{"parvis:passport": theirs.card(mia)}))
    assert (await theirs.rules())["RR3"] == len(cards) + 1
    assert mia.server.there.requests == []


async def test_RR3_where_a_space_asks_for_no_proofs_the_hosts_word_is_enough(theirs: Theirs) -> None:
    await db.execute("UPDATE space SET proofs = $1 WHERE id = $2", False, theirs.id)
    bare = theirs.create(theirs.mia)
    assert await theirs.take(theirs.announce(bare, **{"parvis:passport": theirs.card(theirs.mia)})) == ""
    [post] = await theirs.posts()
    assert post["attested_by_id"] is not None
    await theirs.nothing(theirs.announce(theirs.create(theirs.mia)))


async def test_RR3_a_key_that_their_own_origin_published_is_stronger_than_any_passport(theirs: Theirs) -> None:
    await met(theirs.mia)
    forger = theirs.mia.server.actor("forger")
    forged = dict(with_proof(theirs.create(theirs.mia), PrivateKey(theirs.mia.ed.key_id, forger.ed.key), now_ms()))
    keys = [{**theirs.mia.document["assertionMethod"][0], "publicKeyMultibase": forger.ed.public("x").to_multikey()}]
    await theirs.nothing(theirs.announce(forged, **{"parvis:passport": theirs.card(theirs.mia, assertionMethod=keys)}))
    assert await theirs.take(theirs.announce(theirs.mia.proved(theirs.create(theirs.mia)))) == ""
    [post] = await theirs.posts()
    assert post["attested_by_id"] is None, "proved with her own key"


async def test_RR3_what_names_another_space_or_the_public_is_not_shown(theirs: Theirs) -> None:
    for note in ({"audience": "https://x.example", "to": ["https://x.example"]}, {"cc": [PUBLIC]}):
        await theirs.nothing(theirs.announce(theirs.create(theirs.chloe, **note)))


async def test_RR3_our_own_words_that_we_never_sent_are_counted_and_not_shown(theirs: Theirs) -> None:
    alice = theirs.here.person("alice")
    note = {"id": f"{theirs.here.base}/posts/1", "type": "Note", "attributedTo": alice, "content": "forged"}
    inner = {"id": f"{theirs.here.base}/activities/1", "type": "Create", "actor": alice, "object": note}
    assert "never said" in await theirs.nothing(theirs.announce(inner))
    assert await theirs.rules() == {"RR3": 1}
    post_id = await publish(theirs.here.alice, Draft("nos mots", theirs.id), theirs.here.instance.here)
    [event] = await db.fetch("SELECT id FROM event WHERE post_id = $1", post_id)
    echo = {**inner, "id": theirs.here.instance.here.activity(event["id"])}
    assert await theirs.take(theirs.announce(echo)) == ""
    assert await theirs.rules() == {"RR3": 1}


# --- RR4: owners ----------------------------------------------------------------------------------


async def test_RR4_a_gesture_that_was_taken_back_does_not_come_back(theirs: Theirs) -> None:
    """The host holds a proved Like for ever; its author's Undo counts for ever too."""
    create = theirs.create(theirs.chloe)
    assert await theirs.take(theirs.announce(create)) == ""
    card = {"parvis:passport": theirs.card(theirs.mia)}
    like = theirs.mia.proved(theirs.mia.says("Like", create["object"]["id"]))
    assert await theirs.take(theirs.announce(like, **card)) == ""
    assert len(await db.fetch("SELECT id FROM reaction")) == 1
    undo = theirs.mia.proved(theirs.mia.says("Undo", {"id": like["id"], "type": "Like", "object": like["object"]}))
    assert await theirs.take(theirs.announce(undo, **card)) == ""
    assert await theirs.take(theirs.announce(like, **card)) == ""
    assert await db.fetch("SELECT id FROM reaction") == []
    again = theirs.mia.proved(theirs.mia.says("Like", create["object"]["id"]))
    assert await theirs.take(theirs.announce(again, **card)) == ""
    assert len(await db.fetch("SELECT id FROM reaction")) == 1, "she may think again"


async def test_RR4_only_its_owner_takes_a_thing_back(theirs: Theirs) -> None:
    create = theirs.create(theirs.chloe)
    assert await theirs.take(theirs.announce(create)) == ""
    card = {"parvis:passport": theirs.card(theirs.mia)}
    for kind in ("Delete", "Update", "Undo"):
        await theirs.nothing(theirs.announce(theirs.mia.proved(theirs.mia.says(kind, create["object"])), **card))
    assert len(await theirs.posts()) == 1


async def test_I8_what_one_host_attests_of_somebody_counts_in_its_own_spaces_alone(
    theirs: Theirs, inconnu: OtherServer
) -> None:
    """Of people whom we know by passports alone each host names the key that proves them: another one took back here
    what they had written in a space that is not its own.
    """
    pin, group = await linked(inconnu), inconnu.actor("solstice", "Group", "/spaces/solstice")
    other = Theirs(theirs.here, pin, group, inconnu.actor("eve"), theirs.mia, await mirrored(group, theirs.here.alice))
    mia, create = theirs.mia, theirs.create(theirs.mia)
    around = {"parvis:passport": theirs.card(mia)}
    assert await theirs.take(theirs.announce(mia.proved(create), **around)) == ""
    like = mia.says("Like", create["object"]["id"])
    assert await theirs.take(theirs.announce(mia.proved(like), **around)) == ""
    forged: Json = {"id": mia.ed.key_id, "type": "Multikey", "controller": mia.uri}
    forged["publicKeyMultibase"] = other.chloe.ed.public(mia.uri).to_multikey()
    card = other.card(mia, assertionMethod=[forged])

    def in_her_name(kind: str, what: Any) -> Json:
        proved = with_proof(mia.says(kind, what), PrivateKey(mia.ed.key_id, other.chloe.ed.key), now_ms())
        return other.announce(dict(proved), **{"parvis:passport": card})

    undo = {"id": like["id"], "type": "Like", "object": like["object"]}
    for kind, what in (("Delete", create["object"]["id"]), ("Undo", undo), ("Undo", like["id"])):
        await other.nothing(in_her_name(kind, what))
    later = theirs.create(mia)
    assert await other.take(in_her_name("Delete", later["object"]["id"])) == "", "remembered, of what is told there"
    assert await theirs.take(theirs.announce(mia.proved(later), **around)) == ""
    assert len(await theirs.posts()) == 2
    forged_name = other.card(mia, assertionMethod=[forged], name="La direction")
    said = with_proof(other.create(mia), PrivateKey(mia.ed.key_id, other.chloe.ed.key), now_ms())
    assert await other.take(other.announce(dict(said), **{"parvis:passport": forged_name})) == ""
    shown = [(await theirs.posts())[0]["id"], (await other.posts())[0]["id"]]
    cards = await reading_posts.cards(theirs.here.alice, shown)
    assert [card.author.display_name for card in cards] == ["Mia", "La direction"], "each as its host says"
    early = other.create(mia)
    assert await other.take(in_her_name("Delete", early["object"]["id"])) == ""
    late = dict(with_proof(early, PrivateKey(mia.ed.key_id, other.chloe.ed.key), now_ms()))
    assert "taken back" in await other.nothing(other.announce(late, **{"parvis:passport": card}))


async def test_I8_whoever_tells_first_under_a_guessed_id_does_not_keep_its_author_from_being_heard(
    theirs: Theirs, inconnu: OtherServer
) -> None:
    """Of people whom we know by passports alone: the true post was taken as known already, and shown nowhere."""
    pin, group = await linked(inconnu), inconnu.actor("solstice", "Group", "/spaces/solstice")
    other = Theirs(theirs.here, pin, group, inconnu.actor("eve"), theirs.mia, await mirrored(group, theirs.here.alice))
    mia, card = theirs.mia, {"parvis:passport": theirs.card(theirs.mia)}
    forged: Json = {"id": mia.ed.key_id, "type": "Multikey", "controller": mia.uri}
    forged["publicKeyMultibase"] = other.chloe.ed.public(mia.uri).to_multikey()
    first = {"parvis:passport": other.card(mia, assertionMethod=[forged])}
    true, guessed = theirs.create(mia), other.create(mia)
    guessed["object"]["id"] = true["object"]["id"]
    said = dict(with_proof(guessed, PrivateKey(mia.ed.key_id, other.chloe.ed.key), now_ms()))
    assert await other.take(other.announce(said, **first)) == ""
    assert "another host" in await theirs.nothing(theirs.announce(mia.proved(true), **card)), "its host learns of it"
    await met(mia)
    assert await theirs.take(theirs.announce(mia.proved(true), **card)) == ""
    assert [post["attested_by_id"] for post in await theirs.posts()] == [None] and await other.posts() == []
    assert await theirs.take(theirs.announce(mia.proved(true), **card)) == "", "and once"
    assert len(await theirs.posts()) == 1


# --- RR5: whom we ask -----------------------------------------------------------------------------


async def test_RR5_what_an_answer_answers_is_asked_of_the_host_alone(theirs: Theirs) -> None:
    card = {"parvis:passport": theirs.card(theirs.mia)}
    parent = theirs.mia.proved(theirs.create(theirs.mia))
    copy = f"{theirs.group.server.base}/posts/1/replica"
    theirs.group.server.serve(copy, theirs.announce(parent, **card))
    reply = theirs.create(theirs.chloe, inReplyTo=parent["object"]["id"])
    assert await theirs.take(theirs.announce(reply, **{"parvis:parent": copy})) == ""
    for _ in range(3):
        await upkeep.work_off(theirs.here.instance)
        await theirs.here.process()
        await db.execute("UPDATE job SET due_at = 0")
    child, above = await theirs.posts()
    [row] = await db.fetch("SELECT reply_to_id, root_id FROM post WHERE id = $1", child["id"])
    assert row == {"reply_to_id": above["id"], "root_id": above["id"]} and above["author"] == theirs.mia.uri
    assert theirs.mia.server.there.requests == []
    [asked] = [request for request in theirs.group.server.there.requests if request.path == "/posts/1/replica"]
    assert "signature-input" in asked.headers
    assert await db.fetch("SELECT id FROM job WHERE done_at IS NULL") == []


async def test_an_answer_that_came_before_its_question_stands_under_it_once_that_comes(theirs: Theirs) -> None:
    """As when the past is opened later; and the answers to it are of the same thread then."""
    question = theirs.create(theirs.chloe)
    answer = theirs.create(theirs.chloe, inReplyTo=question["object"]["id"])
    further = theirs.create(theirs.chloe, inReplyTo=answer["object"]["id"])
    for told in (answer, further, question):
        assert await theirs.take(theirs.announce(told)) == ""
    rows = await db.fetch("SELECT id, uri, reply_to_id, root_id FROM post")
    ids = {row["uri"]: row["id"] for row in rows}
    asked, answered, more = (ids[told["object"]["id"]] for told in (question, answer, further))
    assert {row["id"]: (row["reply_to_id"], row["root_id"]) for row in rows} == {
        asked: (None, None),
        answered: (asked, asked),
        more: (answered, asked),
    }


async def test_RR5_a_copy_elsewhere_or_of_something_else_is_not_taken(theirs: Theirs) -> None:
    strange = f"{theirs.mia.server.base}/posts/1/replica"
    reply = theirs.create(theirs.chloe, inReplyTo=theirs.mia.server.new("notes"))
    assert await theirs.take(theirs.announce(reply, **{"parvis:parent": strange})) == ""
    assert await db.fetch("SELECT id FROM job") == [] and theirs.mia.server.there.requests == []
    copy = f"{theirs.group.server.base}/posts/2/replica"
    theirs.group.server.serve(copy, theirs.chloe.says("Announce", theirs.create(theirs.chloe)))
    again = theirs.create(theirs.chloe, inReplyTo=theirs.mia.server.new("notes"))
    assert await theirs.take(theirs.announce(again, **{"parvis:parent": copy})) == ""
    await upkeep.work_off(theirs.here.instance)
    await theirs.here.process()
    [job] = await db.fetch("SELECT done_at, error FROM job")
    assert job["done_at"] and "another answer" in job["error"] and len(await theirs.posts()) == 2


async def test_RR5_a_file_of_a_third_author_comes_from_the_host_with_its_digest(theirs: Theirs) -> None:
    """The bytes that are not those the author declared are refused, and the administrator sees it."""
    words = b"les plans du parvis"
    digest = encode_multibase(b"\x12\x20" + sha256(words).digest())
    away = f"{theirs.mia.server.base}/media/9/plan.txt"
    document = {"type": "Document", "mediaType": "text/plain", "url": away, "digestMultibase": digest, "size": 19}
    card = {"parvis:passport": theirs.card(theirs.mia)}
    for served, state in ((words, "ready"), (b"autre chose", "failed")):
        create = theirs.mia.proved(theirs.create(theirs.mia, attachment=[document]))
        copy = theirs.group.server.new("media")
        theirs.group.server.scene(
            copy.removeprefix(theirs.group.server.base), answer(served, "Content-Type: text/plain")
        )
        around = {**card, "parvis:media": [{"url": away, "parvis:replica": copy}]}
        assert await theirs.take(theirs.announce(create, **around)) == ""
        await files.fetch_waiting(theirs.here.instance)
        [file] = await db.fetch("SELECT state, source_uri FROM attachment ORDER BY id DESC LIMIT 1")
        assert file == {"state": state, "source_uri": copy}
    assert (await theirs.rules())["digest"] == 1
    for elsewhere in (away, "http://127.0.0.7/x", ""):
        create = theirs.mia.proved(theirs.create(theirs.mia, attachment=[document]))
        around = {**card, "parvis:media": [{"url": away, "parvis:replica": elsewhere}]}
        assert await theirs.take(theirs.announce(create, **around)) == ""
    states = await db.fetch("SELECT state FROM attachment ORDER BY id DESC LIMIT 3")
    assert states == [{"state": "failed"}] * 3 and theirs.mia.server.there.requests == []


async def test_a_picture_that_is_taken_back_on_its_way_leaves_nothing_here(theirs: Theirs) -> None:
    away = theirs.group.server.new("media")
    document = {"type": "Document", "mediaType": "image/png", "url": away, "size": 500}
    folder = theirs.here.instance.settings.files_dir

    async def taken_back(writer: asyncio.StreamWriter) -> None:
        [post] = await db.fetch("SELECT id FROM post ORDER BY id DESC LIMIT 1")
        await file_bytes.leave(post["id"])
        writer.write(answer(worded("canari"), "Content-Type: image/png"))

    theirs.group.server.scene(away.removeprefix(theirs.group.server.base), taken_back)
    create = theirs.mia.proved(theirs.create(theirs.mia, attachment=[document]))
    around = {"parvis:media": [{"url": away, "parvis:replica": away}]}
    card = {"parvis:passport": theirs.card(theirs.mia)}
    assert await theirs.take(theirs.announce(create, **card, **around)) == ""
    await files.fetch_waiting(theirs.here.instance)
    assert [path for path in folder.rglob("*") if path.is_file()], "the bytes have come"
    await file_bytes.drop(folder)
    assert not [path for path in folder.rglob("*") if path.is_file()]


# --- RR6, RR7: what leaves ------------------------------------------------------------------------


async def test_RR6_what_ours_do_in_a_space_elsewhere_goes_to_its_host_alone(theirs: Theirs) -> None:
    card = {"parvis:passport": theirs.card(theirs.mia)}
    create = theirs.mia.proved(theirs.create(theirs.mia))
    assert await theirs.take(theirs.announce(create, **card)) == ""
    [post] = await theirs.posts()
    here = theirs.here
    await publish(here.alice, Draft("ma réponse", theirs.id, reply_to_id=post["id"]), here.instance.here)
    await react(here.alice, post["id"], "👍")
    while await sequence_waiting(here.instance):
        pass
    rows = await db.fetch("SELECT q.host, d.inbox FROM delivery d JOIN peer q ON q.id = d.peer_id")
    assert [(row["host"], row["inbox"]) for row in rows] == [(theirs.pin.server.host, f"{theirs.group.uri}/inbox")] * 2


async def test_RR7_naming_a_stranger_in_a_restricted_space_sends_them_nothing(theirs: Theirs) -> None:
    """Neither followers elsewhere nor whoever is named hears of it: the name stays plain text."""
    here = theirs.here
    await met(theirs.mia)
    follow = {"follower_id": await met(theirs.mia), "followed_id": here.alice.actor_id, "state": "accepted"}
    await db.insert("follow", {"id": 1, "created_at": 1, **follow})
    handle = f"@mia@{theirs.mia.server.host}"
    post_id = await publish(here.alice, Draft(f"vu avec {handle} et @bruno", theirs.id), here.instance.here)
    while await sequence_waiting(here.instance):
        pass
    assert await db.fetch("SELECT id FROM mention") == [] and await db.fetch("SELECT id FROM notice") == []
    [row] = await db.fetch("SELECT html FROM post WHERE id = $1", post_id)
    assert handle in row["html"] and "<a" not in row["html"]
    hosts = await db.fetch("SELECT q.host FROM delivery d JOIN peer q ON q.id = d.peer_id")
    assert hosts == [{"host": theirs.pin.server.host}]


# --- what we add when we are the host -------------------------------------------------------------


async def test_a_relay_carries_all_that_its_receiver_needs(
    closed: Here, kestrel: OtherServer, merle: OtherServer
) -> None:
    pin, other = await linked(kestrel), await linked(merle)
    chloe, mia = kestrel.actor("chloe"), merle.actor("mia")
    space_id = await closed.open_space("projet", Level.PARTNERS, kestrel, merle)
    await enter(space_id, await met(chloe), kestrel)
    await enter(space_id, await met(mia), merle)
    uri = closed.space("projet")
    first = await publish(closed.alice, Draft("ordre du jour", space_id), closed.instance.here)
    said: Json = {"to": [uri, f"{uri}/members"], "audience": uri, "inReplyTo": closed.instance.here.post(first)}
    away = f"{merle.base}/media/1/plan.txt"
    note = mia.note(**said, attachment=[{"type": "Document", "mediaType": "text/plain", "url": away}])
    activity = mia.proved(mia.says("Create", note, to=said["to"], audience=uri))
    assert await closed.take(activity, other.ed) == ""
    while await sequence_waiting(closed.instance):
        pass
    [event] = await db.fetch("SELECT id, post_id FROM event WHERE original <> ''")
    peers = {row["host"]: row["id"] for row in await db.fetch("SELECT id, host FROM peer")}
    sealed = await compose(closed.instance, event["id"], Receiver(peers[kestrel.host], kestrel.host, True))
    assert sealed is not None
    told = json.loads(sealed.body)
    assert told["object"] == activity, "byte for byte what she signed"
    assert told["parvis:policyEpoch"] == 1 and told["parvis:membersCount"] == 1
    assert told["parvis:membersRoot"] == root_of([chloe.uri]) and chloe.uri in told["to"]
    assert told["parvis:replica"] == f"{closed.instance.here.post(event['post_id'])}/replica"
    assert told["parvis:parent"] == f"{closed.instance.here.post(first)}/replica"
    [copy] = told["parvis:media"]
    assert copy["url"] == away and copy["parvis:replica"].startswith(f"{closed.base}/media/")
    card = told["parvis:passport"]
    assert card["id"] == mia.uri and card["assertionMethod"][0]["publicKeyMultibase"] == mia.ed.public("").to_multikey()
    assert card == await passport(closed.instance, mia.uri), "made once, as long as nothing changes"
    mine = await compose(closed.instance, event["id"], Receiver(peers[merle.host], merle.host, True))
    assert mine is not None and b"parvis:passport" not in mine.body, "nobody needs their own"
    assert pin


async def test_what_ours_write_in_a_space_that_asks_for_no_proofs_carries_none(theirs: Theirs) -> None:
    bodies = []
    for proofs in (True, False):
        await db.execute("UPDATE space SET proofs = $1 WHERE id = $2", proofs, theirs.id)
        post_id = await publish(theirs.here.alice, Draft("nos mots", theirs.id), theirs.here.instance.here)
        [event] = await db.fetch("SELECT id FROM event WHERE post_id = $1", post_id)
        sealed = await compose(theirs.here.instance, event["id"], Receiver(1, theirs.pin.server.host, True))
        assert sealed is not None
        bodies.append(sealed.body)
    assert b'"proof"' in bodies[0] and b'"proof"' not in bodies[1]


# --- what one instance can make us keep, and pretend ----------------------------------------------


async def test_what_is_taken_back_before_it_came_is_remembered_so_many_times(
    theirs: Theirs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.actions.arriving.WITHDRAWALS_PER_PEER", 3)
    creates = [theirs.create(theirs.chloe) for _ in range(5)]
    for create in creates:
        assert await theirs.take(theirs.announce(theirs.chloe.says("Delete", create["object"]["id"]))) == ""
    assert len(await db.fetch("SELECT id FROM withdrawal")) == 3
    assert "taken back" in await theirs.nothing(theirs.announce(creates[4]))
    assert await theirs.take(theirs.announce(creates[0])) == "", "so long ago that nobody remembers"


async def test_I5_R20_a_date_only_takes_readers_away_however_late_and_often_a_post_comes(
    closed: Here, kestrel: OtherServer
) -> None:
    """A host that was put back is told again what it lost, after whoever came in meanwhile (I5)."""
    pin, chloe = await linked(kestrel), kestrel.actor("chloe")
    space_id = await closed.open_space("projet", Level.PARTNERS, kestrel)
    await enter(space_id, await met(chloe), kestrel)
    uri = closed.space("projet")
    said: Json = {"to": [uri, f"{uri}/members"], "audience": uri}
    lost, began = now_ms() - 9, now_ms()
    dan_id = await met(kestrel.actor("dan"))
    await enter(space_id, dan_id, kestrel)
    await db.execute("UPDATE membership SET since_at = $1 WHERE peer_id IS NOT NULL", lost + 2)
    newest: Json = {}
    for published, kept in ((lost + 3, lost + 3), (lost, lost), (5, 5), (now_ms() + 1_000_000, None)):
        newest = chloe.note(**said, published=moment(published))
        assert await closed.take(chloe.says("Create", newest, **said), pin.ed) == ""
        [row] = await db.fetch("SELECT published_at FROM post ORDER BY id DESC LIMIT 1")
        assert row["published_at"] == kept if kept else began <= row["published_at"] <= now_ms()
    [peer] = await db.fetch("SELECT peer_id AS id FROM membership WHERE actor_id = $1", dan_id)
    readable = await reading_posts.readable(
        RemotePerson(dan_id, peer["id"], linked=True), [row["id"] for row in await db.fetch("SELECT id FROM post")]
    )
    dates = {row["id"]: row["published_at"] for row in await db.fetch("SELECT id, published_at FROM post")}
    assert sorted(dates[post_id] > lost for post_id in readable) == [True, True], "what was lost was never Dan's"
    answer = chloe.note(**said, published=moment(7), inReplyTo=newest["id"])
    assert await closed.take(chloe.says("Create", answer, **said), pin.ed) == ""
    last, before = await db.fetch("SELECT published_at FROM post ORDER BY id DESC LIMIT 2")
    assert last == before, "whoever reads a question reads the answer of somebody whose clock is late"


async def test_a_follower_without_a_link_waits_for_the_person_and_one_of_a_partner_does_not(
    here: Here, kestrel: OtherServer, inconnu: OtherServer
) -> None:
    pin, chloe, eve = await linked(kestrel), kestrel.actor("chloe"), inconnu.actor("eve")
    alice = here.person("alice")
    await met(chloe)
    assert await here.take(chloe.says("Follow", alice), pin.ed) == ""
    assert await here.take(eve.says("Follow", alice), eve.ed) == ""
    assert await here.take(eve.says("Follow", alice), eve.ed) == "", "again: the same"
    rows = await db.fetch("SELECT a.name, f.state FROM follow f JOIN actor a ON a.id = f.follower_id ORDER BY a.name")
    assert {row["name"]: row["state"] for row in rows} == {"chloe": "accepted", "eve": "pending"}
    assert len(await db.fetch("SELECT id FROM event WHERE kind = 'follow_accepted'")) == 1
    follower = await met(eve)
    with pytest.raises(NotFound):
        await follows.decide(here.bruno, follower, accepted=True)
    await follows.decide(here.alice, follower, accepted=True)
    assert len(await db.fetch("SELECT id FROM event WHERE kind = 'follow_accepted'")) == 2
    await db.execute("UPDATE follow SET state = 'pending' WHERE follower_id = $1", follower)
    await follows.decide(here.alice, follower, accepted=False)
    assert await db.fetch("SELECT id FROM follow WHERE follower_id = $1", follower) == []
    assert len(await db.fetch("SELECT id FROM event WHERE kind = 'follow_rejected'")) == 1


async def test_I5_what_a_host_refused_is_not_told_it_again_because_it_forgot(theirs: Theirs) -> None:
    """A host that was put back lacks it as it lacks what it lost; whoever came in since would read it."""
    here = theirs.here.instance.here
    refused, lost = [await publish(theirs.here.alice, Draft(text, theirs.id), here) for text in "ab"]
    while await sequence_waiting(theirs.here.instance):
        pass
    [peer] = await db.fetch("SELECT peer_id AS id FROM space WHERE id = $1", theirs.id)
    of_post = "event_id IN (SELECT id FROM event WHERE post_id = $1)"
    await db.execute(f"UPDATE delivery SET state = 'sent', error = 'policy' WHERE {of_post}", refused)
    await db.execute(f"UPDATE delivery SET state = 'sent' WHERE {of_post}", lost)
    ours = {here.post(post): 0 for post in (refused, lost)}
    assert await resync._tell(peer["id"], resync.Shared(theirs.id, theirs.group.uri, hosted=False), ours, {}) == 1
    told = await db.fetch("SELECT post_id FROM event WHERE kind = 'post_published' ORDER BY id")
    assert [row["post_id"] for row in told] == [refused, lost, lost]


async def test_I3_the_past_is_not_told_ahead_of_who_was_let_in_to_it(closed: Here, kestrel: OtherServer) -> None:
    """An instance where nobody is in yet takes nothing of it, and is not told it again."""
    await linked(kestrel)
    await closed.open_space("reseau", Level.NETWORK, kestrel)
    chloe = await met(kestrel.actor("chloe"))
    [peer] = await db.fetch("SELECT peer_id AS id FROM actor WHERE id = $1", chloe)
    await db.execute("UPDATE peer SET peering = $1", f"{kestrel.base}/peering")
    while await sequence_waiting(closed.instance):
        pass
    await asked(RemotePerson(chloe, peer["id"], linked=True), closed.space("reseau"), kestrel.new("joins"))
    for compared in (False, False, True):
        assert await resync.resync_waiting(closed.instance) == 0, "they cannot be read yet, and are asked again"
        assert any("/peering/state" in request.path for request in kestrel.there.requests) == compared
        if not await sequence_waiting(closed.instance):
            await db.execute("UPDATE delivery SET state = 'sent'")
