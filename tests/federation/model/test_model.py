"""Three to five instances in bad weather, hundreds of things that people do, and somebody who knows who may see what.

The steps are random and repeatable by their seed. Instances are killed (-9), cut off, delayed, heard twice and late,
have clocks that are apart, and are put back to a backup of their database.
Afterwards, once the weather is fair, every person sees what they must and nothing else and each effect is there once.
Not a byte of an item goes to a host that has nobody in at the time: that is looked at on the wire, outside the
application, after every step.
"""

import os
import re
import time
from collections.abc import Collection
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.federation.conftest import MakeNode
from tests.federation.harness import Node, until
from tests.federation.model.agreements import all_go_on
from tests.federation.model.steps import WITH_BACKUPS, WITHOUT_BACKUPS, Step, arrivals, write
from tests.federation.model.world import SLACK_S, World, ask, by_word, gathered, standing, tally, view

pytestmark = pytest.mark.anyio

Seen = dict[str, dict[str, Any]]
LONG = int(os.environ.get("PLAY_STEPS", "400"))
SUITE_SEED = 23
"""Of a play in which links are stopped and go on, partners are named, people are let go, and one is killed."""
SEEDS = range(2026_11_25, 2026_11_25 + 40)


async def live(world: World, steps: int, choices: tuple[tuple[int, Step], ...]) -> None:
    weights, verbs = zip(*choices, strict=True)
    for _ in range(steps):
        step = world.chance.choices(verbs, weights)[0]
        world.done[step.__name__] += 1
        await step(world)
        await arrivals(world)
        assert leaked(world) == []


async def amiss(world: World) -> dict[str, list[str]]:
    """For everybody, what is not as it must be: missing, too much, another text, other counts, out of its place."""
    wrong: dict[str, list[str]] = {}
    await arrivals(world)
    at_home: Seen = {}
    for name in world.people:
        seen = await view(world, name)
        at_home = at_home or seen
        if name in world.oracle.unsure:
            continue
        must, may = world.oracle.must_see(name), world.oracle.may_see(name)
        found = [f"{word} is missing" for word in must if word not in seen]
        found += [f"{word} is seen" for word in seen if word not in may]
        found += [
            f"{word} says {seen[word]['content']!r}, not {text!r}"
            for word, text in must.items()
            if word in seen and text not in seen[word]["content"]
        ]
        found += await files_amiss(world, name, seen, must.keys(), may)
        found += miscounted(world, seen, at_home if world.place(name) else None)
        found += [
            f"{item.word} answers {seen[item.word]['in_reply_to_id']}, not {seen[asked]['id']}"
            for item in world.oracle.items
            for asked in (
                [world.oracle.items[item.answers].word] if item.answers is not None and not item.loose_answer else []
            )
            if {item.word, asked} <= must.keys() & seen.keys()
            and seen[item.word]["in_reply_to_id"] != seen[asked]["id"]
        ]
        if found:
            wrong[name] = found[:10]
    for node in world.nodes[1:]:
        if found := await left_behind(world, node):
            wrong[node.name] = found[:10]
    return wrong


async def files_amiss(world: World, name: str, seen: Seen, must: Collection[str], may: Collection[str]) -> list[str]:
    """Files that are not there for whoever has to see their post, or still are for whoever must not any more."""
    found = []
    for item in world.oracle.items:
        if not item.held:
            continue
        path = world.files.get((name, item.word), "")
        if path and item.word not in may:
            answer = await ask(world.people[name], "GET", path)
            found += [] if answer is not None and answer.status_code == 404 else [f"the file of {item.word} is served"]
        elif not path and item.word in must and item.word in seen:
            urls = [one["url"] for one in seen[item.word]["media_attachments"] if one["url"]]
            path = urlsplit(urls[0]).path if len(urls) == 1 else ""
            answer = await ask(world.people[name], "GET", path) if path else None
            if answer is None or answer.content != item.file:
                found.append(f"the file of {item.word} is missing")
            else:
                world.files[name, item.word] = path
    return found


def miscounted(world: World, seen: Seen, at_home: Seen | None) -> list[str]:
    """At home, what is counted otherwise than was done; elsewhere, polls of which it is not said how they stand."""
    items = [item for item in world.oracle.items if item.word in seen]
    if at_home is not None:
        return [
            f"{i.word} stands at {tally(seen[i.word])}, at home at {tally(at_home[i.word])}"
            for i in items
            if i.votes is not None and i.word in at_home and tally(seen[i.word]) != tally(at_home[i.word])
        ]
    found = [
        f"{i.word} is thanked {seen[i.word]['favourites_count']} times, not by {sorted(i.thanks)}"
        for i in items
        if not i.loose_thanks and seen[i.word]["favourites_count"] != len(i.thanks)
    ]
    return found + [
        f"{i.word} stands at {tally(seen[i.word])}, not {i.votes}"
        for i in items
        if i.votes is not None and not i.loose_votes and tally(seen[i.word]) != i.tally
    ]


