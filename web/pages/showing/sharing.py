"""The address of a post, with who can open it and what would be enough for the others."""

from starlette.responses import Response

from server.ids import host_of
from server.openness import Visibility
from server.policy import Act
from server.queries import explanations
from server.queries.posts import SeenPost
from web.pages.showing.explaining import Row, readers_of
from web.pages.showing.frame import show, speech_for
from web.pages.visits import Visit


async def share(visit: Visit, post: SeenPost) -> Response:
    """The page. Whoever may not count the readers is shown the address alone."""
    speaks, _ = await speech_for(visit.request, visit.viewer)
    rows, heading, sentences = list[Row](), "", list[str]()
    if post.space is None or post.space.may(visit.viewer, Act.COUNT_MEMBERS):
        rows, heading, sentences, _ = await readers_of(visit, speaks, explanations.of_post(post))
    in_public = any(row.word == "web" and row.reads for row in rows)
    ours = visit.here.is_ours(post.uri)
    return await show(
        visit,
        "share.html",
        "home",
        post=post,
        address=visit.here.post(post.id),
        elsewhere="" if ours else post.uri,
        here=visit.here.host,
        host="" if ours else host_of(post.uri),
        public=in_public if post.space is not None else post.visibility == Visibility.PUBLIC,
        heading=heading,
        sentences=sentences,
        reading=[row for row in rows if row.reads],
        others=[row for row in rows if not row.reads],
    )
