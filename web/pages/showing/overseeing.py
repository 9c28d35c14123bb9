"""Every space in figures, and exceptional readings with their reasons."""

from collections.abc import Sequence
from urllib.parse import urlencode

from starlette.responses import Response

from server.errors import DomainError
from server.queries.overseeing import Glass, Overseen
from server.viewer import Employee
from web.pages.showing.frame import refused_words, show
from web.pages.showing.own import status_for
from web.pages.visits import Visit


async def overseen(visit: Visit, found: Sequence[Overseen], *, more: bool) -> Response:
    """All spaces by slug."""
    onward = f"/admin/spaces?{urlencode({'after': found[-1].slug})}" if more and found else ""
    return await show(visit, "admin_spaces.html", "admin", found=found, onward=onward)


async def glasses(
    visit: Visit,
    found: Sequence[Glass],
    *,
    more: bool,
    refused: DomainError | None = None,
    slug: str = "",
    reason: str = "",
) -> Response:
    """Exceptional readings, newest first."""
    older = f"/admin/glass?before={found[-1].id}" if more and found else ""
    may_ask = isinstance(visit.viewer, Employee) and visit.viewer.is_admin
    return await show(
        visit,
        "admin_glass.html",
        "admin",
        status=status_for(refused),
        found=found,
        older=older,
        may_ask=may_ask,
        refused=await refused_words(visit, refused),
        slug=slug or visit.query("space"),
        reason=reason,
    )
