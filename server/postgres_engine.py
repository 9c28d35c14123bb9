"""PostgreSQL through asyncpg's own connection: no statement is parsed twice, no connection is ever leaked.

The pool asks nothing of the server when a connection comes back (asyncpg's default is a round trip of RESET
ALL and UNLISTEN): nobody here changes session settings or listens on a pooled connection. Waiting for a lock
ends after 5 s, as on SQLite. NUMERIC (what SUM and AVG give) comes back as int when it is whole, else as
float, as on SQLite. A COMMIT that the server answers with ROLLBACK, because a statement had failed, raises.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

import asyncpg
from tortoise.backends.asyncpg.client import AsyncpgDBClient
from tortoise.backends.base.client import ConnectionWrapper, TransactionContext
from tortoise.exceptions import IntegrityError, OperationalError

from server.errors import Unavailable
from server.transactions import (
    BUSY,
    DISK_FULL,
    UNREACHABLE,
    OpenTransaction,
    Outermost,
    Row,
    Savepoint,
    TransactionLost,
    UniqueViolation,
    finish,
)

CONNECT_SECONDS = 5
POOL_MIN, POOL_MAX = 1, 16
SESSION = {"application_name": "parvis", "lock_timeout": "5000", "timezone": "UTC", "jit": "off"}

_BUSY = (
    asyncpg.LockNotAvailableError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.QueryCanceledError,
)
_UNREACHABLE = (
    asyncpg.PostgresConnectionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.OperatorInterventionError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # what asyncpg says when the server's farewell crosses a statement
    OSError,
    TimeoutError,
)


def translated(error: Exception) -> Exception:
    """Our error for what PostgreSQL or the network said; Tortoise's for a wrong statement."""
    if isinstance(error, asyncpg.UniqueViolationError):
        return UniqueViolation(detail=f"unique constraint {error.constraint_name}")  # its text quotes the value
    if isinstance(error, asyncpg.IntegrityConstraintViolationError):
        return IntegrityError(error)
    detail = f"PostgreSQL: {type(error).__name__}: {error}"
    if isinstance(error, asyncpg.DiskFullError):
        return Unavailable(DISK_FULL, detail=detail)
    if isinstance(error, asyncpg.InFailedSQLTransactionError):
        return TransactionLost(detail=detail)
    if isinstance(error, _BUSY):
        return Unavailable(BUSY, detail=detail)
    if isinstance(error, asyncpg.DataError):  # asyncpg's own are InterfaceErrors too
        return OperationalError(error)
    if isinstance(error, _UNREACHABLE):
        return Unavailable(UNREACHABLE, detail=detail)
    return OperationalError(error)


CAUGHT = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError)


class Connection(asyncpg.Connection):  # type: ignore[misc]  # asyncpg is untyped
    """A connection that needs no cleaning when it goes back to the pool."""

    def get_reset_query(self) -> str:
        return ""


def _number(text: str) -> int | float:
    return int(text) if text.lstrip("-").isdigit() else float(text)


async def _prepare(connection: Any) -> None:
    await connection.set_type_codec("numeric", schema="pg_catalog", format="text", encoder=str, decoder=_number)


def _changed(status: str) -> int:
    """The rows in a command tag: 'INSERT 0 3', 'UPDATE 3'; 0 for any other."""
    count = status.rpartition(" ")[2]
    return int(count) if count.isdigit() else 0


