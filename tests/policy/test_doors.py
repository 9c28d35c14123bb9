"""Every address of the application × every member of the cast, asked about what only Alice may know.

Alice owns a space that is not listed, wrote in it, and has a file and a notice. A route without a row fails; so does
a row without a route. Whoever is answered 404 gets the bytes of what never was, and nobody but Alice ever reads a
word of it. Chloé has no session here: she comes in through the inbox, and is a visitor to every other door.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import BaseRoute, Mount, Route

from federation.keyring import instance_actor_id
from server import database as db
from server.actions.accounts import issue_token, revoke_token, suspend
from server.actions.attachments import bring
from server.actions.poll_rows import NewPoll
from server.actions.posts import Draft, publish
from server.actions.signing_in import new_sign_in_link, sign_in_with_link, sign_out
from server.credentials import make_secret
from server.files import Stored
from server.openness import Level
from server.settings import Settings
from server.viewer import Employee, Operator
from tests import cast as company
from tests.cast import HERE, Cast
from web.api.search import nothing
from web.app import create_app
from web.session import cookie_name

pytestmark = pytest.mark.anyio

CALLERS = ("visitor", "alice", "bruno", "odile", "powerless", "revoked", "suspended")
"""`powerless`: Alice's token without the scope, or a cookie of nobody; `revoked`: hers that she gave back."""

OPEN = "200 200 200 200 200 200 200"
EVERYONE = "401 200 200 200 403 401 401"
ALICE = "401 200 404 404 403 401 401"

TOKENS = {
    "GET /api/v1/instance": OPEN,
    "GET /api/v2/instance": OPEN,
    "GET /api/v1/custom_emojis": OPEN,
    "GET /api/v1/accounts/verify_credentials": EVERYONE,
    "GET /api/v1/accounts/lookup": ALICE,
    "GET /api/v1/accounts/search": EVERYONE,
    "GET /api/v1/accounts/relationships": EVERYONE,
    "GET /api/v1/accounts/{id}": ALICE,
    "GET /api/v1/accounts/{id}/statuses": ALICE,
    "POST /api/v1/accounts/{id}/follow": ALICE,
    "POST /api/v1/accounts/{id}/unfollow": "401 409 404 404 403 401 401",
    "POST /api/v1/statuses": ALICE,
    "GET /api/v1/statuses/{id}": ALICE,
    "PUT /api/v1/statuses/{id}": ALICE,
    "DELETE /api/v1/statuses/{id}": ALICE,
    "GET /api/v1/statuses/{id}/source": ALICE,
    "GET /api/v1/statuses/{id}/context": ALICE,
    "POST /api/v1/statuses/{id}/favourite": ALICE,
    "POST /api/v1/statuses/{id}/unfavourite": ALICE,
    "GET /api/v1/polls/{id}": ALICE,
    "POST /api/v1/polls/{id}/votes": ALICE,
    "GET /api/v1/timelines/home": EVERYONE,
    "GET /api/v1/timelines/public": EVERYONE,
    "GET /api/v1/timelines/list/{id}": ALICE,
    "GET /api/v1/lists": EVERYONE,
    "GET /api/v1/lists/{id}": ALICE,
    "GET /api/v1/notifications": EVERYONE,
    "GET /api/v1/notifications/unread_count": EVERYONE,
    "POST /api/v1/notifications/clear": EVERYONE,
    "GET /api/v1/notifications/{id}": ALICE,
    "POST /api/v1/media": "401 422 422 422 403 401 401",
    "POST /api/v2/media": "401 422 422 422 403 401 401",
    "GET /api/v1/media/{id}": ALICE,
    "PUT /api/v1/media/{id}": ALICE,
    "POST /oauth/revoke": OPEN,
    "GET /api/v2/search": EVERYONE,
    "GET /api/parvis/v1/spaces": EVERYONE,
    "POST /api/parvis/v1/spaces": "401 201 201 201 403 401 401",
    "GET /api/parvis/v1/spaces/{slug}": ALICE,
    "GET /api/parvis/v1/spaces/{slug}/members": ALICE,
    "GET /api/parvis/v1/spaces/{slug}/queue": ALICE,
    "POST /api/parvis/v1/spaces/{slug}/queue/{id}/approve": "401 404 404 404 403 401 401",
    "POST /api/parvis/v1/spaces/{slug}/queue/{id}/refuse": "401 404 404 404 403 401 401",
    "POST /api/parvis/v1/spaces/{slug}/members": ALICE,
    "DELETE /api/parvis/v1/spaces/{slug}/members/{who}": "401 409 404 404 403 401 401",
    "GET /api/parvis/v1/spaces/{slug}/policy": ALICE,
    "PUT /api/parvis/v1/spaces/{slug}/policy": "401 428 404 404 403 401 401",
    "GET /api/parvis/v1/explain": ALICE,
    "GET /api/parvis/v1/links": "401 403 403 403 403 401 401",
    "GET /api/parvis/v1/recalls": "401 403 403 403 403 401 401",
    "GET /api/parvis/v1/recalls/{id}": "401 403 403 403 403 401 401",
    "GET /api/parvis/v1/openapi.json": OPEN,
    "GET /healthz": OPEN,
    "GET /readyz": OPEN,
    "GET /metrics": "404 403 403 403 403 401 401",
}

