"""What people do in a play, and what happens to them."""

import json
import time
from collections.abc import Awaitable, Callable

from tests.federation.harness import Node
from tests.federation.model.oracle import Item
from tests.federation.model.world import SLUG, Snapshot, World, ask, loosen, remember, view
from tests.federation.weather import Conditions


async def somebody(world: World) -> str:
    return world.chance.choice(sorted(world.oracle.member_since))


async def write(world: World, name: str = "") -> None:
    name = name or await somebody(world)
    item = world.oracle.write(name, time.monotonic())
    slug = SLUG if world.place(name) == 0 else f"{SLUG}@{world.nodes[0].host}"
    body = {"status": item.text, "parvis_space": slug}
    answer = await ask(
        world.people[name], "POST", "/api/v1/statuses", json=body, headers={"idempotency-key": item.word}
    )
    if answer is None or answer.status_code != 200:
        item.gone = True  # their instance does not hold the space yet, or no more: nothing was written
    world.say(f"{name} writes {item.number}: {answer.status_code if answer else 'no answer'}")


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
    world.say(f"{name} takes {item.number} back: {answer.status_code if answer else 'no answer'}")


async def thank(world: World) -> None:
    name = await somebody(world)
    seen = await view(world, name)
    theirs = world.oracle.must_see(name)
    words = [item for item in world.oracle.items if item.word in seen and item.word in theirs]
    if not words:
        return
    item = world.chance.choice(words[-20:])
    undo = name in item.thanks and world.chance.random() < 0.5
    verb = "unfavourite" if undo else "favourite"
    answer = await ask(world.people[name], "POST", f"/api/v1/statuses/{seen[item.word]['id']}/{verb}")
    if answer is not None and answer.status_code == 200:
        (item.thanks.discard if undo else item.thanks.add)(name)
    world.say(f"{name} {verb} {item.number}: {answer.status_code if answer else 'no answer'}")


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
    outside = [name for name in outside if world.host(name) in oracle.named]
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
    """Looks who came in since the last look; who of those that were invited and have to come did not."""
    world.looked = looked = time.monotonic()
    if world.oracle.invited:
        found = await states(world)
        for name, before in list(world.oracle.invited.items()):
            if found.get(name) == "member":
                world.oracle.enters(name, before, time.monotonic())
                world.say(f"{name} is in")
            else:
                world.oracle.invited[name] = looked
    return [name for name in world.oracle.invited if name not in world.forgotten]


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


async def repartner(world: World) -> None:
    """A partner is no longer named, or named again; or the space closes and opens again."""
    hosts = [node.host for node in world.nodes[1:]]
    roll = world.chance.random()
    wanted = set(hosts) if roll < 0.5 else set() if roll < 0.7 else {world.chance.choice(hosts)}
    level = "partners" if wanted or world.chance.random() < 0.5 else "closed"
    seen = await view(world, "alice")
    for host in world.oracle.named - wanted:
        loosen(world, seen, host)
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
    world.snapshots[place] = Snapshot(file, time.monotonic(), then, shown)
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
        item.fragile |= item.thanks != before.thanks


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
        item.loose_thanks = True
    for item in oracle.items:
        before = then.items[item.number] if item.number < len(then.items) else None
        if before is not None and not item.gone and item.word not in snapshot.shown:
            item.loose = item.loose_thanks = True
        if before is None or before.thanks != item.thanks or item.fragile:
            item.loose_thanks = True


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
    (40, write), (12, edit), (8, delete), (14, thank), (6, invite), (4, let_go), (3, repartner), (2, look_back),
    (6, storm), (4, clear_up), (3, kill),
)  # fmt: skip
WITH_BACKUPS: tuple[tuple[int, Step], ...] = (*STEPS, (3, back_up), (2, put_back))
