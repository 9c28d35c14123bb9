"""One instance at a time: its deliveries in order, its back-off, its double knock.

The back-off belongs to the instance, not to each delivery: a thousand waiting rows make one attempt. Deliveries of
one event go to the inboxes of a host side by side; the next event waits for them, so that a Delete never
overtakes its Create. A delivery that is at fault itself is put aside where an administrator sees it, and the
next one goes on.
"""

import asyncio
import logging
import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

from federation.composing import Receiver, Sealed, compose
from federation.errors import FederationError, Malformed, Refused
from federation.instance import Instance
from federation.lanes import BESIDE
from federation.lookup import NO_STREAM
from federation.lost_inboxes import found_again, lost
from federation.recalling import answers_waiting, urgent
from federation.schedule import Decision, Fate, Outcome, State, answered, next_try
from federation.signing import Manner, manner_of, sign_as
from federation.vocabulary import ACTIVITY_JSON
from server import database as db
from server.actions.link_rows import COMPARED_ANEW
from server.clock import now_ms
from server.events import TOLD_UNTIL_ANSWERED, Kind
from server.group_commit import GroupCommit
from server.row_order import hold
from server.sql import Clause, one_of

log = logging.getLogger("parvis.sending")

AT_ONCE = 32
LEASE_MS = 30_000
OF_A_LINK = Manner(linked=True, scheme="rfc9421")
"""How agreements about a link are signed, from the first word on: with the key that the link will pin."""
GATHERING_S = 0.005
"""How long what became of one delivery waits for others to share its commit; nobody waits for it but the next."""
OK_MS = 60_000
"""How exact the time of an instance's last good answer is kept, in milliseconds."""
MOST_BESIDE = 50
"""Attempts after which a step of a link is put aside, too: most of an hour where the link stands, else of a day."""
BROKEN = (500, 501, 505)
"""Answers of a server that broke: at what it was sent, or altogether."""
POISON_AFTER = 5
"""Attempts answered with 500 (not 503) after which the delivery, not the instance, is taken to be at fault."""


@dataclass(frozen=True, slots=True)
class Peer:
    """An instance with deliveries waiting, as its row said when it was leased, until `leased_until` (ms)."""

    id: int
    host: str
    state: str
    failures: int
    failing_since_at: int | None
    last_ok_at: int | None
    knock: str
    linked: bool
    suspended: bool = False
    compared: bool = False
    """The words of its link are compared once more: but for what is about the link, everything waits."""
    leased_until: int = 0
    peering: str = ""
    beside: bool = False
    """Something about the link itself waits, which goes by a post of its own."""

    @property
    def streams(self) -> bool:
        """Whether its deliveries go by the stream of its link."""
        return self.linked and self.peering not in ("", NO_STREAM)

    @property
    def manner(self) -> Manner:
        return manner_of(self.linked, self.knock)


@dataclass(frozen=True, slots=True)
class _Result:
    """What became of one delivery; `decision` None: nothing was sent."""

    row: dict[str, Any]
    state: str
    error: str = ""
    decision: Decision | None = None

    @property
    def ends_the_turn(self) -> bool:
        """The instance must rest, or its link is not what it was when the turn began."""
        return self.state == "pending" if self.decision is None else self.decision.state is not State.OK


@dataclass(frozen=True, slots=True)
class _Settled:
    """What became of deliveries to one instance; `owner`: whose lease ends with that, '' when it goes on."""

    peer: Peer
    results: list[_Result]
    owner: str


_SAID_AS_NUMBERS = ("linked", "suspended", "compared", "beside")


