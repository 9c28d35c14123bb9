"""Who comes in with which token, and what it is good for."""

import pytest
from starlette.applications import Starlette

from server.actions.accounts import revoke_token, suspend
from server.viewer import Operator
from tests.cast import HERE, Cast
from tests.unit.web.api.client import Client, client_of
from web.api.routes import ENDPOINTS

pytestmark = pytest.mark.anyio

ME = "/api/v1/accounts/verify_credentials"
HOME = "/api/v1/timelines/home"


@pytest.mark.parametrize(
    "authorization", ["", "Bearer", "Bearer ", "Bearer x", "Basic YTpi", "Bearer " + "x" * 600, "Bearer é", "x"]
)
async def test_a_token_that_does_not_hold_is_refused_and_not_taken_for_a_visitor(
    visitor: Client, authorization: str
) -> None:
    for path in (ME, HOME, "/api/parvis/v1/spaces", "/metrics"):
        answer = await visitor("GET", path, headers={"authorization": authorization.encode()})
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"


async def test_T5_a_token_does_what_its_scopes_say_and_nothing_else(app: Starlette, cast: Cast) -> None:
    reader = await client_of(app, cast.alice, "read")
    writer = await client_of(app, cast.alice, "write")
    follower = await client_of(app, cast.alice, "follow")
    narrow = await client_of(app, cast.alice, "read:statuses")
    follow = f"/api/v1/accounts/{cast.bruno.actor_id}/follow"
    assert (await reader("POST", "/api/v1/statuses", json={"status": "a"})).status_code == 403
    assert (await reader("POST", follow)).status_code == 403
    assert (await writer("GET", HOME)).status_code == 403
    assert (await follower("GET", HOME)).status_code == 403
    assert (await narrow("GET", ME)).status_code == 403
    refused = await narrow("POST", "/api/v1/statuses", json={"status": "a"})
    assert refused.json() == {"error": "Ce jeton n’a pas le droit de faire cela."}
    assert (await narrow("GET", HOME)).status_code == 200
    assert (await follower("POST", follow)).status_code == 200
    assert (await writer("POST", "/api/v1/statuses", json={"status": "a"})).status_code == 200


async def test_every_address_that_changes_something_needs_a_scope_that_says_so() -> None:
    changing = [e for e in ENDPOINTS if e.method != "GET" and e.path != "/oauth/revoke"]
    assert [e.path for e in changing if not e.scope.startswith("write:")] == []
    asking = [e for e in ENDPOINTS if e.method == "GET" and e.scope]
    assert [e.path for e in asking if not e.scope.startswith(("read:", "admin:read"))] == []


async def test_T8_a_revoked_token_ends_at_once(alice: Client, visitor: Client, cast: Cast) -> None:
    assert (await alice("GET", ME)).status_code == 200
    assert (await visitor("POST", "/oauth/revoke", data={"token": alice.token})).json() == {}
    assert (await alice("GET", ME)).status_code == 401
    assert (await visitor("POST", "/oauth/revoke", data={"token": "unknown"})).json() == {}


async def test_T8_a_suspended_person_s_token_ends_at_once(alice: Client, cast: Cast) -> None:
    await suspend(Operator(), cast.alice.account_id)
    assert (await alice("GET", ME)).status_code == 401


async def test_a_token_in_the_address_is_nobody(alice: Client, visitor: Client) -> None:
    assert (await visitor("GET", f"{HOME}?access_token={alice.token}")).status_code == 401
    await revoke_token(alice.token)


async def test_no_cache_keeps_what_was_told_to_one_caller(alice: Client) -> None:
    answer = await alice("GET", HOME)
    assert answer.headers["cache-control"] == "private, no-store"
    assert "Authorization" in answer.headers["vary"]
    assert "access-control-allow-origin" not in answer.headers


async def test_addresses_never_come_from_the_request(alice: Client) -> None:
    await alice.post("/api/v1/statuses", status="a")
    answer = await alice("GET", HOME, headers={"host": "evil.test", "x-forwarded-host": "evil.test"})
    assert "evil.test" not in answer.text + str(answer.headers)
    assert answer.json()[0]["url"].startswith(HERE.base)