NOTHING = "404 404 404 404 404 404 404"

SESSIONS = {
    "GET /": "303 200 200 200 303 303 303",
    "GET /login": "200 303 303 303 200 200 200",
    "POST /login": "401 401 401 401 401 401 401",
    "GET /login/once/{token}": "200 200 200 200 200 200 200",
    "POST /login/once/{token}": "401 401 401 401 401 401 401",
    "POST /posts": "401 303 422 422 401 401 401",
    "GET /posts/new": "303 200 200 200 303 303 303",
    "GET /posts/{id}": "404 200 404 404 404 404 404",
    "GET /posts/{id}/audience": "404 200 404 404 404 404 404",
    "GET /posts/{id}/share": "404 200 404 404 404 404 404",
    "GET /posts/{id}/edit": "303 200 404 404 303 303 303",
    "POST /posts/{id}/edit": "401 303 404 404 401 401 401",
    "POST /posts/{id}/withdraw": "401 303 404 404 401 401 401",
    "POST /posts/{id}/react": "401 303 404 404 401 401 401",
    "POST /posts/{id}/vote": "401 303 404 404 401 401 401",
    "GET /spaces": "200 200 200 200 200 200 200",
    "POST /spaces": "401 303 303 303 401 401 401",
    "GET /spaces/{slug}": "404 200 404 404 404 404 404",
    "GET /spaces/{slug}/about": "404 200 404 404 404 404 404",
    "GET /spaces/{slug}/openness": "404 200 404 404 404 404 404",
    "POST /spaces/{slug}/openness": "401 200 404 404 401 401 401",
    "POST /spaces/{slug}/openness/changes/{id}": "401 404 404 404 401 401 401",
    "POST /spaces/{slug}/openness/review": "401 303 404 404 401 401 401",
    "GET /spaces/{slug}/openness/close": "303 200 404 404 303 303 303",
    "POST /spaces/{slug}/openness/close": "401 303 404 404 401 401 401",
    "GET /spaces/{slug}/openness/history": "404 200 404 404 404 404 404",
    "GET /spaces/{slug}/openness/as": "303 200 404 404 303 303 303",
    "GET /spaces/{slug}/openness/seen": "303 200 404 404 303 303 303",
    "GET /spaces/{slug}/audience": "404 200 404 404 404 404 404",
    "GET /spaces/{slug}/members": "404 200 404 404 404 404 404",
    "POST /spaces/{slug}/members": "401 303 404 404 401 401 401",
    "POST /spaces/{slug}/members/{id}/remove": "404 409 404 404 404 404 404",
    "GET /spaces/{slug}/queue": "404 200 404 404 404 404 404",
    "POST /spaces/{slug}/queue/{id}/approve": "404 404 404 404 404 404 404",
    "POST /spaces/{slug}/queue/{id}/refuse": "404 422 404 404 404 404 404",
    "GET /spaces/{slug}/feed.atom": "404 200 404 404 404 404 404",
    "GET /spaces/{slug}/feed": "303 200 404 404 303 303 303",
    "POST /spaces/{slug}/feed": "401 200 404 404 401 401 401",
    "POST /spaces/{slug}/feed/revoke": "401 303 404 404 401 401 401",
    "POST /spaces/{slug}/join": "404 303 404 404 404 404 404",
    "POST /spaces/{slug}/leave": "404 409 404 404 404 404 404",
    "GET /elsewhere": "303 200 200 200 303 303 303",
    "POST /elsewhere": "401 422 422 422 401 401 401",
    "POST /elsewhere/{id}/leave": "401 409 404 404 401 401 401",
    "GET /explain": "303 200 404 404 303 303 303",
    "GET /people": "303 200 200 200 303 303 303",
    "GET /@{name}": "200 200 200 200 200 200 200",
    "POST /@{name}/follow": "401 422 303 303 401 401 401",
    "POST /@{name}/unfollow": "401 303 303 303 401 401 401",
    "POST /@{name}/accept-follow": "401 404 404 404 401 401 401",
    "POST /@{name}/decline-follow": "401 404 404 404 401 401 401",
    "GET /notifications": "303 200 200 200 303 303 303",
    "POST /notifications/read": "401 303 303 303 401 401 401",
    "GET /search": "303 200 200 200 303 303 303",
    "GET /mail/stop/{token}": NOTHING,
    "POST /mail/stop/{token}": NOTHING,
    "GET /settings": "303 200 200 200 303 303 303",
    "POST /settings": "401 422 422 422 401 401 401",
    "POST /settings/password": "401 422 422 422 401 401 401",
    "POST /settings/sessions/{id}/end": "401 404 404 404 401 401 401",
    "POST /settings/tokens": "401 200 200 200 401 401 401",
    "POST /settings/tokens/{id}/revoke": "401 404 404 404 401 401 401",
    "GET /admin/links": "303 403 403 200 303 303 303",
    "POST /admin/links": "401 403 403 422 401 401 401",
    "POST /admin/links/past": "401 403 403 422 401 401 401",
    "GET /admin/links/{host}": "303 403 403 404 303 303 303",
    "POST /admin/links/{host}/{step}": "401 404 404 404 401 401 401",
    "GET /admin/partners/{host}": "303 403 403 404 303 303 303",
    "GET /admin/partners/{host}/export": "303 403 403 404 303 303 303",
    "POST /admin/partners/{host}/compare": "401 403 403 404 401 401 401",
    "GET /admin": "303 403 403 200 303 303 303",
    "GET /admin/people": "303 403 403 200 303 303 303",
    "POST /admin/people": "401 403 403 422 401 401 401",
    "POST /admin/people/{name}/extend": "401 403 403 422 401 401 401",
    "POST /admin/people/{name}/link": "401 403 403 200 401 401 401",
    "GET /admin/deliveries": "303 403 403 200 303 303 303",
    "POST /admin/deliveries/retry": "401 403 403 404 401 401 401",
    "GET /admin/audit": "303 403 403 200 303 303 303",
    "GET /admin/recalls": "303 403 403 200 303 303 303",
    "GET /admin/recalls/{id}": "303 403 403 404 303 303 303",
    "POST /admin/recalls/{id}/restart": "401 403 403 404 401 401 401",
    "GET /admin/spaces": "303 403 403 200 303 303 303",
    "GET /admin/spaces/{slug}": "303 403 403 200 303 303 303",
    "GET /admin/changes/{id}": "303 404 404 404 303 303 303",
    "POST /admin/changes/{id}": "401 404 404 404 401 401 401",
    "GET /admin/glass": "303 200 200 200 303 303 303",
    "POST /admin/glass": "401 403 403 422 401 401 401",
    "POST /admin/glass/{id}/{step}": "401 404 404 404 401 401 401",
    "GET /media/{id}/{name:path}": "404 404 404 404 404 404 404",
    "GET /small/{id}": "404 404 404 404 404 404 404",
    "POST /admin/people/{name}/reinstate": "401 403 403 303 401 401 401",
    "POST /admin/people/{name}/suspend": "401 401 403 303 401 401 401",
    "POST /logout": "303 303 303 303 303 303 303",
}
"""Pages, asked with the cookie of a signed-in browser; what ends sessions comes last."""

