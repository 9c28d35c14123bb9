"""The history of the tables: nothing is lost, nothing happens by half, and servers refuse what is not theirs."""

import asyncio
import sqlite3
import sys
import textwrap
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tortoise.context import require_context
from tortoise.exceptions import IntegrityError, OperationalError

from server import database as db
from server.backups import backup, restore
from server.errors import Conflict, Invalid, Unavailable
from server.migrating import changes, make_migration, migrate
from server.schema import Schema, WrongSchema, check, refuse_unless_current
from tests.unit.server.conftest import TOYS
from tests.unit.server.toys import add, history

pytestmark = pytest.mark.anyio

ALTER = 'ops.AlterField("Shelf", "label", fields.CharField(max_length=64, null=True))'
NUMBERS = iter(range(1000))


@pytest.fixture
def toy_history(tmp_path: Path) -> Iterator[str]:
    """A package with the first migration only; more are added with `later`."""
    with history(tmp_path, f"toy_history_{next(NUMBERS)}") as name:
        yield name


def later(tmp_path: Path, package: str, file: str, operations: str) -> None:
    add(tmp_path / package, file, operations)


async def run(url: str, tmp_path: Path, package: str) -> list[str]:
    return await migrate(url, tmp_path / "data", models=[TOYS], migrations=package)


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[None]:
    await db.connect(url, models=[TOYS])
    try:
        yield
    finally:
        await db.disconnect()


async def fill(url: str) -> None:
    async with opened(url):
        await db.insert_many("shelf", [{"id": n, "name": f"s{n}", "label": "l"} for n in (1, 2)])
        await db.insert_many("book", [{"id": n, "shelf_id": 1, "title": "t"} for n in range(5)])


async def counted(url: str) -> list[int]:
    async with opened(url):
        rows = [await db.fetch_one(f"SELECT COUNT(*) AS n FROM {table}") for table in ("shelf", "book")]
    return [row["n"] for row in rows if row]


async def test_trap_01_changing_a_column_keeps_the_rows_that_refer_to_its_table(
    empty_url: str, tmp_path: Path, toy_history: str
) -> None:
    """Stock on SQLite: five books became none."""
    await run(empty_url, tmp_path, toy_history)
    await fill(empty_url)
    later(tmp_path, toy_history, "m0002_alter", ALTER)
    assert await run(empty_url, tmp_path, toy_history) == ["m0002_alter"]
    assert await counted(empty_url) == [2, 5]
    async with opened(empty_url):
        await db.execute("UPDATE shelf SET label = NULL")
        await db.execute("DELETE FROM shelf WHERE id = 1")
    assert await counted(empty_url) == [1, 0], "the reference itself still holds"


async def test_trap_01_a_migration_that_leaves_rows_that_refer_to_nothing_does_not_happen(
    tmp_path: Path, toy_history: str
) -> None:
    url = f"sqlite://{tmp_path}/toys.db"
    await run(url, tmp_path, toy_history)
    await fill(url)
    later(tmp_path, toy_history, "m0002_wrong", 'PerEngine(sqlite=["DELETE FROM shelf"])')
    with pytest.raises(RuntimeError, match="refer to nothing"):
        await run(url, tmp_path, toy_history)
    assert await counted(url) == [2, 5]
    assert await check(url, migrations=toy_history) is Schema.BEHIND


async def test_trap_01_a_copy_is_made_first_when_there_is_anything_to_lose(tmp_path: Path, toy_history: str) -> None:
    url, copies = f"sqlite://{tmp_path}/toys.db", tmp_path / "data" / "backups"
    await run(url, tmp_path, toy_history)
    assert not copies.exists()
    await fill(url)
    later(tmp_path, toy_history, "m0002_alter", ALTER)
    await run(url, tmp_path, toy_history)
    (copy,) = copies.iterdir()
    assert copy.name.startswith("before-m0002_alter-") and copy.stat().st_mode & 0o077 == 0
    assert await counted(f"sqlite://{copy}") == [2, 5]
    assert await check(f"sqlite://{copy}", migrations=toy_history) is Schema.BEHIND
    await run(url, tmp_path, toy_history)
    assert len(list(copies.iterdir())) == 1, "nothing pending, nothing copied"


