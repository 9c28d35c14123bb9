"""What people do in a play, and what happens to them."""

import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

from tests.federation.harness import Node
from tests.federation.model.agreements import go_on, halt, link_again, part, rotate
from tests.federation.model.oracle import Item
from tests.federation.model.world import SLUG, Snapshot, World, ask, loosen, loosen_answers, remember, view
from tests.federation.weather import Conditions

CHOICES = ("oui", "non")


async def somebody(world: World) -> str:
    return world.chance.choice(sorted(world.oracle.member_since))


async def write(world: World, name: str = "") -> None:
    await say_something(world, name or await somebody(world))


async def answer(world: World) -> None:
    """Somebody answers what they see."""
    name = await somebody(world)
    found = await readable(world, name)
    if found is not None:
        await say_something(world, name, found)


async def ask_all(world: World) -> None:
    """Somebody asks by a poll."""
    await say_something(world, await somebody(world), asks=True)


async def hand_out(world: World) -> None:
    """Somebody writes, and joins a file."""
    await say_something(world, await somebody(world), holds=True)


async def say_something(
    world: World,
    name: str,
    about: tuple[Item, dict[str, Any]] | None = None,
    *,
    asks: bool = False,
    holds: bool = False,
) -> None:
    item = world.oracle.write(name, time.monotonic(), about[0].number if about else None, asks)
    body: dict[str, Any] = {"status": item.text}
    if about is None:
        body["parvis_space"] = SLUG if world.place(name) == 0 else f"{SLUG}@{world.nodes[0].host}"
    else:
        body["in_reply_to_id"] = about[1]["id"]
    if holds:
        named = {"file": (f"{item.word}.txt", item.file)}
        sent = await ask(world.people[name], "POST", "/api/v2/media", files=named)
        item.held = sent is not None and sent.is_success
        body["media_ids"] = [sent.json()["id"]] if sent is not None and item.held else []
    if asks:
        body["poll"] = {"options": list(CHOICES), "expires_in": 86_400}
    answer = await ask(
        world.people[name], "POST", "/api/v1/statuses", json=body, headers={"idempotency-key": item.word}
    )
    if answer is None or answer.status_code != 200:
        item.gone = True  # their instance does not hold the space yet, or no more: nothing was written
    what = f"answers {item.answers} by" if about else "asks" if asks else "hands out" if item.held else "writes"
    world.say(f"{name} {what} {item.number}: {answer.status_code if answer else 'no answer'}")


async def readable(world: World, name: str, polls: bool = False) -> tuple[Item, dict[str, Any]] | None:
    """Something of late that somebody sees and has to, and how."""
    seen, theirs = await view(world, name), world.oracle.must_see(name)
    items = [item for item in world.oracle.items if item.word in seen and item.word in theirs]
    if polls:
        items = [item for item in items if item.votes is not None and name not in item.votes]
    if not items:
        return None
    item = world.chance.choice(items[-20:])
    return item, seen[item.word]


async def of_own(world: World) -> tuple[str, Item, str] | None:
    """Somebody, something that they wrote and that is still there, and its id at their instance."""
    name = await somebody(world)
    own = [item for item in world.oracle.items if item.author == name and not item.gone]
    if not own:
        return None
    item = world.chance.choice(own[-20:])
    post = (await view(world, name)).get(item.word)
    return (name, item, post["id"]) if post else None


async def edit(world: World) -> None:
    found = await of_own(world)
    if found is None:
        return
    name, item, post_id = found
    item.edits += 1
    answer = await ask(world.people[name], "PUT", f"/api/v1/statuses/{post_id}", json={"status": item.text})
    if answer is None or answer.status_code != 200:
        item.edits -= 1
    world.say(f"{name} edits {item.number} to v{item.edits}: {answer.status_code if answer else 'no answer'}")


async def delete(world: World) -> None:
    found = await of_own(world)
    if found is None:
        return
    name, item, post_id = found
    answer = await ask(world.people[name], "DELETE", f"/api/v1/statuses/{post_id}")
    if answer is not None and answer.status_code == 200:
        item.gone, item.loose = True, False
        item.gone_at = time.monotonic() if item.host == world.oracle.home else 0.0
    world.say(f"{name} takes {item.number} back: {answer.status_code if answer else 'no answer'}")


