"""Levels 1 and 2 never leave the instance: not a byte of them on the wire, whatever people do and others ask."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.federation.conftest import MakeNode
from tests.federation.harness import Node, Person, free_port, link, until
from tests.federation.tap import Tap

pytestmark = pytest.mark.anyio

LEVELS = ("closed", "internal")


@asynccontextmanager
async def tapped(fleet: MakeNode, name: str) -> AsyncIterator[tuple[Node, Tap]]:
    """An instance behind a tap: everything that is said to it and by it as a server passes there."""
    tap = Tap(free_port(), free_port())
    node = await fleet(name, port=tap.port, behind=tap.behind)
    try:
        yield node, tap
    finally:
        await node.stop()
        tap.stop()


def canaries(level: str) -> dict[str, str]:
    """A word of its own for everything that a space holds."""
    kinds = ("slug", "name", "description", "post", "edit", "answer", "file", "bytes", "alt", "emoji")
    return {kind: f"canari{level}{kind}" for kind in kinds}


async def fill(node: Node, alice: Person, level: str, outsider: str) -> list[str]:
    """A space with a canary in each place, and somebody elsewhere named in it; the addresses of what is in it."""
    bird = canaries(level)
    await node.cli(
        "spaces", "add", bird["slug"], "--name", bird["name"], "--level", level, "--owner", "alice",
        "--description", bird["description"],
    )  # fmt: skip
    sent = await alice.call(
        "POST", "/api/v2/media", files={"file": (f"{bird['file']}.txt", bird["bytes"].encode())},
        data={"description": bird["alt"]},
    )  # fmt: skip
    media = sent.json()["id"]
    post = await alice.post(f"{bird['post']} @{outsider}", parvis_space=bird["slug"], media_ids=[media])
    answer = await alice.post(bird["answer"], in_reply_to_id=post["id"])
    await alice.call("PUT", f"/api/v1/statuses/{post['id']}", json={"status": f"{bird['edit']} @{outsider}"})
    await alice.call("POST", f"/api/v1/statuses/{answer['id']}/favourite")
    await alice.call("DELETE", f"/api/v1/statuses/{answer['id']}")
    return [
        f"{node.base}/spaces/{bird['slug']}",
        f"{node.base}/posts/{post['id']}",
        f"{node.base}/posts/{answer['id']}",
    ]


@pytest.mark.parametrize("engine", ["sqlite", pytest.param("postgres", marks=pytest.mark.soak)])
async def test_no_byte_of_a_closed_or_internal_space_passes_the_wire(fleet: MakeNode) -> None:
    async with tapped(fleet, "Aubrac Énergie") as (aubrac, ours), tapped(fleet, "Kestrel GmbH") as (kestrel, theirs):
        alice, chloe = await aubrac.person("alice"), await kestrel.person("chloe")
        await link(aubrac, kestrel)
        await chloe.call("GET", f"/api/v2/search?q={alice.handle}&resolve=true")
        followed = (await chloe.get(f"/api/v1/accounts/lookup?acct={alice.handle}"))["id"]
        await chloe.call("POST", f"/api/v1/accounts/{followed}/follow")
        await aubrac.cli(
            "spaces", "add", "ouvert", "--name", "Ouvert", "--level", "partners", "--owner", "alice",
            "--partner", kestrel.host,
        )  # fmt: skip
        await aubrac.cli("spaces", "members", "ouvert", "--add", chloe.handle)
        ours.heard.clear()
        ours.said.clear()
        theirs.heard.clear()
        theirs.said.clear()

        direct = aubrac_direct(aubrac, ours)
        addresses = [at for level in LEVELS for at in await fill(direct, alice_at(direct, alice), level, chloe.handle)]
        for level in LEVELS:
            await direct.cli("spaces", "members", canaries(level)["slug"], "--add", chloe.handle, ok=False)
        for address in addresses:
            found = await chloe.get(f"/api/v2/search?q={address}&resolve=true")
            assert found == {"accounts": [], "statuses": [], "hashtags": []}
        for level in LEVELS:
            await chloe.call("GET", f"/api/v2/search?q={canaries(level)['slug']}@{aubrac.host}&resolve=true")
            await kestrel.cli("spaces", "join", f"{canaries(level)['slug']}@{aubrac.host}", "--as", "chloe", ok=False)

        # what may leave does, after all of this: so the tap hears, and nothing of it is still on its way
        await alice_at(direct, alice).post("le dernier mot", parvis_space="ouvert")
        await chloe.sees("le dernier mot")
        assert b"le dernier mot" in theirs.heard
        for kept in (ours.said, theirs.heard):
            for level in LEVELS:
                wrong = [word for kind, word in canaries(level).items() if word.encode() in kept and kind != "slug"]
                assert wrong == [], f"{level}: {wrong}"
        # that Chloé asked for them by name is hers to say; that they are there is never answered
        assert not any(canaries(level)["slug"].encode() in ours.said for level in LEVELS)
        await direct.client.aclose()


def aubrac_direct(node: Node, tap: Tap) -> Node:
    """The same instance, spoken to by its own people past the tap: what they read is theirs to read."""
    return Node(node.name, node.folder, tap.behind, node.database_url, process=node.process)


def alice_at(node: Node, alice: Person) -> Person:
    return Person(node, alice.name, alice.token)


async def test_the_tap_itself_hears_what_leaves(fleet: MakeNode) -> None:
    async with tapped(fleet, "Aubrac Énergie") as (aubrac, tap):
        await until(
            lambda: aubrac.client.get("/.well-known/nodeinfo"), lambda answer: answer.status_code == 200, "it answers"
        )
        assert b"nodeinfo" in tap.heard
        assert b"200 OK" in tap.said
