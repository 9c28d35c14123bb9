"""Ninety days later: what nothing needs is gone, who holds a copy is still known, and numbers go on without gaps."""

from collections.abc import Awaitable, Callable

import pytest

from federation.outbox import sequence_waiting
from federation.recalling import work_off
from server import database as db
from server.actions import sweeping
from server.actions.gestures import react, unreact
from server.actions.posts import Draft, edit, publish, withdraw
from server.actions.recalls import take_back_all
from server.clock import now_ms
from server.openness import Level
from server.queries.recalls import find
from server.viewer import Operator
from tests.federation.stranger import Here, OtherServer, enter, linked, met

pytestmark = pytest.mark.anyio
DAY = sweeping.DAY_MS


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Awaitable[None]]:
    """So many days later, a whole pass."""

    async def sweep(days: int) -> None:
        moment = now_ms() + days * DAY
        monkeypatch.setattr(sweeping, "now_ms", lambda: moment)
        monkeypatch.setattr(sweeping, "_pass", sweeping._Pass())
        monkeypatch.setattr(sweeping, "AT_ONCE", 7)
        steps = 0
        while looked_at := await sweeping.sweep():
            assert looked_at <= 7
            steps += 1
        assert steps > 1 or days < 90, "in bounded steps"

    return sweep


async def settle(here: Here) -> None:
    """What waits is told, and had its effect there."""
    while await sequence_waiting(here.instance):
        pass
    await db.execute("UPDATE delivery SET state = 'sent', attempts = 1, done_at = $1 WHERE state = 'pending'", now_ms())


async def much_happens(here: Here, post_ids: list[int], times: int) -> None:
    for post_id in post_ids:
        for n in range(times):
            await edit(here.alice, post_id, f"mot {n}", here.instance.here)
            await react(here.alice, post_id, "👍")
            if n < times - 1:
                await unreact(here.alice, post_id, "👍")
    await settle(here)


async def counted(table: str) -> int:
    [row] = await db.fetch(f"SELECT COUNT(*) AS n FROM {table}")
    return int(row["n"])


async def shared(here: Here, *partners: OtherServer) -> tuple[int, list[int]]:
    """A space with somebody of each partner in it, and three posts that all of them have."""
    for partner in partners:
        await linked(partner)
    space_id = await here.open_space("projet", Level.PARTNERS, *partners)
    for partner in partners:
        await enter(space_id, await met(partner.actor("chloe")), partner)
    posts = [await publish(here.alice, Draft(f"mot {n}", space_id), here.instance.here) for n in range(3)]
    await settle(here)
    return space_id, posts


async def test_what_is_kept_grows_with_posts_times_partners_and_not_with_what_happens(
    closed: Here, kestrel: OtherServer, merle: OtherServer, later: Callable[[int], Awaitable[None]]
) -> None:
    _, posts = await shared(closed, kestrel, merle)
    await much_happens(closed, posts, 3)
    await later(91)
    deliveries, events = await counted("delivery"), await counted("event")
    assert deliveries <= 2 * (2 * len(posts) + 3), "a Create and an Update of each, and the last of each other kind"
    await much_happens(closed, posts, 6)
    grown = await counted("delivery")
    await later(89)
    assert await counted("delivery") == grown, "what is younger than ninety days stays"
    await later(91)
    assert (await counted("delivery"), await counted("event")) == (deliveries, events)


async def test_a_recall_after_the_sweep_reaches_every_holder_with_every_post(
    closed: Here, kestrel: OtherServer, merle: OtherServer, later: Callable[[int], Awaitable[None]]
) -> None:
    space_id, posts = await shared(closed, kestrel, merle)
    await much_happens(closed, posts, 4)
    await later(91)
    for peer in await db.fetch("SELECT id FROM peer WHERE host IN ($1, $2)", kestrel.host, merle.host):
        await take_back_all(Operator(), peer["id"], "link_end")
    await work_off(closed.instance)
    recalls = await db.fetch("SELECT id FROM recall WHERE space_id = $1", space_id)
    targets = [target for row in recalls for target in (await find(Operator(), row["id"])).targets]
    assert sorted((target.host, target.items) for target in targets) == sorted(
        [(kestrel.host, len(posts)), (merle.host, len(posts))]
    )


async def test_a_withdrawal_after_the_sweep_goes_to_whoever_has_the_post_and_addresses_stay(
    closed: Here, kestrel: OtherServer, later: Callable[[int], Awaitable[None]]
) -> None:
    _, posts = await shared(closed, kestrel)
    born = "SELECT post_id, MIN(id) AS id FROM event WHERE kind = 'post_published' GROUP BY post_id ORDER BY post_id"
    standing = "SELECT e.id FROM event e JOIN reaction r ON r.uri = 'event:' || e.id ORDER BY e.id"
    before = await db.fetch(born)
    await much_happens(closed, posts, 3)
    gestures = await db.fetch(standing)
    await later(91)
    assert await db.fetch(born) == before, "the address of the Create"
    assert await db.fetch(standing) == gestures and len(gestures) == len(posts), "gestures that stand"
    await withdraw(closed.alice, posts[0])
    while await sequence_waiting(closed.instance):
        pass
    [gone] = await db.fetch(
        "SELECT q.host FROM delivery d JOIN peer q ON q.id = d.peer_id JOIN event e ON e.id = d.event_id"
        " WHERE e.kind = 'post_withdrawn' AND e.post_id = $1 AND d.state = 'pending'",
        posts[0],
    )
    assert gone["host"] == kestrel.host


async def test_what_waits_or_had_no_effect_yet_is_never_swept(
    closed: Here, kestrel: OtherServer, later: Callable[[int], Awaitable[None]]
) -> None:
    _, posts = await shared(closed, kestrel)
    for n in range(4):
        await edit(closed.alice, posts[0], f"mot {n}", closed.instance.here)
    while await sequence_waiting(closed.instance):
        pass
    waiting = await db.fetch("SELECT id, event_id FROM delivery WHERE state = 'pending' ORDER BY id")
    for number, row in enumerate(waiting[:2], 1):  # acknowledged, but what became of the second is not known
        await db.execute(
            "UPDATE delivery SET state = 'sent', number = $1, done_at = $2 WHERE id = $3", number, now_ms(), row["id"]
        )
    [peer] = await db.fetch("SELECT peer_id FROM delivery LIMIT 1")
    stream = {"id": 1, "peer_id": peer["peer_id"], "generation": "a", "given": 2, "acked": 2, "done": 1}
    await db.insert("stream", stream)
    await later(91)
    left = {row["id"] for row in await db.fetch("SELECT id FROM delivery")}
    assert left >= {row["id"] for row in waiting[1:]} and waiting[0]["id"] not in left
