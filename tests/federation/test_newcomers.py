"""Who comes in later: what was before is theirs where the space says so, and else it is not, however it arrives."""

import json
from typing import Any

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

    await consents(kestrel, aubrac, "deny")
    planned = await opens_all(alice, "?dry_run=1")
    assert [(one["host"], one["opened"]["items"], one["left_out"]["items"]) for one in planned["authors"]] == [
        ("", 1, 0),
        (kestrel.host, 0, 1),
    ]
    assert (await opens_all(alice))["effects"]["left_out"]["items"] == 1
    eva = await kestrel.person("eva", "Eva Weiss")
    await comes_in(eva, aubrac, PROJECT, invited=True)
    await alice.post("projet depuis Eva", parvis_space=PROJECT)
    await eva.sees("projet depuis Eva")
    assert all("depuis Dan" not in post["content"] for post in await eva.home())
    assert await told_of_openings(chloe) == 0, "their words were not opened"

    await consents(kestrel, aubrac, "allow")
    await opens_all(alice)
    for person in (chloe, dan, eva):
        for text in ("projet avant tous", "projet avant Dan", "projet depuis Dan"):
            await person.sees(text)
    await until(lambda: told_of_openings(chloe), lambda times: times == 1, "Chloé hears who reads her words now")


async def consents(node: Node, host: Node, word: str) -> None:
    """An instance says whether the words of its people may be opened, and the other one has heard it."""
    await node.cli("link", "past", word)
    await until(
        lambda: host.cli("link", "show", node.host, "--json"),
        lambda answer: json.loads(answer[1])["history_consent"] == word,
        f"{host.host} heard: {word}",
    )


async def opens_all(owner: Person, query: str = "") -> dict[str, Any]:
    policy = f"/api/parvis/v1/spaces/{PROJECT}/policy"
    version = (await owner.call("GET", policy)).headers["etag"]
    wanted = {"history": "all", "include_history": True, "reason": "Tout est pour eux."}
    answer = await owner.call("PUT", policy + query, json=wanted, headers={"if-match": version})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def told_of_openings(who: Person) -> int:
    return len(await who.get("/api/v1/notifications?types[]=parvis_openness"))
