"""A space as an Atom feed: for a session, or by a personal secret address; a public one for everybody."""

from starlette.responses import Response

from server.actions import feeds as verbs
from server.errors import NotFound
from server.policy import Act
from server.queries import feeds, spaces, timelines
from server.queries.spaces import SeenSpace
from server.queries.timelines import Window
from server.viewer import Viewer
from web.pages import showing
from web.pages.visits import Visit, see

ENTRIES = 40


async def atom(visit: Visit) -> Response:
    """`/spaces/{slug}/feed.atom`, with `?token=` for a feed reader. What is not for the asker is not there."""
    slug, raw = visit.handle("slug"), visit.query("token")
    viewer: Viewer | None = await feeds.reader(raw, slug) if raw else visit.viewer
    if viewer is None:
        raise NotFound(detail="no such address")
    space = await spaces.find(viewer, slug)
    if not space.may(viewer, Act.READ):
        raise NotFound(detail="nothing of it is for this reader")
    posts = await timelines.of_space(viewer, space.id, Window(limit=ENTRIES))
    return await showing.feed(visit, space, posts)


async def show(visit: Visit) -> Response:
    """`/spaces/{slug}/feed`: where one's own address is made and revoked."""
    return await showing.feed_address(visit, await _found(visit))


async def make(visit: Visit) -> Response:
    """`POST /spaces/{slug}/feed`: a new address, shown once, on this page."""
    space = await _found(visit)
    return await showing.feed_address(visit, space, await verbs.make(visit.me, space.id))


async def revoke(visit: Visit) -> Response:
    """`POST /spaces/{slug}/feed/revoke`."""
    space = await _found(visit)
    await verbs.revoke(visit.me, space.id)
    return see(f"/spaces/{space.slug}/feed")


async def _found(visit: Visit) -> SeenSpace:
    space = await spaces.find(visit.me, visit.handle("slug"))
    space.demand(visit.me, Act.READ)
    return space
