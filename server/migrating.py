"""The history of the tables, applied: Tortoise's migrations inside one transaction, one lock and one backup.

What Tortoise does by itself, and what is done about it here:

* A migration is recorded after its commit, and two may run at once: here everything that is pending happens in one
  transaction, with its records, behind a PostgreSQL advisory lock or a file lock. It happens, or it does not.
* On SQLite a changed column rebuilds its table: rows that refer to it are deleted by cascade, its indexes, unique
  constraints and triggers are forgotten. Here foreign keys are off meanwhile and checked before the commit, what
  was forgotten is made again, and a backup is taken first when there is anything to lose.
* A generated file may import live code, and takes our ids for the database's. Here it is written without.
"""

import argparse
import asyncio
import datetime as dt
import fcntl
import re
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tortoise.backends.base.executor import EXECUTOR_CACHE
from tortoise.context import TortoiseContext
from tortoise.migrations.autodetector import MigrationAutodetector
from tortoise.migrations.executor import MigrationExecutor
from tortoise.migrations.operations import AddField
from tortoise.migrations.schema_editor import SqliteSchemaEditor
from tortoise.migrations.schema_editor.base import BaseSchemaEditor
from tortoise.migrations.schema_generator.state import State
from tortoise.transactions import in_transaction

from server.backups import backup
from server.clock import now_ms
from server.database import CONNECTION, MIGRATIONS, MODELS, tortoise_config
from server.schema import RECORDS, Schema, applied_to, compared, is_sqlite, too_new, written

ADVISORY_LOCK = 0x70617276_6973  # "parvis", read as a number
LOCK_TIMEOUT = "60s"
NAME = re.compile(r"[a-z][a-z0-9_]*_(before|after)")


async def migrate(
    database_url: str, data_dir: Path, *, models: Sequence[str] = MODELS, migrations: str = MIGRATIONS
) -> list[str]:
    """Apply what is pending, all of it or nothing; the names of what was applied, oldest first.

    `data_dir` holds the lock file and, on SQLite, the backup (backups/before-NAME-TIME.db). On PostgreSQL, back up
    before. Raises WrongSchema when the database is newer than this version, Unavailable when it cannot be opened
    or another migration holds its lock for too long, and whatever a migration itself raises.
    """
    config = tortoise_config(database_url, models=models, migrations=migrations)
    async with _only_one(data_dir):
        EXECUTOR_CACHE.clear()
        async with TortoiseContext() as context:
            await context.init(config)
            client: Any = context.db()
            pending = await _pending(client, migrations)
            if not pending:
                return []
            if is_sqlite(client):
                if await _has_rows(client):
                    await backup(database_url, _backup_file(data_dir, pending[0]))
                await client.execute_script("PRAGMA foreign_keys=OFF")
            return await _apply(config["apps"])


@asynccontextmanager
async def _only_one(data_dir: Path) -> AsyncIterator[None]:
    data_dir.mkdir(parents=True, exist_ok=True)
    with (data_dir / "migrate.lock").open("a") as file:
        await asyncio.to_thread(fcntl.flock, file, fcntl.LOCK_EX)
        yield


async def _pending(client: Any, migrations: str) -> list[str]:
    applied, known = await applied_to(client), written(migrations)
    if compared(applied, known) is Schema.AHEAD:
        raise too_new()
    return [name for name in known if name not in applied]


async def _has_rows(client: Any) -> bool:
    tables = await client.rows(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name <> $1",
        (RECORDS,),
    )
    for table in tables:
        if await client.rows(f'SELECT 1 AS there FROM "{table["name"]}" LIMIT 1', ()):
            return True
    return False


def _backup_file(data_dir: Path, migration: str) -> Path:
    moment = dt.datetime.fromtimestamp(now_ms() / 1000, dt.UTC).strftime("%Y%m%dT%H%M%S%fZ")
    return data_dir / "backups" / f"before-{migration}-{moment}.db"


