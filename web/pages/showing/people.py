"""Colleagues, one person, and what a search found."""

from collections.abc import Sequence
from urllib.parse import urlencode

from starlette.responses import Response

from server.queries.directory import SpaceRow
from server.queries.people import Person
from server.queries.posts import PersonCard, PostCard
from web.pages.showing.frame import show
from web.pages.showing.posts import shown
from web.pages.visits import Visit

PAGE = 20


async def people(visit: Visit, found: Sequence[PersonCard], *, matching: str, more: bool) -> Response:
    """Colleagues by name; with words, people elsewhere too."""
    onward = f"/people?after={found[-1].name}" if more and found and not matching else ""
    return await show(visit, "people.html", "people", found=found, matching=matching, more=onward)


async def person(visit: Visit, who: Person, posts: Sequence[PostCard]) -> Response:
    """Who somebody is, and what they wrote that the reader may read."""
    views = [shown(visit, post) for post in posts]
    older = f"/@{who.card.handle}?before={posts[-1].id}" if len(posts) >= PAGE else ""
    return await show(visit, "person.html", "people", person=who, views=views, older=older)


async def results(
    visit: Visit,
    words: str,
    *,
    people: Sequence[PersonCard],
    spaces: Sequence[SpaceRow],
    posts: Sequence[PostCard],
    more: bool,
    may_be: str = "",
) -> Response:
    """What a search found, among what the reader may find. `may_be`: what may be the address of a space elsewhere."""
    views = [shown(visit, post) for post in posts]
    older = f"/search?{urlencode({'q': words, 'before': posts[-1].id})}" if more else ""
    return await show(
        visit,
        "search.html",
        "search",
        words=words,
        people=people,
        spaces=spaces,
        views=views,
        older=older,
        may_be=may_be,
    )
