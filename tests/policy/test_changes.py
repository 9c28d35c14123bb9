"""A change of openness, whichever way it is asked for: what was planned is what is found, once, and in the history."""

import random
from dataclasses import replace
from typing import Any

import pytest

from server import database as db
from server.actions import openness, plans, timers
from server.actions.accounts import suspend
from server.actions.openness import Door, How, Outcome
from server.actions.policy_history import verify
from server.clock import now_ms
from server.errors import Conflict, DomainError, Forbidden, Invalid, NotFound
from server.ids import new_id
from server.openness import Audience, History, Identity, Level, PartnerView, Reach
from server.queries import policies, posts, spaces
from server.space_policy import (
    PartnerTerms,
    SpacePolicy,
    canonical,
    compare,
    from_json,
    only_narrows,
    reset_outside,
    to_json,
    widens,
)
from server.viewer import Employee, Operator
from tests import cast as company
from tests.cast import KESTREL, Cast

PAGE = How(Door.PAGE)
DAY = 24 * 3600 * 1000


@pytest.fixture
async def cast(database: str) -> Cast:
    return await company.gather()


async def guardrail(name: str, value: str) -> None:
    await db.insert("guardrail", {"id": new_id(), "name": name, "value": value})


@pytest.mark.anyio
async def test_nobody_but_an_owner_changes_how_open_a_space_is_and_who_sees_nothing_learns_nothing(cast: Cast) -> None:
    team = await company.space("team", Level.CLOSED, cast.alice, listed=False)
    wanted = replace(await policies.current(team), level=Level.INTERNAL)
    with pytest.raises(NotFound):
        await openness.change(cast.bruno, team, wanted, PAGE)
    await company.enter(team, cast.bruno)
    with pytest.raises(Forbidden):
        await openness.change(cast.bruno, team, wanted, PAGE)
    assert (await policies.current(team)).level is Level.CLOSED
    assert (await openness.change(cast.alice, team, wanted, PAGE)).outcome is Outcome.APPLIED


@pytest.mark.anyio
async def test_a_version_that_moved_is_refused_and_the_same_twice_changes_nothing(cast: Cast) -> None:
    team = await company.space("team", Level.CLOSED, cast.alice)
    wanted = replace(await policies.current(team), level=Level.INTERNAL)
    done = await openness.change(cast.alice, team, wanted, How(Door.API, base_epoch=1))
    assert (done.outcome, done.epoch) == (Outcome.APPLIED, 2)
    with pytest.raises(Conflict):
        await openness.change(cast.alice, team, replace(wanted, level=Level.CLOSED), How(Door.API, base_epoch=1))
    again = await openness.change(cast.alice, team, wanted, How(Door.API, base_epoch=2))
    assert (again.outcome, again.epoch) == (Outcome.UNCHANGED, 2)
    assert len(await db.fetch("SELECT number FROM policy_version WHERE space_id = $1", team)) == 2


@pytest.mark.anyio
async def test_a_partner_who_comes_later_reads_nothing_that_was_written_before_unless_the_past_is_opened(
    cast: Cast,
) -> None:
    team = await company.space("team", Level.PARTNERS, cast.alice, reach=Reach.EVERYONE)
    old = await company.say(cast.alice, "Avant l’ouverture", team)
    await db.execute("UPDATE post SET published_at = published_at - 1000 WHERE id = $1", old)
    before = await policies.current(team)
    opened = replace(before, partners=(PartnerTerms(KESTREL),))
    plan = await plans.plan(cast.alice, team, opened)
    theirs = next(impact for impact in plan.impacts if impact.host == KESTREL)
    assert (theirs.gained.items, theirs.after.everyone) == (0, True)
    await openness.change(cast.alice, team, opened, PAGE)
    with pytest.raises(NotFound):
        await posts.find(cast.driss, old)
    past = await plans.plan(cast.alice, team, opened, past=True)
    theirs = next(impact for impact in past.impacts if impact.host == KESTREL)
    assert (theirs.gained.items, theirs.gained.authors, past.widens) == (1, 1, True)
    with pytest.raises(NotFound):
        await posts.find(cast.driss, old)  # a plan changes nothing
    await openness.change(cast.alice, team, opened, How(Door.PAGE, past=True))
    assert (await posts.find(cast.driss, old)).id == old


