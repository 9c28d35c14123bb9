"""Two sides of a link take steps while what the other said is on its way: in the end they are of one mind."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from server import database as db
from server.actions import link_keys, links
from server.actions.link_rows import TheirSide
from server.errors import DomainError
from server.ids import Addresses
from server.openness import LinkState
from server.viewer import Operator
from tests.bench.link import peer

pytestmark = pytest.mark.anyio
ADMIN = Operator()
STEPS = ("offer", "accept", "confirm", "end")
MOST = 3
"""Steps of both sides together; each path through them is gone, with what they say heard at any later moment. With 4 it
takes four times as long, and finds nothing either.
"""


@dataclass(frozen=True)
class World:
    """The two rows as JSON, what each said and the other has not heard, what happened."""

    rows: tuple[str, str]
    waiting: tuple[tuple[int, ...], tuple[int, ...]] = ((), ())
    path: tuple[str, ...] = ()
    steps: int = 0


class Two:
    """Both sides in one database: each has a row about the other."""

    bases = ("https://a.test", "https://b.test")

    async def begin(self) -> World:
        self.peers = [await peer(self.bases[1 - side], linked=True) for side in (0, 1)]
        for side in (0, 1):
            await db.execute("UPDATE peer SET host = $1 WHERE id = $2", f"{'ba'[side]}.test", self.peers[side])
        self.ids = [(await db.fetch("SELECT id FROM link WHERE peer_id = $1", one))[0]["id"] for one in self.peers]
        await db.execute("UPDATE link SET state = 'ended'")
        self.kinds: dict[int, str] = {}
        self.here = [Addresses(base) for base in self.bases]
        return World(await self.rows())

    async def rows(self) -> tuple[str, str]:
        found = [(await db.fetch("SELECT * FROM link WHERE id = $1", one))[0] for one in self.ids]
        return tuple(msgspec.json.encode(row).decode() for row in found)  # type: ignore[return-value]

    async def back_to(self, world: World) -> None:
        for text in world.rows:
            row = msgspec.json.decode(text)
            sets = ", ".join(f"{name} = ${number}" for number, name in enumerate(row, 1))
            await db.execute(f"UPDATE link SET {sets} WHERE id = ${len(row) + 1}", *row.values(), row["id"])
        await db.execute("UPDATE event SET sequenced_at = 1 WHERE sequenced_at IS NULL")

    def theirs(self, side: int) -> TheirSide:
        """What a side knows of the other."""
        base = self.bases[1 - side]
        return TheirSide(self.peers[side], base.removeprefix("https://"), f"{base}/actor#1", f"key of {base}")

    async def after(self, world: World, what: str, do: Callable[[], Awaitable[Any]], heard: int | None) -> World:
        await self.back_to(world)
        waiting = list(world.waiting)
        if heard is not None:
            waiting[heard] = waiting[heard][1:]
        try:
            await do()
        except DomainError:
            what += " (refused)"
        for side in (0, 1):
            new = await db.fetch("SELECT id, kind, data FROM event WHERE sequenced_at IS NULL ORDER BY id")
            self.kinds |= {e["id"]: e["kind"] for e in new}
            mine = tuple(e["id"] for e in new if msgspec.json.decode(e["data"])["peer"] == self.peers[side])
            waiting[side] += mine
        return World(await self.rows(), (waiting[0], waiting[1]), (*world.path, what), world.steps + (heard is None))

    async def next(self, world: World) -> list[World]:
        found = []
        for side in (0, 1):
            host = self.bases[1 - side].removeprefix("https://")
            if world.steps < MOST:
                for step in STEPS:

                    async def do(step: str = step, host: str = host, side: int = side) -> None:
                        if step == "offer":
                            await links.offer(ADMIN, self.theirs(side))
                        else:
                            await getattr(links, step)(ADMIN, host)

                    made = await self.after(world, f"{'AB'[side]} {step}", do, None)
                    if made.rows != world.rows or made.waiting != world.waiting:
                        found.append(made)
            if world.waiting[side]:
                number = world.waiting[side][0]

                async def hear(side: int = side, number: int = number) -> None:
                    await self.hear(world, side, number)

                found.append(await self.after(world, f"{'BA'[side]} hears {self.kinds[number]}", hear, side))
        return found

    async def hear(self, world: World, side: int, number: int) -> None:
        """What a side said is heard by the other, as `federation.handlers.links` does."""
        [event] = await db.fetch("SELECT kind, data FROM event WHERE id = $1", number)
        row, data, here = msgspec.json.decode(world.rows[side]), msgspec.json.decode(event["data"]), self.here
        offer = data.get("offer") or row["offer_uri"]
        if offer.startswith("event:"):
            offer = here[side].activity(int(offer.removeprefix("event:")))
        mine = here[1 - side].activity(0).removesuffix("0")
        named = f"event:{offer.removeprefix(mine)}" if offer.startswith(mine) else offer
        nonce = data.get("nonce") or row["our_nonce"]
        theirs = self.theirs(1 - side)
        if event["kind"] == "link_offered":
            await links.receive(theirs, offer, nonce, here[1 - side])
        elif event["kind"] == "link_accepted":
            await links.accepted(theirs, named, nonce)
        elif event["kind"] == "link_confirmed":
            await links.confirmed(theirs.peer_id)
        else:
            await links.ended(theirs.peer_id, named)

    def minds(self, world: World) -> tuple[Any, Any]:
        a, b = (msgspec.json.decode(text) for text in world.rows)
        return (
            (a["state"], a["our_nonce"], a["their_nonce"], bool(a["confirmed_here_at"]), bool(a["confirmed_there_at"])),
            (b["state"], b["their_nonce"], b["our_nonce"], bool(b["confirmed_there_at"]), bool(b["confirmed_here_at"])),
        )

    def agree(self, world: World) -> bool:
        a, b = self.minds(world)
        if "ended" in (a[0], b[0]):
            return bool(a[0] == b[0])
        if {a[0], b[0]} == {"offered", "received"}:
            return True
        return bool(a == b and a[0] in ("confirmed", "active"))

    def told_apart(self, world: World) -> str:
        """The same for worlds that differ in the numbers alone."""
        known: dict[str, int] = {"": -1}
        parts: list[Any] = [world.steps]
        for text in world.rows:
            row = msgspec.json.decode(text)
            number = row["offer_uri"].rpartition("/")[2].removeprefix("event:")
            plain = [known.setdefault(one, len(known)) for one in (number, row["our_nonce"], row["their_nonce"])]
            parts += [row["state"], row["offer_uri"][:5], *plain]
            parts += [bool(row["confirmed_here_at"]), bool(row["confirmed_there_at"])]
        for waiting in world.waiting:
            parts += [(known.setdefault(str(number), len(known)), self.kinds[number]) for number in waiting]
        return repr(parts)


async def test_whatever_crosses_both_sides_of_a_link_end_of_one_mind(database: str) -> None:
    two = Two()
    todo, seen = [await two.begin()], {""}
    while todo:
        for world in await two.next(todo.pop()):
            if (name := two.told_apart(world)) not in seen:
                seen.add(name)
                todo.append(world)
                assert any(world.waiting) or two.agree(world), (world.path, two.minds(world))
    assert len(seen) > 100


async def test_a_confirmation_that_comes_once_a_link_has_stopped_for_its_key_counts_when_it_goes_on(
    database: str,
) -> None:
    """It is said once, by a side for which the link is active: the other waited for it for good."""
    two = Two()
    await two.begin()
    await db.execute("UPDATE link SET state = 'suspended', cause = 'key', confirmed_here_at = 1")
    await links.confirmed(two.peers[0])
    [row] = await db.fetch("SELECT state, cause FROM link WHERE id = $1", two.ids[0])
    assert row == {"state": "suspended", "cause": "key"}
    await link_keys.compare_again(ADMIN, two.theirs(0))
    assert await links.confirm(ADMIN, "b.test") is LinkState.ACTIVE


async def test_who_sees_another_key_before_the_words_are_compared_says_that_the_agreement_is_over(
    database: str,
) -> None:
    """The other side waited for its confirmation, and took no other proposal."""
    two = Two()
    await two.begin()
    await db.execute("UPDATE link SET state = 'confirmed', their_key = 'k', offer_uri = 'https://b.test/activities/1'")
    assert await link_keys.disagreed(two.peers[0], "another key")
    [said] = await db.fetch("SELECT data FROM event WHERE kind = 'link_ended'")
    assert msgspec.json.decode(said["data"])["offer"] == "https://b.test/activities/1"