class Statements(AsyncpgDBClient):
    """Our calls on whatever connection `acquire_connection` gives, and Tortoise's in terms of ours."""

    async def rows(self, sql: str, args: Sequence[Any]) -> list[Row]:
        try:
            async with self.acquire_connection() as connection:
                return [dict(record) for record in await connection.fetch(sql, *args)]
        except CAUGHT as error:
            raise translated(error) from error

    async def change(self, sql: str, args: Sequence[Any]) -> int:
        try:
            async with self.acquire_connection() as connection:
                return _changed(await connection.execute(sql, *args))
        except CAUGHT as error:
            raise translated(error) from error

    async def change_many(self, sql: str, args: Sequence[Sequence[Any]]) -> None:
        try:
            async with self.acquire_connection() as connection:
                await connection.executemany(sql, args)
        except CAUGHT as error:
            raise translated(error) from error

    async def execute_query(self, query: str, values: list[Any] | None = None) -> tuple[int, list[Row]]:
        words = query.upper()
        if words.lstrip().startswith(("UPDATE", "DELETE", "INSERT")) and " RETURNING " not in words:
            return await self.change(query, values or ()), []
        rows = await self.rows(query, values or ())
        return len(rows), rows

    async def execute_query_dict(self, query: str, values: list[Any] | None = None) -> list[Row]:
        return await self.rows(query, values or ())

    async def execute_many(self, query: str, values: list[Any]) -> None:
        await self.change_many(query, values)

    async def _translate_exceptions(self, func: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return await func(self, *args, **kwargs)
        except CAUGHT as error:
            raise translated(error) from error


class Client(Statements):
    """Outside a transaction: each statement on a connection of the pool. `dsn` is the database's URL."""

    def __init__(self, dsn: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dsn = dsn

    async def create_connection(self, with_db: bool) -> None:
        """Open the pool. Raises Unavailable when the server cannot be reached or refuses us."""
        try:
            self._pool = await asyncpg.create_pool(
                self.dsn,
                min_size=POOL_MIN,
                max_size=POOL_MAX,
                connection_class=Connection,
                init=_prepare,
                timeout=CONNECT_SECONDS,
                server_settings=SESSION,
            )
        except CAUGHT as error:
            raise translated(error) from error
        await self._post_connect()

    def _in_transaction(self) -> TransactionContext:
        return Outermost(self._begin, self.connection_name)

    async def _begin(self) -> "Open":
        if self._pool is None:
            await self.create_connection(with_db=True)
        assert self._pool is not None
        try:
            connection = await self._pool.acquire()
        except CAUGHT as error:
            raise translated(error) from error
        transaction = Open(self, self._pool, connection)
        try:
            await transaction.begin()
        except BaseException:
            await transaction.rollback()
            raise
        return transaction


class Open(Statements, OpenTransaction):
    """Inside a transaction: everything on its connection."""

    _pool: Any
    _connection: Any

    def __init__(self, parent: Client, pool: Any, connection: Any) -> None:
        self.log = parent.log
        self.connection_name = parent.connection_name
        self.fetch_inserted = parent.fetch_inserted
        self._parent = parent
        self._pool = pool
        self._connection = connection
        self._lock = asyncio.Lock()

    def acquire_connection(self) -> ConnectionWrapper[Any]:
        self.own()
        if self._finalized:
            raise TransactionLost(detail="this transaction has ended")
        return ConnectionWrapper(self._lock, self)

    def _in_transaction(self) -> TransactionContext:
        return Savepoint(self)

    async def statement(self, sql: str) -> None:
        await finish(asyncio.ensure_future(self._command(sql)))

    async def _command(self, sql: str) -> str:
        try:
            return str(await self._connection.execute(sql))
        except CAUGHT as error:
            raise translated(error) from error

    async def begin(self) -> None:
        await self._command("BEGIN")

    async def commit(self) -> None:
        self._finalized = True
        await finish(asyncio.ensure_future(self._commit()))

    async def _commit(self) -> None:
        try:
            if await self._command("COMMIT") != "COMMIT":
                raise TransactionLost(detail="a statement failed in this transaction: nothing was kept")
            self.committed()
        finally:
            await self._give_back()

    async def rollback(self) -> None:
        self._finalized = True
        await finish(asyncio.ensure_future(self._rollback()))

    async def _rollback(self) -> None:
        with contextlib.suppress(*CAUGHT):  # the server is gone, and the transaction with it
            if self._connection.is_in_transaction():
                await self._connection.execute("ROLLBACK")
        await self._give_back()

    async def _give_back(self) -> None:
        with contextlib.suppress(*CAUGHT):  # then the pool has ended this connection, and opens another
            await self._pool.release(self._connection)


client_class = Client