@pytest.mark.anyio
async def test_who_may_not_open_alone_waits_for_a_second_person_bound_to_the_plan_and_narrowing_never_waits(
    cast: Cast,
) -> None:
    await guardrail("require_second_person_from", '"partners"')
    team = await company.space("team", Level.PARTNERS, cast.alice)
    before = await policies.current(team)
    wanted = replace(before, partners=(PartnerTerms(KESTREL),))
    done = await openness.change(cast.alice, team, wanted, PAGE)
    assert done.outcome is Outcome.WAITING and done.change_id is not None
    assert await policies.current(team) == before
    with pytest.raises(Forbidden):
        await openness.approve(cast.alice, done.change_id, done.plan_hash)
    with pytest.raises(Conflict):
        await openness.approve(cast.odile, done.change_id, "0" * 64)
    with pytest.raises(NotFound):
        await openness.approve(cast.bruno, new_id(), done.plan_hash)
    await openness.approve(cast.odile, done.change_id, done.plan_hash)
    assert (await policies.current(team)).partner(KESTREL) is not None
    row = await db.fetch_one("SELECT actor_id, approver_id FROM policy_version WHERE space_id = $1 AND epoch = 2", team)
    assert row == {"actor_id": cast.alice.actor_id, "approver_id": cast.odile.actor_id}
    assert (await openness.change(cast.alice, team, before, PAGE)).outcome is Outcome.APPLIED


LATER, SOONER = now_ms() + 60 * DAY, now_ms() + 30 * DAY
LONGER: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "a later end": ({"closes_at": SOONER}, {"closes_at": LATER}),
    "no end": ({"closes_at": SOONER}, {"closes_at": None}),
    "fuller names": ({"identity_outside": Identity.FUNCTION}, {"identity_outside": Identity.LEVEL}),
    "a partner for longer": (
        {"partners": (PartnerTerms(KESTREL, until_at=SOONER),)},
        {"partners": (PartnerTerms(KESTREL, until_at=LATER),)},
    ),
    "more people of a partner": (
        {"partners": (PartnerTerms(KESTREL, people_max=2),)},
        {"partners": (PartnerTerms(KESTREL),)},
    ),
}


@pytest.mark.anyio
@pytest.mark.parametrize("case", list(LONGER))
async def test_what_outsiders_keep_for_longer_or_see_fuller_waits_for_a_second_person_too(
    cast: Cast, case: str
) -> None:
    less, more = LONGER[case]
    team = await company.space("team", Level.PARTNERS, cast.alice, partners=(KESTREL,))
    await openness.change(cast.alice, team, replace(await policies.current(team), **less), PAGE)
    before = await policies.current(team)
    await guardrail("require_second_person_from", '"partners"')
    wanted = replace(before, **more)
    with pytest.raises(Forbidden):
        await openness.narrow(cast.alice, team, wanted, PAGE)
    assert (await openness.change(cast.alice, team, wanted, PAGE)).outcome is Outcome.WAITING
    assert await policies.current(team) == before
    await db.execute("DELETE FROM guardrail")
    assert (await openness.change(cast.alice, team, wanted, PAGE)).outcome is Outcome.APPLIED
    await guardrail("require_second_person_from", '"partners"')
    assert (await openness.change(cast.alice, team, before, PAGE)).outcome is Outcome.APPLIED, "less never waits"


@pytest.mark.anyio
async def test_an_end_that_comes_waits_for_nobody(cast: Cast) -> None:
    team = await company.space("team", Level.NETWORK, cast.alice)
    ends: dict[str, Any] = {"closes_at": SOONER, "then_level": Level.PARTNERS}
    await openness.change(cast.alice, team, replace(await policies.current(team), **ends), PAGE)
    await guardrail("require_second_person_from", '"partners"')
    await db.execute("UPDATE space SET closes_at = $1", now_ms() - 1)
    assert await timers.run_due() == 1
    assert (await policies.current(team)).level is Level.PARTNERS


