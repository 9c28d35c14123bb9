"""Two real instances compare what they hold of one another, and a copy that went missing is marked."""

import html

import httpx
import pytest

from server import database as db
from tests.browser.people import PASSWORD, hire
from tests.federation.conftest import MakeNode
from tests.federation.harness import Node, link, until

pytestmark = pytest.mark.anyio

SLUG = "offre"


async def signed_in(node: Node, name: str) -> httpx.AsyncClient:
    client = httpx.AsyncClient(base_url=node.base, headers={"origin": node.base}, timeout=30)
    answer = await client.post("/login", data={"name": name, "password": PASSWORD})
    assert answer.status_code == 303, answer.text
    return client


async def lose(node: Node, post_id: int) -> None:
    """One instance no longer has a copy, and nobody was told."""
    await db.connect(node.database_url, models=())
    await db.execute("UPDATE post SET deleted_at = 1 WHERE id = $1", post_id)
    await db.disconnect()


@pytest.mark.soak
async def test_both_sides_say_the_same_until_one_loses_a_copy(fleet: MakeNode) -> None:
    aubrac, kestrel = await fleet("Aubrac Énergie"), await fleet("Kestrel GmbH")
    alice = await aubrac.person("alice", "Alice Fournier")
    chloe = await kestrel.person("chloe", "Chloé Lindner")
    await hire(aubrac, "odile", "Odile Garnier", "admin")
    await hire(kestrel, "dora", "Dora Weiss", "admin")
    await link(aubrac, kestrel)
    await aubrac.cli(
        "spaces", "add", SLUG, "--name", "Offre Lyon", "--level", "partners", "--owner", "alice",
        "--partner", kestrel.host,
    )  # fmt: skip
    await aubrac.cli("spaces", "members", SLUG, "--add", chloe.handle)
    await kestrel.cli("spaces", "join", f"{SLUG}@{aubrac.host}", "--as", "chloe")
    await until(
        lambda: aubrac.cli("spaces", "members", SLUG, "--json"),
        lambda answer: f'"{chloe.handle}"' in answer[1] and '"invited"' not in answer[1],
        "Chloé is a member",
    )
    await alice.post("premier relevé", parvis_space=SLUG)
    kept = await chloe.sees("premier relevé")
    odile, dora = await signed_in(aubrac, "odile"), await signed_in(kestrel, "dora")
    try:
        page = html.unescape((await odile.get(f"/admin/partners/{kestrel.host}")).text)
        assert "Offre Lyon" in page and "premier relevé" not in page
        for admin, node, other in ((odile, aubrac, kestrel), (dora, kestrel, aubrac)):
            compared = await admin.post(f"/admin/partners/{other.host}/compare")
            assert compared.status_code == 200, (compared.text, node.log())
            assert "Les deux côtés disent les mêmes nombres." in html.unescape(compared.text)
        exported = await odile.get(f"/admin/partners/{kestrel.host}/export")
        assert exported.text.splitlines()[0] == "space,hosted_here,theirs,ours,items,files,copies"
        assert (await odile.get(f"/admin/partners/{kestrel.host}/export?format=json")).json()["people"] == 1
        assert (await aubrac.client.get("/peering/mirror")).status_code == 404
        await lose(kestrel, int(kept["id"]))
        for admin, other in ((odile, kestrel), (dora, aubrac)):
            compared = await admin.post(f"/admin/partners/{other.host}/compare")
            assert "1 espace diffère." in html.unescape(compared.text)
    finally:
        await odile.aclose()
        await dora.aclose()
