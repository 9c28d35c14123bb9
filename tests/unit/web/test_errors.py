"""One error, three readers: people, clients of the field, scripts."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

from server.attempts import TooManyAttempts
from server.errors import Conflict, DomainError, Forbidden, Invalid, NotFound, TooLarge, Unauthenticated, Unavailable
from server.settings import Settings
from web.app import create_app
from web.errors import ANSWERS

pytestmark = pytest.mark.anyio

RAISED: dict[str, Callable[[], Exception]] = {
    "401": lambda: Unauthenticated(detail="secret"),
    "403": lambda: Forbidden(detail="secret"),
    "404": lambda: NotFound(detail="secret"),
    "409": lambda: Conflict(detail="secret"),
    "413": lambda: TooLarge("Plus de %(limit)s octets.", params={"limit": 3}, detail="secret"),
    "422": lambda: Invalid(field="name", detail="secret"),
    "429": lambda: TooManyAttempts(90),
    "500": lambda: RuntimeError("secret"),
    "503": lambda: Unavailable(detail="secret"),
}


async def ask(tmp_path: Path, path: str, **headers: str) -> httpx.Response:
    async def raising(request: Request) -> Response:
        raise RAISED[request.path_params["status"]]()

    app = create_app(Settings(base_url="https://aubrac.test", data_dir=tmp_path))
    doors = ["/api/parvis/v1/raise/{status}", "/api/v1/raise/{status}", "/raise/{status}"]
    people: Any = next(route for route in app.routes if isinstance(route, Mount) and route.path == "")
    people.app.app.app.routes[:0] = [Route(door, raising) for door in doors]  # behind the guard, like every page
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="https://aubrac.test") as http:
        return await http.get(path, headers=headers)


@pytest.mark.parametrize("status", RAISED)
async def test_no_reader_sees_a_detail_or_a_trace(tmp_path: Path, status: str) -> None:
    for path in ("/api/parvis/v1/raise/", "/api/v1/raise/", "/raise/"):
        answer = await ask(tmp_path, path + status)
        assert answer.status_code == int(status)
        assert "secret" not in answer.text
        assert "Traceback" not in answer.text
        assert "%(" not in answer.text
        assert answer.headers["cache-control"] == "private, no-store"


async def test_scripts_get_problem_documents_with_a_code_and_a_field(tmp_path: Path) -> None:
    answer = await ask(tmp_path, "/api/parvis/v1/raise/422")
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json() == {
        "type": "about:blank",
        "title": "Unprocessable Content" if "Content" in answer.text else "Unprocessable Entity",
        "status": 422,
        "code": "invalid",
        "detail": "Cette valeur ne convient pas.",
        "field": "name",
    }


async def test_clients_of_the_field_get_one_sentence(tmp_path: Path) -> None:
    answer = await ask(tmp_path, "/api/v1/raise/413")
    assert (answer.headers["content-type"], answer.json()) == ("application/json", {"error": "Plus de 3 octets."})


async def test_people_get_a_page_and_other_instances_a_word(tmp_path: Path) -> None:
    page = await ask(tmp_path, "/raise/404", accept="text/html")
    assert page.headers["content-type"].startswith("text/html")
    other = await ask(tmp_path, "/raise/404", accept="application/activity+json")
    assert other.json() == {"error": "not_found"}


@pytest.mark.parametrize("prefix", ["/api/parvis/v1", "/api/v1", ""])
async def test_what_is_hidden_and_what_never_was_are_the_same_bytes(tmp_path: Path, prefix: str) -> None:
    hidden, unknown = await ask(tmp_path, f"{prefix}/raise/404"), await ask(tmp_path, f"{prefix}/nowhere/404")
    assert (hidden.status_code, unmarked(hidden.text)) == (unknown.status_code, unmarked(unknown.text))
    assert unmarked(str(dict(hidden.headers))) == unmarked(str(dict(unknown.headers)))


def unmarked(text: str) -> str:
    """Without the random mark that lets the page's own script run."""
    return re.sub(r"nonce(-|=\")[\w-]+", "", text)


async def test_whoever_must_wait_is_told_how_long(tmp_path: Path) -> None:
    assert (await ask(tmp_path, "/raise/429")).headers["retry-after"] == "90"
    assert (await ask(tmp_path, "/raise/503")).headers["retry-after"] == "5"
    assert (await ask(tmp_path, "/api/v1/raise/401")).headers["www-authenticate"] == "Bearer"


async def test_a_wrong_method_is_refused_and_names_the_right_ones(tmp_path: Path) -> None:
    answer = await ask(tmp_path, "/oauth/revoke")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


def test_every_error_of_the_domain_has_an_answer() -> None:
    def below(kind: type[Any]) -> list[type[Any]]:
        return [kind, *(found for child in kind.__subclasses__() for found in below(child))]

    silent = [kind for kind in below(DomainError) if not any(base in ANSWERS for base in kind.__mro__)]
    assert silent == [DomainError]
