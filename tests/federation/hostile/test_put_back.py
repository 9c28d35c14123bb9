"""A partner's database was put back to before it gave something back; or ours was, and a space is closed now."""

# ruff: noqa: F811 (fixtures that come from the neighbouring file)

import asyncio
import json

import pytest

from federation import resync
from federation.composing import Receiver, compose
from federation.outbox import sequence_waiting
from federation.recalling import urgent, work_off
from federation.streams import begin_again, rewind, stream_with
from server import database as db
from server.actions.newcomers import tell_once_more
from server.actions.posts import Draft, publish
from server.actions.recall_restarts import lost_there
from server.clock import now_ms
from server.queries import notifications
from tests.federation.hostile.test_receipts import Asked, asked, shared  # noqa: F401
from tests.federation.stranger import AS_JSON, Here, OtherServer, linked, mirrored
from tests.unit.federation.elsewhere import answer

pytestmark = pytest.mark.anyio


async def numbered(asked: Asked) -> tuple[int, int]:
    """All that was told so far went in the stream, and the recall was answered: the partner, the last number."""
    [target] = await db.fetch("SELECT peer_id FROM recall_target")
    await stream_with(target["peer_id"])
    rows = await db.fetch("SELECT id FROM delivery ORDER BY seq")
    for number, row in enumerate(rows, 1):
        sent = "UPDATE delivery SET number = $1, state = 'sent', done_at = $1 WHERE id = $2"
        await db.execute(sent, number, row["id"])
    await db.execute("UPDATE stream SET given = $1, acked = $1, done = $1", len(rows))
    assert await asked.here.take(await asked.receipt(), asked.pin.ed) == ""
    assert (await asked.target()).state == "confirmed"
    return target["peer_id"], len(rows)


async def test_I4_what_a_partner_gave_back_is_taken_back_again_once_its_database_was_put_back(asked: Asked) -> None:
    peer_id, last = await numbered(asked)
    await db.execute("UPDATE recall SET deadline_at = 1")
    async with db.transaction():
        await rewind(peer_id, last)
    target = await asked.target()
    assert (target.state, bool(target.receipt)) == ("waiting", True), "the receipt stays as evidence"
    [waiting] = await urgent(peer_id, 10)
    sealed = await compose(asked.here.instance, waiting["event_id"], Receiver(peer_id, asked.pin.server.host, True))
    assert sealed is not None and "parvis:Recall" in sealed.body.decode()
    await work_off(asked.here.instance)
    assert (await asked.target()).state == "waiting", "it has as long as the first time"
    assert await notifications.waiting(asked.here.alice, kinds=["recall"]) == []
    assert len(await db.fetch("SELECT id FROM event WHERE kind = 'recalled'")) == 1, "told in its old place, once"
    assert await asked.here.take(await asked.receipt(), asked.pin.ed) == ""
    assert (await asked.target()).state == "confirmed"


async def test_I4_what_was_given_back_before_the_backup_is_left_alone(asked: Asked) -> None:
    peer_id, last = await numbered(asked)
    now = now_ms() + 1000
    await db.execute("UPDATE delivery SET number = number + 1, done_at = $1", now)
    await db.execute("UPDATE stream SET given = $1, acked = $1, done = $1", last + 1)
    async with db.transaction():
        assert await lost_there(peer_id, last + 2, now) == 0
        await begin_again(peer_id, "another address")
    assert (await asked.target()).state == "confirmed"


async def test_I4_a_recall_that_did_not_go_in_the_stream_is_told_again_too(asked: Asked) -> None:
    peer_id, last = await numbered(asked)
    await db.execute("UPDATE delivery SET number = NULL WHERE number = $1", last)
    async with db.transaction():
        await rewind(peer_id, last - 1)
    await work_off(asked.here.instance)
    while await sequence_waiting(asked.here.instance):
        pass
    assert len(await urgent(peer_id, 10)) == 1


async def test_D5_a_space_that_its_host_no_longer_shows_us_does_not_keep_the_others_from_being_compared(
    closed: Here, kestrel: OtherServer
) -> None:
    """Our words in one that is open are told again, whatever became of the others."""
    await linked(kestrel)
    left = await mirrored(kestrel.actor("un", "Group", "/spaces/un"))
    for name in ("deux", "trois"):
        space_id = await mirrored(kestrel.actor(name, "Group", f"/spaces/{name}"), closed.alice)
    post = await publish(closed.alice, Draft("perdu", space_id), closed.instance.here)
    while await sequence_waiting(closed.instance):
        pass
    await db.execute("UPDATE delivery SET state = 'sent', done_at = 1")
    await db.execute("UPDATE peer SET peering = $1", f"{kestrel.base}/peering")
    [space] = await db.fetch("SELECT peer_id FROM space WHERE id = $1", left)
    await stream_with(space["peer_id"])
    await db.execute("UPDATE stream SET resync_at = 1")

    async def state(writer: asyncio.StreamWriter) -> None:
        closed_there = "trois" not in kestrel.there.requests[-1].path
        nothing = b"HTTP/1.1 404 X\r\ncontent-length: 0\r\n\r\n"
        writer.write(nothing if closed_there else answer(json.dumps({"parvis:days": []}).encode(), AS_JSON))
        await writer.drain()

    kestrel.scene("/peering/state", state)
    assert await resync.resync_waiting(closed.instance) == 0, "what is not shown is asked for again"
    asked = [request.path for request in kestrel.there.requests]
    assert not any("%2Fun" in path for path in asked), "nobody of ours is in: there is nothing to ask"
    told = await db.fetch("SELECT post_id FROM event WHERE kind = 'post_published'")
    assert [row["post_id"] for row in told] == [post, post]
    await db.execute("DELETE FROM membership WHERE space_id <> $1", space_id)
    await db.execute("UPDATE delivery SET state = 'sent'")
    await db.execute("UPDATE stream SET resync_at = 1")
    assert await resync.resync_waiting(closed.instance) == 1


async def test_I3_what_is_wished_while_both_are_compared_is_compared_again(closed: Here, kestrel: OtherServer) -> None:
    """Somebody came in after their space was looked at: the past that is theirs, too, was not told."""
    await linked(kestrel)
    space_id = await mirrored(kestrel.actor("un", "Group", "/spaces/un"), closed.alice)
    await db.execute("UPDATE peer SET peering = $1", f"{kestrel.base}/peering")
    [space] = await db.fetch("SELECT peer_id FROM space WHERE id = $1", space_id)
    await stream_with(space["peer_id"])
    await db.execute("UPDATE stream SET resync_at = 1")
    wishes = [True, False]

    async def state(writer: asyncio.StreamWriter) -> None:
        if wishes.pop(0):
            async with db.transaction():
                await tell_once_more(space["peer_id"])
        writer.write(answer(json.dumps({"parvis:days": []}).encode(), AS_JSON))
        await writer.drain()

    kestrel.scene("/peering/state", state)
    assert [await resync.resync_waiting(closed.instance) for _ in range(3)] == [1, 1, 0]
    async with db.transaction():
        await tell_once_more(space["peer_id"])
    [stream] = await db.fetch("SELECT resync_at, compared_at FROM stream")
    assert stream["resync_at"] == stream["compared_at"] + 60_000, "nobody has it compared again and again"
