"""What goes round while a process lives: a step, done until there is nothing more to do, then again on news."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Collection

from server import live

AFTER_FAILURE_S = 2.0
GATHERING_S = 0.01
"""What happens within this time of the first news is looked at together."""

Step = Callable[[], Awaitable[int]]


async def go_round(step: Step, kinds: Collection[str], every_s: float, log: logging.Logger) -> None:
    """Until cancelled. `kinds`: the facts after which the step is asked at once; `every_s`: in any case, in seconds.

    A step that fails is logged and asked again: it holds nothing that is not in a row.
    """
    with live.listening(kinds) as news:
        while True:
            try:
                while await step():
                    pass
            except Exception:
                log.exception("a step failed", extra={"action": "worker.failed"})
                await asyncio.sleep(AFTER_FAILURE_S)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(every_s):
                    await news.next()
                    await asyncio.sleep(GATHERING_S)
            news.forget()
