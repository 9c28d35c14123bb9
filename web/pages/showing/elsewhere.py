"""A space of another instance, as its host shows it to whoever may ask to come in."""

from starlette.responses import Response

from server.errors import DomainError, NotFound
from server.queries import elsewhere as queries
from server.queries.elsewhere import ShownSpace
from server.viewer import Employee
from web.pages.showing.frame import refused_words, show
from web.pages.showing.own import status_for
from web.pages.visits import Visit


async def elsewhere(
    visit: Visit,
    typed: str = "",
    *,
    found: ShownSpace | None = None,
    refused: DomainError | None = None,
    asked: str = "",
) -> Response:
    """The field for an address, what is there, and the requests that wait. `asked`: the space (`slug@host`) that was
    just asked for; where that waits no more, and the reader is not in it, it was declined.
    """
    nothing = isinstance(refused, NotFound)
    waiting = await queries.asked(visit.viewer) if isinstance(visit.viewer, Employee) else []
    return await show(
        visit,
        "elsewhere.html",
        "spaces",
        status=404 if nothing else status_for(refused),
        typed=typed,
        found=found,
        nothing=nothing,
        refused=None if nothing else await refused_words(visit, refused),
        waiting=waiting,
        waits=found is not None and any(one.slug == f"{found.slug}@{found.host}" for one in waiting),
        asked=asked,
        still=any(one.slug == asked for one in waiting),
    )
