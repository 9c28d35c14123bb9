"""How open a space is, by its page: shown, tried out, applied, asked of a second person, narrowed, closed."""

from dataclasses import replace

from starlette.responses import Response

from server.actions import drafts, openness, plans
from server.actions.openness import MOVED, Door, How
from server.actions.plans import Plan
from server.bounds import Problem
from server.errors import Conflict, Forbidden, Invalid, TooLarge
from server.openness import Level
from server.policy import Act
from server.queries import pending, policies, spaces
from server.queries.spaces import SeenSpace
from server.refusals import N_
from server.space_policy import SpacePolicy, reset_outside, widens_outside
from server.viewer import Employee
from web.pages import openness_form
from web.pages.openness_form import MOST_FIELDS, REASON_CHARACTERS, Typed
from web.pages.showing import opening as showing
from web.pages.visits import Visit, see

OTHER_PLAN = N_(
    "Ce n’est plus ce qui vous avait été montré : voici ce qui changerait maintenant. Relisez, puis appliquez."
)
REFUSALS = (Invalid, Conflict, Forbidden, TooLarge)


async def show(visit: Visit) -> Response:
    """`/spaces/{slug}/openness`; `?draft=` goes on with what was kept."""
    space = await spaces.find(visit.viewer, visit.handle("slug"))
    draft = visit.cursor("draft")
    if draft is None or not isinstance(visit.viewer, Employee):
        return await showing.openness(visit, space)
    kept = await pending.find(visit.viewer, space, draft)
    typed = Typed(kept.wanted, past=kept.past, reason=kept.reason, base=space.epoch, draft=kept.id)
    return await showing.openness(visit, space, typed, *await _planned(visit.viewer, space, typed))


async def act(visit: Visit) -> Response:
    """`POST /spaces/{slug}/openness`: what a button of the form does; anything else shows what would change."""
    viewer, space = await owner(visit)
    typed = openness_form.read(await visit.form(MOST_FIELDS), await policies.current(space.id))
    do = visit.query("do")
    if visit.part == "impact":
        return await showing.impact(visit, space, typed, *await _planned(viewer, space, typed))
    if do and typed.problems:
        return await _stopped(visit, viewer, space, typed)
    if do == "apply":
        return await _apply(visit, viewer, space, typed)
    if do == "narrow":
        return await _done(visit, viewer, space, typed, narrowing=True)
    if do in ("draft", "as"):
        kept = await drafts.keep(viewer, space.id, typed.wanted, past=typed.past, reason=typed.reason)
        if do == "as":
            return see(f"/spaces/{space.slug}/openness/as?draft={kept}")
        return see(f"/spaces/{space.slug}/openness?draft={kept}&done=draft")
    return await showing.openness(visit, space, typed, *await _planned(viewer, space, typed))


async def _apply(visit: Visit, viewer: Employee, space: SeenSpace, typed: Typed) -> Response:
    """Applies what was shown: the plan's hash and the version say that it still is what it was."""
    found, past = await _planned(viewer, space, typed)
    refused: Conflict | None = None
    if typed.base != found.base_epoch:
        refused = Conflict(MOVED, params={"version": found.base_epoch}, detail="moved")
    elif typed.plan != found.hash and not found.problems:
        refused = Conflict(OTHER_PLAN, detail="another plan")
    if refused is not None or found.problems:
        typed.base = found.base_epoch
        return await showing.openness(visit, space, typed, found, past, refused, stopped=bool(found.problems))
    return await _done(visit, viewer, space, typed)


async def _done(visit: Visit, viewer: Employee, space: SeenSpace, typed: Typed, *, narrowing: bool = False) -> Response:
    how = How(Door.PAGE, base_epoch=typed.base or None, past=typed.past, reason=typed.reason)
    verb = openness.narrow if narrowing else openness.change
    try:
        done = await verb(viewer, space.id, typed.wanted, replace(how, past=False) if narrowing else how)
    except Invalid as refused:
        return await _stopped(visit, viewer, space, typed, refused)
    except REFUSALS as refused:
        space = await spaces.find(viewer, space.slug)
        typed.base = space.epoch
        return await showing.openness(visit, space, typed, *await _planned(viewer, space, typed), refused)
    if typed.draft is not None:
        await drafts.drop(viewer, typed.draft)
    return see(f"/spaces/{space.slug}/openness?done={done.outcome}")


