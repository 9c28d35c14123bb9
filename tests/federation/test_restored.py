"""A backup is put back, at the host or at a partner: both sides agree again on all that either of them still holds."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.federation.conftest import MakeNode
from tests.federation.harness import Node, Person, link, until

pytestmark = pytest.mark.anyio

SLUG = "chantier"


async def set_up(fleet: MakeNode) -> tuple[Node, Node, Person, Person]:
    """A space of Aubrac's in which Alice and, from Kestrel, Chloé have written once and thanked each other."""
    aubrac, kestrel = await asyncio.gather(fleet("Aubrac Énergie", resident=True), fleet("Kestrel GmbH", resident=True))
    alice, chloe = await aubrac.person("alice"), await kestrel.person("chloe")
    await link(aubrac, kestrel)
    level = ("--level", "partners", "--owner", "alice", "--partner", kestrel.host)
    await aubrac.cli("spaces", "add", SLUG, "--name", "Chantier", *level)
    await aubrac.cli("spaces", "members", SLUG, "--add", chloe.handle)
    alice.space, chloe.space = SLUG, f"{SLUG}@{aubrac.host}"

    async def inside() -> str:
        return (await aubrac.cli("spaces", "members", SLUG, "--json"))[1]

    await until(inside, lambda listed: f'"{chloe.handle}"' in listed and '"invited"' not in listed, "Chloé is in")
    await alice.post("premier d’Alice", parvis_space=alice.space)
    await chloe.sees("premier d’Alice")
    await chloe.post("premier de Chloé", parvis_space=chloe.space)
    await alice.sees("premier de Chloé")
    return aubrac, kestrel, alice, chloe


async def shown(person: Person) -> dict[str, tuple[str, int]]:
    """What somebody sees: the first word after the author → the whole text and how many thank for it."""
    return {
        post["content"].split(" v")[0]: (post["content"], post["favourites_count"])
        for post in await person.get("/api/v1/timelines/home?limit=40")
    }


async def act(person: Person, text: str, verb: str = "favourite", **body: Any) -> None:
    post = await person.sees(text)
    path = f"/api/v1/statuses/{post['id']}"
    method, path = ("POST", f"{path}/{verb}") if verb in ("favourite", "unfavourite") else (verb, path)
    answer = await person.call(method, path, **({"json": body} if body else {}))
    assert answer.status_code == 200, answer.text


async def put_back(node: Node, file: Path) -> None:
    await node.kill()
    await node.cli("db", "restore", str(file), "--replace")
    await node.start()


@pytest.mark.soak
@pytest.mark.parametrize("side", ["host", "partner"])
async def test_after_a_backup_was_put_back_both_sides_agree_again(fleet: MakeNode, tmp_path: Path, side: str) -> None:
    """D5: posts, edits, what was taken back and gestures of both sides, which only the other side has kept."""
    aubrac, kestrel, alice, chloe = await set_up(fleet)
    node = aubrac if side == "host" else kestrel
    for person in (alice, chloe):
        await person.post(f"édité de {person.name} v0", parvis_space=person.space)
        await person.post(f"retiré de {person.name} v0", parvis_space=person.space)
    for reader, writer in ((alice, chloe), (chloe, alice)):
        await act(reader, f"retiré de {writer.name}")
        await act(reader, f"édité de {writer.name}")
    await until(lambda: both(alice, chloe), lambda seen: agree(seen) and len(seen[0]) == 6, "both see all")
    file = tmp_path / "avant"
    await node.cli("db", "backup", str(file))
    for person in (alice, chloe):
        await person.post(f"depuis de {person.name} v0", parvis_space=person.space)
        await act(person, f"édité de {person.name}", "PUT", status=f"édité de {person.name} v1")
        await act(person, f"retiré de {person.name}", "DELETE")
    for reader, writer in ((alice, chloe), (chloe, alice)):
        await act(reader, f"depuis de {writer.name}")
        await act(reader, "premier d")
        await act(reader, f"édité de {writer.name}", "unfavourite")
    before = await until(lambda: both(alice, chloe), lambda seen: agree(seen) and len(seen[0]) == 6, "both see all")
    await put_back(node, file)
    await alice.post("enfin d’Alice", parvis_space=alice.space)
    await chloe.post("enfin de Chloé", parvis_space=chloe.space)
    await until(
        lambda: both(alice, chloe),
        lambda seen: (
            all({k: v for k, v in one.items() if "enfin" not in k} == before[0] for one in seen)
            and len(seen[0]) == len(seen[1]) == 8
        ),
        f"all is there again: {before[0]}",
        90,
    )


async def both(one: Person, other: Person) -> tuple[dict[str, Any], dict[str, Any]]:
    return await shown(one), await shown(other)


def agree(seen: tuple[dict[str, Any], dict[str, Any]]) -> bool:
    return seen[0] == seen[1]
