"""Whose clock is followed: that of a host which answers, not that of a cache in between."""

from collections.abc import Iterator
from email.utils import formatdate

import pytest

from federation import skew
from server.clock import now_ms


@pytest.fixture(autouse=True)
def nothing_known() -> Iterator[None]:
    skew.forget()
    yield
    skew.forget()


def ago(seconds: int) -> str:
    return formatdate(now_ms() / 1000 - seconds, usegmt=True)


def test_an_answer_that_was_kept_by_a_cache_tells_no_time() -> None:
    skew.noticed("cdn.example", ago(600), "600")
    assert skew.towards("cdn.example") == 0
    skew.noticed("late.example", ago(600))
    skew.noticed("late.example", ago(60), "60")
    assert abs(skew.towards("late.example") + 600_000) < 5_000
