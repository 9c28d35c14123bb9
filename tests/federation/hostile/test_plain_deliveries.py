"""Servers without a link: whose inbox is not there, and who was silent for a month."""

from dataclasses import dataclass
from typing import Any

import pytest

from federation.inbox import wake_resting
from federation.outbox import sequence_waiting
from federation.schedule import ARCHIVED_AFTER, DAY
from federation.sending import Sender, take_due
from server import database as db
from server.actions.posts import Draft, publish, withdraw
from server.clock import now_ms
from server.ids import new_id
from server.openness import Visibility
from tests.federation.stranger import Actor, Here, OtherServer, met
from tests.unit.federation.elsewhere import answer

pytestmark = pytest.mark.anyio


@dataclass
class Followed:
    """Alice, whom Eve follows from a server that no link ties to us."""

    here: Here
    server: OtherServer
    eve: Actor
    peer_id: int

    async def says(self, text: str) -> int:
        draft = Draft(text, visibility=Visibility.PUBLIC)
        post = await publish(self.here.alice, draft, self.here.instance.here)
        await self.sequence()
        return post

    async def sequence(self) -> None:
        while await sequence_waiting(self.here.instance):
            pass

    async def send(self, times: int = 1) -> None:
        """So many turns, whatever the schedule says."""
        for _ in range(times):
            await db.execute("UPDATE peer SET due_at = 0, lease_until_at = 0")
            for peer in await take_due("test", 10):
                await Sender(self.here.instance).serve(peer, "test")

    async def deliveries(self) -> list[tuple[str, str, str]]:
        rows = await db.fetch("SELECT state, error, inbox FROM delivery ORDER BY id")
        return [(row["state"], row["error"], row["inbox"].removeprefix(self.server.base)) for row in rows]

    async def peer(self) -> dict[str, Any]:
        [row] = await db.fetch("SELECT state, failing_since_at FROM peer WHERE id = $1", self.peer_id)
        return row

    def scene(self, path: str, status: str) -> None:
        self.server.scene(path, answer(b"", status=status))


@pytest.fixture
async def followed(here: Here, inconnu: OtherServer) -> Followed:
    eve = inconnu.actor("eve", endpoints={})
    who = await met(eve)
    [row] = await db.fetch("SELECT peer_id FROM actor WHERE id = $1", who)
    follow = {"id": new_id(), "follower_id": who, "followed_id": here.alice.actor_id, "state": "accepted"}
    await db.insert("follow", {**follow, "created_at": 0})
    return Followed(here, inconnu, eve, row["peer_id"])


async def test_who_has_another_inbox_by_now_is_told_there_at_once(followed: Followed) -> None:
    followed.scene("/users/eve/inbox", "410 Gone")
    followed.eve.publish(inbox=f"{followed.eve.uri}/autre")
    await followed.says("bonjour")
    await followed.send()
    assert await followed.deliveries() == [("sent", "", "/users/eve/autre")]
    assert followed.server.asked("/users/eve/autre") == 1
    await followed.says("encore")
    await followed.send()
    assert (await followed.deliveries())[1] == ("sent", "", "/users/eve/autre")
    assert followed.server.asked("/users/eve") == 1


async def test_who_is_gone_is_told_nothing_more_and_nobody_waits_for_them(followed: Followed) -> None:
    followed.scene("/users/eve/inbox", "404 Not Found")
    followed.scene("/users/eve", "410 Gone")
    await followed.says("bonjour")
    await followed.send()
    assert await followed.deliveries() == [("dead", "the actor is gone", "/users/eve/inbox")]
    assert (await followed.peer())["state"] == "ok"
    await followed.says("encore")
    assert len(await followed.deliveries()) == 1


async def test_a_follower_is_let_go_once_their_inbox_was_not_there_three_times_on_more_than_a_day(
    followed: Followed,
) -> None:
    followed.scene("/users/eve/inbox", "404 Not Found")
    for number in (1, 2, 3, 4):
        assert len(await db.fetch("SELECT id FROM follow")) == 1
        await followed.says(f"mot {number}")
        await followed.send(3)
        assert (await followed.deliveries())[-1][0] == "dead", "after three attempts"
        if number == 3:  # all within a minute: a server that is set up anew
            await db.execute("UPDATE delivery SET done_at = done_at - $1", DAY)
    assert await db.fetch("SELECT id FROM follow") == []
    await followed.says("seul")
    assert len(await followed.deliveries()) == 4


async def test_D10_for_who_was_silent_for_a_month_only_what_takes_back_is_kept(followed: Followed) -> None:
    post = await followed.says("bonjour")
    await followed.send()
    followed.scene("/users/eve/inbox", "500 Internal Server Error")
    await followed.says("deux")
    since = now_ms() - ARCHIVED_AFTER
    await db.execute("UPDATE peer SET state = 'suspended', failing_since_at = $1", since)
    await withdraw(followed.here.alice, post)
    await followed.sequence()
    await followed.send()
    assert (await followed.peer())["state"] == "archived"
    assert [row[:2] for row in await followed.deliveries()] == [("sent", ""), ("skipped", "archived"), ("pending", "")]
    await followed.says("trois")
    assert len(await followed.deliveries()) == 3, "and nothing new"
    followed.scene("/users/eve/inbox", "202 Accepted")
    await wake_resting({followed.peer_id}, now_ms())
    await followed.send()
    assert (await followed.deliveries())[-1][0] == "sent" and (await followed.peer())["state"] == "ok"
    await followed.says("quatre")
    await followed.send()
    assert [row[0] for row in await followed.deliveries()] == ["sent", "skipped", "sent", "sent"]
