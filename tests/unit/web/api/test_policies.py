"""The openness of a space over our own API: a version that was seen, a dry run, one problem for what cannot be."""

from datetime import UTC, datetime
from typing import Any

import pytest
from starlette.applications import Starlette

from server import database as db
from server.openness import History, Level, Reach
from server.queries import policies
from server.space_policy import PartnerTerms, SpacePolicy
from tests import cast as company
from tests.cast import KESTREL, Cast
from tests.unit.web.api.client import Client, client_of
from tests.unit.web.pages.browser import browser_of
from web.api.operations import PREFIX

pytestmark = pytest.mark.anyio

POLICY = f"{PREFIX}/spaces/team/policy"


@pytest.fixture
async def team(cast: Cast) -> int:
    return await company.space("team", Level.CLOSED, cast.alice)


async def put(client: Client, body: dict[str, Any], version: str = '"1"', query: str = "") -> Any:
    headers = {"if-match": version, "accept-language": "en"} if version else {}
    return await client("PUT", POLICY + query, json=body, headers=headers)


async def test_a_version_is_read_and_what_follows_from_it_is_written(alice: Client, team: int) -> None:
    first = await alice("GET", POLICY)
    told = first.json()
    assert (first.headers["etag"], told["version"], told["policy"]["level"]) == ('"1"', 1, "closed")
    answer = await put(alice, {"level": "internal", "tone": "direct"}, first.headers["etag"])
    assert (answer.status_code, answer.json()["outcome"], answer.headers["etag"]) == (200, "applied", '"2"')
    assert await policies.current(team) == SpacePolicy(Level.INTERNAL, tone="direct")
    again = await put(alice, {"level": "internal", "tone": "direct"}, '"2"')
    assert (again.json()["outcome"], again.json()["version"]) == ("unchanged", 2)


async def test_what_is_read_can_be_written_and_changes_nothing(alice: Client, team: int) -> None:
    wanted = {
        "level": "partners",
        "reach": "everyone",
        "partners": {KESTREL: {"until_at": "2990-01-31T23:59:59.999Z", "less": {"files": 1}, "sponsor": "bruno"}},
        "history": "since_opening",
        "less": {"partner_member": {"take_part": 2}, "guest_member": {}},
        "closes_at": "2990-06-30T18:00:00.001+02:00",
        "then_level": "closed",
        "objectives": [{"text": "Signer", "date": "2990-01-31"}],
    }
    answer = await put(alice, wanted)
    assert answer.status_code == 200, answer.text
    now = await policies.current(team)
    until_at = int(datetime(2990, 1, 31, 23, 59, 59, tzinfo=UTC).timestamp()) * 1000 + 999
    assert now.partners == (PartnerTerms(KESTREL, until_at=until_at, sponsor="bruno", less=(("files", 1),)),)
    assert (now.reach, now.history, now.then_level) == (Reach.EVERYONE, History.SINCE_OPENING, Level.CLOSED)
    policy = (await alice.get(POLICY))["policy"]
    assert (await put(alice, policy, "2")).json()["outcome"] == "unchanged"


async def test_a_dry_run_says_what_then_happens_and_changes_nothing(alice: Client, team: int, cast: Cast) -> None:
    await company.say(cast.alice, "Bonjour", team)
    planned = (await put(alice, {"level": "internal"}, query="?dry_run=1")).json()
    assert planned["changes"] == ["Level: Closed → Internal"]
    assert (planned["widens"], planned["needs_approval"]) == (True, False)
    assert any("read" in gain for gain in planned["gains"])
    assert (await policies.current(team)).level is Level.CLOSED
    done = (await put(alice, {"level": "internal"})).json()
    assert (done["hash"], done["policy"]) == (planned["hash"], planned["policy"])


async def test_who_does_not_say_which_version_or_another_one_changes_nothing(
    alice: Client, team: int, cast: Cast
) -> None:
    missing = await put(alice, {"level": "internal"}, "")
    assert (missing.status_code, missing.json()["code"]) == (428, "version_required")
    for version in ('"2"', "0", '"999999999999999999"'):
        moved = await put(alice, {"level": "internal"}, version)
        assert (moved.status_code, moved.json()["code"]) == (412, "version_moved"), version
        assert "version 1" in moved.json()["detail"]
    for version in ('W/"1"', "abc", '"1", "2"', '"-1"'):
        wrong = await put(alice, {"level": "internal"}, version)
        assert (wrong.status_code, wrong.json()["field"]) == (422, "If-Match"), version
    dry = await put(alice, {"level": "internal"}, '"2"', "?dry_run=1")
    assert dry.status_code == 412
    assert (await policies.current(team)).level is Level.CLOSED
    assert (await put(alice, {"level": "internal"}, "*")).status_code == 200


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"niveau": "closed"}, "niveau"),
        ({"level": "open"}, "level"),
        ({"level": 3}, "level"),
        ({"listed": "yes"}, "listed"),
        ({"seats": -1}, "seats"),
        ({"then_level": "open"}, "then_level"),
        ({"closes_at": "2990-01-31"}, "closes_at"),
        ({"closes_at": "2990-01-31T10:00:00"}, "closes_at"),
        ({"closes_at": "1990-01-31T10:00:00Z"}, "closes_at"),
        ({"partners": [KESTREL]}, "partners"),
        ({"partners": {KESTREL: {}}}, "partners"),
        ({"level": "partners", "partners": {"nowhere.test": {}}}, "partners"),
        ({"level": "partners", "partners": {KESTREL: {"sponsor": "nobody"}}}, "partners"),
        ({"less": {"staff_member": {"files": 0}}}, "less"),
        ({"level": "internal", "indexing": True}, "indexing"),
        ({"tone": "a\0b"}, "tone"),
        ({"tone": "a" * 301}, "tone"),
    ],
)
async def test_what_cannot_be_is_a_problem_that_names_the_field(
    alice: Client, team: int, body: dict[str, Any], field: str
) -> None:
    for query in ("", "?dry_run=1"):
        answer = await put(alice, body, query=query)
        problem = answer.json()
        assert (answer.status_code, problem["code"]) == (422, "invalid"), problem
        assert problem["field"].startswith(field), problem
        assert answer.headers["content-type"] == "application/problem+json"
    assert await policies.current(team) == SpacePolicy(Level.CLOSED)


