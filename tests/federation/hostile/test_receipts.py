"""What a partner answers to a recall of ours: believed when it signed it and it can be true; else shown, with why."""

import json
from dataclasses import replace
from typing import Any

import pytest

from federation.composing import Receiver, compose
from federation.moving_out import Moved, move
from federation.outbox import sequence_waiting
from federation.recalling import urgent, work_off
from federation.signatures.proofs import with_proof
from server import database as db
from server.actions import recalls
from server.actions.plain_recalls import ALL_TOLD, follow_up_plain
from server.actions.posts import Draft, publish, withdraw
from server.actions.recall_restarts import restart
from server.actions.spaces import set_openness, unname_partner
from server.clock import now_ms
from server.errors import Conflict, Forbidden, NotFound
from server.events import Kind, record
from server.ids import Addresses, new_id
from server.openness import Level
from server.queries import notifications
from server.queries.recalls import TargetCard, find, listed
from server.recall_terms import TargetState, root_of
from server.viewer import Operator
from tests.counting import Statements
from tests.federation.stranger import Actor, Here, Json, OtherServer, enter, linked, met

pytestmark = pytest.mark.anyio
HOURS = 3_600_000


class Asked:
    """A space of ours that Kestrel no longer has a part in: three posts were sent there, and are taken back."""

    def __init__(self, here: Here, pin: Actor, space_id: int, uris: list[str]) -> None:
        self.here, self.pin, self.space_id, self.uris = here, pin, space_id, uris

    async def recall_id(self) -> int:
        [row] = await db.fetch("SELECT MAX(id) AS id FROM recall")
        return int(row["id"])

    async def target(self) -> TargetCard:
        [target] = (await find(Operator(), await self.recall_id())).targets
        return target

    async def receipt(self, by: Any = None, **changes: Any) -> Json:
        address = f"{self.here.space('projet')}/recalls/{await self.recall_id()}"
        document = self.pin.says("parvis:RecallReceipt", "x") | {
            "inReplyTo": address,
            "parvis:root": root_of(self.uris),
            "parvis:purged": {"items": len(self.uris), "media": 0},
            "parvis:retained": [],
        }
        del document["object"]
        return dict(with_proof(document | changes, by or self.pin.ed, now_ms()))

    async def link_state(self) -> str:
        [row] = await db.fetch("SELECT state FROM link ORDER BY id LIMIT 1")
        return str(row["state"])


async def sent(here: Here, space_id: int, count: int) -> list[str]:
    """So many posts of Alice's, delivered to whoever may have them; their addresses."""
    ids = [await publish(here.alice, Draft(f"mot {n}", space_id), here.instance.here) for n in range(count)]
    while await sequence_waiting(here.instance):
        pass
    await db.execute("UPDATE delivery SET state = 'sent', attempts = 1 WHERE state = 'pending'")
    return [here.instance.here.post(post_id) for post_id in ids]


@pytest.fixture
async def shared(closed: Here, kestrel: OtherServer) -> Asked:
    """The same before anything is taken back."""
    pin = await linked(kestrel)
    space_id = await closed.open_space("projet", Level.PARTNERS, kestrel)
    await enter(space_id, await met(kestrel.actor("chloe")), kestrel)
    return Asked(closed, pin, space_id, await sent(closed, space_id, 3))


@pytest.fixture
async def asked(shared: Asked) -> Asked:
    await unname_partner(shared.here.alice, shared.space_id, shared.pin.server.host)
    await work_off(shared.here.instance)
    await sequence_waiting(shared.here.instance)
    return shared


async def test_a_partner_that_is_no_longer_named_owes_all_that_it_was_sent(asked: Asked) -> None:
    target = await asked.target()
    assert (target.state, target.items, target.root) == ("waiting", 3, root_of(asked.uris))
    first = await urgent((await db.fetch("SELECT peer_id FROM recall_target"))[0]["peer_id"], 10)
    assert len(first) == 1, "it goes before whatever else waits"
    assert await asked.here.take(await asked.receipt(), asked.pin.ed) == ""
    assert (await asked.target()).state == "confirmed"
    assert not (await listed(Operator()))[0].open and await asked.link_state() == "active"


async def test_a_partner_whose_last_member_is_no_more_owes_what_it_was_sent(shared: Asked) -> None:
    """It left a space by taking back who was in it, and kept what it had: nothing was asked back."""
    chloe = shared.pin.server.actors["chloe"]
    assert await shared.here.take(chloe.says("Delete", chloe.uri), shared.pin.ed) == ""
    assert await db.fetch("SELECT id FROM membership WHERE peer_id IS NOT NULL") == []
    await work_off(shared.here.instance)
    assert (await shared.target()).items == 3


