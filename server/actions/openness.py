"""Change how open a space is: by the page, the API, a command, a file or a timer, always through `change`.

One transaction holds the new policy, everything that it cuts at once, the version in the history and the facts that
other instances hear of. Narrowing never waits; what gives people outside more may wait for a second person, whose
approval is bound to the hash of the plan that they saw.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from typing import Any

import msgspec

from server import database as db
from server import live, policy_words
from server.actions import plans
from server.actions.audit import note
from server.actions.newcomers import tell_the_past
from server.actions.notices import notify
from server.actions.past_notices import Opened, tell_authors
from server.actions.policy_history import Made, append
from server.actions.policy_rows import Written, write
from server.actions.taking_back import hosts_that_lose, take_back
from server.clock import now_ms
from server.errors import Conflict, Forbidden, Invalid, NotFound
from server.events import Kind, record
from server.ids import new_id
from server.openness import Audience, Existence, Level
from server.policy import Act
from server.queries import pending, policies, spaces
from server.refusals import N_
from server.space_policy import (
    SpacePolicy,
    canonical,
    cell_of,
    compare,
    from_json,
    lengthens,
    only_narrows,
    opens_further_back,
    reset_outside,
)
from server.viewer import Employee, Operator

MOVED = N_("L’ouverture de cet espace vient de changer (version %(version)s) : relisez-la avant d’appliquer.")
MANAGED = N_("Cet espace est géré par %(file)s : c’est ce fichier qu’il faut changer.")
NOT_YOURSELF = N_("Une autre personne doit valider : on ne valide pas sa propre demande.")
OTHER_PLAN = N_("Le plan à valider n’est plus le même : relisez-le, puis validez.")
ELSEWHERE = N_("Cet espace est tenu par une autre instance : c’est elle qui décide de son ouverture.")
TOO_MANY_OPENINGS = N_("Cette instance ouvre au plus %(limit)s espaces par semaine au niveau Réseau ou au-delà.")
WEEK_MS = 7 * 24 * 3600 * 1000
REASON_CHARACTERS = 1000


class Door(StrEnum):
    """By which way a change came."""

    PAGE = "page"
    API = "api"
    COMMAND = "command"
    FILE = "file"
    TIMER = "timer"


class Outcome(StrEnum):
    """What became of a wanted change."""

    UNCHANGED = "unchanged"
    APPLIED = "applied"
    WAITING = "waiting"  # for a second person
    PLANNED = "planned"  # for its date


@dataclass(frozen=True, slots=True)
class How:
    """How a change is asked for. `base_epoch`: the version that whoever asks has seen; None: whichever it is.

    `past`: what was written before is opened too. `source`: the file and its commit, or which timer.
    """

    door: Door
    base_epoch: int | None = None
    past: bool = False
    reason: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True)
class Done:
    """What became of it: the version that holds now, and the change that waits, if one does."""

    outcome: Outcome
    epoch: int
    plan_hash: str
    change_id: int | None = None
    effects: dict[str, Any] | None = None


async def change(viewer: Employee | Operator, space_id: int, wanted: SpacePolicy, how: How) -> Done:
    """Makes a space as open as wanted, or asks for the second person that this takes. Idempotent.

    Raises NotFound, Forbidden, Invalid (naming the field) or Conflict when the version moved.
    """
    async with db.together():
        space = await _space(viewer, space_id)
        await _alone(space.id)
        plan = await plans.plan(viewer, space.id, wanted, past=how.past, counted=False)
        if how.base_epoch is not None and how.base_epoch != plan.base_epoch:
            raise Conflict(MOVED, params={"version": plan.base_epoch}, detail="moved")
        if plan.empty:
            return Done(Outcome.UNCHANGED, plan.base_epoch, plan.hash)
        await _managed(space.id, plan, how)
        refuse(plan)
        await _paced(plan)
        narrows = not plan.widens
        if plan.needs_approval and how.door is not Door.TIMER:  # an end was agreed upon with what it ends
            return await _ask(viewer, space, plan, how, "waiting")
        if wanted.opens_at is not None and wanted.opens_at > now_ms() and not narrows and how.door is not Door.TIMER:
            return await _ask(viewer, space, plan, how, "planned")
        return await _apply(viewer, space, plan, how, approver=None)


async def narrow(viewer: Employee | Operator, space_id: int, wanted: SpacePolicy, how: How) -> Done:
    """The same for what only takes away: refused when anything would grow."""
    async with db.together():
        await _space(viewer, space_id)
        before = await policies.current(space_id)
        cells = compare(before, wanted)
        if (cells and not only_narrows(cells)) or lengthens(before, wanted):
            raise Forbidden(N_("Ce changement n’est pas un simple resserrement : quelque chose s’ouvrirait."))
        return await change(viewer, space_id, wanted, how)


async def adjust(
    viewer: Employee | Operator, space_id: int, how: How, alter: Callable[[SpacePolicy], SpacePolicy]
) -> Done:
    """Changes some of a policy and leaves the rest; what the new level has no room for falls away."""
    async with db.together():
        await _space(viewer, space_id)
        await _alone(space_id)
        return await change(viewer, space_id, reset_outside(alter(await policies.current(space_id))), how)


def refuse(plan: plans.Plan) -> None:
    """Raises Invalid for the first thing that stands against a plan."""
    for problem in plan.problems:
        refused = Invalid(problem.sentence, field=problem.field, params=problem.params)
        refused.said = partial(policy_words.spoken, policy_words.problem(problem))
        raise refused


# --- a second person ------------------------------------------------------------------------------


async def approve(viewer: Employee, change_id: int, plan_hash: str) -> Done:
    """A second person agrees to exactly the plan that they saw. Raises Conflict when it is another one by now."""
    async with db.together():
        row = await _waiting(viewer, change_id)
        if row["state"] != "waiting":
            raise NotFound(detail="nobody asked for a second person")
        if row["asked_by_id"] == viewer.actor_id:
            raise Forbidden(NOT_YOURSELF)
        space = await spaces.find_to_decide(viewer, row["space_id"])
        await _alone(space.id)
        wanted = read_policy(row["wanted"])
        plan = await plans.plan(viewer, space.id, wanted, past=bool(row["past"]), counted=False, act=Act.DECIDE)
        if plan.hash != plan_hash or plan.hash != row["plan_hash"]:
            raise Conflict(OTHER_PLAN, detail="stale")
        refuse(plan)
        await _managed(space.id, plan, How(Door(row["door"])))
        await _paced(plan)
        how = How(Door(row["door"]), past=bool(row["past"]), reason=row["reason"], source=row["source"])
        if wanted.opens_at is not None and wanted.opens_at > now_ms():
            await _decide(change_id, "planned", viewer)
            return Done(Outcome.PLANNED, plan.base_epoch, plan.hash, change_id)
        await _decide(change_id, "applied", viewer)
        return await _apply(_asker(row, viewer), space, plan, how, approver=viewer.actor_id)


async def decline(viewer: Employee | Operator, change_id: int, reason: str = "") -> None:
    """A change that waits is not made: by whoever may decide, or by whoever asked for it."""
    async with db.together():
        row = await _waiting(viewer, change_id)
        own = isinstance(viewer, Employee) and row["asked_by_id"] == viewer.actor_id
        if row["state"] == "draft" and not own:
            raise NotFound(detail="somebody else's draft")
        await _decide(change_id, "refused", viewer)
        await note(viewer, "decline_openness", space_id=row["space_id"], reason=reason[:REASON_CHARACTERS])
        if row["asked_by_id"] is not None:
            by = viewer.actor_id if isinstance(viewer, Employee) else None
            key = f"openness:{change_id}:refused"
            await notify([row["asked_by_id"]], "openness", key=key, by=by, space_id=row["space_id"])


async def apply_planned(change_id: int) -> Done | None:
    """The date of a planned change has come. None when the policy moved meanwhile, when whoever asked for it could not
    ask for it today, or when the instance asks by now for a second person who did not agree: then it is stale. Raises
    what `change` raises for what no longer may be.
    """
    async with db.together():
        row = await db.fetch_one("SELECT * FROM policy_change WHERE id = $1 AND state = 'planned'", change_id)
        if row is None:
            return None
        if not await pending.still_asks(row["asked_by_id"], row["space_id"]):
            await lapse(change_id, "asker")
            return None
        timer = Operator("timer")
        space = await _space(timer, row["space_id"])
        await _alone(space.id)
        wanted = read_policy(row["wanted"])
        plan = await plans.plan(timer, space.id, wanted, past=bool(row["past"]), counted=False)
        alone = plan.needs_approval and row["decided_by_id"] is None
        if plan.hash != row["plan_hash"] or plan.problems or alone:
            await lapse(change_id)
            return None
        await _managed(space.id, plan, How(Door(row["door"])))
        await _paced(plan)
        await _decide(change_id, "applied", None)
        how = How(Door.TIMER, past=bool(row["past"]), reason=row["reason"], source=f"opens_at, {row['door']}")
        return await _apply(_asker(row, timer), space, plan, how, approver=row["decided_by_id"])


async def lapse(change_id: int, why: str = "moved") -> None:
    """A planned change that can no longer be made is stale: it is noted, and whoever asked for it and the owners hear
    so. `why`: moved (the policy, a link, a limit) or asker (they may not ask for it any more). Idempotent.
    """
    async with db.together():
        row = await db.fetch_one("SELECT * FROM policy_change WHERE id = $1 AND state = 'planned'", change_id)
        if row is None:
            return
        await _decide(change_id, "stale", None)
        await note(Operator("timer"), "lapse_openness", space_id=row["space_id"], why=why)
        whom = {row["asked_by_id"], *await owners(row["space_id"])} if why == "asker" else {row["asked_by_id"]}
        key = f"openness:{change_id}:stale"
        await notify(sorted(whom - {None}), "openness", key=key, space_id=row["space_id"])


async def _ask(viewer: Employee | Operator, space: spaces.SeenSpace, plan: plans.Plan, how: How, state: str) -> Done:
    """Keeps what is wanted until somebody agrees or its date comes; the same asked again is the same row.

    Raises Invalid for what could not be applied now either, such as a partner that nobody here knows.
    """
    async with plans.rehearsed(space.id, plan.after, past=plan.past):
        pass
    same = await db.fetch_one(
        "SELECT id FROM policy_change WHERE space_id = $1 AND plan_hash = $2 AND state = $3", space.id, plan.hash, state
    )
    outcome = Outcome.WAITING if state == "waiting" else Outcome.PLANNED
    if same is not None:
        return Done(outcome, plan.base_epoch, plan.hash, same["id"])
    await db.execute(
        "UPDATE policy_change SET state = 'stale', decided_at = $1 WHERE space_id = $2 AND state = $3",
        now_ms(),
        space.id,
        state,
    )
    change_id = new_id()
    asker = viewer.actor_id if isinstance(viewer, Employee) else None
    await db.insert(
        "policy_change",
        {
            "id": change_id,
            "space_id": space.id,
            "state": state,
            "base_epoch": plan.base_epoch,
            "wanted": canonical(plan.after),
            "past": plan.past,
            "plan_hash": plan.hash,
            "reason": how.reason[:REASON_CHARACTERS],
            "door": how.door.value,
            "source": how.source[:300],
            "asked_by_id": asker,
            "asked_at": now_ms(),
        },
    )
    await note(viewer, "ask_openness", subject=space.slug, space_id=space.id, level=plan.after.level.value, state=state)
    if state == "waiting":
        deciders = await _deciders(space.id)
        await notify(deciders, "approval", key=f"approval:{change_id}", by=asker, space_id=space.id)
    return Done(outcome, plan.base_epoch, plan.hash, change_id)


async def confirm_review(viewer: Employee | Operator, space_id: int) -> None:
    """The openness of a space was looked at and stays so: its next review, if any, is due a whole period from now."""
    async with db.together():
        space = await _space(viewer, space_id)
        await db.execute(
            "UPDATE space SET review_due_at = CASE WHEN review_days > 0 THEN CAST($1 AS BIGINT)"
            " + CAST(review_days AS BIGINT) * 86400000 END WHERE id = $2",
            now_ms(),
            space.id,
        )
        await note(viewer, "review_openness", subject=space.slug, space_id=space.id)


async def owners(space_id: int) -> list[int]:
    """The owners of a space, as actors: for whoever has something to tell them, not a door."""
    rows = await db.fetch(
        "SELECT actor_id FROM membership WHERE space_id = $1 AND role = 'owner' AND state = 'member'", space_id
    )
    return [row["actor_id"] for row in rows]


def read_policy(wanted: str) -> SpacePolicy:
    """The policy that a row keeps as JSON."""
    return from_json(msgspec.json.decode(wanted))


async def _deciders(space_id: int) -> list[int]:
    """Who can agree to a change: the space's owners and the administrators."""
    rows = await db.fetch(
        "SELECT m.actor_id FROM membership m WHERE m.space_id = $1 AND m.role = 'owner' AND m.state = 'member'"
        " UNION SELECT c.actor_id FROM account c WHERE c.office = 'admin' AND c.suspended_at IS NULL",
        space_id,
    )
    return [row["actor_id"] for row in rows]


