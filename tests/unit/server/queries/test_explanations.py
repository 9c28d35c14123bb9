"""Why, for whoever may know: what is hidden is not found whatever is asked about it, and who is in a space is not
found out by asking about people one by one.
"""

import pytest

from server import database as db
from server.clock import now_ms
from server.errors import Forbidden, Invalid, NotFound
from server.openness import Level, Visibility
from server.queries import audience, readers, spaces
from server.queries.explanations import tell
from server.viewer import Operator, Viewer
from tests import cast as company
from tests.cast import HERE, KESTREL, Cast

pytestmark = pytest.mark.anyio


@pytest.fixture
async def cast(database: str) -> Cast:
    return await company.gather()


async def test_what_may_not_be_known_is_not_found_whatever_is_asked_about_it(cast: Cast) -> None:
    space_id = await company.space("rachat", Level.CLOSED, cast.alice, listed=False)
    post_id = await company.say(cast.alice, "entre nous", space_id)
    for thing in ("space:rachat", "rachat", f"post:{post_id}", str(post_id), HERE.post(post_id), HERE.space("rachat")):
        assert (await tell(cast.alice, thing, "web", "read", HERE)).allowed is False
        for who, right in (("web", "read"), ("me", "read"), ("alice", "read"), ("partner:kestrel.test", "no-right")):
            for viewer in (cast.bruno, cast.odile, cast.web):
                with pytest.raises(NotFound) as hidden:
                    await tell(viewer, thing, who, right, HERE)
                with pytest.raises(NotFound) as never:
                    await tell(viewer, "space:jamais", who, right, HERE)
                assert hidden.value.sentence == never.value.sentence


async def test_who_is_in_a_space_is_asked_by_those_alone_who_see_its_members(cast: Cast) -> None:
    """Bruno sees the card of a closed space and how many are in it; he cannot try names on it."""
    await company.space("projet", Level.CLOSED, cast.alice)
    for who in ("alice", "odile", "chloe@kestrel.test", "partner:kestrel.test"):
        with pytest.raises(Forbidden):
            await tell(cast.bruno, "projet", who, "read", HERE)
        await tell(cast.alice, "projet", who, "read", HERE)
    for who in ("web", "fed", "staff", "guest", "me", "bruno"):
        assert not (await tell(cast.bruno, "projet", who, "read", HERE)).allowed


async def test_blind_partners_are_not_asked_about_by_one_another(cast: Cast) -> None:
    one = await company.guest("gisele", "Gisèle", cast.alice, "Atelier")
    other = await company.guest("hugo", "Hugo", cast.alice, "Forge")
    space_id = await company.space(
        "revendeurs", Level.PARTNERS, cast.alice, one, other, cast.chloe, partners=(KESTREL,)
    )
    assert (await tell(one, "revendeurs", "me", "read", HERE)).allowed
    await db.execute("UPDATE space SET partner_view = 'blind' WHERE id = $1", space_id)
    for who in ("hugo", "guest:hugo", "chloe@kestrel.test", "partner:kestrel.test", "jamais"):
        with pytest.raises(Invalid):  # as somebody who never was
            await tell(one, "revendeurs", who, "read", HERE)
    assert (await tell(one, "revendeurs", "alice", "read", HERE)).allowed
    space = await spaces.find(one, "revendeurs")
    count = await audience.of_space(one, space)
    assert (count.guests, count.partners) == (1, ())
    named = [card.name for group in await readers.of_space(one, space) for card in group.people]
    assert sorted(named) == ["alice", "gisele"]
    assert all(group.host != KESTREL for group in await readers.of_space(one, space))
    everybody = await audience.of_space(cast.alice, await spaces.find(cast.alice, "revendeurs"))
    assert (everybody.guests, sum(at.count or 0 for at in everybody.partners)) == (2, 1)


async def test_who_follows_is_the_authors_to_ask(cast: Cast) -> None:
    post_id = await company.say(cast.alice, "à qui me suit", visibility=Visibility.FOLLOWERS)
    row = {"id": now_ms(), "follower_id": cast.bruno.actor_id, "followed_id": cast.alice.actor_id}
    await db.insert("follow", {**row, "state": "accepted", "created_at": now_ms()})
    assert not (await tell(cast.alice, str(post_id), "odile", "read", HERE)).allowed
    assert (await tell(cast.bruno, str(post_id), "me", "read", HERE)).allowed
    with pytest.raises(Forbidden):
        await tell(cast.bruno, str(post_id), "odile", "read", HERE)


@pytest.mark.parametrize(
    ("who", "right", "field"),
    [
        ("personne", "read", "as"),
        ("partner:nulle.part", "read", "as"),
        ("zoe et bruno", "read", "as"),
        ("web", "lire", "right"),
    ],
)
async def test_a_word_that_is_none_is_refused_by_its_field(cast: Cast, who: str, right: str, field: str) -> None:
    await company.space("projet", Level.INTERNAL, cast.alice)
    with pytest.raises(Invalid) as refused:
        await tell(cast.alice, "projet", who, right, HERE)
    assert refused.value.field == field


