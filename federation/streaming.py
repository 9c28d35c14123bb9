"""Sending to a linked instance: pages of its stream, one in flight while the next is built.

Numbers are given in one commit with the deliveries that bear them, and stay: what dies on its way is sent again
under the same number, or as a gap when it may not be told any more. The policy is asked when a page is built, and
what it rests on is read again when the page leaves: when that changed meanwhile, the page is built anew.
"""

import asyncio
import logging
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from federation.composing import ABOUT_POSTS, Receiver, compose, read_ahead
from federation.errors import FederationError, Malformed, Refused
from federation.instance import Instance
from federation.lanes import choose, part_from_stream
from federation.page_memory import remembering
from federation.pages import BYTES, EVENTS, TARGETS, Heard, Missing, add, read_heard, read_missing, skip, write_page
from federation.schedule import Decision, Fate, Outcome, State, answered, next_try
from federation.sending import BROKEN, LEASE_MS, OF_A_LINK, Peer, lease, write_peer
from federation.signing import sign_as
from federation.streams import begin_again, heard, heard_of, rewind, stream_with
from federation.vocabulary import ACTIVITY_JSON
from server import database as db
from server.actions.link_keys import tell_administrators
from server.actions.recall_restarts import lost_there
from server.actions.sweeping import KEPT_MS
from server.clock import now_ms
from server.openness import LinkState
from server.sql import Clause, one_of

log = logging.getLogger("parvis.streaming")

ASK_AFTER_MS = 300
"""The first wait before asking what became of the last events; it doubles."""
LONGEST_ASK_MS = 60_000
POISON_AFTER = 3
MISFITS = 3
"""Answers in a row, in one turn, by which our numbers do not go on there."""
REFUSED = 403
"""The answer of an instance where the link is not active, or does not stand."""
RELAYED = frozenset(kind.value for kind in ABOUT_POSTS)
ALERT_AFTER_MS = 5 * 60 * 1000


@dataclass(frozen=True, slots=True)
class Page:
    """Built and ready to be signed. `last`: its last number; `skipped`: deliveries that are not told any more."""

    start: int
    last: int
    items: tuple[bytes, ...]
    rows: tuple[dict[str, Any], ...]
    skipped: tuple[int, ...]
    basis: object


@dataclass(frozen=True, slots=True)
class _Landed:
    """What came of a page. `body` is the answer's."""

    outcome: Outcome
    body: bytes = b""


class _LeaseLost(Exception):
    """Somebody else serves this instance now."""


class _Stopped(Exception):
    """The link is not active any more: what waits is no gap, it is told when the link goes on."""


class LinkSender:
    """Sends the streams of linked instances."""

    def __init__(self, instance: Instance) -> None:
        self.instance = instance

    async def serve(self, peer: Peer, owner: str) -> int:
        """Works off one leased instance until nothing waits, or it must rest; returns how many numbers arrived."""
        serving = _Serving(self.instance, peer, owner)
        try:
            return await serving.run()
        except _LeaseLost:
            return 0
        except _Stopped:
            await serving.release()
            return 0


