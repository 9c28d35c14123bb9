"""Conversations: each part by its own right."""

import pytest

from server import database as db
from server.actions.posts import withdraw
from server.errors import NotFound
from server.openness import Level
from server.queries import threads
from tests.cast import KESTREL, Cast, enter, say, space

pytestmark = pytest.mark.anyio


async def test_bruno_driss_and_a_visitor_do_not_find_a_thread_of_a_space_they_are_not_in(cast: Cast) -> None:
    cevennes = await space("cevennes", Level.PARTNERS, cast.alice, cast.chloe, partners=(KESTREL,))
    question = await say(cast.alice, "La dérive du poste 3 ?", cevennes)
    for viewer in (cast.bruno, *cast.outsiders()):
        with pytest.raises(NotFound) as hidden:
            await threads.around(viewer, question)
        with pytest.raises(NotFound) as missing:
            await threads.around(viewer, 1)
        assert hidden.value.sentence == missing.value.sentence


async def test_chloe_reads_what_was_answered_oldest_first_and_what_it_answers(cast: Cast) -> None:
    cevennes = await space("cevennes", Level.PARTNERS, cast.alice, cast.chloe, partners=(KESTREL,))
    question = await say(cast.alice, "La dérive ?", cevennes)
    answer = await say(cast.chloe, "Réglée.", cevennes, answers=question)
    thanks = await say(cast.alice, "Merci !", cevennes, answers=answer)
    aside = await say(cast.alice, "Autre chose", cevennes, answers=question)
    whole = await threads.around(cast.chloe, question)
    assert [card.id for card in whole.after] == [answer, thanks, aside]
    middle = await threads.around(cast.alice, answer)
    assert ([c.id for c in middle.before], [c.id for c in middle.after]) == ([question], [thanks])
    assert not middle.more


async def test_a_withdrawn_link_of_the_chain_is_left_out_and_the_rest_stays(cast: Cast) -> None:
    cevennes = await space("cevennes", Level.INTERNAL, cast.alice)
    first = await say(cast.alice, "Un", cevennes)
    second = await say(cast.alice, "Deux", cevennes, answers=first)
    third = await say(cast.alice, "Trois", cevennes, answers=second)
    await withdraw(cast.alice, second)
    thread = await threads.around(cast.bruno, third)
    assert [card.id for card in thread.before] == [first]


async def test_a_reply_does_not_name_the_author_of_what_its_reader_may_not_read(cast: Cast) -> None:
    cevennes = await space("cevennes", Level.PARTNERS, cast.alice, partners=(KESTREL,))
    question = await say(cast.alice, "Entre nous", cevennes)
    await db.execute("UPDATE post SET published_at = published_at - 5000")
    await enter(cevennes, cast.chloe)
    answer = await say(cast.alice, "Pour tous", cevennes, answers=question)
    as_chloe = await threads.around(cast.chloe, answer)
    assert (as_chloe.before, as_chloe.post.reply_to_author) == ((), None)
    as_alice = await threads.around(cast.alice, answer)
    assert as_alice.post.reply_to_author is not None
