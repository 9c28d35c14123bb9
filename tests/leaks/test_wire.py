"""Between real instances: who is at the partner but not in the space, at both ends of the wire, and in the logs."""

import asyncio
from pathlib import Path

import httpx
import pytest

from server.settings import Settings
from tests.cast import HERE
from tests.federation.conftest import MakeNode
from tests.federation.harness import Node, Person, link, until, worded
from tests.leaks.outputs import asked, doors
from tests.leaks.scene import Space
from tests.leaks.test_leaks import words_of
from web.app import create_app

pytestmark = pytest.mark.anyio
FIELDS = ("name", "description", "body", "edited", "option", "file", "bytes", "alt")
SEEN = ("name", "edited", "option", "file", "bytes", "alt")
"""What a member at the partner finds of them: its copy has the words after the edit, and no description."""


def canary(field: str) -> str:
    return f"zqwirex{field}qz"


async def written(aubrac: Node, alice: Person, chloe: Person) -> str:
    """A space with a member at the partner and a canary in each place; the address of what was written."""
    await aubrac.cli(
        "spaces", "add", "offre", "--name", canary("name"), "--description", canary("description"),
        "--level", "partners", "--owner", "alice", "--partner", chloe.node.host,
    )  # fmt: skip
    await aubrac.cli("spaces", "members", "offre", "--add", chloe.handle)
    await until(lambda: chloe.get("/api/v1/lists"), bool, "Chloé is in the space")
    picture = worded(canary("bytes"))
    sent = await alice.call(
        "POST", "/api/v2/media", files={"file": (f"{canary('file')}.png", picture)},
        data={"description": canary("alt")},
    )  # fmt: skip
    asked = {"options": [canary("option"), "autre"]}
    post = await alice.post(canary("body"), parvis_space="offre", media_ids=[sent.json()["id"]], poll=asked)
    await chloe.sees(canary("body"))
    await alice.call("PUT", f"/api/v1/statuses/{post['id']}", json={"status": canary("edited")})
    return str(post["id"])


async def copy_of(chloe: Person, aubrac: Node) -> Space:
    """What the partner holds, by the ids of its own."""
    post = await chloe.sees(canary("edited"))
    file = str(post["media_attachments"][0]["id"])
    await until(lambda: chloe.call("GET", f"/small/{file}"), lambda small: small.status_code == 200, "it is mirrored")
    lists = await chloe.get("/api/v1/lists")
    ids = {
        "post": [str(post["id"])],
        "account": [str(post["account"]["id"])],
        "space": [str(lists[0]["id"])],
        "file": [file],
        "file name": [f"{canary('file')}.png"],
        "event": ["7"],
        "notice": ["7"],
        "slug": [f"offre@{aubrac.host}"],
    }
    return Space("wire", 0, f"offre@{aubrac.host}", ids)


async def told_to(ask: Person | httpx.AsyncClient, space: Space, tmp_path: Path) -> set[str]:
    """Everything that an instance tells somebody, at every address of its doors for pages and for tokens."""
    app, found = create_app(Settings(base_url=HERE.base, data_dir=tmp_path)), set[str]()
    paths = [path for door in ("pages", "tokens") for path in doors(app)[door]]
    every = [address for path in paths for address, _ in asked(path, [space])]
    for some in (every[first : first + AT_ONCE] for first in range(0, len(every), AT_ONCE)):
        for address, answer in zip(some, await asyncio.gather(*(_answer(ask, one) for one in some)), strict=True):
            assert answer.status_code < 500, (address, answer.text[:300])
            found |= words_of(answer.text) - words_of(address)
    return found


AT_ONCE = 12
"""Requests, for a refusal leaves some time after it was asked for (`web.even_refusals`)."""


async def _answer(ask: Person | httpx.AsyncClient, address: str) -> httpx.Response:
    return await (ask.call("GET", address) if isinstance(ask, Person) else ask.get(address))


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
async def test_nobody_at_the_partner_but_its_member_is_told_and_no_log_keeps_a_word(
    fleet: MakeNode, tmp_path: Path
) -> None:
    aubrac, kestrel, inconnu = [await fleet(name) for name in ("Aubrac Énergie", "Kestrel GmbH", "Inconnu")]
    alice, chloe, driss = await aubrac.person("alice"), await kestrel.person("chloe"), await kestrel.person("driss")
    nora, eve = await kestrel.person("nora", role="admin"), await inconnu.person("eve")
    await link(aubrac, kestrel)
    post_id = await written(aubrac, alice, chloe)
    copy = await copy_of(chloe, aubrac)
    await asyncio.sleep(0)
    seen = await told_to(chloe, copy, tmp_path)
    assert {canary(field) for field in SEEN} <= seen
    assert canary("body") not in seen, "what an edit replaced is shown to nobody"
    for person in (driss, nora):
        assert await told_to(person, copy, tmp_path) == set(), person.name
    assert await told_to(kestrel.client, copy, tmp_path) == set()
    for address in (f"{aubrac.base}/posts/{post_id}", f"{aubrac.base}/spaces/offre"):
        for stranger in (driss, eve):  # one through a link, one with a signature that holds and no link
            found = await stranger.get(f"/api/v2/search?q={address}&resolve=true")
            assert not words_of(str(found)), (stranger.handle, address)
    for node in (aubrac, kestrel, inconnu):
        log = (node.folder / "log").read_text(errors="replace")
        kept = "\n".join(line for line in log.splitlines() if "/media/" not in line)  # the asker's own words
        assert words_of(kept) == set(), node.name