async def test_what_is_retained_is_said_and_counts_as_partial(asked: Asked) -> None:
    kept = [{"reason": "legal-hold", "items": 1}, {"reason": "backup-until", "until": "2027-01-01", "items": 3}]
    receipt = await asked.receipt(**{"parvis:purged": {"items": 2}, "parvis:retained": kept})
    assert await asked.here.take(receipt, asked.pin.ed) == ""
    target = await asked.target()
    assert (target.state, target.purged, target.retained) == ("partial", 2, 1)


@pytest.mark.parametrize("lie", [{"parvis:root": root_of([])}, {"parvis:purged": {"items": 2}}])
async def test_a_signed_receipt_that_cannot_be_true_is_evidence_and_stops_the_link(asked: Asked, lie: Json) -> None:
    assert await asked.here.take(await asked.receipt(**lie), asked.pin.ed) == ""
    target = await asked.target()
    assert target.state == "refused" and target.reason and target.receipt
    assert await asked.link_state() == "suspended"
    [deed] = await db.fetch("SELECT act, subject FROM audit_entry WHERE act = 'recall_refused'")
    assert deed["subject"] == asked.pin.server.host
    await asked.here.take(await asked.receipt(), asked.pin.ed)
    assert (await asked.target()).state == "refused", "what was refused is not confirmed afterwards"


async def test_a_refusal_stops_the_link(asked: Asked) -> None:
    assert await asked.here.take(await asked.receipt(**{"parvis:refused": "non"}), asked.pin.ed) == ""
    assert (await asked.target()).state == "refused" and await asked.link_state() == "suspended"


async def test_who_answers_for_the_space_is_told_of_a_refusal_and_an_administrator_asks_once_more(asked: Asked) -> None:
    here, host = asked.here, asked.pin.server.host
    assert await told(here) == {}
    await here.take(await asked.receipt(**{"parvis:refused": "non"}), asked.pin.ed)
    await here.take(await asked.receipt(**{"parvis:refused": "non"}), asked.pin.ed)
    recall_id = await asked.recall_id()
    assert await told(here) == {"alice": [("refused", "projet")], "odile": [("refused", "")]}, "once each"
    with pytest.raises(Forbidden):
        await restart(here.bruno, recall_id, host)
    with pytest.raises(NotFound):
        await restart(here.odile, recall_id, "kestrel.example")
    await restart(here.odile, recall_id, host)
    with pytest.raises(Conflict):
        await restart(here.odile, recall_id, host)
    assert (await asked.target()).state == "waiting" and await asked.link_state() == "suspended"
    while await sequence_waiting(here.instance):
        pass
    [peer] = await db.fetch("SELECT peer_id FROM recall_target")
    assert await urgent(peer["peer_id"], 10), "it is told again, though the link is suspended"
    assert await here.take(await asked.receipt(), asked.pin.ed) == ""
    assert (await asked.target()).state == "confirmed"
    assert [row["act"] for row in await db.fetch("SELECT act FROM audit_entry WHERE act = 'recall_restart'")]


async def test_who_answers_for_the_space_is_told_once_when_a_receipt_is_late(asked: Asked) -> None:
    await db.execute("UPDATE recall SET deadline_at = 1")
    for state in ("backoff", "ok", "backoff", "ok"):
        await db.execute("UPDATE peer SET state = $1", state)
        await work_off(asked.here.instance)
    assert await told(asked.here) == {"alice": [("late", "projet")], "odile": [("late", "")]}


async def told(here: Here) -> dict[str, list[tuple[str, str]]]:
    """What waits for each of our people about recalls: what happened, and in which space they are led to."""
    found = {}
    for name in ("alice", "bruno", "odile"):
        waiting = await notifications.waiting(getattr(here, name), kinds=["recall"])
        found[name] = [(one.about, one.space.slug if one.space else "") for one in waiting]
    return {name: notices for name, notices in found.items() if notices}


