"""What administrators do with links in a play: stop one for now, let it go on, end it and make it anew, change keys."""

import time

from tests.federation.harness import link
from tests.federation.model.world import World, loosen, view


async def halt(world: World) -> None:
    """Either side of a link stops it for now: nothing flows, and nothing is lost."""
    place = world.chance.randrange(1, len(world.nodes))
    partner = world.nodes[place].host
    one, other = world.chance.choice(((0, partner), (place, world.oracle.home)))
    if place in world.parted or (one, other) in world.halted:
        return
    code, _, errors = await world.nodes[one].cli("link", "suspend", other)
    assert code == 0, errors
    world.halted.add((one, other))
    if one == 0:
        world.oracle.halts(other, True, time.monotonic())
    world.say(f"{world.nodes[one].name} suspends {other}")


async def go_on(world: World) -> None:
    """One of those that stand still goes on."""
    if world.halted:
        await resume(world, *world.chance.choice(sorted(world.halted)))


async def all_go_on(world: World) -> None:
    for one, other in sorted(world.halted):
        await resume(world, one, other)


async def resume(world: World, one: int, other: str) -> None:
    if one == 0:
        world.oracle.halts(other, False, time.monotonic())
    code, _, errors = await world.nodes[one].cli("link", "resume", other)
    assert code == 0, errors
    world.halted.discard((one, other))
    world.say(f"{world.nodes[one].name} goes on with {other}")


async def part(world: World) -> None:
    """The host ends a link."""
    place = world.chance.randrange(1, len(world.nodes))
    host = world.nodes[place].host
    if place in world.parted:
        return
    loosen(world, await view(world, "alice"), host)
    code, _, errors = await world.nodes[0].cli("link", "end", host)
    assert code == 0, errors
    world.oracle.parts(host, time.monotonic())
    world.parted.add(place)
    world.halted -= {(0, host), (place, world.oracle.home)}
    world.say(f"{world.nodes[0].name} ends its link with {host}")


async def link_again(world: World) -> None:
    """In fair weather, as whoever compares six words on the telephone waits for.

    Whoever was asked for a key while they could not be reached is asked for it again a minute later, not before.
    """
    if not world.parted:
        return
    place = world.chance.choice(sorted(world.parted))
    world.fair()
    await link(world.nodes[0], world.nodes[place], 120)
    world.parted.discard(place)
    world.say(f"{world.nodes[0].name} is linked with {world.nodes[place].host} again")


async def rotate(world: World) -> None:
    """An instance has a new key; a second one within a week is none."""
    node = world.chance.choice(world.nodes)
    code, _, errors = await node.cli("link", "rotate")
    assert code == 0, errors
    world.say(f"{node.name} has a new key: {errors.strip()}")
