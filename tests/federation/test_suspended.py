"""A link stands still for a while: nothing flows, and afterwards nothing is lost."""

from typing import Any

import pytest

from federation import composing, membership_wishes, resync, streaming
from federation.processing import process_waiting
from federation.sending import Sender, take_due
from federation.streams import OWN_WORDS
from federation.upkeep import work_off
from server import database as db
from server.actions import links
from server.clock import now_ms
from server.ids import new_id
from server.viewer import Operator
from tests.bench.link import HOST, space
from tests.federation.test_stream import World, gapless, world

pytestmark = pytest.mark.anyio
__all__ = ["world"]


async def stands_still(world: World) -> None:
    await links.suspend(Operator(), await host_of(world))


async def goes_on(world: World) -> None:
    await links.resume(Operator(), await host_of(world))


async def host_of(world: World) -> str:
    [row] = await db.fetch("SELECT host FROM peer WHERE id = $1", world.peer_id)
    return str(row["host"])


async def test_what_happened_while_a_link_was_suspended_is_told_when_it_goes_on(world: World) -> None:
    before = await world.write(1)
    await world.sequence()
    await stands_still(world)
    during = await world.write(2)
    await world.happens("reacted", during[0])
    await world.sequence()
    await world.send()
    assert world.partner.events == {}, "nothing flows"
    await goes_on(world)
    await world.sequence()
    await world.send()
    posts = [f"{HOST}/posts/{post}" for post in (*before, *during)]
    assert [event["object"]["object"]["id"] for event in world.partner.told[:3]] == posts
    assert [event["object"]["type"] for event in world.partner.told[3:]] == ["Like"] and gapless(world.partner)


async def test_who_was_refused_learns_by_an_empty_page_that_the_link_goes_on(world: World) -> None:
    pages = 0

    def count(*_: object) -> None:
        nonlocal pages
        pages += 1

    await world.write(1)
    await world.sequence()
    await world.send()
    await stands_still(world)
    await world.send()
    world.partner.script = count
    await goes_on(world)
    await world.send()
    assert pages == 1 and world.partner.pages[-1] == []


async def test_what_happened_while_six_words_were_compared_again_is_told_afterwards(world: World) -> None:
    """Gestures and votes too, which no comparison finds; but what is about the link itself goes meanwhile."""
    [post] = await world.write(1)
    await world.sequence()
    await world.send()
    [waits] = await world.write(1)
    await world.sequence()
    changed = "UPDATE link SET state = 'confirmed', cause = 'key', active_at = 1 WHERE peer_id = $1"
    await db.execute(changed, world.peer_id)
    await world.happens("reacted", post)
    await world.sequence()
    await links.confirm(Operator(), await host_of(world))
    await world.sequence()
    sender = Sender(world.instance)
    for due in await take_due("test", 10):
        await sender.serve(due, "test")
    assert await world.states() == {"sent": 2, "pending": 2} and world.partner.posts == ["parvis:Confirm"]
    assert (await world.stream())["resync_at"] is None
    assert await take_due("test", 10) == []
    await links.confirmed(world.peer_id)
    assert (await world.stream())["resync_at"] is not None
    await world.send()
    assert world.partner.told[1]["object"]["object"]["id"] == f"{HOST}/posts/{waits}"
    assert world.partner.told[2]["object"]["type"] == "Like" and gapless(world.partner)


async def test_a_link_that_stops_in_the_middle_of_a_turn_keeps_what_it_was_not_told(world: World) -> None:
    """So it is where posts go to inboxes, because the partner names no address for a stream."""
    await db.execute("UPDATE peer SET peering = '-'")
    await world.write(2)
    await world.sequence()
    [due] = await take_due("test", 10)
    await stands_still(world)
    assert await Sender(world.instance).serve(due, "test") == 0
    assert await world.states() == {"pending": 2}


async def test_a_link_that_stops_for_a_moment_while_a_page_is_built_makes_no_gap(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = composing.compose

    async def compose(*args: Any) -> Any:
        monkeypatch.setattr(streaming, "compose", real)
        await stands_still(world)
        sealed = await real(*args)
        await goes_on(world)
        return sealed

    await world.write(1)
    await world.sequence()
    monkeypatch.setattr(streaming, "compose", compose)
    await world.send()
    assert await world.states() == {"sent": 1} and len(world.partner.told) == 1


@pytest.mark.parametrize("takes_back", [False, True])
async def test_what_came_before_a_link_was_suspended_waits_until_it_goes_on(world: World, takes_back: bool) -> None:
    """But for what takes back. So it does while the six words are compared again."""
    what = '"parvis:recall":1' if takes_back else '"type":"Like"'
    came = {"id": new_id(), "activity_hash": "1", "peer_id": world.peer_id, "seq": 1, "linked": True, "received_at": 1}
    await db.insert("receipt", {**came, "sender_uri": HOST, "body": f"{{{what}}}"})
    await stands_still(world)
    assert await process_waiting(world.instance) == takes_back
    await db.execute("UPDATE link SET state = 'confirmed', confirmed_there_at = 1 WHERE peer_id = $1", world.peer_id)
    assert await process_waiting(world.instance) == 0
    await links.confirm(Operator(), await host_of(world))
    assert await process_waiting(world.instance) == (not takes_back)


@pytest.mark.parametrize("kind", [membership_wishes.KIND, OWN_WORDS])
async def test_what_is_to_be_asked_of_a_partner_waits_until_its_link_goes_on(world: World, kind: str) -> None:
    """Its list of members, and what our people said."""
    elsewhere = await space(f"{world.partner.base}/spaces/quai", world.peer_id, world.alice, None, None)
    key = f"{world.peer_id}:1" if kind == OWN_WORDS else str(elsewhere)
    await db.insert("job", {"id": new_id(), "kind": kind, "key": key, "due_at": 0, "created_at": 0, "payload": "{}"})
    await stands_still(world)
    for state in ("suspended", "confirmed"):
        await db.execute("UPDATE link SET state = $1, active_at = 1", state)
        await db.execute("UPDATE job SET due_at = 0")
        assert await work_off(world.instance) == 1
        [job] = await db.fetch("SELECT done_at, attempts, due_at FROM job")
        assert (job["done_at"], job["attempts"]) == (None, 0) and job["due_at"] > now_ms()


async def test_a_comparison_tells_again_what_had_no_effect_there_and_was_not_decided(world: World) -> None:
    """What its host would not have it is not told again (I5)."""
    [post] = await world.write(1)
    await world.sequence()
    await world.send()
    refused = []
    for code in ("policy", "not-found", "unavailable", "failed", ""):
        await db.execute("UPDATE delivery SET error = $1", code)
        refused += [code] if await resync._was_refused(world.peer_id, post) else []
    assert refused == ["policy", "not-found"]
