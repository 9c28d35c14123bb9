"""Spaces by their pages: what each may know, and the way in and out."""

import pytest

from server.openness import Level
from server.queries import directory, spaces
from tests.cast import KESTREL, Cast, enter, space
from tests.unit.web.pages.browser import Browser

pytestmark = pytest.mark.anyio


async def waiting(cast: Cast, slug: str) -> list[tuple[str, str]]:
    seen = await spaces.find(cast.alice, slug)
    return [(m.person.name, m.state.value) for m in (await directory.members(cast.alice, seen)).waiting]


async def names(cast: Cast, slug: str) -> list[str]:
    seen = await spaces.find(cast.alice, slug)
    return [m.person.name for m in (await directory.members(cast.alice, seen)).people]


async def test_bruno_counts_a_closed_space_and_reads_no_name(cast: Cast, bruno: Browser) -> None:
    await space("direction", Level.CLOSED, cast.alice, cast.odile)
    page = await bruno.page("/spaces/direction/members")
    assert "Odile" not in page and "Alice" not in page
    assert "/spaces/direction" in await bruno.page("/spaces")


async def test_bruno_asks_and_alice_admits_him(cast: Cast, alice: Browser, bruno: Browser) -> None:
    await space("direction", Level.CLOSED, cast.alice)
    await bruno.post("/spaces/direction/join")
    assert await waiting(cast, "direction") == [("bruno", "asked")]
    assert "Bruno" in await alice.page("/spaces/direction/members")
    assert "direction" in (await alice.page("/notifications")).lower()
    await alice.post("/spaces/direction/members", id=str(cast.bruno.actor_id))
    assert await names(cast, "direction") == ["alice", "bruno"]
    await bruno.post("/spaces/direction/leave")
    assert await names(cast, "direction") == ["alice"]


async def test_alice_invites_somebody_of_a_partner_and_is_told_why_not_somebody_else(
    cast: Cast, alice: Browser
) -> None:
    await space("cevennes", Level.PARTNERS, cast.alice, partners=(KESTREL,))
    await space("equipe", Level.INTERNAL, cast.alice)
    page = await alice.refused("/spaces/equipe/members", who=f"chloe@{KESTREL}")
    assert "Il suffirait" in page and f"chloe@{KESTREL}" in page
    assert "eve@inconnu.test" in await alice.refused("/spaces/cevennes/members", who="@eve@inconnu.test")
    assert "personne@" in await alice.refused("/spaces/cevennes/members", who=f"personne@{KESTREL}")
    await alice.post("/spaces/cevennes/members", who=f"@chloe@{KESTREL}")
    assert await waiting(cast, "cevennes") == [("chloe", "invited")]
    await alice.post(f"/spaces/cevennes/members/{cast.chloe.actor_id}/remove")
    assert await waiting(cast, "cevennes") == []


async def test_only_stewards_admit_and_remove(cast: Cast, bruno: Browser) -> None:
    await space("equipe", Level.INTERNAL, cast.alice, cast.bruno, cast.odile)
    page = await bruno.refused(f"/spaces/equipe/members/{cast.odile.actor_id}/remove")
    assert "animateurs" in page
    assert await names(cast, "equipe") == ["alice", "bruno", "odile"]


async def test_the_last_owner_does_not_leave_and_is_told_so(cast: Cast, alice: Browser) -> None:
    await space("equipe", Level.INTERNAL, cast.alice)
    assert "responsable" in await alice.refused("/spaces/equipe/leave")


async def test_an_invitation_is_accepted_or_declined(cast: Cast, bruno: Browser) -> None:
    secret = await space("direction", Level.CLOSED, cast.alice, listed=False)
    await enter(secret, cast.bruno, state="invited")
    assert "/spaces/direction/join" in await bruno.page("/spaces/direction")
    await bruno.post("/spaces/direction/join")
    assert await names(cast, "direction") == ["alice", "bruno"]


async def test_a_new_space_is_opened_or_the_form_comes_back(cast: Cast, bruno: Browser) -> None:
    await bruno.page("/spaces?part=new")
    page = await bruno.refused("/spaces", slug="Pas Une Adresse", name="Sûreté", level="internal")
    assert "Sûreté" in page
    assert await bruno.post("/spaces", slug="surete", name="Sûreté", level="internal") == "/spaces/surete"
    assert "Sûreté" in await bruno.refused("/spaces", slug="surete", name="Sûreté", level="internal")
    for tail in ("", "/about", "/openness", "/members"):
        assert "Sûreté" in await bruno.page(f"/spaces/surete{tail}")
