"""What a partner answers to pages, and what the sender makes of it: errors of its own, rests that it asks for."""

# ruff: noqa: F811 (a fixture that comes from the neighbouring file)

from collections.abc import AsyncIterator
from typing import Any

import pytest

from federation.inbox import wake_resting
from federation.schedule import LONGEST_RETRY_AFTER
from federation.streaming import LinkSender
from server import database as db
from server.actions import link_lag
from server.actions.deliveries import retry_all
from server.actions.link_lag import BEHIND_MS, tell_of_lag
from server.clock import now_ms
from server.viewer import Operator
from tests.bench.link import HOST, actor, peer
from tests.federation.harness import free_port
from tests.federation.test_stream import Answer, Partner, World, gapless, world  # noqa: F401

pytestmark = pytest.mark.anyio


@pytest.fixture
async def neighbour(world: World) -> AsyncIterator[Partner]:
    """Another partner, with a member in the same space."""
    partner = Partner(f"http://127.0.0.3:{free_port()}")
    peer_id = await peer(partner.base, linked=True)
    who = await actor(f"{partner.base}/@driss", "person", peer_id)
    now = now_ms()
    row = {"id": now, "space_id": world.space_id, "actor_id": who, "peer_id": peer_id, "state": "member"}
    await db.insert("membership", {**row, "since_at": 1, "created_at": 1})
    await db.insert("space_partner", {"id": now, "space_id": world.space_id, "peer_id": peer_id, "added_at": 1})
    async with partner.listening():
        yield partner


async def turns(world: World, most: int = 40) -> int:
    """Turns of the sender, each when its time has come, until nothing waits; how many."""
    for turn in range(most):
        await world.send()
        if "pending" not in await world.states():
            return turn + 1
    raise AssertionError(f"still waiting after {most} turns: {await world.states()}")


async def test_D7_an_event_at_which_a_partner_breaks_is_put_aside_and_the_others_arrive(
    world: World, neighbour: Partner
) -> None:
    ids = await world.write(60)
    poison = f"{HOST}/posts/{ids[17]}"

    def breaks(partner: Partner, page: Any) -> Answer | None:
        return (500, {"error": "oops"}) if any(poison in item.body for item in page.items) else None

    world.partner.script = breaks
    await world.sequence()
    await turns(world)
    assert gapless(world.partner) and world.partner.got == 60
    assert len(world.partner.told) == 59 and not any(poison in str(event) for event in world.partner.told)
    [dead] = await db.fetch("SELECT peer_id, error FROM delivery WHERE state = 'dead'")
    assert dead["peer_id"] == world.peer_id and dead["error"]
    assert len(neighbour.told) == 60 and neighbour.pages == [list(range(1, 51)), list(range(51, 61))]


async def test_a_partner_that_breaks_at_everything_is_left_in_peace_and_loses_nothing(world: World) -> None:
    await world.write(3)
    world.partner.script = lambda partner, page: (500, {"error": "oops"})
    await world.sequence()
    for _ in range(12):
        await world.send()
    assert await world.states() == {"pending": 3}, "it is the instance that is at fault"
    world.partner.script = lambda partner, page: None
    await turns(world)
    assert gapless(world.partner) and world.partner.got == 3


