"""How far the clocks of other instances are from ours, read from the Date of their answers, and followed a little.

What we sign is dated by the clock of whoever reads it (D9): a host that is ten minutes off hears us all the same. It is
safe to believe its Date for that, since a signature names the address that it is for: who lies about the time gets
signatures for themselves, which they need not forge.
"""

from datetime import UTC
from email.utils import parsedate_to_datetime

from server import database as db
from server.clock import APART_MS, NEAR_MS, now_ms

MOST_KEPT = 1000
_seen: dict[str, int] = {}
_followed: dict[str, int] = {}
_turned: set[str] = set()


def towards(host: str) -> int:
    """Milliseconds to add to our time in what a host is to read as fresh; 0 for nearly everybody."""
    return _followed.get(host, 0)


def moved(host: str, before: int) -> bool:
    """Whether a host's clock turned out to be elsewhere than what was signed for it was dated by (D9)."""
    return abs(towards(host) - before) >= NEAR_MS


def _follow(host: str, skew: int) -> None:
    if not NEAR_MS <= abs(skew) <= APART_MS:
        _followed.pop(host, None)
    elif host in _followed or len(_followed) < MOST_KEPT:
        _followed[host] = skew


async def recall() -> None:
    """Takes up what was known before this process began."""
    rows = await db.fetch(
        "SELECT host, skew_ms FROM peer WHERE ABS(skew_ms) BETWEEN $1 AND $2 LIMIT $3",
        NEAR_MS,
        APART_MS,
        MOST_KEPT,
    )
    for row in rows:
        if row["host"] not in _seen:
            _follow(row["host"], row["skew_ms"])


def noticed(host: str, date: str, age: str = "") -> None:
    """Notes the Date header (RFC 9110 §6.6.1, whole seconds) of an answer that just came; kept later, by `keep`.

    With an `age` (RFC 9111 §5.1) it came out of a cache, and its Date is when it was put there: that is no clock.
    """
    if age not in ("", "0"):
        return
    try:
        when = parsedate_to_datetime(date)
        at = int(when.replace(tzinfo=when.tzinfo or UTC).timestamp() * 1000) + 500
    except (TypeError, ValueError, OverflowError):
        return
    skew, before = at - now_ms(), towards(host)
    _follow(host, skew)
    if moved(host, before) and len(_turned) < MOST_KEPT:
        _turned.add(host)
    if host in _seen or len(_seen) < MOST_KEPT:
        _seen[host] = skew


def news() -> bool:
    """Whether a clock turned out to be elsewhere since the last `keep`: what is written here next is dated by it."""
    return bool(_turned)


def forget() -> None:
    """As a new process does, which knows what `recall` tells it."""
    _seen.clear()
    _followed.clear()
    _turned.clear()


async def keep() -> int:
    """Writes what was noticed since the last time, for instances that we know; never counts as work done."""
    _turned.clear()
    while _seen:
        host, skew = _seen.popitem()
        bounded = max(-(1 << 50), min(skew, 1 << 50))
        await db.execute(
            "UPDATE peer SET skew_ms = $1 WHERE host = $2 AND (skew_ms IS NULL OR ABS(skew_ms - $1) > 1000)",
            bounded,
            host,
        )
    return 0
