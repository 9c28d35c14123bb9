"""What a host takes back, its list page by page, and the receipt that answers it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from federation.documents.activities import Fact, Message
from federation.vocabulary import CONTEXT, PUBLIC, RECALL, RECEIPT, moment
from server.ids import Addresses
from server.openness import Variant

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
    formerly: Mapping[str, Sequence[str]] = field(default_factory=dict)  # origins of third instances that moved


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
        **({"parvis:formerly": dict(listed.formerly)} if listed.formerly else {}),
    }


def taken_back(fact: Fact, post: Mapping[str, Any], here: Addresses) -> Message:
    """One post of a space as a server without a link was told it: announced, or in a Note of the space itself.

    What our own people wrote for everybody is deleted; what others wrote, and was announced, is announced no more.
    """
    public = post["stamp"] == Variant.PUBLIC
    head = {"@context": CONTEXT, "id": here.activity(fact.id), "published": moment(fact.created_at)}
    if public and post["peer_id"] is None:
        gone = {"id": post["uri"], "type": "Tombstone"}
        return Message(
            {**head, "type": "Delete", "actor": post["author_uri"], "to": [PUBLIC], "object": gone}, post["author_uri"]
        )
    space = post["space_uri"]
    if public:
        undone = {
            "id": f"{here.activity(post['told'])}/announce",
            "type": "Announce",
            "actor": space,
            "object": post["uri"],
        }
        return Message({**head, "type": "Undo", "actor": space, "to": [PUBLIC], "object": undone}, space)
    gone = {"id": f"{here.post(post['id'])}/mirror", "type": "Tombstone"}
    return Message({**head, "type": "Delete", "actor": space, "to": [post["followers_uri"]], "object": gone}, space)


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
    """What became of a recall here; still without its proof. Its id is of the purge; each telling adds its own."""
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
