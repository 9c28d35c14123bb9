"""« Que voit ce partenaire chez nous ? »: counts by space, to look at, to give to them, to compare with theirs."""

import csv
import io
from typing import Any, Protocol

import msgspec
from starlette.responses import Response

from server.clock import now_ms
from server.errors import Unavailable
from server.queries import mirrors
from server.queries.mirrors import Mirror
from server.queries.offices import demand_administrator
from web.pages import showing
from web.pages.visits import Visit

COLUMNS = ("space", "hosted_here", "theirs", "ours", "items", "files", "copies")
FORMULA = ("=", "+", "-", "@", "\t", "\r")


class Mirroring(Protocol):
    """How a page asks the other instance for its side. Raises Unavailable."""

    async def mirror(self, peer_id: int) -> dict[str, Any]: ...


async def mirror(visit: Visit) -> Response:
    """`/admin/partners/{host}`: what they see and hold."""
    return await showing.partner(visit, await _found(visit))


async def export(visit: Visit) -> Response:
    """`/admin/partners/{host}/export`: the same for the partner, as CSV, or JSON with `?format=json`."""
    told = mirrors.as_json(await _found(visit), now_ms())
    name = f"parvis-{visit.here.host}-{told['partner']}".replace(":", "-").replace('"', "")
    if visit.query("format") == "json":
        return _file(msgspec.json.encode(told), f"{name}.json", "application/json")
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(COLUMNS)
    writer.writerows([_cell(one[column]) for column in COLUMNS] for one in told["spaces"])
    return _file(table.getvalue().encode(), f"{name}.csv", "text/csv; charset=utf-8")


async def compare(visit: Visit) -> Response:
    """`POST /admin/partners/{host}/compare`: asks the partner for its side and shows both."""
    demand_administrator(visit.viewer)
    found = await _found(visit)
    mirroring: Mirroring = visit.request.app.state.linking
    try:
        told = await mirroring.mirror(found.peer_id)
    except Unavailable as refused:
        return await showing.partner(visit, found, refused=refused)
    return await showing.partner(visit, found, compared=mirrors.compare(found, told), at=told["at"])


async def _found(visit: Visit) -> Mirror:
    return await mirrors.of_host(visit.viewer, str(visit.request.path_params["host"])[:255])


def _cell(value: object) -> str:
    """What a spreadsheet does not take for a formula."""
    text = str(value)
    return f"'{text}" if text.startswith(FORMULA) else text


def _file(content: bytes, name: str, media_type: str) -> Response:
    headers = {"content-disposition": f'attachment; filename="{name}"', "cache-control": "private, no-store"}
    return Response(content, media_type=media_type, headers=headers)
