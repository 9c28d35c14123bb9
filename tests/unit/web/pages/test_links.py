"""The pages of linked instances: the map and its table, one link with all that is known, and its steps."""

import re

import pytest

from federation import outbox
from server import database as db
from server.actions import links
from server.actions.incidents import noticed
from server.actions.link_keys import tell_administrators
from server.actions.link_rows import TheirSide
from server.clock import now_ms
from server.ids import id_at, new_id
from server.openness import Level
from server.queries.lag import SLOT_MS
from server.viewer import Employee
from tests.cast import Cast, say, space, stranger
from tests.unit.web.pages.browser import Browser
from web.pages.showing.office import KIND_WORDS

pytestmark = pytest.mark.anyio
KESTREL = "kestrel.test"
PAGE = f"/admin/links/{KESTREL}"


async def kestrel() -> int:
    [row] = await db.fetch("SELECT id FROM peer WHERE host = $1", KESTREL)
    return int(row["id"])


class Found:
    """The other instance answers, and is Kestrel; what was asked of the link is remembered."""

    def __init__(self, browser: Browser, peer_id: int) -> None:
        self.offered: list[int | None] = []
        self._there = TheirSide(peer_id, KESTREL, "https://kestrel.test/actor#k", "z6MkPin")
        browser.app.state.linking = self

    async def offer(self, viewer: Employee, host: str, until_at: int | None = None) -> None:
        await links.offer(viewer, self._there, until_at)
        self.offered.append(until_at)


async def test_the_map_draws_each_instance_and_the_table_says_the_same(odile: Browser, cast: Cast) -> None:
    page = await odile.page("/admin/links")
    [drawing] = re.findall(r"<div class=\"linkmap\".*?</div>", page, re.DOTALL)
    assert f'href="{PAGE}"' in drawing and "active · 0 espace" in drawing and "style=" not in drawing
    assert f'<a href="{PAGE}">{KESTREL}</a>' in page and "sans fin" in page
    assert cast


def test_all_that_is_delivered_has_its_words_on_the_page_of_deliveries() -> None:
    assert {kind.value for kind in outbox._BY_KIND} - KIND_WORDS.keys() == set()


async def test_an_administrator_says_once_and_for_all_that_the_past_of_ours_elsewhere_is_not_opened(
    odile: Browser, cast: Cast
) -> None:
    assert "Nous l’acceptons." in await odile.page("/admin/links")
    await odile.post("/admin/links/past", consent="deny")
    for said in ("", "peut-être"):
        assert "Cette valeur ne convient pas" in await odile.refused("/admin/links/past", consent=said)
    page = await odile.page("/admin/links")
    assert "Nous refusons" in page and 'name="consent" value="allow"' in page
    await odile.post("/admin/links/past", consent="allow")
    assert "Nous l’acceptons." in await odile.page("/admin/links")
    assert "le passé de ses membres" not in await odile.page(PAGE)
    await db.execute("UPDATE peer SET denies_past = $1 WHERE host = $2", True, KESTREL)
    assert "Elle refuse que le passé de ses membres soit ouvert" in await odile.page(PAGE)
    assert cast


async def test_one_link_shows_its_spaces_people_key_clock_and_what_it_was_refused(odile: Browser, cast: Cast) -> None:
    await space("offre", Level.PARTNERS, cast.alice, cast.chloe, partners=(KESTREL,))
    peer_id = await kestrel()
    for _ in range(3):
        await noticed(
            peer_id, "RR3", "The words of a third instance need its author's proof.", "https://x.example/<b>1"
        )
    await noticed(peer_id, "unproved untrusted", "The signature does not match.")
    await db.execute("UPDATE peer SET skew_ms = 90000 WHERE id = $1", peer_id)
    await db.execute(
        "UPDATE link SET until_at = $1, their_key = 'z6MkPin' WHERE peer_id = $2", now_ms() + 10**10, peer_id
    )
    page = await odile.page(PAGE)
    for words in (
        "Offre",
        "chloe@kestrel.test",
        "z6MkPin",
        "en avance de",
        "paroles sans preuve",
        "sans preuve que ce soit",
    ):
        assert words in page, words
    assert "https://x.example/&lt;b&gt;1" in page and "<b>1" not in page


