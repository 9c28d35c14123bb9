"""A host takes back what it sent us; an instance answers what we took back. Both count by the pinned key alone."""

from datetime import datetime
from typing import Any

import msgspec

from federation.documents.recalls import INLINE, recall_uri
from federation.errors import Malformed, Refused
from federation.handlers.call import Call
from federation.pins import proved_by_pin
from federation.reading import identifier, many, moment
from federation.trust import same_origin
from server import database as db
from server.actions import purges, recalls
from server.recall_terms import Keep, RecallScope, TargetState, root_of

MOST_RETAINED = 10
LONGEST_REASON = 300
KNOWN_REASONS = frozenset({"own-authored", "legal-hold", "backup-until"})


async def recalled(call: Call) -> None:
    """Only the host of a space takes back what is in it, proved by the key that we pinned for it (I8)."""
    if not await proved_by_pin(call.peer_id, call.said.document, call.said.as_came):
        raise Refused("A recall is proved with the pinned key of the space's host.", call.said.id)
    if not same_origin(call.said.actor, call.said.id):
        raise Refused("A recall is of the space's own origin.", call.said.id)
    space = await db.fetch_one(
        "SELECT s.id, s.peer_id FROM space s JOIN actor a ON a.id = s.actor_id WHERE a.uri = $1", call.said.actor
    )
    if space is not None and space["peer_id"] != call.peer_id:
        raise Refused("Only the host of a space takes back what is in it.", call.said.actor)
    await purges.begin(call.peer_id, space["id"] if space else None, _asked(call))


def _asked(call: Call) -> purges.Asked:
    """Raises Malformed, naming the property that does not fit."""
    document, what = call.said.document, call.said.object
    if not isinstance(what, dict):
        raise Malformed("“object” must be the collection of what is taken back.")
    address = identifier(document.get("parvis:recall"))
    if not address or not same_origin(address, call.said.actor):
        raise Malformed("“parvis:recall” must be an address of the space's origin.")
    items = what.get("totalItems")
    if not isinstance(items, int) or isinstance(items, bool) or not 0 <= items <= purges.MOST_ITEMS:
        raise Malformed("“totalItems” must be a whole number.")
    root = _root(what.get("parvis:root"))
    came = call.said.as_came.get("object")  # the digest is of the ids as the host had them
    uris = _uris(came["orderedItems"], INLINE) if isinstance(came, dict) and "orderedItems" in came else None
    if uris is not None and (len(uris) != items or root_of(uris) != root):
        raise Refused("The list is not the one whose root is told.", call.said.id)
    if uris is not None:
        uris = _uris(what.get("orderedItems"), INLINE)
    first = identifier(what.get("first"))
    if uris is None and items and (not first or not same_origin(first, call.said.actor)):
        raise Malformed("“first” must be an address of the space's origin.")
    return purges.Asked(
        uri=address,
        scope=_one_of(RecallScope, what.get("parvis:scope"), "parvis:scope"),
        root=root,
        items=items,
        keep=_one_of(Keep, document.get("parvis:keep"), "parvis:keep"),
        deadline_at=_when(document.get("parvis:deadline")),
        list_uri=first if uris is None else "",
        uris=uris,
        up_to=moment(what.get("parvis:upTo")),
    )


def _root(value: Any) -> str:
    if not isinstance(value, str) or len(value) != 64 or not set(value) <= set("0123456789abcdef"):
        raise Malformed("“parvis:root” must be a SHA-256 in hexadecimal.")
    return value


def _uris(value: Any, most: int) -> list[str]:
    items = [identifier(item) for item in many(value)[: most + 1]]
    if len(items) > most or not all(items):
        raise Malformed("The list has too many entries, or one that is no address.")
    return items


def _one_of(kind: Any, value: Any, name: str) -> Any:
    if value not in set(kind):
        raise Malformed(f"“{name}” has a value that is not known here.")
    return kind(value)


def _when(value: Any) -> int | None:
    try:
        return int(datetime.fromisoformat(str(value)).timestamp() * 1000) if value else None
    except (ValueError, OverflowError):
        return None


# --- receipts ------------------------------------------------------------------------------------


async def answered(call: Call) -> None:
    """An instance says what became of a recall of ours.

    What proves nothing (no proof of the pinned key, about a recall that it was not sent) changes nothing and is
    shown to administrators. What it signed and cannot be true is evidence: the recall counts as refused.
    """
    document = call.said.document
    target = await _target(call, identifier(document.get("inReplyTo")))
    if not await proved_by_pin(call.peer_id, document, call.said.as_came):
        await recalls.not_believed(target["id"], "A receipt came without the proof of the pinned key.")
        return
    receipt = msgspec.json.encode(call.said.as_came).decode()
    refusal = document.get("parvis:refused")
    if isinstance(refusal, str) and refusal:
        await recalls.refused(target, f"The other instance refuses: {refusal[:200]}", receipt)
        return
    try:
        items, retained = _figures(document)
    except Malformed as error:
        await recalls.not_believed(target["id"], error.sentence)
        return
    if document.get("parvis:root") != target["root"]:
        await recalls.refused(target, "The receipt is for another list than the one that was sent.", receipt)
    elif items + sum(number for reason, number in retained if reason != "backup-until") < target["items"]:
        said = f"{items} of {target['items']}"
        await recalls.refused(target, f"The receipt counts less than was sent, with nothing retained: {said}.", receipt)
    else:
        kept = sum(number for reason, number in retained if reason != "backup-until")
        state = TargetState.PARTIAL if retained else TargetState.CONFIRMED
        await recalls.answered(target["id"], state, receipt=receipt, purged=items, retained=kept)


async def _target(call: Call, address: str) -> dict[str, Any]:
    """The recall towards this instance that an address names. Raises Refused."""
    if call.actor.kind != "application":
        raise Refused("Only an instance itself answers a recall.", call.said.actor)
    number = address.rpartition("/recalls/")[2]
    row = None
    if number.isascii() and number.isdecimal() and len(number) < 19:
        row = await db.fetch_one(
            f"SELECT x.*, a.uri AS space_uri FROM ({recalls.TARGET}) x JOIN space s ON s.id = x.space_id"
            " JOIN actor a ON a.id = s.actor_id WHERE x.recall_id = $1 AND x.peer_id = $2",
            int(number),
            call.peer_id,
        )
    if row is None or recall_uri(row["space_uri"], row["recall_id"]) != address:
        raise Refused("That answers no recall that this instance was sent.", call.said.id)
    return row


def _figures(document: dict[str, Any]) -> tuple[int, list[tuple[str, int]]]:
    """How many items are gone, and what is kept for which reason. Raises Malformed."""
    purged = document.get("parvis:purged")
    retained = many(document.get("parvis:retained"))
    if not isinstance(purged, dict) or len(retained) > MOST_RETAINED:
        raise Malformed("The receipt does not say what was purged.")
    kept = []
    for entry in retained:
        reason = entry.get("reason") if isinstance(entry, dict) else None
        if reason not in KNOWN_REASONS:
            raise Malformed("The receipt keeps something for a reason that is not known here.")
        kept.append((str(reason), _number(entry.get("items", 0))))
    return _number(purged.get("items")), kept


def _number(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= purges.MOST_ITEMS:
        raise Malformed("The receipt has a figure that is no whole number.")
    return value