STREAMS = {"GET /live"}
"""An answer that does not end: tests/unit/web/pages/test_live.py asks it as everybody."""

AUDITED = {(f"GET /admin/{page}", "odile") for page in ("audit", "spaces", "spaces/{slug}")}
"""An administrator reads what was done to which space, by its address; never what was written there."""

UNPROVED = "401 401 401 401 401 401 401"

UNSIGNED = {
    "GET /.well-known/host-meta": OPEN,
    "GET /.well-known/host-meta.json": OPEN,
    "GET /.well-known/nodeinfo": OPEN,
    "GET /.well-known/webfinger": NOTHING,
    "GET /nodeinfo/2.1": OPEN,
    "GET /robots.txt": OPEN,
    "GET /actor": OPEN,
    "GET /@{name} as a document": OPEN,
    "GET /@{name}/followers as a document": NOTHING,
    "GET /@{name}/following as a document": NOTHING,
    "GET /@{name}/outbox as a document": NOTHING,
    "GET /activities/{id} as a document": NOTHING,
    "GET /activities/{id}/announce as a document": NOTHING,
    "GET /activities/{id}/mirror as a document": NOTHING,
    "GET /posts/{id} as a document": NOTHING,
    "GET /posts/{id}/context as a document": NOTHING,
    "GET /posts/{id}/mirror as a document": NOTHING,
    "GET /posts/{id}/replica as a document": NOTHING,
    "GET /posts/{id}/replies as a document": NOTHING,
    "GET /spaces/{slug} as a document": NOTHING,
    "GET /spaces/{slug}/members as a document": NOTHING,
    "GET /spaces/{slug}/outbox as a document": NOTHING,
    "GET /spaces/{slug}/recalls/{id}/items as a document": NOTHING,
    "POST /@{name}/inbox": UNPROVED,
    "POST /actor/inbox": UNPROVED,
    "POST /inbox": UNPROVED,
    "POST /peering": UNPROVED,
    "GET /peering/state": NOTHING,
    "GET /peering/mirror": NOTHING,
    "POST /spaces/{slug}/inbox": UNPROVED,
}
"""What other instances ask, without a signature: anybody at all. Of Alice they hear that she is here, and her keys."""