@pytest.mark.parametrize("forged", ["without", "person", "figures", "reason"])
async def test_a_receipt_that_proves_nothing_changes_nothing_and_is_shown(asked: Asked, forged: str) -> None:
    document = await asked.receipt(by=asked.pin.server.actors["chloe"].ed if forged == "person" else None)
    if forged == "without":
        del document["proof"]
    if forged == "figures":
        document = await asked.receipt(**{"parvis:purged": {"items": -3}})
    if forged == "reason":
        document = await asked.receipt(**{"parvis:retained": [{"reason": "envie", "items": 3}]})
    assert await asked.here.take(document, asked.pin.ed) == ""
    target = await asked.target()
    assert (target.state, target.receipt) == ("waiting", "") and target.reason
    assert await asked.link_state() == "active"


async def test_a_receipt_for_the_recall_of_another_instance_or_of_none_is_refused(
    asked: Asked, merle: OtherServer
) -> None:
    theirs = await linked(merle)
    foreign = dict(await asked.receipt()) | {"id": merle.new("activities"), "actor": theirs.uri}
    del foreign["proof"]
    assert await asked.here.take(dict(with_proof(foreign, theirs.ed, now_ms())), theirs.ed) != ""
    number = await asked.recall_id()
    for address in ("x", f"{asked.here.space('projet')}/recalls/1", f"{asked.here.space('autre')}/recalls/{number}"):
        assert await asked.here.take(await asked.receipt(inReplyTo=address), asked.pin.ed) != ""
    by_person = await asked.receipt(actor=asked.pin.server.actors["chloe"].uri)
    assert await asked.here.take(by_person, asked.pin.ed) != ""
    assert (await asked.target()).state == "waiting"


async def test_it_is_told_again_after_an_hour_a_day_a_week_and_then_daily(asked: Asked) -> None:
    waits = []
    for _ in range(6):
        await db.execute("UPDATE delivery SET state = 'sent', done_at = 1 WHERE state = 'pending'")
        await work_off(asked.here.instance)
        assert (await asked.target()).state in ("sent", "waiting")
        [row] = await db.fetch("SELECT next_at, tries FROM recall_target")
        waits.append(round((row["next_at"] - now_ms()) / HOURS))
        await db.execute("UPDATE recall_target SET next_at = 1")
        await work_off(asked.here.instance)
        await sequence_waiting(asked.here.instance)
    assert waits == [1, 24, 168, 24, 24, 24]
    await db.execute("UPDATE recall SET deadline_at = 1")
    await db.execute("UPDATE delivery SET state = 'sent' WHERE state = 'pending'")
    await work_off(asked.here.instance)
    target = await asked.target()
    assert target.state == "late" and target.open
    assert await asked.here.take(await asked.receipt(), asked.pin.ed) == ""
    target = await asked.target()
    assert target.state == "confirmed" and target.late