async def _apply(apps: dict[str, Any]) -> list[str]:
    async with in_transaction(CONNECTION) as transaction:
        client: Any = transaction
        if not is_sqlite(client):
            await client.change(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'", ())
            await client.rows("SELECT pg_advisory_xact_lock($1)", (ADVISORY_LOCK,))
        executor = Executor(client, apps)
        await executor.recorder.ensure_schema(executor._schema_editor(atomic=False))
        names = [step.migration.name for step in await executor.plan()]
        await executor.migrate(direction="forward")
        if is_sqlite(client) and (broken := await client.rows("PRAGMA foreign_key_check", ())):
            raise RuntimeError(f"the migration leaves rows that refer to nothing: {broken[:3]}")
        return names


class Executor(MigrationExecutor):
    """Tortoise's, with our editor for SQLite. Given the client of an open transaction, it records inside it."""

    def _schema_editor(self, atomic: bool = True, collect_sql: bool = False) -> BaseSchemaEditor:
        if self.connection.capabilities.dialect == "sqlite":
            return SqliteEditor(self.connection, atomic=atomic, collect_sql=collect_sql)
        return super()._schema_editor(atomic, collect_sql)


class SqliteEditor(SqliteSchemaEditor):
    """Makes again what a rebuilt table has lost: indexes, unique constraints over columns, triggers."""

    async def _remake_table(
        self, model: Any, create_field: Any = None, delete_field: Any = None, alter_fields: Any = None
    ) -> None:
        table = model._meta.db_table
        statements = await self._statements(table)
        unique = await self._unique(table)
        await super()._remake_table(model, create_field, delete_field, alter_fields)
        gone = "" if delete_field is None else delete_field.source_field or delete_field.model_field_name
        for statement in statements:
            if f'"{gone}"' not in statement:
                await self.client.execute_query(statement)
        for columns in unique - await self._unique(table):
            if gone not in columns:
                await self._make_unique(table, columns)

    async def _statements(self, table: str) -> list[str]:
        query = "SELECT sql FROM sqlite_master WHERE tbl_name = ? AND type <> 'table' AND sql IS NOT NULL"
        return [row["sql"] for row in (await self.client.execute_query(query, [table]))[1]]

    async def _unique(self, table: str) -> set[tuple[str, ...]]:
        found = set()
        for index in (await self.client.execute_query(f'PRAGMA index_list("{table}")'))[1]:
            if index["unique"]:
                columns = (await self.client.execute_query(f'PRAGMA index_info("{index["name"]}")'))[1]
                found.add(tuple(column["name"] for column in columns))
        return found

    async def _make_unique(self, table: str, columns: tuple[str, ...]) -> None:
        names = ", ".join(f'"{column}"' for column in columns)
        name = "_".join(("uid", table, *columns))
        await self.client.execute_query(f'CREATE UNIQUE INDEX "{name}" ON "{table}" ({names})')


class Autodetector(MigrationAutodetector):
    """Compares the models with their history, leaving aside what is Python's: defaults made by code, docstrings."""

    def _current_state(self) -> State:
        state = super()._current_state()
        for model in state.models.values():
            model.options.pop("table_description", None)
            for field in model.fields.values():
                if callable(field.default):
                    field.default = None
                field.description = None
        return state


async def changes(*, models: Sequence[str] = MODELS, migrations: str = MIGRATIONS) -> list[Any]:
    """What the models have and the history has not, as Tortoise's writers; empty when they agree."""
    config = tortoise_config("sqlite://unopened", models=models, migrations=migrations)
    async with TortoiseContext() as context:
        await context.init(config, init_connections=False)
        assert context.apps is not None
        return list(await Autodetector(context.apps, config["apps"]).changes())


async def make_migration(name: str, *, models: Sequence[str] = MODELS, migrations: str = MIGRATIONS) -> Path | None:
    """For developers: write the file that takes the history to the models. None when they agree already.

    `name` ends in `_before` or `_after` (the new code), see migrations/README.md; the first is `initial`. Raises
    ValueError for another name, for a column that neither may be null nor has a `db_default` (it fails as soon
    as there are rows), and when the file would import code of ours, which changes under history's feet.
    """
    if name != "initial" and not NAME.fullmatch(name):
        raise ValueError("a migration is called what_it_does_before or what_it_does_after")
    found = await changes(models=models, migrations=migrations)
    if not found:
        return None
    (writer,) = found
    _refuse_impossible(writer.operations)
    writer.name = f"{writer.name[:4]}_{name}"
    text = re.sub(r"(?<!generated=True, )primary_key=True", "primary_key=True, generated=False", writer.as_string())
    if stray := re.findall(r"^(?:from|import) (?!tortoise\b|migrations\._per_engine\b).*$", text, re.MULTILINE):
        raise ValueError(f"a migration imports nothing but tortoise: {stray}")
    path: Path = writer.path()
    path.write_text(text, encoding="utf-8")
    return path


def _refuse_impossible(operations: Sequence[Any]) -> None:
    for operation in operations:
        if isinstance(operation, AddField):
            field: Any = operation.field
            if not field.null and not field.has_db_default():
                raise ValueError(f"{operation.model_name}.{operation.name} needs null=True or a db_default")


def main(arguments: Sequence[str] | None = None) -> int:
    """`python -m server.migrating NAME`."""
    parser = argparse.ArgumentParser(prog="python -m server.migrating", description=make_migration.__doc__)
    parser.add_argument("name")
    path = asyncio.run(make_migration(parser.parse_args(arguments).name))
    print(path or "the models and their history agree")
    return 0


if __name__ == "__main__":
    sys.exit(main())
