"""A recall is neither lost nor answered too soon, whatever happens between its first word and its receipt."""

# ruff: noqa: F811 (fixtures that come from the neighbouring files)

import json
from dataclasses import replace
from typing import Any

import pytest

from federation import doctor
from federation.lost_inboxes import found_again
from federation.outbox import sequence_waiting
from federation.recalling import work_off
from federation.sending import take_due
from federation.signatures.keys import PrivateKey, generate_ed25519
from federation.signatures.proofs import with_proof
from federation.worker import Worker
from server import database as db
from server import files
from server.actions import file_bytes, link_keys, links, openness, timers
from server.actions.link_rows import TheirSide
from server.actions.openness import Door, How
from server.actions.posts import Draft, publish, withdraw
from server.actions.spaces import name_partner, set_openness, unname_partner
from server.clock import now_ms
from server.ids import new_id
from server.openness import History, Level
from server.queries.recalls import listed, undone
from server.recall_terms import root_of
from server.viewer import Operator
from tests.federation.hostile.test_recalls import Theirs, theirs  # noqa: F401
from tests.federation.hostile.test_receipts import Asked, asked, sent, shared  # noqa: F401
from tests.federation.stranger import CANARY, Here, Json, OtherServer, enter, everything, met

pytestmark = pytest.mark.anyio


def once_more(theirs: Theirs, recall: Json) -> Json:
    """The same recall as it is told again: a new activity about it."""
    bare = {name: value for name, value in recall.items() if name != "proof"}
    return dict(with_proof(bare | {"id": theirs.group.server.new("activities")}, theirs.pin.ed, now_ms()))


# --- what our own instance answers -----------------------------------------------------------------


async def test_what_is_asked_again_is_answered_by_an_activity_of_its_own(theirs: Theirs) -> None:
    """Its host takes an activity once: an answer that it could make nothing of the first time was never heard."""
    recall = theirs.recall([await theirs.tells()])
    assert await theirs.here.take(recall, theirs.pin.ed) == ""
    first = await theirs.purged()
    assert await theirs.here.take(once_more(theirs, recall), theirs.pin.ed) == ""
    second = await theirs.purged()
    assert first is not None and second is not None and first["id"] != second["id"]
    assert {name: first[name] for name in ("inReplyTo", "parvis:root", "parvis:purged", "endTime")} == {
        name: second[name] for name in ("inReplyTo", "parvis:root", "parvis:purged", "endTime")
    }


async def test_a_recall_of_a_space_that_is_not_known_here_is_answered_all_the_same(
    theirs: Theirs, kestrel: OtherServer
) -> None:
    """Our database was put back to before we heard of it; its host shows us nothing of it any more."""
    group = kestrel.actor("oublié", "Group", "/spaces/oublie")
    del kestrel.there.scenes["/spaces/oublie"]
    forgotten = Theirs(theirs.here, theirs.pin, group, theirs.chloe, 0)
    uris = [kestrel.new("notes")]
    assert await theirs.here.take(forgotten.recall(uris), theirs.pin.ed) == ""
    receipt = await forgotten.purged()
    assert receipt is not None and receipt["parvis:root"] == root_of(uris)
    assert receipt["parvis:purged"]["items"] == 1 and receipt["parvis:retained"] == []


async def test_I4_as_whom_a_space_spoke_is_gone_with_what_it_said(theirs: Theirs) -> None:
    note = theirs.group.note("<p>bonjour</p>", audience=theirs.group.uri, to=[f"{theirs.group.uri}/members"])
    note["parvis:byline"] = CANARY
    create = theirs.group.says("Create", note, audience=theirs.group.uri, to=[f"{theirs.group.uri}/members"])
    announce = theirs.group.says("Announce", create, to=[f"{theirs.group.uri}/members"])
    assert await theirs.here.take(announce, theirs.pin.ed) == ""
    assert CANARY in str(await db.fetch("SELECT byline FROM post"))
    assert await theirs.here.take(theirs.recall([str(note["id"])]), theirs.pin.ed) == ""
    assert await theirs.purged() is not None
    assert CANARY not in str(await everything())