async def _stopped(
    visit: Visit, viewer: Employee, space: SeenSpace, typed: Typed, refused: Invalid | None = None
) -> Response:
    """The form again, with a sentence beside each field that keeps it from being applied."""
    found, past = await _planned(viewer, space, typed)
    return await showing.openness(
        visit, space, typed, found, past, None if found.problems else refused, stopped=bool(found.problems)
    )


async def _planned(viewer: Employee, space: SeenSpace, typed: Typed) -> tuple[Plan, Plan | None]:
    """What would change, and what opening the past would add where that is offered."""
    try:
        found = await plans.plan(viewer, space.id, typed.wanted, past=typed.past)
    except Invalid as refused:
        found = await plans.plan(viewer, space.id, typed.wanted, past=typed.past, counted=False)
        typed.problems.append(Problem(refused.field, refused.sentence, refused.params))
    found = replace(found, problems=(*typed.problems, *found.problems))
    if found.problems or typed.past or not widens_outside(list(found.cells)):
        return found, None
    return found, await plans.plan(viewer, space.id, typed.wanted, past=True)


# --- a second person, drafts, dates ---------------------------------------------------------------


async def decide(visit: Visit) -> Response:
    """`POST /spaces/{slug}/openness/changes/{id}`: approves or declines what waits, drops a draft."""
    viewer, space = await owner(visit)
    form = await visit.form()
    change, do = await pending.find(viewer, space, visit.id()), form.line("do")
    try:
        if change.state == "draft":
            await drafts.drop(viewer, change.id)
            return see(f"/spaces/{space.slug}/openness?done=dropped")
        if do == "approve":
            done = await openness.approve(viewer, change.id, form.line("plan", 64))
            outcome = "approved" if done.outcome == "applied" else done.outcome
            return see(f"/spaces/{space.slug}/openness?done={outcome}")
        await openness.decline(viewer, change.id, form.line("reason", REASON_CHARACTERS))
    except REFUSALS as refused:
        return await showing.openness(visit, space, refused=refused)
    return see(f"/spaces/{space.slug}/openness?done=declined")


async def review(visit: Visit) -> Response:
    """`POST /spaces/{slug}/openness/review`: it was looked at, and stays as it is."""
    viewer, space = await owner(visit)
    await openness.confirm_review(viewer, space.id)
    return see(f"/spaces/{space.slug}/openness?done=reviewed")


# --- closing --------------------------------------------------------------------------------------


async def closing(visit: Visit) -> Response:
    """`/spaces/{slug}/openness/close`: what closing does, and what it cannot take back."""
    viewer, space = await owner(visit)
    return await showing.closing(visit, space, await plans.plan(viewer, space.id, await _closed(space)))


async def close(visit: Visit) -> Response:
    """`POST /spaces/{slug}/openness/close`: closes it now, whatever else was planned; nobody is waited for."""
    viewer, space = await owner(visit)
    form = await visit.form()
    wanted = await _closed(space)
    try:
        await openness.change(viewer, space.id, wanted, How(Door.PAGE, reason=form.line("reason", REASON_CHARACTERS)))
    except REFUSALS as refused:
        plan = await plans.plan(viewer, space.id, wanted)
        return await showing.closing(visit, space, plan, refused, form.as_typed().line("reason"))
    return see(f"/spaces/{space.slug}/openness?done=closed")


async def _closed(space: SeenSpace) -> SpacePolicy:
    now = await policies.current(space.id)
    shut = replace(now, level=Level.CLOSED, opens_at=None, closes_at=None, then_level=None, indexing=False)
    return reset_outside(shut)


# --- what happened before -------------------------------------------------------------------------


async def history(visit: Visit) -> Response:
    """`/spaces/{slug}/openness/history`: every change, newest first."""
    space = await spaces.find(visit.viewer, visit.handle("slug"))
    before = visit.cursor("before") or 0
    return await showing.history(
        visit, space, await policies.versions(visit.viewer, space, showing.VERSIONS + 1, before)
    )


async def owner(visit: Visit) -> tuple[Employee, SeenSpace]:
    """The colleague who asks, and the space, when they may change how open it is."""
    viewer = visit.colleague
    space = await spaces.find(viewer, visit.handle("slug"))
    if not space.hosted_here:
        raise Forbidden(openness.ELSEWHERE, detail="hosted elsewhere")
    space.demand(viewer, Act.CHANGE_POLICY)
    return viewer, space