async def _waiting(viewer: Employee | Operator, change_id: int) -> dict[str, Any]:
    row = await db.fetch_one(
        "SELECT * FROM policy_change WHERE id = $1 AND state IN ('waiting', 'planned', 'draft')", change_id
    )
    if row is None:
        raise NotFound(detail="no such change")
    space = await spaces.find_to_decide(viewer, row["space_id"])
    if not space.hosted_here:
        raise Forbidden(ELSEWHERE, detail="hosted elsewhere")
    return row


async def _decide(change_id: int, state: str, viewer: Employee | Operator | None) -> None:
    """Raises Conflict when somebody else decided in between."""
    decided = await db.execute(
        "UPDATE policy_change SET state = $1, decided_at = $2, decided_by_id = COALESCE($3, decided_by_id)"
        " WHERE id = $4 AND state IN ('waiting', 'planned', 'draft')",
        state,
        now_ms(),
        viewer.actor_id if isinstance(viewer, Employee) else None,
        change_id,
    )
    if not decided:
        raise Conflict(OTHER_PLAN, detail="decided")


def _asker(row: dict[str, Any], other: Employee | Operator) -> Employee | Operator:
    """In whose name a change that waited is made: whoever asked for it."""
    if row["asked_by_id"] is None:
        return Operator()
    return Employee(0, row["asked_by_id"]) if other is not None else Operator()


