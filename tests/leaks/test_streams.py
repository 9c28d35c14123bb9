"""Live streams: each names what its listener may read and quotes nothing; an old stream of who is out names nothing."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest

from server.actions.membership import remove
from server.actions.signing_in import sign_out
from tests import cast as company
from tests.leaks.oracle import OUTSIDE, canary, sees
from tests.leaks.scene import build
from tests.unit.web.pages.browser import listening
from tests.unit.web.pages.test_live import Stream
from web.session import cookie_name

pytestmark = pytest.mark.anyio
LISTENERS = ("member", "colleague", "former member", "auditor", "admin", "guest in it", "guest elsewhere")


async def heard_by(stream: Stream) -> str:
    """Everything that a stream says until it ends, as text."""
    found = ""
    try:
        while True:
            found += str(await stream.next())
    except EOFError:
        return found


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_each_stream_names_nothing_that_its_listener_may_not_read(app: Any) -> None:
    """Bruno was in the closed space when he began to listen, and is put out before it is written in."""
    scene = await build(app)
    cast, written = scene.cast, dict[str, list[int]]()
    closed = scene.spaces[0]
    assert closed.name == "closed"
    await company.enter(closed.id, cast.bruno)
    async with listening(app) as address, AsyncExitStack() as stack:
        streams = {}
        for name in LISTENERS:
            cookies = {cookie_name(app.state.settings): scene.cookies[name]}
            http = await stack.enter_async_context(httpx.AsyncClient(base_url=address, cookies=cookies, timeout=20))
            answer = await stack.enter_async_context(http.stream("GET", "/live"))
            assert answer.status_code == 200, name
            streams[name] = Stream(answer)
            await streams[name].begun()
        await remove(cast.alice, closed.id, cast.bruno.actor_id)
        for space in scene.spaces:
            authors = (cast.alice, cast.chloe) if space.name in OUTSIDE else (cast.alice,)
            written[space.name] = [
                await company.say(who, f"{canary(space.name, 'body')} @fanny", space.id) for who in authors
            ]
        last = written["public"][-1]
        async with asyncio.timeout(20):
            told = {"member": ""}
            while str(last) not in told["member"]:
                told["member"] += str(await streams["member"].next())
            for token in (scene.cookies[name] for name in LISTENERS):
                await sign_out(token)
            for name, stream in streams.items():
                told[name] = told.get(name, "") + await heard_by(stream)
    leaks = []
    for name, words in told.items():
        assert "zq" not in words, "a stream names posts, it does not quote them"
        for place, posts in written.items():
            fields = ("body", "theirs")[: len(posts)]
            leaks += [
                (name, place, field)
                for post, field in zip(posts, fields, strict=True)
                if str(post) in words and not sees(name, place, field)
            ]
    assert not leaks
    assert all(str(post) in told["member"] for posts in written.values() for post in posts)
    assert str(written["public"][0]) in told["guest in it"] and str(written["network"][0]) in told["guest in it"]
