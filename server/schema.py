"""Whose tables these are: those of this version, of an older or of a newer one.

Servers never migrate when they start; they refuse to start on a schema that is not theirs. What is asked here is
asked by every command, so Tortoise's migrations are not imported.
"""

import importlib
import pkgutil
from collections.abc import Sequence
from enum import StrEnum
from typing import Any

from server.backups import sqlite_file
from server.database import APP, CONNECTION, MIGRATIONS, tortoise_config
from server.errors import Unavailable

RECORDS = "tortoise_migrations"


class Schema(StrEnum):
    """How the tables stand to this version of the code."""

    CURRENT = "current"
    BEHIND = "behind"
    AHEAD = "ahead"


class WrongSchema(Unavailable):
    """The tables are not those of this version: migrate first, or install the version that made them."""


def written(migrations: str = MIGRATIONS) -> list[str]:
    """The names of the migrations this version carries, oldest first."""
    path = importlib.import_module(migrations).__path__
    return sorted(name for _, name, is_package in pkgutil.iter_modules(path) if not is_package and name[0] not in "_~")


async def check(database_url: str, *, migrations: str = MIGRATIONS) -> Schema:
    """Compare the database with this version. Raises Unavailable when it cannot be opened."""
    file = sqlite_file(database_url)
    if file is not None and not file.exists():
        return Schema.BEHIND
    engine = tortoise_config(database_url)["connections"][CONNECTION]
    client = importlib.import_module(engine["engine"]).client_class(connection_name=CONNECTION, **engine["credentials"])
    await client.create_connection(with_db=True)
    try:
        return compared(await applied_to(client), written(migrations))
    finally:
        await client.close()


async def refuse_unless_current(database_url: str, *, migrations: str = MIGRATIONS) -> None:
    """What a server does before it starts. Raises WrongSchema, with a sentence for its administrator."""
    schema = await check(database_url, migrations=migrations)
    if schema is Schema.BEHIND:
        raise WrongSchema(
            "La base de données est plus ancienne que ce programme : lancez d’abord « parvis db migrate »."
        )
    if schema is Schema.AHEAD:
        raise too_new()


def too_new() -> WrongSchema:
    return WrongSchema("La base de données est plus récente que ce programme : installez la version qui l’a migrée.")


def compared(applied: set[str], known: Sequence[str]) -> Schema:
    if applied - set(known):
        return Schema.AHEAD
    return Schema.BEHIND if set(known) - applied else Schema.CURRENT


async def applied_to(client: Any) -> set[str]:
    table = "sqlite_master WHERE name" if is_sqlite(client) else "pg_tables WHERE tablename"
    if not await client.rows(f"SELECT 1 AS there FROM {table} = $1", (RECORDS,)):
        return set()
    return {row["name"] for row in await client.rows(f"SELECT name FROM {RECORDS} WHERE app = $1", (APP,))}


def is_sqlite(client: Any) -> bool:
    return bool(client.capabilities.dialect == "sqlite")