# --- the steps ------------------------------------------------------------------------------------


async def _space(viewer: Employee | Operator, space_id: int) -> spaces.SeenSpace:
    space = await spaces.find_by_id(viewer, space_id)
    if not space.hosted_here:
        raise Forbidden(ELSEWHERE, detail="hosted elsewhere")
    space.demand(viewer, Act.CHANGE_POLICY)
    return space


async def _alone(space_id: int) -> None:
    """One change of a space at a time: the others see the version that this one makes."""
    if db.engine_name() == "postgres":
        await db.fetch("SELECT id FROM space WHERE id = $1 FOR UPDATE", space_id)


async def _managed(space_id: int, plan: plans.Plan, how: How) -> None:
    """What a file declares is changed in the file; narrowing is always allowed."""
    if how.door in (Door.FILE, Door.TIMER) or not plan.widens:
        return
    row = await db.fetch_one("SELECT managed_by, managed_fields FROM space WHERE id = $1", space_id)
    if row is None or not row["managed_by"]:
        return
    managed = set(msgspec.json.decode(row["managed_fields"]))
    touched = {name for name in managed if getattr(plan.before, name, None) != getattr(plan.after, name, None)}
    if touched:
        raise Forbidden(MANAGED, params={"file": row["managed_by"]}, detail="managed")


