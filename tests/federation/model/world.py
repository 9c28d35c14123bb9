"""The instances of a play, the weather before each, everybody with their way in, and what they see."""

import asyncio
import json
import os
import random
import re
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import httpx

from server.clock import NEAR_MS
from tests.federation.conftest import MakeNode
from tests.federation.harness import Node, Person, free_port, link
from tests.federation.model.oracle import Item, Oracle
from tests.federation.weather import Conditions, Weather

SLUG = "modele"
SLACK_S = 2.0
"""What may still be on its way after a commit: one batch, through a slow network."""
READ_S = 3.0
"""By how much a clock that is read from the Date of an answer may be misread."""
CAST = {"alice": 0, "bruno": 0, "chloe": 1, "dan": 1, "carl": 2, "eva": 3, "farid": 4}
NAMES = ("Aubrac", "Kestrel", "Solstice", "Meridian", "Tramontane")
FAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1"


@dataclass
class Snapshot:
    """A backup of one instance: its file, when it was made, the oracle as it was then, and of the host what it showed:
    what it has not had back yet from an earlier loss is not in it.
    """

    file: str
    at: float
    then: Oracle
    shown: frozenset[str] = frozenset()
    halted: frozenset[tuple[int, str]] = frozenset()


@dataclass
class World:
    """`place`: where everybody works. `told`: what was done, in order, for whoever reads a failure."""

    nodes: list[Node]
    weather: list[Weather]
    people: dict[str, Person]
    oracle: Oracle
    chance: random.Random
    done: Counter[str] = field(default_factory=Counter)
    told: list[str] = field(default_factory=list)
    snapshots: dict[int, Snapshot] = field(default_factory=dict)
    judged: dict[tuple[int, str], int] = field(default_factory=dict)
    begun: float = field(default_factory=time.monotonic)
    looked: float = 0.0
    """When it was last asked who is in: what passed the wire since is not judged yet."""
    forgotten: set[str] = field(default_factory=set)
    """Who was invited before the host was put back: whether they answered in the time that it forgot is not to be said,
    nor heard a second time.
    """
    halted: set[tuple[int, str]] = field(default_factory=set)
    """Links that stand still: the place of the side that stopped it, the host of the other."""
    files: dict[tuple[str, str], str] = field(default_factory=dict)
    """Who had the file of which word, and at which path of their own instance."""
    parted: set[int] = field(default_factory=set)
    """Places of those whose link was ended."""

    def place(self, person: str) -> int:
        return CAST[person]

    def host(self, person: str) -> str:
        return self.nodes[CAST[person]].host

    def say(self, what: str) -> None:
        self.told.append(f"{time.monotonic() - self.begun:.1f} {what}")
        if log := os.environ.get("PLAY_LOG"):
            with open(log, "a") as file:
                file.write(self.told[-1] + "\n")

    def fair(self) -> None:
        for one in self.weather:
            one.now = Conditions()


@asynccontextmanager
async def gathered(fleet: MakeNode, seed: int, instances: int, skewed: bool = False) -> AsyncIterator[World]:
    """So many linked instances, and the space that the first of them hosts for the others."""
    chance = random.Random(seed)
    weather = [Weather(free_port(), free_port(), chance) for _ in range(instances)]
    nodes: list[Node] = []
    direct: list[Node] = []
    try:
        for one in weather:
            await one.start()
        skews = [chance.randint(-600, 600) if skewed and number else 0 for number in range(instances)]
        for name, one, skew in zip(NAMES, weather, skews, strict=False):
            nodes.append(await fleet(name, port=one.port, behind=one.behind, extra=clock_off(skew), resident=True))
        # people speak to their own instance past the weather
        direct += [Node(n.name, n.folder, w.behind, n.database_url) for n, w in zip(nodes, weather, strict=True)]
        people = {}
        for name, place in CAST.items():
            if place < instances:
                met = await nodes[place].person(name)
                people[name] = Person(direct[place], name, met.token)
        oracle = await opened(nodes, people)
        oracle.skew_s = date_errors(skews)
        yield World(nodes, weather, people, oracle, chance)
    finally:
        for own in direct:
            await own.client.aclose()
        for one in weather:
            one.now = Conditions()
        for node in nodes:
            await node.stop()
        for one in weather:
            await one.stop()


