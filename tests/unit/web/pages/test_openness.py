"""The openness page of a space: nothing opens before it was shown, nobody opens alone, narrowing never waits."""

import html
import re
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest
from starlette.applications import Starlette

from server import database as db
from server import declared_values
from server.actions import consent, openness
from server.actions.openness import Door, How
from server.actions.spaces import name_partner, set_openness
from server.clock import now_ms
from server.errors import Forbidden, Invalid, NotFound
from server.ids import new_id
from server.openness import Audience, Level, Office, PartnerView, Reach
from server.queries import pending, policies, spaces
from server.space_policy import DAY_MS, SpacePolicy
from server.terminal import phrase
from server.viewer import Employee, Operator
from tests.cast import KESTREL, Cast, employee, enter, say, space
from tests.unit.web.pages.browser import Browser, bare, browser_of
from web.locale import choose
from web.pages import openness_form
from web.pages.openness_form import day_of
from web.pages.showing.frame import sentence_of

pytestmark = pytest.mark.anyio

SLUG = "cevennes"
AT = f"/spaces/{SLUG}/openness"


def fields_of(page: str) -> dict[str, Any]:
    """What the form of a page would send, as a browser without scripts sends it."""
    form = re.search(r'<form class="stack openness".*?</form>', page, re.DOTALL)
    assert form is not None, "no form"
    sent: dict[str, Any] = {}
    for tag in re.findall(r"<input[^>]*>", form[0]):
        told = dict(re.findall(r'([\w-]+)="([^"]*)"', tag))
        if told.get("type") in ("radio", "checkbox") and " checked" not in tag:
            continue
        if "name" in told:
            sent[told["name"]] = html.unescape(told.get("value", ""))
    for name, body in re.findall(r'<select[^>]*name="([^"]*)"[^>]*>(.*?)</select>', form[0], re.DOTALL):
        chosen = re.search(r'<option value="([^"]*)" selected', body) or re.search(r'<option value="([^"]*)"', body)
        sent[name] = chosen[1] if chosen else ""
    for name, body in re.findall(r'<textarea[^>]*name="([^"]*)"[^>]*>(.*?)</textarea>', form[0], re.DOTALL):
        sent[name] = html.unescape(body)
    return sent


async def filled(browser: Browser, _at: str = AT, **changed: Any) -> dict[str, Any]:
    """The form as it stands, with some fields filled otherwise; None: not ticked."""
    sent = {**fields_of(await browser.page(_at)), **changed}
    return {name: value for name, value in sent.items() if value is not None}


async def tried(browser: Browser, **changed: Any) -> dict[str, Any]:
    """The form after « Voir ce que cela change »: with the hash of the plan that was shown."""
    return fields_of(await browser.post(AT, 200, **await filled(browser, **changed)))


async def person(name: str) -> Employee:
    row = await db.fetch_one("SELECT id, actor_id, office FROM account WHERE name = $1", name)
    assert row is not None
    return Employee(row["id"], row["actor_id"], Office(row["office"]))


async def policy_of(cast: Cast) -> SpacePolicy:
    return await policies.current((await spaces.find(cast.alice, SLUG)).id)


async def second_person() -> None:
    await db.insert("guardrail", {"id": new_id(), "name": "require_second_person_from", "value": '"partners"'})


async def change_id() -> int:
    row = await db.fetch_one("SELECT id FROM policy_change ORDER BY id DESC LIMIT 1")
    assert row is not None
    return int(row["id"])


# --- refused --------------------------------------------------------------------------------------


async def test_who_may_not_change_it_reads_the_facts_and_changes_nothing(cast: Cast, bruno: Browser) -> None:
    await space(SLUG, Level.CLOSED, cast.alice, cast.bruno)
    page = await bruno.page(AT)
    assert "<form class=" not in page.partition("<main")[2].partition("</main>")[0]
    assert "Seuls les membres lisent." in page and "Historique" in page
    for do in ("apply", "narrow", "draft", "as", ""):
        answer = await bruno("POST", f"{AT}?do={do}", data={"level": "public"})
        assert answer.status_code == 403 and "responsables" in answer.text
    for path in (f"{AT}/close", f"{AT}/review", f"{AT}/changes/7"):
        assert (await bruno("POST", path)).status_code == 403
    assert (await policy_of(cast)).level is Level.CLOSED


