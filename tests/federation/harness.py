"""Real instances for tests: each its own process, database, folder and loopback port; killed and started at will."""

import asyncio
import io
import json
import os
import random
import signal
import socket
import sqlite3
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import httpx
from PIL import Image

from server.credentials import make_secret
from server.settings import load
from tests.federation.operate import Operator

PARVIS = [str(Path(sys.executable).with_name("parvis"))]
DEADLINE_S = 20.0
T = TypeVar("T")


_ports = [
    port for port in range(12_000, 32_000) if port % 8 == int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % 8
]
random.SystemRandom().shuffle(_ports)


def free_port() -> int:
    """A port that nothing uses: below those that the kernel gives to whoever connects, and never given twice, neither
    by this process nor by another one of the same run.
    """
    while True:
        port = _ports.pop()
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


async def until(
    ask: Callable[[], Awaitable[T]], holds: Callable[[T], bool], what: str, deadline_s: float = DEADLINE_S
) -> T:
    """Asks again and again until it holds. Fails with what was last answered."""
    end = time.monotonic() + deadline_s
    while True:
        answer = await ask()
        if holds(answer):
            return answer
        if time.monotonic() > end:
            raise AssertionError(f"not within {deadline_s} s: {what}; last: {answer!r}"[:2000])
        await asyncio.sleep(0.05)


@dataclass
class Person:
    """Somebody with a token of the client API at one instance."""

    node: "Node"
    name: str
    token: str
    space: str = ""  # the slug, as this person's instance knows it, of the space they write in

    @property
    def handle(self) -> str:
        return f"{self.name}@{self.node.host}"

    async def call(self, method: str, path: str, **options: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {self.token}", **options.pop("headers", {})}
        return await self.node.client.request(method, path, headers=headers, **options)

    async def get(self, path: str) -> Any:
        answer = await self.call("GET", path)
        assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.text[:300]}"
        return answer.json()

    async def post(self, text: str, **fields: Any) -> dict[str, Any]:
        answer = await self.call("POST", "/api/v1/statuses", json={"status": text, **fields})
        assert answer.status_code == 200, f"{answer.status_code} {answer.text[:300]}"
        return dict(answer.json())

    async def home(self) -> list[dict[str, Any]]:
        return list(await self.get("/api/v1/timelines/home?limit=40"))

    async def sees(self, text: str, deadline_s: float = DEADLINE_S) -> dict[str, Any]:
        """The post with these words in the home feed, awaited."""

        def found(home: list[dict[str, Any]]) -> bool:
            return any(text in post["content"] for post in home)

        home = await until(self.home, found, f"{self.handle} sees {text!r}", deadline_s)
        return next(post for post in home if text in post["content"])