@pytest.mark.parametrize("scope", ["space", "item"])
async def test_I4_what_came_before_a_recall_and_waits_for_its_effect_is_gone_with_it(
    theirs: Theirs, scope: str
) -> None:
    """Its link stood still, or its author's key could not be had: a receipt was signed beside the words themselves."""
    uri = await theirs.tells("<p>avant</p>")
    for kind, attempts in (("Create", 0), ("Update", 5)):
        note = theirs.chloe.note(audience=theirs.group.uri, to=[f"{theirs.group.uri}/members"], id=uri)
        told = theirs.group.says("Announce", theirs.chloe.says(kind, note), to=[f"{theirs.group.uri}/members"])
        row = {"id": new_id(), "activity_hash": kind, "sender_uri": theirs.pin.ed.key_id, "linked": True, "seq": 1}
        ended = now_ms() if attempts else None
        [peer] = await db.fetch("SELECT peer_id FROM link")
        row |= {"peer_id": peer["peer_id"], "body": json.dumps(told), "attempts": attempts, "processed_at": ended}
        await db.insert("receipt", {**row, "received_at": now_ms()})
    await db.execute("UPDATE link SET state = 'suspended'")
    assert await theirs.here.take(theirs.recall([uri], scope=scope), theirs.pin.ed) == ""
    receipt = await theirs.purged()
    assert receipt is not None and CANARY not in str(await everything())


