"""What was read once for a page of a stream and is asked again for each of its events: kept while it is built.

Outside `remembering()` nothing is kept and every question is asked. What the page's decisions rest on is read again
before it leaves (see `streaming`), so that nothing older than a page decides.
"""

from collections.abc import Awaitable, Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

T = TypeVar("T")

_kept: ContextVar[dict[Hashable, Any] | None] = ContextVar("page", default=None)


@contextmanager
def remembering() -> Iterator[None]:
    """Answers are kept until the end."""
    token = _kept.set({})
    try:
        yield
    finally:
        _kept.reset(token)


async def once(key: Hashable, ask: Callable[[], Awaitable[T]]) -> T:
    """The answer that is kept under a key, asked for when there is none. Nobody changes it."""
    kept = _kept.get()
    if kept is None:
        return await ask()
    if key not in kept:
        kept[key] = await ask()
    answer: T = kept[key]
    return answer


def keep(answers: Mapping[Hashable, Any]) -> None:
    """Keeps answers that were had together."""
    kept = _kept.get()
    if kept is not None:
        kept.update(answers)
