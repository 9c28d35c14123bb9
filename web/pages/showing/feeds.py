"""A space for feed readers, and the address that one gets for it."""

from collections.abc import Sequence

from starlette.responses import Response

from server.queries import feeds
from server.queries.posts import PostCard
from server.queries.spaces import SeenSpace
from server.text import excerpt
from web import render
from web.pages.showing.frame import show, speech_for
from web.pages.showing.spaces import tabs_of
from web.pages.visits import Visit

TITLE_LENGTH = 80


def _address(visit: Visit, space: SeenSpace, secret: str = "") -> str:
    return f"{visit.here.base}/spaces/{space.slug}/feed.atom" + (f"?token={secret}" if secret else "")


async def feed(visit: Visit, space: SeenSpace, posts: Sequence[PostCard]) -> Response:
    """The newest posts that the reader may read."""
    speaks, _ = await speech_for(visit.request, visit.viewer)
    return render.atom(
        speaks,
        "feed.atom",
        space=space,
        address=_address(visit, space),
        page=f"{visit.here.base}/spaces/{space.slug}",
        updated=max((post.edited_at or post.published_at for post in posts), default=space.created_at),
        posts=posts,
        titles={post.id: excerpt(post.html, TITLE_LENGTH) or post.author.display_name for post in posts},
        here=visit.here,
    )


async def feed_address(visit: Visit, space: SeenSpace, secret: str = "") -> Response:
    """Where somebody makes and revokes their address; a new one is shown on this page only."""
    speaks, _ = await speech_for(visit.request, visit.viewer)
    return await show(
        visit,
        "space_feed.html",
        "spaces",
        space=space,
        tabs=tabs_of(speaks, space),
        address=_address(visit, space),
        secret=_address(visit, space, secret) if secret else "",
        made_at=await feeds.made_at(visit.me, space),
    )
