"""What was received is prepared and takes effect: each activity once, those of one server in the order in which they
came.

Fetching (an unknown author, a document, a third author's key) comes before the transaction of the effect (see
`taking_effect`). What failed for a passing reason is tried again later (see `patience`).
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from federation.authors import Author, author_of, check_ahead
from federation.errors import FederationError, Malformed, Refused, Unreachable
from federation.handlers.call import Call
from federation.hearsay import by_names_here
from federation.instance import Instance
from federation.lookup import KnownActor, exactly, read_ahead, read_exactly, remember
from federation.lookup import known as known_actor
from federation.page_memory import forget, remembering
from federation.patience import AGAIN_AFTER_MS, MOST_TRIES, epoch_of, passes, policies_waiting
from federation.reading import Activity, IncomingActor, activity_in, as_now, inner_activity, is_recall, type_of
from federation.taking_effect import EARLIER, HALTED, HEARD_IN_A_HALT, PASSING, TOGETHER, Ready, apply_in_groups
from federation.trust import host_at, same_origin
from federation.vocabulary import ACTORS
from server import database as db
from server.actions.link_keys import pinned
from server.clock import now_ms
from server.errors import DomainError
from server.queries.former import Moves, moves
from server.sql import Clause, one_of

log = logging.getLogger("parvis.processing")

AT_ONCE = 500
CROWDS = 5
"""How often those who fill a round with what is tried again are left out, to find others."""
PATIENCE_S = 2.0
"""How long a round waits for servers that have to be asked something."""
TURN_S = 30.0
"""How long one server's activities are prepared before it queues up again."""
BY_THE_PIN = frozenset({"Undo", "parvis:Confirm"})
"""Said of a link, and believed by its pinned key alone: who ends one may be gone before it could be asked."""
NEEDS_DOCUMENT = frozenset({"Invite", "Offer", "parvis:Confirm"})


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

    Whoever has much that is tried again and again takes nobody else's turn.
    """
    but = {peer_id for peer_id, task in _slow.items() if not task.done()}
    found: list[dict[str, Any]] = []
    for _ in range(CROWDS):
        rows = await _waiting_but(but)
        found += rows
        if len(rows) < AT_ONCE or not any(row["attempts"] for row in rows):
            break
        but |= {row["peer_id"] for row in rows}
    return found


async def _waiting_but(peers: Collection[int]) -> list[dict[str, Any]]:
    """The first of what waits, of all but these.

    What the stream of a link that stands still brought before waits until it goes on, but for HEARD_IN_A_HALT.
    """
    query = Clause(
        "SELECT r.id, r.peer_id, r.seq, r.sender_uri, r.body, r.attempts, r.received_at, q.blocked_at,"
        " CASE WHEN r.linked AND l.state = 'active' THEN 1 ELSE 0 END AS linked"
        " FROM receipt r JOIN peer q ON q.id = r.peer_id LEFT JOIN link l ON l.peer_id = r.peer_id"
        " WHERE r.processed_at IS NULL AND (r.seq IS NULL OR COALESCE(l.state, '') NOT IN (?, ?)"
        " OR r.body LIKE ? OR r.body LIKE ?)"
        " AND (r.attempts = 0"
        " OR r.received_at < CAST(? AS BIGINT) - CAST(? AS BIGINT) * r.attempts * r.attempts)",
        (*HALTED, *(f"%{name}%" for name in HEARD_IN_A_HALT), now_ms(), AGAIN_AFTER_MS),
    )
    if peers:
        query = query.join(Clause("AND NOT")).join(one_of("r.peer_id", sorted(peers)))
    return await db.fetch(*query.then("ORDER BY r.id LIMIT ?", AT_ONCE).statement())


class _Round:
    """What is ready to take effect, from several servers; over once those left are too slow for it."""

    def __init__(self) -> None:
        self.over = False
        self._ready: asyncio.Queue[list[Ready]] = asyncio.Queue()

    async def hand_in(self, done: list[Ready]) -> None:
        """From one server, once: applied together with others, or by itself when the round is over."""
        if self.over:
            await apply_in_groups(done)
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
            ended += await apply_in_groups(group)
        self.over = True
        while not self._ready.empty():
            ended += await apply_in_groups(self._ready.get_nowait())
        return ended


async def _work_off(instance: Instance, rows: list[dict[str, Any]], round_: _Round) -> None:
    """One server's activities in order, up to the first that must be tried again, for as long as its turn is.

    Who could not be asked the time before, and cannot be now, ends no turn, and nobody is asked about others of the
    same instance in it: what is new comes after all that is due, and would wait for one silence after the other.
    """
    done: list[Ready] = []
    silent: set[str] = set()
    earlier = await policies_waiting(rows[0]["peer_id"], {row["id"] for row in rows})
    until = asyncio.get_running_loop().time() + TURN_S
    for start in range(0, len(rows), TOGETHER):
        known = await moves()
        page = [_read(row, known) for row in rows[start : start + TOGETHER]]
        with remembering():
            await _ask_ahead(page)
            for read in page:
                if _of_a_later_policy(read, earlier):
                    done.append(Ready(read.row, None, known, EARLIER, again=True, lasts=True, code=PASSING))
                    continue
                again, host = bool(read.row["attempts"]), _asked_of(read)
                if again and host in silent:
                    _goes_on_waiting(read, earlier)
                    continue
                item = await prepare(instance, await _named(instance, read))
                done.append(item)
                if (item.again and not (again and host)) or asyncio.get_running_loop().time() > until:
                    await round_.hand_in(done)
                    return
                if item.again:
                    silent.add(host)
                    _goes_on_waiting(read, earlier)
    await round_.hand_in(done)


def _asked_of(read: _Read) -> str:
    """The host that is asked who this is of; '' when it cannot be read."""
    try:
        return host_at((read.inner or read.said).actor) if read.said is not None else ""
    except FederationError:
        return ""


def _goes_on_waiting(read: _Read, earlier: dict[str, tuple[int, int]]) -> None:
    """What was due and waits on is among what a newer policy that came after it waits for."""
    said, receipt_id = read.said, read.row["id"]
    epoch = epoch_of(said) if said is not None and said.type == "Announce" else None
    if said is None or epoch is None or read.row["attempts"] + 1 >= MOST_TRIES:
        return
    if said.actor not in earlier or receipt_id < earlier[said.actor][0]:
        earlier[said.actor] = receipt_id, epoch


def _of_a_later_policy(read: _Read, earlier: dict[str, tuple[int, int]]) -> bool:
    """Whether a relay says a newer policy of its space while one that came before it waits (see `patience`)."""
    if read.said is None or read.said.type != "Announce" or read.said.actor not in earlier:
        return False
    waiting, before = earlier[read.said.actor]
    return read.row["id"] > waiting and (epoch_of(read.said) or 0) > before


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


async def prepare(instance: Instance, read: _Read) -> Ready:
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
        return Ready(row, call, read.known)
    except (FederationError, DomainError) as error:
        lasts = await passes(error, row)
        if lasts or isinstance(error, Unreachable):
            return Ready(row, None, read.known, str(error), again=True, lasts=lasts, code=PASSING)
        return Ready(row, None, read.known, str(error), refused=error)
    except Exception as error:
        # one activity that we are not up to must not stop those behind it (R13)
        log.exception("not prepared", extra={"action": "activity.failed", "receipt": row["id"]})
        return Ready(row, None, read.known, type(error).__name__, again=True, code="failed")


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
