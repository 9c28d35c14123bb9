"""Rows that one transaction changes together are held in one order, so that no two wait for each other for ever."""

from collections.abc import Collection

from server import database as db
from server.sql import Clause, one_of


async def hold(table: str, ids: Collection[int]) -> None:
    """In the caller's transaction, before it changes them: these rows are its own from now on, taken by their ids.

    The embedded database has one writer, and of one row nobody waits in a circle: then nothing is asked.
    """
    if db.engine_name() == "postgres" and len(ids) > 1:
        query = Clause(f"SELECT id FROM {table} WHERE").join(one_of("id", sorted(ids)))
        await db.fetch(*query.then("ORDER BY id FOR UPDATE").statement())