async def test_trap_02_a_rebuilt_table_keeps_its_indexes_unique_keys_and_triggers(
    tmp_path: Path, toy_history: str
) -> None:
    """Stock: all of them are gone, without a word."""
    url = f"sqlite://{tmp_path}/toys.db"
    trigger = (
        "CREATE TRIGGER shelf_renamed AFTER UPDATE ON shelf BEGIN "
        "UPDATE book SET title = new.name WHERE shelf_id = new.id; SELECT 1; END"
    )
    later(tmp_path, toy_history, "m0002_trigger", f'PerEngine(sqlite=["{trigger}"])')
    await run(url, tmp_path, toy_history)
    await fill(url)
    before = await sqlite_schema(url)
    later(tmp_path, toy_history, "m0003_alter", ALTER)
    await run(url, tmp_path, toy_history)
    after = await sqlite_schema(url)
    assert after["indexes"] == before["indexes"] and after["triggers"] == before["triggers"] == ["shelf_renamed"]
    async with opened(url):
        with pytest.raises(Conflict):
            await db.execute("UPDATE shelf SET name = 's1' WHERE id = 2")
        await db.execute("UPDATE shelf SET name = 'new' WHERE id = 1")
        assert await db.fetch("SELECT DISTINCT title FROM book") == [{"title": "new"}]


async def test_trap_02_the_index_of_a_column_that_is_dropped_goes_with_it(tmp_path: Path, toy_history: str) -> None:
    url = f"sqlite://{tmp_path}/toys.db"
    await run(url, tmp_path, toy_history)
    await fill(url)
    later(tmp_path, toy_history, "m0002_drop", 'ops.RemoveField("Shelf", "label")')
    await run(url, tmp_path, toy_history)
    assert await counted(url) == [2, 5]
    columns = [columns for _, columns, _ in (await sqlite_schema(url))["indexes"]]
    assert ("label",) not in columns and ("name",) in columns and ("row", "name") in columns


async def test_trap_03_a_new_column_without_a_default_fails_and_changes_nothing(
    empty_url: str, tmp_path: Path, toy_history: str
) -> None:
    await run(empty_url, tmp_path, toy_history)
    await fill(empty_url)
    later(tmp_path, toy_history, "m0002_first", 'ops.AddField("Shelf", "kind", fields.IntField(db_default=7))')
    later(tmp_path, toy_history, "m0003_bad", 'ops.AddField("Shelf", "size", fields.IntField())')
    with pytest.raises((OperationalError, IntegrityError)):
        await run(empty_url, tmp_path, toy_history)
    assert await check(empty_url, migrations=toy_history) is Schema.BEHIND
    async with opened(empty_url):
        assert set((await db.fetch("SELECT * FROM shelf"))[0]) == {"id", "name", "row", "label"}
    (tmp_path / toy_history / "m0003_bad.py").unlink()
    assert await run(empty_url, tmp_path, toy_history) == ["m0002_first"]
    async with opened(empty_url):
        assert await db.fetch("SELECT DISTINCT kind FROM shelf") == [{"kind": 7}]


PARALLEL = """
    import asyncio, sys
    from pathlib import Path
    sys.path.insert(0, sys.argv[2])
    from server.migrating import migrate

    done = asyncio.run(
        migrate(sys.argv[1], Path(sys.argv[2]) / "data", models=["tests.unit.server.toys"], migrations=sys.argv[3])
    )
    print(len(done))
"""


async def test_trap_04_processes_that_migrate_at_once_apply_each_migration_once(
    empty_url: str, tmp_path: Path, toy_history: str
) -> None:
    later(tmp_path, toy_history, "m0002_field", 'ops.AddField("Shelf", "kind", fields.IntField(db_default=7))')
    processes = [
        await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            textwrap.dedent(PARALLEL),
            empty_url,
            str(tmp_path),
            toy_history,
            stdout=asyncio.subprocess.PIPE,
            cwd=Path(__file__).parents[3],
        )
        for _ in range(3)
    ]
    said = sorted([(await process.communicate())[0].strip() for process in processes])
    assert said == [b"0", b"0", b"2"]
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert await check(empty_url, migrations=toy_history) is Schema.CURRENT


