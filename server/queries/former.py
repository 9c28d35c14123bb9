"""Addresses of instances that moved: what is named by an old one is found by the new one, and known as the same.

Ids are addresses, and a move changes their beginning and nothing else. Rows are written anew when somebody moves; what
was said before, and still comes or is kept as it came, is read as it would be said now. What is remembered for ever by
a hash of its id (an activity that came, a post taken back) is remembered under the first address it ever had.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from server import database as db
from server.ids import host_of

MOVING = 7077003
"""The lock between a move and what takes effect meanwhile, on PostgreSQL."""


@dataclass(frozen=True, slots=True)
class Moves:
    """Every move that is known: (old, new, first) for each address that somebody left, without a slash at the end."""

    made: tuple[tuple[str, str, str], ...] = ()

    def now(self, address: str) -> str:
        """What stands at this address today."""
        for old, new, _ in self.made:
            if address.startswith(old) and address[len(old) : len(old) + 1] in ("", "/"):
                return new + address[len(old) :]
        return address

    def first(self, address: str) -> str:
        """The name under which an id is remembered: the one it would have had before anybody moved."""
        for old, new, first in self.made:
            for base in (old, new):
                if address.startswith(f"{base}/"):
                    return first + address[len(base) :]
        return address

    def in_document(self, value: Any) -> Any:
        """The same JSON with every address as it is today; what is no address by itself stays, such as HTML."""
        if not self.made:
            return value
        if isinstance(value, str):
            return self.now(value) if value.startswith("http") and not any(map(str.isspace, value)) else value
        if isinstance(value, dict):
            return {name: self.in_document(inner) for name, inner in value.items()}
        if isinstance(value, list):
            return [self.in_document(inner) for inner in value]
        return value


NONE = Moves()


async def moves() -> Moves:
    """What is known now: nearly always nothing."""
    rows = await db.fetch("SELECT peer_id, base_url, now_url FROM former_origin ORDER BY id")
    if not rows:
        return NONE
    firsts: dict[int | None, str] = {}
    for row in rows:
        firsts.setdefault(row["peer_id"], row["base_url"])
    return Moves(tuple((row["base_url"], row["now_url"], firsts[row["peer_id"]]) for row in rows))


async def moves_until_the_end() -> Moves:
    """The same, in a transaction that nobody's move comes into before it has ended."""
    if db.engine_name() == "postgres":
        await db.fetch(f"SELECT pg_advisory_xact_lock_shared({MOVING})")
    return await moves()


async def new_host(host: str) -> str:
    """The host where whoever was at this one is now; the same when nobody moved."""
    row = await left_by(host)
    return host_of(row["now_url"]) if row else host


async def new_slug(slug: str) -> str:
    """`name@host` of a space elsewhere, by the host where it is now."""
    name, at, host = slug.partition("@")
    return f"{name}@{await new_host(host)}" if at else slug


async def our_former() -> list[str]:
    """The addresses that we left, the last one first."""
    rows = await db.fetch(
        "SELECT base_url FROM former_origin WHERE peer_id IS NULL AND base_url <> now_url"
        " ORDER BY moved_at DESC, id DESC"
    )
    return [row["base_url"] for row in rows]


async def formerly(addresses: Iterable[str]) -> dict[str, list[str]]:
    """Of other instances that these addresses are of, those that moved: where they are, and where they were."""
    rows = await db.fetch(
        "SELECT base_url, now_url FROM former_origin WHERE peer_id IS NOT NULL AND base_url <> now_url ORDER BY id"
    )
    found: dict[str, list[str]] = {}
    if rows:
        origins = {"/".join(address.split("/")[:3]) for address in addresses}
        for row in rows:
            if row["now_url"] in origins or row["base_url"] in origins:
                found.setdefault(row["now_url"], []).append(row["base_url"])
    return found


async def left_by(host: str) -> dict[str, Any] | None:
    """Who left this host, and for which address; None when nobody did or it is theirs again."""
    row = await db.fetch_one("SELECT peer_id, base_url, now_url, said_at FROM former_origin WHERE host = $1", host)
    return row if row is not None and row["base_url"] != row["now_url"] else None