SAID = {"json": {"id": "https://inconnu.test/1", "type": "Create", "actor": "https://inconnu.test/@eve"}}

BODIES: Mapping[str, dict[str, Any]] = {
    "POST /api/v1/statuses": {"json": {"status": "entre nous", "parvis_space": "{slug}"}},
    "PUT /api/v1/statuses/{id}": {"json": {"status": "entre nous deux"}},
    "PUT /api/v1/media/{id}": {"json": {"description": "plan"}},
    "POST /api/v1/polls/{id}/votes": {"json": {"choices": "0"}},
    "POST /oauth/revoke": {"data": {"token": "unknown"}},
    "POST /api/parvis/v1/spaces": {"json": {"slug": "nouveau-{caller}", "name": "Nouveau"}},
    "POST /api/parvis/v1/spaces/{slug}/members": {"json": {"who": "alice"}},
    "PUT /api/parvis/v1/spaces/{slug}/policy": {"json": {"tone": "direct"}},
    "POST /api/parvis/v1/spaces/{slug}/queue/{id}/refuse": {"json": {"reason": "hors sujet"}},
    "POST /posts": {"data": {"text": "bonsoir", "where": "{slug}", "key": "{caller}-{post}"}},
    "POST /posts/{id}/edit": {"data": {"text": "entre nous deux"}},
    "POST /posts/{id}/react": {"data": {"emoji": ""}},
    "POST /posts/{id}/vote": {"data": {"choice": "0"}},
    "POST /spaces": {"data": {"slug": "n-{caller}", "name": "Nouveau", "level": "closed"}},
    "POST /spaces/{slug}/members": {"data": {"who": "alice"}},
    **{key: SAID for key in UNSIGNED if key.startswith("POST ")},
}
QUERIES = {
    "GET /api/v1/accounts/lookup": "?acct={slug}",
    "GET /api/v1/accounts/search": "?q=rachat",
    "GET /api/v1/accounts/relationships": "?id[]={account}",
    "GET /explain": "?thing=space:{slug}&as=web",
    "GET /api/parvis/v1/explain": "?thing=space:{slug}&as=web",
    "GET /api/v2/search": "?q=rachat&resolve=true",
    "GET /.well-known/webfinger": "?resource=acct:{slug}@aubrac.test",
}
ACTIVITY_JSON = "application/activity+json"
PLACES = {"accounts": "account", "statuses": "post", "list": "space", "lists": "space"}
PLACES |= {"notifications": "notice", "media": "file", "small": "file", "posts": "post", "activities": "post"}
PLACES |= {"polls": "post", "elsewhere": "space"}
SECRETS = ("rachat", "Rachat", "entre nous", "plan-du-rachat")


