"""The same change by page, API, command, file and timer: the same policy, the same version, the same effects.

Five spaces that are twins: each is changed by one door only, over and over, and they stay twins. What a plan counts is
what is found afterwards by every door; the file says what it said; what is exported is what is here.
"""

import json
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette

from server import database as db
from server.actions import declaring, openness, plans, timers
from server.actions.openness import Door, How
from server.actions.policy_history import verify
from server.clock import now_ms
from server.declared_steps import Kind
from server.errors import DomainError, Invalid
from server.openness import AfterClose, History, Identity, Level, PartnerView, Reach
from server.queries import declared, policies
from server.queries.wanted_steps import compare
from server.space_export import written
from server.space_policy import DAY_MS, PartnerTerms, SpacePolicy, canonical, reset_outside, widens
from server.space_policy import compare as cells_of
from server.spacefile import read
from server.toml_texts import WrongFile
from server.viewer import Operator
from tests import cast as company
from tests.cast import HERE, KESTREL, Cast
from tests.policy.test_changes import counted_as_planned
from tests.unit.web.api.client import Client, application, client_of
from tests.unit.web.pages.browser import Browser, browser_of
from tests.unit.web.pages.test_openness import fields_of
from web.api.operations import PREFIX
from web.api.policies import policy_shape
from web.pages.openness_form import day_of

pytestmark = pytest.mark.anyio

ROUNDS = 20
"""Each by five doors, on two engines: 200 changes."""
DOORS = tuple(Door)


@dataclass(slots=True)
class Doors:
    """The company before its five twins."""

    cast: Cast
    browser: Browser
    client: Client
    folder: Path
    spaces: dict[Door, int] = field(default_factory=dict)

    async def by_page(self, space_id: int, before: SpacePolicy, wanted: SpacePolicy, past: bool) -> None:
        at = f"/spaces/twin-{Door.PAGE}/openness"
        sent = filled(fields_of(await self.browser.page(at)), before, wanted, past)
        tried = await self.browser("POST", at, data=sent)
        shown = filled(fields_of(tried.text), before, wanted, past)
        answer = await self.browser("POST", f"{at}?do=apply", data=shown)
        if answer.status_code != 303:
            raise Invalid(detail=str(answer.status_code))

    async def by_api(self, space_id: int, before: SpacePolicy, wanted: SpacePolicy, past: bool) -> None:
        address = f"{PREFIX}/spaces/twin-{Door.API}/policy"
        version = (await self.client("GET", address)).headers["etag"]
        body = {**policy_shape(wanted), "include_history": past}
        answer = await self.client("PUT", address, json=body, headers={"if-match": version})
        if answer.status_code == 422:
            raise Invalid(field=answer.json()["field"])
        assert answer.status_code == 200, answer.text

    async def by_command(self, space_id: int, before: SpacePolicy, wanted: SpacePolicy, past: bool) -> None:
        await openness.change(Operator(), space_id, wanted, How(Door.COMMAND, past=past))

    async def by_file(self, space_id: int, before: SpacePolicy, wanted: SpacePolicy, past: bool) -> None:
        slug = f"twin-{Door.FILE}"
        live = (await declared.spaces([slug]))[slug]
        file = self.folder / "spaces.toml"
        file.write_text(written({}, await declared.links(), [replace(live, policy=wanted)], every=True))
        try:
            found = await compare(read(file, now_ms()), "fr", now_ms(), past=past)
            assert not found.faults
            await declaring.apply(found.steps, HERE, "spaces.toml")
        except (WrongFile, declaring.Refused):
            raise Invalid(detail="by file") from None
        again = await compare(read(file, now_ms()), "fr", now_ms(), past=past)
        assert again.steps == (), "twice is once"
        file.write_text(written({}, await declared.links(), list((await declared.spaces([slug])).values())))
        exported = await compare(read(file, now_ms()), "fr", now_ms())
        assert [step for step in exported.steps if step.kind is not Kind.MANAGED] == [], "export, then plan"

    async def by_timer(self, space_id: int, before: SpacePolicy, wanted: SpacePolicy, past: bool) -> None:
        """Planned for its date, which then comes: the row is given one that has passed."""
        later = replace(wanted, opens_at=now_ms() + DAY_MS)
        done = await openness.change(self.cast.alice, space_id, later, How(Door.PAGE, past=past))
        if done.change_id is None:
            return  # what narrows does not wait for a date
        due = replace(wanted, opens_at=now_ms() - 1)
        hashed = plans.hash_of(f"twin-{Door.TIMER}", done.epoch, before, due, past)
        row = (canonical(due), hashed, done.change_id)
        await db.execute("UPDATE policy_change SET wanted = $1, plan_hash = $2 WHERE id = $3", *row)
        assert await timers.run_due() == 1


def filled(form: dict[str, Any], before: SpacePolicy, wanted: SpacePolicy, past: bool) -> dict[str, Any]:
    """The form of the page as somebody fills it who wants this."""
    sent = dict(form)
    for name in ("level", "reach", "partner_view", "history", "identity_outside", "after_close", "tone"):
        sent[name] = str(getattr(wanted, name))
    for name in ("history_days", "first_posts_moderated", "review_days", "seats"):
        sent[name] = str(getattr(wanted, name))
    sent["closes_at"] = day_of(wanted.closes_at) if wanted.closes_at is not None else ""
    sent["then_level"] = wanted.then_level.value if wanted.then_level else ""
    for name, on in (("staff_read", wanted.staff_read), ("listed", wanted.listed), ("past", past)):
        sent.pop(name, None)
        if on:
            sent[name] = "1"
    terms = wanted.partner(KESTREL)
    if terms is None:
        sent["p0_gone"] = "1"
    elif before.partner(KESTREL) is None:
        sent["add"] = KESTREL
    else:
        sent["p0_reach"] = terms.reach
    return sent