async def test_of_who_is_away_for_weeks_nothing_is_written_meanwhile_and_everybody_has_their_turn(
    asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    await db.execute("UPDATE peer SET state = 'backoff'")
    assert await recalls.follow_up() == 1 and (await asked.target()).state == "unreachable"
    statements = Statements(monkeypatch)
    assert [await recalls.follow_up() for _ in range(3)] == [0, 0, 0]
    assert len(statements.asked) == 3, "it is looked at, and no more"
    monkeypatch.setattr(recalls, "AT_ONCE", 1)
    [first], [recall] = await db.fetch("SELECT * FROM recall_target"), await db.fetch("SELECT * FROM recall")
    for number in (1, 2):
        await db.insert("recall", {**recall, "id": recall["id"] + number})
        other = {**first, "id": first["id"] + number, "recall_id": recall["id"] + number}
        await db.insert("recall_target", other)
    await db.execute("UPDATE peer SET state = 'ok'")
    assert sum([await recalls.follow_up() for _ in range(4)]) == 3
    assert await db.fetch("SELECT id FROM recall_target WHERE state = 'unreachable'") == []


async def test_a_receipt_that_comes_while_one_looks_for_it_stays(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was quicker than the note that the recall had been sent, which called it unanswered again for an hour."""
    await db.execute("UPDATE delivery SET state = 'sent' WHERE state = 'pending'")
    await db.execute("UPDATE recall_target SET next_at = 0")
    follow = recalls._follow

    async def overtaken(row: dict[str, Any], now: int) -> bool:
        await recalls.answered(row["id"], TargetState.CONFIRMED, receipt="{}", purged=3, retained=0)
        return await follow(row, now)

    monkeypatch.setattr(recalls, "_follow", overtaken)
    told = len(await db.fetch("SELECT id FROM event WHERE kind = 'recalled'"))
    await recalls.follow_up()
    assert (await asked.target()).state == "confirmed"
    assert len(await db.fetch("SELECT id FROM event WHERE kind = 'recalled'")) == told


async def test_what_its_inbox_refuses_is_refused(asked: Asked) -> None:
    await db.execute("UPDATE delivery SET state = 'dead', error = 'not accepted as it is' WHERE state = 'pending'")
    await work_off(asked.here.instance)
    assert (await asked.target()).state == "refused" and await asked.link_state() == "suspended"


async def test_an_instance_that_does_not_answer_is_unreachable(asked: Asked) -> None:
    await db.execute("UPDATE peer SET state = 'backoff'")
    await work_off(asked.here.instance)
    target = await asked.target()
    assert target.state == "unreachable" and target.open


async def test_closing_takes_back_from_all_once_and_again_only_what_was_sent_since(shared: Asked) -> None:
    alice = shared.here.alice
    await set_openness(alice, shared.space_id, Level.CLOSED)
    [first] = await listed(Operator())
    assert [target.host for target in first.targets] == [shared.pin.server.host]
    assert await recalls.after_narrowing(alice, shared.space_id, "again") is None
    peers = [row["peer_id"] for row in await db.fetch("SELECT peer_id FROM recall_target")]
    assert await recalls.begin(alice, shared.space_id, peers) is None
    assert len(await listed(Operator())) == 1


async def test_an_instance_that_was_never_told_of_the_space_hears_of_no_recall(
    shared: Asked, merle: OtherServer
) -> None:
    await linked(merle)
    peers = [row["id"] for row in await db.fetch("SELECT id FROM peer")]
    await recalls.begin(shared.here.alice, shared.space_id, peers)
    [card] = await listed(Operator())
    assert [target.host for target in card.targets] == [shared.pin.server.host]


async def test_what_a_steward_withdraws_is_taken_back_by_itself_and_what_an_author_withdraws_is_only_deleted(
    shared: Asked,
) -> None:
    post_id = int(shared.uris[0].rpartition("/")[2])
    await withdraw(shared.here.alice, post_id)
    assert await listed(Operator()) == []
    await db.execute("UPDATE post SET author_id = $1 WHERE id = $2", shared.here.bruno.actor_id, post_id + 0)
    other = int(shared.uris[1].rpartition("/")[2])
    await db.execute("UPDATE post SET author_id = $1 WHERE id = $2", shared.here.bruno.actor_id, other)
    await withdraw(shared.here.alice, other)
    await work_off(shared.here.instance)
    [card] = await listed(Operator())
    assert (card.scope, card.targets[0].items, card.targets[0].root) == ("item", 1, root_of([shared.uris[1]]))


async def test_the_list_is_for_the_instance_that_owes_it_and_for_nobody_else(asked: Asked, merle: OtherServer) -> None:
    theirs, recall_id = await linked(merle), await asked.recall_id()
    path = f"/spaces/projet/recalls/{recall_id}/items?page=1"
    nothing = await asked.here.read("/spaces/projet/recalls/1/items?page=1", asked.pin.ed)
    assert nothing.status_code == 404
    chloe = asked.pin.server.actors["chloe"]
    for key in (theirs.ed, chloe.ed, None):
        answer = await asked.here.read(path, key)
        assert (answer.status_code, answer.content) == (404, nothing.content)
    for wrong in (f"/spaces/autre/recalls/{recall_id}/items?page=1", path.replace("page=1", "page=2"), path[:-7]):
        assert (await asked.here.read(wrong, asked.pin.ed)).content == nothing.content
    await db.execute("UPDATE link SET state = 'ended'")
    page = (await asked.here.read(path, asked.pin.ed)).json()
    assert sorted(page["orderedItems"]) == sorted(asked.uris) and "next" not in page


async def test_plain_servers_are_told_item_by_item_in_their_terms_and_nobody_says_that_it_is_verified(
    here: Here, kestrel: OtherServer
) -> None:
    chloe = kestrel.actor("chloe")
    space_id = await here.open_space("ouvert", Level.NETWORK)
    await enter(space_id, await met(chloe), kestrel)
    follow = {"member": (await db.fetch("SELECT id FROM actor WHERE uri = $1", chloe.uri))[0]["id"], "uri": "x"}
    await record(Kind.JOIN_ANSWERED, actor_id=None, space_id=space_id, data={**follow, "accepted": True})
    uris = await sent(here, space_id, 2)
    await db.execute("UPDATE post SET stamp = 'public' WHERE uri = $1", uris[1])
    await set_openness(here.alice, space_id, Level.CLOSED)
    for _ in range(5):
        await work_off(here.instance)
    while await sequence_waiting(here.instance):
        pass
    peer = await db.fetch_one("SELECT id, host FROM peer WHERE host = $1", kestrel.host)
    assert peer is not None
    waiting = await db.fetch("SELECT event_id FROM delivery WHERE state = 'pending' ORDER BY seq")
    told = []
    for row in waiting:
        sealed = await compose(here.instance, row["event_id"], Receiver(peer["id"], peer["host"], False))
        told += [json.loads(sealed.body)] if sealed else []
    backs = [one for one in told if one["type"] in ("Delete", "Undo", "Reject")]
    assert [one["type"] for one in backs] == ["Delete", "Delete", "Reject"], "posts first, the follow last"
    assert backs[0]["actor"] == here.space("ouvert") and backs[0]["object"]["id"] == f"{uris[0]}/mirror"
    assert backs[1]["actor"] == here.person("alice") and backs[1]["object"] == {"id": uris[1], "type": "Tombstone"}
    assert backs[2]["object"]["id"] == "x" and "mot" not in json.dumps(backs)
    [target] = (await listed(Operator()))[0].targets
    assert (target.linked, target.open) == (False, True)
    await db.execute("UPDATE delivery SET state = 'sent' WHERE state = 'pending'")
    await work_off(here.instance)
    [target] = (await listed(Operator()))[0].targets
    assert (target.state, target.receipt, target.purged) == ("sent-unconfirmed", "", 0)


async def test_servers_without_a_link_that_do_not_answer_keep_no_other_waiting(
    here: Here, kestrel: OtherServer, merle: OtherServer
) -> None:
    space_id = await here.open_space("ouvert", Level.NETWORK)
    for server in (kestrel, merle):
        await enter(space_id, await met(server.actor("chloe")), server)
    await sent(here, space_id, 1)
    await set_openness(here.alice, space_id, Level.CLOSED)
    await work_off(here.instance)
    await db.execute("UPDATE peer SET state = 'backoff'")
    for _ in range(8):
        await follow_up_plain(1)
        await sequence_waiting(here.instance)
    rows = await db.fetch("SELECT cursor, state FROM recall_target")
    assert [(row["cursor"], row["state"]) for row in rows] == [(ALL_TOLD, "unreachable")] * 2


async def test_what_others_wrote_and_was_announced_is_announced_no_more(here: Here, kestrel: OtherServer) -> None:
    chloe = kestrel.actor("chloe")
    space_id = await here.open_space("ouvert", Level.PUBLIC)
    author = await met(chloe)
    [uri] = await sent(here, space_id, 1)
    await db.execute("UPDATE post SET author_id = $1, peer_id = (SELECT id FROM peer LIMIT 1)", author)
    [post] = await db.fetch("SELECT id, (SELECT MIN(id) FROM event WHERE post_id = post.id) AS told FROM post")
    data = {"target": 0, "peer": 0}
    event = await record(Kind.ITEM_RECALLED, actor_id=author, space_id=space_id, post_id=post["id"], data=data)
    sealed = await compose(here.instance, event, Receiver(0, "x", False))
    assert sealed is not None
    undo = json.loads(sealed.body)
    assert (undo["type"], undo["actor"], undo["object"]["type"]) == ("Undo", here.space("ouvert"), "Announce")
    assert undo["object"] == {
        "id": f"{here.instance.here.activity(post['told'])}/announce",
        "type": "Announce",
        "actor": here.space("ouvert"),
        "object": uri,
    }


async def test_D12_a_receipt_for_what_we_took_back_before_we_moved_counts(asked: Asked) -> None:
    old, receipt = asked.here.instance, await asked.receipt()
    new = Addresses("https://ailleurs.example")
    asked.here.instance = replace(old, here=new, settings=replace(old.settings, base_url=new.base))
    assert (await move(asked.here.instance)) == Moved(old.here.base, (asked.pin.server.host,))
    assert await move(asked.here.instance) is None, "again: nothing more"
    body = {"body": json.dumps(receipt), "activity_hash": "0" * 64, "sender_uri": asked.pin.ed.key_id, "linked": True}
    [peer] = await db.fetch("SELECT peer_id FROM link")
    await db.insert("receipt", {"id": new_id(), "peer_id": peer["peer_id"], "received_at": now_ms(), **body})
    await asked.here.process()
    assert (await asked.target()).state == "confirmed"
    assert await asked.link_state() == "active"
