"""Everybody, in a database of their own on each engine."""

import pytest

from tests.cast import Cast, gather


@pytest.fixture
async def cast(database: str) -> Cast:
    return await gather()
