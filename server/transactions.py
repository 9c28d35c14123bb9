"""What the two engines share: a transaction has one owner, ends even when cancelled, and tells after the
commit.
"""

import asyncio
from abc import abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar, Token
from typing import Any, Protocol, TypeVar

from tortoise.backends.base.client import TransactionalDBClient, TransactionContext
from tortoise.connection import ConnectionToken, get_connections
from tortoise.exceptions import IntegrityError

from server.errors import Conflict, Unavailable

T = TypeVar("T")
Row = dict[str, Any]

DISK_FULL = "Le disque du serveur est plein : rien n’a été enregistré."
BUSY = "La base de données est occupée : réessayez dans un instant."
UNREACHABLE = "La base de données est injoignable : réessayez dans un instant."


class UniqueViolation(Conflict, IntegrityError):
    """A row with the same key exists: a Conflict for our verbs, an IntegrityError for Tortoise itself."""


class TransactionLost(Unavailable):
    """The database ended the transaction by itself; whatever follows inside it must not be committed alone."""


class Statements(Protocol):
    """What `server.database` asks of a client of either engine, inside a transaction or outside.

    SQL is written with $1, $2… Errors: UniqueViolation, Unavailable, or Tortoise's own for a wrong statement.
    """

    async def rows(self, sql: str, args: Sequence[Any]) -> list[Row]: ...

    async def change(self, sql: str, args: Sequence[Any]) -> int: ...

    async def change_many(self, sql: str, args: Sequence[Sequence[Any]]) -> None: ...


async def finish(work: "asyncio.Future[T]") -> T:
    """Await work to its end, even when the caller is cancelled meanwhile; that cancellation is raised then."""
    cancelled: asyncio.CancelledError | None = None
    while not work.done():
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError as error:
            cancelled = error
        except BaseException:
            break
    if cancelled is not None:
        if not work.cancelled():
            work.exception()
        raise cancelled
    return work.result()


def call_each(hooks: Sequence[Callable[[], object]]) -> None:
    """Call all, in order, even when one raises; what was raised first is raised after the last."""
    rest = iter(hooks)
    try:
        for hook in rest:
            hook()
    except BaseException:
        call_each(tuple(rest))
        raise


class OpenTransaction(TransactionalDBClient):
    """A client bound to one open transaction and to the task that opened it.

    Tortoise keeps it in a context variable, which every task started inside inherits. Such a task would write
    into somebody else's transaction, or after its end, so each statement asks `own()` first.
    """

    def opened(self) -> None:
        """Remember the owner. Called once, when BEGIN has succeeded."""
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task(self._loop)
        self.is_committed = False
        self._hooks: list[list[Callable[[], object]]] = [[]]

    def own(self) -> None:
        """Raise RuntimeError unless the running task is the one that opened this transaction."""
        if asyncio.current_task(self._loop) is not self._task:
            raise RuntimeError(
                "this task was started inside a transaction and inherits it: "
                "start it from after_commit(), or outside of the transaction"
            )

    def committed(self) -> None:
        self.is_committed = True

    @property
    def depth(self) -> int:
        """0 in the outermost transaction, one more in each savepoint."""
        return len(self._hooks) - 1

    def after_commit(self, hook: Callable[[], object]) -> None:
        self.own()
        self._hooks[-1].append(hook)

    @abstractmethod
    async def statement(self, sql: str) -> None:
        """Run SAVEPOINT, RELEASE or ROLLBACK TO."""

    async def savepoint(self) -> None:
        self.own()
        await self.statement(f"SAVEPOINT s{self.depth + 1}")
        self._hooks.append([])

    async def release_savepoint(self) -> None:
        await self.statement(f"RELEASE SAVEPOINT s{self.depth}")
        kept = self._hooks.pop()
        self._hooks[-1].extend(kept)

    async def savepoint_rollback(self) -> None:
        name = f"s{self.depth}"
        self._hooks.pop()
        await self.statement(f"ROLLBACK TO SAVEPOINT {name}")
        await self.statement(f"RELEASE SAVEPOINT {name}")

    @property
    def hooks(self) -> list[Callable[[], object]]:
        return self._hooks[0]


running: ContextVar[OpenTransaction | None] = ContextVar("running", default=None)
"""The transaction that this task is in, or inherited; Tortoise keeps the same thing where finding it costs more."""


class Outermost(TransactionContext):
    """`async with`: BEGIN, then COMMIT or ROLLBACK, and nothing held afterwards, whoever is cancelled when."""

    def __init__(self, begin: Callable[[], Awaitable[OpenTransaction]], name: str) -> None:
        self._begin = begin
        self._name = name
        self._token: ConnectionToken | None = None
        self._running: Token[OpenTransaction | None]

    async def __aenter__(self) -> TransactionalDBClient:
        self._open = await self._begin()
        self._open.opened()
        self._token = get_connections().set(self._name, self._open)
        self._running = running.set(self._open)
        return self._open

    async def __aexit__(self, kind: Any, error: Any, trace: Any) -> None:
        running.reset(self._running)
        get_connections().reset(self._token)
        if kind is not None:
            await self._open.rollback()
            return
        try:
            await self._open.commit()
        finally:  # also when cancelled while committing: what was committed is told
            if self._open.is_committed:
                call_each(self._open.hooks)


class Joined(TransactionContext):
    """`async with` inside a transaction, of which it is a part: nothing begins and nothing ends."""

    def __init__(self, transaction: OpenTransaction) -> None:
        self._open = transaction

    async def __aenter__(self) -> TransactionalDBClient:
        self._open.own()
        return self._open

    async def __aexit__(self, kind: Any, error: Any, trace: Any) -> None:
        """What was raised rises on, to whoever opened the transaction or a savepoint in it."""


class Savepoint(TransactionContext):
    """`async with` inside a transaction: what fails in it is undone alone."""

    def __init__(self, transaction: OpenTransaction) -> None:
        self._open = transaction

    async def __aenter__(self) -> TransactionalDBClient:
        await self._open.savepoint()
        return self._open

    async def __aexit__(self, kind: Any, error: Any, trace: Any) -> None:
        if kind is None:
            await self._open.release_savepoint()
        else:
            await self._open.savepoint_rollback()