async def left_behind(world: World, node: Node) -> list[str]:
    """Of others' words, what a partner keeps of which nobody is in any more (I4)."""
    oracle = world.oracle
    concerned = [*oracle.unsure, *oracle.invited, *oracle.leaving, *oracle.member_since]
    if any(world.host(person) == node.host for person in concerned):
        return []
    kept = await node.values("SELECT html FROM post WHERE html LIKE '%canari%'")
    kept += [path.read_text(errors="replace") for path in (node.folder / "files").rglob("*") if path.is_file()]
    words = {word for text in kept for word in re.findall(r"canari\d{5}x", text)}
    return [f"{word} is kept" for word in sorted(words) if by_word(world, word).host != node.host]


def leaked(world: World) -> list[str]:
    """Items of which bytes were sent since the last look to a host that had nobody in then, or told to nobody known."""
    found = []
    for place, one in enumerate(world.weather):
        heard = [(at, world.nodes[place].host, data) for at, data in one.heard[world.judged.get((place, "heard"), 0) :]]
        heard = [told for told in heard if told[0] <= world.looked]
        said = [told for told in one.said[world.judged.get((place, "said"), 0) :] if told[0] <= world.looked]
        world.judged[place, "heard"] = world.judged.get((place, "heard"), 0) + len(heard)
        world.judged[place, "said"] = world.judged.get((place, "said"), 0) + len(said)
        for at, host, data in [*heard, *said]:
            for word in set(re.findall(rb"canari\d{5}x", data)):
                item = by_word(world, word.decode())
                if not world.oracle.may_have_left_to(item, host, at, SLACK_S):
                    when = f"{at - item.at:.2f} s after it was written"
                    place = data.find(word)
                    where = data[max(0, place - 900) : place + 300].decode(errors="replace")
                    found.append(f"{item.word} of {item.author} to {host or 'somebody'}, {when}: …{where}…")
    return found


async def last_words(world: World) -> None:
    """The host and each partner say one thing more: who rests hears a word, and looks again (mastodon#31118)."""
    for name in ["alice", *sorted(n for n in world.oracle.member_since if world.place(n))]:
        await write(world, name)


async def played(
    fleet: MakeNode,
    seed: int,
    steps: int,
    instances: int,
    choices: tuple[tuple[int, Step], ...] = WITHOUT_BACKUPS,
    skewed: bool = False,
) -> dict[str, Any]:
    """One play of so many steps; what was done. Raises AssertionError with the seed for what is amiss."""
    async with gathered(fleet, seed, instances, skewed) as world:
        try:
            await live(world, steps, choices)
            world.fair()
            await all_go_on(world)
            await until(lambda: arrivals(world), lambda waiting: not waiting, "all who are invited come in", 150)
            await last_words(world)
            await until(lambda: amiss(world), lambda found: not found, "all is as it must be", 180)
        except AssertionError as error:
            stands = "\n".join([await standing(world, node) for node in world.nodes])
            told = "\n".join(world.told[-60:])
            raise AssertionError(f"seed {seed}: {error}\n{told}\n{stands}") from None
        finally:
            found = leaked(world)
        assert found == [], f"seed {seed}"
        return {
            "seed": seed,
            "instances": instances,
            "steps": steps,
            "items": len(world.oracle.items),
            "loose": sum(item.loose for item in world.oracle.items),
            "seconds": round(time.monotonic() - world.begun),
            **world.done,
        }


@pytest.mark.parametrize("engine", ["sqlite"])
async def test_what_everybody_sees_is_what_they_may_whatever_the_weather(fleet: MakeNode) -> None:
    """I1, I2, I3, I5, I6, I8, I10 over three instances: always the same play, so that what is red is new."""
    print(await played(fleet, SUITE_SEED, 30, 3))


@pytest.mark.soak
@pytest.mark.parametrize("seed", SEEDS)
async def test_a_long_play(fleet: MakeNode, seed: int) -> None:
    """LONG steps over three to five instances."""
    print(await played(fleet, seed, LONG, 3 + seed % 3))


@pytest.mark.soak
@pytest.mark.parametrize("seed", SEEDS)
async def test_a_long_play_with_backups(fleet: MakeNode, seed: int) -> None:
    """The same, in which databases are backed up and put back."""
    print(await played(fleet, seed, LONG, 3 + seed % 3, WITH_BACKUPS))


@pytest.mark.soak
@pytest.mark.parametrize("seed", SEEDS)
async def test_a_long_play_with_clocks_apart(fleet: MakeNode, seed: int) -> None:
    """The same, with clocks that are up to twenty minutes apart; needs Debian's faketime."""
    print(await played(fleet, seed, LONG, 3 + seed % 3, skewed=True))
