"""Colleagues find one another; outsiders see a card; who left is not found."""

import pytest

from server.actions.follows import follow
from server.errors import NotFound
from server.queries import people
from server.queries.people import Person, Relation
from tests.cast import KESTREL, Cast

pytestmark = pytest.mark.anyio


async def test_outsiders_list_nobody_and_see_only_a_card(cast: Cast) -> None:
    for viewer in (cast.chloe, *cast.outsiders()):
        assert await people.colleagues(viewer) == []
        assert await people.known(viewer, matching="alice") == []
        alice = await people.find(viewer, "alice")
        assert alice == Person(alice.card)


async def test_nobody_finds_zoe_who_left(cast: Cast) -> None:
    assert "zoe" not in [card.name for card in await people.colleagues(cast.alice)]
    with pytest.raises(NotFound):
        await people.find(cast.alice, "zoe")


async def test_outsiders_are_not_told_whom_this_instance_has_met(cast: Cast) -> None:
    for viewer in (cast.driss, cast.eve, cast.inconnu, cast.web):
        with pytest.raises(NotFound):
            await people.find(viewer, "chloe", KESTREL)
        with pytest.raises(NotFound):
            await people.find_by_id(viewer, cast.chloe.actor_id)


async def test_colleagues_are_found_by_any_part_of_their_name_without_accents(cast: Cast) -> None:
    assert [card.name for card in await people.colleagues(cast.bruno, matching="FOURN")] == ["alice"]
    assert [card.handle for card in await people.known(cast.bruno, matching="@chloe")] == [f"chloe@{KESTREL}"]
    first = await people.colleagues(cast.bruno, limit=2)
    rest = await people.colleagues(cast.bruno, limit=2, after=first[-1].name)
    assert [card.name for card in first + rest] == ["alice", "bruno", "odile"]


async def test_a_colleague_sees_what_they_are_to_one_another(cast: Cast) -> None:
    await follow(cast.bruno, cast.alice.actor_id)
    as_bruno, as_alice = await people.find(cast.bruno, "Alice"), await people.find(cast.alice, "bruno")
    assert (as_bruno.relation, as_bruno.followers) == (Relation(following="accepted"), 1)
    assert as_alice.relation == Relation(followed_by=True)
    assert (await people.find(cast.alice, "alice")).relation.myself
    assert (await people.find(cast.alice, "odile")).office == "admin"
    chloe = await people.find(cast.alice, "chloe", KESTREL)
    assert (chloe.organisation, chloe.followers, chloe.office) == ("Kestrel GmbH", None, "")
