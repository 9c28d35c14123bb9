"""A 404 leaves at a moment that tells nothing of the work before it."""

import asyncio
import time
from pathlib import Path

import pytest
from starlette.types import Message, Receive, Scope, Send

from server.settings import Settings
from tests.cast import HERE
from web import even_refusals
from web.even_refusals import AHEAD_BYTES, QUANTUM_S, EvenRefusals, Leaving, next_departure
from web.serving import _settled_app


def test_a_refusal_leaves_at_the_next_multiple_of_the_quantum() -> None:
    assert next_departure(100.0, 100.0) == 100.0 + QUANTUM_S
    assert next_departure(100.0, 100.0 + QUANTUM_S * 0.9) == 100.0 + QUANTUM_S
    assert next_departure(100.0, 100.0 + QUANTUM_S * 1.1) == 100.0 + QUANTUM_S * 2


def test_what_is_served_stands_behind_it(tmp_path: Path) -> None:
    assert isinstance(_settled_app(Settings(base_url=HERE.base, data_dir=tmp_path), delivery=False), EvenRefusals)


class Working:
    """An application that reads the body after its work; the path says what it answers after how many milliseconds."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        _, status, milliseconds = scope["path"].split("/")
        await asyncio.sleep(int(milliseconds) / 1000)
        body = b""
        while (message := await receive())["type"] == "http.request":
            body += message["body"]
            if not message["more_body"]:
                break
        await send({"type": "http.response.start", "status": int(status), "headers": []})
        await send({"type": "http.response.body", "body": str(len(body)).encode()})


async def took(path: str, pieces: list[tuple[float, bytes]] | None = None) -> tuple[float, str]:
    """Seconds until the answer leaves, and what it says. `pieces`: how long each one lets wait, and its bytes."""
    waiting, said, left = list(pieces or []), b"", 0.0
    headers = [(b"transfer-encoding", b"chunked")] if pieces else []

    async def receive() -> Message:
        if not waiting:
            return {"type": "http.request", "body": b"", "more_body": False}
        pause, body = waiting.pop(0)
        await asyncio.sleep(pause)
        return {"type": "http.request", "body": body, "more_body": bool(waiting)}

    async def send(message: Message) -> None:
        nonlocal said, left
        left = left or time.monotonic()
        said += message.get("body", b"")

    began = time.monotonic()
    await EvenRefusals(Working())({"type": "http", "path": path, "headers": headers}, receive, send)
    return left - began, said.decode()


class Held(Leaving):
    """Who is held, and how many at once at most."""

    def __init__(self) -> None:
        super().__init__()
        self.held = self.most = 0

    async def at(self, moment: float) -> None:
        self.held += 1
        self.most = max(self.most, self.held)
        await super().at(moment)
        self.held -= 1


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Held:
    holding = Held()
    monkeypatch.setattr(even_refusals, "LEAVING", holding)
    return holding


@pytest.mark.anyio
async def test_only_refusals_that_hide_are_held(held: Held) -> None:
    await took("/200/0")
    assert held.most == 0
    assert (await took("/404/0"))[0] >= QUANTUM_S
    assert (await took("/404/30"))[0] >= QUANTUM_S * 2
    assert held.most == 1


@pytest.mark.anyio
async def test_the_time_begins_with_the_last_of_what_was_sent() -> None:
    """Or whoever sends slowly would choose where in a quantum the work ends."""
    slow = [(0.0, b"a"), (0.9 * QUANTUM_S, b"b")]
    seconds, said = await took("/404/0", slow)
    assert (said, seconds >= 1.9 * QUANTUM_S) == ("2", True)


@pytest.mark.anyio
async def test_a_long_body_arrives_whole() -> None:
    pieces = [(0.0, b"x" * (AHEAD_BYTES // 2 + 1)) for _ in range(4)]
    assert (await took("/404/0", pieces))[1] == str(4 * (AHEAD_BYTES // 2 + 1))


@pytest.mark.anyio
async def test_many_leave_together_and_each_in_its_order(held: Held) -> None:
    """A hundred that came at once are held at once: not one after the other."""
    seconds = await asyncio.gather(*(took("/404/0") for _ in range(100)))
    assert min(one for one, _ in seconds) >= QUANTUM_S
    assert held.most == 100


def test_loops_come_and_go() -> None:
    """Whoever waited in a loop that is closed lets nobody else wait."""

    async def given_up() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(took("/404/0"), QUANTUM_S / 5)

    asyncio.run(given_up())
    assert asyncio.run(took("/404/0"))[0] >= QUANTUM_S
