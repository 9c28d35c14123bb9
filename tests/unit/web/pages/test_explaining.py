"""« Qui voit ceci ? » on every thing, and why somebody does not; the composer says who before anything is sent."""

import html

import pytest

from server import database as db
from server.clock import now_ms
from server.openness import Level
from tests import cast as company
from tests.cast import KESTREL, Cast
from tests.unit.web.pages.browser import Browser, bare

pytestmark = pytest.mark.anyio


async def offer(cast: Cast) -> int:
    """A space with Alice, Bruno, a guest of the Atelier and Chloé at Kestrel in it."""
    guest = await company.guest("gisele", "Gisèle", cast.alice, "Atelier")
    inside = (cast.bruno, guest, cast.chloe)
    space_id = await company.space("offre", Level.PARTNERS, cast.alice, *inside, partners=(KESTREL,))
    await db.execute("UPDATE peer SET last_heard_at = $1 WHERE host = $2", now_ms(), KESTREL)
    return space_id


async def test_everybody_stands_there_by_what_they_are_with_numbers_and_those_who_do_not_see(
    cast: Cast, alice: Browser
) -> None:
    await offer(cast)
    page = html.unescape(await alice.page("/spaces/offre/audience"))
    for words in (
        "4 personnes peuvent lire cet espace",
        "Membres, collègues</strong> · 2",
        "Membres, invités (Atelier)</strong> · 1",
        f"Membres, chez {KESTREL}</strong> · au plus 1, attesté le",
        "Qui ne le voit pas",
        "Visiteurs sans compte",
        "Il suffirait de demander à entrer, et qu’un·e animateur·rice accepte.",
    ):
        assert words in page, words
    assert "/@chloe@kestrel.test" in page and "/@gisele" in page


async def test_why_somebody_does_not_see_it_is_told_with_the_smallest_change(cast: Cast, alice: Browser) -> None:
    post_id = await company.say(cast.alice, "l’offre", await offer(cast))
    page = html.unescape(await alice.page(f"/explain?thing=post:{post_id}&as=web&who=driss@kestrel.test"))
    assert "Pourquoi Driss Haddad ne le peut pas" in page
    assert "Il suffirait d’une invitation dans l’espace" in page
    assert "Qui le peut\u202f: Alice Fournier." in page
    english = await alice.page(f"/explain?thing=post:{post_id}&as=fed", headers={"accept-language": "en"})
    assert "It would be enough that the space moves to the level “Network”" in html.unescape(english)


async def test_what_is_asked_wrongly_keeps_what_was_typed_and_what_is_hidden_is_not_found(
    cast: Cast, alice: Browser, bruno: Browser
) -> None:
    await company.space("rachat", Level.CLOSED, cast.alice, listed=False)
    wrong = await alice("GET", "/explain?thing=space:rachat&who=personne")
    assert wrong.status_code == 422
    assert 'value="personne"' in wrong.text and "ni un genre de lecteur" in wrong.text
    for path in ("/explain?thing=space:rachat&as=web", "/spaces/rachat/audience"):
        answer = await bruno("GET", path)
        never = await bruno("GET", path.replace("rachat", "jamais"))
        assert (answer.status_code, bare(answer.text, "rachat")) == (404, bare(never.text, "jamais"))
    await company.space("projet", Level.CLOSED, cast.alice)
    asked = await bruno("GET", "/explain?thing=space:projet&who=alice")
    assert asked.status_code == 403
    assert "Seuls" in asked.text or "seuls ses membres" in asked.text
    may = html.unescape(await bruno.page("/explain?thing=space:projet&as=me"))
    assert "Il suffirait de demander à entrer" in may and "Alice" not in may


async def test_persons_and_files_are_asked_about_too(cast: Cast, alice: Browser) -> None:
    page = html.unescape(await alice.page("/explain?thing=person:bruno&as=web"))
    assert "Les collègues voient le profil entier" in page and "Oui\u202f: peut voir cette personne." in page
    assert "/explain?thing=person:bruno" in await alice.page("/@bruno")
    post_id = await company.say(cast.alice, "le plan", await company.space("plans", Level.INTERNAL, cast.alice))
    row = {"id": 77, "owner_id": cast.alice.actor_id, "name": "plan.txt", "media_type": "text/plain", "size": 1}
    await db.insert("attachment", {**row, "post_id": post_id, "state": "ready", "created_at": now_ms()})
    assert "/explain?thing=file:77" in await alice.page(f"/posts/{post_id}/audience")
    assert "que l’espace passe au niveau" in html.unescape(await alice.page("/explain?thing=file:77&as=web"))


async def test_the_composer_warns_when_people_from_outside_read_and_shows_the_tone(cast: Cast, alice: Browser) -> None:
    space_id = await offer(cast)
    await db.execute("UPDATE space SET tone = 'direct, factuel', frame = 'Le devis' WHERE id = $1", space_id)
    post_id = await company.say(cast.alice, "l’offre", space_id)
    for path in ("/spaces/offre", "/posts/new?part=audience&where=offre", f"/posts/{post_id}"):
        page = html.unescape(await alice.page(path))
        assert "Des personnes de l’extérieur liront ceci." in page, path
        assert "Ton\u202f: direct, factuel" in page and "Le devis" in page
        assert "4 personnes</strong>\u202f: 2 collègues, 1 invité, 1 chez kestrel.test" in page
    assert 'href="/spaces/offre/audience"' in await alice.page("/spaces/offre")
    assert f'href="/posts/{post_id}/audience"' in await alice.page(f"/posts/{post_id}")
    await company.space("interne", Level.INTERNAL, cast.alice)
    assert "liront ceci" not in await alice.page("/spaces/interne")
