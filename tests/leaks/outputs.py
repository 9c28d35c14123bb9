"""Every address that can answer with words, read off the application's own routes: a new one is here by itself.

An address with a place that nobody has named fails the suite (`unknown`), so that whoever adds one says what stands
in it.
"""

import itertools
import re
from collections.abc import Iterator

from starlette.applications import Starlette

from tests.cast import HERE, KESTREL
from tests.leaks.scene import HOOK, Space
from tests.policy.test_doors import every_route

STREAMS = ("GET /live",)
"""Do not end: tests/leaks/test_streams.py listens to them."""

KINDS = {
    "accounts": "account",
    "statuses": "post",
    "polls": "post",
    "list": "space",
    "lists": "space",
    "notifications": "notice",
    "media": "file",
    "small": "file",
    "posts": "post",
    "activities": "event",
    "members": "account",
    "recalls": "recall",
    "changes": "change",
    "queue": "held",
    "glass": "reading",
}
"""What {id} is the id of, by the word before it."""

FIXED = {"token": "x", "host": KESTREL, "name": "alice", "who": "alice", "step": "grant"}
"""Places that name nothing of a space."""

OF_NOTHING = ("sessions", "tokens")
"""Collections of what no space has: any number does."""


def doors(app: Starlette) -> dict[str, list[str]]:
    """The addresses that are read, by door: pages, tokens (the client API), documents."""
    found: dict[str, list[str]] = {"pages": [], "tokens": [], "documents": []}
    for key in sorted(set(every_route(list(app.routes)))):
        if not key.startswith("GET ") or key in STREAMS:
            continue
        path = key.removeprefix("GET ")
        if path.endswith(" as a document"):
            found["documents"].append(path.removesuffix(" as a document"))
        elif path.startswith(("/.well-known", "/nodeinfo", "/actor", "/robots", "/peering")):
            found["documents"].append(path)
        elif path.startswith(("/api/", "/oauth/", "/healthz", "/readyz", "/metrics")):
            found["tokens"].append(path)
        else:
            found["pages"].append(path)
    for door in ("tokens", "documents"):
        found[door] += ["/media/{id}/{name:path}", "/small/{id}"]
    return found


PLACE = re.compile(r"{(\w+)(?::\w+)?}")


def kind_of(path: str, place: str) -> str | None:
    """What stands in a place; None: nobody said."""
    if place == "slug":
        return "slug"
    if place == "name" and path.startswith("/media/"):
        return "file name"
    if place in FIXED:
        return place
    before = path.partition(f"{{{place}")[0].rstrip("/").rpartition("/")[2]
    if before in OF_NOTHING:
        return "nothing"
    return KINDS.get(before) if place == "id" else None


def unknown(app: Starlette) -> list[str]:
    """Addresses with places that nobody has named."""
    return [
        path
        for paths in doors(app).values()
        for path in paths
        for place in PLACE.findall(path)
        if kind_of(path, place) is None
    ]


def addresses(path: str, space: Space | None) -> Iterator[str]:
    """A route's addresses: with a space, those of its things; without, the one address that names none of them."""
    places = PLACE.findall(path)
    kinds = {place: str(kind_of(path, place)) for place in places}
    own = any(kind not in FIXED and kind != "nothing" for kind in kinds.values())
    if own != (space is not None):
        return
    choices = [
        space.ids[kind] if space is not None and kind in space.ids else [FIXED.get(kind, "7")]
        for kind in kinds.values()
    ]
    for values in itertools.product(*choices):
        address = path
        for place, value in zip(places, values, strict=True):
            address = re.sub(rf"{{{place}(:\w+)?}}", value, address)
        yield address


QUERIES = {
    "/api/v1/accounts/lookup": "?acct={slug}",
    "/api/v1/accounts/relationships": "?id[]={account}",
    "/.well-known/webfinger": f"?resource=acct:{{slug}}@{HERE.host}",
    "/peering/state": "?space={uri}",
}
SEARCHED = re.compile(r"search|^/spaces$|^/people$|^/$|/api/parvis/v1/spaces$|/admin/\w+$")
PAGED = re.compile(r"/(outbox|members|followers|following|replies|context)$")


def asked(path: str, spaces: list[Space]) -> Iterator[tuple[str, Space | None]]:
    """Every address of a route in this scene, with its queries, and the space that it names."""
    for space in (None, *spaces):
        for address in addresses(path, space):
            yield address, space
            if SEARCHED.search(path):
                yield f"{address}?q={HOOK}", space
            if PAGED.search(path):
                yield f"{address}?page=true", space
    for space in spaces:
        if path in QUERIES:
            values = {kind: ids[0] for kind, ids in space.ids.items()} | {"uri": f"{HERE.base}/spaces/{space.slug}"}
            yield path + QUERIES[path].format(**values), space
