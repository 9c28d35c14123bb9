"""What waits in a space: read by those who run it, let through or refused with a reason."""

from starlette.responses import Response

from server.actions import moderation as verbs
from server.errors import Conflict, Invalid
from server.queries import moderation, spaces
from web.pages import showing
from web.pages.visits import Visit, see


async def waiting(visit: Visit) -> Response:
    """`/spaces/{slug}/queue`: the oldest first."""
    space = await spaces.find(visit.viewer, visit.handle("slug"))
    found = await moderation.waiting(visit.me, space, visit.cursor("after"), moderation.PAGE + 1)
    return await showing.queue(visit, space, found[: moderation.PAGE], more=len(found) > moderation.PAGE)


async def approve(visit: Visit) -> Response:
    """`POST /spaces/{slug}/queue/{id}/approve`: it is published now."""
    space = await spaces.find(visit.viewer, visit.handle("slug"))
    try:
        await verbs.approve(visit.me, space.id, visit.id())
    except Conflict as refused:
        return await showing.queue(visit, space, await moderation.waiting(visit.me, space), refused=refused)
    return see(f"/spaces/{space.slug}/queue")


async def refuse(visit: Visit) -> Response:
    """`POST /spaces/{slug}/queue/{id}/refuse`: its author is told why."""
    space = await spaces.find(visit.viewer, visit.handle("slug"))
    post_id, form = visit.id(), await visit.form()
    try:
        await verbs.refuse(visit.me, space.id, post_id, form.text("reason", verbs.REASON_CHARACTERS))
    except (Conflict, Invalid) as refused:
        found, typed = await moderation.waiting(visit.me, space), form.as_typed().text("reason")
        return await showing.queue(visit, space, found, refused=refused, about=post_id, reason=typed)
    return see(f"/spaces/{space.slug}/queue")
