"""A real `parvis serve` and another implementation of the other end, written from FEDERATION.md alone (`other_side`).

What the page promises is what another implementer finds: a name that changes on the wire, and nowhere in that
program, makes this red. What the two say to each other is the main path, in both directions.
"""

import ast
import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.federation.conftest import MakeNode
from tests.federation.harness import Node, Person, free_port, until
from tests.federation.other_forms import moment
from tests.federation.other_side import OtherSide, Space

pytestmark = pytest.mark.anyio
FILES = ("other_forms", "other_link", "other_side")
FOREIGN = {"cryptography", "httpx"}


@pytest.fixture
async def other() -> AsyncIterator[OtherSide]:
    side = OtherSide(free_port())
    yield side
    await asyncio.to_thread(side.close)


async def aside(work: Callable[..., Any], *given: Any) -> Any:
    """The other side's program waits; this one does not."""
    return await asyncio.to_thread(work, *given)


def test_the_other_side_uses_nothing_of_the_product() -> None:
    used = set()
    for name in FILES:
        tree = ast.parse((Path(__file__).parent / f"{name}.py").read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            used |= {alias.name for alias in node.names} if isinstance(node, ast.Import) else set()
            used |= {node.module or "."} if isinstance(node, ast.ImportFrom) else set()
    own = {f"tests.federation.{name}" for name in FILES}
    assert {name for name in used - own if name.split(".")[0] not in sys.stdlib_module_names | FOREIGN} == set()


async def test_another_implementation_works_with_us(fleet: MakeNode, other: OtherSide) -> None:
    node = await fleet("Aubrac", resident=True)
    alice, bob = await node.person("alice", "Alice Martin"), await node.person("bob")
    chloe = other.person("chloe", "Chloé Durand")
    await linked(node, other)
    await in_a_space_of_ours(node, other, alice, chloe)
    await in_a_space_of_theirs(node, other, bob, chloe)
    await parted(node, other)
    assert other.failure is None, other.failure


async def stands(node: Node, state: str) -> None:
    """The link at our end, awaited."""
    await until(lambda: node.values("SELECT state FROM link"), lambda states: states == [state], f"the link is {state}")


async def linked(node: Node, other: OtherSide) -> None:
    """They offer, we accept; the words are the same; both confirm."""
    await aside(other.offer, node.base)
    await stands(node, "received")
    await node.cli("link", "accept", other.host)
    link = other.links[node.base]
    await aside(other.until, lambda: link.their_nonce, "our Accept")
    _, words, _ = await node.cli("link", "words", other.host, "--json")
    assert json.loads(words)["words"] == other.words(node.base)
    await node.cli("link", "confirm", other.host)
    await aside(other.confirm, node.base)
    await aside(other.until, lambda: link.active, "our Confirm")
    await stands(node, "active")


async def in_a_space_of_ours(node: Node, other: OtherSide, alice: Person, chloe: str) -> None:
    """Their Chloé is invited, reads and writes; then our space takes back what it sent, and believes the receipt."""
    added = ("spaces", "add", "projet", "--name", "Projet", "--level", "partners", "--owner", "alice")
    await node.cli(*added, "--partner", other.host)
    await node.cli("spaces", "members", "projet", "--add", f"chloe@{other.host}")
    invite = await aside(other.until, lambda: other.said("Invite"), "the invitation")
    assert invite["target"] == chloe
    space: Space = await aside(other.join, chloe, invite["object"])

    first = await alice.post("Bonjour Chloé", parvis_space="projet")
    await aside(other.until, lambda: first["uri"] in space.posts, "Alice's post, with her proof")
    answer = other.note(chloe, space, "<p>Bonjour Alice</p>", inReplyTo=first["uri"])
    assert await aside(other.write, "Create", chloe, space, answer) == ""
    seen = await alice.sees("Bonjour Alice")
    assert seen["account"]["acct"] == f"chloe@{other.host}" and seen["in_reply_to_id"] == first["id"]
    better = {**answer, "content": "<p>Bonjour à toi</p>", "updated": moment(seconds=1)}
    assert await aside(other.write, "Update", chloe, space, better) == ""
    assert await aside(other.write, "Like", chloe, space, first["uri"]) == ""
    assert await aside(other.send, node.base, None) == "", "a number that says nothing"
    assert await aside(other.write, "Like", chloe, space, f"{first['uri']}0") == "not-found"
    await alice.sees("Bonjour à toi")
    assert (await alice.get(f"/api/v1/statuses/{first['id']}"))["favourites_count"] == 1

    await node.cli("link", "suspend", other.host)
    second = await alice.post("Pendant ce temps", parvis_space="projet")
    await node.cli("link", "resume", other.host)
    await aside(other.until, lambda: second["uri"] in space.posts, "what was written while the link was suspended")

    await node.cli("spaces", "members", "projet", "--remove", f"chloe@{other.host}")
    await aside(other.until, lambda: not space.posts and not space.members, "the recall")
    query = "SELECT state FROM recall_target"
    await until(lambda: node.values(query), lambda states: states == ["confirmed"], "their receipt is believed")
    _, listed, _ = await node.cli("recall", "list", "--json")
    _, status, _ = await node.cli("recall", "status", str(json.loads(listed)[0]["id"]))
    assert "confirmed" in status


async def in_a_space_of_theirs(node: Node, other: OtherSide, bob: Person, chloe: str) -> None:
    """Our Bob is invited, reads and writes; then their space takes back what it sent, and believes our receipt."""
    space = other.found("labo", chloe)
    actor = f"{node.base}/@bob"
    assert await aside(other.invite, space, actor) == ""
    await aside(other.until, lambda: actor in space.knows, "Bob asks to come in, and is")
    post = other.note(chloe, space, "<p>Bienvenue au labo</p>")
    assert await aside(other.relay, space, other.about("Create", chloe, space, post)) == ""
    seen = await bob.sees("Bienvenue au labo")
    mine = await bob.post("Merci Chloé", in_reply_to_id=seen["id"])
    await aside(other.until, lambda: mine["uri"] in space.posts, "Bob's answer, with his proof")
    assert space.posts[mine["uri"]]["inReplyTo"] == post["id"]

    recall = await aside(other.recall, space, node.base)
    receipt = await aside(other.until, lambda: other.receipts.get(recall), "our receipt")
    assert receipt["parvis:purged"]["items"] == 1
    assert receipt["parvis:retained"] == [{"reason": "own-authored", "items": 1}]
    assert await bob.home() == []


async def parted(node: Node, other: OtherSide) -> None:
    """Both renew their key; the others' stream goes on with the new one. Then they end the link."""
    await aside(other.renew_key)
    assert await aside(other.send, node.base, None) == ""
    await node.cli("link", "rotate")
    await aside(other.until, lambda: other.links[node.base].older, "our new key")
    await aside(other.end, node.base)
    await stands(node, "ended")
