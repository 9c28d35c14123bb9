"""The database and the door out, open for as long as one command runs."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from federation.instance import Instance, instance_of
from federation.lookup import KnownActor, find_handle
from server import database, schema
from server.place import demand_here
from server.settings import Settings
from server.terminal import Failure


@asynccontextmanager
async def opened(settings: Settings, *, anywhere: bool = False) -> AsyncIterator[Instance]:
    """Raises WrongSchema when the tables are of another version, Conflict when they are of another address.

    `anywhere`: that is what the command is about.
    """
    await schema.refuse_unless_current(settings.database_url)
    await database.connect(settings.database_url)
    instance = instance_of(settings)
    try:
        if not anywhere:
            await demand_here(settings.base_url)
        yield instance
    finally:
        await instance.transport.aclose()
        await database.disconnect()


async def somebody(instance: Instance, who: str) -> KnownActor:
    """`name` here or `name@host` elsewhere. Raises FederationError or Failure."""
    found = await find_handle(instance, who)
    if found.kind != "person":
        raise Failure(f"{who} is not a person.")
    return found
