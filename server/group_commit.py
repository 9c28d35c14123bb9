"""Many small writes in one commit: each waits for the commit that holds it, and many share one.

Under load a commit holds what gathered during the one before; `gathering_s` lets the first one gather too.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")

MOST_TOGETHER = 100


class GroupCommit(Generic[Item, Answer]):
    """`write(items)` writes a group in one transaction and returns an answer for each, in order.

    When a group fails, its items are written one by one, so that one bad item fails alone.
    """

    def __init__(self, write: Callable[[list[Item]], Awaitable[list[Answer]]], gathering_s: float = 0.0) -> None:
        self._write = write
        self._gathering_s = gathering_s
        self._waiting: list[tuple[Item, asyncio.Future[Answer]]] = []
        self._runner: asyncio.Task[None] | None = None

    async def submit(self, item: Item) -> Answer:
        """Returns once the item is committed. Raises what writing it raised."""
        done: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, done))
        if self._runner is None or self._runner.done():
            self._runner = asyncio.create_task(self._run())
        return await asyncio.shield(done)

    async def _run(self) -> None:
        while self._waiting:
            await asyncio.sleep(self._gathering_s)
            group, self._waiting = self._waiting[:MOST_TOGETHER], self._waiting[MOST_TOGETHER:]
            await self._together(group)

    async def _together(self, group: list[tuple[Item, "asyncio.Future[Answer]"]]) -> None:
        try:
            answers = await self._write([item for item, _ in group])
        except BaseException as error:
            if len(group) == 1 or isinstance(error, asyncio.CancelledError):
                self._fail(group, error)
                if isinstance(error, asyncio.CancelledError):
                    raise
                return
            for single in group:
                await self._together([single])
            return
        for (_, done), answer in zip(group, answers, strict=True):
            if not done.done():
                done.set_result(answer)

    @staticmethod
    def _fail(group: list[tuple[Item, "asyncio.Future[Answer]"]], error: BaseException) -> None:
        for _, done in group:
            if not done.done():
                done.set_exception(error)
