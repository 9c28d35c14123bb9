"""How far the clocks of other instances are from ours, read from the Date of their answers."""

from datetime import UTC
from email.utils import parsedate_to_datetime

from server import database as db
from server.clock import now_ms

MOST_KEPT = 1000
_seen: dict[str, int] = {}


def noticed(host: str, date: str) -> None:
    """Notes the Date header (RFC 9110 §6.6.1, whole seconds) of an answer that just came; kept later, by `keep`."""
    try:
        when = parsedate_to_datetime(date)
        at = int(when.replace(tzinfo=when.tzinfo or UTC).timestamp() * 1000) + 500
    except (TypeError, ValueError, OverflowError):
        return
    if host in _seen or len(_seen) < MOST_KEPT:
        _seen[host] = at - now_ms()


async def keep() -> int:
    """Writes what was noticed since the last time, for instances that we know; never counts as work done."""
    while _seen:
        host, skew = _seen.popitem()
        bounded = max(-(1 << 50), min(skew, 1 << 50))
        await db.execute(
            "UPDATE peer SET skew_ms = $1 WHERE host = $2 AND (skew_ms IS NULL OR ABS(skew_ms - $1) > 1000)",
            bounded,
            host,
        )
    return 0
