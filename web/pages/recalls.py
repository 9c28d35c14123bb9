"""What was taken back from other instances, for those who look after this one."""

from starlette.responses import Response

from server.actions.recall_restarts import restart as ask_again
from server.errors import Conflict
from server.queries import recalls
from web.pages import showing
from web.pages.visits import Visit, number, see


async def listed(visit: Visit) -> Response:
    """`/admin/recalls`: newest first; `?open=1`: only those that still wait for something."""
    open_only = visit.query("open") == "1"
    limit = recalls.PAGE + 1
    found = await recalls.listed(visit.viewer, open_only=open_only, before=visit.cursor("before"), limit=limit)
    return await showing.recalls(visit, found[: recalls.PAGE], open_only=open_only, more=len(found) > recalls.PAGE)


async def show(visit: Visit) -> Response:
    """`/admin/recalls/{id}`: one recall, instance by instance."""
    return await showing.recall(visit, await recalls.find(visit.viewer, number(str(visit.request.path_params["id"]))))


async def restart(visit: Visit) -> Response:
    """`POST /admin/recalls/{id}/restart`: asks an instance once more that refused, or is late."""
    viewer, form = visit.colleague, await visit.form()
    recall_id = number(str(visit.request.path_params["id"]))
    try:
        await ask_again(viewer, recall_id, form.line("host", 300))
    except Conflict as refused:
        return await showing.recall(visit, await recalls.find(visit.viewer, recall_id), refused=refused)
    return see(f"/admin/recalls/{recall_id}")