async def thank(world: World) -> None:
    name = await somebody(world)
    found = await readable(world, name)
    if found is None:
        return
    item, post = found
    undo = name in item.thanks and world.chance.random() < 0.5
    verb = "unfavourite" if undo else "favourite"
    answer = await ask(world.people[name], "POST", f"/api/v1/statuses/{post['id']}/{verb}")
    if answer is not None and answer.status_code == 200:
        (item.thanks.discard if undo else item.thanks.add)(name)
    world.say(f"{name} {verb} {item.number}: {answer.status_code if answer else 'no answer'}")


async def vote(world: World) -> None:
    name = await somebody(world)
    found = await readable(world, name, polls=True)
    if found is None:
        return
    item, post = found
    choice = world.chance.randrange(len(CHOICES))
    answer = await ask(world.people[name], "POST", f"/api/v1/polls/{post['id']}/votes", json={"choices": [choice]})
    if answer is not None and answer.status_code == 200 and item.votes is not None:
        item.votes[name] = choice
    world.say(f"{name} votes for {choice} in {item.number}: {answer.status_code if answer else 'no answer'}")


# --- who is in ------------------------------------------------------------------------------------


async def states(world: World) -> dict[str, str]:
    """Name → member, invited…, as the home's operator is told."""
    code, listed, errors = await world.nodes[0].cli("spaces", "members", SLUG, "--json")
    assert code == 0, errors
    return {row["who"].partition("@")[0]: row["state"] for row in json.loads(listed)}


async def invite(world: World) -> None:
    """Whatever the weather: they come in once the invitation and their answer got through."""
    oracle = world.oracle
    waiting = oracle.invited.keys() - world.forgotten
    outside = [n for n in world.people if world.place(n) and n not in oracle.member_since and n not in waiting]
    outside = [name for name in outside if world.host(name) in oracle.named and name not in oracle.leaving]
    if not outside:
        return
    name = world.chance.choice(outside)
    asked = time.monotonic()
    code, _, errors = await world.nodes[0].cli(
        "spaces", "members", SLUG, "--add", f"{name}@{world.host(name)}", ok=False
    )
    world.say(f"{name} is invited: {code} {errors.strip()[-200:]}")
    if code == 0:
        oracle.invited.setdefault(name, asked)
        world.forgotten.discard(name)


async def arrivals(world: World) -> list[str]:
    """Looks who came in or is out since the last look; of whom that is still to be heard."""
    world.looked = looked = time.monotonic()
    if world.oracle.invited or world.oracle.leaving:
        found = await states(world)
        for name in [name for name in world.oracle.leaving if name not in found]:
            world.oracle.is_heard_out(name, time.monotonic())
            world.say(f"that {name} left is heard")
        for name, before in list(world.oracle.invited.items()):
            if found.get(name) == "member":
                world.oracle.enters(name, before, time.monotonic())
                world.say(f"{name} is in")
            else:
                world.oracle.invited[name] = looked
    return [*world.oracle.leaving, *(name for name in world.oracle.invited if name not in world.forgotten)]


async def let_go(world: World) -> None:
    inside = [n for n in (*world.oracle.member_since, *world.oracle.invited) if world.place(n)]
    if not inside:
        return
    name = world.chance.choice(sorted(inside))
    loosen(world, await view(world, "alice"), world.host(name))
    code, _, errors = await world.nodes[0].cli("spaces", "members", SLUG, "--remove", f"{name}@{world.host(name)}")
    assert code == 0, errors
    world.oracle.leaves(name, time.monotonic())
    world.say(f"{name} is let go")


async def walk_out(world: World) -> None:
    """Somebody of a partner leaves, at their own instance."""
    inside = [name for name in world.oracle.member_since if world.place(name)]
    if not inside:
        return
    name = world.chance.choice(sorted(inside))
    loosen(world, await view(world, "alice"), world.host(name))
    handle = f"{SLUG}@{world.oracle.home}"
    code, _, errors = await world.nodes[world.place(name)].cli("spaces", "leave", handle, "--as", name, ok=False)
    if code == 0:
        world.oracle.walks_out(name)
    world.say(f"{name} walks out: {code} {errors.strip()[-200:]}")


