"""What was received takes effect: each activity once, those of one server in the order in which they came.

Fetching (an unknown author, a document, a third author's key) comes before the transaction; the effect and the
mark that it is done are one commit. A group of activities shares a commit, each in a savepoint of its own, so a
bad one (R13, D7) is put aside with its reason and the others take effect. What failed for a passing reason is
tried again later, a few times.
"""

import asyncio
import itertools
import logging
from collections import defaultdict
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from federation import refusals
from federation.authors import Author, author_of, check_ahead
from federation.errors import FederationError, Malformed, NobodyHere, Refused, Unreachable
from federation.handlers import handler_for, take_together
from federation.handlers.call import Call
from federation.hearsay import by_names_here
from federation.instance import Instance
from federation.lookup import KnownActor, exactly, read_ahead, read_exactly, remember
from federation.lookup import known as known_actor
from federation.membership_wishes import wish
from federation.page_memory import forget, remembering
from federation.reading import Activity, IncomingActor, activity_in, as_now, inner_activity, is_recall, type_of
from federation.trust import same_origin
from federation.vocabulary import ACTORS
from server import database as db
from server.actions.link_keys import pinned
from server.clock import now_ms
from server.errors import DomainError, Unavailable
from server.openness import LinkState
from server.queries.former import Moves, moves, moves_until_the_end
from server.sql import Clause, among, one_of
from server.verdicts import code_of

log = logging.getLogger("parvis.processing")

TOGETHER = 50
AT_ONCE = 500
PATIENCE_S = 2.0
"""How long a round waits for servers that have to be asked something."""
TURN_S = 30.0
"""How long one server's activities are prepared before it queues up again."""
MOST_TRIES = 5
AGAIN_AFTER_MS = 10_000
"""The first wait before a passing failure is tried again; the nth is n² times as long."""
BY_THE_PIN = frozenset({"Undo", "parvis:Confirm"})
"""Said of a link, and believed by its pinned key alone: who ends one may be gone before it could be asked."""
NEEDS_DOCUMENT = frozenset({"Invite", "Offer", "parvis:Confirm"})
HALTED = (LinkState.SUSPENDED, LinkState.CONFIRMED)
"""States in which what a stream brought before waits until its link goes on, or ends."""
HEARD_IN_A_HALT = ('"parvis:recall"', '"parvis:RecallReceipt"')
"""What does not wait: recalls and what answers them, by what stands in their bodies."""


@dataclass(frozen=True, slots=True)
class _Ready:
    """A receipt whose call is complete, or the reason why there is none."""

    row: dict[str, Any]
    call: Call | None
    known: Moves
    reason: str = ""
    again: bool = False
    refused: Exception | None = None
    code: str = ""


@dataclass(frozen=True, slots=True)
class _Read:
    """A receipt as it was read, with the activity inside when it is a relay; or why it cannot be."""

    row: dict[str, Any]
    said: Activity | None
    known: Moves
    inner: Activity | None = None
    error: Exception | None = None


async def process_waiting(instance: Instance) -> int:
    """Works off what waits now, servers side by side; returns how many came to an end.

    A server that keeps us waiting is left behind with its own: it goes on by itself, the next rounds are for the
    others.
    """
    rows = await _waiting()
    by_peer: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        by_peer[row["peer_id"]].append(row)
    round_ = _Round()
    for peer_id, mine in by_peer.items():
        _slow[peer_id] = task = asyncio.create_task(_work_off(instance, mine, round_))
        task.add_done_callback(partial(_no_longer_slow, peer_id))
    return await round_.apply(len(by_peer))


_slow: dict[int, asyncio.Task[None]] = {}
"""Servers whose activities are being prepared, in this round or since an earlier one."""


def _no_longer_slow(peer_id: int, task: asyncio.Task[None]) -> None:
    if _slow.get(peer_id) is task:
        del _slow[peer_id]


