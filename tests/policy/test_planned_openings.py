"""What has its time: an opening that may no longer be made is not made and stands in nobody's way; an end comes."""

from dataclasses import replace

import msgspec
import pytest

from server import database as db
from server.actions import break_glass, moving, openness, plans, timers
from server.actions.openness import Door, How, Outcome
from server.clock import now_ms
from server.errors import Conflict, Invalid
from server.ids import new_id
from server.openness import Audience, Level, Office, Reach
from server.queries import policies, spaces
from server.rights import Less
from server.space_policy import PartnerTerms, SpacePolicy, canonical
from tests import cast as company
from tests.cast import KESTREL, Cast

PAGE = How(Door.PAGE)
DAY = 24 * 3600 * 1000


@pytest.fixture
async def cast(database: str) -> Cast:
    return await company.gather()


async def planned(cast: Cast, team: int, wanted: SpacePolicy) -> int:
    """A planned change of alice's whose date is now; its id."""
    done = await openness.change(cast.alice, team, replace(wanted, opens_at=now_ms() + DAY), PAGE)
    assert done.outcome is Outcome.PLANNED and done.change_id is not None
    due = replace(wanted, opens_at=now_ms() - 1)
    space = await spaces.find_by_id(cast.alice, team)
    before = await policies.current(team)
    await db.execute(
        "UPDATE policy_change SET wanted = $1, plan_hash = $2 WHERE id = $3",
        canonical(due),
        plans.hash_of(space.slug, space.epoch, before, openness.read_policy(canonical(due)), False),
        done.change_id,
    )
    return done.change_id


async def state_of(change_id: int) -> str:
    row = await db.fetch_one("SELECT state FROM policy_change WHERE id = $1", change_id)
    assert row is not None
    return str(row["state"])


@pytest.mark.anyio
async def test_a_planned_opening_to_who_is_linked_no_more_does_not_keep_other_spaces_from_ending(cast: Cast) -> None:
    team = await company.space("team", Level.CLOSED, cast.alice)
    other = await company.space("other", Level.INTERNAL, cast.alice)
    nobody, known = ((PartnerTerms(host),) for host in ("nowhere.example", KESTREL))
    wanted = replace(await policies.current(team), level=Level.PARTNERS, partners=known)
    with pytest.raises(Invalid):
        await planned(cast, team, replace(wanted, partners=nobody))
    change_id = await planned(cast, team, wanted)
    await db.execute("UPDATE link SET state = 'ended'")
    await db.execute("UPDATE space SET closes_at = $1 WHERE id = $2", now_ms() - 1, other)
    assert await timers.run_due() == 1
    assert (await policies.current(other)).level is Level.CLOSED
    assert (await policies.current(team)).level is Level.CLOSED
    assert await state_of(change_id) == "stale"
    told = await db.fetch("SELECT actor_id FROM notice WHERE key = $1", f"openness:{change_id}:stale")
    assert [row["actor_id"] for row in told] == [cast.alice.actor_id]


@pytest.mark.anyio
async def test_a_planned_opening_to_a_partner_that_moves_meanwhile_is_the_same_opening(cast: Cast) -> None:
    team = await company.space("team", Level.CLOSED, cast.alice)
    late = await company.space("late", Level.CLOSED, cast.alice)
    known = (PartnerTerms(KESTREL),)
    change_id, stale = [
        await planned(cast, one, replace(await policies.current(one), level=Level.PARTNERS, partners=known))
        for one in (team, late)
    ]
    await openness.change(cast.alice, late, replace(await policies.current(late), level=Level.INTERNAL), PAGE)
    await moving.follow(cast.kestrel.peer_id, f"https://{KESTREL}", "https://falke.test", now_ms())
    await timers.run_due()
    assert [terms.host for terms in (await policies.current(team)).partners] == ["falke.test"]
    assert [await state_of(one) for one in (change_id, stale)] == ["applied", "stale"], "what was stale stays so"


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("name", "value"), [("require_second_person_from", '"network"'), ("openings_a_week", "1"), ("managed", "")]
)
async def test_a_planned_opening_is_held_to_what_the_instance_asks_on_its_day(
    cast: Cast, name: str, value: str
) -> None:
    team = await company.space("team", Level.CLOSED, cast.alice)
    change_id = await planned(cast, team, replace(await policies.current(team), level=Level.NETWORK))
    if name == "managed":
        sql = "UPDATE space SET managed_by = 'spaces.toml', managed_fields = '[\"level\"]' WHERE id = $1"
        await db.execute(sql, team)
    else:
        await db.insert("guardrail", {"id": new_id(), "name": name, "value": value})
    if name == "openings_a_week":
        first = await company.space("first", Level.CLOSED, cast.alice)
        await openness.change(cast.alice, first, replace(await policies.current(first), level=Level.NETWORK), PAGE)
    assert await timers.run_due() == 0
    assert (await policies.current(team)).level is Level.CLOSED
    assert await state_of(change_id) == "stale"


