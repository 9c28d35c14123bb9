"""Polls: a vote once, by whoever may, until the end; counted for each viewer, gone with the post."""

import asyncio
from typing import Any

import pytest

from server import database as db
from server.actions import polls, posts, timers
from server.actions.arriving import Arrived, receive
from server.actions.poll_rows import NewPoll, Tally
from server.actions.polls import poll_of, vote, vote_from_elsewhere
from server.actions.spaces import SpaceElsewhere, mirror
from server.clock import now_ms
from server.errors import Conflict, DomainError, Forbidden, Invalid, NotFound
from server.openness import Level
from server.queries import notifications, search
from server.queries import posts as asked
from server.queries.polls import PollCard
from server.viewer import Employee, Viewer
from tests.cast import HERE, KESTREL, Cast, enter, gather, guest, say, space, stranger

pytestmark = pytest.mark.anyio
DAY_S = 24 * 3600


@pytest.fixture
async def cast(database: str) -> Cast:
    return await gather()


async def ask(who: Employee, *options: str, place: int | None = None, multiple: bool = False) -> int:
    draft = posts.Draft("On se voit quand ?", place, poll=poll_of(options or ("lundi", "mardi"), multiple, DAY_S))
    return await posts.publish(who, draft, HERE)


async def seen(viewer: Viewer, post: int) -> PollCard:
    [card] = await asked.cards(viewer, [post])
    assert card.poll is not None
    return card.poll


async def counts(viewer: Viewer, post: int) -> tuple[list[int], int]:
    poll = await seen(viewer, post)
    return [option.votes for option in poll.options], poll.voters


async def votes() -> list[dict[str, Any]]:
    return await db.fetch("SELECT post_id, position, actor_id FROM vote ORDER BY id")


@pytest.mark.parametrize(
    ("options", "seconds", "field"),
    [
        (("un",), DAY_S, "deux choix"),
        (("un", " "), DAY_S, "deux choix"),
        (tuple(map(str, range(11))), DAY_S, "au plus"),
        (("un", "x" * 101), DAY_S, "caractères"),
        (("un", " un "), DAY_S, "les mêmes"),
        (("un", "deux"), 299, "cinq minutes"),
        (("un", "deux"), 30 * DAY_S + 1, "trente jours"),
    ],
)
def test_what_no_poll_can_ask_is_refused(options: tuple[str, ...], seconds: int, field: str) -> None:
    with pytest.raises(Invalid, match=field):
        poll_of(options, False, seconds)
    assert poll_of(("un", "deux "), False, None) == NewPoll(("un", "deux"))
    assert poll_of(("\u202e👩\u200d💻", "\u200d", "deux\u2060"), False, None) == NewPoll(("👩\u200d💻", "deux"))


async def test_who_may_not_vote_or_chooses_wrongly_changes_nothing(cast: Cast) -> None:
    team = await space("equipe", Level.CLOSED, cast.alice)
    hidden, open_to = await ask(cast.alice, place=team), await ask(cast.alice)
    plain = await say(cast.alice, "sans sondage")
    wrong: list[tuple[int, list[int], type[DomainError]]] = [
        (hidden, [0], NotFound),
        (plain, [0], Invalid),
        (open_to, [], Invalid),
        (open_to, [2], Invalid),
        (open_to, [-1], Invalid),
        (open_to, [0, 1], Invalid),
    ]
    for post, chosen, why in wrong:
        with pytest.raises(why):
            await vote(cast.bruno, post, chosen)
    readers = await space("lecture", Level.INTERNAL, cast.alice)
    shown = await ask(cast.alice, place=readers)
    await db.execute("UPDATE space SET closed_at = 1 WHERE id = $1", readers)
    with pytest.raises(Forbidden):
        await vote(cast.bruno, shown, [0])
    with pytest.raises(NotFound):
        await vote_from_elsewhere(cast.chloe, open_to, "lundi", "https://kestrel.test/votes/1")
    assert await votes() == []
    assert await db.fetch("SELECT id FROM event WHERE kind IN ('voted', 'tallied')") == []


async def test_a_vote_counts_once_and_is_not_changed(cast: Cast) -> None:
    post = await ask(cast.alice)
    before = await seen(cast.bruno, post)
    assert (before.voted, before.ended, before.voters) == (False, False, 0)
    await vote(cast.bruno, post, [1])
    await vote(cast.bruno, post, [1])
    with pytest.raises(Conflict):
        await vote(cast.bruno, post, [0])
    await vote(cast.alice, post, [0])
    assert await counts(cast.odile, post) == ([1, 1], 2)
    mine = await seen(cast.bruno, post)
    assert [option.mine for option in mine.options] == [False, True]
    assert len(await db.fetch("SELECT id FROM event WHERE kind = 'tallied'")) == 2
    results = await asyncio.gather(vote(cast.odile, post, [0]), vote(cast.odile, post, [1]), return_exceptions=True)
    assert sum(isinstance(result, Conflict) for result in results) == 1, "of two at once one counts"
    assert (await seen(cast.odile, post)).voters == 3


