"""`/healthz` and `/readyz`: for whoever watches the process; they name nothing that is inside."""

from starlette.requests import Request
from starlette.responses import PlainTextResponse

from server import database, migrating
from server.errors import Unavailable
from server.settings import Settings


async def healthz(request: Request) -> PlainTextResponse:
    """The process is up and its database answers."""
    try:
        await database.fetch("SELECT 1 AS up")
    except Unavailable:
        return PlainTextResponse("database unreachable\n", 503)
    return PlainTextResponse("ok\n")


async def readyz(request: Request) -> PlainTextResponse:
    """The tables are those of this version too."""
    settings: Settings = request.app.state.settings
    try:
        schema = await migrating.check(settings.database_url)
    except Unavailable:
        return PlainTextResponse("database unreachable\n", 503)
    if schema is not migrating.Schema.CURRENT:
        return PlainTextResponse(f"schema {schema}\n", 503)
    return PlainTextResponse("ready\n")
