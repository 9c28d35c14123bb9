"""D11: a hundred people of two instances write into one space at once, and both ends end with the same log."""

import asyncio
import os
import random
import time

import pytest

from tests.federation.conftest import MakeNode
from tests.federation.harness import Node, Person, link, until

pytestmark = [pytest.mark.anyio, pytest.mark.soak]
SLUG = "chantier"
A_SIDE, PACE_S = 50, 6.0
SECONDS = int(os.environ.get("PLAY_SECONDS", "90"))
LOG = (
    "SELECT p.uri || ' ' || p.html || ' ' || CASE WHEN p.deleted_at IS NULL THEN 'here' ELSE 'gone' END || ' '"
    " || (SELECT COUNT(*) FROM reaction r WHERE r.post_id = p.id) FROM post p"
    " WHERE p.space_id IS NOT NULL ORDER BY p.uri"
)
IN_ORDER = "SELECT p.uri FROM post p JOIN actor a ON a.id = p.author_id WHERE a.uri = '{uri}' ORDER BY p.id"


async def hired(node: Node, count: int) -> list[Person]:
    table = node.folder / "people.csv"
    table.write_text("name\n" + "".join(f"p{number}\n" for number in range(count)))
    await node.cli("people", "import", str(table))
    people = []
    for number in range(count):
        _, token, _ = await node.cli("token", f"p{number}", "--scopes", "read write follow")
        people.append(Person(node, f"p{number}", token.strip()))
    return people


async def writes(person: Person, until_s: float, chance: random.Random) -> None:
    """Posts, edits, thanks and takes back, every few seconds."""
    mine: list[str] = []
    while time.monotonic() < until_s:
        text = f"{person.handle} {len(mine)}"
        what = chance.random()
        if not mine or what < 0.7:
            mine.append((await person.post(text, parvis_space=person.space))["id"])
        elif what < 0.85:
            await person.call("PUT", f"/api/v1/statuses/{chance.choice(mine)}", json={"status": f"{text} mieux dit"})
        elif what < 0.95:
            await person.call("POST", f"/api/v1/statuses/{chance.choice(mine)}/favourite")
        else:
            await person.call("DELETE", f"/api/v1/statuses/{mine.pop()}")
        await asyncio.sleep(chance.uniform(0.5, 1.5) * PACE_S)


@pytest.mark.parametrize("engine", ["sqlite", "postgres"], indirect=True)
async def test_D11_two_instances_that_write_at_once_end_with_the_same_log(fleet: MakeNode) -> None:
    aubrac, kestrel = await fleet("Aubrac"), await fleet("Kestrel")
    for node in (aubrac, kestrel):
        node.resident = True
    ours, theirs = await hired(aubrac, A_SIDE), await hired(kestrel, A_SIDE)
    await link(aubrac, kestrel)
    await aubrac.cli(
        "spaces", "add", SLUG, "--name", "Chantier", "--level", "partners", "--owner", "p0", "--reach", "everyone",
        "--partner", kestrel.host,
    )  # fmt: skip
    for person in ours[1:]:
        await aubrac.cli("spaces", "members", SLUG, "--add", person.name)
    for person in theirs:
        await kestrel.cli("spaces", "join", f"{SLUG}@{aubrac.host}", "--as", person.name)
    inside = "SELECT COUNT(*) FROM membership WHERE state = 'member'"
    await until(lambda: aubrac.values(inside), lambda found: found == [2 * A_SIDE], "all are in", 60.0)
    await until(lambda: kestrel.values(inside), lambda found: found == [A_SIDE], "all know that they are in", 60.0)
    for person in ours:
        person.space = SLUG
    for person in theirs:
        person.space = f"{SLUG}@{aubrac.host}"

    end = time.monotonic() + SECONDS
    await asyncio.gather(*(writes(person, end, random.Random(n)) for n, person in enumerate((*ours, *theirs))))
    began = time.monotonic()
    here = await until(
        lambda: asyncio.gather(aubrac.values(LOG), kestrel.values(LOG)),
        lambda logs: logs[0] == logs[1],
        f"both logs are one; {aubrac.log()} {kestrel.log()}",
        120.0,
    )
    print(
        f"{len(here[0])} posts of {2 * A_SIDE} people; the same log at both ends after {time.monotonic() - began:.1f} s"
    )
    assert len(here[0]) > SECONDS
    for person in (*ours, *theirs):
        query = IN_ORDER.format(uri=f"{person.node.base}/@{person.name}")
        assert await aubrac.values(query) == await kestrel.values(query), person.handle