async def test_who_is_no_member_reads_no_history(cast: Cast, bruno: Browser) -> None:
    await space(SLUG, Level.INTERNAL, cast.alice)
    assert "Historique" not in await bruno.page(AT)
    assert (await bruno.get(f"{AT}/history")).status_code == 403


async def test_what_was_not_shown_is_not_applied(cast: Cast, alice: Browser) -> None:
    await space(SLUG, Level.CLOSED, cast.alice)
    sent = await filled(alice, level="internal")
    page = await alice.post(f"{AT}?do=apply", 409, **sent)
    assert "Ce n’est plus ce qui vous avait été montré" in page
    assert (await policy_of(cast)).level is Level.CLOSED
    shown = fields_of(page)
    page = await alice.post(f"{AT}?do=apply", 409, **{**shown, "level": "public"})
    assert (await policy_of(cast)).level is Level.CLOSED
    assert await alice.post(f"{AT}?do=apply", **shown) == f"{AT}?done=applied"
    assert (await policy_of(cast)).level is Level.INTERNAL


async def test_a_version_that_moved_shows_the_new_state_and_keeps_what_was_typed(cast: Cast, alice: Browser) -> None:
    team = await space(SLUG, Level.CLOSED, cast.alice)
    shown = await tried(alice, level="internal", reason="pour tous")
    await set_openness(Operator(), team, Level.CLOSED, listed=False)
    page = await alice.post(f"{AT}?do=apply", 409, **shown)
    assert "vient de changer" in page and "pour tous" in page
    again = fields_of(page)
    assert (again["level"], again["base"]) == ("internal", "2")
    assert again["plan"] != shown["plan"]
    await alice.post(f"{AT}?do=apply", **again)
    assert (await policy_of(cast)).level is Level.INTERNAL


async def test_nobody_approves_their_own_request_nor_another_plan(cast: Cast, alice: Browser, odile: Browser) -> None:
    await second_person()
    await space(SLUG, Level.PARTNERS, cast.alice)
    shown = await tried(alice, add=KESTREL, reason="appel d’offres")
    assert await alice.post(f"{AT}?do=apply", **shown) == f"{AT}?done=waiting"
    change, before = await change_id(), await policy_of(cast)
    assert before.partners == ()
    page = await alice.page(AT)
    assert "Retirer la demande" in page and "Valider</button>" not in page
    assert "soi-même" in page or "propre demande" in await alice.refused(
        f"{AT}/changes/{change}", do="approve", plan=shown["plan"]
    )
    assert "plus le même" in await odile.refused(f"{AT}/changes/{change}", do="approve", plan="0" * 64)
    assert (await policy_of(cast)) == before


async def test_a_change_of_one_space_is_not_reached_through_another(cast: Cast, alice: Browser, bruno: Browser) -> None:
    await second_person()
    await space(SLUG, Level.PARTNERS, cast.alice)
    await space("autre", Level.PARTNERS, cast.bruno)
    shown = await tried(alice, add=KESTREL)
    await alice.post(f"{AT}?do=apply", **shown)
    answer = await bruno("POST", f"/spaces/autre/openness/changes/{await change_id()}", data={"do": "decline"})
    assert answer.status_code == 404


async def test_what_a_level_does_not_allow_is_told_beside_its_field(cast: Cast, alice: Browser) -> None:
    await space(SLUG, Level.PARTNERS, cast.alice)
    sent = await filled(alice, closes_at="2020-01-01", seats="beaucoup", review_days="99999", p0_until="hier")
    page = await alice.post(AT, 200, **sent)
    for name in ("closes_at", "seats", "review_days"):
        assert f'id="{name}-error"' in page and f'aria-describedby="{name}-error' in page
    assert 'value="beaucoup"' in page and "Appliquer</button>" not in page
    page = await alice.post(f"{AT}?do=apply", 422, **sent)
    assert (await policy_of(cast)).closes_at is None


async def test_a_partner_that_is_not_linked_is_refused_in_words(cast: Cast, alice: Browser) -> None:
    await space(SLUG, Level.PARTNERS, cast.alice)
    page = await alice.post(AT, 200, **await filled(alice, add="inconnu.test"))
    assert "n’est pas une instance liée" in page
    assert "Appliquer</button>" not in page


