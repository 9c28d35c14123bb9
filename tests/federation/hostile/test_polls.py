"""Polls across instances: who may vote, what a poll may be, and whose word counts for how it stands."""

import json
from typing import Any

import pytest

from federation.composing import Receiver, compose
from federation.outbox import sequence_waiting
from federation.pages import Failure, Heard
from federation.streams import heard
from federation.vocabulary import moment
from server import database as db
from server.actions.poll_rows import NewPoll
from server.actions.polls import vote
from server.actions.posts import Draft, publish, withdraw
from server.clock import now_ms
from server.openness import Level, Visibility
from server.queries import posts
from server.viewer import Viewer
from tests.federation.hostile.test_spaces import Ours, Theirs, ours, theirs
from tests.federation.stranger import Actor, Here, Json, enter

__all__ = ["ours", "theirs"]
pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)]
HOUR_MS = 3_600_000


async def asked(here: Here, place: int | None = None, ends_at: int | None = None, **draft: Any) -> tuple[int, str]:
    poll = NewPoll(("lundi", "mardi"), ends_at=ends_at)
    post_id = await publish(here.alice, Draft("quand ?", place, poll=poll, **draft), here.instance.here)
    return post_id, here.instance.here.post(post_id)


def ballot(author: Actor, question: str, name: str = "mardi", to: str = "", **changes: Any) -> Json:
    note = author.note("", to=[to or question], inReplyTo=question, name=name) | changes
    del note["content"]
    return author.says("Create", note, to=note["to"])


def question(author: Actor, *names: str, **more: Any) -> Json:
    options = [{"type": "Note", "name": name, "replies": {"type": "Collection", "totalItems": 9}} for name in names]
    return author.note("<p>?</p>", type="Question", oneOf=options, votersCount=9) | more


async def stands(viewer: Viewer, post_id: int) -> tuple[list[int], int]:
    [card] = await posts.cards(viewer, [post_id])
    assert card.poll is not None
    return [option.votes for option in card.poll.options], card.poll.voters


async def test_no_vote_counts_but_that_of_somebody_who_may_by_themselves_and_in_time(ours: Ours) -> None:
    post_id, uri = await asked(ours.here, ours.id)
    _, over = await asked(ours.here, ours.id, ends_at=now_ms() - 1)
    for refused in (
        ballot(ours.driss, uri),
        ballot(ours.chloe, uri, attributedTo=ours.driss.uri),
        ballot(ours.chloe, uri, id=ours.here.instance.here.base + "/notes/1"),
        ballot(ours.chloe, uri, "mercredi"),
        ballot(ours.chloe, over),
    ):
        assert await ours.nothing(refused, ours.pin.ed, "peer")
    await ours.nothing(ballot(ours.eve, uri), ours.eve.ed, "peer")
    for forged in (ballot(ours.chloe, uri), ballot(ours.chloe, uri, attributedTo=ours.eve.uri)):
        assert (await ours.here.hear(forged, ours.eve.ed)).status_code in (401, 403)
    await db.execute("UPDATE space SET closed_at = 1 WHERE id = $1", ours.id)
    assert "fermé" in await ours.nothing(ballot(ours.chloe, uri), ours.pin.ed, "peer")
    await db.execute("UPDATE space SET closed_at = NULL WHERE id = $1", ours.id)
    for again in range(2):
        assert await ours.here.take(ballot(ours.chloe, uri), ours.pin.ed) == "", again
    assert "déjà voté" in await ours.nothing(ballot(ours.chloe, uri, "lundi"), ours.pin.ed, "peer")
    assert await stands(ours.here.alice, post_id) == ([0, 1], 1)
    assert [row["id"] for row in await db.fetch("SELECT id FROM post")] == sorted([post_id, int(over.split("/")[-1])])


async def test_a_vote_never_becomes_a_post_and_a_poll_that_is_hidden_is_not_there(ours: Ours) -> None:
    gone, uri = await asked(ours.here, ours.id)
    chat = await publish(ours.here.alice, Draft("bonjour", ours.id), ours.here.instance.here)
    secret, hidden = await asked(ours.here)
    await withdraw(ours.here.alice, gone)
    for address in (uri, hidden, ours.here.instance.here.post(secret + 1)):
        await ours.nothing(ballot(ours.chloe, address, to=ours.uri, audience=ours.uri), ours.pin.ed, "peer")
    assert await db.fetch("SELECT DISTINCT code FROM receipt") == [{"code": "not-found"}], "told the same of all three"
    await ours.nothing(ballot(ours.chloe, ours.here.instance.here.post(chat), to=ours.uri), ours.pin.ed, "peer")
    assert len(await db.fetch("SELECT id FROM post")) == 3


