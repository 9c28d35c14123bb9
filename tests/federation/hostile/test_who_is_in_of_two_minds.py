"""Somebody and their host say at once who is in: whatever crosses, in the end both say the same."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from server import database as db
from server.actions import join_requests, membership
from server.errors import DomainError
from server.openness import Level
from server.viewer import PeerServer, RemotePerson
from tests.federation.hostile.test_members import Theirs, theirs
from tests.federation.stranger import met

pytestmark = pytest.mark.anyio
__all__ = ["theirs"]
MOST = 2
"""Steps of both together; each path through them is gone, with what they say heard at any later moment. From 3 on there
is one thing more: whoever asked twice, and was let go in between, is in at the host alone until its next relay.
"""
KINDS = ("invited", "join_asked", "left", "join_answered", "member_removed")


@dataclass(frozen=True)
class World:
    """How she stands at the host and at home, what each said and the other has not heard, what happened."""

    rows: tuple[str, str]
    waiting: tuple[tuple[int, ...], tuple[int, ...]] = ((), ())
    path: tuple[str, ...] = ()
    steps: int = 0

    @property
    def states(self) -> tuple[str, str]:
        here, there = ((msgspec.json.decode(row) or {"state": "out"})["state"] for row in self.rows)
        return here, there


class Both:
    """The host and the home of one person in one database: a space of ours with Chloe, and Kestrel's with Alice."""

    async def begin(self, theirs: Theirs, level: Level) -> World:
        self.theirs, self.here = theirs, theirs.here
        server = theirs.group.server
        self.host_space = await self.here.open_space("projet", level, server)
        self.chloe = await met(theirs.chloe)
        [row] = await db.fetch("SELECT peer_id FROM space WHERE id = $1", theirs.id)
        self.peer = row["peer_id"]
        self.person = RemotePerson(self.chloe, self.peer, True)
        self.server = PeerServer(self.peer, True)
        self.alice = self.here.bruno
        self.kinds: dict[int, dict[str, Any]] = {}
        await db.execute("DELETE FROM membership WHERE space_id = $1", theirs.id)
        await db.execute("UPDATE event SET sequenced_at = 1")
        return World(await self.rows())

    @property
    def places(self) -> tuple[tuple[int, int], tuple[int, int]]:
        return (self.host_space, self.chloe), (self.theirs.id, self.alice.actor_id)

    async def rows(self) -> tuple[str, str]:
        found = []
        for space, actor in self.places:
            row = await db.fetch_one("SELECT * FROM membership WHERE space_id = $1 AND actor_id = $2", space, actor)
            found.append(msgspec.json.encode(row).decode())
        return found[0], found[1]

    async def back_to(self, world: World) -> None:
        for (space, actor), text in zip(self.places, world.rows, strict=True):
            await db.execute("DELETE FROM membership WHERE space_id = $1 AND actor_id = $2", space, actor)
            row = msgspec.json.decode(text)
            if row is not None:
                await db.insert("membership", row)
        await db.execute("UPDATE event SET sequenced_at = 1 WHERE sequenced_at IS NULL")

    async def after(self, world: World, what: str, do: Callable[[], Awaitable[Any]], heard: int | None) -> World:
        await self.back_to(world)
        waiting = list(world.waiting)
        number = 0
        if heard is not None:
            number = waiting[heard][0]
            waiting[heard] = waiting[heard][1:]
        try:
            await do()
        except DomainError:
            what += " (refused)"
            if number and self.kinds[number]["kind"] == "join_asked":
                async with db.transaction():
                    await join_requests.not_heard(number)
        new = await db.fetch("SELECT * FROM event WHERE sequenced_at IS NULL ORDER BY id")
        for event in new:
            if event["kind"] in KINDS:
                self.kinds[event["id"]] = event
                side = 1 if event["space_id"] == self.theirs.id else 0
                waiting[side] += (event["id"],)
        return World(await self.rows(), (waiting[0], waiting[1]), (*world.path, what), world.steps + (heard is None))

    async def next(self, world: World) -> list[World]:
        found = []
        alice, owner = self.alice, self.here.alice
        steps: dict[str, Callable[[], Awaitable[Any]]] = {
            "host adds": lambda: membership.add(owner, self.host_space, self.chloe),
            "host removes": lambda: membership.remove(owner, self.host_space, self.chloe),
            "she asks": lambda: join_requests.ask_elsewhere(alice, self.theirs.id),
            "she takes it up": lambda: join_requests.join(alice, self.theirs.id),
            "she leaves": lambda: membership.leave(alice, self.theirs.id),
        }
        if world.steps < MOST:
            for name, do in steps.items():
                if world.states[1] == "asked" and name in ("she asks", "she takes it up"):
                    continue  # who asks twice and is let go in between is known by the list of members, a relay later
                made = await self.after(world, name, do, None)
                if made.rows != world.rows or made.waiting != world.waiting:
                    found.append(made)
        for side in (0, 1):
            if world.waiting[side]:
                event = self.kinds[world.waiting[side][0]]

                async def hear(event: dict[str, Any] = event) -> None:
                    await self.hear(event)

                found.append(await self.after(world, f"hears {event['kind']}", hear, side))
        return found

    async def hear(self, event: dict[str, Any]) -> None:
        data, here = msgspec.json.decode(event["data"]), self.here.instance.here
        space = here.space("projet")
        if event["kind"] == "join_asked":
            await join_requests.asked(self.person, space, here.activity(event["id"]))
        elif event["kind"] == "left":
            await membership.left(self.person, space)
        elif event["kind"] == "invited":
            uri = f"https://x.example/{event['id']}"
            await join_requests.invited(self.server, self.theirs.id, self.alice.actor_id, uri, None)
        elif event["kind"] == "member_removed":
            await membership.removed(self.server, self.theirs.group.uri, self.alice.actor_id)
        else:
            number = data["uri"].rpartition("/")[2]
            await join_requests.answered(self.server, f"event:{number}", data["accepted"], data["since"])

    def told_apart(self, world: World) -> str:
        known: dict[str, int] = {"": -1}
        parts: list[Any] = [world.steps]
        for text in world.rows:
            row = msgspec.json.decode(text) or {"state": "", "uri": ""}
            number = row["uri"].rpartition("/")[2].removeprefix("event:")
            parts += [row["state"], known.setdefault(number, len(known))]
        for waiting in world.waiting:
            for number in waiting:
                event = self.kinds[number]
                about = msgspec.json.decode(event["data"])
                uri = str(about.get("uri", "")).rpartition("/")[2]
                parts += [(event["kind"], known.setdefault(str(number), len(known)), known.setdefault(uri, len(known)))]
                parts += [about.get("accepted")]
        return repr(parts)


@pytest.mark.parametrize("level", [Level.PARTNERS, Level.PUBLIC])
async def test_whatever_crosses_host_and_home_say_the_same_of_who_is_in(theirs: Theirs, level: Level) -> None:
    both = Both()
    todo, seen = [await both.begin(theirs, level)], {""}
    while todo:
        for world in await both.next(todo.pop()):
            if (name := both.told_apart(world)) not in seen:
                seen.add(name)
                todo.append(world)
                assert any(world.waiting) or world.states[0] == world.states[1], (world.path, world.states)
    assert len(seen) > 25
