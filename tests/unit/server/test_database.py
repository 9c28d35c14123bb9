"""The layer everybody builds on: one SQL, one set of types, transactions that hold, errors with a sentence."""

import pytest

from server import database as db

pytestmark = pytest.mark.anyio


async def test_the_database_of_a_test_is_empty_and_has_its_tables(database: str) -> None:
    assert await db.fetch_one("SELECT COUNT(*) AS n FROM actor") == {"n": 0}
    assert database.startswith(db.engine_name())