async def test_narrowing_at_once_is_refused_when_something_would_open(cast: Cast, alice: Browser) -> None:
    await space(SLUG, Level.CLOSED, cast.alice)
    page = await alice.refused(f"{AT}?do=narrow", **await filled(alice, level="internal"))
    assert "simple resserrement" in page
    assert (await policy_of(cast)).level is Level.CLOSED


async def test_what_a_file_manages_is_read_only_and_refused(cast: Cast, alice: Browser) -> None:
    team = await space(SLUG, Level.PARTNERS, cast.alice)
    await db.execute(
        "UPDATE space SET managed_by = $1, managed_fields = $2 WHERE id = $3",
        "deploy/spaces.toml",
        '["level","closes_at"]',
        team,
    )
    page = await alice.page(AT)
    assert "géré par deploy/spaces.toml" in page
    assert '<fieldset class="threshold" disabled' in page
    assert re.search(r'id="closes_at"[^>]*readonly', page)
    shown = await tried(alice, level="network")
    assert "géré par" in await alice.refused(f"{AT}?do=apply", **shown)
    assert (await policy_of(cast)).level is Level.PARTNERS


# --- done, as a browser without scripts does it ---------------------------------------------------


async def test_a_space_is_opened_to_a_partner_until_a_date_by_its_form(cast: Cast, alice: Browser) -> None:
    await space(SLUG, Level.PARTNERS, cast.alice)
    until, end = day_of(now_ms() + 30 * DAY_MS), day_of(now_ms() + 60 * DAY_MS)
    shown = await tried(alice, add=KESTREL)
    assert shown["p0_host"] == KESTREL
    shown = fields_of(
        await alice.post(
            AT,
            200,
            **{
                **shown,
                "p0_until": until,
                "p0_files": "0",
                "p0_max": "20",
                "closes_at": end,
                "then_level": "closed",
                "partner_view": "blind",
                "less_guest_member_take_part": "1",
                "charter": "Dire les choses.",
                "objective0_text": "Coupures évitées",
                "objective0_target": "12",
            },
        )
    )
    await alice.post(f"{AT}?do=apply", **shown)
    found = await policy_of(cast)
    terms = found.partner(KESTREL)
    assert terms is not None and terms.until_at is not None
    assert (day_of(terms.until_at), terms.people_max, terms.less) == (until, 20, (("files", 0),))
    assert found.closes_at is not None and day_of(found.closes_at) == end
    assert (found.then_level, found.partner_view) == (Level.CLOSED, PartnerView.BLIND)
    assert found.less == ((Audience.GUEST_MEMBER, (("take_part", 1),)),)
    assert (found.charter, found.objectives) == (
        "Dire les choses.",
        ({"text": "Coupures évitées", "target": "12"},),
    )
    assert await alice.post(f"{AT}?do=apply", **await tried(alice)) == f"{AT}?done=unchanged"


async def test_the_form_as_it_stands_changes_nothing(cast: Cast, alice: Browser) -> None:
    team = await space(SLUG, Level.PARTNERS, cast.alice, partners=(KESTREL,))
    moment = now_ms() + DAY_MS
    await db.execute("UPDATE space SET closes_at = $1, review_days = 90 WHERE id = $2", moment, team)
    await db.execute("UPDATE space_partner SET until_at = $1, people_max = 3 WHERE space_id = $2", moment, team)
    before = await policies.current(team)
    page = await alice.post(AT, 200, **await filled(alice))
    assert "l’espace est déjà ainsi" in page
    assert await policies.current(team) == before


async def test_the_impact_is_shown_in_figures_and_words_before_and_the_past_with_its_counts(
    cast: Cast, alice: Browser
) -> None:
    team = await space(SLUG, Level.PARTNERS, cast.alice, reach=Reach.EVERYONE)
    await say(cast.alice, "Avant", team)
    await say(cast.alice, "Avant aussi", team)
    await db.execute("UPDATE post SET published_at = published_at - 1000")
    page = await alice.post(AT, 200, **await filled(alice, add=KESTREL))
    assert "est ajouté" in page and "instance recevra des copies" in page
    assert "Les 2 messages déjà écrits restent réservés" in page
    assert "2 messages et 0 documents de plus" in page
    sent = fields_of(page)
    page = await alice.post(AT, 200, **sent, past="1")
    assert re.search(r"<dt>messages passés deviennent visibles</dt><dd>2</dd>", page)
    await alice.post(f"{AT}?do=apply", **fields_of(page))
    assert "Messages plus anciens ouverts" not in await alice.page(AT)  # their stamps allowed it already
    assert "Personnes d’autres instances" not in page