async def test_R3_a_poll_that_is_none_is_refused_as_a_whole(ours: Ours) -> None:
    many = [str(number) for number in range(21)]
    where = {"to": [ours.uri], "audience": ours.uri}
    for names in (many, ["un", "un"], ["un", ""], ["un", "x" * 201], ["un", "x" * 5000]):
        ask = ours.chloe.says("Create", question(ours.chloe, *names, **where), to=[ours.uri])
        assert "answer" in (why := await ours.nothing(ask, ours.pin.ed, "peer")) or "too long" in why
    good = ours.chloe.says("Create", question(ours.chloe, *many[:20], endTime="never", **where), to=[ours.uri])
    assert await ours.here.take(good, ours.pin.ed) == ""
    [post] = await db.fetch("SELECT id FROM post")
    assert await stands(ours.here.alice, post["id"]) == ([0] * 20, 0), "its host counts, not its author"
    await vote(ours.here.alice, post["id"], [19])
    assert (await stands(ours.here.alice, post["id"]))[1] == 1


async def test_only_the_host_of_a_space_says_how_a_poll_in_it_stands_and_that_is_no_edit(theirs: Theirs) -> None:
    where = {"to": [theirs.group.uri], "audience": theirs.group.uri}
    ask = theirs.chloe.says("Create", question(theirs.chloe, "oui", "non", **where), to=[theirs.group.uri])
    assert await theirs.here.take(theirs.announce(ask), theirs.pin.ed) == ""
    [post] = await db.fetch("SELECT id FROM post")
    alice, uri = theirs.here.alice, ask["object"]["id"]
    assert await stands(alice, post["id"]) == ([0, 0], 0)
    told = {key: ask["object"][key] for key in ("id", "type", "oneOf", "votersCount")}
    by_author = theirs.chloe.says("Update", ask["object"], to=[theirs.group.uri])
    assert await theirs.here.take(theirs.announce(by_author), theirs.pin.ed) == ""
    assert await stands(alice, post["id"]) == ([0, 0], 0)
    await theirs.nothing(theirs.announce(theirs.chloe.says("Update", told)))
    await theirs.nothing(theirs.announce(theirs.group.says("Update", told | {"id": f"{uri}/other"})))
    assert await theirs.here.take(theirs.announce(theirs.group.says("Update", told)), theirs.pin.ed) == ""
    assert await stands(alice, post["id"]) == ([9, 9], 9)
    [row] = await db.fetch("SELECT edited_at, html FROM post")
    assert row == {"edited_at": None, "html": "<p>?</p>"}
    assert await db.fetch("SELECT id FROM event WHERE kind = 'post_edited'") == []


async def test_a_vote_that_its_host_does_not_count_is_none_here_either(theirs: Theirs) -> None:
    where = {"to": [theirs.group.uri], "audience": theirs.group.uri}
    ask = theirs.chloe.says("Create", question(theirs.chloe, "oui", "non", **where), to=[theirs.group.uri])
    assert await theirs.here.take(theirs.announce(ask), theirs.pin.ed) == ""
    [post] = await db.fetch("SELECT id FROM post")
    alice = theirs.here.alice
    await vote(alice, post["id"], [1])
    await sequence_waiting(theirs.here.instance)
    [delivery] = await db.fetch("SELECT d.id, d.peer_id FROM delivery d JOIN event e ON e.id = d.event_id")
    await db.execute("UPDATE delivery SET number = 1")
    await db.execute("DELETE FROM stream")
    stream = {"id": delivery["id"], "peer_id": delivery["peer_id"], "generation": "a", "given": 1}
    await db.insert("stream", stream)
    assert await stands(alice, post["id"]) == ([0, 1], 1)
    assert await heard(delivery["peer_id"], Heard("a", 1, 1, [Failure(1, "policy")]))
    assert await stands(alice, post["id"]) == ([0, 0], 0)


async def test_an_edit_that_asks_something_else_drops_the_votes_and_one_that_does_not_keeps_them(ours: Ours) -> None:
    where = {"to": [ours.uri], "audience": ours.uri}
    ask = ours.chloe.says("Create", question(ours.chloe, "oui", "non", **where), to=[ours.uri])
    assert await ours.here.take(ask, ours.pin.ed) == ""
    [post] = await db.fetch("SELECT id FROM post")
    await vote(ours.here.alice, post["id"], [0])
    for number, (names, left) in enumerate(((("oui", "non"), ([1, 0], 1)), (("oui", "jamais"), ([0, 0], 0))), 1):
        later = {"id": ask["object"]["id"], "updated": moment(now_ms() + number * 1000)}
        edit = ours.chloe.says("Update", question(ours.chloe, *names, **where) | later, to=[ours.uri])
        assert await ours.here.take(edit, ours.pin.ed) == ""
        assert await stands(ours.here.alice, post["id"]) == left


