"""A link carries no right: whoever shares it, what it opens is asked of whoever opens it, at that moment."""

import html

import pytest
from starlette.applications import Starlette

from server import database as db
from server.actions.spaces import set_openness
from server.ids import new_id
from server.openness import Level, Visibility
from tests import cast as company
from tests.cast import HERE, KESTREL, Cast
from tests.unit.web.pages.browser import Browser, bare, browser_of
from tests.unit.web.pages.test_files import SMALL, attached, small_of

pytestmark = pytest.mark.anyio


class TakenBack(Exception):
    """Ends a transaction without its commit."""


async def test_the_link_that_a_member_shares_opens_nothing_for_who_may_not_read(
    app: Starlette, cast: Cast, alice: Browser, bruno: Browser, visitor: Browser
) -> None:
    guest = await browser_of(app, await company.guest("gwen", "Gwen", cast.alice, "Cabinet Ouest"))
    team = await company.space("offre", Level.PARTNERS, cast.alice, cast.chloe, partners=(KESTREL,))
    post = await company.say(cast.alice, "l’offre", team)
    page = await alice.page(f"/posts/{post}/share")
    assert f'value="{HERE.post(post)}"' in page
    never = new_id()
    for outsider in (bruno, guest, visitor):
        for path in ("/posts/{}", "/posts/{}/share", "/posts/{}?part=card"):
            hidden, unheard = await outsider.get(path.format(post)), await outsider.get(path.format(never))
            assert hidden.status_code == unheard.status_code == 404
            assert bare(hidden.text, str(post)) == bare(unheard.text, str(never))


async def test_what_was_shared_closes_with_the_space_before_the_change_is_even_committed(
    app: Starlette, cast: Cast, alice: Browser, bruno: Browser, visitor: Browser
) -> None:
    """The page, the link's own page, the file and its small picture: for the one who had them open, and in one cut."""
    team = await company.space("presse", Level.PUBLIC, cast.alice)
    post = await company.say(cast.alice, "Le coffret", team)
    file = await attached(app, cast.alice, post, "image/png")
    shared = (f"/posts/{post}", f"/posts/{post}/share", file, small_of(file))

    async def answers(who: Browser) -> set[int]:
        return {(await who.get(path)).status_code for path in shared}

    assert (await visitor.get(small_of(file))).content == SMALL
    with pytest.raises(TakenBack):
        async with db.transaction():
            assert await answers(bruno) == await answers(visitor) == {200}
            await set_openness(cast.alice, team, Level.CLOSED)
            assert await answers(bruno) == await answers(visitor) == {404}
            assert await answers(alice) == {200}
            raise TakenBack
    assert await answers(bruno) == await answers(visitor) == {200}, "what was not committed has closed nothing"


async def test_the_page_says_who_can_open_it_and_what_would_be_enough_for_the_others(
    cast: Cast, alice: Browser, bruno: Browser, visitor: Browser
) -> None:
    team = await company.space("offre", Level.PARTNERS, cast.alice, cast.chloe, partners=(KESTREL,))
    post = await company.say(cast.alice, "l’offre", team)
    assert f'href="/posts/{post}/share"' in await alice.page(f"/posts/{post}")
    page = html.unescape(await alice.page(f"/posts/{post}/share"))
    for words in (
        "Ce lien ne donne aucun droit",
        "2 personnes peuvent voir ce message",
        f"Membres, chez {KESTREL}",
        "Qui ne le voit pas",
        "Visiteurs sans compte",
        "Il suffirait de demander à entrer, et qu’un·e animateur·rice accepte.",
    ):
        assert words in page, words
    public = await company.say(cast.alice, "Nouvelle", await company.space("presse", Level.PUBLIC, cast.alice))
    page = html.unescape(await visitor.page(f"/posts/{public}/share"))
    assert "Ce lien est public" in page and "Tout le monde peut voir ce message" in page
    followers = await company.say(cast.alice, "@bruno bonjour", visibility=Visibility.DIRECT)
    page = html.unescape(await bruno.page(f"/posts/{followers}/share"))
    assert "Ce lien ne donne aucun droit" in page and "Si le message est retiré" in page


async def test_who_may_not_count_the_readers_has_the_link_alone(cast: Cast, bruno: Browser) -> None:
    team = await company.space("equipe", Level.INTERNAL, cast.alice)
    post = await company.say(cast.alice, "Bonjour", team)
    await db.execute("""UPDATE space SET narrowed = '{"staff":{"members":0}}'""")
    page = html.unescape(await bruno.page(f"/posts/{post}/share"))
    assert HERE.post(post) in page and "Vous ne pouvez pas voir qui lit" in page and "Visiteurs" not in page


async def test_of_what_was_written_elsewhere_there_is_a_link_for_the_people_there(cast: Cast, alice: Browser) -> None:
    team = await company.space("offre", Level.PARTNERS, cast.alice, cast.chloe, partners=(KESTREL,))
    post = await company.say(cast.chloe, "notre offre", team)
    there = f"https://{KESTREL}/posts/7"
    await db.execute("UPDATE post SET uri = $1 WHERE id = $2", there, post)
    page = html.unescape(await alice.page(f"/posts/{post}/share"))
    assert f'value="{HERE.post(post)}"' in page and f'value="{there}"' in page
    assert f"Pour les personnes de {KESTREL}" in page
