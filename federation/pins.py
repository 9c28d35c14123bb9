"""The keys that stand for a partner's instance whatever its documents say, and whatever became of the link."""

from typing import Any

from federation.proving import holds
from server import database as db
from server.clock import now_ms

Key = tuple[str, str, str, str]


async def pinned_keys(peer_id: int) -> list[Key]:
    """(id, owner, kind, value) of the keys that people here compared; none when there never was a link with it.

    While an agreement begins anew, or the words are compared anew, it is the one of before: what was only shown since
    may be of anybody who holds the domain.
    """
    row = await db.fetch_one(
        "SELECT their_key_uri, their_key, their_old_key_uri, their_old_key, their_old_until_at, confirmed_here_at"
        " FROM link WHERE peer_id = $1",
        peer_id,
    )
    if row is None or not row["their_key"]:
        return []
    compared, old = row["confirmed_here_at"] is not None, row["their_old_key"]
    keys = [_key(row["their_key_uri"], row["their_key"])] if compared else []
    if old and ((row["their_old_until_at"] or 0) > now_ms() if compared else row["their_old_until_at"] is None):
        keys.append(_key(row["their_old_key_uri"], old))
    return keys


def _key(uri: str, value: str) -> Key:
    return uri, uri.partition("#")[0], "multikey", value


async def proved_by_pin(peer_id: int, document: dict[str, Any], as_came: dict[str, Any] | None = None) -> bool:
    """Whether a document carries a proof made with a key that is pinned for this instance; `as_came`: see `holds`."""
    keys = await pinned_keys(peer_id)
    return any(holds(document, key[1], [key], as_came) for key in keys)
