"""A partner that keeps us waiting, never comes to an end, or has us begin again and again: it costs itself, and nobody
else, more than its share.
"""

import asyncio
import itertools
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from federation import files, own_words, recalling, resync, side_by_side, streams, upkeep
from federation.answering import InTurn
from federation.instance import Instance
from federation.membership_wishes import wish
from federation.pages import Heard
from federation.side_by_side import SideBySide
from federation.streams import begin_again, heard, stream_with
from server import database as db
from server.actions import newcomers, purges
from server.actions.purges import Asked
from server.clock import now_ms
from server.ids import new_id
from server.openness import Level
from server.recall_terms import Keep, RecallScope, root_of
from server.viewer import PeerServer
from tests.federation.stranger import AS_JSON, Actor, Here, Json, OtherServer, enter, linked, met, mirrored
from tests.unit.federation.elsewhere import answer

pytestmark = pytest.mark.anyio


@dataclass
class There:
    """A partner, and a space of its that Alice is in."""

    server: OtherServer
    pin: Actor
    group: Actor
    space_id: int
    peer_id: int


async def partner(here: Here, server: OtherServer) -> There:
    pin, group = await linked(server), server.actor("cevennes", "Group", "/spaces/cevennes")
    pin.publish(endpoints={"parvis:peering": f"{server.base}/asked"})
    group.publish(followers=f"{server.base}/asked")
    space_id = await mirrored(group, here.alice)
    [peer] = await db.fetch("SELECT id FROM peer WHERE host = $1", server.host)
    await db.execute("UPDATE peer SET peering = $1 WHERE id = $2", f"{server.base}/asked", peer["id"])
    return There(server, pin, group, space_id, peer["id"])


async def a_list_of_members(there: There) -> None:
    await db.execute("DELETE FROM job WHERE key = $1", str(there.space_id))
    await wish(there.space_id)


async def a_file(there: There) -> None:
    file_id, post_id = new_id(), new_id()
    post = {"id": post_id, "uri": there.server.new("notes"), "author_id": await met(there.group), "visibility": ""}
    await db.insert("post", {**post, "space_id": there.space_id, "peer_id": there.peer_id, "published_at": now_ms()})
    file = {"id": file_id, "owner_id": post["author_id"], "post_id": post_id, "name": "x", "media_type": "text/plain"}
    await db.insert(
        "attachment",
        {**file, "source_uri": f"{there.server.base}/asked", "state": "waiting", "size": 1, "created_at": 1},
    )
    job = {"id": new_id(), "kind": "fetch_file", "key": str(file_id), "due_at": 1, "created_at": 1}
    await db.insert("job", job)


async def a_list_of_what_is_taken_back(there: There) -> None:
    uris = [there.server.new("notes") for _ in range(2)]
    at = f"{there.server.base}/asked"
    asked = Asked(there.server.new("recalls"), RecallScope.ITEM, root_of(uris), len(uris), Keep.NONE, None, at)
    await purges.begin(there.peer_id, there.space_id, asked)


async def a_comparison(there: There) -> None:
    await stream_with(there.peer_id)
    await db.execute("UPDATE stream SET resync_at = 1 WHERE peer_id = $1", there.peer_id)


@pytest.mark.parametrize(
    ("wished", "turn", "hosts", "path"),
    [
        (a_list_of_members, upkeep.work_off, upkeep._hosts, "/asked"),
        (a_file, files.fetch_waiting, files._hosts, "/asked"),
        (a_list_of_what_is_taken_back, recalling.work_off, recalling._hosts, "/asked"),
        (a_comparison, resync.resync_waiting, resync._hosts, "/asked/state"),
    ],
)
async def test_R13_who_keeps_us_waiting_holds_up_nothing_that_is_asked_of_others(
    closed: Here,
    kestrel: OtherServer,
    merle: OtherServer,
    monkeypatch: pytest.MonkeyPatch,
    wished: Callable[[There], Awaitable[None]],
    turn: Callable[[Instance], Awaitable[int]],
    hosts: SideBySide,
    path: str,
) -> None:
    monkeypatch.setattr(side_by_side, "PATIENCE_S", 0.05)
    silent, others = await partner(closed, kestrel), await partner(closed, merle)
    answers = asyncio.Event()

    async def says_nothing(writer: asyncio.StreamWriter) -> None:
        await answers.wait()
        writer.write(answer(b"{}", AS_JSON))

    kestrel.scene(path, says_nothing)
    merle.serve(merle.base + path, {"type": "OrderedCollectionPage", "orderedItems": [merle.base], "parvis:days": []})
    for times in (1, 2):
        for there in (silent, others):
            await wished(there)
        await turn(closed.instance)
        while hosts.busy() - {silent.peer_id, kestrel.host}:
            await asyncio.sleep(0.01)
        assert merle.asked(path) == times
    while not kestrel.asked(path):
        await asyncio.sleep(0.01)
    assert kestrel.asked(path) == 1, "it is asked nothing more before it has answered"
    answers.set()
    await asyncio.wait(hosts._asked.values())


async def test_R9_a_list_of_what_is_taken_back_is_no_longer_than_was_told(closed: Here, kestrel: OtherServer) -> None:
    there = await partner(closed, kestrel)
    await a_list_of_what_is_taken_back(there)

    async def endless(writer: asyncio.StreamWriter) -> None:
        page = {"type": "OrderedCollectionPage", "orderedItems": [kestrel.new("notes")]}
        writer.write(answer(json.dumps(page | {"next": f"{kestrel.base}/asked?{kestrel.new('x')}"}).encode(), AS_JSON))

    kestrel.scene("/asked", endless)
    for _ in range(5):
        await recalling.work_off(closed.instance)
    assert kestrel.asked("/asked") == 2, "two were told, and a third is not asked for"
    [purge] = await db.fetch("SELECT state, reason FROM purge")
    assert purge["state"] == "refused" and "longer" in purge["reason"]
    assert await db.fetch("SELECT id FROM purge_part") == []


