"""Clocks of strangers: how far they may be off, and the dates of HTTP."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import formatdate
from functools import lru_cache

from federation.errors import Malformed, Untrusted

__all__ = ["ClockWindow", "http_date", "read_http_date"]

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_IMF_FIXDATE = re.compile(
    r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), (\d\d) ([A-Z][a-z]{2}) (\d{4}) (\d\d):(\d\d):(\d\d) GMT", re.ASCII
)


@dataclass(frozen=True, slots=True)
class ClockWindow:
    """How old a signature may be and how far ahead its clock, in milliseconds; Mastodon allows 12 h back."""

    past_ms: int = 3_600_000
    future_ms: int = 300_000

    def check(self, created: int, now: int) -> None:
        """Raises Untrusted when `created` is outside the window around `now`; both in ms since 1970."""
        if created < now - self.past_ms:
            raise Untrusted("The signature is too old.", f"{now - created} ms")
        if created > now + self.future_ms:
            raise Untrusted("The signature is from the future.", f"{created - now} ms")


def http_date(ms: int) -> str:
    """IMF-fixdate (RFC 9110 §5.6.7)."""
    return _date(ms // 1000)


@lru_cache(maxsize=8)
def _date(seconds: int) -> str:
    return formatdate(seconds, usegmt=True)


def read_http_date(text: str) -> int:
    """Milliseconds since 1970 of an IMF-fixdate. Raises Malformed."""
    match = _IMF_FIXDATE.fullmatch(text)
    if match is None or match[2] not in _MONTHS:
        raise Malformed("The Date header is not an HTTP date.")
    month = _MONTHS.index(match[2]) + 1
    day, year, hour, minute, second = map(int, match.group(1, 3, 4, 5, 6))
    try:
        moment = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError as error:
        raise Malformed("The Date header is not an HTTP date.", str(error)) from None
    return int(moment.timestamp()) * 1000
