"""A network in bad weather: it stands before an instance, outside the application, and does what networks do.

Connections are delayed, cut, swallowed, heard twice, or heard again much later, after what was said since, by a
script's choice. Every chunk that comes in is kept with its moment *before* anything is done to it, so what left
whoever sent it is known even when it never arrived; what is answered is kept with whom the asker signed as.
"""

import asyncio
import contextlib
import random
import re
import time
from dataclasses import dataclass, field

REQUEST_KEPT = 256 << 10
"""How much of a connection is remembered for being sent a second time, in bytes."""
LATE_S = 8.0
"""By how much, at most, what comes again late comes late."""
SEAM = 11
"""Bytes of a chunk that are looked at with the next one: a word on the seam is seen, a whole one not twice."""
_SIGNER = re.compile(rb'key[iI]d="https?://([^/"]+)/')


@dataclass
class Conditions:
    """What may happen to a connection. Probabilities from 0 to 1; `delay_s`: at most so long."""

    cut: float = 0.0
    swallow: bool = False
    twice: float = 0.0
    late: float = 0.0
    delay_s: float = 0.0


@dataclass
class Weather:
    """Forwards `port` to `behind` on loopback.

    `heard`: (monotonic seconds, bytes) of all that came in. `said`: the same of all answers, with the host whose key
    the request before was signed with, '' for nobody's.
    """

    port: int
    behind: int
    chance: random.Random
    now: Conditions = field(default_factory=Conditions)
    heard: list[tuple[float, bytes]] = field(default_factory=list)
    said: list[tuple[float, str, bytes]] = field(default_factory=list)
    connections: int = 0
    _server: asyncio.Server | None = None
    _tasks: set["asyncio.Task[None]"] = field(default_factory=set)

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)

    async def stop(self) -> None:
        """Ends every connection."""
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            await self._carry(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.now.swallow:
            await self._swallow(reader)
            return
        if self.chance.random() < self.now.cut:
            return
        await asyncio.sleep(self.chance.random() * self.now.delay_s)
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", self.behind)
        kept = bytearray()
        asker = [""]
        try:
            await asyncio.gather(
                self._copy(reader, inner_writer, asker, kept),
                self._copy(inner_reader, writer, asker, None),
                return_exceptions=True,
            )
        finally:
            inner_writer.close()
        if kept and self.chance.random() < self.now.twice:
            await self._again(bytes(kept))
        if kept and self.chance.random() < self.now.late:
            await asyncio.sleep(self.chance.random() * LATE_S)
            await self._again(bytes(kept))

    async def _swallow(self, reader: asyncio.StreamReader) -> None:
        """A black hole: everything is taken and nothing ever answered."""
        while data := await reader.read(1 << 16):
            self.heard.append((time.monotonic(), data))

    async def _copy(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, asker: list[str], kept: bytearray | None
    ) -> None:
        seam = b""
        with contextlib.suppress(OSError):
            while data := await source.read(1 << 16):
                if kept is not None:
                    self.heard.append((time.monotonic(), seam + data))
                    if named := _SIGNER.search(seam + data):
                        asker[0] = named[1].decode("latin-1").lower()
                    if len(kept) + len(data) <= REQUEST_KEPT:
                        kept += data
                    if self.chance.random() < self.now.cut / 4:
                        break  # in the middle of something
                else:
                    self.said.append((time.monotonic(), asker[0], seam + data))
                seam = data[-SEAM:]
                await asyncio.sleep(self.chance.random() * self.now.delay_s / 4)
                sink.write(data)
                await sink.drain()
        with contextlib.suppress(OSError, RuntimeError):
            sink.close()

    async def _again(self, request: bytes) -> None:
        """The same bytes, heard a second time."""
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_connection("127.0.0.1", self.behind)
            try:
                writer.write(request)
                await writer.drain()
                async with asyncio.timeout(2):
                    await reader.read(1 << 16)
            except TimeoutError:
                pass
            finally:
                writer.close()