@pytest.mark.anyio
async def test_openings_far_away_do_not_stand_before_one_that_is_due(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timers, "READ_AT_ONCE", 2)
    for number in range(4):
        later = await company.space(f"later-{number}", Level.CLOSED, cast.alice)
        wanted = replace(await policies.current(later), level=Level.NETWORK, opens_at=now_ms() + DAY)
        assert (await openness.change(cast.alice, later, wanted, PAGE)).outcome is Outcome.PLANNED
    team = await company.space("team", Level.CLOSED, cast.alice)
    change_id = await planned(cast, team, replace(await policies.current(team), level=Level.NETWORK))
    assert await timers.run_due() == 1
    assert await state_of(change_id) == "applied"
    assert len(await db.fetch("SELECT id FROM policy_change WHERE state = 'planned'")) == 4


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("sql", "outcome"),
    [
        ("UPDATE membership SET role = 'member' WHERE actor_id = $1", "stale"),
        ("DELETE FROM membership WHERE actor_id = $1", "stale"),
        ("UPDATE account SET suspended_at = 1 WHERE actor_id = $1", "stale"),
        ("UPDATE account SET office = 'admin' WHERE actor_id = $1", "applied"),
    ],
)
async def test_a_planned_opening_is_not_made_for_somebody_who_may_not_ask_for_it_any_more(
    cast: Cast, sql: str, outcome: str
) -> None:
    team = await company.space("team", Level.CLOSED, cast.alice, listed=False)
    await company.enter(team, cast.bruno, role="owner")
    change_id = await planned(cast, team, replace(await policies.current(team), level=Level.NETWORK))
    await db.execute(sql, cast.alice.actor_id)
    await timers.run_due()
    assert await state_of(change_id) == outcome
    assert (await policies.current(team)).level is (Level.NETWORK if outcome == "applied" else Level.CLOSED)
    told = await db.fetch("SELECT actor_id FROM notice WHERE key = $1", f"openness:{change_id}:stale")
    assert (cast.bruno.actor_id in [row["actor_id"] for row in told]) == (outcome == "stale")
    deeds = await db.fetch("SELECT data FROM audit_entry WHERE act = 'lapse_openness'")
    assert [msgspec.json.decode(row["data"]) for row in deeds] == [{"why": "asker"}] * (outcome == "stale")


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("then", "found", "less", "indexing"),
    [
        (None, Level.CLOSED, (), True),
        (Level.NETWORK, Level.NETWORK, (), True),
        (Level.PARTNERS, Level.CLOSED, ((Audience.STAFF, (("notices", 0),)),), False),
    ],
)
async def test_a_space_ends_whatever_its_dials_were_and_closes_where_they_do_not_fit_what_follows(
    cast: Cast, then: Level | None, found: Level, less: tuple[tuple[Audience, Less], ...], indexing: bool
) -> None:
    team = await company.space("team", Level.PUBLIC, cast.alice)
    wanted = replace(
        await policies.current(team),
        reach=Reach.EVERYONE,
        indexing=indexing,
        less=less,
        closes_at=now_ms() + DAY,
        then_level=then,
    )
    assert (await openness.change(cast.alice, team, wanted, PAGE)).outcome is Outcome.APPLIED
    await db.execute("UPDATE space SET closes_at = $1 WHERE id = $2", now_ms() - 1, team)
    assert await timers.run_due() == 1
    now = await policies.current(team)
    assert (now.level, now.indexing, now.closes_at) == (found, False, None)


@pytest.mark.anyio
async def test_a_request_to_read_that_was_refused_is_not_granted_afterwards(cast: Cast) -> None:
    team = await company.space("team", Level.CLOSED, cast.alice)
    await db.execute("UPDATE account SET office = 'admin' WHERE actor_id = $1", cast.bruno.actor_id)
    admin = replace(cast.bruno, office=Office.ADMIN)
    asked = await break_glass.ask(admin, "team", "Une plainte à instruire")
    await break_glass.end(cast.alice, asked)
    with pytest.raises(Conflict):
        await break_glass.grant(cast.alice, asked)
    assert await db.fetch("SELECT id FROM notice WHERE kind = 'glass'") == []
    assert team
