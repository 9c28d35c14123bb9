"""What a host takes back, its list page by page, and the receipt that answers it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from federation.documents.activities import Fact
from federation.vocabulary import CONTEXT, RECALL, RECEIPT, moment
from server.ids import Addresses

INLINE = 500
"""Items that are listed in the recall itself; more are fetched in pages."""


@dataclass(frozen=True, slots=True)
class Listed:
    """The list of one target, as it is told: `uris` when it is short."""

    recall_id: int
    space_uri: str
    scope: str
    items: int
    root: str
    up_to: int
    keep: str
    deadline_at: int
    uris: Sequence[str] | None


def recall_uri(space_uri: str, recall_id: int) -> str:
    return f"{space_uri}/recalls/{recall_id}"


def recall(fact: Fact, listed: Listed, to: str, here: Addresses) -> dict[str, Any]:
    """The host takes back; still without the proof of the key that the other side pinned."""
    address = recall_uri(listed.space_uri, listed.recall_id)
    collection: dict[str, Any] = {
        "id": f"{address}/items",
        "type": "OrderedCollection",
        "totalItems": listed.items,
        "parvis:scope": listed.scope,
        "parvis:upTo": moment(listed.up_to),
        "parvis:root": listed.root,
    }
    if listed.uris is not None:
        collection["orderedItems"] = list(listed.uris)
    else:
        collection["first"] = f"{address}/items?page=1"
    return {
        "@context": CONTEXT,
        "id": here.activity(fact.id),
        "type": ["Delete", RECALL],
        "actor": listed.space_uri,
        "to": [to],
        "published": moment(fact.created_at),
        "parvis:recall": address,
        "object": collection,
        "parvis:keep": listed.keep,
        "parvis:deadline": moment(listed.deadline_at),
    }


def page(address: str, number: int, uris: Sequence[str], *, more: bool) -> dict[str, Any]:
    """One page of a list."""
    document: dict[str, Any] = {
        "@context": CONTEXT,
        "id": f"{address}/items?page={number}",
        "type": "OrderedCollectionPage",
        "partOf": f"{address}/items",
        "orderedItems": list(uris),
    }
    if more:
        document["next"] = f"{address}/items?page={number + 1}"
    return document


def receipt(
    purge: Mapping[str, Any],
    counts: Mapping[str, int],
    retained: Sequence[Mapping[str, Any]],
    here: Addresses,
    now: int,
) -> dict[str, Any]:
    """What became of a recall here; still without its proof. Its id is of the purge, so it is the same for ever."""
    return {
        "@context": CONTEXT,
        "id": f"{here.base}/receipts/{purge['id']}",
        "type": RECEIPT,
        "actor": here.instance,
        "inReplyTo": purge["uri"],
        "parvis:root": purge["root"],
        "parvis:purged": {name: counts.get(name, 0) for name in COUNTED},
        "parvis:retained": list(retained),
        "endTime": moment(now),
    }


COUNTED = ("items", "media", "index", "notifications", "derived")