@pytest.mark.anyio
async def test_what_waits_for_its_date_takes_no_second_approval_and_a_draft_is_its_author_s_alone(cast: Cast) -> None:
    team = await company.space("team", Level.CLOSED, cast.alice)
    wanted = replace(await policies.current(team), level=Level.INTERNAL, opens_at=now_ms() + DAY)
    done = await openness.change(cast.alice, team, wanted, PAGE)
    assert done.outcome is Outcome.PLANNED and done.change_id is not None
    with pytest.raises(NotFound):
        await openness.approve(cast.odile, done.change_id, done.plan_hash)
    await db.execute("UPDATE policy_change SET state = 'draft' WHERE id = $1", done.change_id)
    with pytest.raises(NotFound):
        await openness.decline(cast.odile, done.change_id)
    await openness.decline(cast.alice, done.change_id)


@pytest.mark.anyio
async def test_an_approval_of_a_plan_that_moved_is_refused(cast: Cast) -> None:
    await guardrail("require_second_person_from", '"partners"')
    team = await company.space("team", Level.PARTNERS, cast.alice)
    before = await policies.current(team)
    asked = await openness.change(cast.alice, team, replace(before, partners=(PartnerTerms(KESTREL),)), PAGE)
    await openness.change(cast.alice, team, replace(before, tone="direct"), PAGE)
    assert asked.change_id is not None
    with pytest.raises(Conflict):
        await openness.approve(cast.odile, asked.change_id, asked.plan_hash)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("partners", {"partners": (PartnerTerms(KESTREL),)}),
        ("partner_view", {"partner_view": PartnerView.BLIND}),
        ("staff_read", {"staff_read": True}),
        ("history", {"history": History.ALL}),
        ("indexing", {"indexing": True}),
        ("then_level", {"then_level": Level.CLOSED}),
        ("closes_at", {"closes_at": 5}),
        ("seats", {"seats": -1}),
        ("less", {"less": ((Audience.STAFF_MEMBER, (("files", 0),)),)}),
    ],
)
async def test_a_dial_that_leaves_its_level_is_refused_and_named(
    cast: Cast, field: str, values: dict[str, object]
) -> None:
    team = await company.space("team", Level.INTERNAL, cast.alice)
    with pytest.raises(Invalid) as refused:
        await openness.change(cast.alice, team, replace(await policies.current(team), **values), PAGE)  # type: ignore[arg-type]
    assert refused.value.field == field


@pytest.mark.anyio
async def test_who_is_nearer_may_not_have_less_than_who_is_farther(cast: Cast) -> None:
    team = await company.space("team", Level.PUBLIC, cast.alice)
    less = ((Audience.STAFF, (("files", 0),)),)
    with pytest.raises(Invalid) as refused:
        await openness.change(cast.alice, team, replace(await policies.current(team), less=less), PAGE)
    assert refused.value.field == "less"


@pytest.mark.anyio
async def test_an_end_date_that_passes_closes_once_whoever_looks_and_a_partner_s_end_takes_its_people_out(
    cast: Cast,
) -> None:
    team = await company.space("team", Level.PARTNERS, cast.alice, cast.chloe, partners=(KESTREL,))
    soon = now_ms() + 3_600_000
    terms = (PartnerTerms(KESTREL, until_at=soon - 1_000),)
    wanted = replace(await policies.current(team), partners=terms, closes_at=soon, then_level=Level.CLOSED)
    await openness.change(cast.alice, team, wanted, PAGE)
    post = await company.say(cast.alice, "Encore là", team)
    assert (await posts.find(cast.chloe, post)).id == post
    assert await timers.run_due() == 0
    await db.execute("UPDATE space_partner SET until_at = $1 WHERE space_id = $2", now_ms() - 1, team)
    with pytest.raises(NotFound):
        await posts.find(cast.chloe, post)  # before any timer looked
    assert await timers.run_due() == 1
    assert await db.fetch("SELECT id FROM membership WHERE space_id = $1 AND peer_id IS NOT NULL", team) == []
    await db.execute("UPDATE space SET closes_at = $1 WHERE id = $2", now_ms() - 1, team)
    assert await timers.run_due() == 1
    assert await timers.run_due() == 0
    now = await policies.current(team)
    assert (now.level, now.closes_at) == (Level.CLOSED, None)
    assert (await posts.find(cast.alice, post)).id == post


