"""Who comes in later: what was before is theirs where the space says so, and else it is not, however it arrives."""

import json

import pytest

from tests.federation.conftest import MakeNode
from tests.federation.harness import Node, Person, link, until

pytestmark = pytest.mark.anyio

PROJECT, NETWORK = "projet", "reseau"


async def comes_in(person: Person, home: Node, slug: str, *, invited: bool) -> None:
    if invited:
        await home.cli("spaces", "members", slug, "--add", person.handle)
    await person.node.cli("spaces", "join", f"{slug}@{home.host}", "--as", person.name)
    await until(
        lambda: home.cli("spaces", "members", slug, "--json"),
        lambda answer: (person.handle, "member") in {(row["who"], row["state"]) for row in json.loads(answer[1])},
        f"{person.name} is in {slug}; {home.log()} {person.node.log()}",
    )


async def test_I3_I5_newcomers_read_the_past_where_it_is_theirs_and_nowhere_else(fleet: MakeNode) -> None:
    aubrac, kestrel = await fleet("Aubrac Énergie", resident=True), await fleet("Kestrel GmbH", resident=True)
    alice = await aubrac.person("alice", "Alice Fournier")
    chloe, dan = await kestrel.person("chloe", "Chloé Lindner"), await kestrel.person("dan", "Dan Weber")
    await link(aubrac, kestrel)
    for slug, level in ((PROJECT, "partners"), (NETWORK, "network")):
        await aubrac.cli(
            "spaces", "add", slug, "--name", slug.title(), "--level", level, "--owner", "alice",
            "--partner", kestrel.host,
        )  # fmt: skip

    await alice.post("réseau avant tous", parvis_space=NETWORK)
    await alice.post("projet avant tous", parvis_space=PROJECT)
    await comes_in(chloe, aubrac, NETWORK, invited=False)
    await chloe.sees("réseau avant tous")
    await comes_in(chloe, aubrac, PROJECT, invited=True)
    await alice.post("projet avant Dan", parvis_space=PROJECT)
    asked = await chloe.sees("projet avant Dan")

    await comes_in(dan, aubrac, NETWORK, invited=False)
    await dan.sees("réseau avant tous")
    await comes_in(dan, aubrac, PROJECT, invited=True)
    await chloe.post("projet depuis Dan", in_reply_to_id=asked["id"])
    await dan.sees("projet depuis Dan")
    assert all("avant" not in post["content"] or "réseau" in post["content"] for post in await dan.home())
    assert (await dan.call("GET", f"/api/v1/statuses/{asked['id']}")).status_code == 404
    assert all("projet avant tous" not in post["content"] for post in await chloe.home())

    policy = f"/api/parvis/v1/spaces/{PROJECT}/policy"
    version = (await alice.call("GET", policy)).headers["etag"]
    wanted = {"history": "all", "include_history": True, "reason": "Tout est pour eux."}
    opened = await alice.call("PUT", policy, json=wanted, headers={"if-match": version})
    assert opened.status_code == 200, opened.text
    for person in (chloe, dan):
        for text in ("projet avant tous", "projet avant Dan", "projet depuis Dan"):
            await person.sees(text)
