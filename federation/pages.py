"""A page of the stream between two linked instances: its form on the wire, read and written.

    {"type": "OrderedCollectionPage", "partOf": ADDRESS,
     "parvis:generation": NAME, "parvis:from": N, "parvis:settled": N,
     "parvis:heard": {"generation": NAME, "acked": N, "done": N, "errors": […]},
     "orderedItems": [{"type": "Add", "parvis:seq": N, "object": ACTIVITY, "target": [INBOXES]}
                      | {"type": "parvis:Skip", "parvis:seq": N}]}

An activity inside stays as the bytes that came: what is relayed later is relayed exactly so (FEP-1b12).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from federation.errors import Malformed
from federation.vocabulary import CONTEXT

EVENTS = 50
"""The most that a page holds."""
BYTES = 512 * 1024
"""The most that the items of a page weigh together."""
TARGETS = 200
"""The most recipients that an event names."""
ERRORS = 50
"""The most errors that are told at once; the next ones follow with the next answer."""
LONGEST_NAME = 32
NUMBERS = 1 << 53
"""Above every number: what JSON readers keep exactly (RFC 8259 §6)."""

ADD = "Add"
SKIP = "parvis:Skip"
PAGE = "OrderedCollectionPage"


class Failure(msgspec.Struct, omit_defaults=True):
    """An event that did not take effect there. `code` is one of `server.verdicts`; `final`: it never will."""

    seq: int
    code: str
    final: bool = True


class Heard(msgspec.Struct):
    """How far the other side's stream came: everything up to `acked` is kept, up to `done` it had its effect.

    `errors` are those events up to `done` that had none, and that the other side does not know of yet.
    """

    generation: str = ""
    acked: int = 0
    done: int = 0
    errors: list[Failure] = []


class Missing(msgspec.Struct):
    """The answer 409: the number that is wanted next, in the generation that is known; 0: no number of it fits."""

    want: int
    generation: str = ""


class _Item(msgspec.Struct):
    type: str
    seq: int = msgspec.field(name="parvis:seq")
    object: msgspec.Raw = msgspec.Raw(b"null")
    target: list[str] | str = ""


class _Page(msgspec.Struct):
    type: str
    part_of: str = msgspec.field(name="partOf")
    generation: str = msgspec.field(name="parvis:generation")
    start: int = msgspec.field(name="parvis:from")
    items: list[_Item] = msgspec.field(name="orderedItems")
    settled: int = msgspec.field(name="parvis:settled", default=0)
    heard: Heard | None = msgspec.field(name="parvis:heard", default=None)


@dataclass(frozen=True, slots=True)
class Item:
    """One number. `body` is the activity as it came, '' for a number that says nothing."""

    seq: int
    body: str
    targets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class IncomingPage:
    """A page that can be read in one way. `settled`: up to where the sender knows what became of its events."""

    generation: str
    start: int
    items: tuple[Item, ...]
    settled: int
    heard: Heard


_page = msgspec.json.Decoder(_Page)
_heard = msgspec.json.Decoder(Heard)
_missing = msgspec.json.Decoder(Missing)


def read_page(body: bytes) -> IncomingPage:
    """Raises Malformed (400), or with 413 when it holds more than a page may."""
    try:
        page = _page.decode(body)
        items = tuple(_item(item) for item in page.items)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed("That is not a page of a stream.", str(error)[:200]) from None
    if page.type != PAGE or not 1 <= page.start < NUMBERS:
        raise Malformed("That is not a page of a stream.")
    if not page.generation or len(page.generation) > LONGEST_NAME or not page.generation.isalnum():
        raise Malformed("A page names the generation of its numbers.")
    if len(items) > EVENTS:
        raise Malformed("A page holds fewer events.", str(len(items)), status=413)
    if [item.seq for item in items] != list(range(page.start, page.start + len(items))):
        raise Malformed("The numbers of a page follow each other.")
    heard = page.heard or Heard()
    if len(heard.errors) > ERRORS:
        raise Malformed("A page tells fewer errors.")
    return IncomingPage(page.generation, page.start, items, max(page.settled, 0), heard)


def _item(item: _Item) -> Item:
    if item.type == SKIP:
        return Item(item.seq, "", ())
    if item.type != ADD:
        raise Malformed("A page holds events and gaps, and nothing else.", item.type[:50])
    targets = [item.target] if isinstance(item.target, str) else item.target
    return Item(item.seq, bytes(item.object).decode(), tuple(targets[: TARGETS + 1]))


def read_heard(body: bytes) -> Heard | None:
    """The answer 202; None when it cannot be read."""
    try:
        return _heard.decode(body)
    except msgspec.MsgspecError:
        return None


def read_missing(body: bytes) -> Missing | None:
    """The answer 409; None when it cannot be read."""
    try:
        return _missing.decode(body)
    except msgspec.MsgspecError:
        return None


def add(seq: int, activity: bytes, targets: Sequence[str]) -> bytes:
    """An event as it stands in a page."""
    shown = msgspec.json.encode(list(targets))
    return b'{"type":"Add","parvis:seq":%d,"object":%b,"target":%b}' % (seq, activity, shown)


def skip(seq: int) -> bytes:
    """A number that says nothing."""
    return b'{"type":"parvis:Skip","parvis:seq":%d}' % seq


def write_page(part_of: str, generation: str, start: int, settled: int, heard: Heard, items: Sequence[bytes]) -> bytes:
    """The whole page."""
    head: dict[str, Any] = {
        "@context": CONTEXT,
        "type": PAGE,
        "partOf": part_of,
        "parvis:generation": generation,
        "parvis:from": start,
        "parvis:settled": settled,
        "parvis:heard": heard,
    }
    return msgspec.json.encode(head)[:-1] + b',"orderedItems":[' + b",".join(items) + b"]}"