async def test_I4_no_receipt_is_signed_while_the_bytes_of_a_file_cannot_be_removed(
    theirs: Theirs, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri, folder = await theirs.tells(), theirs.here.instance.settings.files_dir
    path = folder.parent / "one"
    path.write_bytes(CANARY.encode())
    sha256 = files.store(folder, path, 1000).sha256
    [post] = await db.fetch("SELECT id, author_id FROM post WHERE uri = $1", uri)
    row = {"id": new_id(), "owner_id": post["author_id"], "post_id": post["id"], "name": "a.txt"}
    await db.insert("attachment", row | {"media_type": "text/plain", "sha256": sha256, "created_at": now_ms()})

    def refuses(*_: Any) -> None:
        raise OSError("read-only file system")

    with monkeypatch.context() as broken:
        broken.setattr(files, "remove", refuses)
        assert await theirs.here.take(theirs.recall([uri]), theirs.pin.ed) == ""
        assert await theirs.purged() is None
        assert await work_off(theirs.here.instance) == 0, "it is tried again later, and not all the time"
    [purge] = await db.fetch("SELECT state, reason FROM purge")
    assert purge["state"] == "files" and "read-only" in purge["reason"]
    await db.execute("UPDATE purge SET tries = 8")
    assert await undone(Operator()) == [(theirs.group.server.host, "read-only file system")]
    await file_bytes.expect("0" * 64)
    await db.execute("UPDATE job SET due_at = 1 WHERE key = $1", sha256)
    await db.execute("UPDATE purge SET next_at = 0")
    assert await theirs.purged() is None and not list(folder.rglob(sha256)), "somebody else's may be of this post"
    await db.execute("UPDATE job SET due_at = 1")
    await db.execute("UPDATE purge SET next_at = 0")
    assert await theirs.purged() is not None
    assert await undone(Operator()) == []


async def test_a_list_that_could_not_be_believed_is_looked_at_again_when_it_is_told_again(
    theirs: Theirs, kestrel: OtherServer
) -> None:
    """Its host was put in order meanwhile: what it said again was passed over, and kept here for ever."""
    uris, first = sorted([await theirs.tells(), await theirs.tells()]), kestrel.new("list")
    page = {"type": "OrderedCollectionPage", "orderedItems": uris[:1]}
    kestrel.serve(first, page)
    recall = theirs.recall(uris, scope="item")
    del recall["object"]["orderedItems"]
    recall["object"]["first"] = first
    assert await theirs.here.take(once_more(theirs, recall), theirs.pin.ed) == ""
    assert await theirs.purged() is None
    settings = theirs.here.instance.settings
    await db.disconnect()
    [told] = await doctor.recalls(settings)
    await db.connect(settings.database_url)
    assert f"{kestrel.host} takes back" in told.sentence and "root" in told.sentence
    kestrel.serve(first, page | {"orderedItems": uris})
    assert await theirs.here.take(once_more(theirs, recall), theirs.pin.ed) == ""
    receipt = await theirs.purged()
    assert receipt is not None and receipt["parvis:purged"]["items"] == 2
    assert CANARY not in str(await everything())


# --- what our own instance takes back ----------------------------------------------------------------


async def test_a_partner_whose_time_is_over_owes_what_it_has_whatever_the_policy_of_the_space(shared: Asked) -> None:
    """Where the rest of it no longer holds, the partner was put out, told nothing and asked for nothing."""
    await db.execute("UPDATE space SET seats = -1")
    await db.execute("UPDATE space_partner SET until_at = 1")
    assert await timers.run_due() == 1
    await work_off(shared.here.instance)
    assert (await shared.target()).items == 3
    assert len(await db.fetch("SELECT id FROM event WHERE kind = 'member_removed'")) == 1
    assert not await db.fetch("SELECT id FROM membership WHERE peer_id IS NOT NULL")
    assert await timers.run_due() == 0


async def test_what_is_on_its_way_to_a_server_without_a_link_is_taken_back_once_it_has_come(
    here: Here, kestrel: OtherServer
) -> None:
    """A post had left a moment before its space closed, and was answered a moment after the list was made."""
    space_id = await here.open_space("ouvert", Level.NETWORK)
    await enter(space_id, await met(kestrel.actor("chloe")), kestrel)
    await publish(here.alice, Draft("mot", space_id), here.instance.here)
    while await sequence_waiting(here.instance):
        pass
    await db.execute("UPDATE peer SET lease_until_at = $1", now_ms() + 30_000)
    await set_openness(here.alice, space_id, Level.CLOSED)
    assert await work_off(here.instance) == 0, "what became of it is not known yet"
    await db.execute("UPDATE delivery SET state = 'sent', attempts = 1 WHERE state = 'pending'")
    await db.execute("UPDATE peer SET lease_until_at = 0")
    for _ in range(3):
        await work_off(here.instance)
    while await sequence_waiting(here.instance):
        pass
    waiting = "SELECT e.kind FROM delivery d JOIN event e ON e.id = d.event_id WHERE d.state = 'pending'"
    assert [row["kind"] for row in await db.fetch(waiting)] == ["member_removed", "item_recalled"]


async def test_a_withdrawal_goes_where_a_post_was_answered_with_errors_until_it_was_put_aside(shared: Asked) -> None:
    """It may have come all the same, as recalls take it to have: who broke at it never heard that it was taken back."""
    await db.execute("UPDATE delivery SET state = 'dead', attempts = 5")
    await withdraw(shared.here.alice, int(shared.uris[0].rpartition("/")[2]))
    while await sequence_waiting(shared.here.instance):
        pass
    waiting = "SELECT e.kind FROM delivery d JOIN event e ON e.id = d.event_id WHERE d.state = 'pending'"
    assert [row["kind"] for row in await db.fetch(waiting)] == ["post_withdrawn"]


@pytest.mark.parametrize("how", ["state = 'pending', attempts = 1", "state = 'pending', number = 1", "state = 'dead'"])
async def test_what_may_have_arrived_is_taken_back_from_who_reads_less_of_the_past(shared: Asked, how: str) -> None:
    """It was tried, and the answer lost: what was not known to have come was left where it was.

    Who reads nothing of the past any more is still in: a recall of all of the space put them out there.
    """
    here = shared.here
    await db.execute("UPDATE space SET history = 'all', reach = 'everyone', opened_at = 1")
    await db.execute(f"UPDATE delivery SET {how}")
    await db.execute("UPDATE membership SET since_at = $1 WHERE peer_id IS NOT NULL", now_ms() + 1000)
    await openness.adjust(
        here.alice, shared.space_id, How(Door.PAGE), lambda policy: replace(policy, history=History.SINCE_JOINING)
    )
    await work_off(here.instance)
    [recall] = await listed(Operator())
    assert (recall.scope, recall.targets[0].items) == ("item", 3)


async def test_D9_what_was_told_after_a_clock_was_set_back_is_taken_back(shared: Asked) -> None:
    """The first recall seemed to be of later than what was told when the space was open again: there was no second."""
    here, host = shared.here, shared.pin.server.host
    await unname_partner(here.alice, shared.space_id, host)
    await db.execute("UPDATE recall SET created_at = created_at + 600000")
    await name_partner(here.alice, shared.space_id, host)
    await enter(shared.space_id, await met(shared.pin.server.actors["chloe"]), shared.pin.server)
    await sent(here, shared.space_id, 1)
    await links.end(Operator(), host)
    await work_off(here.instance)
    assert len(await db.fetch("SELECT id FROM recall")) == 2 and (await shared.target()).items == 4


@pytest.mark.parametrize("by", ["author", "steward"])
async def test_a_post_that_a_partner_asked_for_is_taken_back_like_one_that_it_was_told(shared: Asked, by: str) -> None:
    """A relay that it missed was had, and nobody knew that it had it."""
    here, post_id = shared.here, int(shared.uris[0].rpartition("/")[2])
    of_it = "(SELECT id FROM event WHERE post_id = $1)"
    await db.execute(f"DELETE FROM delivery WHERE event_id IN {of_it}", post_id)
    for _ in range(2):
        answer = await here.read(f"/posts/{post_id}/replica", shared.pin.ed)
        assert answer.status_code == 200
    told = await db.fetch(f"SELECT state FROM delivery WHERE event_id IN {of_it}", post_id)
    assert [row["state"] for row in told] == ["sent"]
    if by == "steward":
        await db.execute("UPDATE post SET author_id = $1 WHERE id = $2", here.bruno.actor_id, post_id)
    await withdraw(here.alice, post_id)
    while await sequence_waiting(here.instance):
        pass
    waiting = "SELECT e.kind FROM delivery d JOIN event e ON e.id = d.event_id WHERE d.state = 'pending'"
    assert [row["kind"] for row in await db.fetch(waiting)] == ["post_withdrawn"]
    if by == "steward":
        await work_off(here.instance)
        assert (await shared.target()).items == 1


# --- on the way ------------------------------------------------------------------------------------


def answers(server: OtherServer, path: str, status: int) -> None:
    server.scene(path, b"HTTP/1.1 %d X\r\ncontent-length: 2\r\n\r\n{}" % status)


async def turn(here: Here) -> None:
    """Whoever has something to be sent has one turn, whatever the schedule says."""
    while await sequence_waiting(here.instance):
        pass
    await db.execute("UPDATE peer SET due_at = 0, lease_until_at = 0")
    worker = Worker(here.instance)
    for peer in await take_due(worker.owner, 10):
        await worker._serve(peer)


@pytest.mark.parametrize(("status", "state"), [(410, "suspended"), (404, "ended"), (500, "confirmed")])
async def test_a_recall_is_not_put_aside_because_the_inbox_is_not_there_or_breaks(
    asked: Asked, status: int, state: str
) -> None:
    """A server that is set up anew answers so for a while: within seconds it was said to have refused."""
    server = asked.pin.server
    await db.execute("UPDATE link SET state = $1", state)
    for path in ("/actor", "/actor/inbox"):
        answers(server, path, status)
    for _ in range(7):
        await turn(asked.here)
        await work_off(asked.here.instance)
    assert (await asked.target()).state == "unreachable" and await asked.link_state() == state
    assert server.asked("/actor/inbox") == 7
    assert await db.fetch("SELECT id FROM actor WHERE gone_at IS NOT NULL") == []
    answers(server, "/actor/inbox", 202)
    await turn(asked.here)
    await work_off(asked.here.instance)
    assert (await asked.target()).state == "sent"


async def test_an_instance_is_not_gone_because_it_says_so_for_a_while(asked: Asked) -> None:
    """Whatever else was told it meanwhile: its receipt was refused for ever, for who signed it was no more."""
    server = asked.pin.server
    for path in ("/actor", "/actor/inbox"):
        answers(server, path, 410)
    [peer] = await db.fetch("SELECT peer_id FROM link")
    await db.execute("UPDATE link SET state = 'ended'")
    assert await found_again(asked.here.instance, peer["peer_id"], f"{server.base}/actor/inbox") != ""
    asked.pin.publish()
    assert await asked.here.take(await asked.receipt(), asked.pin.ed) == ""
    assert (await asked.target()).state == "confirmed"


async def test_a_recall_goes_by_itself_where_the_link_stands_still_on_the_other_side(asked: Asked) -> None:
    """It refuses the stream, and hears all the same what is taken back."""
    server = asked.pin.server
    await db.execute("UPDATE peer SET peering = $1", f"{server.base}/peering")
    answers(server, "/peering", 403)
    answers(server, "/actor/inbox", 202)
    for _ in range(2):
        await turn(asked.here)
    [told] = [request for request in server.there.requests if request.path == "/actor/inbox"]
    assert b"parvis:Recall" in told.body
    await work_off(asked.here.instance)
    assert (await asked.target()).state == "sent"


@pytest.mark.parametrize("stands_still", ["here", "there"])
async def test_a_receipt_goes_by_itself_while_the_link_stands_still(theirs: Theirs, stands_still: str) -> None:
    """On either side: a recall was answered when the link went on, which may be never."""
    server = theirs.group.server
    assert await theirs.here.take(theirs.recall([await theirs.tells()]), theirs.pin.ed) == ""
    assert await theirs.purged() is not None
    await db.execute("UPDATE peer SET peering = $1", f"{server.base}/peering")
    answers(server, "/peering", 403)
    answers(server, "/actor/inbox", 202)
    if stands_still == "here":
        await db.execute("UPDATE link SET state = 'suspended'")
    for _ in range(2):
        await turn(theirs.here)
    [told] = [request for request in server.there.requests if request.path == "/actor/inbox"]
    assert b"parvis:RecallReceipt" in told.body


# --- by whose key ----------------------------------------------------------------------------------


@pytest.mark.parametrize("step", ["offered", "compared anew"])
async def test_a_receipt_by_a_key_that_nobody_has_compared_confirms_nothing(asked: Asked, step: str) -> None:
    """Whoever holds the domain of a partner offers a link with a key of their own, and signs that all is gone."""
    here, pin, old = asked.here, asked.pin, asked.pin.ed
    [peer] = await db.fetch("SELECT id, host FROM peer WHERE host = $1", pin.server.host)
    evil = PrivateKey(old.key_id, generate_ed25519("evil").key)
    theirs = TheirSide(peer["id"], peer["host"], evil.key_id, evil.public(pin.uri).to_multikey())
    if step == "offered":
        await links.end(Operator(), peer["host"])
        await links.receive(theirs, pin.server.new("offers"), "c" * 32, here.instance.here)
        await links.receive(theirs, pin.server.new("offers"), "d" * 32, here.instance.here)
    else:
        await db.execute("UPDATE link SET state = 'suspended', cause = 'key'")
        await link_keys.compare_again(Operator(), theirs)
    pin.ed = evil
    pin.publish()
    assert await here.take(await asked.receipt(by=evil), evil) == ""
    target = await asked.target()
    assert (target.state, target.receipt) == ("waiting", "") and "pinned key" in target.reason
    assert await here.take(await asked.receipt(by=old), evil) == ""
    assert (await asked.target()).state == "confirmed", "what was compared once still counts"


async def test_I8_a_recall_by_a_key_that_nobody_has_compared_takes_nothing_back(theirs: Theirs) -> None:
    here, pin, uri = theirs.here, theirs.pin, await theirs.tells()
    [peer] = await db.fetch("SELECT id, host FROM peer WHERE host = $1", pin.server.host)
    evil = PrivateKey(pin.ed.key_id, generate_ed25519("evil").key)
    key = evil.public(pin.uri).to_multikey()
    await links.end(Operator(), peer["host"])
    await links.receive(TheirSide(peer["id"], peer["host"], evil.key_id, key), "x", "c" * 32, here.instance.here)
    old, pin.ed = pin.ed, evil
    pin.publish()
    assert "pinned key" in await here.take(theirs.recall([uri], **{"parvis:keep": "none"}), evil)
    assert await theirs.purged() is None and CANARY in str(await db.fetch("SELECT html FROM post"))
    assert await here.take(theirs.recall([uri], by=old), evil) == ""
    assert await theirs.purged() is not None
