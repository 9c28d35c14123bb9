"""Recalls on their way: ours are gathered, told and told again; those of others are carried out and answered.

Both are rows that this loop works off in small steps. Nothing of a step is held anywhere else, so it may stop at any
moment. A recall goes before anything else that waits for the same instance: see `urgent`.
"""

import logging
from collections import defaultdict
from functools import partial
from typing import Any

import msgspec

from federation.documents import recalls as documents
from federation.errors import FederationError, Malformed, Refused
from federation.instance import Instance
from federation.json_reading import parse_json
from federation.reading import identifier, many, type_of
from federation.side_by_side import SideBySide, Work
from federation.signing import Manner, sign_as_instance
from federation.trust import same_origin
from federation.unheard import forget_unheard
from server import database as db
from server.actions import plain_recalls, purges, recalls
from server.clock import now_ms
from server.errors import DomainError

log = logging.getLogger("parvis.recalls")

AT_ONCE = 20
OF_A_LINK = Manner(linked=True, scheme="rfc9421")
MOST_ON_A_PAGE = 1_000


async def work_off(instance: Instance) -> int:
    """One step of everything that is under way; how many steps were taken."""
    taken = 0
    for target in await recalls.ungathered(AT_ONCE):
        taken += await _gather(target)
    await recalls.follow_up()
    taken += await plain_recalls.follow_up_plain(AT_ONCE)
    taken += await _fetch_lists(instance)
    taken += await purges.step(instance.settings.files_dir)
    for purge in await purges.ready(AT_ONCE):
        await _answer(instance, purge)
        taken += 1
    return taken


async def _gather(target: dict[str, Any]) -> int:
    """One that cannot be gathered now must not keep the others waiting."""
    try:
        await recalls.gather(target)
        return 1
    except DomainError as error:
        log.warning("not gathered", extra={"action": "recall.gather", "target": target["id"], "reason": str(error)})
        return 0


def answers_waiting(columns: str, peer: str) -> str:
    """SQL: columns of deliveries (d) and facts (e) that wait: what answers the recalls of an instance (`peer`: its id).

    They are found by the spaces that it hosts: all else that waits for it, perhaps for weeks, is not looked through.
    """
    waits = (
        "e.kind = 'recall_answered' AND d.event_id = e.id"
        f" AND d.peer_id + 0 = {peer} AND d.state || '' = 'pending'"  # by its event, and by no index of those
    )
    return (
        f"SELECT {columns} FROM space s CROSS JOIN event e CROSS JOIN delivery d"  # in this order
        f" WHERE s.peer_id = {peer} AND e.space_id = s.id AND {waits}"
        f" UNION ALL SELECT {columns} FROM event e CROSS JOIN delivery d WHERE e.space_id IS NULL AND {waits}"
    )


async def urgent(peer_id: int, limit: int) -> list[dict[str, Any]]:
    """Deliveries of recalls, and of what answers them, to one instance: they go before anything else."""
    columns = "d.id, d.event_id, d.inbox, d.attempts, d.lane, e.kind, d.seq"
    return await db.fetch(
        f"SELECT {columns} FROM recall_target t JOIN delivery d ON d.event_id = t.event_id AND d.peer_id = t.peer_id"
        " JOIN event e ON e.id = d.event_id WHERE t.peer_id = $1"
        " AND t.state IN ('waiting', 'unreachable', 'late') AND d.state = 'pending'"
        f" UNION ALL {answers_waiting(columns, '$1')} ORDER BY seq LIMIT $2",
        peer_id,
        limit,
    )


# --- the list of a recall of others --------------------------------------------------------------


_hosts = SideBySide()


async def _fetch_lists(instance: Instance) -> int:
    """A page of each list that is still to be had, one host beside the other; how many hosts were asked."""
    work: dict[object, list[Work]] = defaultdict(list)
    lists = await purges.listing(AT_ONCE, _hosts.busy())
    for purge in lists:
        work[purge["peer_id"]].append(partial(_fetch_page, instance, purge))
    return await _hosts.go(work)


async def _fetch_page(instance: Instance, purge: dict[str, Any]) -> None:
    """The next page of a list, from the host's own origin, if it can be had now."""
    try:
        uris, following = await _read_page(instance, purge)
    except FederationError as error:
        log.info("list not had", extra={"action": "recall.list", "reason": str(error)})
        await purges.later(purge, error.sentence)
        return
    await purges.add_page(purge, uris, following)


async def _read_page(instance: Instance, purge: dict[str, Any]) -> tuple[list[str], str]:
    address = purge["list_uri"]
    if not same_origin(address, purge["base_url"]):
        raise Refused("The list is at another origin.", address)
    sign = await sign_as_instance(instance, OF_A_LINK)
    answer = await instance.transport.get_json(address, sign=sign)
    document = parse_json(answer.body)
    uris = [identifier(item) for item in many(document.get("orderedItems"))[: MOST_ON_A_PAGE + 1]]
    if type_of(document) != "OrderedCollectionPage" or not uris or len(uris) > MOST_ON_A_PAGE or not all(uris):
        raise Malformed("That is no page of the list of a recall.", address)
    following = identifier(document.get("next"))
    if following == address:
        raise Malformed("The list goes round in a circle.", address)
    return uris, following


# --- the receipt ---------------------------------------------------------------------------------


async def _answer(instance: Instance, purge: dict[str, Any]) -> None:
    """Everything is gone: what became of it is written down, and told, signed, until it is heard."""
    await forget_unheard(purge)
    await db.forget_erased()
    counts: dict[str, int] = msgspec.json.decode(purge["counts"])
    retained: list[dict[str, Any]] = []
    if counts.get("own"):
        retained.append({"reason": "own-authored", "items": counts["own"]})
    bare = documents.receipt(purge, counts, retained, instance.here, now_ms())
    await purges.finish(purge, msgspec.json.encode(bare).decode())