@pytest.mark.parametrize(
    ("status", "said", "least", "most"),
    [
        (429, "120", 120_000, 240_000),
        (503, "99999999", LONGEST_RETRY_AFTER, LONGEST_RETRY_AFTER * 11 // 10),
    ],
)
async def test_a_rest_that_a_partner_asks_for_is_kept_and_bounded(
    world: World, neighbour: Partner, status: int, said: str, least: int, most: int
) -> None:
    asked = 0

    def rests(partner: Partner, page: Any) -> Answer:
        nonlocal asked
        asked += 1
        return status, {"error": "later"}

    world.partner.script, world.partner.retry_after = rests, said
    await world.write(3)
    await world.sequence()
    began = now_ms()
    for _ in range(4):
        await world.send(at_once=False)
    row = await db.fetch_one("SELECT state, due_at, rest_until_at FROM peer WHERE id = $1", world.peer_id)
    assert row is not None and row["state"] == "backoff"
    await wake_resting({world.peer_id}, now_ms())
    await world.send(at_once=False)
    assert row["rest_until_at"] >= began + least
    assert began + least <= row["due_at"] <= now_ms() + most
    assert asked == 1, "nothing is sent before its time, whatever is heard from it meanwhile"
    assert len(neighbour.told) == 3, "the others do not wait"
    world.partner.script = lambda partner, page: None
    await turns(world)
    assert gapless(world.partner) and world.partner.got == 3
    row = await db.fetch_one("SELECT rest_until_at FROM peer WHERE id = $1", world.peer_id)
    assert row == {"rest_until_at": 0}


@pytest.mark.parametrize("move", ["closed", "last member", "withdrawn", "link suspended"])
async def test_I1_what_moves_between_building_a_page_and_sending_it_is_honoured(
    world: World, monkeypatch: pytest.MonkeyPatch, move: str
) -> None:
    """Compare and send: the page that was built under the old policy never leaves."""
    ids = await world.write(3)
    await world.sequence()
    built = 0
    moves = {
        "closed": ("UPDATE space SET level = 'closed', epoch = epoch + 1 WHERE id = $1", world.space_id),
        "last member": ("DELETE FROM membership WHERE space_id = $1 AND peer_id IS NOT NULL", world.space_id),
        "withdrawn": ("UPDATE post SET deleted_at = 1, html = '' WHERE id = $1", ids[1]),
        "link suspended": ("UPDATE link SET state = 'suspended' WHERE peer_id = $1", world.peer_id),
    }
    serving = LinkSender.serve.__globals__["_Serving"]
    build = serving._build

    async def then_move(self: Any, after: int) -> Any:
        nonlocal built
        page = await build(self, after)
        if page is not None and not built:
            assert all(item.startswith(b'{"type":"Add"') for item in page.items), "it was built whole"
            await db.execute(*moves[move])
        built += page is not None
        return page

    monkeypatch.setattr(serving, "_build", then_move)
    await world.send()
    told = {event["object"]["object"]["id"] for event in world.partner.told}
    assert told == ({f"{HOST}/posts/{ids[0]}", f"{HOST}/posts/{ids[2]}"} if move == "withdrawn" else set())
    if move == "link suspended":  # nor is a gap told, which would be final
        assert (built, world.partner.got) == (1, 0)
        await db.execute("UPDATE link SET state = 'active' WHERE peer_id = $1", world.peer_id)
        await world.send()
        assert len(world.partner.told) == 3
    assert built == 2 and gapless(world.partner)


async def test_D7_what_was_put_aside_is_told_in_its_turn_once_an_administrator_says_so(world: World) -> None:
    """`parvis deliveries retry`: the number that it had was told as a gap, so it takes another one."""
    ids = await world.write(3)
    poison = f"{HOST}/posts/{ids[1]}"
    world.partner.script = lambda _, page: (400, {}) if any(poison in item.body for item in page.items) else None
    await world.sequence()
    await turns(world)
    assert await world.states() == {"sent": 2, "dead": 1}
    world.partner.script = lambda _, page: None
    assert await retry_all(Operator(), "another.example") == 0
    assert await retry_all(Operator(), "") == 1
    await turns(world)
    assert await world.states() == {"sent": 3} and gapless(world.partner)
    assert poison in str(world.partner.told[-1])


async def test_administrators_hear_once_of_a_link_on_which_nothing_comes_to_its_end(
    world: World, neighbour: Partner
) -> None:
    """Whether the partner is silent, or answers and takes nothing (lemmy#6655); not of one that is catching up."""
    link_lag._acked.clear()
    await db.execute("UPDATE account SET office = 'admin'")
    told = "SELECT n.key FROM notice n WHERE kind = 'link'"
    await world.write(3)
    await world.sequence(age_ms=BEHIND_MS - 60_000)
    assert [await tell_of_lag(), await tell_of_lag()] == [0, 0], "it is a few minutes old"
    await db.execute("UPDATE delivery SET created_at = created_at - 60000")
    link_lag._acked.clear()
    assert await tell_of_lag() == 0, "a server that was down for long has much to tell when it starts"
    await db.execute("UPDATE peer SET state = 'paused' WHERE id = $1", world.peer_id)
    assert await tell_of_lag() == 1, "who refuses us is told of where we are refused"
    await db.execute("UPDATE peer SET state = 'backoff' WHERE id = $1", world.peer_id)
    assert [await tell_of_lag(), await tell_of_lag()] == [1, 0], "of each once"
    assert sorted(row["key"].split(":")[1] for row in await db.fetch(told)) == ["behind", "behind"]
    await turns(world)
    assert await tell_of_lag() == 0
    assert await db.fetch("SELECT id FROM stream WHERE behind_at IS NOT NULL") == []
    await world.write(1)
    await world.sequence(age_ms=BEHIND_MS)
    link_lag._acked[world.peer_id] -= 1
    assert await tell_of_lag() == 1, "one of both has got further since the last look"
    assert await tell_of_lag() == 1
    assert len(await db.fetch(told)) == 4


@pytest.mark.parametrize("answer", ["wants the first", "wants a new run", "has nothing", "does not say"])
async def test_a_partner_whose_answers_lead_nowhere_is_left_in_peace_and_loses_nothing(
    world: World, answer: str
) -> None:
    pages = []

    def nowhere(partner: Partner, page: Any) -> Answer:
        pages.append(page)
        assert len(pages) < 100, "round and round"
        if answer == "does not say":
            return 202, {"?": 1}
        if answer == "has nothing":
            return 202, {"generation": page.generation, "acked": 0, "done": 0, "errors": []}
        return 409, {"want": 1 if answer == "wants the first" else 0, "generation": page.generation}

    world.partner.script = nowhere
    await world.write(3)
    await world.sequence()
    await world.send()
    [peer] = await db.fetch("SELECT state, failures, lease_until_at FROM peer WHERE id = $1", world.peer_id)
    assert (peer["state"], peer["failures"], peer["lease_until_at"]) == ("backoff", 1, 0)
    assert len(pages) < 10
    await db.execute("UPDATE peer SET failing_since_at = failing_since_at - 1000")
    [before] = await db.fetch("SELECT failing_since_at FROM peer WHERE id = $1", world.peer_id)
    await world.send()
    [after] = await db.fetch("SELECT failing_since_at, failures FROM peer WHERE id = $1", world.peer_id)
    assert after == {**before, "failures": 2}, "since the first time"
    world.partner.script = lambda partner, page: None
    await turns(world)
    assert gapless(world.partner) and len({event["id"] for event in world.partner.told}) == 3
