"""The demo as somebody starts it who has just cloned: it plays, stops, goes on, begins afresh, refuses in one line."""

import asyncio
import os
import re
import signal
import socket
import sqlite3
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from tests.federation.harness import PARVIS, Node, Person, free_port, until

pytestmark = pytest.mark.anyio

TOLD_WITHIN_S = 120.0
STOPPED_WITHIN_S = 30.0
PASSWORD = "parvis-demo"
SLUG = "projet-cevennes"
OF_CEVENNES = "la dérive de tension disparaît"


@dataclass
class Demo:
    """A running `parvis demo`."""

    process: asyncio.subprocess.Process
    folder: Path
    ports: tuple[int, int]
    nodes: dict[str, Node] = field(default_factory=dict)

    async def hears(self, words: str, of: str = "stdout", within_s: float = TOLD_WITHIN_S) -> str:
        """What it said up to and with these words."""
        stream: asyncio.StreamReader | None = getattr(self.process, of)
        assert stream is not None
        said = ""
        async with asyncio.timeout(within_s):
            while words not in said:
                line = (await stream.readline()).decode()
                assert line, f"it ended: {said} {await self.process.communicate()}"
                said += line
        return said

    async def invites(self) -> str:
        return await self.hears("Ctrl-C stops both")

    async def ends(self) -> int:
        async with asyncio.timeout(STOPPED_WITHIN_S):
            return await self.process.wait()

    async def stops(self) -> None:
        """Ctrl-C: it ends in good order, and leaves no process behind."""
        started = self.started()
        assert len(started) >= 2
        self.process.send_signal(signal.SIGINT)
        assert await self.ends() == 0
        assert [pid for pid in started if alive(pid)] == []

    def started(self) -> list[int]:
        """The processes that it started and that are running."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in children.read_text().split()]

    def node(self, key: str) -> Node:
        if key not in self.nodes:
            port = self.ports[("aubrac", "kestrel").index(key)]
            self.nodes[key] = Node(key, self.folder / key, port, f"sqlite://{self.folder}/{key}/var/parvis.db")
        return self.nodes[key]

    async def person(self, key: str, name: str) -> Person:
        node = self.node(key)
        _, out, _ = await node.cli("token", name)
        return Person(node, name, out.strip())

    def count(self, key: str, table: str) -> int:
        with closing(sqlite3.connect(self.folder / key / "var/parvis.db")) as database:
            return int(database.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0])


def alive(pid: int) -> bool:
    """Whether a process runs; one that only waits to be reaped does not."""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False


Start = Callable[..., Awaitable[Demo]]


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    """Starts the demo in a folder of its own, again and again with the same ports."""
    ports = (free_port(), free_port())
    demos: list[Demo] = []

    async def begin(*words: str, folder: Path = tmp_path / "demo") -> Demo:
        process = await asyncio.create_subprocess_exec(
            *PARVIS,
            *["demo", "--dir", str(folder), "--ports", f"{ports[0]},{ports[1]}", *words],
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={name: value for name, value in os.environ.items() if not name.startswith("PARVIS_")},
        )
        demos.append(Demo(process, folder, ports))
        return demos[-1]

    yield begin
    for demo in demos:
        for node in demo.nodes.values():
            await node.stop()
        if demo.process.returncode is None:
            demo.process.kill()
            await demo.process.wait()


async def test_a_taken_port_is_named_and_nothing_is_begun(start: Start, tmp_path: Path) -> None:
    first = await start()
    with socket.create_server(("127.0.0.1", first.ports[1])):
        _, said = await first.process.communicate()
    assert first.process.returncode == 1
    assert said.decode() == (f"parvis: port {first.ports[1]} is taken by another program: stop it, and start again.\n")
    assert [path.name for path in (tmp_path / "demo").iterdir()] == ["demo.lock"]


async def test_a_folder_of_something_else_is_left_alone_also_by_reset(start: Start, tmp_path: Path) -> None:
    kept = tmp_path / "letters" / "aubrac" / "letter.txt"
    kept.parent.mkdir(parents=True)
    kept.write_text("Chère Alice,")
    demo = await start("--reset", folder=tmp_path / "letters")
    _, said = await demo.process.communicate()
    assert demo.process.returncode == 1
    assert "is not a folder of the demo" in said.decode()
    assert [path.name for path in (tmp_path / "letters").rglob("*")] == ["aubrac", "letter.txt"]


@pytest.mark.skipif(sys.platform != "linux", reason="asks the kernel to end the children")
async def test_the_demo_plays_the_scene_goes_on_and_begins_afresh(start: Start) -> None:
    await cut_short(await start())

    demo = await start()
    said = await demo.invites()
    words = re.search(r"words compared: ((?:\w+ ){5}\w+)\n", said)
    assert words and f"http://localhost:{demo.ports[0]}" in said and PASSWORD in said
    assert demo.count("aubrac", "account") + demo.count("kestrel", "account") == 25, "each person once"
    await alice_comes_in_by_the_page(demo)
    await the_scene(demo)
    again = await start()
    assert await again.ends() == 1, "one demo at a time in a folder"
    await one_that_is_killed_is_started_again(demo)
    alice = await demo.person("aubrac", "alice")
    await alice.post("Une note à garder.", parvis_space=SLUG)
    await demo.stops()

    demo = await start()
    assert words[0] in await demo.invites()
    await (await demo.person("aubrac", "alice")).sees("Une note à garder.")
    await (await demo.person("kestrel", "chloe")).sees("Une note à garder.")
    await demo.stops()

    demo = await start("--reset")
    await the_story_has_begun(demo)
    assert not (demo.folder / "demo.json").exists()
    await demo.stops()
    assert demo.count("aubrac", "post WHERE source = 'Une note à garder.'") == 0, "what was written is gone"


async def the_story_has_begun(demo: Demo) -> None:
    await demo.hears("settle in", "stderr")

    async def hired() -> int:
        return demo.count("aubrac", "account")

    await until(hired, lambda count: count > 2, "the story has begun", TOLD_WITHIN_S)


async def cut_short(demo: Demo) -> None:
    """kill -9 while the story is told: what it started dies with it."""
    await the_story_has_begun(demo)
    started = demo.started()
    assert len(started) == 4
    demo.process.kill()
    await demo.process.wait()

    async def left() -> list[int]:
        return [pid for pid in started if alive(pid)]

    await until(left, lambda pids: pids == [], "the kernel ends them")


async def alice_comes_in_by_the_page(demo: Demo) -> None:
    base = f"http://localhost:{demo.ports[0]}"
    async with httpx.AsyncClient(base_url=base, headers={"origin": base}) as browser:
        form = {"name": "alice", "password": PASSWORD, **hidden_fields((await browser.get("/login")).text)}
        assert (await browser.post("/login", data={**form, "password": "parvis-other"})).status_code != 303
        entered = await browser.post("/login", data=form)
        assert entered.status_code == 303, entered.text[:500]
        assert "Projet Cévennes" in (await browser.get("/")).text


def hidden_fields(page: str) -> dict[str, str]:
    fields = re.findall(r"<input [^>]*type=\"?hidden[^>]*>", page)
    named = ((re.search(r'name="([^"]*)"', field), re.search(r'value="([^"]*)"', field)) for field in fields)
    return {name[1]: value[1] if value else "" for name, value in named if name}


async def the_scene(demo: Demo) -> None:
    """Chloé has the space and what is in it; Bruno, Driss and visitors have nothing of what is said there."""
    alice, bruno = await demo.person("aubrac", "alice"), await demo.person("aubrac", "bruno")
    chloe, driss = await demo.person("kestrel", "chloe"), await demo.person("kestrel", "driss")
    assert SLUG in await space_slugs(alice)
    assert f"{SLUG}@{alice.node.host}" in await space_slugs(chloe)
    assert not [slug for slug in await space_slugs(driss) if SLUG in slug]
    here, there = await alice.sees(OF_CEVENNES), await chloe.sees(OF_CEVENNES)
    sheet, curve = there["media_attachments"]
    assert (sheet["description"], bool(curve["preview_url"])) == ("Poste 3, relevés de la nuit", True)
    await the_sheet_comes_along(alice, here["id"])
    for person, post in ((bruno, here), (driss, there)):
        assert all(OF_CEVENNES not in seen["content"] for seen in await person.home())
        await answers_as_never_there(person, post["id"])
    visitor = alice.node.client
    hidden, unknown = await visitor.get(f"/spaces/{SLUG}"), await visitor.get("/spaces/jamais-vu")
    assert hidden.status_code == unknown.status_code == 404
    assert without_nonce(hidden.text.replace(SLUG, "jamais-vu")) == without_nonce(unknown.text)


def without_nonce(page: str) -> str:
    return re.sub(r'nonce="[^"]*"', "", page)


async def the_sheet_comes_along(alice: Person, post_id: str) -> None:
    """The PDF that Chloé attached, from Alice's own instance once it has been fetched."""

    async def fetched() -> httpx.Response:
        files = (await alice.get(f"/api/v1/statuses/{post_id}"))["media_attachments"]
        return await alice.call("GET", files[0]["url"]) if files and files[0]["url"] else httpx.Response(404)

    answer = await until(fetched, lambda answer: answer.status_code == 200, "the PDF is here")
    assert answer.url.host == "localhost" and answer.url.port == alice.node.port
    assert answer.content.startswith(b"%PDF-1.4") and answer.content.endswith(b"%%EOF\n")


async def space_slugs(person: Person) -> list[str]:
    found = await person.get("/api/parvis/v1/spaces?limit=100")
    return [space["slug"] for space in found["spaces"]]


async def answers_as_never_there(person: Person, post_id: str) -> None:
    hidden = await person.call("GET", f"/api/v1/statuses/{post_id}")
    unknown = await person.call("GET", "/api/v1/statuses/1")
    assert hidden.status_code == unknown.status_code == 404
    assert hidden.content == unknown.content


async def one_that_is_killed_is_started_again(demo: Demo) -> None:
    before = demo.started()
    chloe = await demo.person("kestrel", "chloe")
    sequel = await chloe.post("Deuxième nuit : rien à signaler.", parvis_space=f"{SLUG}@localhost:{demo.ports[0]}")
    _, kestrel = before
    assert b"kestrel" in Path(f"/proc/{kestrel}/cmdline").read_bytes()
    os.kill(kestrel, signal.SIGKILL)
    await demo.hears("is started again", "stderr")
    found = await (await demo.person("aubrac", "alice")).sees("Deuxième nuit")
    assert sequel["id"] and found["content"].count("Deuxième nuit") == 1
