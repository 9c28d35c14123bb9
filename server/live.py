"""Who must hear at once that something changed: open pages, the sequencer, the senders.

Facts travel after the commit, ids only; every listener looks again through the policy before it shows
anything. A lost fact is only a delay: whatever must not be lost is a row.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

QUEUE_LENGTH = 1000
"""Facts that a slow listener may lag behind before it is told to look again (`Fact("lagged")`)."""


@dataclass(frozen=True, slots=True)
class Fact:
    """Something happened. Kinds are those of events, and `notice`, `access`, `narrowed`, `receipt`, `recall`, `file`,
    `sequenced`, `served`, `lagged`."""

    kind: str
    post_id: int | None = None
    space_id: int | None = None
    actor_id: int | None = None
    account_id: int | None = None


class Listener:
    """One place where facts arrive, in order. `kinds`: those that it wants, None for all."""

    def __init__(self, kinds: Collection[str] | None = None) -> None:
        self._kinds = None if kinds is None else frozenset(kinds)
        self._queue: asyncio.Queue[Fact] = asyncio.Queue(QUEUE_LENGTH)

    def offer(self, fact: Fact) -> None:
        """Takes a fact that it wants; when full, the oldest go and one `lagged` stands for them."""
        if self._kinds is not None and fact.kind not in self._kinds:
            return
        if self._queue.full():
            while not self._queue.empty():
                self._queue.get_nowait()
            fact = Fact("lagged")
        self._queue.put_nowait(fact)

    async def next(self) -> Fact:
        """The next fact, awaited."""
        return await self._queue.get()

    def waiting(self, most: int) -> list[Fact]:
        """The next facts that are here already, at most so many; none of them is awaited."""
        return [self._queue.get_nowait() for _ in range(min(most, self._queue.qsize()))]

    def forget(self) -> None:
        """Drops what waits: for listeners who look at everything anyway."""
        while not self._queue.empty():
            self._queue.get_nowait()

    async def __aiter__(self) -> AsyncIterator[Fact]:
        while True:
            yield await self._queue.get()


_listeners: set[Listener] = set()
_carriers: set[Callable[[Fact], None]] = set()


def publish(fact: Fact) -> None:
    """Tells every listener of this process, and the carriers that tell other processes."""
    hear(fact)
    for carry in tuple(_carriers):
        carry(fact)


def hear(fact: Fact) -> None:
    """Tells the listeners of this process only: what a carrier calls with a fact from elsewhere."""
    for listener in tuple(_listeners):
        listener.offer(fact)


@contextmanager
def listening(kinds: Collection[str] | None = None) -> Iterator[Listener]:
    """A listener for as long as the block lasts, for facts of these kinds."""
    listener = Listener(kinds)
    _listeners.add(listener)
    try:
        yield listener
    finally:
        _listeners.discard(listener)


@contextmanager
def carried_by(carry: Callable[[Fact], None]) -> Iterator[None]:
    """Hands every fact published here to a carrier (PostgreSQL NOTIFY) while the block lasts."""
    _carriers.add(carry)
    try:
        yield
    finally:
        _carriers.discard(carry)