async def test_a_link_that_stopped_for_its_key_says_so_everywhere(odile: Browser, cast: Cast) -> None:
    await db.execute("UPDATE link SET state = 'suspended', cause = 'key' WHERE peer_id = $1", await kestrel())
    assert "sa clé a changé" in await odile.page("/admin/links")
    assert "une autre clé que celle" in await odile.page(PAGE)
    assert cast


async def test_an_administrator_says_that_an_instance_is_of_the_house(odile: Browser, cast: Cast) -> None:
    for step, kin in (("kin", True), ("kin", True), ("unkin", False)):
        await odile.post(f"{PAGE}/{step}", back="1")
        [row] = await db.fetch("SELECT kin FROM link WHERE peer_id = $1", await kestrel())
        assert bool(row["kin"]) is kin
        assert ("(maison)" in await odile.page(PAGE)) is kin
    assert cast


async def test_an_offer_may_end_on_a_day_and_who_is_asked_sees_it(odile: Browser, cast: Cast) -> None:
    found = Found(odile, await kestrel())
    for day, words in (("31/12/2027", "n’est pas une date"), ("2020-01-01", "doit être à venir")):
        page = await odile.refused("/admin/links", host="lyon.example", until=day)
        assert words in page and f'value="{day}"' in page and 'id="until-error"' in page
    await odile.post("/admin/links", host="lyon.example", until="2099-12-31")
    await odile.post("/admin/links", host="lyon.example")
    assert found.offered == [4_102_444_799_999, None]
    await db.execute(
        "UPDATE link SET state = 'received', until_at = $1 WHERE peer_id = $2", found.offered[0], await kestrel()
    )
    assert "durerait jusqu’au 31 décembre 2099" in await odile.page("/admin/links")
    assert cast


async def test_a_person_at_a_third_instance_is_attested_by_the_host(alice: Browser, cast: Cast) -> None:
    post = await say(cast.chloe, "vu de loin")
    await db.execute("UPDATE post SET attested_by_id = $1 WHERE id = $2", await kestrel(), post)
    assert "attesté par kestrel.test" in await alice.page(f"/posts/{post}")


TOLD = {
    "UPDATE peer SET last_ok_at = 1": ("ok", "Tout va bien", ""),
    "UPDATE peer SET state = 'backoff', failing_since_at = $1": ("", "ne répond plus depuis 2 heures", "rien à faire"),
    "UPDATE peer SET state = 'paused', failing_since_at = $1": ("danger", "refuse ce que nous lui envoyons", "Appelez"),
    "UPDATE peer SET state = 'archived', failing_since_at = $1": ("danger", "plus d’un mois", "mettez fin"),
    "UPDATE peer SET skew_ms = 90000": ("", "2 minutes d’écart", "régler"),
    "UPDATE link SET state = 'suspended', reason = 'audit en cours'": ("", "audit en cours", "reprendrez"),
    "UPDATE link SET state = 'suspended', cause = 'recall'": ("danger", "refusé un rappel", "Voir les rappels"),
    "UPDATE link SET state = 'ended'": ("", "terminée depuis le", "Voir les rappels"),
    "UPDATE link SET state = 'offered', confirmed_here_at = NULL": ("", "attend la réponse", "sa page"),
}


@pytest.mark.parametrize("statement", TOLD)
async def test_a_page_of_a_link_says_first_how_it_is_and_what_to_do(odile: Browser, cast: Cast, statement: str) -> None:
    await db.execute(statement, *([now_ms() - 7_200_000] if "$1" in statement else []))
    page = (await odile.page(PAGE)).replace("\xa0", " ")
    [first, *_] = re.findall(r'<div class="notice([^"]*)" role="status">(.*?)</div></div>', page, re.DOTALL)
    tone, sentence, more = TOLD[statement]
    assert first[0] == (f" notice--{tone}" if tone else "") and sentence in first[1] and more in first[1], first
    assert page.index("notice") < page.index("Espaces partagés") and cast


async def test_a_link_that_is_proposed_is_accepted_on_its_own_page(odile: Browser, cast: Cast) -> None:
    await db.execute("UPDATE link SET state = 'received', confirmed_here_at = NULL, confirmed_there_at = NULL")
    assert f'action="{PAGE}/accept"' in await odile.page(PAGE)
    assert await odile.post(f"{PAGE}/accept", back="1") == PAGE
    [row] = await db.fetch("SELECT state FROM link")
    assert row["state"] == "confirmed" and cast


