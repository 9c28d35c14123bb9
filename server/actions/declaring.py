"""Make this instance what a declarative file says: the same steps for the plan, which takes them back, and for apply.

A step says what is and what is to be. Narrowing comes first and widening last, all in one transaction; a step whose
beginning is no longer so refuses the whole. Nothing is ever deleted because a file does not name it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from server import database as db
from server.actions import links, membership, openness, plans
from server.actions import spaces as verbs
from server.actions.audit import note
from server.actions.openness import Door, How, Outcome
from server.bounds import Problem
from server.declared_steps import Kind, Step
from server.errors import Conflict, NotFound
from server.ids import Addresses, new_id
from server.openness import Level, Role
from server.queries import declared as live
from server.refusals import N_
from server.space_policy import from_json, to_json
from server.viewer import Operator

OPERATOR = Operator()
MOVED = N_("« %(subject)s » n’est plus ce que le plan a vu : refaites le plan.")


@dataclass(frozen=True, slots=True)
class Made:
    """What became of a step. `known`: what waits was already waiting before."""

    step: Step
    outcome: Outcome
    plan: plans.Plan | None = None
    change_id: int | None = None
    known: bool = False

    @property
    def counts(self) -> bool:
        """Whether it is a change, as plans count them."""
        if self.step.kind is Kind.MANAGED or self.outcome is Outcome.UNCHANGED:
            return False
        return not (self.outcome is Outcome.PLANNED and self.known)


class Refused(Exception):
    """A policy that cannot be: what stands against it."""

    def __init__(self, slug: str, problems: Sequence[Problem]) -> None:
        self.slug, self.problems = slug, tuple(problems)
        super().__init__(slug)


class Moved(Conflict):
    """What a step began with is no longer so."""

    def __init__(self, subject: str) -> None:
        super().__init__(MOVED, params={"subject": subject}, detail="moved")


class _TakenBack(Exception):
    """Ends a rehearsal."""


async def plan(steps: Sequence[Step], here: Addresses, source: str, *, only_narrow: bool = False) -> list[Made]:
    """What the steps would do, found by taking them, counting, and taking them back.

    Raises Refused, and what the verbs raise.
    """
    made: list[Made] = []
    try:
        async with db.transaction():
            made = await _take(steps, here, source, only_narrow, counted=True)
            raise _TakenBack
    except _TakenBack:
        return made


async def apply(steps: Sequence[Step], here: Addresses, source: str, *, only_narrow: bool = False) -> list[Made]:
    """Takes the steps, all or none. Doing it again changes nothing. Raises Moved, Refused, and what the verbs raise."""
    async with db.transaction():
        return await _take(steps, here, source, only_narrow, counted=False)


async def _take(steps: Sequence[Step], here: Addresses, source: str, only_narrow: bool, counted: bool) -> list[Made]:
    taken = _Taking(here, source, counted)
    found = []
    for step in sorted(steps, key=lambda one: one.turn):
        if only_narrow and (step.grows or step.kind is Kind.MANAGED):
            continue
        found.append(await taken.take(step))
    return found


class _Taking:
    """One run over the steps, inside a transaction."""

    def __init__(self, here: Addresses, source: str, counted: bool) -> None:
        self.here, self.source, self.counted = here, source, counted

    async def take(self, step: Step) -> Made:
        present, epoch = await self.present(step)
        if present == step.after and not (step.past and epoch == step.epoch):
            return Made(step, Outcome.UNCHANGED)
        if present != step.before or epoch != step.epoch:
            raise Moved(step.subject)
        if step.kind is Kind.POLICY:
            return await self.policy(step)
        await {
            Kind.GUARDRAIL: self.guardrail,
            Kind.KIN: self.kin,
            Kind.OPEN: self.open,
            Kind.NAME: self.name,
            Kind.ROLE: self.role,
            Kind.MANAGED: self.managed,
        }[step.kind](step)
        return Made(step, Outcome.APPLIED)

    async def present(self, step: Step) -> tuple[Any, int]:
        """What is now, and the version of it for a policy."""
        if step.kind is Kind.GUARDRAIL:
            return (await live.guardrails()).get(step.subject), 0
        if step.kind is Kind.KIN:
            known = await live.links()
            return (known[step.subject].kin if step.subject in known else None), 0
        slug, _, person = step.subject.partition("/")
        space = (await live.spaces([slug])).get(slug)
        if step.kind is Kind.OPEN:
            return (step.after if space else None), 0
        if space is None:
            raise Moved(slug)
        if step.kind is Kind.POLICY:
            return to_json(space.policy), space.epoch
        if step.kind is Kind.NAME:
            return {"name": space.name, "description": space.description}, 0
        if step.kind is Kind.ROLE:
            return space.roles.get(person, ""), 0
        return {"file": space.managed_by, "fields": list(space.managed_fields)}, 0

    async def policy(self, step: Step) -> Made:
        space_id = await self.id_of(step.subject)
        wanted = from_json(step.after)
        seen = await plans.plan(OPERATOR, space_id, wanted, past=step.past, counted=self.counted)
        if seen.problems:
            raise Refused(step.subject, seen.problems)
        known = await db.fetch_one(
            "SELECT id FROM policy_change WHERE space_id = $1 AND plan_hash = $2 AND state IN ('waiting', 'planned')",
            space_id,
            seen.hash,
        )
        how = How(Door.FILE, base_epoch=step.epoch, past=step.past, source=self.source)
        done = await openness.change(OPERATOR, space_id, wanted, how)
        return Made(step, done.outcome, seen, done.change_id, known is not None)

    async def id_of(self, slug: str) -> int:
        row = await db.fetch_one("SELECT id FROM space WHERE slug = $1 AND peer_id IS NULL", slug)
        if row is None:
            raise NotFound(detail=f"no space {slug}")
        return int(row["id"])

    async def guardrail(self, step: Step) -> None:
        value = msgspec.json.encode(step.after).decode()
        rows = await db.execute("UPDATE guardrail SET value = $1 WHERE name = $2", value, step.subject)
        if not rows:
            await db.insert("guardrail", {"id": new_id(), "name": step.subject, "value": value})
        await note(
            OPERATOR, "set_guardrail", subject=step.subject, before=step.before, after=step.after, source=self.source
        )

    async def kin(self, step: Step) -> None:
        await links.set_kin(OPERATOR, step.subject, bool(step.after))

    async def open(self, step: Step) -> None:
        """Closed at first: its policy is a step of its own, which may wait for a second person."""
        new = verbs.NewSpace(
            slug=step.subject,
            name=step.after["name"],
            level=Level.CLOSED,
            owner=step.after["owner"],
            description=step.after["description"],
            listed=step.after["listed"],
        )
        await verbs.open_space(OPERATOR, new, self.here)

    async def name(self, step: Step) -> None:
        await verbs.describe(OPERATOR, await self.id_of(step.subject), step.after["name"], step.after["description"])

    async def role(self, step: Step) -> None:
        slug, _, person = step.subject.partition("/")
        row = await db.fetch_one("SELECT id FROM actor WHERE host = '' AND kind = 'person' AND name = $1", person)
        if row is None:
            raise NotFound(detail=f"nobody called {person}")
        await membership.add(OPERATOR, await self.id_of(slug), row["id"], Role(step.after))

    async def managed(self, step: Step) -> None:
        await db.execute(
            "UPDATE space SET managed_by = $1, managed_fields = $2 WHERE slug = $3 AND peer_id IS NULL",
            step.after["file"],
            msgspec.json.encode(step.after["fields"]).decode(),
            step.subject,
        )
        await note(OPERATOR, "manage_by_file", subject=step.subject, file=step.after["file"], source=self.source)
