"""Our own API: spaces and their members, for scripts."""

import json

import pytest
from starlette.applications import Starlette

from server import database as db
from server.openness import Level
from tests import cast as company
from tests.cast import HERE, KESTREL, Cast
from tests.unit.web.api.client import Client, client_of
from web.api.operations import PREFIX
from web.api.routes import OPERATIONS
from web.app import for_people

pytestmark = pytest.mark.anyio

SPACES = f"{PREFIX}/spaces"


async def count(table: str) -> int:
    row = await db.fetch_one(f"SELECT COUNT(*) AS n FROM {table}")
    assert row is not None
    return int(row["n"])


async def test_a_hidden_space_and_its_members_are_the_bytes_of_what_never_was(bruno: Client, cast: Cast) -> None:
    await company.space("rachat", Level.CLOSED, cast.alice, listed=False)
    for method, path in (("GET", ""), ("GET", "/members"), ("POST", "/members"), ("DELETE", "/members/alice")):
        hidden = await bruno(method, f"{SPACES}/rachat{path}", json={"who": "bruno"} if method == "POST" else None)
        unknown = await bruno(method, f"{SPACES}/inconn{path}", json={"who": "bruno"} if method == "POST" else None)
        assert hidden.status_code == unknown.status_code == 404
        assert hidden.content == unknown.content
        assert hidden.headers["content-type"] == "application/problem+json"
    assert (await bruno.get(SPACES))["spaces"] == []


async def test_bruno_lets_nobody_in_and_nobody_go(bruno: Client, cast: Cast) -> None:
    await company.space("chantier", Level.CLOSED, cast.alice)
    added = await bruno("POST", f"{SPACES}/chantier/members", json={"who": "bruno"})
    removed = await bruno("DELETE", f"{SPACES}/chantier/members/alice")
    assert (added.status_code, added.json()["code"]) == (403, "forbidden")
    assert (removed.status_code, removed.json()["code"]) == (403, "forbidden")
    listed = await bruno.get(f"{SPACES}/chantier/members")
    assert (listed["members"], listed["waiting"]) == ([], [])
    assert await count("membership") == 1


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b'{"slug": "a", "name": "A", "owner_id": 3}', "owner_id"),
        (b'{"slug": "a", "name": "A", "peer_id": null}', "peer_id"),
        (b'{"slug": "a"}', "name"),
        (b'{"slug": "a", "name": 3}', "name"),
        (b'{"slug": "a", "name": ""}', "name"),
        (b'{"slug": "A!", "name": "A"}', "slug"),
        (b'{"slug": "a", "name": "A", "level": "open"}', "level"),
        (b'{"slug": "a", "name": "A", "level": ["closed"]}', "level"),
        (b'{"slug": "a", "name": "A\\u0000"}', "name"),
        (b'{"slug": "a", "name": "A", "level": "partners", "partners": ["nobody.test"]}', "partners"),
        (b'{"slug": "a", "name": "A", "partners": ["kestrel.test"]}', "partners"),
        (b'{"slug": "a", "name": "A", "owner": "nobody"}', "owner"),
        (b"[]", None),
        (b"", "slug"),
        (b"\xff", None),
    ],
)
async def test_A26_a_body_with_unknown_or_wrong_keys_opens_nothing(
    alice: Client, body: bytes, field: str | None
) -> None:
    before = await count("space")
    answer = await alice("POST", SPACES, content=body, headers={"content-type": "application/json"})
    problem = answer.json()
    assert (answer.status_code, problem["code"], problem.get("field")) == (422, "invalid", field), problem
    assert await count("space") == before


async def test_a_space_is_opened_once(alice: Client, cast: Cast) -> None:
    body = {"slug": "chantier", "name": "Chantier Nord", "level": "internal"}
    answer = await alice("POST", SPACES, json=body)
    assert (answer.status_code, answer.headers["location"]) == (201, HERE.space("chantier"))
    assert (answer.json()["my_role"], answer.json()["level"]) == ("owner", "internal")
    again = await alice("POST", SPACES, json=body)
    assert (again.status_code, again.json()["code"]) == (409, "conflict")


