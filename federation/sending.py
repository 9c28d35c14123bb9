"""One instance at a time: its deliveries in order, its back-off, its double knock.

The back-off belongs to the instance, not to each delivery: a thousand waiting rows make one attempt. Deliveries of
one event go to the inboxes of a host side by side; the next event waits for them, so that a Delete never
overtakes its Create. A delivery that is at fault itself is put aside where an administrator sees it, and the
next one goes on.
"""

import asyncio
import logging
import random
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import Any

import httpx

from federation.composing import Receiver, Sealed, compose
from federation.errors import FederationError, Malformed, Refused
from federation.instance import Instance
from federation.schedule import Decision, Fate, Outcome, State, answered, next_try
from federation.signing import Manner, manner_towards, sign_as
from federation.vocabulary import ACTIVITY_JSON
from server import database as db
from server.clock import now_ms
from server.group_commit import GroupCommit

log = logging.getLogger("parvis.sending")

AT_ONCE = 32
LEASE_MS = 30_000
OF_A_LINK = Manner(linked=True, scheme="rfc9421")
"""How agreements about a link are signed, from the first word on: with the key that the link will pin."""
POISON_AFTER = 5
"""Attempts answered with 500 (not 503) after which the delivery, not the instance, is taken to be at fault."""


@dataclass(frozen=True, slots=True)
class Peer:
    """An instance with deliveries waiting, as its row says."""

    id: int
    host: str
    state: str
    failures: int
    failing_since_at: int | None
    linked: bool


@dataclass(frozen=True, slots=True)
class _Result:
    """What became of one delivery; `decision` None: nothing was sent."""

    row: dict[str, Any]
    state: str
    error: str = ""
    decision: Decision | None = None


async def due_peers(limit: int) -> list[Peer]:
    """Instances with something to send, whose time has come and that nobody serves."""
    rows = await db.fetch(
        """SELECT q.id, q.host, q.state, q.failures, q.failing_since_at,
             CASE WHEN l.state = 'active' THEN 1 ELSE 0 END AS linked
           FROM peer q LEFT JOIN link l ON l.peer_id = q.id
           WHERE q.due_at <= $1 AND q.lease_until_at < $1 AND q.blocked_at IS NULL AND q.state <> 'archived'
             AND COALESCE(l.state, '') <> 'suspended'
             AND EXISTS (SELECT 1 FROM delivery d WHERE d.state = 'pending' AND d.peer_id = q.id)
           ORDER BY q.due_at LIMIT $2""",
        now_ms(),
        limit,
    )
    return [Peer(**{**row, "linked": bool(row["linked"])}) for row in rows]


async def lease(peer: Peer, owner: str) -> bool:
    """Takes an instance for this worker; False when another has it."""
    now = now_ms()
    return bool(
        await db.execute(
            "UPDATE peer SET lease_until_at = $1, lease_owner = $2 WHERE id = $3 AND (lease_until_at < $4"
            " OR lease_owner = $2)",
            now + LEASE_MS,
            owner,
            peer.id,
            now,
        )
    )


async def release(peer: Peer, owner: str) -> None:
    await db.execute("UPDATE peer SET lease_until_at = 0 WHERE id = $1 AND lease_owner = $2", peer.id, owner)