async def _waiting() -> list[dict[str, Any]]:
    """What waits, without what belongs to servers that are still being prepared.

    What the stream of a link that stands still brought before waits until it goes on, but for HEARD_IN_A_HALT.
    """
    query = Clause(
        "SELECT r.id, r.peer_id, r.seq, r.sender_uri, r.body, r.attempts, q.blocked_at,"
        " CASE WHEN r.linked AND l.state = 'active' THEN 1 ELSE 0 END AS linked"
        " FROM receipt r JOIN peer q ON q.id = r.peer_id LEFT JOIN link l ON l.peer_id = r.peer_id"
        " WHERE r.processed_at IS NULL AND (r.seq IS NULL OR COALESCE(l.state, '') NOT IN (?, ?)"
        " OR r.body LIKE ? OR r.body LIKE ?)"
        " AND (r.attempts = 0"
        " OR r.received_at < CAST(? AS BIGINT) - CAST(? AS BIGINT) * r.attempts * r.attempts)",
        (*HALTED, *(f"%{name}%" for name in HEARD_IN_A_HALT), now_ms(), AGAIN_AFTER_MS),
    )
    slow = [peer_id for peer_id, task in _slow.items() if not task.done()]
    if slow:
        query = query.join(Clause("AND NOT")).join(one_of("r.peer_id", slow))
    return await db.fetch(*query.then("ORDER BY r.id LIMIT ?", AT_ONCE).statement())


class _Round:
    """What is ready to take effect, from several servers; over once those left are too slow for it."""

    def __init__(self) -> None:
        self.over = False
        self._ready: asyncio.Queue[list[_Ready]] = asyncio.Queue()

    async def hand_in(self, done: list[_Ready]) -> None:
        """From one server, once: applied together with others, or by itself when the round is over."""
        if self.over:
            await _apply_in_groups(done)
        else:
            self._ready.put_nowait(done)

    async def apply(self, servers: int) -> int:
        """Applies what is ready, until every server has handed in or the slow ones have had their time."""
        ended, waiting = 0, servers
        deadline = asyncio.get_running_loop().time() + PATIENCE_S
        while waiting:
            try:
                async with asyncio.timeout_at(deadline):
                    group = await self._ready.get()
            except TimeoutError:
                break
            waiting -= 1
            while not self._ready.empty() and len(group) < TOGETHER:
                group = group + self._ready.get_nowait()
                waiting -= 1
            ended += await _apply_in_groups(group)
        self.over = True
        while not self._ready.empty():
            ended += await _apply_in_groups(self._ready.get_nowait())
        return ended


async def _work_off(instance: Instance, rows: list[dict[str, Any]], round_: _Round) -> None:
    """One server's activities in order, up to the first that must be tried again, for as long as its turn is."""
    done: list[_Ready] = []
    until = asyncio.get_running_loop().time() + TURN_S
    for start in range(0, len(rows), TOGETHER):
        known = await moves()
        page = [_read(row, known) for row in rows[start : start + TOGETHER]]
        with remembering():
            await _ask_ahead(page)
            for read in page:
                item = await prepare(instance, await _named(instance, read))
                done.append(item)
                if item.again or asyncio.get_running_loop().time() > until:
                    await round_.hand_in(done)
                    return
    await round_.hand_in(done)


def _read(row: dict[str, Any], known: Moves) -> _Read:
    """What a receipt says."""
    try:
        said = as_now(activity_in(row["body"]), known)
        relays = said.type == "Announce" and row["linked"] and type_of(said.object)
        return _Read(row, said, known, inner_activity(said) if relays else None)
    except Exception as error:
        return _Read(row, None, known, error=error)


async def _named(instance: Instance, read: _Read) -> _Read:
    """The same, with people of third instances by the names that they have here, when its host says of others."""
    said = read.said
    if said is None or not read.row["linked"] or "parvis:formerly" not in said.document:
        return read
    try:
        said = await by_names_here(instance, said, read.row["peer_id"])
        inner = None if read.inner is None else inner_activity(said)
    except FederationError as error:
        return replace(read, error=error, said=None)
    return replace(read, said=said, inner=inner)


async def _ask_ahead(page: list[_Read]) -> None:
    """What is asked of each of a page, for all of it at once; what cannot be is asked one by one."""
    try:
        await _ask_for(page)
    except Exception as error:
        log.info("one by one", extra={"action": "activity.ahead", "reason": str(error)})
        forget()


async def _ask_for(page: list[_Read]) -> None:
    relays = [(read.said, read.inner) for read in page if read.said is not None and read.inner is not None]
    uris = {read.said.actor for read in page if read.said is not None} | {inner.actor for _, inner in relays}
    if len(page) > 1:
        await read_ahead(uris)
        await check_ahead(relays)


async def _apply_in_groups(items: list[_Ready]) -> int:
    return sum([await _apply(items[start : start + TOGETHER]) for start in range(0, len(items), TOGETHER)])


