"""What is answered to whoever changes something, delivers something, reads a feed by its secret address, or asks over
a real socket: the same oracle as for what is read.
"""

import logging
import re
from collections.abc import Iterator
from typing import Any

import httpx
import msgspec
import pytest

from federation.signatures import messages
from server import database as db
from server.actions import feeds
from server.actions.membership import remove
from server.clock import now_ms
from server.errors import DomainError
from server.queries.accounts import resident
from server.viewer import Operator
from tests.cast import HERE
from tests.leaks.oracle import SPACES, allowed, canary, seen_by, sees
from tests.leaks.outputs import addresses, asked, doors
from tests.leaks.scene import SERVERS, Scene, Space, build
from tests.leaks.test_leaks import RESIDENTS, logged, words_of
from tests.policy.test_doors import BODIES, every_route
from tests.unit.federation.asking import ACTIVITY
from tests.unit.web.pages.browser import listening

pytestmark = pytest.mark.anyio
ONLY = ("invited_unlisted",)
"""Hidden from all but its members, with everything in it."""
CHANGING = ("POST", "PUT", "DELETE", "PATCH")
INBOXES = re.compile(r"/inbox$|^/peering$")
NOT_ASKED = ("POST /admin/links", "POST /admin/partners/{host}/compare", "POST /admin/links/{host}/{step}")
"""Ask another instance first, and no network is here: tests/leaks/test_wire.py has some."""
EVERYBODY = pytest.param(SPACES, marks=pytest.mark.soak)


class TakenBack(Exception):
    """Undoes what an answer was for."""


def changing(scene: Scene) -> Iterator[tuple[str, str, str]]:
    """(door, method, path) of all that changes something and is called by people."""
    routes = set(every_route(list(scene.app.routes)))
    assert routes >= set(NOT_ASKED)
    for key in sorted(routes):
        method, path = key.split(" ", 1)
        if method in CHANGING and not INBOXES.search(path) and key not in NOT_ASKED:
            yield ("tokens" if path.startswith(("/api/", "/oauth/")) else "pages"), method, path


def filled(value: Any, space: Space, observer: str) -> Any:
    """A body of the doors' table with the things of a space in its places."""
    if isinstance(value, dict):
        return {name: filled(inner, space, observer) for name, inner in value.items()}
    if not isinstance(value, str):
        return value
    for kind, ids in space.ids.items():
        value = value.replace(f"{{{kind}}}", ids[0])
    return value.replace("{caller}", observer.replace(" ", "-"))


async def undone(
    scene: Scene, door: str, observer: str, method: str, path: str, body: dict[str, Any]
) -> httpx.Response:
    """An answer, after which nothing has happened: in process, an answer is made in the transaction of whoever asks."""
    answer: httpx.Response | None = None
    try:
        async with db.transaction():
            answer = await scene.ask(door, observer, path, method, **body)
            raise TakenBack
    except TakenBack:
        assert answer is not None
        return answer


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("only", [ONLY, EVERYBODY])
async def test_who_changes_something_is_told_no_more_than_who_reads(
    app: Any, only: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "parvis")
    scene = await build(app, only)
    observers = ("member", "colleague", "guest elsewhere", "visitor") if only == ONLY else RESIDENTS
    leaks, done, found = [], 0, set()
    for door, method, path in changing(scene):
        for space in (None, *scene.spaces):
            first = Space("", 0, "", {kind: ids[:1] for kind, ids in space.ids.items()}) if space else None
            for address in addresses(path, first):
                body = filled(BODIES.get(f"{method} {path}", {}), space or scene.spaces[0], "x")
                for observer in observers:
                    answer = await undone(scene, door, observer, method, address, body)
                    assert answer.status_code < 500, (observer, method, address, answer.text[:300])
                    words = words_of(answer.text) | words_of(str(answer.headers))
                    told = {word for word in words - seen_by(observer) if not allowed(observer, word, address)}
                    leaks += [f"{observer} is told {sorted(told)[:3]} by {method} {address}"] if told else []
                    done += answer.status_code < 400
                    found |= words if observer == "member" else set()
    assert not leaks, "\n".join(leaks)
    assert done > 20, "some of it was done"
    assert logged(caplog) == set(), "what is kept of requests holds no words of a space"
    assert {canary(space, "body") for space in only} <= found, "and its answers had words in them"


DELIVERING = ("partner without a member", "linked, not named", "not linked")


