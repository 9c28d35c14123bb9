"""How a command opens its instance: tables of this version, and nothing held afterwards."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from server import database, schema
from server.ids import Addresses
from server.place import demand_here
from server.settings import Settings


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Addresses]:
    """The database is open inside; gives this instance's addresses.

    Raises WrongSchema for tables of another version, Unavailable when the database cannot be opened,
    Conflict when it is that of another address.
    """
    await schema.refuse_unless_current(settings.database_url)
    await database.connect(settings.database_url, models=())
    try:
        await demand_here(settings.base_url)
        yield Addresses(settings.base_url)
    finally:
        await database.disconnect()
