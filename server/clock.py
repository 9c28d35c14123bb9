"""The only clock. Times are whole milliseconds since 1970-01-01 UTC; tests turn it by hand."""

import time
from collections.abc import Callable

APART_MS = 15 * 60 * 1000
"""How far the clock of another instance may be from ours and be followed: one further off has to be set by its
administrator.
"""
NEAR_MS = 30_000
"""Nearer than that every window of a signature holds, and nothing is moved."""

_source: Callable[[], int] | None = None


def now_ms() -> int:
    """The present moment, in milliseconds since 1970-01-01 UTC."""
    return _source() if _source is not None else time.time_ns() // 1_000_000


def turn(source: Callable[[], int] | None) -> None:
    """Reads time from `source` from now on; None gives the machine's clock back."""
    global _source
    _source = source
