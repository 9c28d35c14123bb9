"""Where one row alone may speak for something, the database refuses a second one."""

from typing import Any

import pytest

from server import database as db
from server.errors import Conflict
from server.ids import new_id
from server.openness import Level
from tests import cast as company

ALONE = {"account": "actor_id", "space": "actor_id", "link": "peer_id", "stream": "peer_id"}
OTHERWISE: dict[str, dict[str, Any]] = {"account": {"name": "alice2", "email": None}, "space": {"slug": "autre"}}


@pytest.mark.anyio
@pytest.mark.parametrize("table", ALONE)
async def test_a_second_row_for_the_same_is_refused(database: str, table: str) -> None:
    cast = await company.gather()
    await company.space("team", Level.INTERNAL, cast.alice)
    await db.insert("stream", {"id": new_id(), "peer_id": cast.kestrel.peer_id, "generation": "a"})
    first = await db.fetch_one(f"SELECT * FROM {table}")
    assert first is not None
    with pytest.raises(Conflict):
        await db.insert(table, {**first, "id": new_id(), **OTHERWISE.get(table, {})})
    rows = await db.fetch(f"SELECT id FROM {table} WHERE {ALONE[table]} = $1", first[ALONE[table]])
    assert len(rows) == 1