@pytest.mark.anyio
async def test_an_opening_that_is_planned_comes_on_its_date_and_not_when_the_policy_moved(cast: Cast) -> None:
    team = await company.space("team", Level.CLOSED, cast.alice)
    wanted = replace(await policies.current(team), level=Level.INTERNAL, opens_at=now_ms() + DAY)
    done = await openness.change(cast.alice, team, wanted, PAGE)
    assert done.outcome is Outcome.PLANNED
    assert (await policies.current(team)).level is Level.CLOSED
    assert await timers.run_due() == 0
    earlier = canonical(replace(wanted, opens_at=now_ms() - 1))
    space = await spaces.find_by_id(cast.alice, team)
    hashed = plans.hash_of(space.slug, 1, await policies.current(team), replace(wanted, opens_at=now_ms() - 1), False)
    await db.execute(
        "UPDATE policy_change SET wanted = $1, plan_hash = $2 WHERE id = $3", earlier, hashed, done.change_id
    )
    row = await db.fetch_one("SELECT wanted FROM policy_change WHERE id = $1", done.change_id)
    assert row is not None
    policy = openness.read_policy(row["wanted"])
    hashed = plans.hash_of(space.slug, 1, await policies.current(team), policy, False)
    await db.execute("UPDATE policy_change SET plan_hash = $1 WHERE id = $2", hashed, done.change_id)
    assert await timers.run_due() == 1
    assert (await policies.current(team)).level is Level.INTERNAL


async def unguarded() -> None:
    """Takes away what keeps the history from being edited, as somebody with the database in hand would."""
    if db.engine_name() == "sqlite":
        await db.execute("DROP TRIGGER policy_version_is_not_edited")
    else:
        await db.execute("DROP TRIGGER policy_version_is_kept ON policy_version")


@pytest.mark.anyio
@pytest.mark.parametrize("sql", ["UPDATE policy_version SET reason = 'autre'", "DELETE FROM policy_version"])
async def test_the_history_is_only_ever_added_to(cast: Cast, sql: str) -> None:
    await company.space("team", Level.CLOSED, cast.alice)
    with pytest.raises(Exception, match="append-only"):
        await db.execute(sql)
    assert (await verify()).versions == 1


@pytest.mark.anyio
async def test_a_history_that_was_touched_no_longer_adds_up(cast: Cast) -> None:
    team = await company.space("team", Level.CLOSED, cast.alice)
    for level in (Level.INTERNAL, Level.CLOSED, Level.PUBLIC):
        await openness.change(cast.alice, team, replace(await policies.current(team), level=level), PAGE)
    assert (await verify()).faults == ()
    for sql, what in (
        ("UPDATE policy_version SET reason = 'autre' WHERE number = 2", {"rewritten"}),
        ("UPDATE space SET level = 'internal' WHERE id = $1", {"behind"}),
    ):
        with pytest.raises(RuntimeError):
            async with db.transaction():
                await unguarded()
                await db.execute(sql, *([team] if "$1" in sql else []))
                assert {fault.what for fault in (await verify()).faults} == what
                raise RuntimeError
    assert (await verify()).faults == ()


@pytest.mark.anyio
async def test_an_owner_is_asked_once_whether_it_stays_so_and_no_answer_is_an_answer(cast: Cast) -> None:
    team = await company.space("team", Level.INTERNAL, cast.alice)
    wanted = replace(await policies.current(team), review_days=180, then_level=Level.CLOSED)
    await openness.change(cast.alice, team, wanted, PAGE)
    assert await timers.run_due() == 0
    await db.execute("UPDATE space SET review_due_at = $1 WHERE id = $2", now_ms() + 3 * DAY, team)
    assert (await timers.run_due(), await timers.run_due()) == (1, 0)
    asked = await db.fetch("SELECT actor_id FROM notice WHERE kind = 'review'")
    assert [row["actor_id"] for row in asked] == [cast.alice.actor_id]
    await openness.confirm_review(cast.alice, team)
    row = await db.fetch_one("SELECT review_due_at FROM space WHERE id = $1", team)
    assert row is not None and row["review_due_at"] > now_ms() + 179 * DAY
    await db.execute("UPDATE space SET review_due_at = $1 WHERE id = $2", now_ms() - 1, team)
    assert (await timers.run_due(), await timers.run_due()) == (1, 0)
    assert (await policies.current(team)).level is Level.CLOSED


