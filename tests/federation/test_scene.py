"""The scene that everything stands on: two companies, a shared space, and those who must not see it."""

from functools import partial

import pytest

from tests.federation.conftest import MakeNode
from tests.federation.harness import Person, link, until

pytestmark = pytest.mark.anyio

SLUG = "projet-cevennes"
NOWHERE = "/api/parvis/v1/spaces/jamais"


async def test_alice_and_chloe_work_in_a_shared_space_and_nobody_else_sees_it(fleet: MakeNode) -> None:
    aubrac, kestrel = await fleet("Aubrac Énergie"), await fleet("Kestrel GmbH")
    alice, bruno = await aubrac.person("alice", "Alice Fournier"), await aubrac.person("bruno", "Bruno Martel")
    chloe, driss = await kestrel.person("chloe", "Chloé Lindner"), await kestrel.person("driss", "Driss Weber")
    await link(aubrac, kestrel)
    await aubrac.cli(
        "spaces", "add", SLUG, "--name", "Projet Cévennes", "--level", "partners", "--owner", "alice",
        "--partner", kestrel.host,
    )  # fmt: skip
    await aubrac.cli("spaces", "members", SLUG, "--add", chloe.handle)
    await kestrel.cli("spaces", "join", f"{SLUG}@{aubrac.host}", "--as", "chloe")
    await until(
        lambda: aubrac.cli("spaces", "members", SLUG, "--json"),
        lambda answer: f'"{chloe.handle}"' in answer[1] and '"invited"' not in answer[1],
        f"Chloé is a member; {aubrac.log()} {kestrel.log()}",
    )

    posted = await alice.post("Bonjour à Kestrel, voici le poste 3.", parvis_space=SLUG)
    seen = await chloe.sees("voici le poste 3")
    reply = await chloe.post("Les relevés sont arrivés.", in_reply_to_id=seen["id"])
    answered = await alice.sees("Les relevés sont arrivés")
    assert answered["in_reply_to_id"] == posted["id"]

    await chloe.call("POST", f"/api/v1/statuses/{seen['id']}/favourite")
    await until(
        lambda: alice.get(f"/api/v1/statuses/{posted['id']}"),
        lambda post: post["favourites_count"] == 1,
        "Alice sees the thanks",
    )
    await they_vote(alice, chloe)
    await chloe.call("PUT", f"/api/v1/statuses/{reply['id']}", json={"status": "Les relevés du poste 3 sont là."})
    edited = await alice.sees("Les relevés du poste 3 sont là")
    assert edited["id"] == answered["id"], "an edit is the same post"

    await nobody_else_sees(bruno, [posted["id"], answered["id"]], "poste 3")
    await nobody_else_sees(driss, [seen["id"], reply["id"]], "poste 3")
    for person, slug in ((bruno, SLUG), (driss, f"{SLUG}@{aubrac.host}")):
        hidden = await person.call("GET", f"/api/parvis/v1/spaces/{slug}")
        assert (hidden.status_code, hidden.content) == (404, (await person.call("GET", NOWHERE)).content)
        assert all(space["slug"] != slug for space in (await person.get("/api/parvis/v1/spaces"))["spaces"])
    for address in (f"/spaces/{SLUG}", f"/posts/{posted['id']}"):
        page = await aubrac.client.get(address)
        assert page.status_code == 404 and "poste" not in page.text and "Projet" not in page.text

    await chloe.call("DELETE", f"/api/v1/statuses/{reply['id']}")
    await until(alice.home, lambda home: all("poste 3 sont là" not in p["content"] for p in home), "it is taken back")


async def they_vote(alice: Person, chloe: Person) -> None:
    """Chloé votes at her own instance; its host counts, and both read the same."""
    poll = {"options": ["lundi", "mardi"], "expires_in": 3600}
    asked = await alice.post("Réunion lundi ou mardi ?", parvis_space=SLUG, poll=poll)
    seen = await chloe.sees("Réunion lundi ou mardi")
    assert [option["title"] for option in seen["poll"]["options"]] == poll["options"]
    for choices, status in (([1], 200), ([1], 200), ([0], 422)):
        voted = await chloe.call("POST", f"/api/v1/polls/{seen['id']}/votes", json={"choices": choices})
        assert voted.status_code == status, voted.text
    await alice.call("POST", f"/api/v1/polls/{asked['id']}/votes", json={"choices": [1]})
    for person, post in ((alice, asked), (chloe, seen)):
        ask = partial(person.get, f"/api/v1/polls/{post['id']}")
        stands = await until(ask, lambda poll: poll["voters_count"] == 2, f"{person.name} reads both votes")
        assert [option["votes_count"] for option in stands["options"]] == [0, 2]
    assert (await chloe.get(f"/api/v1/statuses/{seen['id']}"))["edited_at"] is None


async def nobody_else_sees(person: Person, ids: list[str], words: str) -> None:
    """Not in the feed, not by address, not as a space, not as a notice, not in search."""
    assert all(words not in post["content"] for post in await person.home())
    for post_id in ids:
        hidden = await person.call("GET", f"/api/v1/statuses/{post_id}")
        unknown = await person.call("GET", "/api/v1/statuses/1")
        assert hidden.status_code == unknown.status_code == 404
        assert hidden.content == unknown.content
    assert await person.get("/api/v1/notifications") == []
    found = await person.get(f"/api/v2/search?q={words}")
    assert not found["statuses"]
