"""The only clock. Times are whole milliseconds since 1970-01-01 UTC; tests turn it by hand."""

import time
from collections.abc import Callable

_source: Callable[[], int] | None = None


def now_ms() -> int:
    """The present moment, in milliseconds since 1970-01-01 UTC."""
    return _source() if _source is not None else time.time_ns() // 1_000_000


def turn(source: Callable[[], int] | None) -> None:
    """Reads time from `source` from now on; None gives the machine's clock back."""
    global _source
    _source = source
