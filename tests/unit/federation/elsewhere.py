"""Another server on loopback, which answers exactly the bytes it is told to and remembers who came."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

Scene = Callable[[asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Elsewhere:
    address: str
    port: int = 0
    scenes: dict[str, bytes | Scene] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    underway: int = 0
    most_underway: int = 0

    def url(self, path: str, scheme: str = "http") -> str:
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{scheme}://{host}:{self.port}{path}"

    async def meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                await self._answer(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            pass
        finally:
            writer.transport.abort()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, path, _ = head[0].split(" ")
        headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in head[1:] if line)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        self.requests.append(Request(method, path, headers, body))
        self.underway += 1
        self.most_underway = max(self.most_underway, self.underway)
        try:
            scene = self.scenes.get(path.split("?")[0], answer(b"here"))
            if isinstance(scene, bytes):
                writer.write(scene)
                await writer.drain()
            else:
                await scene(writer)
        finally:
            self.underway -= 1


def answer(body: bytes = b"", *headers: str, status: str = "200 OK", length: int | None = None) -> bytes:
    """An answer with its length, or with the length it claims."""
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) if length is None else length}", *headers]
    return "\r\n".join([*head, "", ""]).encode("latin-1") + body


def redirect(location: str, status: str = "302 Found") -> bytes:
    return answer(b"", f"Location: {location}", status=status)


@asynccontextmanager
async def elsewhere(address: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> AsyncIterator[Elsewhere]:
    """Listens on a free port of this loopback address, and stops with all its connections."""
    there = Elsewhere(address)
    tasks: set[asyncio.Task[None]] = set()

    def came(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.ensure_future(there.meet(reader, writer)))

    server = await asyncio.start_server(came, address, 0, ssl=tls)
    there.port = server.sockets[0].getsockname()[1]
    try:
        yield there
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