async def _paced(plan: plans.Plan) -> None:
    """At most so many openings a week."""
    rails = await policies.guardrails()
    if not rails.openings_a_week or not _opens_widely(plan):
        return
    row = await db.fetch_one(
        "SELECT COUNT(*) AS n FROM policy_version WHERE at > $1 AND effects LIKE '%\"opening\":true%'",
        now_ms() - WEEK_MS,
    )
    if row and row["n"] >= rails.openings_a_week:
        raise Forbidden(TOO_MANY_OPENINGS, params={"limit": rails.openings_a_week}, detail="paced")


def _known_narrowing(plan: plans.Plan) -> bool:
    """Whether colleagues lose something of a space that they all knew: their open pages look again at once."""
    knew = cell_of(plan.before, Audience.STAFF).existence > Existence.HIDDEN
    return knew and any(not cell.grows and cell.audience is Audience.STAFF for cell in plan.cells)


def _opens_widely(plan: plans.Plan) -> bool:
    """Whether a space comes to the levels where anybody identified may come in."""
    return plan.after.level.rank >= Level.NETWORK.rank > plan.before.level.rank


async def _apply(
    viewer: Employee | Operator, space: spaces.SeenSpace, plan: plans.Plan, how: How, approver: int | None
) -> Done:
    losing = await hosts_that_lose(space.id, plan)
    before_ids = {peer_id: await plans.readable_in(space.id, server) for peer_id, server in losing.items()}
    written = await write(space.id, plan.before, plan.after, now_ms(), past=plan.past)
    epoch = plan.base_epoch + 1
    await db.execute("UPDATE space SET epoch = $1 WHERE id = $2", epoch, space.id)
    taken = {}
    for peer_id, server in losing.items():
        taken[peer_id] = before_ids[peer_id] - await plans.readable_in(space.id, server)
    effects = await _effects(viewer, space, plan, written, taken, how)
    made = Made(epoch, plan.before, plan.after, how.door.value, how.source, how.reason, approver, plan.hash, effects)
    await append(viewer, space.id, made)
    await note(
        viewer,
        "set_openness",
        subject=space.slug,
        space_id=space.id,
        before=plan.before.level.value,
        after=plan.after.level.value,
        door=how.door.value,
    )
    opened = {"past": epoch, "at": written.at, "left_out": sorted(written.kept)} if opens_past(plan) else None
    await record(Kind.SPACE_CHANGED, actor_id=space.actor_id, space_id=space.id, data=opened)
    if opened is not None:
        await tell_authors(space.id, _opened(viewer, plan, epoch, written.at))
    if plan.widens or plan.past:
        await tell_the_past(space.id)
    db.after_commit(partial(live.publish, live.Fact("access", space_id=space.id)))
    if _known_narrowing(plan):
        db.after_commit(partial(live.publish, live.Fact("narrowed", space_id=space.id)))
    return Done(Outcome.APPLIED, epoch, plan.hash, None, effects)