async def test_whose_words_are_opened_and_whose_are_left_out_is_said_before_and_in_the_history(
    cast: Cast, alice: Browser, bruno: Browser
) -> None:
    team = await space(SLUG, Level.PARTNERS, cast.alice, cast.chloe, cast.bruno, partners=(KESTREL,))
    await say(cast.bruno, "Avant", team)
    await say(cast.chloe, "Avant aussi", team)
    await consent.heard(cast.kestrel.peer_id, False)
    page = await alice.post(AT, 200, **await filled(alice, reach="everyone"))
    assert "Laissés de côté" in page and f"<small>{KESTREL}</small>" in page
    page = await alice.post(AT, 200, **fields_of(page), past="1")
    assert "1 message et 0 fichiers : cette instance n’y consent pas" in page
    await alice.post(f"{AT}?do=apply", **fields_of(page))
    assert "Messages laissés de côté, faute de consentement : 1" in await alice.page(AT)
    page = await bruno.page("/notifications")
    assert "Vos messages, écrits depuis le " in page and f"laisse entrer, dont celles de {KESTREL}" in page


async def test_a_script_gets_the_impact_alone(cast: Cast, alice: Browser) -> None:
    await space(SLUG, Level.CLOSED, cast.alice)
    piece = await alice.post(f"{AT}?part=impact", 200, **await filled(alice, level="internal"))
    assert "<html" not in piece and "Avant d’appliquer" in piece and 'name="plan"' in piece


async def test_narrowing_is_one_click_and_closing_says_what_it_cannot_take_back(
    cast: Cast, alice: Browser, bruno: Browser
) -> None:
    await second_person()
    team = await space(SLUG, Level.INTERNAL, cast.alice)
    await say(cast.alice, "entre collègues", team)
    assert "entre collègues" in await bruno.page(f"/spaces/{SLUG}")
    await alice.post(f"{AT}?do=narrow", **await filled(alice, level="closed", listed=None))
    assert (await bruno.get(f"/spaces/{SLUG}")).status_code == 404
    await set_openness(Operator(), team, Level.INTERNAL)
    page = await alice.page(f"{AT}/close")
    assert "Personne n’a à valider" in page and "message ne sera plus lu" in page
    assert "<html" not in await alice.page(f"{AT}/close?part=dialog")
    assert await alice.post(f"{AT}/close", reason="fini") == f"{AT}?done=closed"
    found = await policy_of(cast)
    assert (found.level, found.listed) == (Level.CLOSED, True)
    history = await alice.page(f"{AT}/history")
    assert "Interne → Fermé" in history and "fini" in history and "par la page" in history
    assert "en ligne de commande" in history


async def test_a_second_person_sees_the_plan_and_approves_it(cast: Cast, alice: Browser, odile: Browser) -> None:
    await second_person()
    await space(SLUG, Level.PARTNERS, cast.alice)
    await alice.post(f"{AT}?do=apply", **await tried(alice, add=KESTREL, reason="appel d’offres"))
    page = await odile.page(AT)
    assert (
        "Changement demandé, à valider" in page
        and "Alice Fournier" in page
        and "appel d’offres" in page
        and "est ajouté" in page
    )
    assert "demande de valider" in await odile.page("/notifications")
    plan = re.search(r'name="plan" value="([0-9a-f]{64})"><button', page)
    assert plan is not None
    assert await odile.post(f"{AT}/changes/{await change_id()}", do="approve", plan=plan[1]) == f"{AT}?done=approved"
    assert (await policy_of(cast)).partner(KESTREL) is not None
    assert "validé par Odile Garnier" in await alice.page(AT)


async def waiting_in_secret(cast: Cast, alice: Browser) -> int:
    """The id of a change of a space that only its members know of, with words in it that are theirs alone."""
    await second_person()
    team = await space(SLUG, Level.PARTNERS, cast.alice, cast.bruno, listed=False)
    await say(cast.alice, "rien que pour nous", team)
    await db.execute("UPDATE space SET name = 'Nom confidentiel', description = 'Objet confidentiel'")
    await alice.post(f"{AT}?do=apply", **await tried(alice, add=KESTREL, reason="appel d’offres"))
    return await change_id()