async def test_the_shut_out_the_ended_and_the_blocked_come_in_by_no_door(cast: Cast) -> None:
    await company.space("projet", Level.PUBLIC, cast.alice)
    guest = await company.guest("gisele", "Gisèle", cast.alice, days=-1)
    await db.execute("UPDATE peer SET blocked_at = 1 WHERE host = $1", KESTREL)
    for who, reason, step in (
        ("zoe", "suspended", "reinstate"),
        ("gisele", "ended", "extend_guest"),
        ("chloe@kestrel.test", "blocked", "unblock"),
    ):
        told = await tell(cast.alice, "projet", who, "read", HERE)
        assert (told.allowed, told.reason) == (False, reason)
        assert [change.step.value for change in told.would_change_if[0]] == [step]
    assert guest


async def test_an_end_date_that_is_past_is_what_a_partner_lacks(cast: Cast) -> None:
    space_id = await company.space("offre", Level.PARTNERS, cast.alice, cast.chloe, partners=(KESTREL,))
    await company.say(cast.alice, "offre", space_id)
    assert (await tell(cast.alice, "offre", "chloe@kestrel.test", "read", HERE)).allowed
    await db.execute("UPDATE space_partner SET until_at = $1 WHERE space_id = $2", now_ms() - 1, space_id)
    told = await tell(cast.alice, "offre", "chloe@kestrel.test", "read", HERE)
    assert not told.allowed
    assert [change.step.value for change in told.would_change_if[0]] == ["extend_partner"]
    assert told.owners == ("Alice Fournier",)


async def test_a_person_and_a_file_are_things_too(cast: Cast) -> None:
    asked: list[tuple[Viewer, str, str, bool]] = [
        (cast.bruno, "person:alice", "web", True),
        (cast.bruno, "@alice", "staff", True),
        (cast.bruno, "chloe@kestrel.test", "web", False),
        (cast.bruno, "person:chloe@kestrel.test", "staff", True),
    ]
    for viewer, thing, who, seen in asked:
        told = await tell(viewer, thing, who, "see", HERE)
        assert told.allowed is seen, (thing, who)
        assert bool(told.would_change_if) is not seen
    row = {"id": 77, "owner_id": cast.alice.actor_id, "name": "plan.txt", "media_type": "text/plain", "size": 1}
    await db.insert("attachment", {**row, "state": "ready", "created_at": now_ms()})
    assert (await tell(cast.alice, "file:77", "me", "read", HERE)).allowed
    assert not (await tell(cast.alice, "file:77", "bruno", "read", HERE)).allowed
    with pytest.raises(NotFound):
        await tell(cast.bruno, "file:77", "alice", "read", HERE)
    post_id = await company.say(cast.alice, "le plan", await company.space("plans", Level.INTERNAL, cast.alice))
    await db.execute("UPDATE attachment SET post_id = $1 WHERE id = 77", post_id)
    told = await tell(cast.bruno, "77", "web", "read", HERE)
    assert (told.thing.kind, told.allowed) == ("file", False)


async def test_readers_are_counted_alike_here_and_in_the_composers_line(cast: Cast) -> None:
    guest = await company.guest("gisele", "Gisèle", cast.alice, "Atelier")
    await company.space("offre", Level.PARTNERS, cast.alice, cast.chloe, guest, cast.bruno, partners=(KESTREL,))
    space = await spaces.find(cast.alice, "offre")
    groups = await readers.of_space(cast.alice, space)
    reading = sum(group.count or 0 for group in groups if group.reads)
    assert reading == (await audience.of_space(cast.alice, space)).people == 4
    not_reading = {group.word: group.why.rule for group in groups if not group.reads}
    assert set(not_reading) == {"staff", "partner:kestrel.test", "fed", "web"}
    elsewhere = next(group for group in groups if group.host == KESTREL and group.reads)
    assert (elsewhere.count, elsewhere.at_most, [card.name for card in elsewhere.people]) == (1, True, ["chloe"])
    outside = await spaces.find(cast.odile, "offre")
    assert all(not group.people for group in await readers.of_space(cast.odile, outside)), "names are for members"


async def test_the_command_line_asks_about_anything_and_hears_no_content(cast: Cast) -> None:
    space_id = await company.space("rachat", Level.CLOSED, cast.alice, listed=False)
    post_id = await company.say(cast.alice, "entre nous", space_id)
    told = await tell(Operator(), str(post_id), "bruno", "read", HERE)
    assert not told.allowed
    assert "entre nous" not in repr(told)