async def told(here: Here, post_id: int, peer_id: int) -> list[Json]:
    """What a server without a link is told of how a poll stands."""
    await sequence_waiting(here.instance)
    events = await db.fetch("SELECT id FROM event WHERE post_id = $1 AND kind = 'tallied' ORDER BY id", post_id)
    sealed = [await compose(here.instance, event["id"], Receiver(peer_id, "x", linked=False)) for event in events]
    return [json.loads(one.body) for one in sealed if one is not None]


async def test_a_plain_server_votes_where_it_may_and_is_told_counts_as_it_understands_them(ours: Ours) -> None:
    here, eve = ours.here, ours.eve
    place = await here.open_space("place", Level.PUBLIC)
    [row] = await db.fetch("SELECT id, peer_id FROM actor WHERE uri = $1", eve.uri)
    await db.execute("UPDATE space SET opened_at = 1 WHERE id = $1", place)
    await enter(place, row["id"], eve.server)
    for where, draft in ((place, {}), (None, {"visibility": Visibility.PUBLIC})):
        post_id, uri = await asked(here, where, now_ms() + HOUR_MS, **draft)
        assert await here.take(ballot(eve, uri, to=here.person("alice")), eve.ed) == ""
        assert await stands(here.alice, post_id) == ([0, 1], 1)
        [update] = await told(here, post_id, row["peer_id"])
        assert (update["type"], update["actor"]) == ("Update", here.person("alice"))
        assert update["object"]["oneOf"][1]["replies"]["totalItems"] == update["object"]["votersCount"] == 1
        assert "updated" not in update["object"] and eve.uri not in json.dumps(update)
    assert await here.take(eve.says("Delete", eve.uri), eve.ed) == ""
    assert await stands(here.alice, post_id) == ([0, 0], 0), "who is gone is not counted"


async def test_in_a_network_space_plain_servers_vote_in_the_question_of_the_space_itself(ours: Ours) -> None:
    here, eve = ours.here, ours.eve
    place = await here.open_space("reseau", Level.NETWORK)
    [row] = await db.fetch("SELECT id, peer_id FROM actor WHERE uri = $1", eve.uri)
    post_id, uri = await asked(here, place)
    await enter(place, row["id"], eve.server)
    assert await here.take(ballot(eve, f"{uri}/mirror", to=here.space("reseau")), eve.ed) == ""
    assert await stands(here.alice, post_id) == ([0, 1], 1)
    [update] = await told(here, post_id, row["peer_id"])
    assert (update["actor"], update["object"]["id"]) == (here.space("reseau"), f"{uri}/mirror")
    assert (update["object"]["type"], update["object"]["votersCount"]) == ("Question", 1)


async def test_a_poll_of_somebody_followed_stands_as_its_author_says(ours: Ours) -> None:
    here, eve = ours.here, ours.eve
    ask = eve.says("Create", question(eve, "oui", "non", endTime=moment(now_ms() + HOUR_MS)), to=[here.person("alice")])
    ask["object"]["tag"] = [{"type": "Mention", "href": here.person("alice"), "name": "@alice"}]
    assert await here.take(ask, eve.ed) == ""
    [post] = await db.fetch("SELECT id FROM post")
    assert await stands(here.alice, post["id"]) == ([9, 9], 9)
    ask["object"] |= {"votersCount": 12, "closed": moment(now_ms())}
    assert await here.take(eve.says("Update", ask["object"]), eve.ed) == ""
    assert await stands(here.alice, post["id"]) == ([9, 9], 12)
    [row] = await db.fetch("SELECT edited_at FROM post")
    assert row["edited_at"] is None
    await vote(here.alice, post["id"], [1])
    await sequence_waiting(here.instance)
    [event] = await db.fetch("SELECT e.id, d.peer_id FROM event e JOIN delivery d ON d.event_id = e.id")
    sealed = await compose(here.instance, event["id"], Receiver(event["peer_id"], "x", linked=False))
    assert sealed is not None
    sent = json.loads(sealed.body)
    assert (sent["type"], sent["to"], sent["object"]["name"]) == ("Create", [eve.uri], "non")
    assert "content" not in sent["object"] and "proof" not in sent
    address = f"/activities/{event['id']}"
    assert (await here.read(address, eve.ed)).status_code == 200
    for other in (None, ours.chloe.ed, ours.pin.ed):
        assert (await here.read(address, other)).status_code == 404, "a vote is for whoever counts it"
