"""Three real instances, two of which do not know each other: passports, a copied file, a renewed key, a swapped one."""

import json
import sqlite3

import pytest

from tests.federation.conftest import MakeNode
from tests.federation.harness import Node, link, until

pytestmark = [pytest.mark.anyio, pytest.mark.soak]
SLUG = "offre"


def rows(node: Node, query: str) -> list[tuple[object, ...]]:
    with sqlite3.connect(f"file:{node.folder / 'parvis.db'}?mode=ro", uri=True) as db:
        return list(db.execute(query))


async def let_in(host: Node, guest: Node, name: str, handle: str) -> None:
    await host.cli("spaces", "members", SLUG, "--add", handle)
    await guest.cli("spaces", "join", f"{SLUG}@{host.host}", "--as", name)
    await until(
        lambda: host.cli("spaces", "members", SLUG, "--json"),
        lambda answer: f'"{handle}"' in answer[1] and '"invited"' not in answer[1],
        f"{handle} is a member; {host.log()} {guest.log()}",
    )


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
async def test_two_partners_that_are_not_linked_work_together_at_a_third(fleet: MakeNode) -> None:
    host, kestrel, merle = await fleet("Aubrac"), await fleet("Kestrel"), await fleet("Merle")
    alice = await host.person("alice", "Alice Fournier")
    chloe, mia = await kestrel.person("chloe", "Chloé Lindner"), await merle.person("mia", "Mia Roux")
    await link(host, kestrel)
    await link(host, merle)
    await host.cli(
        "spaces", "add", SLUG, "--name", "Offre Lyon", "--level", "partners", "--owner", "alice",
        "--partner", kestrel.host, "--partner", merle.host,
    )  # fmt: skip
    await let_in(host, kestrel, "chloe", chloe.handle)
    await let_in(host, merle, "mia", mia.handle)

    plan = ("plan.txt", b"le plan du parvis", "text/plain")
    file = (await mia.call("POST", "/api/v2/media", files={"file": plan})).json()
    await mia.post("Bonjour de Merle.", parvis_space=f"{SLUG}@{host.host}", media_ids=[file["id"]])
    seen = await chloe.sees("Bonjour de Merle", 10.0)
    await until(
        lambda: chloe.get(f"/api/v1/statuses/{seen['id']}"),
        lambda post: bool(post["media_attachments"]) and bool(post["media_attachments"][0]["url"]),
        "the file came",
    )
    assert rows(kestrel, "SELECT COUNT(*) FROM passport") == [(1,)]
    assert rows(kestrel, "SELECT fetched_at, keys FROM actor WHERE name = 'mia'") == [(None, "[]")]
    attested = rows(kestrel, "SELECT q.host FROM post p JOIN peer q ON q.id = p.attested_by_id")
    assert attested == [(host.host,)]
    assert merle.host not in str(rows(kestrel, "SELECT source_uri FROM attachment")), "from the host alone"

    reply = await chloe.post("Bien reçu à Kestrel.", in_reply_to_id=seen["id"])
    answered = await mia.sees("Bien reçu à Kestrel", 10.0)
    assert answered["in_reply_to_id"] and reply

    await host.cli("link", "rotate")
    for node in (kestrel, merle):
        await until(
            lambda node=node: node.cli("link", "show", host.host, "--json"),  # type: ignore[misc]
            lambda answer: json.loads(answer[1])["old_key_until"] is not None,
            f"{node.name} has the new key; {node.log()}",
        )
    await alice.post("Toujours là.", parvis_space=SLUG)
    for person in (chloe, mia):
        await person.sees("Toujours là", 10.0)
    shown = json.loads((await kestrel.cli("link", "show", host.host, "--json"))[1])
    assert (shown["state"], shown["refused"]) == ("active", []), shown
    assert shown["skew_ms"] is None or abs(shown["skew_ms"]) < 5000