async def test_who_opens_for_somebody_else_may_not_see_it(alice: Client, bruno: Client) -> None:
    body = {"slug": "rachat", "name": "Rachat", "owner": "bruno", "listed": False}
    answer = await alice("POST", SPACES, json=body)
    assert (answer.status_code, set(answer.json())) == (201, {"slug", "uri"})
    assert (await bruno.get(f"{SPACES}/rachat"))["my_role"] == "owner"


async def test_alice_lets_colleagues_in_and_go(alice: Client, bruno: Client, cast: Cast) -> None:
    await company.space("chantier", Level.CLOSED, cast.alice)
    for _ in range(2):
        added = await alice.post(f"{SPACES}/chantier/members", who="@bruno@aubrac.test", role="steward")
        assert (added["state"], added["role"]) == ("member", "steward")
    listed = await bruno.get(f"{SPACES}/chantier/members")
    assert {(one["who"], one["role"]) for one in listed["members"]} == {("alice", "owner"), ("bruno", "steward")}
    assert (await alice("DELETE", f"{SPACES}/chantier/members/bruno")).status_code == 204
    assert (await alice("DELETE", f"{SPACES}/chantier/members/bruno")).status_code == 404
    assert (await alice("DELETE", f"{SPACES}/chantier/members/alice")).status_code == 409


async def test_a_partner_s_person_is_invited_where_the_space_names_their_instance(alice: Client, cast: Cast) -> None:
    await company.space("chantier", Level.CLOSED, cast.alice)
    await company.space("projet", Level.PARTNERS, cast.alice, partners=(KESTREL,))
    who = f"chloe@{KESTREL}"
    refused = await alice("POST", f"{SPACES}/chantier/members", json={"who": who})
    assert refused.status_code == 403
    assert "Partenaires" in refused.json()["detail"]
    assert (await alice.post(f"{SPACES}/projet/members", who=who))["state"] == "invited"
    unknown = await alice("POST", f"{SPACES}/projet/members", json={"who": f"nobody@{KESTREL}"})
    assert (unknown.status_code, unknown.json()["field"]) == (422, "who")


async def test_spaces_are_paged_by_name(alice: Client, cast: Cast) -> None:
    for slug in ("un", "deux", "trois"):
        await company.space(slug, Level.INTERNAL, cast.bruno)
    first = await alice.get(f"{SPACES}?limit=2")
    assert [one["slug"] for one in first["spaces"]] == ["deux", "trois"]
    rest = await alice.get(f"{SPACES}?limit=2&after={first['after']}")
    assert ([one["slug"] for one in rest["spaces"]], rest["after"]) == (["un"], None)


async def test_links_are_for_administrators_with_a_token_for_it(app: Starlette, alice: Client, cast: Cast) -> None:
    plain = await client_of(app, cast.odile)
    administrator = await client_of(app, cast.odile, "admin:read")
    pretender = await client_of(app, cast.bruno, "admin:read")
    for client in (alice, plain, pretender):
        assert (await client("GET", f"{PREFIX}/links")).status_code == 403
    links = (await administrator.get(f"{PREFIX}/links"))["links"]
    assert [(link["host"], link["state"]) for link in links] == [(KESTREL, "active")]


async def test_the_description_names_every_operation_and_no_other(app: Starlette, visitor: Client) -> None:
    described = await visitor.get(f"{PREFIX}/openapi.json")
    told = {(method.upper(), path) for path, methods in described["paths"].items() for method in methods}
    routed = {
        (method, route.path.removeprefix(PREFIX))  # type: ignore[attr-defined]
        for route in for_people()
        for method in getattr(route, "methods", None) or ()
        if getattr(route, "path", "").startswith(PREFIX) and method != "HEAD"
    }
    assert told == routed - {("GET", "/openapi.json")}
    assert told == {(operation.method, operation.path) for operation in OPERATIONS}
    references = [part for part in json.dumps(described).split('"') if part.startswith("#/")]
    schemas = described["components"]["schemas"]
    assert all(reference.rpartition("/")[2] in schemas for reference in references)
    assert described["servers"] == [{"url": HERE.base + PREFIX}]