def opens_past(plan: plans.Plan) -> bool:
    """Whether what was written before a change is for more people after it: by its choice, or by the dial."""
    return plan.past or opens_further_back(plan.before, plan.after)


def _opened(viewer: Employee | Operator, plan: plans.Plan, epoch: int, at: int) -> Opened:
    hosts = tuple(terms.host for terms in plan.after.partners)
    by = viewer.actor_id if isinstance(viewer, Employee) else None
    return Opened(epoch, at, plan.after.level, hosts, by=by)


async def _effects(
    viewer: Employee | Operator,
    space: spaces.SeenSpace,
    plan: plans.Plan,
    written: Written,
    taken: dict[int, set[int]],
    how: How,
) -> dict[str, Any]:
    """What follows at once: people let go are told, feeds end, what was sent is taken back; in counts."""
    for actor_id, peer_id in written.gone:
        if peer_id is not None:
            data = {"member": actor_id}
            await record(Kind.MEMBER_REMOVED, actor_id=space.actor_id, space_id=space.id, data=data)
    feeds = await db.execute(
        "UPDATE feed_token SET revoked_at = $1 WHERE space_id = $2 AND revoked_at IS NULL AND account_id NOT IN"
        " (SELECT c.id FROM account c JOIN membership m ON m.actor_id = c.actor_id WHERE m.space_id = $2)",
        now_ms(),
        space.id,
    )
    recalled = await take_back(viewer, space, {peer: ids for peer, ids in taken.items() if ids}, plan)
    return {
        "opening": _opens_widely(plan),
        "widens": plan.widens,
        "people_let_go": len(written.gone),
        "past": plan.past,
        "opened_items": written.opened,
        "feeds_ended": feeds,
        "taken_back": recalled,
        **({"left_out": left_out(written)} if written.kept else {}),
    }


def left_out(written: Written) -> dict[str, Any]:
    """What an opening of the past left out, as the history of the policy keeps it: when, of which peers, how much."""
    return {"at": written.at, "of": sorted(written.kept), "items": sum(written.kept.values())}


def ended(policy: SpacePolicy) -> SpacePolicy:
    """What a space is after its end: at the level that its owner chose, closed when none was."""
    level = policy.then_level or Level.CLOSED
    over = replace(policy, level=level, opens_at=None, closes_at=None, then_level=None, review_days=0)
    return reset_outside(over)