async def take_due(owner: str, limit: int, but: Collection[int] = ()) -> list[Peer]:
    """Leases instances with something to send, whose time has come and that nobody serves, `but` these."""
    now = now_ms()
    rows = await db.fetch(
        f"""SELECT q.id, q.host, q.state, q.failures, q.failing_since_at, q.last_ok_at, q.knock, q.peering,
             EXISTS (SELECT 1 FROM delivery d WHERE d.state = 'pending' AND d.peer_id = q.id AND d.lane = 2) AS beside,
             CASE WHEN l.state = 'active' THEN 1 ELSE 0 END AS linked,
             CASE WHEN l.state = 'suspended' THEN 1 ELSE 0 END AS suspended,
             CASE WHEN {COMPARED_ANEW} THEN 1 ELSE 0 END AS compared
           FROM peer q LEFT JOIN link l ON l.peer_id = q.id LEFT JOIN stream w ON w.peer_id = q.id
           WHERE q.due_at <= $1 AND q.lease_until_at < $1 AND q.blocked_at IS NULL AND q.state <> 'archived'
             AND (EXISTS (SELECT 1 FROM delivery d WHERE d.state = 'pending' AND d.peer_id = q.id)
               OR (l.state = 'active' AND w.ask_at > 0 AND w.ask_at <= $1))
             AND ((COALESCE(l.state, '') <> 'suspended' AND NOT {COMPARED_ANEW})
               OR ({COMPARED_ANEW} AND EXISTS (SELECT 1 FROM delivery d WHERE d.state = 'pending' AND d.peer_id = q.id
                 AND d.lane = 2))
               OR EXISTS (SELECT 1 FROM recall_target t JOIN delivery d ON d.event_id = t.event_id
                 AND d.peer_id = q.id AND d.state = 'pending' WHERE t.peer_id = q.id
                 AND t.state IN ('waiting', 'unreachable', 'late'))
               OR EXISTS ({answers_waiting("d.id", "q.id")}))
           ORDER BY q.due_at LIMIT $2""",
        now,
        limit + len(but),
    )
    until = now + LEASE_MS
    free = [row for row in rows if row["id"] not in but]
    due = [
        Peer(**{**row, **{name: bool(row[name]) for name in _SAID_AS_NUMBERS}, "leased_until": until}) for row in free
    ]
    taken = await lease([peer.id for peer in due[:limit]], owner, now, until)
    return [peer for peer in due if peer.id in taken]


async def lease(peer_ids: Sequence[int], owner: str, now: int, until: int) -> set[int]:
    """Takes instances for this worker, all in one commit; those that another has are left out."""
    if not peer_ids:
        return set()
    query = Clause("UPDATE peer SET lease_until_at = ?, lease_owner = ? WHERE", (until, owner)).join(
        one_of("id", peer_ids)
    )
    free = query.then("AND (lease_until_at < ? OR lease_owner = ?) RETURNING id", now, owner)
    async with db.transaction():
        await hold("peer", peer_ids)
        return {row["id"] for row in await db.fetch(*free.statement())}


async def release(peer: Peer, owner: str) -> None:
    """Ends a lease, when its work came to no good end."""
    await db.execute("UPDATE peer SET lease_until_at = 0 WHERE id = $1 AND lease_owner = $2", peer.id, owner)


