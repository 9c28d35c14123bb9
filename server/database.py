"""The one layer between our code and either database: SQL with $1, rows as dicts, transactions, after_commit.

The same statements and the same Python types on SQLite and PostgreSQL:

* Placeholders are $1, $2…; on SQLite they are rewritten once per text and cached, so keep texts constant:
  values are always arguments. An argument whose type PostgreSQL cannot infer is written `CAST($1 AS BIGINT)`.
* A row is a dict. Integers (ids, milliseconds) are int, TEXT is str (JSON too: encode and decode it with
  msgspec), BLOB/BYTEA is bytes, NULL is None, a BOOLEAN column is bool. A boolean *expression* (`EXISTS (…)`,
  `a > b`) is bool on PostgreSQL and 0 or 1 on SQLite: test its truth, never `is True`. SUM is int, AVG is
  float.
* `INSERT … ON CONFLICT … DO NOTHING/UPDATE`, `RETURNING`, `WITH`, TRUE and FALSE work on both. Write
  `ON CONFLICT … DO NOTHING RETURNING id` instead of catching an error.

Errors of every function: `server.errors.Conflict` when a unique key exists already;
`server.errors.Unavailable` when the disk is full, the database busy for 5 s, or unreachable;
`tortoise.exceptions.IntegrityError` for other constraints and `OperationalError` for a wrong statement. After
any error inside a transaction (or savepoint) that transaction (or savepoint) can only be rolled back.

Inside a transaction a statement costs about 20 µs on SQLite and a round trip on PostgreSQL. Never wait for
the network inside one: on SQLite every other writer waits meanwhile.
"""

import asyncio
import functools
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Literal, cast

from tortoise.backends.base.executor import EXECUTOR_CACHE
from tortoise.context import TortoiseContext, get_current_context, set_global_context

from server.transactions import Joined, Row, Statements, running

CONNECTION = "default"
APP = "models"
MODELS = ("server.models",)
MIGRATIONS = "migrations"


def tortoise_config(
    database_url: str, *, models: Sequence[str] = MODELS, migrations: str = MIGRATIONS
) -> dict[str, Any]:
    """Tortoise's configuration for `sqlite://FILE` (relative, or absolute with a third slash) or `postgres://…`.

    A PostgreSQL URL is what libpq takes, such as postgres://parvis@/parvis?host=/run/postgresql.
    Raises ValueError for anything else; SQLite in memory is refused, because readers could not share it.
    """
    scheme, _, rest = database_url.partition("://")
    if scheme == "sqlite" and rest and ":memory:" not in rest:
        engine = {"engine": "server.sqlite_engine", "credentials": {"file_path": rest}}
    elif scheme in ("postgres", "postgresql") and rest:
        engine = {"engine": "server.postgres_engine", "credentials": {"dsn": database_url}}
    else:
        raise ValueError("the database is sqlite://FILE or postgres://USER@HOST/NAME")
    app = {"models": list(models), "default_connection": CONNECTION, "migrations": migrations}
    return {"connections": {CONNECTION: engine}, "apps": {APP: app}}


async def connect(database_url: str, *, models: Sequence[str] = MODELS) -> None:
    """Open the database for this process; every task sees it, whichever task opened it.

    Without models (an empty sequence) it is open sooner, for the SQL of this module alone.
    Raises Unavailable when it cannot be opened, ValueError for a URL that is not one, RuntimeError when a
    database is open already: an instance is a process.
    """
    if get_current_context() is not None:
        raise RuntimeError("a database is open already in this process")
    EXECUTOR_CACHE.clear()  # Tortoise keeps SQL by table name, whatever the engine
    config, context = tortoise_config(database_url, models=models), TortoiseContext()
    try:
        with context:
            if models:
                await context.init(config)
            else:
                await context.connections._init(config["connections"], False)
            client = context.connections.get(CONNECTION)
            await client.create_connection(with_db=True)
        _outside.append(client)
        set_global_context(context)  # the context variable alone is seen by this task only
    except BaseException:
        await context.close_connections()
        raise


async def disconnect() -> None:
    """Close the database, after the statements that run. Nothing happens when none is open."""
    context = get_current_context()
    _outside.clear()
    if context is not None:
        await context.close_connections()


_outside: list[Any] = []
"""The client of the open database, for what runs outside of transactions."""


def _client() -> Any:
    inside = running.get()
    return inside if inside is not None else _opened()


def _opened() -> Any:
    if not _outside:
        raise RuntimeError("no database is open in this process")
    return _outside[0]


def _statements() -> Statements:
    return cast(Statements, _client())


