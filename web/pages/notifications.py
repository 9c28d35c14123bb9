"""What waits for somebody."""

from starlette.responses import Response

from server.actions import notices
from server.queries import notifications
from web.pages import showing
from web.pages.visits import Visit, see


async def listed(visit: Visit) -> Response:
    """`/notifications`, newest first."""
    viewer = visit.me
    found = await notifications.waiting(viewer, before=visit.cursor("before"), limit=notifications.PAGE + 1)
    return await showing.notifications(visit, found[: notifications.PAGE], more=len(found) > notifications.PAGE)


async def read(visit: Visit) -> Response:
    """`POST /notifications/read`: all of it has been seen."""
    await notices.read_all(visit.me.actor_id)
    return see("/notifications")
