"""Two partners who do not see each other, on real instances: what one of them hears is the same without the other."""

import json

import pytest

from tests.federation.conftest import MakeNode
from tests.federation.harness import Node, Person, link, until

pytestmark = pytest.mark.anyio

SLUG = "revendeurs"


async def join(aubrac: Node, node: Node, person: Person) -> None:
    await aubrac.cli("spaces", "members", SLUG, "--add", person.handle)
    await node.cli("spaces", "join", f"{SLUG}@{aubrac.host}", "--as", person.name)
    await until(
        lambda: aubrac.cli("spaces", "members", SLUG, "--json"),
        lambda answer: any(
            one["who"] == person.handle and one["state"] == "member" for one in json.loads(answer[1] or "[]")
        ),
        f"{person.handle} is a member; {aubrac.log()}",
    )


async def view_of(person: Person, aubrac: Node) -> dict[str, object]:
    """What somebody's own instance shows them of the space, as bytes."""
    slug = f"{SLUG}@{aubrac.host}"
    seen: dict[str, object] = {}
    for path in ("/api/v1/timelines/home?limit=40", "/api/v1/notifications", f"/api/parvis/v1/spaces/{slug}/members"):
        seen[path] = (await person.call("GET", path)).content
    for post in await person.home():
        for path in (f"/api/v1/statuses/{post['id']}", f"/api/v1/statuses/{post['id']}/context"):
            seen[path] = (await person.call("GET", path)).content
    return seen


@pytest.mark.soak
async def test_a_blind_partner_hears_the_same_whatever_the_other_does(fleet: MakeNode) -> None:
    aubrac, kestrel, corvus = await fleet("Aubrac"), await fleet("Kestrel"), await fleet("Corvus")
    alice = await aubrac.person("alice", "Alice Fournier")
    chloe, iris = await kestrel.person("chloe", "Chloé Lindner"), await corvus.person("iris", "Iris Corbeau")
    await link(aubrac, kestrel)
    await link(aubrac, corvus)
    partners = [word for node in (kestrel, corvus) for word in ("--partner", node.host)]
    add = ["spaces", "add", SLUG, "--name", "Revendeurs", "--level", "partners", "--owner", "alice", *partners]
    await aubrac.cli(*add)
    policy = f"/api/parvis/v1/spaces/{SLUG}/policy"
    now = await alice.call("GET", policy)
    blind = {"partner_view": "blind", "identity_outside": "function"}
    answer = await alice.call("PUT", policy, json=blind, headers={"if-match": now.headers["etag"]})
    assert answer.status_code < 300, answer.text
    await join(aubrac, kestrel, chloe)
    await join(aubrac, corvus, iris)

    root = await alice.post("Les prix de printemps", parvis_space=SLUG)
    seen = await chloe.sees("prix de printemps")
    await chloe.post("Bien reçu", in_reply_to_id=seen["id"])
    mine = await alice.sees("Bien reçu")
    await alice.post("Merci", in_reply_to_id=mine["id"])
    answered = await chloe.sees("Merci")
    for post in (seen, answered):
        assert "alice" not in json.dumps(post).lower(), "the space speaks for its people"
        assert post["account"]["group"]
    before = await view_of(chloe, aubrac)

    theirs = await iris.sees("prix de printemps")
    await iris.post("canari de Corvus", in_reply_to_id=theirs["id"])
    await iris.call("POST", f"/api/v1/statuses/{theirs['id']}/favourite")
    hers = await alice.sees("canari de Corvus")
    await alice.post("canari pour Iris", in_reply_to_id=hers["id"])
    await iris.sees("canari pour Iris")
    await until(
        lambda: alice.get(f"/api/v1/statuses/{root['id']}"),
        lambda post: post["favourites_count"] == 1,
        "Alice sees the thanks of Corvus",
    )
    # what Aubrac says to Kestrel next comes after all that it might have said of Corvus
    await alice.post("Dernier mot pour tous", parvis_space=SLUG)
    await chloe.sees("Dernier mot")
    after = await view_of(chloe, aubrac)
    for path, bytes_before in before.items():
        if "timelines/home" not in path:
            assert after[path] == bytes_before, path
    told = json.dumps([post["content"] for post in await chloe.home()])
    assert "canari" not in told
    assert "Corbeau" not in told