def activities(space: Space) -> Iterator[dict[str, Any]]:
    """What a server may say of things here that it may not know."""
    place, post = f"{HERE.base}/spaces/{space.slug}", f"{HERE.base}/posts/{space.ids['post'][0]}"
    yield {"type": "Follow", "object": place}
    yield {"type": "Join", "object": place}
    yield {"type": "Leave", "object": place}
    yield {"type": "Like", "object": post}
    yield {"type": "Announce", "object": post}
    yield {"type": "Delete", "object": post}
    yield {"type": "Create", "to": [place], "object": {"type": "Note", "inReplyTo": post, "content": "<p>oui</p>"}}


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_who_delivers_is_told_nothing_of_what_is_here(app: Any) -> None:
    """And the same of what is hidden and of what never was."""
    scene, number = await build(app, ("unlisted",)), 0
    space = scene.spaces[0]
    never, statuses = Space("", 0, "inconnu", {"post": ["7"]}), set()
    paths = [key.split(" ", 1)[1] for key in every_route(list(app.routes)) if key.startswith("POST ")]
    for path in [path for path in paths if INBOXES.search(path)]:
        for observer in DELIVERING:
            host, answers = SERVERS[observer], []
            for one in (space, never):
                said = []
                for activity in activities(one):
                    number += 1
                    actor = f"https://{host}/actor"
                    whole = {"id": f"https://{host}/a/{number}", "actor": actor, **activity}
                    body = msgspec.json.encode(whole)
                    address = path.replace("{name}", "alice").replace("{slug}", one.slug)
                    headers = {"content-type": ACTIVITY}
                    key = scene.keys[observer]
                    signed = messages.sign("POST", HERE.base + address, headers, body, key, now_ms())
                    answer = await scene.ask("documents", observer, address, "POST", content=body, headers=signed)
                    assert not words_of(answer.text + str(answer.headers)), (observer, address)
                    said.append((answer.status_code, answer.text))
                answers.append(said)
            assert answers[0] == answers[1], (path, observer)
            statuses |= {status for status, _ in answers[0]}
    assert 202 in statuses, statuses


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_feed_tells_what_its_owner_may_read_until_it_is_revoked(app: Any) -> None:
    """Asked by nobody with the secret address, as feed readers do: of each space, before and after."""
    scene = await build(app)
    owners = {"member": "alice", "colleague": "bruno", "guest in it": "gwen", "auditor": "aude"}
    made = {}
    for observer, name in owners.items():
        viewer = await resident(Operator(), name)
        for space in scene.spaces:
            try:
                made[observer, space.name] = await feeds.make(viewer, space.id)
            except DomainError:
                assert not sees(observer, space.name, "body"), (observer, space.name)

    async def told(observer: str, space: Space) -> httpx.Response:
        token = made[observer, space.name]
        return await scene.ask("pages", "visitor", f"/spaces/{space.slug}/feed.atom?token={token}")

    by_name = {space.name: space for space in scene.spaces}
    for observer, place in made:
        answer = await told(observer, by_name[place])
        words = words_of(answer.text)
        assert words <= seen_by(observer), (observer, place, words - seen_by(observer))
        assert canary(place, "body") in words, (observer, place)
    gone = by_name["invited"]
    await remove(scene.cast.alice, gone.id, (await resident(Operator(), "gwen")).actor_id)
    await feeds.revoke(scene.cast.bruno, by_name["internal"].id)
    await db.execute("UPDATE account SET suspended_at = 1 WHERE name = 'aude'")
    never = await scene.ask("pages", "visitor", "/spaces/inconnu/feed.atom?token=x")
    ended = [("guest in it", "invited"), ("colleague", "internal"), ("auditor", "internal"), ("auditor", "public")]
    for observer, place in ended:
        answer = await told(observer, by_name[place])
        assert (answer.status_code, words_of(answer.text)) == (404, set()), (observer, place)
        assert len(answer.content) == len(never.content)


SAMPLE = (
    "/spaces/{slug}",
    "/spaces/{slug}/outbox",
    "/spaces/{slug}/members",
    "/posts/{id}",
    "/media/{id}/{name:path}",
    "/small/{id}",
)

ASKING = ("sister department", "partner by invitation", "rival with a member", "linked, not named")


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_over_a_real_socket_servers_are_answered_the_same(app: Any) -> None:
    """Sister departments, the uninvited, blind partners, those that no space names: bytes and status, both ways."""
    scene, differing, number = await build(app, ("blind", "everyone")), [], 0
    async with listening(app) as base, httpx.AsyncClient(base_url=base) as http:
        for path in SAMPLE:
            assert path in doors(app)["documents"]
            for address, space in asked(path, scene.spaces):
                for observer in ASKING if space else ():
                    within = await scene.ask("documents", observer, address)
                    headers = {**scene._shown("documents", observer, address, "GET"), "host": HERE.host}
                    outside = await http.get(address, headers=headers)
                    number += outside.status_code == 200
                    if (within.status_code, within.content) != (outside.status_code, outside.content):
                        differing.append(f"{observer}: {address} {within.status_code} {outside.status_code}")
    assert not differing, "\n".join(differing)
    assert number > 20


NOT_BUILT = re.compile(r"preview|hashtag|trend|bookmark|newsletter|sitemap")


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_what_the_harness_does_not_know_does_not_exist(app: Any) -> None:
    """Link previews, hashtags, sitemaps: whoever builds one gives it a canary in `tests.leaks.scene`, and takes its
    word out of here.
    """
    columns = await db.fetch("SELECT m.name AS place, p.name FROM sqlite_master m JOIN pragma_table_info(m.name) p")
    names = {f"{row['place']}.{row['name']}" for row in columns} | set(every_route(list(app.routes)))
    assert not {name for name in names if NOT_BUILT.search(name)}