async def test_R9_what_a_partner_says_that_our_people_said_has_an_end(
    closed: Here, kestrel: OtherServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own_words, "MOST_PAGES", 3)
    there = await partner(closed, kestrel)
    numbers = itertools.count(1)

    async def endless(writer: asyncio.StreamWriter) -> None:
        said = [[next(numbers), {}] for _ in range(own_words.AT_ONCE)]
        writer.write(answer(json.dumps({"parvis:own": said}).encode(), AS_JSON))

    kestrel.scene("/asked/state", endless)
    async with db.transaction():
        await begin_again(there.peer_id, "", put_back=True)
    await upkeep.work_off(closed.instance)
    assert kestrel.asked("/asked/state") == 3
    [job] = await db.fetch("SELECT done_at, error FROM job WHERE kind = 'own_words'")
    assert job["done_at"] is not None and "no end" in job["error"]


async def test_R9_the_posts_of_a_day_have_an_end(
    closed: Here, kestrel: OtherServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resync, "ITEMS", 2)
    monkeypatch.setattr(resync, "MOST_OF_A_DAY", 5)
    await a_comparison(await partner(closed, kestrel))
    numbers = itertools.count(1)

    async def endless(writer: asyncio.StreamWriter) -> None:
        there = {"parvis:days": [[1, 2, ""]], "parvis:items": [[f"{next(numbers):09}", 0] for _ in range(2)]}
        writer.write(answer(json.dumps(there).encode(), AS_JSON))

    kestrel.scene("/asked/state", endless)
    assert await resync.resync_waiting(closed.instance) == 0
    assert kestrel.asked("/asked/state") == 1 + 3


async def test_R9_who_says_again_and_again_that_our_database_went_back_is_believed_so_often(
    closed: Here, kestrel: OtherServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each time it would have everything compared, what our people said asked for, and its people invited again."""
    monkeypatch.setattr(resync, "COMPARISONS", 2)
    monkeypatch.setattr(streams, "BEGIN_EVERY_MS", 0)
    there = await partner(closed, kestrel)
    space_id = await closed.open_space("projet", Level.PARTNERS, kestrel)
    await enter(space_id, await met(kestrel.actor("chloe")), kestrel, state="invited")
    kestrel.serve(f"{kestrel.base}/asked/state", {"parvis:days": [], "parvis:own": []})
    compared = []
    for _ in range(4):
        stream = await stream_with(there.peer_id)
        async with db.transaction():
            assert not await heard(there.peer_id, Heard(stream["generation"], stream["given"] + 1, 0))
        await upkeep.work_off(closed.instance)
        await db.execute("UPDATE event SET sequenced_at = 1")
        compared.append(await resync.resync_waiting(closed.instance))
    assert compared == [1, 1, 0, 0]
    assert (await stream_with(there.peer_id))["resync_at"] > now_ms() - 1, "it is compared later"
    assert len(await db.fetch("SELECT id FROM event WHERE kind = 'invited'")) == 1
    [job] = await db.fetch("SELECT due_at FROM job WHERE kind = 'own_words'")
    assert job["due_at"] > now_ms(), "and had back once more, not at once"


async def test_I3_what_is_wished_while_both_are_compared_is_compared_after_it(
    closed: Here, kestrel: OtherServer
) -> None:
    there = await partner(closed, kestrel)
    space_id = await closed.open_space("projet", Level.PARTNERS, kestrel)
    await enter(space_id, await met(kestrel.actor("chloe")), kestrel)
    await a_comparison(there)

    for wish_for in (lambda: newcomers.tell_the_past(space_id), lambda: newcomers.tell_once_more(there.peer_id)):

        async def wishing(writer: asyncio.StreamWriter, wish_for: Any = wish_for) -> None:
            async with db.transaction():
                await wish_for()
            writer.write(answer(json.dumps({"parvis:days": []}).encode(), AS_JSON))

        await a_comparison(there)
        kestrel.scene("/asked/state", wishing)
        assert await resync.resync_waiting(closed.instance) == 1
        assert (await stream_with(there.peer_id))["resync_at"] is not None


async def test_R9_one_instance_has_all_that_both_share_looked_at_once_at_a_time() -> None:
    """Each time it is read and held as a whole: fifty at once filled the memory of a host of large spaces."""
    turns, found = InTurn(), asyncio.Event()
    kestrel, merle = PeerServer(1, linked=True), PeerServer(2, linked=True)
    looking: list[int] = []

    async def look() -> Json:
        looking.append(1)
        await found.wait()
        return {}

    asked = [asyncio.create_task(turns.answer(kestrel, look)) for _ in range(10)]
    other = asyncio.create_task(turns.answer(merle, look))
    while len(looking) < 2:
        await asyncio.sleep(0)
    refused = [task.result() for task in asked if task.done()]
    assert [answer.status_code for answer in refused] == [429] * 5 and refused[0].headers["retry-after"] == "5"
    found.set()
    assert sorted([(await task).status_code for task in asked]) == [200] * 5 + [429] * 5
    assert (await other).status_code == 200 and len(looking) == 6 and not turns._turns
