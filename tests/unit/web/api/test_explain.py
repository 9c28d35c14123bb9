"""`GET /api/parvis/v1/explain` and `parvis explain`: the same answer, in French and in English."""

import argparse
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from starlette.applications import Starlette

from server.commands import explain
from server.ids import Addresses
from server.openness import Level
from server.settings import Settings
from tests import cast as company
from tests.cast import HERE, Cast
from tests.unit.web.api.client import client_of
from web.cli import main, parser_for
from web.locale import speech

pytestmark = pytest.mark.anyio

EXPLAIN = "/api/parvis/v1/explain"


async def test_a_program_hears_why_and_what_would_be_enough_in_both_languages(app: Starlette, cast: Cast) -> None:
    await company.space("projet", Level.CLOSED, cast.alice)
    bruno = await client_of(app, cast.bruno)
    told = await bruno.get(EXPLAIN, thing="projet", right="read", language="fr")
    assert (told["as"], told["allowed"], told["reason"]) == ("me", False, "members_only")
    assert told["would_change_if"][0]["steps"] == [{"step": "ask", "to": ""}]
    assert told["would_change_if"][0]["said"] == "Il suffirait de demander à entrer, et qu’un·e animateur·rice accepte."
    assert told["owners"] == [], "Bruno may not know who is in it"
    english = await bruno.get(EXPLAIN, thing="projet", language="en", **{"as": "web"})
    assert english["verdict"] == "No: cannot read this."
    assert english["chain"][0]["said"] == "To this space: visitor without an account."
    alice = await client_of(app, cast.alice)
    assert (await alice.get(EXPLAIN, thing="projet", **{"as": "bruno"}))["owners"] == ["Alice Fournier"]


async def test_what_is_hidden_answers_like_what_never_was_and_bad_words_name_their_field(
    app: Starlette, cast: Cast
) -> None:
    await company.space("rachat", Level.CLOSED, cast.alice, listed=False)
    bruno = await client_of(app, cast.bruno)
    hidden = await bruno("GET", EXPLAIN, params={"thing": "rachat", "as": "web"})
    never = await bruno("GET", EXPLAIN, params={"thing": "jamais", "as": "web"})
    assert (hidden.status_code, hidden.content) == (404, never.content)
    await company.space("projet", Level.INTERNAL, cast.alice)
    for params, field in (({"as": "x" * 20}, "as"), ({"right": "lire"}, "right"), ({"as": "y" * 400}, "as")):
        answer = await bruno("GET", EXPLAIN, params={"thing": "projet"} | params)
        assert (answer.status_code, answer.json()["field"]) == (422, field)


async def test_the_command_says_the_same_in_french_and_in_english(
    database: str, cast: Cast, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    await company.space("projet", Level.CLOSED, cast.alice)
    monkeypatch.setattr(explain, "opened", already_open)
    settings = Settings(base_url=HERE.base, database_url=database, data_dir=tmp_path)
    for language, first, last in (
        ("fr", "Non\u202f: ne peut pas lire ceci.", "> Il suffirait de demander à entrer"),
        ("en", "No: cannot read this.", "> It would be enough to ask to join"),
    ):
        assert await explain.explain(settings, arguments("projet", "bruno", "--language", language)) == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[0] == first
        assert next(line for line in lines if line.startswith(">")).startswith(last)
    await explain.explain(settings, arguments("projet", "bruno", "--json"))
    told = json.loads(capsys.readouterr().out)
    assert (told["allowed"], told["as"]) == (False, "bruno")


def test_an_audience_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["explain", "projet"])
    assert stopped.value.code == 2
    assert "--as" in capsys.readouterr().err


def arguments(thing: str, who: str, *more: str) -> argparse.Namespace:
    words = ["explain", thing, "--as", who, *more]
    return parser_for(words).parse_args(words, argparse.Namespace(tongue=speech))


@asynccontextmanager
async def already_open(settings: Settings) -> AsyncIterator[Addresses]:
    """The database of the test is open."""
    yield HERE


async def test_a_refusal_says_why_and_what_would_be_enough(app: Starlette, cast: Cast) -> None:
    await company.space("projet", Level.INTERNAL, cast.alice)
    bruno = await client_of(app, cast.bruno)
    body = {"status": "bonjour", "parvis_space": "projet"}
    refused = await bruno("POST", "/api/v1/statuses", json=body, headers={"accept-language": "fr"})
    assert refused.status_code == 403
    assert refused.json()["error"] == (
        "Vous ne pouvez pas écrire ici, parce que seuls les membres publient. "
        "Il suffirait d’entrer dans l’espace, librement."
    )
    await company.space("offre", Level.CLOSED, cast.alice)
    problem = (await bruno("POST", "/api/parvis/v1/spaces/offre/members", json={"who": "bruno"})).json()
    assert (problem["code"], problem["would_change_if"]) != ("forbidden", [])


async def test_the_author_of_a_status_hears_who_reads_it_and_nobody_else(app: Starlette, cast: Cast) -> None:
    await company.space("projet", Level.CLOSED, cast.alice, cast.bruno)
    alice, bruno = await client_of(app, cast.alice), await client_of(app, cast.bruno)
    sent = await alice.post("/api/v1/statuses", status="bonjour", parvis_space="projet")
    told = sent["parvis_audience"]
    assert (told["people"], told["exact"], told["colleagues"], told["partners"]) == (2, True, 2, [])
    assert "parvis_audience" not in await bruno.get(f"/api/v1/statuses/{sent['id']}")