async def opened(nodes: list[Node], people: dict[str, Person]) -> Oracle:
    """The links, the space, and who is in."""
    for partner in nodes[1:]:
        await link(nodes[0], partner)
    hosts = [node.host for node in nodes[1:]]
    await nodes[0].cli(
        "spaces", "add", SLUG, "--name", "Modèle", "--level", "partners", "--owner", "alice",
        *(word for host in hosts for word in ("--partner", host)),
    )  # fmt: skip
    await nodes[0].cli("spaces", "members", SLUG, "--add", "bruno")
    oracle = Oracle(nodes[0].host, {name: nodes[CAST[name]].host for name in people})
    now = time.monotonic()
    oracle.names(set(hosts), now)
    oracle.enters("alice", now)
    oracle.enters("bruno", now)
    return oracle


def date_errors(skews: list[int]) -> float:
    """By how many seconds the host may date a post wrongly: a clock that is nearly right is taken as it is (D9), and
    of one that is further off no more is known than the whole seconds that its answers are dated by, and came after.
    """
    return float(max((abs(skew) for skew in skews if abs(skew) * 1000 < NEAR_MS), default=0)) + READ_S * any(skews)


def clock_off(seconds: int) -> dict[str, str]:
    """The environment of a process whose clock goes so many seconds before (or behind) the others'."""
    if not seconds:
        return {}
    if not os.path.exists(FAKETIME):
        raise AssertionError("A skewed play needs libfaketime: .ci/apt-install faketime")
    return {"LD_PRELOAD": FAKETIME, "FAKETIME": f"{seconds:+d}s", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}


async def ask(person: Person, method: str, path: str, **options: Any) -> httpx.Response | None:
    """One call, again until the person's own instance answers; None when it is down for longer than people wait."""
    for _ in range(200):
        try:
            answer = await person.call(method, path, **options)
        except httpx.TransportError:
            await asyncio.sleep(0.05)
            continue
        if answer.status_code not in (429, 503):
            return answer
        await asyncio.sleep(0.05)
    return None


async def view(world: World, name: str) -> dict[str, dict[str, Any]]:
    """What somebody sees of the space: word → the post as their client gets it."""
    person = world.people[name]
    found: dict[str, dict[str, Any]] = {}
    path = "/api/v1/timelines/home?limit=40"
    last = ""
    while True:
        page = await person.get(path + (f"&max_id={last}" if last else ""))
        if not page:
            return found
        for post in page:
            if word := re.search(r"canari\d{5}x", post["content"]):
                known = found.setdefault(word.group(), post)
                if known["id"] != post["id"]:
                    found[f"{word.group()} a second time"] = post
        last = page[-1]["id"]


async def standing(world: World, node: Node) -> str:
    """What an instance has on its way and did not take, for whoever reads a failure."""
    _, links, _ = await node.cli("link", "list", "--json", ok=False)
    _, waiting, _ = await node.cli("deliveries", "list", "--json", ok=False)
    told = [row for row in json.loads(waiting or "[]") if row.get("state") not in ("sent", "skipped")]
    untaken = await node.values("SELECT outcome FROM receipt WHERE outcome <> '' ORDER BY id DESC LIMIT 8")
    untaken += await node.values("SELECT rule || ': ' || reason || ' ' || example FROM link_incident")
    return f"{node.name}: {links[:1500]} {told[:5]} {untaken} {node.log()[-1500:]}"


def loosen(world: World, seen: dict[str, dict[str, Any]], host: str) -> None:
    """What people of a partner did that the home does not show yet may be refused there from now on, or be lost."""
    for item in world.oracle.items:
        if item.gone and item.word in seen and item.host == host:
            item.gone, item.loose = False, True  # taken back, and that was not heard
        if item.gone:
            continue
        post = seen.get(item.word)
        if item.host in (host, world.oracle.home) and (post is None or item.text not in post["content"]):
            item.loose = True  # of its own people's words the home may have to have one back from there
        if post is None or post["favourites_count"] != len(item.thanks):
            item.loose_thanks = True
        if item.votes is not None and (post is None or tally(post) != item.tally):
            item.loose_votes = True


def loosen_answers(world: World, seen: dict[str, dict[str, Any]]) -> None:
    """Answers of partners that the home does not show yet in their place come when the past is closed, perhaps."""
    for item in world.oracle.items:
        if item.answers is None or item.host == world.oracle.home:
            continue
        post, asked = seen.get(item.word), seen.get(world.oracle.items[item.answers].word)
        if post is None or asked is None or post["in_reply_to_id"] != asked["id"]:
            item.loose_answer = True


def tally(post: dict[str, Any]) -> list[int]:
    """How the poll of a post stands, by its answers."""
    return [option["votes_count"] for option in post["poll"]["options"]] if post["poll"] else []


def remember(world: World) -> Oracle:
    return deepcopy(world.oracle)


def by_word(world: World, word: str) -> Item:
    return world.oracle.items[int(word[6:11])]