def engine_name() -> Literal["sqlite", "postgres"]:
    """Which database is open, for the few statements that differ (FOR UPDATE SKIP LOCKED, full-text search)."""
    return cast(Literal["sqlite", "postgres"], _opened().capabilities.dialect)


async def fetch(sql: str, *args: Any) -> list[Row]:
    """All rows of a SELECT, or of the RETURNING of a change."""
    return await _statements().rows(sql, args)


async def fetch_one(sql: str, *args: Any) -> Row | None:
    """The first row, or None. Say LIMIT 1 yourself where there may be many: all are read."""
    rows = await _statements().rows(sql, args)
    return rows[0] if rows else None


async def execute(sql: str, *args: Any) -> int:
    """Run a change; how many rows it inserted, updated or deleted."""
    return await _statements().change(sql, args)


async def insert(table: str, row: Mapping[str, Any]) -> None:
    """Insert one row; its keys are columns. Raises Conflict when it exists already."""
    await _statements().change(_insert_sql(table, tuple(row)), tuple(row.values()))


async def insert_new(table: str, row: Mapping[str, Any], key: str) -> bool:
    """Insert one row unless its `key` (columns with a unique index) exists already; whether it was inserted.

    Raises Conflict when another unique key exists already.
    """
    return bool(await _statements().change(_insert_sql(table, tuple(row), key), tuple(row.values())))


async def insert_many(table: str, rows: Sequence[Mapping[str, Any]], ignore: bool = False) -> None:
    """Insert rows that all have the same keys in the same order: all of them, or none.

    With `ignore`, a row whose unique key exists already is left out without a word. Raises ValueError when
    the keys differ.
    """
    if not rows:
        return
    columns = tuple(rows[0])
    if any(tuple(row) != columns for row in rows):
        raise ValueError(f"the rows for {table} do not have the same columns")
    sql = _insert_sql(table, columns, "" if ignore else None)
    await _statements().change_many(sql, [tuple(row.values()) for row in rows])


@functools.lru_cache(maxsize=1024)
def _insert_sql(table: str, columns: tuple[str, ...], unless: str | None = None) -> str:
    """`unless`: the key whose rows are left out when they exist already, '' for any key."""
    names = ", ".join(f'"{column}"' for column in columns)
    places = ", ".join(f"${number}" for number in range(1, len(columns) + 1))
    end = "" if unless is None else f" ON CONFLICT {f'({unless})' if unless else ''} DO NOTHING"
    return f'INSERT INTO "{table}" ({names}) VALUES ({places}){end}'


def transaction() -> AbstractAsyncContextManager[Any]:
    """`async with transaction():` everything inside happens, or nothing does.

    Nested, it is a savepoint: what fails in it is undone alone, and its after_commit calls with it.
    Tortoise's models take part in it. A task started inside inherits nothing: its first statement raises
    RuntimeError (that includes `asyncio.wait_for` before Python 3.12 and `asyncio.gather`; use
    `asyncio.timeout`). Cancelling is safe at every point: it is undone, or, once COMMIT is under way, kept
    and told.
    """
    return cast(AbstractAsyncContextManager[Any], _client()._in_transaction())


def together() -> AbstractAsyncContextManager[Any]:
    """`async with together():` everything inside happens, or nothing does: with the caller's transaction where
    there is one, else in a transaction of its own.

    What a verb says, whoever calls it. It is no savepoint: an error inside must rise out of the caller's
    transaction too (or out of a savepoint that the caller opened), because half of the verb is undone by nothing
    else.
    """
    inside = running.get()
    return transaction() if inside is None else Joined(inside)


async def forget_erased() -> None:
    """Sees to it that what was deleted and committed does not stay in files of the embedded database.

    SQLite: freed pages are overwritten already; its write-ahead log, which still has the old ones, is emptied as
    soon as no reader needs it (it is tried for a second). PostgreSQL: nothing; its vacuum reuses the space.
    """
    if engine_name() == "sqlite":
        for _ in range(10):
            rows = await _opened().checkpoint()
            if not rows:
                return
            await asyncio.sleep(0.1)


def after_commit(call: Callable[[], object]) -> None:
    """Call once, after the outermost transaction is committed; never when it is not. Outside any: at once.

    For what must not happen if the rows do not: waking a worker, telling a browser. `call` is plain (it may
    start a task); all are called, in order, and the first error rises afterwards to whoever committed.
    """
    inside = running.get()
    if inside is None:
        call()
    else:
        inside.after_commit(call)


def in_transaction() -> bool:
    """Whether the running task is inside a transaction. Raises RuntimeError in a task started inside one."""
    inside = running.get()
    if inside is None:
        return False
    inside.own()
    return True