def somewhere(chance: random.Random, before: SpacePolicy) -> SpacePolicy:
    """A policy that every door can say; one in six cannot be."""
    level = chance.choice(list(Level))
    reach = chance.choice(("", "invited")) if before.partner(KESTREL) else ""
    wanted = replace(
        before,
        level=level,
        listed=chance.random() < 0.5 if level in (Level.CLOSED, Level.PARTNERS) else before.listed,
        reach=chance.choice(list(Reach)),
        staff_read=chance.random() < 0.3,
        partners=(PartnerTerms(KESTREL, reach),) if chance.random() < 0.7 else (),
        partner_view=chance.choice(list(PartnerView)),
        history=chance.choice((History.LEVEL, History.SINCE_OPENING, History.DAYS, History.ALL)),
        identity_outside=chance.choice(list(Identity)),
        first_posts_moderated=chance.randrange(11),
        after_close=chance.choice(list(AfterClose)),
        seats=chance.choice((0, 50)),
        review_days=chance.choice((0, 180)),
        tone=chance.choice(("", "direct")),
    )
    ends = chance.random() < 0.5
    wanted = replace(wanted, closes_at=END if ends else None, then_level=Level.CLOSED if ends else None)
    if chance.random() < 1 / 6:
        wanted = replace(wanted, **chance.choice(WRONG))
    wanted = reset_outside(wanted)
    return replace(wanted, history_days=30) if wanted.history is History.DAYS else wanted


END = 40_000 * DAY_MS - 1  # in the year 2079
WRONG: Sequence[dict[str, Any]] = (
    {"seats": 2_000_000},
    {"first_posts_moderated": 11},
    {"tone": "a" * 400},
    {"then_level": Level.CLOSED, "closes_at": None, "review_days": 0},
)


@pytest.fixture
async def doors(database: str, tmp_path: Path) -> Doors:
    cast = await company.gather()
    app: Starlette = application(database, tmp_path)
    found = Doors(cast, await browser_of(app, cast.alice), await client_of(app, cast.alice), tmp_path)
    for door in DOORS:
        found.spaces[door] = await company.space(f"twin-{door}", Level.CLOSED, cast.alice, cast.bruno)
    return found


async def test_the_same_change_has_the_same_effects_by_every_door(doors: Doors) -> None:
    chance = random.Random(f"20261125 {db.engine_name()}")
    ways: dict[Door, Callable[[int, SpacePolicy, SpacePolicy, bool], Awaitable[None]]] = {
        Door.PAGE: doors.by_page,
        Door.API: doors.by_api,
        Door.COMMAND: doors.by_command,
        Door.FILE: doors.by_file,
        Door.TIMER: doors.by_timer,
    }
    outcomes = {"applied": 0, "refused": 0}
    while (number := sum(outcomes.values())) < ROUNDS:
        before = await policies.current(doors.spaces[Door.PAGE])
        wanted = somewhere(chance, before)
        past = chance.random() < 0.3 and widens(cells_of(before, wanted))
        if wanted == before:
            continue
        told = {}
        for door, way in ways.items():
            space_id = doors.spaces[door]
            if before.partner(KESTREL) is not None:
                await db.execute("DELETE FROM membership WHERE space_id = $1 AND peer_id IS NOT NULL", space_id)
                await company.enter(space_id, doors.cast.chloe)
            if number % 3 == 0:
                await company.say(doors.cast.alice, f"Message {number}", space_id)
            told[door] = await _by(way, space_id, wanted, past)
        for door, one in told.items():
            assert one == told[Door.PAGE], (number, door, wanted)
        outcomes["refused" if told[Door.PAGE] == "refused" else "applied"] += 1
    assert outcomes["applied"] >= ROUNDS // 2 and outcomes["refused"] >= 1, outcomes
    assert (await verify()).faults == ()


async def _by(
    way: Callable[[int, SpacePolicy, SpacePolicy, bool], Awaitable[None]],
    space_id: int,
    wanted: SpacePolicy,
    past: bool,
) -> Any:
    """What one door did: the policy afterwards, its version with its effects; what was planned is what is found."""
    before = await policies.current(space_id)
    told = await plans.plan(Operator(), space_id, replace(wanted, opens_at=before.opens_at), past=past)
    try:
        await way(space_id, before, wanted, past)
    except DomainError:
        assert told.problems
        assert await policies.current(space_id) == before
        return "refused"
    assert not told.problems
    await counted_as_planned(space_id, told)
    row = await db.fetch_one(
        "SELECT v.epoch, v.effects, s.epoch AS now FROM policy_version v JOIN space s ON s.id = v.space_id"
        " WHERE s.id = $1 ORDER BY v.epoch DESC LIMIT 1",
        space_id,
    )
    assert row is not None and row["epoch"] == row["now"]
    after = replace(await policies.current(space_id), opens_at=None)
    assert after == replace(wanted, opens_at=None)
    impacts = [[one.audience, one.host, str(one.gained), str(one.lost)] for one in told.impacts]
    return [canonical(after), json.loads(row["effects"]), impacts]