async def test_whoever_decides_sees_the_change_of_a_space_they_may_not_know_and_nothing_else(
    cast: Cast, alice: Browser, odile: Browser
) -> None:
    change = await waiting_in_secret(cast, alice)
    for path in (AT, f"/spaces/{SLUG}", f"/spaces/{SLUG}/members", f"/spaces/{SLUG}/audience", f"{AT}/as"):
        assert (await odile.get(path)).status_code == 404, path
    notices = await odile.page("/notifications")
    assert f"/admin/changes/{change}" in notices and "Nom confidentiel" not in notices
    page = await odile.page(f"/admin/changes/{change}")
    assert "appel d’offres" in page and "kestrel.test est ajouté" in page and "Alice Fournier" in page
    for secret in ("rien que pour nous", "confidentiel", "Bruno", "/as?"):
        assert secret not in page, secret
    plan = re.search(r'name="plan" value="([0-9a-f]{64})"><button', page)
    assert plan is not None
    at = f"/admin/changes/{change}"
    assert "plus le même" in await odile.refused(at, do="approve", plan="0" * 64)
    assert await odile.post(at, do="approve", plan=plan[1]) == "/notifications?done=approved"
    assert (await policy_of(cast)).partner(KESTREL) is not None
    assert (await odile.get(at)).status_code == 404, "it waits no more"
    assert at not in await odile.page("/notifications")


async def test_a_change_that_waits_is_not_there_for_anybody_else(
    cast: Cast, app: Starlette, alice: Browser, bruno: Browser
) -> None:
    change = await waiting_in_secret(cast, alice)
    await employee("vera", "Véra Lemaire", Office.AUDITOR)
    nobody = await (await browser_of(app, await employee("ines", "Inès Roussel"))).get(
        "/admin/changes/6111111111111111"
    )
    for name, status in (("ines", 404), ("vera", 404), ("bruno", 403)):
        who = await person(name)
        answer = await (await browser_of(app, who)).get(f"/admin/changes/{change}")
        assert answer.status_code == status, name
        with pytest.raises(NotFound if status == 404 else Forbidden):  # the question itself, not only its page
            await pending.to_decide(who, change)
        if name == "ines":
            assert bare(answer.text, str(change)) == bare(nobody.text, "6111111111111111")
        refused = await (await browser_of(app, who))("POST", f"/admin/changes/{change}", data={"do": "decline"})
        assert refused.status_code == status, name
    assert "Votre demande" in await alice.page(AT), "it still waits"
    assert "ne valide pas sa propre" in await alice.refused(f"/admin/changes/{change}", do="approve", plan="0" * 64)


async def test_whoever_decides_declines_with_a_reason(cast: Cast, alice: Browser, odile: Browser) -> None:
    at = f"/admin/changes/{await waiting_in_secret(cast, alice)}"
    assert await odile.post(at, do="decline", reason="trop tôt") == "/notifications?done=declined"
    assert "n’a pas validé votre demande" in await alice.page("/notifications")
    assert (await policy_of(cast)).partners == ()


async def test_a_request_that_moved_is_told_so_and_declined(cast: Cast, alice: Browser, odile: Browser) -> None:
    await second_person()
    team = await space(SLUG, Level.PARTNERS, cast.alice)
    await alice.post(f"{AT}?do=apply", **await tried(alice, add=KESTREL))
    await set_openness(Operator(), team, Level.CLOSED)
    page = await odile.page(AT)
    assert "a changé depuis cette demande" in page and "Valider</button>" not in page
    assert await odile.post(f"{AT}/changes/{await change_id()}", do="decline") == f"{AT}?done=declined"
    assert "Refuser" not in await odile.page(AT)
    assert "n’a pas validé votre demande" in await alice.page("/notifications")


async def test_a_draft_is_its_authors_alone_and_goes_when_it_is_applied(
    cast: Cast, alice: Browser, odile: Browser
) -> None:
    await space(SLUG, Level.CLOSED, cast.alice)
    kept = await alice.post(f"{AT}?do=draft", **await filled(alice, level="internal", reason="bientôt"))
    assert "done=draft" in kept
    again = await alice.post(f"{AT}?do=draft", **await filled(alice, level="internal", reason="demain"))
    assert again == kept
    assert "Votre brouillon" not in await odile.page(AT)
    assert (await odile.get(kept)).status_code == 404
    page = await alice.page(kept)
    assert "demain" in page and "Avant d’appliquer" in page
    await alice.post(f"{AT}?do=apply", **fields_of(page))
    assert (await policy_of(cast)).level is Level.INTERNAL
    assert await db.fetch("SELECT id FROM policy_change") == []