async def repartner(world: World) -> None:
    """A partner is no longer named, or named again; or the space closes and opens again."""
    hosts = [node.host for place, node in enumerate(world.nodes) if place and place not in world.parted]
    if not hosts:
        return
    roll = world.chance.random()
    wanted = set(hosts) if roll < 0.5 else set() if roll < 0.7 else {world.chance.choice(hosts)}
    level = "partners" if wanted or world.chance.random() < 0.5 else "closed"
    seen = await view(world, "alice")
    for host in world.oracle.named - wanted:
        loosen(world, seen, host)
    if level == "closed":
        loosen_answers(world, seen)
    code, _, errors = await world.nodes[0].cli("declare", SLUG, level, *sorted(wanted))
    assert code == 0, errors[-2000:]
    world.oracle.names(wanted, time.monotonic(), level == "closed")
    world.say(f"the space names {sorted(wanted)}, {level}")


async def look_back(world: World) -> None:
    """Who comes in later reads the past from now on, perhaps with what was written while the space was closed, or does
    no more.
    """
    if world.oracle.closed:
        return
    wide, policy = not world.oracle.past_is_open, f"/api/parvis/v1/spaces/{SLUG}/policy"
    with_all = wide and world.chance.random() < 0.5
    wanted = {"history": "all" if wide else "since_joining", "include_history": with_all}
    alice = world.people["alice"]
    before = await ask(alice, "GET", policy)
    assert before is not None
    version = before.headers["etag"]
    if not wide:
        loosen_answers(world, await view(world, "alice"))
    answer = await ask(alice, "PUT", policy, json={**wanted, "reason": "Essai."}, headers={"if-match": version})
    assert answer is not None and answer.status_code == 200, answer and answer.text
    world.oracle.opens(wide, time.monotonic(), with_all=with_all)
    world.say(f"the past is {wanted}")


# --- what happens to them -------------------------------------------------------------------------


async def storm(world: World) -> None:
    one = world.chance.choice(world.weather)
    one.now = world.chance.choice(
        (
            Conditions(cut=0.5),
            Conditions(swallow=True),
            Conditions(twice=0.7),
            Conditions(late=0.7, delay_s=0.1),
            Conditions(delay_s=0.4),
            Conditions(cut=0.2, twice=0.3, late=0.3, delay_s=0.2),
        )
    )
    world.say(f"before {world.nodes[world.weather.index(one)].name}: {one.now}")


async def clear_up(world: World) -> None:
    world.fair()
    world.say("fair weather")


async def kill(world: World) -> None:
    node = world.chance.choice(world.nodes)
    await node.kill()
    await start(world, node)
    world.say(f"{node.name} was killed")


async def start(world: World, node: Node) -> None:
    """Starts it again; whether it answers is asked past the weather."""
    place = world.weather[world.nodes.index(node)]
    before, place.now = place.now, Conditions()
    if node._client is not None:  # its connections went through the storm
        await node._client.aclose()
        node._client = None
    await node.start()
    place.now = before


# --- backups --------------------------------------------------------------------------------------


async def back_up(world: World) -> None:
    place = world.chance.randrange(len(world.nodes))
    node = world.nodes[place]
    file = str(node.folder / f"backup{len(world.told)}")
    then = remember(world)
    shown = frozenset(await view(world, "alice") if place == 0 else ())
    await node.cli("db", "backup", file)
    halted = frozenset(link for link in world.halted if link[0] == place)
    world.snapshots[place] = Snapshot(file, time.monotonic(), then, shown, halted)
    world.say(f"{node.name} is backed up")


