"""A cause that passes is no outcome: what a partner told is acknowledged, and nobody tells it once more (I10)."""

from collections.abc import Callable
from typing import Any

import pytest

from federation import files, handlers, lookup, processing, taking_effect, upkeep
from federation.handlers import posts as handler
from federation.links import offer as propose
from federation.outbox import sequence_waiting
from federation.patience import MOST_TRIES
from federation.sending import Sender, take_due
from federation.streams import heard_of, stream_with
from server import database as db
from server.actions import file_bytes, links, purges
from server.clock import now_ms
from server.errors import Unavailable
from server.ids import new_id
from server.openness import Level
from server.queries.former import moves
from server.transactions import UniqueViolation
from server.viewer import Operator
from tests.federation.stranger import Actor, Here, Json, OtherServer, enter, linked, met, mirrored
from tests.unit.federation.elsewhere import answer

pytestmark = pytest.mark.anyio
NOT_NOW = b"HTTP/1.1 503 Not Now\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
NOT_THERE = NOT_NOW.replace(b"503 Not Now", b"404 Not Found")


class Both:
    """Kestrel is linked with us: Chloé is in a space of ours, Alice in one of theirs. Nobody knows Frida yet."""

    def __init__(self, here: Here, pin: Actor, group: Actor, chloe: Actor, space_id: int, theirs: int) -> None:
        self.here, self.pin, self.group, self.chloe, self.id, self.theirs = here, pin, group, chloe, space_id, theirs
        self.frida = pin.server.actor("frida")
        self.uri, self.seq = here.space("projet"), 0

    def create(self, author: Actor, space: str = "") -> Json:
        to = [space or self.uri, f"{space or self.uri}/members"]
        return author.says("Create", author.note(to=to, audience=to[0]), to=to, audience=to[0])

    def tells(self, inner: Any, epoch: int) -> Json:
        return self.group.says("Announce", inner, to=[f"{self.group.uri}/members"], **{"parvis:policyEpoch": epoch})

    def away(self, who: Actor, how: bytes = NOT_NOW) -> Callable[[], None]:
        """Nobody learns who this is, until what is returned is called."""
        who.server.scene(who.uri.removeprefix(who.server.base), how)
        return who.publish

    async def come(self, *activities: Json) -> None:
        """What the stream of the link brings."""
        for activity in activities:
            assert (await self.here.hear(activity, self.pin.ed)).status_code == 202
            self.seq += 1
            await db.execute("UPDATE receipt SET seq = $1 WHERE seq IS NULL", self.seq)
        await self.rounds()

    async def rounds(self) -> None:
        """As many as there are of those that wait: a round ends with the first that must wait on."""
        for _ in range(await self.count("receipt")):
            await self.here.process()

    async def again(self, times: int = 1) -> list[str]:
        """Tries what waits, so many times; why what still waits does."""
        for _ in range(times):
            due = "UPDATE receipt SET received_at = CAST($1 AS BIGINT) - 10000 * attempts * attempts"
            await db.execute(f"{due} WHERE processed_at IS NULL", now_ms() - 1)
            await self.rounds()
        return [row["outcome"] for row in await db.fetch("SELECT outcome FROM receipt WHERE processed_at IS NULL")]

    async def refused(self) -> list[str]:
        rows = await db.fetch("SELECT outcome FROM receipt WHERE processed_at IS NOT NULL AND outcome <> ''")
        return [row["outcome"] for row in rows]

    async def count(self, table: str) -> int:
        return len(await db.fetch(f"SELECT id FROM {table}"))


@pytest.fixture
async def both(closed: Here, kestrel: OtherServer) -> Both:
    pin, chloe = await linked(kestrel), kestrel.actor("chloe")
    space_id = await closed.open_space("projet", Level.PARTNERS, kestrel)
    await enter(space_id, await met(chloe), kestrel)
    group = kestrel.actor("cevennes", "Group", "/spaces/cevennes", followers=f"{kestrel.base}/spaces/cevennes/members")
    return Both(closed, pin, group, chloe, space_id, await mirrored(group, closed.alice))


