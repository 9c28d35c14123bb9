"""What was read once for a page of a stream and is asked again for each of its events: kept while it is worked on.

Outside `remembering()` nothing is kept and every question is asked. A page that is sent reads again what its decisions
rest on before it leaves (see `streaming`); a page that came is worked on in one transaction, and what changes an
answer in it makes it forgotten. So nothing older than a page decides.
"""

from collections.abc import Awaitable, Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

T = TypeVar("T")


class _Memory:
    """Answers by question. A task that was started meanwhile inherits it, and must not use it for longer."""

    def __init__(self) -> None:
        self.open = True
        self.kept: dict[Hashable, Any] = {}


_memory: ContextVar[_Memory | None] = ContextVar("page", default=None)


@contextmanager
def remembering() -> Iterator[None]:
    """Answers are kept until the end."""
    memory = _Memory()
    token = _memory.set(memory)
    try:
        yield
    finally:
        memory.open = False
        memory.kept.clear()
        _memory.reset(token)


def _kept() -> dict[Hashable, Any] | None:
    memory = _memory.get()
    return memory.kept if memory is not None and memory.open else None


async def once(key: Hashable, ask: Callable[[], Awaitable[T]]) -> T:
    """The answer that is kept under a key, asked for when there is none. Nobody changes it."""
    kept = _kept()
    if kept is None:
        return await ask()
    if key not in kept:
        kept[key] = await ask()
    answer: T = kept[key]
    return answer


def keep(answers: Mapping[Hashable, Any]) -> None:
    """Keeps answers that were had together."""
    kept = _kept()
    if kept is not None:
        kept.update(answers)


def forget() -> None:
    """Something happened that other answers may follow from: everything is asked again."""
    answers = _kept()
    if answers is not None:
        answers.clear()