async def test_of_several_answers_people_are_fewer_than_votes(cast: Cast) -> None:
    post = await ask(cast.alice, "a", "b", "c", multiple=True)
    await vote(cast.bruno, post, [2, 0, 2])
    await vote(cast.odile, post, [2])
    assert await counts(cast.alice, post) == ([1, 0, 2], 2)
    poll = await seen(cast.alice, post)
    assert [poll.percent(option) for option in poll.options] == [50, 0, 100]
    with pytest.raises(Conflict):
        await vote(cast.odile, post, [1, 2])


async def test_after_its_end_nobody_votes_and_those_concerned_are_told_once(cast: Cast) -> None:
    post = await ask(cast.alice)
    await vote(cast.bruno, post, [0])
    await db.execute("UPDATE poll SET ends_at = $1, due_at = $1", now_ms() - 1)
    with pytest.raises(Forbidden, match="terminé"):
        await vote(cast.odile, post, [0])
    await vote(cast.bruno, post, [0])
    assert (await seen(cast.odile, post)).ended
    assert await timers.run_due() == 1
    assert await timers.run_due() == 0
    for viewer, kinds in ((cast.alice, ["poll"]), (cast.bruno, ["poll"]), (cast.odile, [])):
        assert [notice.kind for notice in await notifications.waiting(viewer)] == kinds


async def test_blind_partners_and_their_guests_do_not_count_one_another(cast: Cast) -> None:
    gwen = await guest("gwen", "Gwen", cast.alice, "Cabinet Ouest")
    place = await space("revendeurs", Level.PARTNERS, cast.alice, cast.chloe, gwen, partners=(KESTREL,))
    await db.execute("UPDATE space SET partner_view = 'blind' WHERE id = $1", place)
    post = await ask(cast.alice, place=place)
    await vote(cast.alice, post, [0])
    await vote(gwen, post, [1])
    await vote_from_elsewhere(cast.chloe, post, "mardi", "https://kestrel.test/votes/1")
    await vote_from_elsewhere(cast.chloe, post, "mardi", "https://kestrel.test/votes/2")
    with pytest.raises(Conflict):
        await vote_from_elsewhere(cast.chloe, post, "lundi", "https://kestrel.test/votes/3")
    with pytest.raises(Invalid):
        await vote_from_elsewhere(cast.chloe, post, "mercredi", "https://kestrel.test/votes/4")
    with pytest.raises(NotFound):
        await vote_from_elsewhere(cast.driss, post, "lundi", "https://kestrel.test/votes/5")
    assert await counts(cast.alice, post) == ([1, 2], 3)
    assert await counts(gwen, post) == await counts(cast.chloe, post) == ([1, 1], 2)
    await db.execute("UPDATE space SET partner_view = 'organisations' WHERE id = $1", place)
    assert await counts(gwen, post) == ([1, 1], 2), "nor later what was voted while they were blind"


async def test_a_poll_elsewhere_is_voted_there_and_stands_as_its_host_says(cast: Cast) -> None:
    group = await stranger("x", "X", KESTREL)
    place = await mirror(cast.kestrel, SpaceElsewhere(group.actor_id, "x", KESTREL, "X", "", Level.PARTNERS))
    await enter(place, cast.bruno)
    arrived = Arrived("https://kestrel.test/notes/1", "<p>?</p>", now_ms(), poll=NewPoll(("oui", "non")))
    post = await receive(cast.kestrel, cast.chloe.actor_id, arrived, place)
    await vote(cast.bruno, post, [1])
    assert await counts(cast.bruno, post) == ([0, 1], 1), "at least what is known here"
    [event] = await db.fetch("SELECT kind, data FROM event WHERE actor_id = $1", cast.bruno.actor_id)
    assert event == {"kind": "voted", "data": '{"option":1}'}
    await polls.tallied(post, place, Tally((4, 3), 7))
    await polls.tallied(post, place, Tally((9,), 9))
    assert await counts(cast.bruno, post) == ([4, 3], 7)
    with pytest.raises(NotFound):
        await vote_from_elsewhere(cast.chloe, post, "oui", "https://kestrel.test/votes/1")


async def test_answers_are_found_by_readers_and_go_with_the_post(cast: Cast) -> None:
    team = await space("equipe", Level.CLOSED, cast.alice)
    post = await ask(cast.alice, "aubergines", "brocolis", place=team)
    await posts.edit(cast.alice, post, "On mange quoi ?", HERE)
    assert [card.id for card in await search.posts(cast.alice, "brocolis")] == [post]
    assert await search.posts(cast.bruno, "brocolis") == []
    await vote(cast.alice, post, [0])
    await posts.withdraw(cast.alice, post)
    assert await search.posts(cast.alice, "brocolis") == []
    for table in ("poll", "poll_option", "vote", "search_row"):
        assert await db.fetch(f"SELECT * FROM {table}") == [], table


async def test_a_vote_that_comes_while_its_poll_goes_goes_with_it(cast: Cast) -> None:
    post, cast_it = await ask(cast.alice), asyncio.Event()

    async def vote_slowly() -> None:
        async with db.transaction():
            await vote(cast.bruno, post, [0])
            cast_it.set()
            await asyncio.sleep(0.2)  # the other one is waiting for this to be committed, or deletes too soon

    voting = asyncio.create_task(vote_slowly())
    await cast_it.wait()
    await posts.withdraw(cast.alice, post)
    await voting
    assert await votes() == []
