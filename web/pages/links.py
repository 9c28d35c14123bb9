"""Linked instances: for administrators, who compare six words before anything flows (A9)."""

import re
from collections.abc import Awaitable, Callable
from typing import Protocol

from starlette.responses import Response

from server.actions import links as verbs
from server.actions.consent import set_history_consent
from server.errors import Conflict, DomainError, Forbidden, Invalid, NotFound, Unavailable
from server.openness import LinkState
from server.queries import lag, linked, links
from server.queries.consent import denies_past
from server.queries.links import LinkCard
from server.refusals import N_
from server.viewer import Employee
from web.pages import showing
from web.pages.openness_form import last_moment, read_day
from web.pages.showing import About
from web.pages.visits import Visit, see

NOT_A_HOST = N_("« %(host)s » n’est pas l’adresse d’une instance, comme « rse.partenaire.example ».")
HOST = re.compile(r"(?=.{1,253}(?::\d{1,5})?$)[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?(?::\d{1,5})?")
REASON_CHARACTERS = 300
COMPARED = frozenset({LinkState.CONFIRMED})
FLOWS = frozenset({LinkState.ACTIVE, LinkState.SUSPENDED})


class Linking(Protocol):
    """What a page needs of the other instance, and only the federation can ask it. Raises a DomainError."""

    async def offer(self, viewer: Employee, host: str, until_at: int | None = None) -> None: ...

    async def resume(self, viewer: Employee, host: str) -> bool: ...

    async def words(self, viewer: Employee, host: str) -> list[str]: ...


async def listed(visit: Visit) -> Response:
    """`/admin/links`: all of them, those that ask for something first."""
    return await _shown(visit)


async def one(visit: Visit) -> Response:
    """`/admin/links/{host}`: one of them, with all that is known of it."""
    return await _one(visit, str(visit.request.path_params["host"]).lower())


async def _one(visit: Visit, host: str, refused: DomainError | None = None, about: About | None = None) -> Response:
    found = await linked.of_host(visit.viewer, host)
    words = await _words(visit, found.card) if _to_compare(found.card) else []
    slots = await lag.of_last_week(visit.viewer, found.card.peer_id) if found.card.state in FLOWS else []
    return await showing.link(visit, found, words, slots, refused=refused, about=about)


async def offer(visit: Visit) -> Response:
    """`POST /admin/links`: proposes a link to the instance at a host."""
    viewer, form = visit.colleague, await visit.form()
    await links.listed(viewer)  # refuses whoever is no administrator before anybody is asked
    typed = form.as_typed()
    host = typed.line("host").lower().removeprefix("https://").removeprefix("http://").rstrip("/")
    until = typed.line("until")
    try:
        if not HOST.fullmatch(host):
            raise Invalid(NOT_A_HOST, field="host", params={"host": host[:80]})
        await _linking(visit).offer(viewer, host, _end_of(until))
    except (Invalid, Conflict, Forbidden, NotFound, Unavailable) as refused:
        return await _shown(visit, refused=refused, host=host, until=until)
    return see("/admin/links")


def _end_of(day: str) -> int | None:
    """The last moment of a day (UTC, ms); None for none. Raises Invalid."""
    if not day:
        return None
    return last_moment(read_day("until", day))


async def step(visit: Visit) -> Response:
    """`POST /admin/links/{host}/{step}`: accept, confirm, suspend, resume, end, kin, unkin."""
    viewer, form = visit.colleague, await visit.form()
    host, name = str(visit.request.path_params["host"]).lower(), str(visit.request.path_params["step"])
    if name not in STEPS:
        raise NotFound(detail="no such step")
    try:
        await STEPS[name](visit, viewer, host, form.line("reason", REASON_CHARACTERS))
    except (Conflict, Invalid, Unavailable) as refused:
        about = About(host, form.as_typed().line("reason"))
        return await (_one(visit, host, refused, about) if form.has("back") else _shown(visit, refused, about=about))
    return see(f"/admin/links/{host}" if form.has("back") else "/admin/links")


async def past(visit: Visit) -> Response:
    """`POST /admin/links/past`: whether hosts of spaces elsewhere may open to more people what ours wrote there."""
    viewer, form = visit.colleague, await visit.form()
    said = form.line("consent")
    if said not in ("allow", "deny"):
        return await _shown(visit, Invalid(detail="consent"))
    await set_history_consent(viewer, said == "allow")
    return see("/admin/links")


Step = Callable[[Visit, Employee, str, str], Awaitable[object]]

STEPS: dict[str, Step] = {
    "accept": lambda visit, viewer, host, reason: verbs.accept(viewer, host),
    "confirm": lambda visit, viewer, host, reason: verbs.confirm(viewer, host),
    "suspend": lambda visit, viewer, host, reason: verbs.suspend(viewer, host, reason),
    "resume": lambda visit, viewer, host, reason: _linking(visit).resume(viewer, host),
    "end": lambda visit, viewer, host, reason: verbs.end(viewer, host),
    "kin": lambda visit, viewer, host, reason: verbs.set_kin(viewer, host, True),
    "unkin": lambda visit, viewer, host, reason: verbs.set_kin(viewer, host, False),
}


async def _shown(
    visit: Visit, refused: DomainError | None = None, host: str = "", until: str = "", about: About | None = None
) -> Response:
    found = await links.listed(visit.viewer)
    words = {link.host: await _words(visit, link) for link in found if _to_compare(link)}
    denies = await denies_past()
    return await showing.links(visit, found, words, denies, refused=refused, about=about, host=host, until=until)


def _to_compare(link: LinkCard) -> bool:
    return link.state in COMPARED and not link.confirmed_here


async def _words(visit: Visit, link: LinkCard) -> list[str]:
    try:
        return await _linking(visit).words(visit.colleague, link.host)
    except DomainError:
        return []


def _linking(visit: Visit) -> Linking:
    linking: Linking = visit.request.app.state.linking
    return linking