@pytest.mark.anyio
async def test_owners_say_whether_a_space_stays_so_when_who_answers_for_a_partner_leaves(cast: Cast) -> None:
    """At once nothing is cut: somebody may be suspended for a while, and a recall is not undone."""
    other = await company.space("autre", Level.PARTNERS, cast.alice, partners=(KESTREL,))
    for slug in ("confirme", "muet"):
        space_id = await company.space(slug, Level.PARTNERS, cast.alice, partners=(KESTREL,))
        before = await policies.current(space_id)
        wanted = replace(before, partners=(PartnerTerms(KESTREL, sponsor="bruno"),))
        await openness.change(cast.alice, space_id, wanted, PAGE)
        last = space_id
    await suspend(cast.odile, cast.bruno.account_id)
    assert (await timers.run_due(), await timers.run_due()) == (2, 0)
    asked = await db.fetch("SELECT space_id, actor_id FROM notice WHERE kind = 'review'")
    assert {row["actor_id"] for row in asked} == {cast.alice.actor_id}
    assert len(asked) == 2 and other not in {row["space_id"] for row in asked}
    [confirmed] = {row["space_id"] for row in asked} - {last}
    await openness.confirm_review(cast.alice, confirmed)
    assert await policies.review_due(confirmed) is None, "and nobody asks again"
    await db.execute("UPDATE space SET review_due_at = $1 WHERE review_due_at IS NOT NULL", now_ms() - 1)
    assert (await timers.run_due(), await timers.run_due()) == (1, 0)
    assert (await policies.current(last)).level is Level.CLOSED
    assert (await policies.current(confirmed)).level is Level.PARTNERS


# --- 200 random changes ---------------------------------------------------------------------------


def somewhere(chance: random.Random) -> SpacePolicy:
    """A policy that may or may not be allowed."""
    level = chance.choice(list(Level))
    partners = (PartnerTerms(KESTREL, reach=chance.choice(("", "invited"))),) if chance.random() < 0.6 else ()
    return SpacePolicy(
        level=level,
        listed=chance.random() < 0.5,
        reach=chance.choice(list(Reach)),
        staff_read=chance.random() < 0.2,
        partners=partners,
        partner_view=chance.choice(list(PartnerView)),
        history=chance.choice(list(History)),
        history_days=chance.choice((0, 30)),
        first_posts_moderated=chance.randrange(11),
        tone=chance.choice(("", "direct")),
    )


@pytest.mark.anyio
async def test_what_a_plan_counts_is_what_is_found_afterwards_and_doing_it_twice_changes_nothing(cast: Cast) -> None:
    """200 random policies by every door, half on each engine; what cannot be is refused in plan and act alike."""
    chance = random.Random(f"20261125 {db.engine_name()}")
    team = await company.space("team", Level.PARTNERS, cast.alice, cast.chloe, cast.bruno, partners=(KESTREL,))
    outcomes = {"applied": 0, "unchanged": 0, "refused": 0}
    for number in range(100):
        if number % 5 == 0:
            await company.say(cast.alice, f"Message {number}", team)
        wanted = somewhere(chance)
        wanted = reset_outside(wanted) if chance.random() < 0.7 else wanted
        past = chance.random() < 0.1
        door = chance.choice(list(Door))
        viewer: Employee | Operator = cast.alice if door in (Door.PAGE, Door.API) else Operator()
        plan = await plans.plan(viewer, team, wanted, past=past)
        assert from_json(to_json(wanted)) == wanted
        try:
            done = await openness.change(viewer, team, wanted, How(door, plan.base_epoch, past))
        except DomainError:
            assert plan.problems
            outcomes["refused"] += 1
            continue
        assert not plan.problems
        outcomes[done.outcome] += 1
        if done.outcome is Outcome.APPLIED:
            await counted_as_planned(team, plan)
        again = await openness.change(viewer, team, wanted, How(door))
        assert again.outcome is Outcome.UNCHANGED
        cells = compare(plan.before, wanted)
        assert not (widens(cells) and only_narrows(cells))
    assert min(outcomes["applied"], outcomes["refused"]) > 15
    assert (await verify()).faults == ()


async def counted_as_planned(team: int, plan: plans.Plan) -> None:
    hosts = {terms.host for terms in (*plan.before.partners, *plan.after.partners)}
    for readers in await plans.readers(team, hosts):
        impact = next((i for i in plan.impacts if (i.audience, i.host) == (readers.audience, readers.host)), None)
        if impact is None:
            continue
        found = set[int]()
        for viewer in readers.viewers:
            found |= await plans.readable_in(team, viewer)
        assert len(found) == impact.after.items, (readers, plan.after)