async def prepare(instance: Instance, read: _Read) -> _Ready:
    """Everything that an activity needs from the network, before its transaction."""
    row, said = read.row, read.said
    try:
        if row["blocked_at"] is not None:
            raise Refused("This instance is not heard here.")
        if said is None:
            raise read.error or Malformed("That cannot be read.")
        actor = await _speaker(instance, said, row["sender_uri"])
        if actor.peer_id != row["peer_id"]:
            raise Refused("The actor is not of the instance that sent this.", said.actor)
        fetched = await _document(instance, said, actor)
        author = await _author(instance, said, read.inner, row["peer_id"])
        call = Call(
            instance=instance,
            said=said,
            actor=actor,
            peer_id=row["peer_id"],
            linked=bool(row["linked"]),
            key_id=row["sender_uri"],
            raw=row["body"],
            wrapped=read.inner,
            wrapped_actor=author.actor,
            proved=author.proved,
            attested=author.attested,
            fetched=fetched,
        )
        return _Ready(row, call, read.known)
    except Unreachable as error:
        return _Ready(row, None, read.known, str(error), again=True, code=code_of(error))
    except (FederationError, DomainError) as error:
        return _Ready(row, None, read.known, str(error), refused=error)
    except Exception as error:
        # one activity that we are not up to must not stop those behind it (R13)
        log.exception("not prepared", extra={"action": "activity.failed", "receipt": row["id"]})
        return _Ready(row, None, read.known, type(error).__name__, again=True, code="failed")


async def _speaker(instance: Instance, said: Activity, key_id: str) -> KnownActor:
    """Who says this. A recall is its instance's word: the space may be forgotten here, and by now it is not shown."""
    forgotten = is_recall(said) and await known_actor(said.actor) is None
    return await exactly(instance, key_id.partition("#")[0] if forgotten else said.actor)


async def _document(instance: Instance, said: Activity, actor: KnownActor) -> IncomingActor | None:
    """What the actor's own origin says of it now, where that is what counts."""
    about_itself = said.type == "Update" and said.object_type in ACTORS and actor.kind != "application"
    about_link = actor.kind == "application" and said.type in ("Accept", "Undo")
    if said.type not in NEEDS_DOCUMENT and not about_itself and not about_link:
        return None
    by_the_pin = actor.kind == "application" and said.type in BY_THE_PIN
    if by_the_pin and actor.peer_id is not None and await pinned(actor.peer_id):
        return None
    document = await read_exactly(instance, said.actor)
    await remember(document)
    return document


async def _author(instance: Instance, said: Activity, inner: Activity | None, peer_id: int) -> Author:
    """Whose the activity inside an Announce is. Only a linked server makes us look at what it relays (R21)."""
    if inner is None:
        return Author(None)
    if not same_origin(inner.id, inner.actor):
        raise Refused("The inner activity's id is not of its actor's origin.", inner.id)
    return await author_of(instance, said, inner, peer_id)


async def _apply(group: list[_Ready]) -> int:
    """The effects of a group in few commits; returns how many came to an end.

    What can take effect is tried together first, without savepoints, because nearly always all of it does. When it
    does not, by halves: so one that fails stands alone soon, and its neighbours stay together.
    """
    ended = 0
    for fit, items in itertools.groupby(group, _may_take_effect):
        ended += await (_apply_together if fit else _apply_apart)(list(items))
    return ended


def _may_take_effect(item: _Ready) -> bool:
    return item.call is not None and handler_for(item.call) is not None


async def _apply_together(group: list[_Ready]) -> int:
    if len(group) == 1:
        return await _apply_apart(group)
    try:
        async with db.transaction():
            return await _all_of(group)
    except Unavailable:
        return await _apply_apart(group)
    except Exception as error:
        log.info("by halves", extra={"action": "activity.group", "reason": str(error)})
    middle = len(group) // 2
    return await _apply_together(group[:middle]) + await _apply_together(group[middle:])


async def _nobody_moved(group: list[_Ready]) -> None:
    """Raises Unavailable when somebody moved since these were read: they are read again, by the new names."""
    known = await moves_until_the_end()
    if any(item.known != known for item in group):
        raise Unavailable(detail="somebody moved meanwhile")