async def put_back(world: World) -> None:
    """The last backup of an instance is put back, while it is stopped."""
    places = [place for place, snapshot in world.snapshots.items() if known_there(world, place, snapshot)]
    if not places:
        return
    place = world.chance.choice(sorted(places))
    node, snapshot = world.nodes[place], world.snapshots.pop(place)
    await (host_loses if place == 0 else partner_loses)(world, place, snapshot)
    await node.kill()
    await arrivals(world)  # whoever came in at the last moment believes it
    await node.cli("db", "restore", snapshot.file, "--replace")
    now = time.monotonic()
    world.halted = {link for link in world.halted if link[0] != place} | snapshot.halted
    if place == 0:
        world.oracle.went_back(snapshot.then, now)
        world.snapshots = {p: s for p, s in world.snapshots.items() if s.at < snapshot.at}
        world.forgotten |= world.oracle.invited.keys()
        await arrivals(world)  # whoever came in while the backup was made
    await start(world, node)
    world.say(f"{node.name} is put back to {now - snapshot.at:.1f} s before")


def known_there(world: World, place: int, snapshot: Snapshot) -> bool:
    """Whether the space was known at an instance when its backup was made: before, there was nothing to lose."""
    return place == 0 or any(world.place(person) == place for person in snapshot.then.member_since)


async def partner_loses(world: World, place: int, snapshot: Snapshot) -> None:
    """What its people did since is there if the host has it, and if they had a key then to prove it by."""
    host, oracle = world.nodes[place].host, world.oracle
    loosen(world, await view(world, "alice"), host)
    for item in since(world, snapshot):
        item.fragile = True
        if item.host == host and item.author not in snapshot.then.member_since:
            item.loose = True
    for item, before in zip(oracle.items, snapshot.then.items, strict=False):
        item.fragile |= (item.thanks, item.votes) != (before.thanks, before.votes)


async def host_loses(world: World, place: int, snapshot: Snapshot) -> None:
    """What its people did since is there if a partner that was in all the time has it; others tell theirs again."""
    then, oracle = snapshot.then, world.oracle
    witnesses = [p for p, at in oracle.member_since.items() if world.place(p) and then.member_since.get(p) == at]
    seen = [await view(world, witness) for witness in witnesses]
    at_home = await view(world, "alice")
    for item in since(world, snapshot):
        told = any(word in posts and item.text in posts[word]["content"] for posts in seen for word in [item.word])
        if item.gone:
            item.gone, item.loose = False, True
        elif (item.host == oracle.home and not told) or item.fragile:
            item.loose = True
        elif item.host != oracle.home and (item.author not in witnesses or item.word not in at_home):
            item.loose = True
        item.loose_thanks = item.loose_votes = True
    for item in oracle.items:
        before = then.items[item.number] if item.number < len(then.items) else None
        if before is not None and not item.gone and item.word not in snapshot.shown:
            item.loose = item.loose_thanks = item.loose_votes = True
        if before is None or before.thanks != item.thanks or item.fragile:
            item.loose_thanks = True
        if before is None or before.votes != item.votes or item.fragile:
            item.loose_votes = True


def host_of_home(world: World) -> str:
    return world.oracle.home


def since(world: World, snapshot: Snapshot) -> list[Item]:
    """What was written, edited or taken back since a backup was made."""
    then = snapshot.then.items
    return [
        item
        for item in world.oracle.items
        if item.number >= len(then) or (item.edits, item.gone) != (then[item.number].edits, then[item.number].gone)
    ]


Step = Callable[[World], Awaitable[None]]
STEPS: tuple[tuple[int, Step], ...] = (
    (30, write), (10, answer), (3, ask_all), (12, edit), (8, delete), (12, thank), (6, vote), (8, invite), (3, let_go),
    (3, repartner), (2, look_back), (4, halt), (4, go_on), (6, storm), (4, clear_up), (3, kill),
)  # fmt: skip
WITHOUT_BACKUPS: tuple[tuple[int, Step], ...] = (
    *STEPS, (4, hand_out), (2, walk_out), (1, part), (2, link_again), (1, rotate),
)  # fmt: skip
"""What a database that goes back to before it makes the two sides of a link be of two minds about is not in the others:
that is for administrators to see.
"""
WITH_BACKUPS: tuple[tuple[int, Step], ...] = (*STEPS, (3, back_up), (2, put_back))
