"""Recalls as administrators and owners see them: figures, states in words, a picture of each, and never content."""

import pytest

from server import database as db
from server.actions.recall_notices import notice_of
from server.clock import now_ms
from server.ids import new_id
from server.openness import Level
from server.recall_terms import RecallScope, TargetState
from tests.cast import Cast, space
from tests.unit.web.pages.browser import Browser

pytestmark = pytest.mark.anyio


async def peer(host: str) -> int:
    identifier = new_id()
    row = {"id": identifier, "host": host, "base_url": f"https://{host}", "created_at": now_ms()}
    await db.insert("peer", row)
    return identifier


async def project(cast: Cast) -> int:
    """A space of Alice's."""
    return await space("projet", Level.PARTNERS, cast.alice)


async def recalled(space_id: int, *states: TargetState) -> int:
    """A recall of a space that so many instances owe."""
    recall_id, now = new_id(), now_ms()
    row = {"id": recall_id, "space_id": space_id, "scope": RecallScope.SPACE.value, "reason": "set_openness"}
    await db.insert("recall", row | {"keep": "none", "deadline_at": now, "operator": "timer", "created_at": now})
    for number, state in enumerate(states):
        target = {"id": new_id(), "recall_id": recall_id, "peer_id": await peer(f"host{number}.example")}
        figures = {"items": 1834, "purged": 1834 if state is TargetState.CONFIRMED else 0, "gathered_at": now}
        receipt = '{"type": "parvis:RecallReceipt"}' if state is TargetState.CONFIRMED else ""
        await db.insert("recall_target", target | figures | {"linked": True, "state": state.value, "receipt": receipt})
    return recall_id


async def test_each_instance_has_its_state_in_words_its_figures_and_a_bar(odile: Browser, cast: Cast) -> None:
    number = await recalled(await project(cast), *TargetState)
    page = await odile.page(f"/admin/recalls/{number}")
    for words in ("confirmé", "partiel", "envoyé, invérifiable", "injoignable", "refusé", "en retard", "en attente"):
        assert words in page
    assert page.count('class="shares"') == len(TargetState) and "parvis:RecallReceipt" in page
    assert "1834 effacés" in page
    listing = await odile.page("/admin/recalls")
    assert f"/admin/recalls/{number}" in listing and "4 instances sur 8" in listing
    assert "Ce que chacun peut encore faire" in listing
    assert f"/admin/recalls/{number}" in await odile.page("/admin/recalls?open=1")
    await db.execute("UPDATE recall_target SET state = 'confirmed'")
    assert f"/admin/recalls/{number}" not in await odile.page("/admin/recalls?open=1")
    english = await odile.page(f"/admin/recalls/{number}", headers={"accept-language": "en"})
    assert "confirmed" in english or "confirmé" in english


async def test_an_administrator_asks_once_more_where_it_was_refused_and_nowhere_else(
    odile: Browser, bruno: Browser, cast: Cast
) -> None:
    number = await recalled(await project(cast), TargetState.REFUSED, TargetState.CONFIRMED)
    page = await odile.page(f"/admin/recalls/{number}")
    assert page.count("Redemander") == 1 and 'value="host0.example"' in page
    address = f"/admin/recalls/{number}/restart"
    await bruno.post(address, 403, host="host0.example")
    assert "rien à redemander" in await odile.post(address, 409, host="host1.example")
    await odile.post(address, host="host0.example")
    assert "Redemander" not in await odile.page(f"/admin/recalls/{number}")
    assert [row["data"] for row in await db.fetch("SELECT data FROM event WHERE kind = 'recalled'")]


async def test_a_notice_leads_administrators_to_the_recall(odile: Browser, cast: Cast) -> None:
    number = await recalled(await project(cast), TargetState.REFUSED)
    [target] = await db.fetch("SELECT t.*, r.space_id FROM recall_target t JOIN recall r ON r.id = t.recall_id")
    await notice_of(target, TargetState.REFUSED)
    page = await odile.page("/notifications")
    assert f'href="/admin/recalls/{number}"' in page and "refuse d’effacer" in page
    await notice_of(target, TargetState.LATE)
    assert "dans les temps" in await odile.page("/notifications")


async def test_others_see_no_recalls_and_none_is_known_by_its_number(
    odile: Browser, bruno: Browser, visitor: Browser, cast: Cast
) -> None:
    number = await recalled(await project(cast), TargetState.SENT)
    for path in ("/admin/recalls", f"/admin/recalls/{number}"):
        assert (await bruno.get(path)).status_code == 403
        assert (await visitor.get(path)).status_code == 303
    assert (await odile.get(f"/admin/recalls/{number + 1}")).status_code == 404
    assert (await odile.get("/admin/recalls/x")).status_code == 404


async def test_the_owner_of_a_space_sees_what_is_under_way_where_openness_is(alice: Browser, cast: Cast) -> None:
    space_id = await project(cast)
    assert "Rappel en cours" not in await alice.page("/spaces/projet/openness")
    await recalled(space_id, TargetState.CONFIRMED, TargetState.CONFIRMED, TargetState.UNCONFIRMED)
    page = await alice.page("/spaces/projet/openness")
    assert "Dernier rappel" in page and "3 instances sur 3" in page and "host2.example" in page
    await db.execute("UPDATE recall_target SET state = 'sent' WHERE state = 'sent-unconfirmed'")
    page = await alice.page("/spaces/projet/openness")
    assert "Rappel en cours" in page and "2 instances sur 3" in page and "/admin/recalls" not in page


async def test_the_api_tells_administrators_the_same(odile: Browser, bruno: Browser, cast: Cast) -> None:
    number = await recalled(await project(cast), TargetState.CONFIRMED, TargetState.UNREACHABLE)
    listed = (await odile.get("/api/parvis/v1/recalls")).json()["recalls"]
    assert [(one["id"], one["open"], one["answered"], one["of"]) for one in listed] == [(str(number), True, 1, 2)]
    one = (await odile.get(f"/api/parvis/v1/recalls/{number}")).json()
    assert [instance["state"] for instance in one["instances"]] == ["confirmed", "unreachable"]
    assert one["instances"][0]["receipt"]["type"] == "parvis:RecallReceipt"
    assert (await odile.get("/api/parvis/v1/recalls?open=true")).json()["recalls"] == listed
    assert (await odile.get("/api/parvis/v1/recalls/1")).status_code == 404
    assert (await bruno.get("/api/parvis/v1/recalls")).status_code == 403


async def test_a_report_says_why_an_instance_kept_what_it_kept(odile: Browser, cast: Cast) -> None:
    number = await recalled(await project(cast), TargetState.PARTIAL)
    for retained, said in (
        ('[{"reason": "own-authored", "items": 4}]', "4 écrits par ses propres personnes"),
        ('[{"reason": "backup-until", "until": "2027-01-01"}]', "ses sauvegardes"),
        ('[{"reason": "<b>", "items": "x"}, 7, {}]', "partiel"),
        ('"own-authored"', "partiel"),
    ):
        await db.execute("UPDATE recall_target SET receipt = $1", f'{{"parvis:retained": {retained}}}')
        page = await odile.page(f"/admin/recalls/{number}")
        assert said in page and "<b>" not in page