@dataclass(slots=True)
class Things:
    """What only Alice may know, by the names that stand in addresses."""

    known: dict[str, str]
    unknown: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.unknown = {name: str(int(i) + 1) for name, i in self.known.items() if i.isdigit()}
        self.unknown |= {"slug": "inconn", "who": "alice", "name": "personn"}


async def make_things(cast: Cast, number: int) -> Things:
    slug = f"rachat-{number}"
    space_id = await company.space(slug, Level.CLOSED, cast.alice, listed=False)
    space = await db.fetch_one("SELECT actor_id FROM space WHERE id = $1", space_id)
    poll = NewPoll(("rachat lundi", "rachat mardi"))
    post_id = await publish(cast.alice, Draft("entre nous", space_id, poll=poll), HERE)
    file_id = await bring(cast.alice, Stored("0" * 64, 3, b"abc"), "plan-du-rachat.txt")
    await company.say(cast.bruno, "@alice bonjour")
    notice = await db.fetch_one("SELECT MAX(id) AS id FROM notice")
    assert space is not None
    assert notice is not None
    ids = {"account": space["actor_id"], "post": post_id, "space": space_id, "file": file_id, "notice": notice["id"]}
    return Things({name: str(i) for name, i in ids.items()} | {"slug": slug, "who": "alice", "name": "alice"})


def filled(text: str, key: str, things: Mapping[str, str], caller: str) -> str:
    """An address or a body with these things in its places; {id} means what its collection holds."""
    before = key.partition("{id}")[0].rstrip("/").rpartition("/")[2]
    text = text.replace("{id}", things.get(PLACES.get(before, ""), "7")).replace("{caller}", caller)
    for name, value in things.items():
        text = text.replace(f"{{{name}}}", value).replace(f"{{{name}:path}}", value)
    return text


def every_route(routes: list[BaseRoute], prefix: str = "") -> Iterator[str]:
    """Each method and address; documents and pages at one address are two doors."""
    for route in routes:
        if isinstance(route, Mount):
            yield from every_route(list(route.routes), prefix + route.path)
        elif isinstance(route, Route):
            document = " as a document" if type(route).__module__.startswith("federation") else ""
            for method in sorted((route.methods or set()) - {"HEAD"}):
                yield f"{method} {prefix}{route.path}{document}"


@pytest.fixture
def app(database: str, tmp_path: Path) -> Starlette:
    settings = Settings(base_url=HERE.base, database_url=database, data_dir=tmp_path)
    make_secret(settings, sealed_keys_exist=False)
    app = create_app(settings)
    app.state.lookup = nothing
    return app


def test_every_route_has_a_row_and_every_row_a_route(tmp_path: Path) -> None:
    app = create_app(Settings(base_url=HERE.base, data_dir=tmp_path))
    assert sorted({*TOKENS, *SESSIONS, *UNSIGNED, *STREAMS}) == sorted(set(every_route(list(app.routes))))


