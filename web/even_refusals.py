"""Hidden or never there: one answer, at one time.

What is hidden costs a statement or two more than what never was, which a patient stranger could measure. So no 404
leaves when its work is done: it leaves `QUANTUM_S` after the request was there, or a multiple of it where the work
took longer. What is not hidden is not held up.

A held answer costs no CPU and some ten kilobytes. The work before it is what bounds how many there are: at five hundred
refusals a second, a dozen are held at once.
"""

import asyncio
import contextlib
import heapq
import itertools
import math
import re
import threading
import time
from collections import deque
from http import HTTPStatus

from starlette.types import ASGIApp, Message, Receive, Scope, Send

QUANTUM_S = 0.025
"""Several times what a refusal takes (1 to 6 ms on either engine), so that work hardly ever reaches the next multiple;
still less than anybody notices.
"""
AHEAD_BYTES = 64 * 1024
"""How much of a body is read before the work begins: what the server that we run in holds anyway."""
IDLE_S = 10.0
"""How long the thread waits for somebody: to start it costs ten times what it does for one answer."""
READS_FIRST = re.compile(r"^/peering$|/inbox$")
"""Doors that read the body before anything else, within a time of their own."""
LENGTH, CHUNKED = b"content-length", b"transfer-encoding"


class EvenRefusals:
    """Stands before the whole application where strangers reach it, that is in `web.serving`."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request = await _Arriving.whole(scope, receive)

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == HTTPStatus.NOT_FOUND:
                await LEAVING.at(next_departure(request.came, time.monotonic()))
            await send(message)

        await self.app(scope, request.receive, answer)


def next_departure(came: float, now: float) -> float:
    """The first multiple of the quantum after `came` that is not over; seconds of time.monotonic()."""
    return came + max(1, math.ceil((now - came) / QUANTUM_S)) * QUANTUM_S


class _Arriving:
    """A request, and when it was there: its last piece, for whoever sends slowly chooses when the work begins."""

    def __init__(self, receive: Receive) -> None:
        self.came = time.monotonic()
        self._receive = receive
        self._ahead: deque[Message] = deque()
        self._more = False

    @classmethod
    async def whole(cls, scope: Scope, receive: Receive) -> "_Arriving":
        """Reads a small body ahead; a large one may be refused unread, and counts piece by piece."""
        found, size = cls(receive), 0
        declared = {name: value for name, value in scope["headers"] if name in (LENGTH, CHUNKED)}
        length = declared.get(LENGTH, b"0")
        small = length.isdigit() and int(length[:10]) <= AHEAD_BYTES
        found._more = bool(declared) and small and READS_FIRST.search(scope["path"]) is None
        while found._more and size < AHEAD_BYTES:
            message = await found._next()
            size += len(message.get("body", b""))
            found._ahead.append(message)
        return found

    async def receive(self) -> Message:
        return self._ahead.popleft() if self._ahead else await self._next()

    async def _next(self) -> Message:
        message = await self._receive()
        if message.get("body"):
            self.came = time.monotonic()
        self._more = message.get("more_body", False)
        return message


class Leaving:
    """Lets answers go at their moment, to some hundredths of a millisecond.

    The timers of an event loop count whole milliseconds from wherever they were set, so when they ring tells when the
    work was done, which is what nobody shall hear. A thread of its own sleeps exactly; all loops of a process share it,
    and it ends when nobody has waited for a while.
    """

    def __init__(self) -> None:
        self._waiting: list[tuple[float, int, asyncio.AbstractEventLoop, asyncio.Future[None]]] = []
        self._changed = threading.Condition()
        self._numbers = itertools.count()
        self._thread: threading.Thread | None = None

    async def at(self, moment: float) -> None:
        """Returns at a moment of time.monotonic()."""
        loop = asyncio.get_running_loop()
        going = loop.create_future()
        with self._changed:
            heapq.heappush(self._waiting, (moment, next(self._numbers), loop, going))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="leaving", daemon=True)
                self._thread.start()
            elif self._waiting[0][3] is going:
                self._changed.notify()
        await going

    def _run(self) -> None:
        while (due := self._next()) is not None:
            _, _, loop, going = due
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(_let_go, going)

    def _next(self) -> tuple[float, int, asyncio.AbstractEventLoop, asyncio.Future[None]] | None:
        """Whoever goes next, once it is time; None when nobody came for a while: then the thread ends."""
        with self._changed:
            if not self._waiting:
                self._changed.wait(IDLE_S)
            while self._waiting and (left := self._waiting[0][0] - time.monotonic()) > 0:
                self._changed.wait(left)
            if self._waiting:
                return heapq.heappop(self._waiting)
            self._thread = None
            return None


def _let_go(going: asyncio.Future[None]) -> None:
    if not going.done():
        going.set_result(None)


LEAVING = Leaving()
