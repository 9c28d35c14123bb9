"""What was received takes effect: each activity once, those of one server in the order in which they came.

Fetching (an unknown author, a document, a third author's key) comes before the transaction; the effect and the
mark that it is done are one commit. A group of activities shares a commit, each in a savepoint of its own, so a
bad one (R13, D7) is put aside with its reason and the others take effect. What failed for a passing reason is
tried again later, a few times.
"""

import asyncio
import logging
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from federation.errors import FederationError, Refused, Unreachable
from federation.handlers import handler_for
from federation.handlers.call import Call
from federation.instance import Instance
from federation.json_reading import parse_json
from federation.lookup import KnownActor, fetch_document, find, known, remember
from federation.proving import holds
from federation.reading import Activity, IncomingActor, activity, type_of
from federation.trust import same_origin
from federation.vocabulary import ACTORS
from server import database as db
from server.clock import now_ms
from server.errors import DomainError, Unavailable

log = logging.getLogger("parvis.processing")

TOGETHER = 50
AT_ONCE = 500
MOST_TRIES = 5
AGAIN_AFTER_MS = 10_000
"""The first wait before a passing failure is tried again; the nth is n² times as long."""
NEEDS_DOCUMENT = frozenset({"Invite", "Offer", "parvis:Confirm"})


@dataclass(frozen=True, slots=True)
class _Ready:
    """A receipt whose call is complete, or the reason why there is none."""

    row: dict[str, Any]
    call: Call | None
    reason: str = ""
    again: bool = False


async def process_waiting(instance: Instance) -> int:
    """Works off what waits now, servers side by side; returns how many came to an end."""
    rows = await db.fetch(
        "SELECT id, peer_id, sender_uri, linked, body, attempts FROM receipt WHERE processed_at IS NULL"
        " AND (attempts = 0 OR received_at < CAST($1 AS BIGINT) - CAST($2 AS BIGINT) * attempts * attempts) ORDER BY id LIMIT $3",
        now_ms(),
        AGAIN_AFTER_MS,
        AT_ONCE,
    )
    by_peer: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        by_peer[row["peer_id"]].append(row)
    ready: asyncio.Queue[list[_Ready]] = asyncio.Queue()
    preparing = [asyncio.create_task(_prepare_in_order(instance, mine, ready)) for mine in by_peer.values()]
    try:
        return await _apply_as_ready(ready, len(preparing))
    finally:
        for task in preparing:
            task.cancel()


async def _prepare_in_order(
    instance: Instance, rows: list[dict[str, Any]], ready: "asyncio.Queue[list[_Ready]]"
) -> None:
    """One server's activities, up to the first that must be tried again: what follows waits behind it."""
    done: list[_Ready] = []
    try:
        for row in rows:
            item = await prepare(instance, row)
            done.append(item)
            if item.again:
                break
    finally:
        ready.put_nowait(done)


async def _apply_as_ready(ready: "asyncio.Queue[list[_Ready]]", servers: int) -> int:
    """Applies what is ready together, without waiting for slower servers."""
    ended = 0
    waiting = servers
    while waiting:
        group = await ready.get()
        waiting -= 1
        while not ready.empty() and len(group) < TOGETHER:
            group += ready.get_nowait()
            waiting -= 1
        for start in range(0, len(group), TOGETHER):
            ended += await _apply(group[start : start + TOGETHER])
    return ended


async def prepare(instance: Instance, row: dict[str, Any]) -> _Ready:
    """Everything that an activity needs from the network, before its transaction."""
    try:
        said = activity(parse_json(row["body"].encode()))
        actor = await find(instance, said.actor)
        fetched = await _document(instance, said, actor)
        wrapped, wrapped_actor, proof = await _inner(instance, said)
        call = Call(
            instance=instance,
            said=said,
            actor=actor,
            peer_id=row["peer_id"],
            linked=bool(row["linked"]),
            raw=row["body"],
            wrapped=wrapped,
            wrapped_actor=wrapped_actor,
            proved=proof,
            fetched=fetched,
        )
        return _Ready(row, call)
    except Unreachable as error:
        return _Ready(row, None, str(error), again=True)
    except (FederationError, DomainError) as error:
        return _Ready(row, None, str(error))


async def _document(instance: Instance, said: Activity, actor: KnownActor) -> IncomingActor | None:
    """What the actor's own origin says of it now, where that is what counts."""
    about_itself = said.type == "Update" and said.object_type in ACTORS
    about_link = actor.kind == "application" and said.type in ("Accept", "Undo")
    if said.type not in NEEDS_DOCUMENT and not about_itself and not about_link:
        return None
    document = await fetch_document(instance, said.actor)
    await remember(document)
    return document


async def _inner(instance: Instance, said: Activity) -> tuple[Activity | None, KnownActor | None, bool]:
    """The activity inside an Announce, its actor, and whether that actor's proof holds."""
    if said.type != "Announce" or not isinstance(said.object, dict) or not type_of(said.object):
        return None, None, False
    inner = activity(said.object)
    if not same_origin(inner.id, inner.actor):
        raise Refused("The inner activity's id is not of its actor's origin.", inner.id)
    if instance.here.is_ours(inner.actor):
        return inner, await known(inner.actor), False
    author = await known(inner.actor)
    if same_origin(inner.actor, said.actor):
        return inner, author or await find(instance, inner.actor), False
    document = await fetch_document(instance, inner.actor)
    return inner, await remember(document), holds(said.object, document)


async def _apply(group: list[_Ready]) -> int:
    """The effects of a group in one commit; when that fails, one by one. Returns how many came to an end."""
    try:
        async with db.transaction():
            return sum([await _one(item) for item in group])
    except Exception as error:
        if len(group) > 1:
            return sum([await _apply([item]) for item in group])
        log.exception("failed", extra={"action": "activity.failed", "receipt": group[0].row["id"]})
        async with db.transaction():
            await _fail(group[0], f"{type(error).__name__}: {error}")
        return 0


async def _one(item: _Ready) -> bool:
    """Marks the receipt as ended in the transaction of its effect; False when it waits, or somebody else did."""
    if item.again:
        await _fail(item, item.reason)
        return False
    if not await db.execute(
        "UPDATE receipt SET processed_at = $1 WHERE id = $2 AND processed_at IS NULL", now_ms(), item.row["id"]
    ):
        return False
    outcome = item.reason if item.call is None else await _effect(item.call)
    await db.execute("UPDATE receipt SET body = '', outcome = $1 WHERE id = $2", outcome[:500], item.row["id"])
    return True


async def _fail(item: _Ready, reason: str) -> None:
    """Counts a passing failure; the last one ends it, with its body kept for whoever looks."""
    ended = now_ms() if item.row["attempts"] + 1 >= MOST_TRIES else None
    await db.execute(
        "UPDATE receipt SET attempts = attempts + 1, outcome = $1, processed_at = $2 WHERE id = $3",
        reason[:500],
        ended,
        item.row["id"],
    )


async def _effect(call: Call) -> str:
    """Runs the handler in a savepoint; '' when it took effect, else why not. Passing failures rise."""
    handler = handler_for(call)
    if handler is None:
        return f"{call.said.type} is not taken here"
    try:
        async with db.transaction():
            await handler(call)
        return ""
    except Unavailable:
        raise
    except (DomainError, FederationError) as error:
        log.info("no effect", extra={"action": "activity.refused", "peer": call.host, "reason": str(error)})
        return str(error)