async def _standing_now(group: list[_Ready]) -> list[_Ready]:
    """The same, as their links stand now, which they may not have done when these were read: without what waits for a
    link that stands still, and said without a link where there is none any more. Whoever stops or ends a link that
    still stands waits until this transaction is over.
    """
    peers = {item.row["peer_id"] for item in group if item.row["linked"] or item.row["seq"] is not None}
    held = " FOR SHARE" if db.engine_name() == "postgres" else ""
    query = Clause("SELECT peer_id, state FROM link WHERE").join(among("peer_id", sorted(peers)))
    rows = await db.fetch(*query.then(f"ORDER BY peer_id{held}").statement())
    states = {row["peer_id"]: LinkState(row["state"]) for row in rows}
    return [
        replace(item, call=replace(item.call, linked=False))
        if item.call is not None and item.call.linked and states.get(item.row["peer_id"]) is not LinkState.ACTIVE
        else item
        for item in group
        if not (states.get(item.row["peer_id"]) in HALTED and _waits_for_its_link(item.row))
    ]


def _waits_for_its_link(row: dict[str, Any]) -> bool:
    return row["seq"] is not None and not any(name in row["body"] for name in HEARD_IN_A_HALT)


async def _all_of(group: list[_Ready]) -> int:
    """Marks the receipts and runs the handlers. Raises what the first of them raises."""
    await _nobody_moved(group)
    group = await _standing_now(group)
    ended = Clause("UPDATE receipt SET processed_at = ?, body = '', outcome = '', code = '' WHERE", (now_ms(),))
    ended = ended.join(one_of("id", [item.row["id"] for item in group])).then("AND processed_at IS NULL RETURNING id")
    mine = {row["id"] for row in await db.fetch(*ended.statement())}
    await take_together([item.call for item in group if item.call is not None and item.row["id"] in mine])
    return len(mine)


async def _apply_apart(group: list[_Ready]) -> int:
    """The same, each in a savepoint of its own; when the commit fails, one by one."""
    try:
        async with db.transaction():
            await _nobody_moved(group)
            return sum([await _one(item) for item in await _standing_now(group)])
    except Exception as error:
        if len(group) > 1:
            return sum([await _apply_apart([item]) for item in group])
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
        "UPDATE receipt SET processed_at = $1, body = '', outcome = $2, code = $3 WHERE id = $4"
        " AND processed_at IS NULL",
        now_ms(),
        item.reason[:500],
        item.code,
        item.row["id"],
    ):
        return False
    outcome, refused = (item.reason, item.refused) if item.call is None else await _effect(item.call)
    if refused is not None and item.row["linked"]:
        await refusals.counted(item.row["peer_id"], refused, item.call.said.id if item.call else item.row["sender_uri"])
    if isinstance(refused, NobodyHere) and item.call is not None:
        await _ask_who_is_in(item.call.said.actor)
    if outcome:
        code = code_of(refused) if refused is not None else item.code
        await db.execute(
            "UPDATE receipt SET outcome = $1, code = $2 WHERE id = $3", outcome[:500], code, item.row["id"]
        )
    return True


async def _ask_who_is_in(space_uri: str) -> None:
    """Its host counts somebody of ours and we nobody: one of both lost something; the host's list says who is in."""
    row = await db.fetch_one("SELECT s.id FROM space s JOIN actor g ON g.id = s.actor_id WHERE g.uri = $1", space_uri)
    if row is not None:
        await wish(row["id"])


async def _fail(item: _Ready, reason: str) -> None:
    """Counts a passing failure; the last one ends it, with its body kept for whoever looks."""
    ended = now_ms() if item.row["attempts"] + 1 >= MOST_TRIES else None
    await db.execute(
        "UPDATE receipt SET attempts = attempts + 1, outcome = $1, processed_at = $2, code = $3 WHERE id = $4",
        reason[:500],
        ended,
        "" if ended is None else item.code or "failed",
        item.row["id"],
    )


async def _effect(call: Call) -> tuple[str, Exception | None]:
    """Runs the handler in a savepoint; '' when it took effect, else why not. Passing failures rise."""
    handler = handler_for(call)
    if handler is None:
        return f"{call.said.type} is not taken here", Refused("That is not taken here.", rule="untaken")
    try:
        async with db.transaction():
            await handler(call)
        return "", None
    except Unavailable:
        raise
    except (DomainError, FederationError) as error:
        log.info("no effect", extra={"action": "activity.refused", "peer": call.host, "reason": str(error)})
        return str(error), error