async def test_what_came_by_a_link_waits_as_long_as_its_instance_is_away(both: Both) -> None:
    """However often it is asked for; and nothing else waits for it."""
    comes = both.away(both.frida)
    await both.come(both.tells(both.create(both.frida, both.group.uri), 1))
    await both.come(both.create(both.chloe))
    assert len(await both.again(MOST_TRIES + 3)) == 1 and await both.count("post") == 1
    [peer] = await db.fetch("SELECT id FROM peer")
    stream = await stream_with(peer["id"])
    told = await heard_of({**stream, "got": both.seq})
    assert told.done == both.seq and [(e.seq, e.code, e.final) for e in told.errors] == [(1, "unavailable", False)]
    comes()
    assert await both.again() == [] and await both.refused() == [] and await both.count("post") == 2


@pytest.mark.parametrize("hears_us", [False, True])
async def test_who_stopped_the_link_on_its_side_shows_nothing_for_a_while(both: Both, hears_us: bool) -> None:
    """A space that invites, to whoever asks who that is. If it hears us all the same, it means it."""
    if not hears_us:
        await db.execute("UPDATE peer SET state = 'paused', peering = 'its own'")
    shows = both.away(both.group, NOT_THERE)
    await both.come(both.group.says("Invite", both.group.uri, target=both.here.person("bruno")))
    waits = await both.again(MOST_TRIES + 3)
    assert len(waits) == (0 if hears_us else 1)
    shows()
    assert await both.again() == [] and len(await both.refused()) == (1 if hears_us else 0)
    assert await both.count("membership") == (3 if hears_us else 4)


async def test_what_was_not_tried_for_long_makes_up_for_no_tries(both: Both) -> None:
    """A link that stood still for a week, or we: who cannot be asked is not asked hundreds of times then."""
    both.away(both.frida)
    await both.come(both.tells(both.create(both.frida, both.group.uri), 1))
    await db.execute("UPDATE receipt SET received_at = 0")
    for _ in range(3):
        await both.here.process()
    [row] = await db.fetch("SELECT attempts FROM receipt")
    assert row["attempts"] == 2


async def test_nothing_is_refused_for_what_waits_before_it(both: Both) -> None:
    """Who answers a post that is not here yet, takes a gesture back that is not, or goes before they came in."""
    comes = both.away(both.frida)
    post = both.create(both.frida, both.group.uri)
    like = both.chloe.says("Like", post["object"]["id"])
    gesture = both.frida.says("Like", post["object"]["id"], content="🎉")
    join = both.frida.says("Join", both.uri)
    await both.come(both.tells(post, 1), both.tells(like, 1), both.tells(gesture, 1), join)
    stays = both.create(both.chloe, both.group.uri)
    await both.come(both.tells(stays, 2))
    assert len(await both.again(2)) == 5, "and what is said under a newer policy"
    comes()
    await met(both.frida)
    await both.come(both.frida.says("Leave", both.uri), both.tells(both.frida.says("Undo", gesture), 2))
    assert await both.again() == [] and await both.refused() == ["taken back"], "of the gesture: it does not come again"
    assert await both.count("post") == 2 and await both.count("reaction") == 1
    assert await db.fetch("SELECT id FROM membership WHERE actor_id = $1", await met(both.frida)) == []


async def test_a_newer_policy_does_not_wait_for_ever(both: Both) -> None:
    both.away(both.frida)
    await both.come(both.tells(both.create(both.frida, both.group.uri), 1))
    await both.come(both.tells(both.create(both.chloe, both.group.uri), 2))
    await both.again(MOST_TRIES + 1)
    assert await both.count("post") == 1


async def test_R9_who_has_much_that_is_tried_again_holds_up_nobody_else(
    both: Both, merle: OtherServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processing, "AT_ONCE", 2)
    both.away(both.frida)
    await both.come(*(both.tells(both.create(both.frida, both.group.uri), 1) for _ in range(3)))
    await db.execute("UPDATE receipt SET received_at = 0, attempts = 1")
    other = await linked(merle)
    group, mia = merle.actor("vosges", "Group", "/spaces/vosges"), merle.actor("mia")
    await mirrored(group, both.here.alice)
    told = group.says("Announce", both.create(mia, group.uri), to=[f"{group.uri}/members"])
    assert (await both.here.hear(told, other.ed)).status_code == 202
    await both.here.process()
    assert await both.count("post") == 1


