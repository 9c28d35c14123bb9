"""kill -9 at random moments, of either instance, while people work: nothing is missing, nothing is there twice."""

import asyncio
import random
from collections import Counter
from typing import Any

import httpx
import pytest

from tests.federation.conftest import MakeNode
from tests.federation.harness import Node, Person, link, until

pytestmark = pytest.mark.anyio

SLUG = "chantier"
BREATH_S = 0.04
"""Between two posts of one person: what a link carries, one after another, keeps up with it."""


async def keep(person: Person, key: str, text: str, **fields: Any) -> str:
    """Posts until it is acknowledged, with one key, as a patient client does; the post's id."""
    while True:
        try:
            answer = await person.call(
                "POST", "/api/v1/statuses", json={"status": text, **fields}, headers={"idempotency-key": key}
            )
        except httpx.TransportError:
            await asyncio.sleep(0.02)
            continue
        if answer.status_code == 200:
            return str(answer.json()["id"])
        assert answer.status_code in (429, 503), answer.text


async def first_word(person: Person, text: str) -> int:
    """How her instance answers: 404 until it has heard that she is in."""
    body = {"status": text, "parvis_space": person.space}
    return (await person.call("POST", "/api/v1/statuses", json=body, headers={"idempotency-key": text})).status_code


async def write_on(person: Person, prefix: str, written: list[str], done: asyncio.Event) -> None:
    """Writes one post after another until told to stop; `written` are those that were acknowledged."""
    while not done.is_set():
        text = f"{prefix}{len(written):05d}"
        await keep(person, text, text, parvis_space=person.space)
        written.append(text)
        await asyncio.sleep(BREATH_S)


async def everything(person: Person) -> list[dict[str, Any]]:
    """All posts of the home feed, page after page."""
    found: list[dict[str, Any]] = []
    path = "/api/v1/timelines/home?limit=40"
    while page := await person.get(path + (f"&max_id={found[-1]['id']}" if found else "")):
        found += page
    return found


async def set_up(fleet: MakeNode) -> tuple[Node, Node, Person, Person]:
    aubrac, kestrel = await fleet("Aubrac Énergie"), await fleet("Kestrel GmbH")
    alice, chloe = await aubrac.person("alice"), await kestrel.person("chloe")
    await link(aubrac, kestrel)
    await aubrac.cli(
        "spaces",
        "add",
        SLUG,
        "--name",
        "Chantier",
        "--level",
        "partners",
        "--owner",
        "alice",
        "--partner",
        kestrel.host,
    )
    await aubrac.cli("spaces", "members", SLUG, "--add", chloe.handle)
    await until(
        lambda: kestrel.cli("spaces", "list", "--json"), lambda answer: SLUG in answer[1], "Chloé's instance knows it"
    )
    await until(
        lambda: aubrac.cli("spaces", "members", SLUG, "--json"),
        lambda answer: '"invited"' not in answer[1],
        "Chloé is a member",
    )
    alice.space, chloe.space = SLUG, f"{SLUG}@{aubrac.host}"
    return aubrac, kestrel, alice, chloe


async def kills(nodes: list[Node], count: int, chance: random.Random) -> None:
    """Kills one of them at a random moment, and starts it again, `count` times."""
    for _ in range(count):
        await asyncio.sleep(chance.uniform(0.05, 1.2))
        node = chance.choice(nodes)
        await node.kill()
        await node.start()


async def work_under_kills(fleet: MakeNode, count: int, seed: int) -> dict[str, int]:
    aubrac, kestrel, alice, chloe = await set_up(fleet)
    done = asyncio.Event()
    by_alice: list[str] = []
    by_chloe = ["chloe00000"]
    await until(lambda: first_word(chloe, by_chloe[0]), lambda status: status == 200, "Chloé writes")
    writers = [
        asyncio.create_task(write_on(alice, "alice", by_alice, done)),
        asyncio.create_task(write_on(chloe, "chloe", by_chloe, done)),
    ]
    await kills([aubrac, kestrel], count, random.Random(seed))
    done.set()
    await asyncio.gather(*writers)
    wanted = Counter(by_alice + by_chloe)
    for person in (alice, chloe):
        await until(
            lambda person=person: amiss(person, wanted),  # type: ignore[misc]
            lambda found: found == ([], []),
            f"{person.name} has each of {len(by_alice)}+{len(by_chloe)} posts once (missing, too many)",
            deadline_s=240,
        )
    for node in (aubrac, kestrel):
        _, out, _ = await node.cli("deliveries", "list", "--json")
        assert '"dead"' not in out, out[:2000]
    return {"kills": count, "alice": len(by_alice), "chloe": len(by_chloe)}


async def amiss(person: Person, wanted: Counter[str]) -> tuple[list[str], list[str]]:
    """What is missing for somebody, and what is there too often."""
    found = await texts(person)
    return sorted((wanted - found).elements())[:20], sorted((found - wanted).elements())[:20]


async def texts(person: Person) -> Counter[str]:
    """What each post says, tags taken off, and how often."""
    found = await everything(person)
    return Counter(post["content"].replace("<p>", "").replace("</p>", "").strip() for post in found)


@pytest.mark.parametrize("engine", ["sqlite", pytest.param("postgres", marks=pytest.mark.soak)], indirect=True)
async def test_a_kill_at_any_moment_loses_nothing_and_doubles_nothing(fleet: MakeNode) -> None:
    seed = random.SystemRandom().randrange(1 << 30)
    print(f"seed {seed}")
    await work_under_kills(fleet, 4, seed)


@pytest.mark.soak
@pytest.mark.parametrize("piece", range(4))
async def test_D2_two_hundred_kills_lose_nothing_and_double_nothing(fleet: MakeNode, piece: int) -> None:
    """Four times fifty, each a few minutes."""
    print(await work_under_kills(fleet, 50, 20261121 + piece))
