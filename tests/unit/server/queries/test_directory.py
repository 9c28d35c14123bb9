"""Who finds which space, and who is in it, as far as each may know."""

import pytest

from server import database as db
from server.openness import Level, Reach
from server.queries import directory, spaces
from server.queries.directory import MemberList, Organisation
from server.viewer import Viewer
from tests.cast import KESTREL, Cast, enter, space

pytestmark = pytest.mark.anyio


async def slugs(viewer: Viewer, matching: str = "") -> list[str]:
    return [row.space.slug for row in await directory.listed(viewer, matching=matching)]


async def test_a_closed_unlisted_or_invited_space_is_in_nobody_elses_directory(cast: Cast) -> None:
    await space("direction", Level.CLOSED, cast.alice, listed=False)
    await space("cevennes", Level.PARTNERS, cast.alice, cast.chloe, partners=(KESTREL,))
    await space("reseau", Level.INTERNAL, cast.alice)
    for viewer in (cast.driss, cast.eve, cast.inconnu, cast.web):
        assert await slugs(viewer) == []
    assert "direction" not in await slugs(cast.bruno)
    assert await slugs(cast.chloe) == ["cevennes"]


async def test_a_visitor_finds_what_is_public_and_a_stranger_what_is_network_too(cast: Cast) -> None:
    await space("actualites", Level.PUBLIC, cast.alice)
    await space("metiers", Level.NETWORK, cast.alice)
    assert await slugs(cast.web) == ["actualites"]
    assert await slugs(cast.eve) == ["actualites", "metiers"]


async def test_an_invited_colleague_finds_the_space_and_is_told_that_it_waits(cast: Cast) -> None:
    secret = await space("direction", Level.CLOSED, cast.alice, listed=False)
    await enter(secret, cast.bruno, state="invited")
    assert await slugs(cast.bruno) == ["direction"]
    assert [row.space.id for row in await directory.invitations(cast.bruno)] == [secret]
    assert await directory.mine(cast.bruno) == []
    assert await directory.writable(cast.bruno) == []
    assert [found.id for found in await directory.writable(cast.alice)] == [secret]


async def test_the_directory_counts_members_only_where_they_may_be_counted(cast: Cast) -> None:
    await space("direction", Level.CLOSED, cast.alice, cast.odile)
    await space("cevennes", Level.PARTNERS, cast.alice, partners=(KESTREL,))
    rows = {row.space.slug: row.members for row in await directory.listed(cast.bruno)}
    assert rows == {"direction": 2, "cevennes": 1}


async def test_the_directory_is_searched_without_accents_and_paged_by_name(cast: Cast) -> None:
    for slug in ("chantiers", "equipe", "metiers"):
        await space(slug, Level.INTERNAL, cast.alice)
    await db.execute("UPDATE space SET name = 'Équipe Sûreté' WHERE slug = 'equipe'")
    assert await slugs(cast.bruno, matching="surete EQUIPE") == ["equipe"]
    assert await slugs(cast.bruno, matching="100%") == []
    first = await directory.listed(cast.bruno, limit=2)
    rest = await directory.listed(cast.bruno, limit=2, after=first[-1].space.slug)
    assert len(first) == 2 and len(rest) == 1
    assert {row.space.slug for row in first + rest} == {"chantiers", "equipe", "metiers"}


async def members(viewer: Viewer, space_id: int, **how: object) -> MemberList:
    return await directory.members(viewer, await spaces.find_by_id(viewer, space_id), **how)  # type: ignore[arg-type]


async def test_bruno_counts_a_closed_space_and_sees_no_names_and_no_organisations(cast: Cast) -> None:
    closed = await space("direction", Level.CLOSED, cast.alice, cast.odile)
    assert await members(cast.bruno, closed) == MemberList(count=2)


async def test_bruno_sees_organisations_of_a_partners_space_but_no_names(cast: Cast) -> None:
    cevennes = await space("cevennes", Level.PARTNERS, cast.alice, cast.chloe, partners=(KESTREL,))
    assert await members(cast.bruno, cevennes) == MemberList(
        count=2, organisations=(Organisation("", "", 1), Organisation(KESTREL, "Kestrel GmbH", 1))
    )


async def test_driss_who_is_not_invited_learns_nothing_of_the_members(cast: Cast) -> None:
    cevennes = await space("cevennes", Level.PARTNERS, cast.alice, cast.chloe, partners=(KESTREL,))
    assert await members(cast.driss, cevennes) == MemberList()
    seen = await spaces.find_by_id(cast.driss, cevennes)
    assert await directory.find_member(cast.driss, seen, cast.chloe.actor_id) is None


async def test_a_member_sees_names_and_only_stewards_see_who_waits(cast: Cast) -> None:
    cevennes = await space("cevennes", Level.PARTNERS, cast.alice, cast.chloe, cast.odile, partners=(KESTREL,))
    await enter(cevennes, cast.driss, state="invited")
    await enter(cevennes, cast.bruno, state="asked")
    as_odile, as_alice = await members(cast.odile, cevennes), await members(cast.alice, cevennes)
    assert [m.person.name for m in as_odile.people] == ["alice", "chloe", "odile"]
    assert (as_odile.waiting, as_odile.count) == ((), 3)
    assert [(m.person.name, m.state) for m in as_alice.waiting] == [("driss", "invited"), ("bruno", "asked")]
    seen = await spaces.find_by_id(cast.odile, cevennes)
    assert await directory.find_member(cast.odile, seen, cast.driss.actor_id) is None


async def test_members_are_paged_owners_first(cast: Cast) -> None:
    team = await space("equipe", Level.INTERNAL, cast.alice, cast.bruno, cast.odile, reach=Reach.INVITED)
    first = await members(cast.alice, team, limit=2)
    rest = await members(cast.alice, team, limit=2, after=first.people[-1].cursor)
    assert [m.person.name for m in first.people + rest.people] == ["alice", "bruno", "odile"]
    assert (first.more, rest.more) == (True, False)