@pytest.mark.parametrize("epoch", [1, 2])
async def test_R9_what_is_new_waits_for_no_silence_of_those_who_were_asked_before(both: Both, epoch: int) -> None:
    """However many words of somebody who cannot be asked are due: they are asked about once in a turn."""
    comes = both.away(both.frida)
    await both.come(*(both.tells(both.create(both.frida, both.group.uri), 1) for _ in range(3)))
    await db.execute("UPDATE receipt SET received_at = 0, attempts = 2")
    new = both.tells(both.create(both.chloe, both.group.uri), epoch)
    assert (await both.here.hear(new, both.pin.ed)).status_code == 202
    await both.here.process()
    assert await both.count("post") == (1 if epoch == 1 else 0), "and what is under a newer policy waits with them"
    tries = await db.fetch("SELECT attempts FROM receipt WHERE attempts >= 2 ORDER BY id")
    assert [row["attempts"] for row in tries] == ([3, 3, 2] if epoch == 1 else [3, 2, 2]), "one in each turn"
    comes()
    assert await both.again() == [] and await both.refused() == [] and await both.count("post") == 4


@pytest.mark.parametrize("where", ["before", "within", "twice"])
async def test_a_database_that_is_busy_refuses_nothing(both: Both, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the effect and within it, nor when somebody else wrote the same at that moment."""
    busy = [True] * (1 if where == "twice" else MOST_TRIES + 1)
    error = UniqueViolation() if where == "twice" else Unavailable()

    def once_busy(real: Any) -> Any:
        async def act(*args: Any) -> Any:
            if busy and busy.pop():
                raise error
            return await real(*args)

        return act

    if where == "before":
        monkeypatch.setattr(processing, "exactly", once_busy(lookup.exactly))
    else:
        monkeypatch.setitem(handlers.HANDLERS, ("Create", "Note"), once_busy(handler.create))
    await both.come(both.create(both.chloe))
    assert await both.again(MOST_TRIES + 1) == [] and await both.refused() == []
    assert await both.count("post") == 1


async def test_a_file_is_had_once_our_disk_has_room_for_it(both: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    server, create = both.pin.server, both.create(both.chloe, both.group.uri)
    url = f"{server.base}/media/7/plan.txt"
    create["object"]["attachment"] = [{"type": "Document", "mediaType": "text/plain", "url": url}]
    server.scene("/media/7/plan.txt", answer(b"les plans", "Content-Type: text/plain"))
    await both.come(both.tells(create, 1))
    with monkeypatch.context() as context:
        context.setattr(file_bytes, "expect", full)
        await files.fetch_waiting(both.here.instance)
    await db.execute("UPDATE job SET due_at = 0")
    await files.fetch_waiting(both.here.instance)
    assert await db.fetch("SELECT state FROM attachment") == [{"state": "ready"}]


async def full(*_: object) -> None:
    raise Unavailable


async def test_what_is_not_shown_now_is_asked_for_again_later(both: Both) -> None:
    """What an answer answers; seldom, because mostly it is of a past that is not for us."""
    question, copy = both.create(both.chloe, both.group.uri), both.pin.server.new("copies")
    path = copy.removeprefix(both.pin.server.base)
    both.pin.server.scene(path, NOT_THERE)
    answered = both.create(both.chloe, both.group.uri)
    answered["object"]["inReplyTo"] = question["object"]["id"]
    await both.come(both.tells(answered, 1) | {"parvis:parent": copy})
    await db.execute("UPDATE link SET state = 'suspended'")
    await upkeep.work_off(both.here.instance)
    await db.execute("UPDATE link SET state = 'active'")
    assert both.pin.server.asked(path) == 0
    for asked in (1, 2):
        await db.execute("UPDATE job SET due_at = 0")
        await upkeep.work_off(both.here.instance)
        await upkeep.work_off(both.here.instance)
        assert both.pin.server.asked(path) == asked
    both.pin.server.serve(copy, both.tells(question, 1))
    await db.execute("UPDATE job SET due_at = 0")
    await upkeep.work_off(both.here.instance)
    await both.here.process()
    assert await both.count("post") == 2


async def test_I4_what_waits_is_gone_with_its_space_when_that_is_taken_back(both: Both) -> None:
    """And it does not come with whoever comes in later: it was told before."""
    comes = both.away(both.frida)
    await both.come(both.tells(both.create(both.frida, both.group.uri), 1))
    [peer] = await db.fetch("SELECT id FROM peer")
    await purges._forget_space({"space_id": both.theirs, "peer_id": peer["id"], "id": new_id()})
    comes()
    assert await db.fetch("SELECT body, outcome FROM receipt") == [{"body": "", "outcome": "taken back"}]
    assert await both.again() == [] and await both.count("post") == 0


async def test_what_another_process_brought_to_its_end_is_not_begun_again(both: Both) -> None:
    both.away(both.frida)
    await both.come()
    assert (await both.here.hear(both.tells(both.create(both.frida, both.group.uri), 1), both.pin.ed)).is_success
    [row] = await processing._waiting()
    waits = await processing.prepare(both.here.instance, processing._read(row, await moves()))
    await db.execute("UPDATE receipt SET processed_at = 1, body = ''")
    await taking_effect.apply([waits])
    assert await db.fetch("SELECT processed_at, body FROM receipt") == [{"processed_at": 1, "body": ""}]


async def test_a_step_of_a_link_is_told_until_a_server_that_is_set_up_anew_takes_it(
    closed: Here, kestrel: OtherServer
) -> None:
    """Otherwise one side believes to be linked and the other does not."""
    await linked(kestrel, "confirmed")
    await links.confirm(Operator(), kestrel.host)
    await sequence_waiting(closed.instance)
    sender = Sender(closed.instance)
    for status in ("404 Not Found",) * 6 + ("500 Broken",) * 3 + ("202 Accepted",):
        assert [row["state"] for row in await db.fetch("SELECT state FROM delivery")] == ["pending"]
        kestrel.scene("/actor/inbox", answer(b"", status=status))
        await db.execute("UPDATE peer SET due_at = 0, lease_until_at = 0")
        for peer in await take_due("test", 10):
            await sender.serve(peer, "test")
    assert [row["state"] for row in await db.fetch("SELECT state FROM delivery")] == ["sent"]


async def test_who_no_longer_follows_somebody_is_heard_while_that_one_is_suspended(both: Both) -> None:
    alice = both.here.alice.actor_id
    follow = {"id": new_id(), "follower_id": await met(both.chloe), "followed_id": alice, "state": "accepted"}
    await db.insert("follow", {**follow, "created_at": 0})
    await db.execute("UPDATE actor SET suspended_at = 1 WHERE id = $1", alice)
    following = both.chloe.says("Follow", both.here.person("alice"))
    await both.come(both.chloe.says("Undo", following), both.frida.says("Follow", both.here.person("alice")))
    assert await both.count("follow") == 0 and len(await both.refused()) == 1


async def test_the_answer_to_our_proposal_waits_until_its_instance_can_be_asked(
    closed: Here, kestrel: OtherServer
) -> None:
    """It was taken with 202, and nobody there says it again."""
    pin = kestrel.instance()
    await met(pin)
    await propose(closed.instance, Operator(), kestrel.host)
    [event] = await db.fetch("SELECT id FROM event WHERE kind = 'link_offered'")
    result = {"parvis:nonce": "0" * 32, "parvis:minVersion": 1}
    accepted = pin.says("Accept", closed.instance.here.activity(event["id"]), result=result)
    kestrel.scene("/actor", NOT_NOW)
    assert (await closed.hear(accepted, pin.ed)).status_code == 202
    for tries in range(MOST_TRIES + 1):
        await db.execute("UPDATE receipt SET received_at = 0")
        await closed.process()
        assert (await db.fetch("SELECT state FROM link"))[0]["state"] == "offered", tries
    pin.publish()
    await db.execute("UPDATE receipt SET received_at = 0")
    await closed.process()
    assert (await db.fetch("SELECT state FROM link"))[0]["state"] == "confirmed"