class Sender:
    """Sends what waits for one instance after another; shares commits among all of them."""

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self._settled: GroupCommit[_Settled, None] = GroupCommit(_settle, gathering_s=GATHERING_S)

    async def serve(self, peer: Peer, owner: str) -> int:
        """Works off one leased instance until nothing waits, or it must rest; returns how many were sent.

        The lease ends in the commit of what was done last. Whoever writes a delivery meanwhile is heard after it.
        """
        sent, manner = 0, peer.manner
        while True:
            limit = 1 if peer.state != State.OK else AT_ONCE
            rows = await self._next(peer, limit)
            done, manner, rests = await self._in_order(peer, rows, manner)
            over = rests or (len(rows) < limit and len(done) == len(rows))
            await self._settled.submit(_Settled(peer, done, owner if over else ""))
            sent += sum(result.state == "sent" for result in done)
            if over:
                return sent
            if any(result.decision is not None for result in done):
                peer = replace(peer, state=State.OK, failures=0, failing_since_at=None, last_ok_at=now_ms())
            if peer.leased_until < now_ms() + LEASE_MS // 2:
                now = now_ms()
                if not await lease([peer.id], owner, now, now + LEASE_MS):
                    return sent
                peer = replace(peer, leased_until=now + LEASE_MS)

    async def _in_order(
        self, peer: Peer, rows: list[dict[str, Any]], manner: Manner
    ) -> tuple[list[_Result], Manner, bool]:
        """One event after another, until one says that the instance must rest: what became of them, and whether so.

        They are settled in one commit, so the next event does not wait for the disk. A process that dies meanwhile
        tells a few again, which are heard once. What is said of the link itself is settled alone: by it the other side
        holds another key of ours, and what is said next is signed with that one.
        """
        done: list[_Result] = []
        for _, group in groupby(rows, key=lambda row: row["event_id"]):
            results, manner = await self._together(peer, list(group), manner)
            done += results
            if any(result.ends_the_turn for result in results):
                return done, manner, True
            if results[0].row["lane"] == BESIDE or peer.leased_until < now_ms() + LEASE_MS // 4:
                break
        return done, manner, False

    async def _next(self, peer: Peer, limit: int) -> list[dict[str, Any]]:
        """What goes now: recalls and what answers them before anything else, then in order."""
        first = [] if peer.streams else await urgent(peer.id, limit)
        if first or peer.suspended:
            return first
        return await db.fetch(
            "SELECT d.id, d.event_id, d.inbox, d.attempts, d.lane, e.kind FROM delivery d"
            " JOIN event e ON e.id = d.event_id WHERE d.state = 'pending' AND d.peer_id = $1 AND d.lane >= $3"
            " ORDER BY d.seq LIMIT $2",
            peer.id,
            limit,
            BESIDE if peer.streams or peer.compared else 0,
        )

    async def _together(self, peer: Peer, rows: list[dict[str, Any]], manner: Manner) -> tuple[list[_Result], Manner]:
        """The deliveries of one event to one host; the first of them knocks, the others follow its manner."""
        first, manner = await self._one(peer, rows[0], manner)
        if len(rows) == 1 or first.ends_the_turn:
            return [first], manner
        rest = await asyncio.gather(*(self._one(peer, row, manner) for row in rows[1:]))
        return [first, *(result for result, _ in rest)], manner

    async def _one(self, peer: Peer, row: dict[str, Any], manner: Manner) -> tuple[_Result, Manner]:
        sealed = await compose(self.instance, row["event_id"], Receiver(peer.id, peer.host, peer.linked))
        if sealed is None:  # what may not be told because the link stopped meanwhile waits until it goes on
            return _Result(row, "skipped" if await _is_linked(peer) is peer.linked else "pending"), manner
        outcome = await self._post(row, sealed, manner)
        if outcome.status in (400, 401) and not manner.linked:
            again = await self._post(row, sealed, manner.other())
            if again.status is not None and again.status < 300:
                outcome, manner = again, manner.other()
                await db.execute("UPDATE peer SET knock = $1 WHERE id = $2", manner.scheme, peer.id)
        if _is_told_on(row) and (outcome.status in (404, 410) or outcome.status in BROKEN):
            outcome = Outcome(failure=f"answered {outcome.status}")  # of an inbox that is not there it is no refusal
        if outcome.status in (404, 410) and not peer.linked and not row["attempts"]:
            inbox = await found_again(self.instance, peer.id, row["inbox"])
            if not inbox:
                return _Result(
                    row, "dead", "the actor is gone", next_try(0, now_ms(), Outcome(status=422), 0.0)
                ), manner
            if inbox != row["inbox"]:
                row = {**row, "inbox": inbox}
                outcome = await self._post(row, sealed, manner)
        since, jitter = peer.failing_since_at, random.random()
        # it stands, though nothing flows: a recall is told for as long
        linked = peer.linked or peer.suspended or peer.compared
        decision = next_try(peer.failures, now_ms(), outcome, jitter, failing_since=since, linked=linked)
        if decision.fate is Fate.FORGET and not peer.linked:
            await lost(peer.id, row["inbox"])
        return _judge(row, outcome, decision), manner

    async def _post(self, row: dict[str, Any], sealed: Sealed, manner: Manner) -> Outcome:
        """One attempt. What never left because its address is refused here is the delivery's own fault."""
        try:
            if sealed.signer_uri == self.instance.here.instance:
                manner = OF_A_LINK
            sign = await sign_as(self.instance, sealed.signer_uri, manner)
            headers = sign("POST", row["inbox"], self._headers(), sealed.body)
            answer = await self.instance.transport.post(row["inbox"], headers, sealed.body)
        except (Malformed, Refused) as error:
            return Outcome(status=422, failure=error.sentence)
        except FederationError as error:
            return Outcome(failure=error.sentence)
        return answered(answer.status, answer.headers, now_ms(), inbox_losses=row["attempts"])

    def _headers(self) -> Mapping[str, str]:
        return {
            "content-type": ACTIVITY_JSON,
            "user-agent": self.instance.transport.user_agent,
            "accept": "application/json",
        }


def _is_told_on(row: dict[str, Any]) -> bool:
    """Whether no answer of a server that is set up anew, or breaks, puts this aside: whom a step of a link did not
    reach, or its end, goes on as before.
    """
    beside = row["lane"] == BESIDE and row["kind"] != Kind.LINK_OFFERED and row["attempts"] + 1 < MOST_BESIDE
    return beside or row["kind"] in TOLD_UNTIL_ANSWERED


