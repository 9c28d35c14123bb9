"""What was prepared takes effect: the effect and the mark that it is done are one commit.

A group of activities shares a commit, each in a savepoint of its own where one of them does not fit, so a bad one (R13,
D7) is put aside with its reason and the others take effect.
"""

import itertools
import logging
from dataclasses import dataclass, replace
from typing import Any

from federation import refusals
from federation.errors import FederationError, NobodyHere, Refused
from federation.handlers import handler_for, take_together
from federation.handlers.call import Call
from federation.membership_wishes import wish
from federation.patience import AGAIN_AFTER_MS, MOST_TRIES, comes_in_or_goes, is_early
from server import database as db
from server.clock import now_ms
from server.errors import DomainError, Unavailable
from server.openness import LinkState
from server.queries.former import Moves, moves_until_the_end
from server.sql import Clause, among, one_of
from server.transactions import UniqueViolation
from server.verdicts import code_of

log = logging.getLogger("parvis.processing")

TOGETHER = 50
PASSING = "unavailable"
EARLIER = "something that came before it waits"
HALTED = (LinkState.SUSPENDED, LinkState.CONFIRMED)
"""States in which what a stream brought before waits until its link goes on, or ends."""
HEARD_IN_A_HALT = ('"parvis:recall"', '"parvis:RecallReceipt"')
"""What does not wait: recalls and what answers them, by what stands in their bodies."""


@dataclass(frozen=True, slots=True)
class Ready:
    """A receipt whose call is complete, or the reason why there is none; `lasts`: no number of tries ends it."""

    row: dict[str, Any]
    call: Call | None
    known: Moves
    reason: str = ""
    again: bool = False
    lasts: bool = False
    refused: Exception | None = None
    code: str = ""


async def apply_in_groups(items: list[Ready]) -> int:
    return sum([await apply(items[start : start + TOGETHER]) for start in range(0, len(items), TOGETHER)])


async def apply(group: list[Ready]) -> int:
    """The effects of a group in few commits; returns how many came to an end.

    What can take effect is tried together first, without savepoints, because nearly always all of it does. When it
    does not, by halves: so one that fails stands alone soon, and its neighbours stay together.
    """
    ended = 0
    for fit, items in itertools.groupby(group, _may_take_effect):
        ended += await (_apply_together if fit else _apply_apart)(list(items))
    return ended


def _may_take_effect(item: Ready) -> bool:
    return item.call is not None and handler_for(item.call) is not None and not comes_in_or_goes(item.call.said)


async def _apply_together(group: list[Ready]) -> int:
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


async def _nobody_moved(group: list[Ready]) -> None:
    """Raises Unavailable when somebody moved since these were read: they are read again, by the new names."""
    known = await moves_until_the_end()
    if any(item.known != known for item in group):
        raise Unavailable(detail="somebody moved meanwhile")


async def _standing_now(group: list[Ready]) -> list[Ready]:
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


async def _all_of(group: list[Ready]) -> int:
    """Marks the receipts and runs the handlers. Raises what the first of them raises."""
    await _nobody_moved(group)
    group = await _standing_now(group)
    ended = Clause("UPDATE receipt SET processed_at = ?, body = '', outcome = '', code = '' WHERE", (now_ms(),))
    ended = ended.join(one_of("id", [item.row["id"] for item in group])).then("AND processed_at IS NULL RETURNING id")
    mine = {row["id"] for row in await db.fetch(*ended.statement())}
    await take_together([item.call for item in group if item.call is not None and item.row["id"] in mine])
    return len(mine)


async def _apply_apart(group: list[Ready]) -> int:
    """The same, each in a savepoint of its own; when the commit fails, one by one."""
    try:
        async with db.transaction():
            await _nobody_moved(group)
            return sum([await _one(item) for item in await _standing_now(group)])
    except Exception as error:
        if len(group) > 1:
            return sum([await _apply_apart([item]) for item in group])
        log.exception("failed", extra={"action": "activity.failed", "receipt": group[0].row["id"]})
        failed = replace(group[0], lasts=isinstance(error, Unavailable), code=code_of(error))
        async with db.transaction():
            await _fail(failed, f"{type(error).__name__}: {error}")
        return 0


async def _one(item: Ready) -> bool:
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
    if item.call is not None and comes_in_or_goes(item.call.said) and await is_early(item.row):
        await _fail(replace(item, lasts=True, code=PASSING), EARLIER, ended_here=True)
        return False
    outcome, refused = (item.reason, item.refused) if item.call is None else await _effect(item.call)
    if refused is not None and await is_early(item.row):
        await _fail(replace(item, lasts=True, code=PASSING), f"{EARLIER}: {outcome}", ended_here=True)
        return False
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


async def _fail(item: Ready, reason: str, *, ended_here: bool = False) -> None:
    """Counts a passing failure; the last one ends it, unless it lasts, with its body kept for whoever looks.

    What another process brought to its end stays so. `ended_here`: it was this transaction that did. What was not tried
    for long, as its link stood still or we did, makes up for no tries: it counts as received so late that the next wait
    begins now.
    """
    tries = item.row["attempts"]
    last = tries + 1 >= MOST_TRIES
    await db.execute(
        "UPDATE receipt SET attempts = attempts + 1, outcome = $1, processed_at = $2, code = $3, body = $4,"
        " received_at = CASE WHEN received_at < $6 THEN CAST($6 AS BIGINT) ELSE received_at END"
        f" WHERE id = $5{'' if ended_here else ' AND processed_at IS NULL'}",
        reason[:500],
        now_ms() if last and not item.lasts else None,
        item.code or "failed" if last else "",
        item.row["body"],
        item.row["id"],
        now_ms() - AGAIN_AFTER_MS * tries * tries,
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
    except (Unavailable, UniqueViolation):  # the latter: another process wrote the same at the same time
        raise
    except (DomainError, FederationError) as error:
        log.info("no effect", extra={"action": "activity.refused", "peer": call.host, "reason": str(error)})
        return str(error), error
