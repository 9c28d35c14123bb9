"""create_app(settings): the only file that knows the routes of all three packages."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.routing import Route

from server import database
from server.settings import Settings
from web.health import healthz, readyz


def create_app(settings: Settings, *, delivery: bool = True) -> Starlette:
    """One web process of one instance; with `delivery` it also sends to the others."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        await database.connect(settings.database_url)
        try:
            yield
        finally:
            await database.disconnect()

    app = Starlette(routes=[Route("/healthz", healthz), Route("/readyz", readyz)], lifespan=lifespan)
    app.state.settings = settings
    app.state.delivery = delivery
    return app
