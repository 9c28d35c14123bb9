"""A change of openness that waits, for a second person who may not know the space: its words and what it would do."""

from starlette.responses import Response

from server.actions import openness
from server.actions.openness import Outcome
from server.errors import Conflict, Forbidden, Invalid, TooLarge
from server.queries import pending
from web.pages.openness_form import REASON_CHARACTERS
from web.pages.showing import opening as showing
from web.pages.visits import Visit, see

REFUSALS = (Invalid, Conflict, Forbidden, TooLarge)


async def show(visit: Visit) -> Response:
    """`/admin/changes/{id}`: what waits, with what it would do."""
    return await showing.deciding(visit, *await pending.to_decide(visit.colleague, visit.id()))


async def decide(visit: Visit) -> Response:
    """`POST /admin/changes/{id}`: approves exactly what was shown, or declines it."""
    viewer, form = visit.colleague, await visit.form()
    space, change = await pending.to_decide(viewer, visit.id())
    try:
        if form.line("do", 20) == "approve":
            done = await openness.approve(viewer, change.id, form.line("plan", 64))
            outcome = "planned" if done.outcome is Outcome.PLANNED else "approved"
        else:
            outcome = "declined"
            await openness.decline(viewer, change.id, form.line("reason", REASON_CHARACTERS))
    except REFUSALS as refused:
        return await showing.deciding(visit, space, change, refused, form.as_typed().line("reason"))
    return see(f"/notifications?done={outcome}")
