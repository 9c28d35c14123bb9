"""Search finds what its asker may read, as it is now, and nothing else."""

import pytest

from server.actions.posts import edit, withdraw
from server.actions.spaces import set_openness
from server.openness import Level, Visibility
from server.queries import search
from server.viewer import Viewer
from tests.cast import HERE, KESTREL, Cast, say, space

pytestmark = pytest.mark.anyio


async def found(viewer: Viewer, words: str) -> list[int]:
    return [card.id for card in await search.posts(viewer, words)]


async def test_bruno_driss_and_a_visitor_do_not_find_words_of_a_space_they_are_not_in(cast: Cast) -> None:
    cevennes = await space("cevennes", Level.PARTNERS, cast.alice, cast.chloe, partners=(KESTREL,))
    post = await say(cast.alice, "La dérive du poste 3", cevennes)
    for viewer in (cast.bruno, *cast.outsiders()):
        assert await found(viewer, "dérive") == []
    assert await found(cast.chloe, "DERIVE poste") == [post]
    assert await found(cast.alice, "dérive absente") == []


async def test_A15_a_space_that_closes_leaves_the_results_of_those_outside(cast: Cast) -> None:
    team = await space("equipe", Level.INTERNAL, cast.alice)
    post = await say(cast.alice, "Le tilleul", team)
    assert await found(cast.bruno, "tilleul") == [post]
    await set_openness(cast.alice, team, Level.CLOSED)
    assert await found(cast.bruno, "tilleul") == []


async def test_what_was_edited_away_or_withdrawn_is_not_found(cast: Cast) -> None:
    post = await say(cast.alice, "Le premier mot")
    await edit(cast.alice, post, "Le second œuvre", HERE)
    assert await found(cast.bruno, "premier") == []
    assert await found(cast.bruno, "oeuvre") == [post]
    await withdraw(cast.alice, post)
    assert await found(cast.alice, "second") == []


async def test_markup_and_wildcards_are_not_words(cast: Cast) -> None:
    post = await say(cast.alice, "Cent **pour** cent : 100 %")
    assert await found(cast.alice, "strong") == []
    assert await found(cast.alice, "_____") == []
    assert await found(cast.alice, "  ") == []
    assert await found(cast.alice, "100 %") == [post]


async def test_results_come_newest_first_and_go_on_from_the_last_one(cast: Cast) -> None:
    posts = [await say(cast.alice, f"balise {n}", visibility=Visibility.PUBLIC) for n in range(3)]
    first = await search.posts(cast.web, "balise", limit=2)
    rest = await search.posts(cast.web, "balise", limit=2, before=first[-1].id)
    assert [card.id for card in first + rest] == posts[::-1]