async def test_an_opening_waits_for_its_date_and_can_be_cancelled(cast: Cast, alice: Browser) -> None:
    await space(SLUG, Level.CLOSED, cast.alice)
    shown = await tried(alice, level="internal", opens_at=day_of(now_ms() + 3 * DAY_MS))
    assert await alice.post(f"{AT}?do=apply", **shown) == f"{AT}?done=planned"
    assert "Ouverture prévue le" in await alice.page(AT)
    assert (await policy_of(cast)).level is Level.CLOSED
    await alice.post(f"{AT}/changes/{await change_id()}", do="decline")
    assert "Ouverture prévue le" not in await alice.page(AT)


async def test_a_review_is_answered_and_due_again_later(cast: Cast, alice: Browser) -> None:
    team = await space(SLUG, Level.INTERNAL, cast.alice)
    await db.execute("UPDATE space SET review_days = 180, review_due_at = $1 WHERE id = $2", now_ms() + DAY_MS, team)
    assert "Oui, cela reste ainsi" in await alice.page(AT)
    await alice.post(f"{AT}/review")
    due = await policies.review_due(team)
    assert due is not None and due > now_ms() + 179 * DAY_MS


async def test_partners_are_removed_and_members_read_what_each_may(cast: Cast, alice: Browser, bruno: Browser) -> None:
    team = await space(SLUG, Level.PARTNERS, cast.alice, cast.bruno)
    await name_partner(Operator(), team, KESTREL)
    await enter(team, cast.chloe)
    assert f"{KESTREL}</small> : sur invitation" in (await bruno.page(AT)).replace("\u202f", " ")
    shown = await tried(alice, p0_gone="1")
    assert shown["p0_gone"] == "1"
    assert await alice.post(f"{AT}?do=narrow", **shown) == f"{AT}?done=applied"
    assert (await policy_of(cast)).partners == ()
    assert "Personnes sorties de l’espace : 1" in (await alice.page(AT)).replace("\u202f", " ")


async def test_a_refusal_names_levels_as_people_do_by_every_door(cast: Cast) -> None:
    await db.insert("guardrail", {"id": new_id(), "name": "max_level", "value": '"internal"'})
    team = await space(SLUG, Level.CLOSED, cast.alice)
    with pytest.raises(Invalid) as refused:
        await set_openness(cast.alice, team, Level.NETWORK)
    said = "Cette instance n’ouvre aucun espace au-delà du niveau Interne."
    assert sentence_of(choose("fr", "", "fr"), refused.value) == said
    assert phrase(refused.value, str) == said
    assert "level Internal." in sentence_of(choose("en", "", "fr"), refused.value)


async def test_a_long_history_is_paged_and_every_change_stands_on_one_page(cast: Cast, alice: Browser) -> None:
    team = await space(SLUG, Level.CLOSED, cast.alice)
    for number in range(45):
        wanted = replace(await policies.current(team), tone=f"ton {number}")
        await openness.change(cast.alice, team, wanted, How(Door.PAGE, reason=f"changement n{number}."))
    seen: list[int] = []
    at: str | None = f"{AT}/history"
    pages = 0
    while at:
        page = html.unescape(await alice.page(at))
        seen += [int(number) for number in re.findall(r"changement n(\d+)\.", page)]
        older = re.search(r'href="([^"]*/history\?before=\d+)"', page)
        at, pages = older[1] if older else None, pages + 1
    assert seen == list(reversed(range(45))) and pages == 3
    assert f"{AT}/history" in await alice.page(AT)


@pytest.mark.parametrize("day", [date(2026, 3, 29), date(2027, 2, 28), date(2028, 2, 29), date(2026, 12, 31)])
def test_a_day_is_the_same_moments_on_the_page_and_in_a_file(day: date) -> None:
    """In UTC, from its first to its last millisecond, also where clocks change."""
    assert openness_form.first_moment(day) == declared_values.first_moment(day)
    last = declared_values.last_moment(day)
    assert last is not None
    assert openness_form.last_moment(day) == last
    assert day_of(last) == day.isoformat() and day_of(last + 1) == (day + timedelta(days=1)).isoformat()
