"""Every space in figures, and exceptional readings: for administrators and auditors; owners decide of their own."""

from starlette.responses import Response

from server.actions import break_glass
from server.errors import Conflict, DomainError, Forbidden, Invalid, NotFound
from server.queries import overseeing
from server.refusals import N_
from web.pages import showing
from web.pages.showing.opening import VERSIONS
from web.pages.visits import Visit, see

NO_SUCH_SPACE = N_("Aucun espace d’ici n’a cette adresse.")
SLUG_CHARACTERS = 100
STEPS = frozenset({"grant", "end"})


async def spaces(visit: Visit) -> Response:
    """`/admin/spaces`: every space with its policy and counts, never its content."""
    found = await overseeing.spaces(visit.viewer, after=visit.query("after"), limit=overseeing.PAGE + 1)
    return await showing.overseen(visit, found[: overseeing.PAGE], more=len(found) > overseeing.PAGE)


async def space(visit: Visit) -> Response:
    """`/admin/spaces/{slug}`: how open it is and what changed that, newest first; never its content."""
    found = await overseeing.space(visit.viewer, visit.handle("slug"))
    policy = await overseeing.policy(visit.viewer, found)
    versions = await overseeing.history(visit.viewer, found, VERSIONS + 1, visit.cursor("before") or 0)
    return await showing.overseen_space(visit, found, policy, versions)


async def glasses(visit: Visit) -> Response:
    """`/admin/glass`: who reads exceptionally, why, until when."""
    return await _shown(visit)


async def ask(visit: Visit) -> Response:
    """`POST /admin/glass`: an administrator asks to read a space."""
    viewer, form = visit.colleague, await visit.form()
    typed = form.as_typed().line("space"), form.as_typed().text("reason")
    try:
        await break_glass.ask(
            viewer, form.line("space", SLUG_CHARACTERS), form.text("reason", break_glass.REASON_CHARACTERS)
        )
    except Invalid as refused:
        return await _shown(visit, refused, *typed)
    except NotFound:
        return await _shown(visit, Invalid(NO_SUCH_SPACE, field="space"), *typed)
    return see("/admin/glass")


async def step(visit: Visit) -> Response:
    """`POST /admin/glass/{id}/{step}`: grant, end."""
    viewer, form = visit.colleague, await visit.form()
    name = str(visit.request.path_params["step"])
    if name not in STEPS:
        raise NotFound(detail="no such step")
    try:
        if name == "grant":
            hours = form.as_typed().line("hours")
            await break_glass.grant(viewer, visit.id(), int(hours) if hours.isdecimal() and len(hours) < 4 else 1)
        else:
            await break_glass.end(viewer, visit.id())
    except (Conflict, Forbidden) as refused:
        return await _shown(visit, refused)
    return see("/admin/glass")


async def _shown(visit: Visit, refused: DomainError | None = None, slug: str = "", reason: str = "") -> Response:
    found = await overseeing.glasses(visit.colleague, before=visit.cursor("before"), limit=overseeing.PAGE + 1)
    more = len(found) > overseeing.PAGE
    return await showing.glasses(visit, found[: overseeing.PAGE], more=more, refused=refused, slug=slug, reason=reason)
