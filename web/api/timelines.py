"""timelines/* and lists/*: what is new, for the caller. A space is read as a list."""

from collections.abc import Sequence

from starlette.responses import Response

from server.queries import spaces, timelines
from server.queries.posts import PostCard
from web.api import present
from web.api.calls import Call, json
from web.api.paging import links, window

MOST_LISTS = 300


async def home(call: Call) -> Response:
    return page(call, await timelines.home(call.me, window(call)))


async def public(call: Call) -> Response:
    """Personal posts addressed to everybody."""
    return page(call, await timelines.public(call.me, window(call)))


async def of_list(call: Call) -> Response:
    """What was written in one space. Raises NotFound for a space that the caller may not know of."""
    space = await spaces.find_by_id(call.me, call.id())
    return page(call, await timelines.of_space(call.me, space.id, window(call)))


async def lists(call: Call) -> Response:
    """The spaces that the caller is a member of."""
    mine = await spaces.known(call.me, mine=True, limit=MOST_LISTS)
    return json([present.as_list(space) for space in mine])


async def show_list(call: Call) -> Response:
    return json(present.as_list(await spaces.find_by_id(call.me, call.id())))


def page(call: Call, cards: Sequence[PostCard]) -> Response:
    """Posts, with the addresses of the pages before and after."""
    return json([present.status(card, call.here) for card in cards], headers=links(call, [card.id for card in cards]))
