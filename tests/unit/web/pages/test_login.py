"""Coming in and going out by the pages."""

import pytest
from starlette.applications import Starlette

from server.actions.signing_in import new_sign_in_link, set_password
from server.viewer import Operator
from tests.cast import Cast
from tests.unit.web.pages.browser import Browser
from web.session import cookie_name

pytestmark = pytest.mark.anyio

PASSWORD = "une phrase assez longue"


async def test_W7_a_wrong_name_and_a_wrong_password_are_refused_in_the_same_words(cast: Cast, visitor: Browser) -> None:
    await set_password(Operator(), cast.bruno.account_id, PASSWORD)
    one = await visitor("POST", "/login", data={"name": "bruno", "password": "une phrase tout autre"})
    other = await visitor("POST", "/login", data={"name": "brunx", "password": "une phrase tout autre"})
    assert one.status_code == other.status_code and one.is_client_error
    assert "set-cookie" not in one.headers
    sentence = "Identifiant ou mot de passe incorrect."
    assert sentence in one.text and sentence in other.text


@pytest.mark.parametrize("onward", ["//evil.test", "https://evil.test", "/\\evil.test", "javascript:alert(1)", ""])
async def test_signing_in_never_leads_out_of_the_house(cast: Cast, visitor: Browser, onward: str) -> None:
    await set_password(Operator(), cast.bruno.account_id, PASSWORD)
    assert await visitor.post("/login", name="bruno", password=PASSWORD, next=onward) == "/"


async def test_bruno_comes_in_by_his_password_and_goes_on_where_he_wanted(
    app: Starlette, cast: Cast, visitor: Browser
) -> None:
    await set_password(Operator(), cast.bruno.account_id, PASSWORD)
    answer = await visitor("POST", "/login", data={"name": "Bruno", "password": PASSWORD, "next": "/spaces?q=a"})
    assert answer.headers["location"] == "/spaces?q=a"
    cookie = answer.headers["set-cookie"].lower()
    assert cookie.startswith("__host-parvis=") and "httponly" in cookie and "secure" in cookie
    assert "samesite=lax" in cookie and "domain" not in cookie


async def test_a_one_time_link_is_used_up_by_the_button_and_not_by_looking_at_it(cast: Cast, visitor: Browser) -> None:
    token = await new_sign_in_link(Operator(), cast.bruno.account_id)
    for _ in range(2):
        assert "bruno" in await visitor.page(f"/login/once/{token}")
    assert (await visitor.post(f"/login/once/{token}")).startswith("/settings")
    assert "bruno" not in await visitor.page(f"/login/once/{token}")
    assert (await visitor("POST", f"/login/once/{token}")).is_client_error


async def test_T6_signing_out_ends_the_session_and_clears_the_browser(app: Starlette, bruno: Browser) -> None:
    answer = await bruno("POST", "/logout")
    assert answer.headers["location"] == "/login"
    assert f'{cookie_name(app.state.settings)}="";'.lower() in answer.headers["set-cookie"].lower()
    assert (await bruno.get("/")).status_code == 303
