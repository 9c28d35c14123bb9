"""What was put aside for another instance waits once more, because an administrator says so."""

import dataclasses

import pytest

from server import database as db
from server.actions.deliveries import retry, retry_all
from server.errors import Forbidden, NotFound, Unauthenticated
from server.ids import new_id
from server.openness import Office
from server.viewer import Operator
from tests.cast import INCONNU, KESTREL, Cast, employee, gather

pytestmark = pytest.mark.anyio


@pytest.fixture
async def cast(database: str) -> Cast:
    return await gather()


async def put_aside(cast: Cast) -> list[int]:
    """Two deliveries that Kestrel did not take, one that it did, and one that another instance did not take."""
    other = cast.inconnu.peer_id
    event = {"id": new_id(), "kind": "person_changed", "created_at": 1}
    await db.insert("event", event)
    ids = []
    told = [(cast.kestrel.peer_id, "dead"), (cast.kestrel.peer_id, "dead"), (cast.kestrel.peer_id, "sent")]
    for seq, (peer_id, state) in enumerate([*told, (other, "dead")], 1):
        delivery_id = new_id()
        row = {"id": delivery_id, "peer_id": peer_id, "seq": seq, "event_id": event["id"], "inbox": f"x{seq}"}
        await db.insert("delivery", row | {"state": state, "attempts": 3, "number": seq, "created_at": 1, "done_at": 2})
        ids.append(delivery_id)
    await db.execute("UPDATE peer SET state = 'backoff', due_at = 99")
    return ids


async def states() -> list[tuple[str, int, int | None]]:
    rows = await db.fetch("SELECT state, attempts, number FROM delivery ORDER BY seq")
    return [(row["state"], row["attempts"], row["number"]) for row in rows]


async def deeds() -> list[tuple[str, str, str]]:
    rows = await db.fetch("SELECT act, subject, data FROM audit_entry WHERE act = 'retry_deliveries' ORDER BY id")
    return [(row["act"], row["subject"], row["data"]) for row in rows]


async def resting() -> list[str]:
    rows = await db.fetch("SELECT host FROM peer WHERE state <> 'ok' ORDER BY host")
    return [row["host"] for row in rows]


async def test_nobody_but_administrators_tries_again_and_nothing_changes(cast: Cast) -> None:
    [first, *_] = await put_aside(cast)
    before = await states()
    token = dataclasses.replace(cast.odile, scopes=frozenset({"write"}))
    auditor = await employee("ines", "Inès", Office.AUDITOR)
    for viewer in (cast.alice, token, auditor, cast.driss, cast.chloe):
        for attempt in (lambda who: retry_all(who, KESTREL), lambda who: retry(who, first)):
            with pytest.raises(Forbidden):
                await attempt(viewer)
    with pytest.raises(Unauthenticated):
        await retry(cast.web, first)
    assert await states() == before and await deeds() == [] and await resting() == [INCONNU, KESTREL]


async def test_all_of_one_instance_waits_again_and_it_is_tried_now(cast: Cast) -> None:
    await put_aside(cast)
    assert await retry_all(cast.odile, KESTREL) == 2
    waits = ("pending", 0, None)
    assert await states() == [waits, waits, ("sent", 3, 3), ("dead", 3, 4)]
    assert await resting() == [INCONNU]
    assert await deeds() == [("retry_deliveries", KESTREL, '{"count":2}')]
    assert await retry_all(cast.odile, KESTREL) == 0
    assert await retry_all(cast.odile, "inconnue.test") == 0
    assert len(await deeds()) == 1, "what changed nothing is no deed"


async def test_one_alone_waits_again_and_the_others_stay(cast: Cast) -> None:
    [_, second, sent, _] = await put_aside(cast)
    assert await retry(cast.odile, second) == (KESTREL, 1)
    assert await states() == [("dead", 3, 1), ("pending", 0, None), ("sent", 3, 3), ("dead", 3, 4)]
    assert await resting() == [INCONNU] and await deeds() == [("retry_deliveries", KESTREL, '{"count":1}')]
    for again in (second, sent):
        assert await retry(cast.odile, again) == (KESTREL, 0), "it is not put aside, or no more"
    with pytest.raises(NotFound):
        await retry(cast.odile, 7)
    assert len(await deeds()) == 1


async def test_the_operator_tries_all_of_all(cast: Cast) -> None:
    await put_aside(cast)
    assert await retry_all(Operator(), "") == 3
    assert await resting() == [] and await deeds() == [("retry_deliveries", "", '{"count":3}')]