@dataclass
class Node:
    """One instance. `kill` is kill -9."""

    name: str
    folder: Path
    port: int
    database_url: str
    federation: str = "linked"
    process: asyncio.subprocess.Process | None = None
    settings: dict[str, str] = field(default_factory=dict)
    behind: int = 0  # where it really listens, when a tap stands at its port
    extra: dict[str, str] = field(default_factory=dict)  # environment of the process that serves
    resident: bool = False  # whether commands run in one process that stays
    _client: httpx.AsyncClient | None = None
    _operator: Operator | None = None

    @property
    def host(self) -> str:
        return f"localhost:{self.port}"

    @property
    def base(self) -> str:
        return f"http://{self.host}"

    @property
    def client(self) -> httpx.AsyncClient:
        if self._client is None:
            self._client = httpx.AsyncClient(base_url=self.base, timeout=30)
        return self._client

    def write_settings(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        lines = {
            "base_url": self.base,
            "name": self.name,
            "database_url": self.database_url,
            "data_dir": str(self.folder),
            "host": "127.0.0.1",
            "federation": self.federation,
            "default_language": "fr",
            **self.settings,
        }
        text = "".join(f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in lines.items())
        text += f'port = {self.behind or self.port}\nallow_private_networks = ["127.0.0.0/8", "::1/128"]\n'
        (self.folder / "parvis.toml").write_text(text)
        make_secret(load(self.folder / "parvis.toml", {}), sealed_keys_exist=False)

    async def cli(self, *words: str, ok: bool = True, stdin: str = "") -> tuple[int, str, str]:
        """Runs a command on this instance: (exit code, stdout, stderr)."""
        if self.resident and not stdin:
            if self._operator is None:
                self._operator = Operator(self.folder / "parvis.toml", _environment())
            code, told, said = await self._operator.run(*words)
        else:
            code, told, said = await self._command(stdin, *words)
        assert not ok or code == 0, f"parvis {' '.join(words)}: {code} {said[-2000:]}"
        return code, told, said

    async def _command(self, stdin: str, *words: str) -> tuple[int, str, str]:
        process = await asyncio.create_subprocess_exec(
            *PARVIS,
            *words,
            "--config",
            str(self.folder / "parvis.toml"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=_environment(),
        )
        out, err = await process.communicate(stdin.encode())
        return process.returncode or 0, out.decode(), err.decode()

    async def person(self, name: str, display: str = "", role: str = "member") -> Person:
        """Adds an employee, with a token."""
        await self.cli("people", "add", name, "--name", display or name.title(), "--role", role, "--json")
        _, out, _ = await self.cli("token", name, "--scopes", "read write follow", "--json")
        return Person(self, name, json.loads(out)["token"])

    async def values(self, query: str) -> list[Any]:
        """The first column of what the database answers beside the running process: for awaiting, without a command."""
        if self.database_url.startswith("sqlite"):
            path = self.database_url.removeprefix("sqlite://")
            with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as database:
                return [row[0] for row in database.execute(query)]
        connection = await asyncpg.connect(self.database_url)
        try:
            return [row[0] for row in await connection.fetch(query)]
        finally:
            await connection.close()

    async def start(self) -> None:
        """Starts the process and waits until it answers."""
        log = (self.folder / "log").open("ab")
        self.process = await asyncio.create_subprocess_exec(
            *PARVIS, "serve", "--config", str(self.folder / "parvis.toml"), stdout=log, stderr=log,
            env=_environment() | self.extra,
        )  # fmt: skip
        log.close()

        async def up() -> int:
            if self.process is not None and self.process.returncode is not None:
                raise AssertionError(f"{self.name} ended at start: {self.log()}")
            try:
                return (await self.client.get("/readyz")).status_code
            except httpx.TransportError:
                return 0

        await until(up, lambda status: status == 200, f"{self.name} answers; {self.log()}", 60)

    def log(self) -> str:
        path = self.folder / "log"
        return path.read_text(errors="replace")[-3000:] if path.exists() else ""

    async def kill(self) -> None:
        """kill -9."""
        if self.process is not None and self.process.returncode is None:
            self.process.send_signal(signal.SIGKILL)
            await self.process.wait()

    async def stop(self) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.terminate()
            await self.process.wait()
        if self._client is not None:
            await self._client.aclose()
            self._client = None
        if self._operator is not None:
            await self._operator.leave()
            self._operator = None


def _environment() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if not key.startswith("PARVIS_")}


async def link_state(node: Node, host: str) -> str:
    """How one of an instance's links stands, '' when there is none."""
    _, listed, _ = await node.cli("link", "list", "--json")
    return next((str(row["state"]) for row in json.loads(listed) if row["host"] == host), "")


async def link(one: Node, other: Node, deadline_s: float = DEADLINE_S) -> list[str]:
    """The whole agreement between two running instances, as their administrators do it; the six words. `deadline_s`:
    how long each of its steps may take.
    """
    await one.cli("link", "offer", other.host)

    await until(
        lambda: link_state(other, one.host),
        lambda state: state == "received",
        f"{other.name} hears the offer; {one.log()}",
        deadline_s,
    )
    await other.cli("link", "accept", one.host)

    async def words(node: Node, host: str) -> list[str]:
        code, out, _ = await node.cli("link", "words", host, "--json", ok=False)
        return list(json.loads(out)["words"]) if code == 0 else []

    mine = await until(lambda: words(one, other.host), bool, f"{one.name} has the words; {other.log()}", deadline_s)
    theirs = await words(other, one.host)
    assert mine == theirs, "the six words are the same on both sides"
    await one.cli("link", "confirm", other.host)
    await other.cli("link", "confirm", one.host)
    for node, host in ((one, other.host), (other, one.host)):
        await until(
            lambda node=node, host=host: link_state(node, host),  # type: ignore[misc]
            lambda state: state == "active",
            f"{node.name}'s link is active; {node.log()}",
            deadline_s,
        )
    return mine


def worded(word: str) -> bytes:
    """A real picture whose bytes have a word in them: colours by their numbers, not packed."""
    pixels, kept = Image.frombytes("P", (64, 1), f"{word:64}".encode()), io.BytesIO()
    pixels.putpalette(bytes(768))
    pixels.save(kept, "PNG", compress_level=0)
    return kept.getvalue()
