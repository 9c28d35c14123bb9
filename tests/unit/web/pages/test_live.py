"""Live news on a real socket: told within the second, to whom it concerns, for as long as they may (A38, T2, T4)."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from server import database as db
from server.actions.accounts import suspend
from server.actions.arriving import Arrived, receive
from server.actions.membership import remove
from server.actions.posts import withdraw
from server.actions.signing_in import sign_out
from server.actions.spaces import SpaceElsewhere, mirror
from server.clock import now_ms
from server.ids import LATE_MS
from server.openness import Level
from server.viewer import Operator
from tests.cast import KESTREL, Cast, enter, say, space, stranger
from tests.unit.web.pages.browser import Browser, listening
from web.pages import live

pytestmark = pytest.mark.anyio


class Stream:
    """What a browser hears: events as (name, data, id)."""

    def __init__(self, answer: httpx.Response) -> None:
        self._lines = answer.aiter_lines()
        self.last = ""

    async def begun(self) -> None:
        """The first lines are there: whatever happens from now on is told."""
        async for line in self._lines:
            if not line:
                return

    async def next(self) -> tuple[str, Any]:
        name, data = "message", None
        async for line in self._lines:
            key, _, value = line.partition(": ")
            if key == "id":
                self.last = value
            elif key == "event":
                name = value
            elif key == "data":
                data = json.loads(value)
            elif not line and data is not None:
                return name, data
        raise EOFError


@asynccontextmanager
async def heard(address: str, browser: Browser, last: str = "") -> AsyncIterator[Stream]:
    headers = {"last-event-id": last} if last else {}
    async with httpx.AsyncClient(base_url=address, cookies=browser.cookies, timeout=5) as http:
        async with http.stream("GET", "/live", headers=headers) as answer:
            assert answer.status_code == 200
            assert answer.headers["content-type"].startswith("text/event-stream")
            stream = Stream(answer)
            await stream.begun()
            yield stream


async def test_a_visitor_hears_nothing(visitor: Browser) -> None:
    assert (await visitor.get("/live")).status_code == 401


async def test_A38_bruno_hears_of_what_he_may_read_and_of_nothing_else(
    app: Starlette, cast: Cast, alice: Browser, bruno: Browser
) -> None:
    cevennes = await space("cevennes", Level.PARTNERS, cast.alice, cast.chloe, partners=(KESTREL,))
    async with listening(app) as address, heard(address, alice) as hers, heard(address, bruno) as his:
        secret = await say(cast.alice, "Entre nous", cevennes)
        answer = await say(cast.chloe, "Oui", cevennes, answers=secret)
        await withdraw(cast.alice, secret)
        public = await say(cast.odile, "Pour tous")
        async with asyncio.timeout(2):
            assert (await his.next())[1]["id"] == str(public)
            mine = [await hers.next() for _ in range(4)]
        posts = [(data["kind"], data["id"]) for name, data in mine if name == "post"]
        assert ("new", str(answer)) in posts and ("withdrawn", str(secret)) in posts


async def test_D3_what_a_host_tells_late_is_no_news(app: Starlette, cast: Cast, bruno: Browser) -> None:
    group = await stranger("projet", "Projet", KESTREL)
    there = await mirror(cast.kestrel, SpaceElsewhere(group.actor_id, "projet", KESTREL, "Projet", "", Level.PARTNERS))
    await enter(there, cast.bruno)
    await db.execute("UPDATE membership SET since_at = 0 WHERE space_id = $1", there)
    async with listening(app) as address, heard(address, bruno) as stream:
        for number, age in ((1, 2 * LATE_MS), (2, 0)):
            told = Arrived(f"https://{KESTREL}/posts/{number}", "<p>…</p>", now_ms() - age)
            post = await receive(cast.kestrel, cast.chloe.actor_id, told, there)
        async with asyncio.timeout(2):
            name, data = await stream.next()
    assert (name, data["kind"], data["id"]) == ("post", "new", str(post))


async def test_who_was_removed_hears_that_their_access_changed_and_then_nothing(
    app: Starlette, cast: Cast, bruno: Browser
) -> None:
    closed = await space("direction", Level.CLOSED, cast.alice, cast.bruno)
    async with listening(app) as address, heard(address, bruno) as his:
        await remove(cast.alice, closed, cast.bruno.actor_id)
        await say(cast.alice, "Sans lui", closed)
        public = await say(cast.odile, "Pour tous")
        async with asyncio.timeout(2):
            assert await his.next() == ("access", {})
            assert (await his.next())[1]["id"] == str(public)


@pytest.mark.parametrize("end", ["signed out", "suspended"])
async def test_T2_T4_the_stream_ends_within_a_second(app: Starlette, cast: Cast, bruno: Browser, end: str) -> None:
    assert bruno.session is not None
    async with listening(app) as address, heard(address, bruno) as his:
        if end == "suspended":
            await suspend(Operator(), cast.bruno.account_id)
        else:
            await sign_out(bruno.session.token)
        async with asyncio.timeout(1):
            with pytest.raises(EOFError):
                await his.next()


async def test_who_comes_back_hears_what_they_missed(app: Starlette, cast: Cast, bruno: Browser) -> None:
    async with listening(app) as address:
        async with heard(address, bruno) as his:
            await say(cast.alice, "Un")
            async with asyncio.timeout(2):
                await his.next()
            last = his.last
        missed = await say(cast.alice, "@bruno deux")
        async with heard(address, bruno, last) as his, asyncio.timeout(2):
            told = [await his.next() for _ in range(3)]
    assert str(missed) in [data["id"] for name, data in told if name == "post"]
    assert told[-1] == ("notice", {"unread": 1})


async def test_one_person_cannot_open_streams_without_end(
    app: Starlette, cast: Cast, bruno: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "MOST_STREAMS", 1)
    async with listening(app) as address, heard(address, bruno):
        async with httpx.AsyncClient(base_url=address, cookies=bruno.cookies) as http:
            assert (await http.get("/live")).status_code == 503
