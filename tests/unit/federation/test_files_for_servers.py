"""Files as other servers fetch them: at the page of files, by the same right as the post that carries them."""

import io
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route

from federation.answering import signer_or
from server import database as db
from server import files
from server.actions.posts import Draft, publish
from server.actions.spaces import set_openness
from server.clock import now_ms
from server.errors import DomainError
from server.ids import new_id
from server.media_types import sniff
from server.openness import Level
from server.viewer import Anonymous, Viewer
from tests.cast import HERE, INCONNU, KESTREL, Cast, gather, space
from tests.unit.federation.asking import ACTIVITY, Asking, asking, same
from web import errors
from web.pages.files import media

pytestmark = pytest.mark.anyio
FORGED = b'{"@context":"https://www.w3.org/ns/activitystreams","type":"Person","id":"https://aubrac.test/@alice"}'


@pytest.fixture
async def cast(database: str) -> Cast:
    return await gather()


@pytest.fixture
async def ask(cast: Cast, tmp_path: Path) -> AsyncIterator[Asking]:
    """The routes of the federation, and after them the page of files."""
    async with asking(tmp_path, "linked", KESTREL, INCONNU) as found:
        app = Starlette(
            routes=[*found.app.routes, Route("/media/{id}/{name}", media)],
            exception_handlers={DomainError: errors.refused},
        )
        app.state.settings = found.instance.settings
        app.state.error_page, app.state.translated = errors.plain_page, errors.untranslated
        app.state.asking = signer_or(found.instance, a_visitor)
        found.app = app
        yield found


async def a_visitor(request: Request) -> Viewer:
    return Anonymous()


async def attached(ask: Asking, cast: Cast, space_id: int, name: str = "acteur.json") -> str:
    """The path of a file that Alice attached to a post in this space."""
    stored = files.store(ask.instance.settings.files_dir, io.BytesIO(FORGED), 10_000)
    file_id = new_id()
    row = {"id": file_id, "owner_id": cast.alice.actor_id, "name": name, "media_type": sniff(FORGED, name)}
    await db.insert("attachment", {**row, "size": len(FORGED), "sha256": stored.sha256, "created_at": now_ms()})
    await publish(cast.alice, Draft("ci-joint", space_id, file_ids=[file_id]), HERE)
    return HERE.path(HERE.media(file_id, name))


def plain(answer: httpx.Response) -> str:
    return answer.headers["content-type"].partition(";")[0]


async def test_K4_a_file_of_a_shared_space_is_there_for_a_partners_server_and_for_no_other(
    ask: Asking, cast: Cast
) -> None:
    space_id = await space("offre", Level.PARTNERS, cast.alice, cast.chloe, partners=(KESTREL,))
    path = await attached(ask, cast, space_id)
    for by in (None, INCONNU):
        assert same(await ask(path, by), await ask("/media/1/acteur.json", by))
    assert (await ask(path, KESTREL)).content == FORGED
    old_form = await ask(
        path, accept="*/*", authorization='Signature keyId="https://inconnu.test/@eve#k",signature="x"'
    )
    assert same(old_form, await ask("/media/1/acteur.json", accept="*/*"))
    await set_openness(cast.alice, space_id, Level.CLOSED)
    assert same(await ask(path, KESTREL), await ask("/media/1/acteur.json", KESTREL))


@pytest.mark.parametrize("name", ["acteur.json", "acteur.jsonld", "acteur.activity+json", "acteur"])
async def test_O3_a_file_that_reads_like_an_actor_is_never_answered_as_one(ask: Asking, cast: Cast, name: str) -> None:
    path = await attached(ask, cast, await space("place", Level.PUBLIC, cast.alice), name)
    for accept in (ACTIVITY, 'application/ld+json; profile="https://www.w3.org/ns/activitystreams"'):
        answer = await ask(path, accept=accept)
        assert (answer.status_code, plain(answer)) == (200, "text/plain")
        assert answer.headers["x-content-type-options"] == "nosniff"
