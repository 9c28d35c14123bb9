"""D12: the host of a shared space moves while words wait on both sides; both are killed in the middle of it."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, nullcontext
from typing import Any

import pytest

from tests.federation.conftest import MakeNode
from tests.federation.harness import PARVIS, Node, Person, free_port, until
from tests.federation.test_restored import SLUG, act, agree, both, set_up, shown

pytestmark = pytest.mark.anyio

SLOW = {"post": "uri", "actor": "host"}


def opened(node: Node) -> Any:
    path = node.database_url.removeprefix("sqlite://")
    return closing(sqlite3.connect(path, isolation_level=None, timeout=0.01))


@asynccontextmanager
async def caught_half_way(node: Node) -> AsyncIterator[None]:
    """Whoever renames what is in this database stays in the middle of it, and is killed there."""
    endless = "SELECT COUNT(*) FROM grind a, grind b, grind c WHERE a.x + b.x + c.x < 0"
    with opened(node) as database:
        database.execute("CREATE TABLE grind (x INTEGER)")
        database.executemany("INSERT INTO grind VALUES (?)", [(x,) for x in range(3_000)])
        for table, column in SLOW.items():
            database.execute(f"CREATE TRIGGER slow_{table} AFTER UPDATE OF {column} ON {table} BEGIN {endless}; END")
    yield
    await until(lambda: writes(node), bool, f"somebody is in the middle of it; {node.log()}")
    await node.kill()
    with opened(node) as database:
        for table in SLOW:
            database.execute(f"DROP TRIGGER slow_{table}")
        database.execute("DROP TABLE grind")


async def writes(node: Node) -> bool:
    """Whether somebody holds the right to write for longer than any commit takes."""
    for _ in range(10):
        with opened(node) as database:
            try:
                database.execute("BEGIN IMMEDIATE")
                return False
            except sqlite3.OperationalError:
                await asyncio.sleep(0.03)
    return True


async def settle_elsewhere(node: Node) -> str:
    """The instance is stopped and its settings name another port; its old host."""
    before = node.host
    await node.kill()
    await node.stop()
    node.port = free_port()
    node.write_settings()
    return before


async def alice_at(node: Node) -> str:
    [uri] = await node.values("SELECT uri FROM actor WHERE name = 'alice'")
    return str(uri)


async def move(node: Node, old: str, *, killed: bool) -> None:
    """As an operator does; `killed`: the first time ends in the middle."""
    code, _, said = await node.cli("people", "list", ok=False)
    assert code == 1 and f"parvis move {node.base}" in said, "nobody opens the database of another address"
    if killed:
        async with caught_half_way(node):
            words = [*PARVIS, "move", node.base, "--config", str(node.folder / "parvis.toml")]
            node.process = await asyncio.create_subprocess_exec(*words)
        assert await alice_at(node) == f"http://{old}/@alice", "half a move is none"
    for _ in range(2):
        await node.cli("move", node.base)
    assert await alice_at(node) == f"{node.base}/@alice"


async def say(person: Person, first: str) -> None:
    """A new post, an edit, a withdrawal and a gesture."""
    await person.post(f"entretemps de {person.name} v0", parvis_space=person.space)
    await act(person, first, "PUT", status=f"redit de {person.name} v1")
    await act(person, f"retiré de {person.name}", "DELETE")


@pytest.mark.parametrize("engine", ["sqlite", pytest.param("postgres", marks=pytest.mark.soak)], indirect=True)
async def test_D12_the_host_of_a_space_moves_and_both_sides_go_on(fleet: MakeNode, engine: str) -> None:
    aubrac, kestrel, alice, chloe = await set_up(fleet)
    for person in (alice, chloe):
        await person.post(f"retiré de {person.name} v0", parvis_space=person.space)
    await act(alice, "retiré de chloe")
    await act(chloe, "premier d’Alice")
    await until(lambda: both(alice, chloe), lambda seen: agree(seen) and len(seen[0]) == 4, "both see all")
    address = str((await alice.sees("premier d’Alice"))["uri"])

    await kestrel.kill()
    await say(alice, "premier d’Alice")
    old, killed = await settle_elsewhere(aubrac), engine == "sqlite"
    async with caught_half_way(kestrel) if killed else nullcontext():
        await kestrel.start()
        await say(chloe, "premier de Chloé")
        await act(chloe, "premier d’Alice", "unfavourite")
        await move(aubrac, old, killed=killed)
        await aubrac.start()
    if killed:
        assert await kestrel.values("SELECT host FROM peer") == [old], "half a move is none"
        await kestrel.start()
    await until(
        lambda: kestrel.values("SELECT host FROM peer"),
        lambda hosts: hosts == [aubrac.host],
        f"it follows; {kestrel.log()}",
    )
    chloe.space = f"{SLUG}@{aubrac.host}"

    await chloe.sees("redit de alice")
    await act(chloe, "redit de alice")
    await alice.post("enfin d’Alice", parvis_space=alice.space)
    await chloe.post("enfin de Chloé", parvis_space=f"{SLUG}@{old}")
    seen, _ = await until(
        lambda: both(alice, chloe), lambda seen: agree(seen) and len(seen[0]) == 6, f"all is there; {kestrel.log()}", 60
    )
    assert not any("retiré" in text or "premier" in text for text in seen)
    assert {text: thanks for text, (_, thanks) in seen.items() if thanks} == {"<p>redit de alice": 1}

    found = await chloe.get(f"/api/v2/search?q={address}&resolve=true")
    assert [status["uri"] for status in found["statuses"]] == [address.replace(f"http://{old}", aubrac.base)]
    for node in (aubrac, kestrel):
        assert await node.values("SELECT COUNT(*) FROM post WHERE deleted_at IS NULL") == [6]
        assert await node.values(f"SELECT uri FROM post WHERE uri LIKE '%{old}%'") == []
        assert await node.values("SELECT COUNT(*) FROM receipt WHERE processed_at IS NULL") == [0]
        assert await node.values("SELECT outcome FROM receipt WHERE outcome NOT IN ('', 'taken back')") == []
    assert await aubrac.values("SELECT COUNT(*) FROM membership WHERE state = 'member'") == [2]
    link = json.loads((await kestrel.cli("link", "show", old, "--json"))[1])
    assert (link["host"], link["formerly"], link["refused"]) == (aubrac.host, [old], [])
    words = [json.loads((await one.cli("link", "words", other.host, "--json"))[1]) ["words"]
             for one, other in ((aubrac, kestrel), (kestrel, aubrac))]  # fmt: skip
    assert words[0] == words[1], "both name the new address, and can be compared"

    await aubrac.cli("spaces", "members", SLUG, "--remove", chloe.handle)
    await until(
        lambda: aubrac.values("SELECT state FROM recall_target"), lambda states: states == ["partial"], "a receipt"
    )
    [receipt] = await aubrac.values("SELECT receipt FROM recall_target")
    assert [one["reason"] for one in json.loads(receipt)["parvis:retained"]] == ["own-authored"]
    assert not any("Alice" in text or "alice" in text for text in await shown(chloe))