async def test_how_long_deliveries_waited_is_drawn_for_a_week_and_said_by_day(odile: Browser, cast: Cast) -> None:
    now, hour, peer_id = now_ms(), 3_600_000, await kestrel()
    assert "Rien ne lui a été envoyé" in await odile.page(PAGE)
    waited = [(30 * hour, 10_000, "sent"), (54 * hour, 20 * 60_000, "sent"), (100 * hour, 9 * hour, "sent")]
    waited += [(24 * 8 * hour, 1000, "sent"), (3 * hour, 10_000, "skipped")]
    for seq, (ago, lasted, state) in enumerate(waited):
        event = {"id": new_id(), "kind": "person_changed", "created_at": now}
        at = now - now % SLOT_MS - ago  # nothing lies across two slots that does not have to
        row = {"id": id_at(at), "peer_id": peer_id, "seq": seq, "event_id": event["id"], "inbox": "x", "state": state}
        await db.insert("event", event)
        await db.insert("delivery", row | {"created_at": at, "done_at": at + lasted})
    page = (await odile.page(PAGE)).replace("\xa0", " ")
    steps = [int(step) for step in re.findall(r'<rect class="week__(\d)"', page)]
    assert len(steps) == 28 and steps.count(1) == 1 and steps.count(2) >= 1
    assert steps.index(3) < steps.index(2) < steps.index(1), "the oldest first"
    assert "l’attente la plus longue a été de 9 heures" in page and cast


@pytest.mark.parametrize(
    ("about", "said"), [("behind", "attend depuis des minutes"), ("key", "une autre clé"), ("refused", "refuse ce que")]
)
async def test_a_notice_of_a_link_says_what_is_the_matter_and_leads_to_it(
    odile: Browser, cast: Cast, about: str, said: str
) -> None:
    there = await stranger("actor", "Kestrel GmbH", KESTREL)
    await db.execute("UPDATE actor SET kind = 'application' WHERE id = $1", there.actor_id)
    await tell_administrators(await kestrel(), about, 1)
    page = await odile.page("/notifications")
    assert said in page and page.count(f'href="{PAGE}"') == 2 and "/@actor" not in page
    assert cast


async def test_copies_are_those_that_a_partner_still_has_to_hold(odile: Browser, cast: Cast) -> None:
    space_id, peer_id = (
        await space("offre", Level.PARTNERS, cast.alice, cast.chloe, partners=(KESTREL,)),
        await kestrel(),
    )
    posts = [await say(cast.alice, f"mot {number}", space_id) for number in range(3)]
    await db.execute("DELETE FROM delivery")
    for seq, event in enumerate(await db.fetch("SELECT id FROM event WHERE kind = 'post_published' ORDER BY id")):
        row = {"id": new_id(), "peer_id": peer_id, "seq": seq, "event_id": event["id"], "inbox": "x", "state": "sent"}
        await db.insert("delivery", row | {"created_at": 5, "done_at": 6})
    assert "3 copies chez eux" in await odile.page("/admin/links")
    await db.execute("UPDATE post SET deleted_at = 7 WHERE id = $1", posts[0])
    assert "2 copies chez eux" in await odile.page("/admin/links")
    recall = {"id": new_id(), "space_id": space_id, "scope": "space", "reason": "set_openness", "keep": "none"}
    await db.insert("recall", recall | {"deadline_at": 9, "created_at": 8})
    target = {"id": new_id(), "recall_id": recall["id"], "peer_id": peer_id, "linked": True, "state": "sent"}
    await db.insert("recall_target", target | {"items": 4})
    assert "2 copies chez eux" in await odile.page("/admin/links"), "asked back, and not signed for"
    await db.execute("UPDATE recall_target SET state = 'partial', purged = 3")
    assert "2 copies chez eux" in await odile.page("/admin/links"), "it keeps some of ours"
    await db.execute("UPDATE recall_target SET purged = 4")
    assert "0 copie chez eux" in await odile.page("/admin/links")