async def test_a_guardrail_speaks_of_levels_as_people_do(alice: Client, team: int) -> None:
    await db.execute("INSERT INTO guardrail (id, name, value) VALUES (1, 'max_level', '\"partners\"')")
    answer = await put(alice, {"level": "public"})
    assert answer.json()["detail"] == "This instance opens no space beyond level Partners."


async def test_what_waits_for_a_second_person_is_accepted_and_not_yet_so(alice: Client, team: int) -> None:
    await db.execute("INSERT INTO guardrail (id, name, value) VALUES (1, 'require_second_person_from', '\"network\"')")
    answer = await put(alice, {"level": "network"})
    assert (answer.status_code, answer.json()["outcome"], answer.json()["version"]) == (202, "waiting", 1)
    row = await db.fetch_one("SELECT id, plan_hash, door FROM policy_change")
    assert row == {"id": int(answer.json()["change"]), "plan_hash": answer.json()["hash"], "door": "api"}
    assert (await policies.current(team)).level is Level.CLOSED


async def test_what_a_file_manages_is_changed_in_the_file(alice: Client, team: int) -> None:
    await db.execute("UPDATE space SET managed_by = 'spaces.toml', managed_fields = '[\"level\"]'")
    answer = await put(alice, {"level": "internal"})
    assert (answer.status_code, answer.json()["code"]) == (409, "managed_by_file")
    assert "spaces.toml" in answer.json()["detail"]
    assert (await put(alice, {"tone": "direct"})).status_code == 200
    assert (await alice.get(POLICY))["managed_fields"] == ["level"]


async def test_what_a_new_level_has_no_room_for_falls_away(alice: Client, team: int) -> None:
    await put(alice, {"level": "partners", "partners": {KESTREL: {}}, "partner_view": "blind"})
    answer = await put(alice, {"level": "internal"}, '"2"')
    assert answer.status_code == 200, answer.text
    assert await policies.current(team) == SpacePolicy(Level.INTERNAL)


async def test_only_owners_write_only_members_read_and_the_others_hear_of_nothing(
    app: Starlette, alice: Client, bruno: Client, team: int, cast: Cast
) -> None:
    assert (await bruno("GET", POLICY)).status_code == 403
    await company.enter(team, cast.bruno)
    assert (await bruno("GET", POLICY)).status_code == 200
    for query in ("", "?dry_run=1"):
        for version in ('"1"', '"9"', ""):
            assert (await put(bruno, {"level": "public"}, version, query)).status_code == 403
    reader = await client_of(app, cast.alice, "read")
    assert (await put(reader, {"level": "public"})).status_code == 403
    assert (await reader("GET", POLICY)).status_code == 200
    assert (await policies.current(team)).level is Level.CLOSED
    odile = await client_of(app, cast.odile)
    await db.execute("UPDATE space SET listed = $1", False)
    hidden = await put(odile, {"level": "public"})
    unknown = await odile("PUT", f"{PREFIX}/spaces/inconnu/policy", json={"level": "public"})
    assert hidden.status_code == unknown.status_code == 404
    assert hidden.json()["code"] == unknown.json()["code"] == "not_found"


async def test_a_signed_in_browser_may_call_it_and_a_foreign_page_may_not(
    app: Starlette, team: int, cast: Cast
) -> None:
    browser = await browser_of(app, cast.alice)
    assert (await browser("GET", POLICY)).json()["version"] == 1
    foreign = {"if-match": "1", "origin": "https://inconnu.test"}
    assert (await browser("PUT", POLICY, json={"tone": "faux"}, headers=foreign)).status_code == 403
    answer = await browser("PUT", POLICY, json={"tone": "direct"}, headers={"if-match": "1"})
    assert (answer.status_code, answer.json()["policy"]["tone"]) == (200, "direct")
