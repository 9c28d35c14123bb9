"""Search among what the visitor may find; a handle or an address that is not known here is looked up elsewhere."""

from urllib.parse import urlencode

from starlette.responses import Response

from server.errors import NotFound
from server.queries import directory, people, posts, search, spaces
from server.viewer import Guest
from web.pages import showing
from web.pages.elsewhere import address_of, names_a_space
from web.pages.visits import Visit, see

PEOPLE = 8
SPACES = 8


async def results(visit: Visit) -> Response:
    """`/search?q=`: people, spaces, posts; older posts with `before`."""
    viewer, words = visit.me, visit.query("q").strip()
    found = await _one_page(visit, words)
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
        may_be=words if first and address_of(words) is not None and not isinstance(viewer, Guest) else "",
    )


async def _one_page(visit: Visit, words: str) -> str:
    """The one page that an address or a handle stands for; '' when it is only words."""
    space = address_of(words)
    if space is not None:
        slug, host = space
        try:
            seen = await spaces.find(visit.me, slug if host == visit.here.host else f"{slug}@{host}")
            return f"/spaces/{seen.slug}"
        except NotFound:
            pass
    if isinstance(visit.me, Guest) or " " in words:
        return ""
    if space is not None and names_a_space(words):
        return f"/elsewhere?{urlencode({'address': words})}"
    return await _elsewhere(visit, words) if "://" in words or "@" in words.lstrip("@") else ""


async def _elsewhere(visit: Visit, words: str) -> str:
    """Our page of a person or a post of another instance, which is asked for it; '' for what is not found."""
    found = await visit.request.app.state.lookup(visit.me, words.lstrip("@") if "://" not in words else words)
    try:
        if found.post_id is not None:
            return f"/posts/{(await posts.find(visit.me, found.post_id)).id}"
        if found.actor_id is not None:
            return f"/@{(await people.find_by_id(visit.me, found.actor_id)).card.handle}"
    except NotFound:
        return ""
    return ""