class Sender:
    """Sends what waits for one instance after another; shares commits among all of them."""

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self._settled: GroupCommit[tuple[Peer, list[_Result]], None] = GroupCommit(_settle)

    async def serve(self, peer: Peer, owner: str) -> int:
        """Works off one instance until nothing waits, or it must rest; returns how many were sent."""
        sent, failures = 0, peer.failures
        manner = await manner_towards(peer.host)
        probing = peer.state != State.OK
        while await lease(peer, owner):
            rows = await self._next(peer, 1 if probing else AT_ONCE)
            for _, group in groupby(rows, key=lambda row: row["event_id"]):
                results, manner = await self._together(peer, list(group), manner, failures)
                await self._settled.submit((peer, results))
                sent += sum(result.state == "sent" for result in results)
                if any(r.decision is not None and r.decision.state is not State.OK for r in results):
                    return sent
                failures, probing = 0, False
            if not rows:
                break
        return sent

    async def _next(self, peer: Peer, limit: int) -> list[dict[str, Any]]:
        return await db.fetch(
            "SELECT id, event_id, inbox, attempts FROM delivery WHERE state = 'pending' AND peer_id = $1"
            " ORDER BY seq LIMIT $2",
            peer.id,
            limit,
        )

    async def _together(
        self, peer: Peer, rows: list[dict[str, Any]], manner: Manner, failures: int
    ) -> tuple[list[_Result], Manner]:
        """The deliveries of one event to one host; the first of them knocks, the others follow its manner."""
        first, manner = await self._one(peer, rows[0], manner, failures)
        if len(rows) == 1 or (first.decision is not None and first.decision.state is not State.OK):
            return [first], manner
        rest = await asyncio.gather(*(self._one(peer, row, manner, failures) for row in rows[1:]))
        return [first, *(result for result, _ in rest)], manner

    async def _one(self, peer: Peer, row: dict[str, Any], manner: Manner, failures: int) -> tuple[_Result, Manner]:
        sealed = await compose(self.instance, row["event_id"], Receiver(peer.id, peer.host, peer.linked))
        if sealed is None:
            return _Result(row, "skipped"), manner
        outcome = await self._post(row, sealed, manner)
        if outcome.status in (400, 401) and not manner.linked:
            again = await self._post(row, sealed, manner.other())
            if again.status is not None and again.status < 300:
                outcome, manner = again, manner.other()
                await db.execute("UPDATE peer SET knock = $1 WHERE id = $2", manner.scheme, peer.id)
        decision = next_try(
            failures, now_ms(), outcome, random.random(), failing_since=peer.failing_since_at, linked=peer.linked
        )
        return _judge(row, outcome, decision), manner

    async def _post(self, row: dict[str, Any], sealed: Sealed, manner: Manner) -> Outcome:
        """One attempt. What never left because its address is refused here is the delivery's own fault."""
        try:
            if sealed.signer_uri == self.instance.here.instance:
                manner = OF_A_LINK
            sign = await sign_as(self.instance, sealed.signer_uri, manner)
            headers = sign("POST", row["inbox"], self._headers(), sealed.body)
            request = httpx.Request("POST", _url(row["inbox"]), headers=dict(headers), content=sealed.body)
            answer = await self.instance.transport.send(request, cut=True)
        except (Malformed, Refused) as error:
            return Outcome(status=422, failure=error.sentence)
        except FederationError as error:
            return Outcome(failure=error.sentence)
        return answered(answer.status_code, answer.headers, now_ms(), inbox_losses=row["attempts"])

    def _headers(self) -> Mapping[str, str]:
        return {
            "content-type": ACTIVITY_JSON,
            "user-agent": self.instance.transport.user_agent,
            "accept": "application/json",
        }


@lru_cache(maxsize=4096)
def _url(inbox: str) -> httpx.URL:
    return httpx.URL(inbox)


def _judge(row: dict[str, Any], outcome: Outcome, decision: Decision) -> _Result:
    """The delivery's state after an attempt."""
    if decision.fate is Fate.ACKED:
        return _Result(row, "sent", "", decision)
    poison = outcome.status in (500, 501, 505) and row["attempts"] + 1 >= POISON_AFTER
    if decision.fate in (Fate.DEAD_LETTER, Fate.FORGET) or poison:
        settled = next_try(0, now_ms(), Outcome(status=422), 0.0)
        return _Result(row, "dead", outcome.failure or decision.reason, settled)
    return _Result(row, "pending", decision.reason, decision)


async def _settle(groups: list[tuple[Peer, list[_Result]]]) -> list[None]:
    """Writes what became of deliveries, and how their instances stand, in one commit for many of them."""
    now = now_ms()
    async with db.transaction():
        for peer, results in groups:
            for result in results:
                await _write_result(result, now)
            decisions = [result.decision for result in results if result.decision is not None]
            if decisions:
                await _write_peer(peer, _worst(decisions), now)
    return [None] * len(groups)


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


async def _write_peer(peer: Peer, decision: Decision, now: int) -> None:
    if decision.state is State.OK:
        if peer.state != State.OK or peer.failures:
            log.info("reachable again", extra={"action": "peer.ok", "peer": peer.host})
        await db.execute(
            "UPDATE peer SET state = 'ok', failures = 0, failing_since_at = NULL, due_at = 0, last_ok_at = $1,"
            " last_error = '' WHERE id = $2",
            now,
            peer.id,
        )
        return
    log.warning("not reached", extra={"action": "peer.rests", "peer": peer.host, "reason": decision.reason})
    await db.execute(
        "UPDATE peer SET state = $1, failures = $2, failing_since_at = $3, due_at = $4, last_error = $5 WHERE id = $6",
        decision.state.value,
        decision.failures,
        decision.failing_since,
        decision.due_at if decision.due_at is not None else now,
        decision.reason[:500],
        peer.id,
    )