async def test_why_it_failed_is_said_in_the_readers_language_on_every_page(odile: Browser, cast: Cast) -> None:
    peer_id, event = await kestrel(), {"id": new_id(), "kind": "person_changed", "created_at": 1}
    await db.insert("event", event)
    row = {"id": new_id(), "peer_id": peer_id, "seq": 1, "event_id": event["id"], "inbox": "x", "created_at": 1}
    await db.insert("delivery", row | {"state": "dead", "error": "not understood"})
    await noticed(peer_id, "refused", "The actor is gone.")
    await noticed(peer_id, "hidden", "no such space")
    await noticed(peer_id, "refused", "ValueError")
    await db.execute("UPDATE peer SET last_error = 'The other instance broke the connection off.'")
    stopped = "The recall itself was refused: policy"
    await db.execute("UPDATE link SET state = 'suspended', cause = 'recall', reason = $1", stopped)
    said = {
        PAGE: {
            "The other instance broke the connection off.": "L’autre instance a coupé la connexion.",
            "The actor is gone.": "L’acteur n’existe plus.",
            "no such space": "pas d’espace à cette adresse",
            stopped: "Le rappel lui-même a été refusé\u202f: ses règles ne le permettent pas",
        },
        "/admin/links": {stopped: "Le rappel lui-même a été refusé\u202f: ses règles ne le permettent pas"},
        "/admin/deliveries": {"not understood": "pas compris"},
    }
    for path, reasons in said.items():
        french = await odile.page(path, headers={"accept-language": "fr"})
        english = await odile.page(path, headers={"accept-language": "en"})
        for kept, words in reasons.items():
            assert words in french and kept not in french and kept in english and words not in english, (path, kept)
    page = await odile.page(PAGE, headers={"accept-language": "fr"})
    assert '<span lang="en">ValueError</span>' in page, "no words: said to be English"
    await db.execute("UPDATE link SET state = 'suspended', cause = '', reason = 'not understood'")
    assert '<q dir="auto">not understood</q>' in await odile.page(PAGE), "what somebody typed stays"
    assert cast


async def put_aside(peer_id: int, number: int) -> int:
    event: dict[str, int | str] = {"id": new_id(), "kind": "person_changed", "created_at": 1}
    await db.insert("event", event)
    delivery_id = new_id()
    row = {"id": delivery_id, "peer_id": peer_id, "seq": number, "event_id": event["id"], "inbox": "x", "created_at": 1}
    await db.insert("delivery", row | {"state": "dead", "error": "not understood"})
    return delivery_id


async def waiting() -> int:
    [row] = await db.fetch("SELECT COUNT(*) AS n FROM delivery WHERE state = 'pending'")
    return int(row["n"])


async def test_what_was_put_aside_is_tried_again_from_the_pages(odile: Browser, alice: Browser, cast: Cast) -> None:
    [first, *_] = [await put_aside(await kestrel(), number) for number in (1, 2, 3)]
    retry, one = "/admin/deliveries/retry", f'name="id" value="{first}"'
    for path in (PAGE, f"/admin/deliveries?host={KESTREL}", "/admin/deliveries"):
        page = await odile.page(path)
        assert (f'name="host" value="{KESTREL}"' in page) is (path != "/admin/deliveries"), path
        assert (one in page) is path.startswith("/admin/deliveries")
    for fields in ({"id": str(first)}, {"host": KESTREL}):
        await alice.post(retry, _status=403, **fields)
    for fields in ({}, {"id": "7"}, {"id": "x"}):
        await odile.post(retry, _status=404, **fields)
    answer = await odile("POST", retry, data={"host": KESTREL}, headers={"origin": "https://ailleurs.test"})
    assert answer.status_code == 403 and await waiting() == 0, "from another site"

    told = await odile.page(await odile.post(retry, id=str(first)))
    assert "1 envoi repart vers kestrel.test" in told and one not in told and await waiting() == 1
    assert "Rien n’était mis de côté" in await odile.page(await odile.post(retry, id=str(first)))
    back = await odile.post(retry, host=KESTREL.upper(), back="1")
    assert back.startswith(PAGE) and await waiting() == 3
    page = await odile.page(back)
    assert "2 envois repartent vers kestrel.test" in page and "Réessayer" not in page
    english = await odile.page(back, headers={"accept-language": "en"})
    assert "2 deliveries are sent to kestrel.test again" in english
    assert "a fait repartir ce qui était mis de côté" in await odile.page("/admin/audit")
    for odd in ("x", "-1", "9" * 40, "<b>"):
        assert "repart" not in await odile.page(PAGE, params={"again": odd}) and cast


async def test_nothing_is_tried_again_where_a_link_is_not_active(odile: Browser, cast: Cast) -> None:
    await put_aside(await kestrel(), 1)
    assert "Réessayer" in await odile.page(PAGE)
    for state in ("suspended", "ended"):
        await db.execute("UPDATE link SET state = $1", state)
        assert "Réessayer" not in await odile.page(PAGE) and cast
