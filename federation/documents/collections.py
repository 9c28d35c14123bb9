"""OrderedCollection and its pages (ActivityStreams §2.1.2, ActivityPub §5), and what stands in them.

Posts stand in a collection by their address, alone or in the activity that published them: whoever wants one asks
for it, and is asked who they are again.
"""

from collections.abc import Iterable
from typing import Any
from urllib.parse import urlencode

from federation.vocabulary import CONTEXT, moment
from server.ids import Addresses
from server.queries.collected import Entries, Entry


def collection(uri: str, *, paged: bool = True, total: int | None = None, owner: str = "") -> dict[str, Any]:
    """The collection itself. `total` None: the asker may not count; `paged` False: nor see any of it.

    `owner`: whose collection it is, said where the address does not (FEP-f228: who decides what is in a thread).
    """
    document: dict[str, Any] = {"@context": CONTEXT, "id": uri, "type": "OrderedCollection"}
    if owner:
        document["attributedTo"] = owner
    if total is not None:
        document["totalItems"] = total
    if paged:
        document["first"] = _address(uri, page="true")
    return document


def page(uri: str, after: int | None, found: Entries, items: Iterable[Any]) -> dict[str, Any]:
    """One page of a collection; `next` goes on from its last entry."""
    here = _address(uri, page="true", **({} if after is None else {"after": str(after)}))
    document: dict[str, Any] = {
        "@context": CONTEXT,
        "id": here,
        "type": "OrderedCollectionPage",
        "partOf": uri,
        "orderedItems": list(items),
    }
    if found.more:
        document["next"] = _address(uri, page="true", after=str(found.entries[-1].id))
    return document


def addresses(found: Entries) -> list[str]:
    """The entries themselves."""
    return [entry.uri for entry in found.entries]


def created(found: Entries, author_uri: str, here: Addresses) -> list[dict[str, Any]]:
    """The entries as a person published them."""
    return [_activity("Create", entry, author_uri, here, "") for entry in found.entries]


def announced(found: Entries, space_uri: str, here: Addresses) -> list[dict[str, Any]]:
    """The entries as a space passed them on (FEP-1b12)."""
    return [_activity("Announce", entry, space_uri, here, "/announce") for entry in found.entries]


def _activity(kind: str, entry: Entry, actor: str, here: Addresses, suffix: str) -> dict[str, Any]:
    document = {"type": kind, "actor": actor, "published": moment(entry.at), "object": entry.uri}
    if entry.event_id is not None:
        document = {"id": here.activity(entry.event_id) + suffix, **document}
    return document


def _address(uri: str, **query: str) -> str:
    return f"{uri}{'&' if '?' in uri else '?'}{urlencode(query)}"
