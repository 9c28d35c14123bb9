"""The history of the tables ends where the models stand, on both engines.

A migration may add what models cannot say (a table for full text, a partial index), by SQL of its own.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tortoise import Tortoise

from server import database as db
from server import migrating
from server.schema import RECORDS
from tests.house.sources import modules

Table = dict[str, Any]


@pytest.fixture(params=["sqlite", "postgres"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database without any table, on each engine in turn."""
    if request.param == "sqlite":
        yield f"sqlite://{tmp_path / 'models.db'}"
        return
    server = request.getfixturevalue("postgres")
    name = server.create()
    yield server.url(name)
    server.drop(name)


@pytest.mark.anyio
async def test_the_models_have_nothing_that_the_history_has_not() -> None:
    assert [writer.as_string() for writer in await migrating.changes()] == []


@pytest.mark.anyio
async def test_a_migrated_database_is_the_one_that_the_models_describe(empty_url: str, tmp_path: Path) -> None:
    await db.connect(empty_url)
    await Tortoise.generate_schemas()
    described = await tables()
    await drop(described)
    await db.disconnect()

    await migrating.migrate(empty_url, tmp_path)
    await db.connect(empty_url)
    migrated = await tables()
    await db.disconnect()
    assert set(described) <= set(migrated)
    for name, table in described.items():
        assert {key: migrated[name][key] for key in ("columns", "keys")} == {
            key: table[key] for key in ("columns", "keys")
        }, name
        assert [index for index in table["indexes"] if index not in migrated[name]["indexes"]] == [], name
    beyond = set(migrated) - set(described) - {RECORDS}
    history = "".join(path.read_text(encoding="utf-8") for path in modules("migrations").values())
    made = tuple(re.findall(r"CREATE (?:VIRTUAL )?TABLE (\w+)", history))
    assert [name for name in beyond if not name.startswith(made)] == []


async def tables() -> dict[str, Table]:
    """Every table: its columns, what is unique or indexed, what refers to what. Names of indexes do not count."""
    return await (sqlite_tables() if db.engine_name() == "sqlite" else postgres_tables())


async def sqlite_tables() -> dict[str, Table]:
    names = await db.fetch("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
    return {row["name"]: await sqlite_table(row["name"]) for row in names}


async def sqlite_table(name: str) -> Table:
    columns = await db.fetch(f"SELECT name, type, \"notnull\", dflt_value, pk FROM pragma_table_info('{name}')")
    indexes = await db.fetch(f"SELECT name, \"unique\", partial FROM pragma_index_list('{name}')")
    keys = await db.fetch(f'SELECT "from", "table", "to", on_delete FROM pragma_foreign_key_list(\'{name}\')')
    return {
        "columns": {row["name"]: row for row in columns},
        "indexes": sorted([(row["unique"], row["partial"], await sqlite_index(row["name"])) for row in indexes]),
        "keys": sorted(str(row) for row in keys),
    }


async def sqlite_index(name: str) -> list[str]:
    return [row["name"] for row in await db.fetch(f"SELECT name FROM pragma_index_info('{name}') ORDER BY seqno")]


async def postgres_tables() -> dict[str, Table]:
    names = await db.fetch("SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public'")
    return {row["name"]: await postgres_table(row["name"]) for row in names}


async def postgres_table(name: str) -> Table:
    columns = await db.fetch(
        "SELECT column_name, data_type, character_maximum_length, is_nullable, column_default, is_identity "
        "FROM information_schema.columns WHERE table_schema = 'public' AND table_name = $1",
        name,
    )
    indexes = await db.fetch("SELECT indexname, indexdef FROM pg_indexes WHERE tablename = $1", name)
    keys = await db.fetch(
        "SELECT pg_get_constraintdef(oid) AS is FROM pg_constraint WHERE conrelid = $1::regclass AND contype = 'f'",
        name,
    )
    return {
        "columns": {row["column_name"]: row for row in columns},
        "indexes": sorted(row["indexdef"].replace(row["indexname"], "") for row in indexes),
        "keys": sorted(row["is"] for row in keys),
    }


async def drop(described: dict[str, Table]) -> None:
    if db.engine_name() == "postgres":
        await db.execute("DROP SCHEMA public CASCADE")
        await db.execute("CREATE SCHEMA public")
        return
    left = set(described)
    while left:
        for name in sorted(left):
            if not any(f"'table': '{name}'" in key for other in left - {name} for key in described[other]["keys"]):
                await db.execute(f'DROP TABLE "{name}"')
                left.remove(name)
