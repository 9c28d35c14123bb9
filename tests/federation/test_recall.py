"""What a partner had is taken back: nothing of it is left there, and it signs so."""

import json
from pathlib import Path
from typing import Any

import pytest

from server import database as db
from tests.federation.conftest import MakeNode
from tests.federation.harness import Node, Person, link, until
from tests.federation.stranger import everything

pytestmark = pytest.mark.anyio

SLUG = "chantier"


async def shared_space(aubrac: Node, kestrel: Node, alice: Person, *members: Person, **words: str) -> None:
    """A space of Alice's with these people of a linked instance in it."""
    await aubrac.cli(
        "spaces", "add", SLUG, "--name", words.get("name", "Chantier"), "--level", "partners", "--owner", "alice",
        "--description", words.get("description", ""), "--partner", kestrel.host,
    )  # fmt: skip
    for member in members:
        await aubrac.cli("spaces", "members", SLUG, "--add", member.handle)
    await until(
        lambda: aubrac.cli("spaces", "members", SLUG, "--json"),
        lambda answer: answer[1].count(f"@{kestrel.host}") == len(members) and '"invited"' not in answer[1],
        f"they are members; {aubrac.log()} {kestrel.log()}",
    )


async def recall(node: Node) -> dict[str, Any]:
    """The newest recall of an instance, with its instances; {} when there is none."""
    _, out, _ = await node.cli("recall", "list", "--json")
    found = json.loads(out)
    if not found:
        return {}
    _, out, _ = await node.cli("recall", "status", str(found[0]["id"]), "--json", ok=False)
    return dict(json.loads(out))


async def answered(node: Node, *states: str) -> dict[str, Any]:
    """The newest recall, once each of its instances stands in one of these states."""
    return await until(
        lambda: recall(node),
        lambda found: bool(found) and all(one["state"] in states for one in found["instances"]),
        f"the recall stands at {states}; {node.log()}",
    )


def bytes_with(folder: Path, word: str) -> list[str]:
    """Files of an instance in which a word is found, byte for byte; its log is not of its data."""
    return [
        str(path.relative_to(folder))
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "log" and word.encode() in path.read_bytes()
    ]


BIRDS = ("nom", "description", "texte", "version", "suite", "fichier", "octets", "alt", "affichage")


def bird(kind: str) -> str:
    """A word of its own for one place in which a space says something."""
    return f"canari{kind}"


async def say_all(alice: Person, chloe: Person) -> None:
    """A canary in each place: a post that was edited and has a file, an answer, gestures, names, notices."""
    sent = await alice.call(
        "POST", "/api/v2/media", files={"file": (f"{bird('fichier')}.txt", bird("octets").encode())},
        data={"description": bird("alt")},
    )  # fmt: skip
    post = await alice.post(f"{bird('version')} @{chloe.handle}", parvis_space=SLUG, media_ids=[sent.json()["id"]])
    await chloe.sees(bird("version"))
    await alice.call("PUT", f"/api/v1/statuses/{post['id']}", json={"status": f"{bird('texte')} @{chloe.handle}"})
    seen = await chloe.sees(bird("texte"))
    await alice.post(bird("suite"), in_reply_to_id=post["id"])
    await chloe.sees(bird("suite"))
    await chloe.call("POST", f"/api/v1/statuses/{seen['id']}/favourite")
    await until(
        lambda: chloe.get(f"/api/v1/statuses/{seen['id']}"),
        lambda shown: bool(shown["media_attachments"] and shown["media_attachments"][0]["url"]),
        "the file is mirrored",
    )


async def left_of(node: Node, *words: str) -> dict[str, list[str]]:
    """Where these words are still found at an instance: in rows of its tables, in bytes of its files."""
    await db.connect(node.database_url)
    try:
        rows = await everything()
    finally:
        await db.disconnect()
    found = {word: bytes_with(node.folder, word) for word in words}
    for word in words:
        found[word] += [table for table, lines in rows.items() if any(word in line for line in lines)]
    return {word: places for word, places in found.items() if places}


async def test_I4_after_the_receipt_nothing_of_the_space_is_left_at_the_partner(fleet: MakeNode) -> None:
    aubrac, kestrel, merle = await fleet("Aubrac Énergie"), await fleet("Kestrel GmbH"), await fleet("Merle SA")
    alice = await aubrac.person("alice", bird("affichage"))
    chloe, driss = await kestrel.person("chloe"), await merle.person("driss")
    await link(aubrac, kestrel)
    await link(aubrac, merle)
    await shared_space(aubrac, kestrel, alice, chloe, name=bird("nom"), description=bird("description"))
    await say_all(alice, chloe)
    before = await left_of(kestrel, *map(bird, BIRDS))
    assert set(before) == {bird(kind) for kind in BIRDS}, "all of it was there: what follows proves something"

    await aubrac.cli("spaces", "members", SLUG, "--remove", chloe.handle)
    found = await answered(aubrac, "confirmed")
    assert await left_of(kestrel, *map(bird, BIRDS)) == {}
    assert [one["host"] for one in found["instances"]] == [kestrel.host], "Merle never had anything"
    assert (found["items"], found["instances"][0]["purged"], found["instances"][0]["retained"]) == (2, 2, 0)
    receipt = found["instances"][0]["receipt"]
    assert receipt["parvis:purged"]["media"] == 1 and receipt["parvis:purged"]["index"] == 2
    assert await left_of(merle, *map(bird, BIRDS)) == {}
    assert driss
    code, _, _ = await aubrac.cli("recall", "status", str(found["id"]))
    assert code == 0