async def _is_linked(peer: Peer) -> bool:
    return await db.fetch_one("SELECT id FROM link WHERE peer_id = $1 AND state = 'active'", peer.id) is not None


def _judge(row: dict[str, Any], outcome: Outcome, decision: Decision) -> _Result:
    """The delivery's state after an attempt."""
    if decision.fate is Fate.ACKED:
        return _Result(row, "sent", "", decision)
    poison = outcome.status in BROKEN and row["attempts"] + 1 >= POISON_AFTER
    if decision.fate in (Fate.DEAD_LETTER, Fate.FORGET) or poison:
        settled = next_try(0, now_ms(), Outcome(status=422), 0.0)
        return _Result(row, "dead", outcome.failure or decision.reason, settled)
    return _Result(row, "pending", decision.reason, decision)


async def _settle(settled: list[_Settled]) -> list[None]:
    """Writes what became of deliveries, and how their instances stand, in one commit for many of them."""
    now = now_ms()
    async with db.transaction():
        await hold("peer", {one.peer.id for one in settled})
        await _write_sent([r.row["id"] for one in settled for r in one.results if _arrived(r)], now)
        for one in settled:
            for result in one.results:
                if not _arrived(result):
                    await _write_result(result, now)
            decisions = [result.decision for result in one.results if result.decision is not None]
            if decisions:
                await write_peer(one.peer, _worst(decisions), now)
        await _end_leases([one for one in settled if one.owner])
    return [None] * len(settled)


def _arrived(result: _Result) -> bool:
    """Whether there is nothing to say of it but that it was sent."""
    return result.state == "sent"


async def _write_sent(delivery_ids: list[int], now: int) -> None:
    if delivery_ids:
        sent = Clause(
            "UPDATE delivery SET state = 'sent', error = '', done_at = ?, attempts = attempts + 1 WHERE", (now,)
        )
        await db.execute(*sent.join(one_of("id", delivery_ids)).statement())


async def _end_leases(ended: list[_Settled]) -> None:
    by_owner: dict[str, list[int]] = {}
    for one in ended:
        by_owner.setdefault(one.owner, []).append(one.peer.id)
    for owner, peer_ids in by_owner.items():
        query = Clause("UPDATE peer SET lease_until_at = 0 WHERE lease_owner = ? AND", (owner,))
        await db.execute(*query.join(one_of("id", peer_ids)).statement())


async def _write_result(result: _Result, now: int) -> None:
    done = None if result.state == "pending" else now
    await db.execute(
        "UPDATE delivery SET state = $1, error = $2, done_at = $3, attempts = attempts + $4 WHERE id = $5",
        result.state,
        result.error[:500],
        done,
        1 if result.decision is not None else 0,
        result.row["id"],
    )


def _worst(decisions: list[Decision]) -> Decision:
    return next((decision for decision in decisions if decision.state is not State.OK), decisions[0])


async def write_peer(peer: Peer, decision: Decision, now: int) -> None:
    if decision.state is State.OK:
        if peer.state == State.OK and not peer.failures and now - (peer.last_ok_at or 0) < OK_MS:
            return
        if peer.state != State.OK or peer.failures:
            log.info("reachable again", extra={"action": "peer.ok", "peer": peer.host})
        await db.execute(
            "UPDATE peer SET state = 'ok', failures = 0, failing_since_at = NULL, due_at = 0, rest_until_at = 0,"
            " last_ok_at = $1, last_error = '' WHERE id = $2",
            now,
            peer.id,
        )
        return
    log.warning("not reached", extra={"action": "peer.rests", "peer": peer.host, "reason": decision.reason})
    await db.execute(
        "UPDATE peer SET state = $1, failures = $2, failing_since_at = $3, due_at = $4, rest_until_at = $5,"
        " last_error = $6 WHERE id = $7",
        decision.state.value,
        decision.failures,
        decision.failing_since,
        decision.due_at if decision.due_at is not None else now,
        decision.rest_until,
        decision.reason[:500],
        peer.id,
    )
    if decision.state is State.ARCHIVED:  # what it missed is not kept for it, only what is to be taken back
        await db.execute(
            "UPDATE delivery SET state = 'skipped', error = 'archived', done_at = $1 WHERE peer_id = $2"
            " AND state = 'pending' AND lane = 1"
            " AND EXISTS (SELECT 1 FROM event e WHERE e.id = delivery.event_id AND e.post_id IS NOT NULL)",
            now,
            peer.id,
        )
