"""A word from an instance that rests brings the next attempt forward; a flood of words does not."""

from typing import cast

import pytest

from federation.inbox import wake_resting
from federation.instance import Instance
from federation.pages import Heard, IncomingPage, Missing
from federation.peering import take
from federation.schedule import MINUTE
from federation.trust import VerifiedSender
from server import database as db
from server.clock import now_ms
from server.ids import new_id

pytestmark = pytest.mark.anyio


async def peer(state: str, due_at: int) -> int:
    peer_id = new_id()
    row = {"id": peer_id, "host": f"h{peer_id}.test", "base_url": f"https://h{peer_id}.test", "state": state}
    await db.insert("peer", {**row, "due_at": due_at, "created_at": 0, "failures": 4})
    return peer_id


async def standing(peer_id: int) -> dict[str, object]:
    row = await db.fetch_one("SELECT state, due_at, failures FROM peer WHERE id = $1", peer_id)
    assert row is not None
    return row


async def test_a_word_from_a_resting_instance_brings_one_attempt_forward(database: str) -> None:
    now = now_ms()
    resting, archived, well = await peer("backoff", now + 50 * MINUTE), await peer("archived", 0), await peer("ok", 0)
    await wake_resting({resting, archived, well}, now)
    assert await standing(resting) == {"state": "backoff", "due_at": now, "failures": 4}
    assert await standing(archived) == {"state": "backoff", "due_at": now, "failures": 4}
    assert await standing(well) == {"state": "ok", "due_at": 0, "failures": 4}
    later = now + 40 * MINUTE
    await db.execute("UPDATE peer SET due_at = $1 WHERE id = $2", later, resting)
    await wake_resting({resting}, now + 1000)
    assert (await standing(resting))["due_at"] == now + MINUTE, "not more than once a minute; and at its end"
    await db.execute("UPDATE peer SET due_at = $1 WHERE id = $2", later, resting)
    await wake_resting({resting}, now + MINUTE + 1000)
    assert (await standing(resting))["due_at"] == now + 2 * MINUTE


async def test_a_word_does_not_cut_short_a_rest_that_was_asked_for(database: str) -> None:
    now = now_ms()
    resting, later = await peer("backoff", now + 50 * MINUTE), now + 50 * MINUTE
    await db.execute("UPDATE peer SET rest_until_at = $1 WHERE id = $2", now + 40 * MINUTE, resting)
    await wake_resting({resting}, now + 39 * MINUTE)
    assert await standing(resting) == {"state": "backoff", "due_at": later, "failures": 4}
    await wake_resting({resting}, now + 41 * MINUTE)
    assert (await standing(resting))["due_at"] == now + 41 * MINUTE


async def test_an_instance_that_is_well_is_noted_as_heard_at_most_once_a_minute(database: str) -> None:
    now, well = now_ms(), await peer("ok", 0)
    for after, heard_at in ((0, now), (MINUTE - 1, now), (MINUTE, now + MINUTE)):
        await wake_resting({well}, now + after)
        [row] = await db.fetch("SELECT last_heard_at, due_at FROM peer WHERE id = $1", well)
        assert (row["last_heard_at"], row["due_at"]) == (heard_at, 0)


async def test_a_page_that_does_not_follow_is_a_word_too(database: str) -> None:
    now = now_ms()
    resting = await peer("backoff", now + 50 * MINUTE)
    sender = VerifiedSender("https://p.test/actor", "https://p.test/actor#k", "p.test", resting, True)
    answer = await take(cast(Instance, None), sender, IncomingPage("g1", 7, (), 0, Heard()))
    assert isinstance(answer, Missing)
    assert cast(int, (await standing(resting))["due_at"]) <= now_ms()
