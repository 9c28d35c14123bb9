"""The home feed: what is new for somebody, and where they stopped reading."""

from starlette.responses import Response

from server.actions import reading
from server.queries import accounts, timelines
from server.queries.timelines import Window
from web.pages import showing
from web.pages.visits import Visit


async def home(visit: Visit) -> Response:
    """`/`, and older pages of it with `before`. Reading the newest page moves the mark forward."""
    viewer, before = visit.me, visit.cursor("before")
    mark = (await accounts.own(viewer)).read_up_to
    posts = await timelines.home(viewer, Window(before=before))
    if posts and before is None and not visit.wants_fragment:
        await reading.read_up_to(viewer, posts[0].id)
    return await showing.home(visit, posts, mark)
