"""The numbers that a composer shows are those of the policy."""

import pytest

from server import database as db
from server.actions.follows import follow
from server.actions.spaces import set_openness
from server.clock import now_ms
from server.errors import NotFound
from server.openness import Level, Reach, Visibility
from server.queries import audience, posts, spaces
from server.queries.audience import At, AudienceCount
from server.viewer import Viewer
from tests.cast import KESTREL, Cast, enter, say, space

pytestmark = pytest.mark.anyio


async def count(viewer: Viewer, space_id: int) -> AudienceCount:
    return await audience.of_space(viewer, await spaces.find_by_id(viewer, space_id))


async def test_nobody_counts_a_space_that_they_may_not_know_of(cast: Cast) -> None:
    secret = await space("direction", Level.CLOSED, cast.alice, listed=False)
    for viewer in (cast.bruno, cast.chloe, *cast.outsiders()):
        with pytest.raises(NotFound):
            await count(viewer, secret)


async def test_driss_who_is_a_partner_but_not_invited_may_not_count(cast: Cast) -> None:
    cevennes = await space("cevennes", Level.PARTNERS, cast.alice, cast.chloe, partners=(KESTREL,))
    seen = await spaces.find_by_id(cast.driss, cevennes)
    with pytest.raises(Exception) as refused:
        await audience.of_space(cast.driss, seen)
    assert "membres" in str(refused.value)


async def test_closed_counts_its_members_and_not_the_suspended(cast: Cast) -> None:
    closed = await space("direction", Level.CLOSED, cast.alice, cast.odile)
    assert await count(cast.bruno, closed) == AudienceCount(colleagues=2)
    await db.execute("UPDATE account SET suspended_at = $1 WHERE id = $2", now_ms(), cast.odile.account_id)
    assert (await count(cast.alice, closed)).colleagues == 1


async def test_internal_counts_all_colleagues_and_nobody_else(cast: Cast) -> None:
    internal = await space("reseau", Level.INTERNAL, cast.alice)
    assert await count(cast.bruno, internal) == AudienceCount(colleagues=3, colleagues_all=True)


async def test_partners_counts_those_invited_at_each_partner(cast: Cast) -> None:
    cevennes = await space("cevennes", Level.PARTNERS, cast.alice, cast.chloe, partners=(KESTREL,))
    assert await count(cast.alice, cevennes) == AudienceCount(colleagues=1, partners=(At(KESTREL, "Kestrel GmbH", 1),))


async def test_a_partner_whose_link_is_not_active_reads_nothing(cast: Cast) -> None:
    cevennes = await space("cevennes", Level.PARTNERS, cast.alice, cast.chloe, partners=(KESTREL,))
    await db.execute("UPDATE link SET state = 'suspended'")
    assert await count(cast.alice, cevennes) == AudienceCount(colleagues=1)


async def test_everyone_at_a_named_partner_is_told_by_name_of_the_partner(cast: Cast) -> None:
    fair = await space("salon", Level.PARTNERS, cast.alice, reach=Reach.EVERYONE, partners=(KESTREL,))
    counted = await count(cast.alice, fair)
    assert counted.everyone_at == (At(KESTREL, "Kestrel GmbH", None),)
    assert (counted.colleagues, counted.colleagues_all, counted.exact) == (3, True, False)


@pytest.mark.parametrize(("level", "public"), [(Level.NETWORK, False), (Level.PUBLIC, True)])
async def test_network_and_public_say_that_no_number_is_the_whole(cast: Cast, level: Level, public: bool) -> None:
    counted = await count(cast.alice, await space("actualites", level, cast.alice))
    assert (counted.network, counted.public, counted.exact) == (True, public, False)


async def test_a_post_written_before_the_space_opened_is_counted_by_its_stamp(cast: Cast) -> None:
    diary = await space("carnet", Level.CLOSED, cast.alice)
    before = await say(cast.alice, "Entre nous", diary)
    await set_openness(cast.alice, diary, Level.PUBLIC)
    after = await say(cast.alice, "Pour tous", diary)
    old = await audience.of_post(cast.alice, await posts.find(cast.alice, before))
    new = await audience.of_post(cast.alice, await posts.find(cast.alice, after))
    assert old == AudienceCount(colleagues=1)
    assert new.public and new.colleagues_all


async def test_a_member_who_came_later_is_not_counted_for_what_was_written_before(cast: Cast) -> None:
    cevennes = await space("cevennes", Level.PARTNERS, cast.alice, partners=(KESTREL,))
    question = await say(cast.alice, "Qui ?", cevennes)
    await db.execute("UPDATE post SET published_at = published_at - 5000")
    await enter(cevennes, cast.chloe)
    seen = await posts.find(cast.alice, question)
    assert (await audience.of_post(cast.alice, seen)).partners == ()


async def test_only_the_author_hears_how_many_read_what_is_not_for_everybody(cast: Cast) -> None:
    await follow(cast.bruno, cast.alice.actor_id)
    note = await say(cast.alice, "Pour ceux qui me suivent", visibility=Visibility.FOLLOWERS)
    as_bruno = await audience.of_post(cast.bruno, await posts.find(cast.bruno, note))
    as_alice = await audience.of_post(cast.alice, await posts.find(cast.alice, note))
    assert as_bruno == AudienceCount(followers=True)
    assert as_alice == AudienceCount(colleagues=2, followers=True)
    assert await audience.of_visibility(cast.alice, Visibility.FOLLOWERS) == as_alice
    assert (await audience.of_visibility(cast.alice, Visibility.COLLEAGUES)).colleagues == 3
    assert await audience.of_visibility(cast.alice, Visibility.DIRECT) == AudienceCount(colleagues=1)