async def tokens(cast: Cast) -> dict[str, str]:
    """A bearer token for each caller."""
    scopes = "read write follow"
    gone = await company.employee("gaspard", "Gaspard Petit")
    held = {name: await issue_token(who.account_id, scopes) for name, who in people(cast, gone).items()}
    held["powerless"] = await issue_token(cast.alice.account_id, "push")
    await revoke_token(held["revoked"])
    await suspend(Operator(), gone.account_id)
    return held


async def cookies(cast: Cast) -> dict[str, str]:
    """A session's cookie for each caller."""
    gone = await company.employee("gaspard", "Gaspard Petit")
    held = {}
    for name, who in people(cast, gone).items():
        link = await new_sign_in_link(Operator(), who.account_id)
        held[name] = (await sign_in_with_link(link, "")).token
    held["powerless"] = "x" * 43
    await sign_out(held["revoked"])
    await suspend(Operator(), gone.account_id)
    return held


def people(cast: Cast, gone: Employee) -> dict[str, Employee]:
    return {"alice": cast.alice, "bruno": cast.bruno, "odile": cast.odile, "revoked": cast.alice, "suspended": gone}


@pytest.mark.parametrize("door", ["tokens", "sessions", "unsigned"])
async def test_each_door_answers_each_of_the_cast_as_its_row_says(app: Starlette, door: str) -> None:
    await instance_actor_id(app.state.instance)  # as the worker does first
    cast = await company.gather()
    table = {"tokens": TOKENS, "sessions": SESSIONS, "unsigned": UNSIGNED}[door]
    held = await {"tokens": tokens, "sessions": cookies}.get(door, nobody)(cast)
    wrong = []
    for number, (key, row) in enumerate(table.items()):
        things = await make_things(cast, number)
        wanted = dict(zip(CALLERS, row.split(), strict=True))
        for caller in sorted(CALLERS, key=lambda name: name == "alice"):  # she last: she changes things
            headers = headers_of(door, held.get(caller, ""))
            answer = await ask(app, key, things.known, caller, headers)
            if str(answer.status_code) != wanted[caller]:
                wrong.append(f"{key} by {caller}: {answer.status_code}, not {wanted[caller]}: {answer.text[:200]}")
            if caller != "alice" and (key, caller) not in AUDITED:
                wrong += [f"{key} tells {caller} {word}" for word in SECRETS if word in answer.text]
            if answer.status_code == 404:
                unknown = await ask(app, key, things.unknown, caller, headers)
                if (body_of(answer), told(answer)) != (body_of(unknown), told(unknown)):
                    wrong.append(f"{key} tells {caller} hidden from unknown")
    assert wrong == []


async def nobody(cast: Cast) -> dict[str, str]:
    return {}


def headers_of(door: str, secret: str) -> dict[str, str]:
    if door == "unsigned":
        return {"accept": ACTIVITY_JSON, "content-type": ACTIVITY_JSON}
    if not secret:
        return {}
    if door == "tokens":
        return {"authorization": f"Bearer {secret}"}
    return {"cookie": f"{cookie_name(Settings(base_url=HERE.base))}={secret}", "sec-fetch-site": "same-origin"}


async def ask(
    app: Starlette, key: str, things: Mapping[str, str], caller: str, headers: Mapping[str, str]
) -> httpx.Response:
    method, path = key.removesuffix(" as a document").split(" ")
    address = filled(path + QUERIES.get(key, ""), key, things, caller)
    body = {
        kind: {name: filled(value, key, things, caller) for name, value in fields.items()}
        for kind, fields in BODIES.get(key, {}).items()
    }
    transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=("203.0.113.9", 4321))
    async with httpx.AsyncClient(transport=transport, base_url=HERE.base) as http:
        return await http.request(method, address, headers=dict(headers), **body)  # type: ignore[arg-type]


NONCE = re.compile(r"nonce-[\w-]+|nonce=\"[\w-]+\"")


def body_of(answer: httpx.Response) -> str:
    """What is answered, without the random mark that lets our own script run."""
    return NONCE.sub("", answer.text)


def told(answer: httpx.Response) -> dict[str, str]:
    """All headers but the date and that random mark."""
    return {
        name: NONCE.sub("", value) for name, value in answer.headers.items() if name not in ("date", "x-request-id")
    }
