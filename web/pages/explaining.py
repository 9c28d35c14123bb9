"""« Qui voit ceci ? » and « Pourquoi … ne voit-il pas ceci ? », of a post, a space, a file or a person."""

from starlette.responses import Response

from server.errors import Forbidden, Invalid, Unauthenticated
from server.policy import Act
from server.queries import explanations, spaces
from server.queries.explanations import Thing, Told
from server.refusals import SENTENCES
from server.viewer import Resident
from web.pages import showing
from web.pages.visits import Visit


async def explain(visit: Visit) -> Response:
    """`/explain?thing=`: who sees it; with `as` or `who`, why somebody does or does not."""
    if not isinstance(visit.viewer, Resident):
        raise Unauthenticated(SENTENCES["sign_in_first"])
    return await told_of(visit, await explanations.find_thing(visit.viewer, visit.query("thing"), visit.here))


async def of_space(visit: Visit) -> Response:
    """`/spaces/{slug}/audience`: who reads what is written there now."""
    space = await spaces.find(visit.viewer, visit.handle("slug"))
    space.demand(visit.viewer, Act.COUNT_MEMBERS)
    return await told_of(visit, explanations.of_space(space))


async def told_of(visit: Visit, thing: Thing) -> Response:
    """Who sees a thing, and the answer to what was asked about somebody."""
    told: Told | None = None
    refused = None
    who = visit.query("who").strip() or visit.query("as").strip()
    if who and isinstance(visit.viewer, Resident):
        try:
            subject = await explanations.find_subject(visit.viewer, who)
            told = await explanations.tell_of(visit.viewer, thing, subject, visit.query("right"))
        except (Invalid, Forbidden) as error:
            refused = error
    return await showing.who_sees(visit, thing, told, refused)