class _Serving:
    """One turn at one instance."""

    def __init__(self, instance: Instance, peer: Peer, owner: str) -> None:
        self.instance = instance
        self.peer = peer
        self.owner = owner
        self.limit = 1 if peer.state != State.OK else EVENTS
        self.to = Receiver(peer.id, peer.host, True)
        self.misfits, self.ended = 0, False
        self.failing = peer.failures, peer.failing_since_at

    async def run(self) -> int:
        stream = await stream_with(self.peer.id)
        after, arrived = int(stream["acked"]), 0
        flight: tuple[Page, asyncio.Task[_Landed]] | None = None
        try:
            while True:
                page = await self._build(after)
                if flight is not None:
                    sent, task = flight
                    flight = None
                    if not await self._landed(sent, await task):
                        if self.ended:
                            return arrived
                        after = int((await stream_with(self.peer.id))["acked"])
                        continue
                    arrived += sent.last - sent.start + 1
                    await self._hold_lease()
                if page is None:
                    if await self._over():
                        return arrived
                    after = int((await stream_with(self.peer.id))["acked"])
                    continue
                if page.basis != await self._basis(page.rows):
                    continue  # the policy or a post changed since: it is built anew
                flight = page, asyncio.create_task(self._send(page))
                after = page.last
        finally:
            if flight is not None:
                flight[1].cancel()

    # --- building ---------------------------------------------------------------------------------

    async def _build(self, after: int) -> Page | None:
        """The page after a number, of what has numbers already or gets them now; None when nothing waits."""
        given = int((await stream_with(self.peer.id))["given"])
        if after >= given:
            given = await self._give_numbers(given)
            if after >= given:
                return None
        last = min(after + self.limit, given)
        rows = await db.fetch(
            "SELECT d.id, d.number, d.event_id, d.inbox, d.attempts, e.space_id, e.post_id, e.kind FROM delivery d"
            " JOIN event e ON e.id = d.event_id"
            " WHERE d.peer_id = $1 AND d.number > $2 AND d.number <= $3 AND d.state = 'pending' ORDER BY d.number",
            self.peer.id,
            after,
            last,
        )
        basis = await self._basis(rows)
        by_number: dict[int, list[dict[str, Any]]] = defaultdict(list)
        for row in rows:
            by_number[row["number"]].append(row)
        with remembering():
            await read_ahead(sorted({row["event_id"] for row in rows}))
            return await self._compose(after + 1, last, by_number, rows, basis)

    async def _compose(
        self, start: int, last: int, by_number: dict[int, list[dict[str, Any]]], rows: Sequence[Any], basis: object
    ) -> Page:
        named = await self._recipients(rows)
        items: list[bytes] = []
        skipped: list[int] = []
        weight = 0
        for number in range(start, last + 1):
            deliveries = by_number.get(number, [])
            sealed = await compose(self.instance, deliveries[0]["event_id"], self.to) if deliveries else None
            if sealed is None:
                item = skip(number)
                skipped += [row["id"] for row in deliveries]
            else:
                item = add(
                    number, sealed.body, named.get(deliveries[0]["event_id"]) or [row["inbox"] for row in deliveries]
                )
                if len(item) > BYTES:
                    await self._dead([row["id"] for row in deliveries], "too big even alone")
                    item = skip(number)
            if items and weight + len(item) > BYTES:
                last = number - 1
                break
            items.append(item)
            weight += len(item)
        return Page(start, last, tuple(items), tuple(rows), tuple(skipped), basis)

    async def _recipients(self, rows: Sequence[dict[str, Any]]) -> dict[int, list[str]]:
        """By event, the inboxes of those it is for: of what a space of ours relays, its members there, by name.

        Of more than TARGETS, and of everything else, the inbox of the delivery.
        """
        relayed = {row["event_id"]: row["space_id"] for row in rows if row["space_id"] and row["kind"] in RELAYED}
        if not relayed:
            return {}
        query = Clause(
            "SELECT m.space_id, a.inbox FROM membership m JOIN actor a ON a.id = m.actor_id JOIN space s"
            " ON s.id = m.space_id AND s.peer_id IS NULL WHERE m.peer_id = ? AND m.state = 'member'"
            " AND a.gone_at IS NULL AND",
            (self.peer.id,),
        ).join(one_of("m.space_id", sorted(set(relayed.values()))))
        inboxes: dict[int, list[str]] = defaultdict(list)
        for row in await db.fetch(*query.then("ORDER BY a.id").statement()):
            inboxes[row["space_id"]].append(row["inbox"])
        known = {space: named for space, named in inboxes.items() if len(named) <= TARGETS}
        return {event: known[space] for event, space in relayed.items() if space in known}

    async def _give_numbers(self, given: int) -> int:
        """Numbers what waits, in one commit; the newest number then."""
        async with db.transaction():
            events = await choose(self.peer.id, self.limit)
            if not events:
                return given
            last = given + len(events)
            if not await db.execute(
                "UPDATE stream SET given = $1, ask_at = 0 WHERE peer_id = $2 AND given = $3", last, self.peer.id, given
            ):
                raise _LeaseLost
            cases = Clause("UPDATE delivery SET number = CASE id")
            for number, event in enumerate(events, given + 1):
                for row in event:
                    cases = cases.then("WHEN ? THEN CAST(? AS BIGINT)", row["id"], number)
            ids = [row["id"] for event in events for row in event]
            await db.execute(*cases.then("END WHERE").join(one_of("id", ids)).statement())
        return last

    async def _basis(self, rows: Sequence[dict[str, Any]]) -> object:
        """What the decisions about these deliveries rest on, to be compared. Raises _Stopped."""
        spaces = sorted({row["space_id"] for row in rows if row["space_id"] is not None})
        posts = sorted({row["post_id"] for row in rows if row["post_id"] is not None})
        link = await db.fetch(
            "SELECT l.state, l.changed_at, q.blocked_at FROM peer q LEFT JOIN link l ON l.peer_id = q.id"
            " WHERE q.id = $1",
            self.peer.id,
        )
        if not link or link[0]["state"] != LinkState.ACTIVE:
            raise _Stopped
        about = []
        if spaces:
            of_spaces = one_of("space_id", spaces)
            about = [
                await db.fetch(
                    *Clause("SELECT * FROM space WHERE").join(one_of("id", spaces)).then("ORDER BY id").statement()
                ),
                await db.fetch(
                    *Clause("SELECT * FROM space_partner WHERE peer_id = ? AND", (self.peer.id,))
                    .join(of_spaces)
                    .then("ORDER BY id")
                    .statement()
                ),
                await db.fetch(
                    *Clause(
                        "SELECT id, actor_id, state, since_at FROM membership WHERE peer_id = ? AND", (self.peer.id,)
                    )
                    .join(of_spaces)
                    .then("ORDER BY id")
                    .statement()
                ),
            ]
        if posts:
            standing = Clause("SELECT id, edited_at, deleted_at, stamp FROM post WHERE").join(one_of("id", posts))
            about.append(await db.fetch(*standing.then("ORDER BY id").statement()))
        return link, about

    # --- sending ----------------------------------------------------------------------------------

    async def _send(self, page: Page) -> _Landed:
        stream = await stream_with(self.peer.id)
        here = self.instance.here
        body = write_page(
            here.peering, stream["generation"], page.start, stream["done"], await heard_of(stream), page.items
        )
        try:
            sign = await sign_as(self.instance, here.instance, OF_A_LINK)
            headers = sign("POST", self.peer.peering, self._headers(), body)
            answer = await self.instance.transport.post(self.peer.peering, headers, body)
        except (Malformed, Refused) as error:
            return _Landed(Outcome(failure=error.sentence))
        except FederationError as error:
            return _Landed(Outcome(failure=error.sentence))
        outcome = answered(answer.status, answer.headers, now_ms(), batch=len(page.items))
        return _Landed(outcome, answer.body)

    def _headers(self) -> dict[str, str]:
        agent = self.instance.transport.user_agent
        return {"content-type": ACTIVITY_JSON, "user-agent": agent, "accept": "application/json"}

    async def _landed(self, page: Page, landed: _Landed) -> bool:
        """Writes what came of a page; whether the next one follows it."""
        outcome = landed.outcome
        decision = self._decided(outcome)
        told = read_heard(landed.body) if decision.fate is Fate.ACKED else None
        if decision.fate is Fate.ACKED and told is None:
            decision = self._decided(Outcome(failure="answer not read"))
        if told is not None:
            return await self._arrived(page, told, decision)
        if decision.fate is Fate.REWIND:
            return await self._rewound(read_missing(landed.body), decision)
        if decision.fate in (Fate.SPLIT, Fate.DEAD_LETTER) or await self._is_poison(page, outcome):
            await self._divide(page, outcome, decision)
            return False
        if outcome.status == REFUSED:
            await part_from_stream(self.peer.id)
        await self._rests(decision)
        return False

    async def _arrived(self, page: Page, told: Heard, decision: Decision) -> bool:
        async with db.transaction():
            if page.skipped:
                gone = Clause("UPDATE delivery SET state = 'skipped', done_at = ? WHERE", (now_ms(),))
                await db.execute(*gone.join(one_of("id", page.skipped)).statement())
            fits = await heard(self.peer.id, told) and await self._is_of_this_run(told)
            await write_peer(self.peer, decision, now_ms())
        self.peer = replace(self.peer, state=State.OK, failures=0, failing_since_at=None, last_ok_at=now_ms())
        self.limit = EVENTS if self.limit == 1 else min(EVENTS, self.limit * 2)
        if fits and told.acked >= page.last:
            self.misfits, self.failing = 0, (0, None)
            return True
        if not fits or told.acked < page.start:  # else it took a part, and the rest is next
            await self._does_not_fit()
        return False

    async def _is_of_this_run(self, told: Heard) -> bool:
        return bool(told.generation == (await stream_with(self.peer.id))["generation"])

    async def _rewound(self, missing: Missing | None, decision: Decision) -> bool:
        async with db.transaction():
            stream = await stream_with(self.peer.id)
            if missing is None:
                await write_peer(self.peer, decision, now_ms())
            elif missing.generation not in ("", stream["generation"]):
                if await begin_again(self.peer.id, "it knows other numbers than were given here", put_back=True):
                    # whichever database went back, ours or theirs: nothing that they had erased may be there again
                    await lost_there(self.peer.id, None, now_ms() - KEPT_MS)
            elif missing.want > stream["given"] + 1:
                await begin_again(self.peer.id, "it knows numbers that were never given here", put_back=True)
            elif missing.want < 1:
                await begin_again(self.peer.id, "it knows other facts by our numbers", put_back=True)
            elif missing.want <= stream["acked"]:
                await rewind(self.peer.id, missing.want)
            else:
                await heard(self.peer.id, Heard(stream["generation"], missing.want - 1, stream["done"]))
        if missing is None:
            self.peer, self.ended = replace(self.peer, state=decision.state), True
            await self.release()
        else:
            await self._does_not_fit()
        return False

    async def _does_not_fit(self) -> None:
        """Whose database went back says so once, or twice; who goes on like that is left in peace for a while."""
        self.misfits += 1
        if self.misfits > MISFITS:
            await self._rests(self._decided(Outcome(failure="our numbers do not fit there")))

    def _decided(self, outcome: Outcome) -> Decision:
        failures, since = self.failing
        return next_try(failures, now_ms(), outcome, random.random(), failing_since=since, linked=True)

    async def _is_poison(self, page: Page, outcome: Outcome) -> bool:
        """Whether an event that fails alone is at fault, and not the instance: it takes an empty page."""
        if outcome.status not in BROKEN or page.start != page.last:
            return outcome.status in BROKEN
        if not page.rows:
            return False
        if max(row["attempts"] for row in page.rows) + 1 < POISON_AFTER:
            await self._tried(page)
            return False
        empty = await self._send(replace(page, items=(), rows=()))
        return empty.outcome.status == 202

    async def _divide(self, page: Page, outcome: Outcome, decision: Decision) -> None:
        """Halves what was not taken, down to the one that is at fault: that is put aside after three tries."""
        if page.start != page.last:
            self.limit = max(1, (page.last - page.start + 1) // 2)
            return
        await self._tried(page)
        tries = max((row["attempts"] for row in page.rows), default=POISON_AFTER) + 1
        if tries >= POISON_AFTER or outcome.status == 413:
            await self._dead([row["id"] for row in page.rows], outcome.failure or decision.reason)

    async def _tried(self, page: Page) -> None:
        tried = Clause("UPDATE delivery SET attempts = attempts + 1 WHERE")
        await db.execute(*tried.join(one_of("id", [row["id"] for row in page.rows])).statement())

    async def _dead(self, ids: Sequence[int], reason: str) -> None:
        if ids:
            dead = Clause("UPDATE delivery SET state = 'dead', error = ?, done_at = ? WHERE", (reason[:500], now_ms()))
            await db.execute(*dead.join(one_of("id", ids)).statement())

    async def _rests(self, decision: Decision) -> None:
        now = now_ms()
        if decision.alert and decision.failing_since is not None and now - decision.failing_since >= ALERT_AFTER_MS:
            log.error("a link is refused", extra={"action": "link.alert", "peer": self.peer.host})
            await tell_administrators(self.peer.id, "refused", decision.failing_since)
        await write_peer(self.peer, decision, now)
        self.peer, self.ended = replace(self.peer, state=decision.state), True
        await self.release()

    # --- the turn ---------------------------------------------------------------------------------

    async def _over(self) -> bool:
        """Asks what became of the last ones when that is due; True when this turn ends."""
        stream = await stream_with(self.peer.id)
        now = now_ms()
        due = stream["ask_at"] and stream["ask_at"] <= now
        if stream["done"] >= stream["acked"] and not due:
            await self.release()
            return True
        if due:
            nothing = Page(stream["given"] + 1, stream["given"], (), (), (), None)
            if not await self._landed(nothing, await self._send(nothing)):
                return self.ended
            stream = await stream_with(self.peer.id)
        wait = min(LONGEST_ASK_MS, ASK_AFTER_MS << min(stream["asked"], 10))
        ask_at = now + wait if stream["done"] < stream["acked"] else 0
        await db.execute("UPDATE stream SET ask_at = $1, asked = asked + 1 WHERE peer_id = $2", ask_at, self.peer.id)
        await self.release()
        return True

    async def release(self) -> None:
        await db.execute(
            "UPDATE peer SET lease_until_at = 0 WHERE id = $1 AND lease_owner = $2", self.peer.id, self.owner
        )

    async def _hold_lease(self) -> None:
        now = now_ms()
        if self.peer.leased_until < now + LEASE_MS // 2:
            if not await lease([self.peer.id], self.owner, now, now + LEASE_MS):
                raise _LeaseLost
            self.peer = replace(self.peer, leased_until=now + LEASE_MS)
