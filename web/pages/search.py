"""Search among what the visitor may find; a handle or an address that is not known here is looked up elsewhere."""

from starlette.responses import Response

from server.errors import NotFound
from server.queries import directory, people, posts, search
from server.viewer import Guest
from web.pages import showing
from web.pages.visits import Visit, see

PEOPLE = 8
SPACES = 8


async def results(visit: Visit) -> Response:
    """`/search?q=`: people, spaces, posts; older posts with `before`."""
    viewer, words = visit.me, visit.query("q").strip()
    found = await _elsewhere(visit, words)
    if found:
        return see(found)
    before = visit.cursor("before")
    cards = await search.posts(viewer, words, before=before, limit=search.PAGE + 1)
    first = bool(words) and before is None
    return await showing.results(
        visit,
        words,
        people=await people.known(viewer, matching=words, limit=PEOPLE) if first else [],
        spaces=await directory.listed(viewer, matching=words, limit=SPACES) if first else [],
        posts=cards[: search.PAGE],
        more=len(cards) > search.PAGE,
    )


async def _elsewhere(visit: Visit, words: str) -> str:
    """Our page of what an address or a handle of another instance stands for; '' when it is only words."""
    if " " in words or not ("://" in words or "@" in words.lstrip("@")):
        return ""
    if isinstance(visit.me, Guest):
        return ""
    found = await visit.request.app.state.lookup(visit.me, words.lstrip("@") if "://" not in words else words)
    try:
        if found.post_id is not None:
            return f"/posts/{(await posts.find(visit.me, found.post_id)).id}"
        if found.actor_id is not None:
            return f"/@{(await people.find_by_id(visit.me, found.actor_id)).card.handle}"
    except NotFound:
        return ""
    return ""