async def test_trap_04_a_crash_before_the_end_leaves_neither_tables_nor_records(
    empty_url: str, tmp_path: Path, toy_history: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stock: the table is there, its record is not, and the next run fails on it for ever."""

    class Crash(BaseException):
        pass

    async def crash(*_: Any) -> None:
        raise Crash

    with monkeypatch.context() as broken:
        broken.setattr("tortoise.migrations.recorder.MigrationRecorder.record_applied", crash)
        with pytest.raises(Crash):
            await run(empty_url, tmp_path, toy_history)
    assert await check(empty_url, migrations=toy_history) is Schema.BEHIND
    assert await run(empty_url, tmp_path, toy_history) == ["m0001_initial"]
    assert await counted(empty_url) == [0, 0]


async def test_trap_05_a_file_that_would_import_live_code_is_not_written(
    tmp_path: Path, toy_history: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stock: `from orjson import loads`, where that happens to be installed."""
    (tmp_path / "json_toys.py").write_text(
        textwrap.dedent(
            """
            from json import dumps, loads
            from tortoise import fields
            from tortoise.models import Model

            class Note(Model):
                id = fields.BigIntField(primary_key=True, generated=False)
                body = fields.JSONField(encoder=dumps, decoder=loads, null=True)

                class Meta:
                    table = "note"
            """
        )
    )
    package = tmp_path / "json_history"
    package.mkdir()
    (package / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match="imports nothing but tortoise"):
        await make_migration("initial", models=["json_toys"], migrations="json_history")
    assert [path.name for path in package.iterdir() if path.suffix == ".py"] == ["__init__.py"]


async def test_a_developer_gets_a_file_only_when_it_can_be_applied(tmp_path: Path, toy_history: str) -> None:
    for name in ("Wrong", "no_step", "../out_before"):
        with pytest.raises(ValueError, match="is called"):
            await make_migration(name, models=[TOYS], migrations=toy_history)
    with pytest.raises(ValueError, match=r"Book\.pages needs"):
        await make_migration("books_before", models=[TOYS], migrations=toy_history)


async def test_the_first_file_of_our_toys_makes_what_the_models_say(
    empty_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "made_history"
    package.mkdir()
    (package / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    path = await make_migration("initial", models=[TOYS], migrations="made_history")
    assert path is not None and path.name == "0001_initial.py"
    assert await make_migration("again_before", models=[TOYS], migrations="made_history") is None
    await run(empty_url, tmp_path, "made_history")
    async with opened(empty_url):
        await db.insert("shelf", {"id": 1, "name": "a"})
        assert await db.fetch("SELECT * FROM shelf") == [{"id": 1, "name": "a", "label": "", "is_open": False}]
    for module in [known for known in sys.modules if known.startswith("made_history")]:
        del sys.modules[module]


async def test_a_server_refuses_to_start_on_an_old_schema_and_on_one_that_is_too_new(
    empty_url: str, tmp_path: Path, toy_history: str
) -> None:
    with pytest.raises(WrongSchema, match="plus ancienne"):
        await refuse_unless_current(empty_url, migrations=toy_history)
    assert not (tmp_path / "toys.db").exists() or empty_url.startswith("postgres")
    await run(empty_url, tmp_path, toy_history)
    await refuse_unless_current(empty_url, migrations=toy_history)
    later(tmp_path, toy_history, "m0002_alter", ALTER)
    with pytest.raises(WrongSchema, match="parvis db migrate"):
        await refuse_unless_current(empty_url, migrations=toy_history)
    await run(empty_url, tmp_path, toy_history)
    (tmp_path / toy_history / "m0002_alter.py").unlink()
    with pytest.raises(WrongSchema, match="plus récente"):
        await refuse_unless_current(empty_url, migrations=toy_history)
    with pytest.raises(WrongSchema, match="plus récente"):
        await run(empty_url, tmp_path, toy_history)


OUR_TRIGGERS = {"policy_version_is_not_edited", "policy_version_is_not_deleted", "policy_version_is_kept"}
"""What models cannot say: the history of openness is only added to."""
OUR_INDEXES = ["post", "receipt"]
"""Nor that an index is of a few rows only: of answers whose question is not here, and of words that are here still."""


async def test_our_history_and_our_models_agree() -> None:
    found = [operation.describe() for writer in await changes() for operation in writer.operations]
    assert found == [], "run: python -m server.migrating NAME"


async def test_the_migrated_tables_are_those_of_the_models(
    database_url: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if database_url.startswith("sqlite"):
        read, other = sqlite_schema, f"sqlite://{tmp_path}/models.db"
    else:
        server = request.getfixturevalue("postgres")
        read, other = postgres_schema, server.url(await asyncio.to_thread(server.create))
    await db.connect(other)
    await require_context().generate_schemas()
    await db.disconnect()
    migrated, modelled = await read(database_url), await read(other)
    kept = migrated.pop("triggers", [])
    assert set(kept) <= OUR_TRIGGERS and not modelled.pop("triggers", [])
    partial = [index for index in migrated["indexes"] if index not in modelled["indexes"]]
    migrated["indexes"] = [index for index in migrated["indexes"] if index not in partial]
    assert [index[0] for index in partial] == OUR_INDEXES
    assert migrated == modelled, "run: python -m server.migrating NAME"
    assert len(migrated["columns"]) > 100


async def sqlite_schema(url: str) -> dict[str, list[Any]]:
    connection = sqlite3.connect(url.removeprefix("sqlite://"))
    tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    found: dict[str, list[Any]] = {"columns": [], "indexes": [], "references": [], "triggers": []}
    for table in tables:
        if table.startswith(("sqlite_", "tortoise_")):
            continue
        for row in connection.execute(f'PRAGMA table_info("{table}")'):
            found["columns"].append((table, *row[1:]))
        for index in connection.execute(f'PRAGMA index_list("{table}")'):
            columns = tuple(row[2] for row in connection.execute(f'PRAGMA index_info("{index[1]}")'))
            found["indexes"].append((table, columns, index[2]))
        for row in connection.execute(f'PRAGMA foreign_key_list("{table}")'):
            found["references"].append((table, *row[2:7]))
    found["triggers"] = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")]
    connection.close()
    return {name: sorted(rows) for name, rows in found.items()}


async def postgres_schema(url: str) -> dict[str, list[Any]]:
    columns = (
        "SELECT table_name, column_name, data_type, is_nullable, column_default, character_maximum_length "
        "FROM information_schema.columns WHERE table_schema = 'public' AND table_name NOT LIKE 'tortoise%'"
    )
    indexes = (
        "SELECT tablename, regexp_replace(indexdef, ' INDEX .* ON ', ' INDEX ON ') AS made FROM pg_indexes "
        "WHERE schemaname = 'public' AND tablename NOT LIKE 'tortoise%'"
    )
    references = (
        "SELECT conrelid::regclass::text AS a, pg_get_constraintdef(oid) AS b FROM pg_constraint "
        "WHERE connamespace = 'public'::regnamespace AND contype = 'f'"
    )
    await db.connect(url)
    try:
        queries = {"columns": columns, "indexes": indexes, "references": references}
        return {
            name: sorted(tuple(map(str, row.values())) for row in await db.fetch(query))
            for name, query in queries.items()
        }
    finally:
        await db.disconnect()


async def test_a_backup_is_put_back_whole_while_the_server_runs(
    empty_url: str, tmp_path: Path, toy_history: str
) -> None:
    await run(empty_url, tmp_path, toy_history)
    await fill(empty_url)
    file = tmp_path / "copies" / "one.backup"
    async with opened(empty_url):
        await backup(empty_url, file)
        assert file.stat().st_mode & 0o077 == 0
        await db.execute("DELETE FROM shelf")
        await restore(empty_url, file)
        assert await db.fetch_one("SELECT COUNT(*) AS n FROM book") == {"n": 5}
    assert await counted(empty_url) == [2, 5]
    with pytest.raises(Invalid):
        await backup(empty_url, file)


async def test_a_file_that_is_no_sound_backup_changes_nothing(empty_url: str, tmp_path: Path, toy_history: str) -> None:
    await run(empty_url, tmp_path, toy_history)
    await fill(empty_url)
    wrong = tmp_path / "wrong.backup"
    with pytest.raises(Invalid):
        await restore(empty_url, wrong)
    wrong.write_bytes(b"SQLite format 3\0" + b"\0" * 4096)
    with pytest.raises((Invalid, Unavailable)):
        await restore(empty_url, wrong)
    assert await counted(empty_url) == [2, 5]
