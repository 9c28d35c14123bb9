"""What several hosts are asked, side by side: one that keeps us waiting is left behind with its own.

It goes on by itself, and is asked nothing more before it has come to its end; the next rounds are for the others. So
nobody, by answering slowly or never, holds up what is done with anybody else.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence

from server import database as db
from server.clock import now_ms
from server.sql import Clause, among

log = logging.getLogger("parvis.worker")

PATIENCE_S = 2.0
"""How long a round waits for hosts that are asked something."""

BEHIND_MS = 10_000

Work = Callable[[], Awaitable[object]]


class SideBySide:
    """Rounds of one kind of work, each for some hosts (peer ids, or names)."""

    def __init__(self) -> None:
        self._asked: dict[object, asyncio.Task[None]] = {}

    def busy(self) -> set[object]:
        """The hosts that an earlier round left behind."""
        return {host for host, task in self._asked.items() if not task.done()}

    async def go(self, work: Mapping[object, Sequence[Work]]) -> None:
        """Does the work with each host in its order. Returns when all is done, or the slow ones have had their time.

        What fails is logged, and ends the turn of its own host.
        """
        tasks = [asyncio.create_task(_turn(mine)) for mine in work.values()]
        self._asked |= dict(zip(work, tasks, strict=True))
        if tasks:
            await asyncio.wait(tasks, timeout=PATIENCE_S)
        self._asked = {host: task for host, task in self._asked.items() if not task.done()}


async def _turn(work: Sequence[Work]) -> None:
    try:
        for one in work:
            await one()
    except Exception:
        log.exception("a host's turn failed", extra={"action": "worker.failed"})


async def put_off(jobs: Collection[int]) -> None:
    """Jobs (by their ids) that ask a host which still keeps us waiting come up again behind those of others."""
    if jobs:
        later = Clause("UPDATE job SET due_at = ? WHERE done_at IS NULL AND", (now_ms() + BEHIND_MS,))
        await db.execute(*later.join(among("id", jobs)).statement())
