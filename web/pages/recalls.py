"""What was taken back from other instances, for those who look after this one."""

from starlette.responses import Response

from server.queries import recalls
from web.pages import showing
from web.pages.visits import Visit, number


async def listed(visit: Visit) -> Response:
    """`/admin/recalls`: newest first; `?open=1`: only those that still wait for something."""
    open_only = visit.query("open") == "1"
    limit = recalls.PAGE + 1
    found = await recalls.listed(visit.viewer, open_only=open_only, before=visit.cursor("before"), limit=limit)
    return await showing.recalls(visit, found[: recalls.PAGE], open_only=open_only, more=len(found) > recalls.PAGE)


async def show(visit: Visit) -> Response:
    """`/admin/recalls/{id}`: one recall, instance by instance."""
    return await showing.recall(visit, await recalls.find(visit.viewer, number(str(visit.request.path_params["id"]))))
