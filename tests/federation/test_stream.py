"""The stream of a link against a scripted partner, and what a hostile one may send: D3–D8 and I10 in small."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from federation import skew
from federation.instance import Instance
from federation.outbox import sequence_waiting
from federation.own_words import have_back
from federation.pages import EVENTS, Heard, Missing, read_page
from federation.peering import take
from federation.processing import process_waiting
from federation.sending import take_due
from federation.signatures.clock import http_date
from federation.streaming import LinkSender
from federation.streams import heard
from federation.trust import VerifiedSender
from server import database as db
from server.actions import sweeping
from server.actions.accounts import NewPerson, add_person
from server.clock import now_ms
from server.ids import new_id
from server.viewer import Operator
from tests.bench.link import HOST, actor, instance_at, peer, space
from tests.federation.harness import free_port

pytestmark = pytest.mark.anyio
DAY_MS = 86_400_000

Answer = tuple[int, dict[str, Any]]


@dataclass
class Partner:
    """Another instance's `/peering`: keeps what comes in order; `script` may answer a page otherwise."""

    base: str
    generation: str = ""
    got: int = 0
    events: dict[int, dict[str, Any]] = field(default_factory=dict)
    pages: list[list[int]] = field(default_factory=list)
    targets: list[str] = field(default_factory=list)
    posts: list[str] = field(default_factory=list)  # what came to an inbox
    retry_after: str = ""  # said with every answer
    clock_s: int = 0  # how far its clock is before ours
    signed: list[int] = field(default_factory=list)  # when each page says that it was signed, against that clock
    script: Callable[["Partner", Any], Answer | None] = lambda partner, page: None

    def answer(self, body: bytes) -> Answer:
        page = read_page(body)
        said = self.script(self, page)
        if said is not None:
            return said
        if page.generation != self.generation:
            if page.start != 1:
                return 409, {"want": 1, "generation": self.generation}
            self.generation, self.got = page.generation, 0
            self.events = {}
        if page.start > self.got + 1:
            return 409, {"want": self.got + 1, "generation": self.generation}
        self.pages.append([item.seq for item in page.items])
        for item in page.items:
            self.targets = list(item.targets) or self.targets
            self.events[item.seq] = json.loads(item.body) if item.body else {}
        self.got = max(self.got, page.start + len(page.items) - 1)
        return 202, self.heard()

    def heard(self, **changed: Any) -> dict[str, Any]:
        return {"generation": self.generation, "acked": self.got, "done": self.got, "errors": []} | changed

    @property
    def told(self) -> list[dict[str, Any]]:
        """What was told, in order, without the numbers that say nothing."""
        return [event for _, event in sorted(self.events.items()) if event]

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                while head := await reader.readuntil(b"\r\n\r\n"):
                    if head.startswith(b"GET "):  # it says nothing of itself
                        break
                    length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
                    created = int(head.lower().split(b"created=")[1].split(b";")[0])
                    self.signed.append(created - now_ms() // 1000 - self.clock_s)
                    body = await reader.readexactly(length)
                    if b"/peering " in head.split(b"\r\n")[0]:
                        status, said = self.answer(body)
                    else:
                        status, said = 202, {}
                        self.posts.append(json.loads(body)["type"])
                    told = json.dumps(said).encode()
                    rest = f"retry-after: {self.retry_after}\r\n".encode() if self.retry_after else b""
                    rest += f"date: {http_date(now_ms() + self.clock_s * 1000)}\r\n".encode()
                    writer.write(b"HTTP/1.1 %d X\r\n%bcontent-length: %d\r\n\r\n%b" % (status, rest, len(told), told))
                    await writer.drain()
            except asyncio.IncompleteReadError:
                pass
            finally:
                writer.close()

        host, port = self.base.removeprefix("http://").split(":")
        server = await asyncio.start_server(serve, host, int(port))
        try:
            yield
        finally:
            server.close()


@dataclass
class World:
    instance: Instance
    partner: Partner
    peer_id: int
    alice: int
    chloe: int
    space_id: int

    async def write(self, count: int, *, place: int = 0, at: int = 0) -> list[int]:
        """Posts of Alice's that nobody was told of yet; their ids."""
        ids = [new_id() for _ in range(count)]
        moment = at or now_ms()
        async with db.transaction():
            for post in ids:
                row = {"id": post, "uri": f"{HOST}/posts/{post}", "author_id": self.alice, "stamp": "invited"}
                await db.insert("post", row | {"space_id": place or self.space_id, "html": "x", "published_at": moment})
                await self.happens("post_published", post, place=place, at=at)
        return ids

    async def happens(self, kind: str, post: int, *, place: int = 0, at: int = 0) -> None:
        row = {"id": new_id(), "kind": kind, "actor_id": self.alice, "space_id": place or self.space_id}
        await db.insert("event", row | {"post_id": post, "created_at": at or now_ms()})

    async def comes_in(self, who: int, peer_id: int) -> None:
        """Somebody of a partner that was not named before, from now on."""
        now = now_ms()
        named = {"id": new_id(), "space_id": self.space_id, "peer_id": peer_id, "added_at": now}
        await db.insert("space_partner", named)
        row = {"id": new_id(), "space_id": self.space_id, "actor_id": who, "peer_id": peer_id, "state": "member"}
        await db.insert("membership", {**row, "role": "member", "since_at": now, "created_at": now})

    async def sequence(self, *, age_ms: int = 0) -> None:
        while await sequence_waiting(self.instance):
            pass
        if age_ms:
            await db.execute("UPDATE delivery SET created_at = created_at - $1 WHERE state = 'pending'", age_ms)

    async def send(self, *, at_once: bool = True) -> None:
        """One turn of the sender, whatever the schedule says."""
        if at_once:
            await db.execute("UPDATE peer SET due_at = 0, lease_until_at = 0")
        for due in await take_due("test", 10):
            await LinkSender(self.instance).serve(due, "test")

    async def states(self) -> dict[str, int]:
        rows = await db.fetch("SELECT state, COUNT(*) AS n FROM delivery GROUP BY state")
        return {row["state"]: row["n"] for row in rows}

    async def stream(self) -> dict[str, Any]:
        row = await db.fetch_one("SELECT * FROM stream WHERE peer_id = $1", self.peer_id)
        assert row is not None
        return row


@pytest.fixture
async def world(database: str, tmp_path: Path) -> AsyncIterator[World]:
    """We host a space with one member at the partner."""
    instance = instance_at(tmp_path, database, HOST)
    partner = Partner(f"http://127.0.0.2:{free_port()}")
    added = await add_person(Operator(), NewPerson("alice", display_name="Alice"), instance.here)
    peer_id = await peer(partner.base, linked=True)
    chloe = await actor(f"{partner.base}/@chloe", "person", peer_id)
    space_id = await space(f"{HOST}/spaces/chantier", None, chloe, peer_id, peer_id)
    async with partner.listening():
        yield World(instance, partner, peer_id, added.actor_id, chloe, space_id)
    await instance.transport.aclose()


def gapless(partner: Partner) -> bool:
    """Every number from the first to the last came (I10)."""
    return sorted(partner.events) == list(range(1, partner.got + 1))


async def test_a_page_is_numbered_told_and_acknowledged(world: World) -> None:
    ids = await world.write(3)
    await world.sequence()
    await world.send()
    assert [event["object"]["object"]["id"] for event in world.partner.told] == [f"{HOST}/posts/{i}" for i in ids]
    assert world.partner.pages == [[1, 2, 3]]
    assert world.partner.targets == [f"{world.partner.base}/@chloe/inbox"]
    assert await world.states() == {"sent": 3}
    stream = await world.stream()
    assert (stream["given"], stream["acked"], stream["done"]) == (3, 3, 3)


async def test_many_go_in_pages_one_after_another_without_gaps(world: World) -> None:
    await world.write(2 * EVENTS + 7)
    await world.sequence()
    await world.send()
    assert gapless(world.partner) and world.partner.got == 2 * EVENTS + 7
    assert max(len(page) for page in world.partner.pages) == EVENTS
    assert await world.states() == {"sent": 2 * EVENTS + 7}


async def test_what_had_no_effect_there_is_known_with_its_reason(world: World) -> None:
    ids = await world.write(3)
    world.partner.script = lambda partner, page: (
        None
        if not page.items
        else (
            202,
            {
                "generation": page.generation,
                "acked": 3,
                "done": 3,
                "errors": [{"seq": 2, "code": "policy", "final": True}],
            },
        )
    )
    await world.sequence()
    await world.send()
    rows = await db.fetch(
        "SELECT e.post_id, d.state, d.error FROM delivery d JOIN event e ON e.id = d.event_id ORDER BY d.number"
    )
    assert [(row["state"], row["error"]) for row in rows] == [("sent", ""), ("sent", "policy"), ("sent", "")]
    assert rows[1]["post_id"] == ids[1]


async def test_D3_after_an_outage_only_what_still_matters_is_told_in_order(world: World) -> None:
    ids = await world.write(2 * EVENTS)
    async with db.transaction():
        for post in ids:
            await world.happens("post_edited", post)
            await world.happens("post_edited", post)
        for post in ids[:20]:
            await db.execute("UPDATE post SET deleted_at = 1 WHERE id = $1", post)
            await world.happens("post_withdrawn", post)
    await world.sequence(age_ms=30 * DAY_MS)
    await world.send()
    kinds = [event["object"]["type"] for event in world.partner.told]
    assert kinds == ["Create"] * (2 * EVENTS - 20)
    assert [event["object"]["object"]["id"] for event in world.partner.told] == [f"{HOST}/posts/{i}" for i in ids[20:]]
    assert gapless(world.partner)


async def test_D3_todays_posts_of_another_space_do_not_wait_for_the_backlog(world: World) -> None:
    other = await space(f"{HOST}/spaces/autre", None, world.chloe, world.peer_id, world.peer_id)
    await world.write(6 * EVENTS)
    await world.sequence(age_ms=30 * DAY_MS)
    today = await world.write(3, place=other)
    await world.sequence()
    await world.send()
    order = [event["object"]["object"]["id"] for event in world.partner.told]
    assert max(order.index(f"{HOST}/posts/{i}") for i in today) < EVENTS
    backlog = [uri for uri in order if uri not in {f"{HOST}/posts/{i}" for i in today}]
    assert backlog == sorted(backlog), "inside a space nothing is reordered"


async def test_what_withdraws_goes_before_what_waits(world: World) -> None:
    (first,) = await world.write(1)
    await world.sequence()
    await world.send()
    await world.write(2 * EVENTS)
    await world.sequence()
    await db.execute("UPDATE post SET deleted_at = 1 WHERE id = $1", first)
    await world.happens("post_withdrawn", first)
    await world.sequence()
    await world.send()
    assert world.partner.events[2]["object"]["type"] == "Delete"


async def test_D5_a_partner_that_was_put_back_is_sent_again_what_it_lost(world: World) -> None:
    await world.write(10)
    await world.sequence()
    await world.send()
    kept, world.partner.got = world.partner.events, 4
    world.partner.events = {seq: event for seq, event in kept.items() if seq <= 4}
    await world.write(1)
    await world.sequence()
    await world.send()
    assert gapless(world.partner) and world.partner.got == 11
    assert [e["id"] for _, e in sorted(world.partner.events.items())][:10] == [e["id"] for _, e in sorted(kept.items())]
    assert (await world.stream())["resync_at"] is not None


async def test_a_resting_partner_that_wants_earlier_numbers_is_asked_again_at_once(world: World) -> None:
    await world.write(5)
    await world.sequence()
    await world.send()
    world.partner.got = 2
    await world.write(1)
    await world.sequence()
    await db.execute("UPDATE peer SET state = 'backoff', failures = 3")
    await world.send()
    row = await db.fetch_one("SELECT lease_until_at FROM peer WHERE id = $1", world.peer_id)
    assert row == {"lease_until_at": 0}, "a lease of half a minute is not left behind"
    await world.send(at_once=False)
    assert world.partner.got == 6


async def test_D5_a_partner_put_back_to_before_what_was_swept_is_given_a_new_run_of_numbers(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    (post,) = await world.write(1)
    for _ in range(5):
        await world.sequence()
        await world.send()
        await world.happens("post_edited", post)
    await world.sequence()
    await world.send()
    before = await world.stream()
    monkeypatch.setattr(sweeping, "now_ms", lambda: now_ms() + 91 * DAY_MS)
    monkeypatch.setattr(sweeping, "_pass", sweeping._Pass())
    while await sweeping.sweep():
        pass
    assert await world.states() == {"sent": 2}, "the Create and the last edit"
    await world.write(2)
    await world.sequence()
    await world.send()
    assert gapless(world.partner) and world.partner.got == before["given"] + 2
    world.partner.got = 2
    await world.write(1)
    await world.sequence()
    await world.send()
    after = await world.stream()
    assert after["generation"] != before["generation"] and after["resync_at"] is not None
    assert world.partner.generation == after["generation"] and gapless(world.partner)


async def test_D5_who_knows_other_facts_by_our_numbers_is_told_anew_and_asked_for_what_our_people_said(
    world: World,
) -> None:
    await world.write(2)
    await world.sequence()
    before = (await world.stream())["generation"] if await db.fetch("SELECT id FROM stream") else ""

    def strange(partner: Partner, page: Any) -> Answer | None:
        partner.script = lambda partner, page: None
        return 409, {"want": 0, "generation": page.generation}

    world.partner.script = strange
    await world.send()
    assert (await world.stream())["generation"] != before
    assert gapless(world.partner) and world.partner.got == 2
    assert len(await db.fetch("SELECT id FROM job WHERE kind = 'own_words'")) == 1


@pytest.mark.parametrize(
    "lie",
    ["other facts", "another run", "lost all", "never given", "nothing came", "all came of another run"],
)
async def test_R9_who_says_without_end_that_our_numbers_do_not_fit_is_left_in_peace(world: World, lie: str) -> None:
    """Each time all that was ever sent was written anew, and sent again at once, for as long as it said so."""
    await world.write(3)
    await world.sequence()
    pages: list[str] = []

    def lying(partner: Partner, page: Any) -> Answer | None:
        pages.append(page.generation)
        if len(pages) > 20:
            return 503, {}
        heard = {"generation": page.generation, "acked": 0, "done": 0, "errors": []}
        return {
            "other facts": (409, {"want": 0, "generation": page.generation}),
            "another run": (409, {"want": 1, "generation": "other"}),
            "lost all": (409, {"want": 1, "generation": page.generation}),
            "never given": (202, heard | {"acked": 999}),
            "nothing came": (202, heard),
            "all came of another run": (202, heard | {"generation": "other", "acked": 999}),
        }[lie]

    world.partner.script = lying
    await world.send()
    assert len(pages) <= 5 and len(set(pages)) <= 2
    [peer] = await db.fetch("SELECT state FROM peer WHERE id = $1", world.peer_id)
    assert peer["state"] == "backoff"
    world.partner.script = lambda partner, page: None
    await world.send()
    assert gapless(world.partner) and world.partner.got == 3, "and hears all once it says what is true"


async def test_R9_who_takes_one_of_a_page_at_a_time_goes_on(world: World) -> None:
    """All that is not refused but left for later was taken for numbers that do not fit."""
    await world.write(12)
    await world.sequence()

    def slowly(partner: Partner, page: Any) -> Answer:
        partner.generation, partner.got = page.generation, max(partner.got, page.start if page.items else 0)
        return 202, partner.heard()

    world.partner.script = slowly
    await world.send()
    assert world.partner.got == 12
    [peer] = await db.fetch("SELECT state FROM peer WHERE id = $1", world.peer_id)
    assert peer["state"] == "ok"


async def test_D5_who_hears_less_than_it_had_is_asked_which_it_has(world: World) -> None:
    await world.write(3)
    await world.sequence()
    await world.send()
    generation = (await world.stream())["generation"]
    world.partner.got = 1
    async with db.transaction():
        assert await heard(world.peer_id, Heard(generation, 1, 1))
    await world.send()
    assert gapless(world.partner) and world.partner.got == 3


async def test_D5_when_we_were_put_back_numbers_begin_again_and_nothing_is_swallowed(world: World) -> None:
    await world.write(10)
    await world.sequence()
    await world.send()
    before = world.partner.generation
    invited = {"id": new_id(), "space_id": world.space_id, "actor_id": new_id(), "peer_id": world.peer_id}
    person = {"id": invited["actor_id"], "uri": f"{HOST}x", "kind": "person", "name": "dan", "peer_id": world.peer_id}
    await db.insert("actor", {**person, "created_at": 0})
    await db.insert("membership", {**invited, "state": "invited", "role": "member", "created_at": 0})
    # the database of three events ago: what was numbered since is not known here any more
    await db.execute("DELETE FROM delivery WHERE number > 7")
    await db.execute("UPDATE stream SET given = 7, acked = 7, done = 7")
    ids = await world.write(2)
    await world.sequence()
    await world.send()
    assert world.partner.generation != before
    assert [event["object"]["object"]["id"] for event in world.partner.told] == [f"{HOST}/posts/{i}" for i in ids]
    assert (await world.stream())["resync_at"] is not None
    assert await world.states() == {"sent": 9}
    await db.execute("UPDATE peer SET peering = $1 WHERE id = $2", "http://nowhere.test/peering", world.peer_id)
    [job] = await db.fetch("SELECT id, key, payload, attempts FROM job WHERE kind = 'own_words'")
    await have_back(world.instance, job)
    [again] = await db.fetch("SELECT data FROM event WHERE kind = 'invited'")
    assert str(invited["actor_id"]) in again["data"], "its answer may have been lost"


async def test_D6_a_partner_that_refuses_us_pauses_the_link_and_loses_nothing(world: World) -> None:
    await world.write(5)
    await world.sequence()
    world.partner.script = lambda partner, page: (401, {"code": "untrusted"})
    for _ in range(4):
        await world.send()
    row = await db.fetch_one("SELECT state, failures FROM peer WHERE id = $1", world.peer_id)
    assert row == {"state": "paused", "failures": 4}
    assert await world.states() == {"pending": 5}
    told = "SELECT COUNT(*) AS n FROM notice WHERE kind = 'link'"
    assert await db.fetch_one(told) == {"n": 0}
    await db.execute("UPDATE peer SET failing_since_at = failing_since_at - 300000")
    await db.execute("UPDATE account SET office = 'admin'")
    for _ in range(2):
        await world.send()
    assert await db.fetch_one(told) == {"n": 1}, "after five minutes, once"
    world.partner.script = lambda partner, page: None
    await world.send()
    assert gapless(world.partner) and world.partner.got == 5
    assert await world.states() == {"sent": 5}


async def test_D7_one_that_is_never_taken_is_put_aside_and_the_others_arrive(world: World) -> None:
    ids = await world.write(2 * EVENTS)
    poison = f"{HOST}/posts/{ids[60]}".encode()

    def refuse(partner: Partner, page: Any) -> Answer | None:
        return (400, {"code": "malformed"}) if any(poison in item.body.encode() for item in page.items) else None

    world.partner.script = refuse
    await world.sequence()
    await world.send()
    assert await world.states() == {"sent": 2 * EVENTS - 1, "dead": 1}
    assert gapless(world.partner)


async def test_a_page_that_is_too_big_is_halved(world: World) -> None:
    await world.write(EVENTS)
    world.partner.script = lambda partner, page: (413, {}) if len(page.items) > 10 else None
    await world.sequence()
    await world.send()
    assert await world.states() == {"sent": EVENTS}
    assert gapless(world.partner)


async def test_D8_nothing_queued_is_told_after_the_last_member_left(world: World) -> None:
    await world.write(3 * EVENTS)
    await world.sequence()

    def then_leave(partner: Partner, page: Any) -> Answer | None:
        partner.script = lambda partner, page: None
        return None

    world.partner.script = then_leave
    await db.execute("DELETE FROM membership WHERE space_id = $1", world.space_id)
    await world.send()
    assert world.partner.told == []
    assert gapless(world.partner) and world.partner.got == 3 * EVENTS
    assert await world.states() == {"skipped": 3 * EVENTS}


@pytest.mark.parametrize("minutes", [-10, 10])
async def test_D9_whoever_is_ten_minutes_off_is_written_to_by_their_own_clock(world: World, minutes: int) -> None:
    world.partner.clock_s = minutes * 60
    await world.write(1)
    await world.sequence()
    world.partner.script = lambda partner, page: (401, {}) if abs(partner.signed[-1]) > 300 else None
    await world.send()
    assert (await world.states(), abs(world.partner.signed[-1])) == ({"pending": 1}, 600)
    await world.send()
    assert (await world.states(), abs(world.partner.signed[-1]) <= 1) == ({"sent": 1}, True)
    # another process knows it from the start
    await skew.keep()
    skew.forget()
    await skew.recall()
    await world.write(1)
    await world.sequence()
    await world.send()
    assert (await world.states(), abs(world.partner.signed[-1]) <= 1) == ({"sent": 2}, True)


async def test_D9_a_clock_that_is_an_hour_off_is_not_followed(world: World) -> None:
    world.partner.clock_s = 3600
    for number in (1, 2):
        await world.write(1)
        await world.sequence()
        await world.send()
        assert (await world.states(), abs(world.partner.signed[-1] + 3600) <= 1) == ({"sent": number}, True)


async def test_I5_a_partner_that_is_named_later_hears_nothing_of_before_not_even_an_edit(world: World) -> None:
    before = now_ms() - DAY_MS
    old, kept = await world.write(2, at=before)
    await world.sequence()
    later = Partner(f"http://127.0.0.3:{free_port()}")
    later_id = await peer(later.base, linked=True)
    dan = await actor(f"{later.base}/@dan", "person", later_id)
    async with later.listening():
        await world.comes_in(dan, later_id)
        for kind in ("post_edited", "reacted", "post_withdrawn"):
            await world.happens(kind, old)
        await world.happens("post_edited", kept)
        (new,) = await world.write(1)
        await world.sequence()
        await world.send()
    assert [event["object"]["object"]["id"] for event in later.told] == [f"{HOST}/posts/{new}"]
    assert f"{HOST}/posts/{kept}" in json.dumps(world.partner.told)  # who was there hears all of it


async def test_I10_a_turn_that_dies_anywhere_leaves_no_gap_and_doubles_nothing(world: World) -> None:
    await world.write(2 * EVENTS)
    await world.sequence()

    def die(partner: Partner, page: Any) -> Answer | None:
        partner.script = lambda partner, page: None
        raise asyncio.IncompleteReadError(b"", 1)

    for _ in range(3):
        world.partner.script = die
        await world.send()
        await db.execute("UPDATE peer SET state = 'ok', failures = 0")
    await world.send()
    assert gapless(world.partner) and world.partner.got == 2 * EVENTS
    ids = [event["id"] for event in world.partner.told]
    assert len(ids) == len(set(ids)) == 2 * EVENTS


# --- receiving -----------------------------------------------------------------------------------


@dataclass
class Receiving:
    instance: Instance
    sender: VerifiedSender
    base: str

    async def page(self, start: int, events: list[dict[str, Any] | None], generation: str = "g1") -> Heard | Missing:
        items = [
            {"type": "Add", "parvis:seq": seq, "object": event, "target": [f"{HOST}/inbox"]}
            if event is not None
            else {"type": "parvis:Skip", "parvis:seq": seq}
            for seq, event in enumerate(events, start)
        ]
        page = {"type": "OrderedCollectionPage", "partOf": f"{self.base}/peering", "orderedItems": items}
        body = json.dumps({**page, "parvis:generation": generation, "parvis:from": start})
        return await take(self.instance, self.sender, read_page(body.encode()))

    def follow(self, number: int) -> dict[str, Any]:
        uri, who = f"{self.base}/activities/{number}", f"{self.base}/@chloe"
        return {"id": uri, "type": "Follow", "actor": who, "object": f"{HOST}/@alice"}


@pytest.fixture
async def receiving(world: World) -> Receiving:
    base = world.partner.base
    host = base.removeprefix("http://")
    return Receiving(
        world.instance, VerifiedSender(f"{base}/actor", f"{base}/actor#k", host, world.peer_id, linked=True), base
    )


async def test_pages_that_follow_are_kept_once_and_others_are_told_what_is_wanted(receiving: Receiving) -> None:
    first = await receiving.page(1, [receiving.follow(1), None, receiving.follow(3)])
    assert isinstance(first, Heard) and first.acked == 3
    assert await receiving.page(5, [receiving.follow(5)]) == Missing(4, "g1")
    again = await receiving.page(2, [None, receiving.follow(3), receiving.follow(4)])
    assert isinstance(again, Heard) and again.acked == 4
    assert await receiving.page(4, [receiving.follow(7), receiving.follow(8)]) == Missing(0, "g1"), "other facts"
    row = await db.fetch_one("SELECT COUNT(*) AS n FROM receipt")
    assert row == {"n": 3}


async def test_one_bad_event_fails_alone_and_is_told_once_it_is_known(receiving: Receiving) -> None:
    liar = {**receiving.follow(2), "id": "https://inconnu.test/2", "actor": "https://inconnu.test/@eve"}
    nobody = {**receiving.follow(3), "object": f"{HOST}/@nobody"}
    heard = await receiving.page(1, [receiving.follow(1), liar, nobody])
    assert isinstance(heard, Heard) and (heard.acked, heard.done, heard.errors) == (3, 0, [])
    while await process_waiting(receiving.instance):
        pass
    later = await receiving.page(4, [])
    assert isinstance(later, Heard) and later.done == 3
    assert [(error.seq, error.code) for error in later.errors] == [(2, "untrusted"), (3, "not-found")]


async def test_D5_a_new_generation_begins_at_one_and_what_came_stays_once(receiving: Receiving) -> None:
    await receiving.page(1, [receiving.follow(1), receiving.follow(2)])
    assert await receiving.page(3, [receiving.follow(3)], "g2") == Missing(1, "g1")
    again = await receiving.page(1, [receiving.follow(2), receiving.follow(3)], "g2")
    assert isinstance(again, Heard) and (again.generation, again.acked) == ("g2", 2)
    row = await db.fetch_one("SELECT COUNT(*) AS n FROM receipt")
    assert row == {"n": 3}
    stream = await db.fetch_one("SELECT resync_at FROM stream")
    assert stream is not None and stream["resync_at"] is not None
