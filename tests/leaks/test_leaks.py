"""A canary is seen exactly when the design says so: whatever the output, whoever the observer, in both directions.

Everybody asks every address of their door, for everything in every space; what they were told, all together, is
compared with the oracle (`tests.leaks.oracle`), which is written from the design.
"""

import logging
import re
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from server.settings import Settings
from tests.cast import HERE
from tests.leaks.oracle import SHUT_OUT, allowed, canary, expected, seen_by
from tests.leaks.outputs import asked, doors, unknown
from tests.leaks.scene import SERVERS, Scene
from web.app import create_app

NUMBER = re.compile(r"\d{13,19}")
NAMED = "#"
CANARY = re.compile(r"zq[a-z]+x[a-z]+?qz")
RESIDENTS = (
    "member",
    "colleague",
    "former member",
    "auditor",
    "admin",
    "admin with a granted reading",
    "gone",
    "visitor",
    "guest in it",
    "guest elsewhere",
    "guest whose time is over",
)
OBSERVERS = {"pages": RESIDENTS, "tokens": RESIDENTS, "documents": (*SERVERS, "visitor")}
Told = dict[str, dict[str, list[str]]]
"""By observer and canary: the addresses that told it."""


def words_of(text: str) -> set[str]:
    return set(CANARY.findall(text.lower()))


def posts_in(text: str, scene: Scene) -> set[str]:
    """What was written that a text names by its id, as the canary of its words with a mark."""
    if scene.number_begins not in text:
        return set()
    numbers, written = set(NUMBER.findall(text)), [(s.name, *post) for s in scene.spaces for post in s.posts.items()]
    return {canary(name, field) + NAMED for name, number, field in written if number in numbers}


async def told(scene: Scene, door: str) -> Told:
    """Everything that anybody was told through a door, in bodies and in headers: words, and ids of what has words."""
    found: Told = {observer: defaultdict(list) for observer in OBSERVERS[door]}
    for path in doors(scene.app)[door]:
        for address, _ in asked(path, scene.spaces):
            for observer in OBSERVERS[door]:
                answer = await scene.ask(door, observer, address)
                assert answer.status_code < 500, (observer, address, answer.text[:300])
                headers = " ".join(f"{name}: {value}" for name, value in answer.headers.items())
                for word in words_of(answer.text) | words_of(headers):
                    if word not in address:
                        found[observer][word].append(address)
                for word in posts_in(answer.text + headers, scene) - posts_in(address, scene):
                    found[observer][word].append(address)
    return found


def test_every_place_in_every_address_is_named(tmp_path: Path) -> None:
    """Whoever adds a route with a new kind of place says in `tests.leaks.outputs` what stands there."""
    assert unknown(create_app(Settings(base_url=HERE.base, data_dir=tmp_path))) == []


async def compared(scene: Scene, door: str, worth: Callable[[str], str] = str) -> None:
    """Leaks and silences, each with where. `worth`: whom an observer is taken for."""
    found = await told(scene, door)
    leaks, silent = [], []
    for observer, words in found.items():
        seen = seen_by(worth(observer))
        for word in sorted(word for word in words if word.removesuffix(NAMED) not in seen):
            where = sorted({address for address in words[word] if not allowed(observer, word, address)})
            leaks += [f"{observer} sees {word}: {where[:3]}"] if where else []
        silent += [f"{observer} misses {word}" for word in sorted(expected(door, worth(observer)) - set(words))]
    assert not leaks, "\n".join(leaks)
    assert not silent, "\n".join(silent)


def logged(caplog: pytest.LogCaptureFixture) -> set[str]:
    """The canaries in the log, but those that the asker put into an address."""
    return words_of(re.sub(r"/media/\S+", "", caplog.text))


PEOPLE = [("pages", "sqlite"), ("tokens", "postgres")]
SERVED = [("open", "sqlite"), ("linked", "postgres")]
"""Each door on one engine; what is left of the product is for the soak."""
LEFT_OUT = {"sqlite": "postgres", "postgres": "sqlite"}


def and_the_others(pairs: list[tuple[str, str]]) -> list[Any]:
    soak = pytest.mark.soak
    return [*pairs, *(pytest.param(door, LEFT_OUT[engine], marks=soak) for door, engine in pairs)]


@pytest.mark.anyio
@pytest.mark.parametrize(("door", "database_url"), and_the_others(PEOPLE), indirect=["database_url"])
async def test_people_see_a_canary_exactly_when_the_design_says_so(
    scene: Scene, door: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "parvis")
    await compared(scene, door)
    assert logged(caplog) == set(), "what is kept of requests holds no words of a space"


@pytest.mark.anyio
@pytest.mark.parametrize(("app", "database_url"), and_the_others(SERVED), indirect=True)
async def test_servers_see_a_canary_exactly_when_the_design_says_so(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "parvis")
    linked_only = scene.app.state.settings.federation == "linked"
    await compared(scene, "documents", lambda who: "visitor" if linked_only and who in SHUT_OUT else who)
    assert logged(caplog) == set()
