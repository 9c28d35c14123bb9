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
    """Rounds of one kind of work, each for some hosts (peer ids, or names), at most so many of them at once."""

    def __init__(self, most: int = 100) -> None:
        self._most = most
        self._asked: dict[object, asyncio.Task[None]] = {}

    def busy(self) -> set[object]:
        """The hosts that an earlier round left behind."""
        return {host for host, task in self._asked.items() if not task.done()}

    async def go(self, work: Mapping[object, Sequence[Work]]) -> int:
        """Does the work with each host in its order. Returns when all is done, or the slow ones have had their time;
        with how many hosts something was begun: for the others there was no room.

        What fails ends the turn of its own host; it is raised when all have had their time, or logged when it comes
        later.
        """
        hosts = [host for host, mine in work.items() if mine][: max(0, self._most - len(self.busy()))]
        tasks = [asyncio.create_task(_turn(work[host])) for host in hosts]
        self._asked |= dict(zip(hosts, tasks, strict=True))
        done, late = await asyncio.wait(tasks, timeout=PATIENCE_S) if tasks else (set(), set())
        self._asked = {host: task for host, task in self._asked.items() if not task.done()}
        for task in late:
            task.add_done_callback(_failed_late)
        for error in [error for task in done if (error := task.exception())]:
            raise error
        return len(hosts)


async def _turn(work: Sequence[Work]) -> None:
    for one in work:
        await one()


def _failed_late(task: "asyncio.Task[None]") -> None:
    if not task.cancelled() and (error := task.exception()):
        log.error("a host's turn failed", exc_info=error, extra={"action": "worker.failed"})


async def put_off(jobs: Collection[int]) -> None:
    """Jobs (by their ids) that ask a host which still keeps us waiting come up again behind those of others."""
    if jobs:
        later = Clause("UPDATE job SET due_at = ? WHERE done_at IS NULL AND", (now_ms() + BEHIND_MS,))
        await db.execute(*later.join(among("id", jobs)).statement())
