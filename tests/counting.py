"""What something costs, counted and not timed: the same on an idle machine and on a busy one.

Python's own work is counted by its instructions. What C does in one of them (a regular expression, a copy) cannot be
counted: `ends` puts it before sizes at which whatever grows by the square would go on for an hour.
"""

import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

import pytest

from server import database as db
from server.transactions import Row

HANGS_S = 60
"""Seconds of CPU: a hundred times what is done within takes, a hundredth of what it would take by the square."""


class Instructions:
    """Counts the instructions of Python that this thread takes within, in whatever is called or awaited there."""

    def __init__(self) -> None:
        self.counted = 0

    def __enter__(self) -> "Instructions":
        self._before = sys.gettrace()
        sys.settrace(self._trace)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(self._before)

    def _trace(self, frame: FrameType, event: str, arg: object) -> Any:
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        self.counted += event == "opcode"
        return self._trace


def instructions(work: Callable[[], object]) -> int:
    """How many instructions of Python a piece of work takes."""
    with Instructions() as counting:
        work()
    return counting.counted


def grows_with_length_alone(work: Callable[[int], object], length: int) -> None:
    """From n to 4n the work grows fourfold; by the square it would grow sixteenfold, and a small part of it shows.

    It is done once before: what is made once and kept is not counted.
    """
    work(length)
    once, four_times = (instructions(lambda times=times: work(length * times)) for times in (1, 4))  # type: ignore[misc]
    assert four_times <= 5 * once + 2_000, (once, four_times)


class Hangs(BaseException):
    """No Exception: what is tested may catch those."""


@contextmanager
def ends() -> Iterator[None]:
    """Whatever is done within ends by itself. Raises Hangs after `HANGS_S` seconds of CPU."""

    def over(number: int, frame: FrameType | None) -> None:
        raise Hangs(f"still going after {HANGS_S} s of CPU")

    before = signal.signal(signal.SIGVTALRM, over)
    signal.setitimer(signal.ITIMER_VIRTUAL, HANGS_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


class Statements:
    """The open database, noting what it is asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[str] = []
        statements = db._statements

        class Tapped:
            async def rows(_, sql: str, args: Sequence[Any]) -> list[Row]:
                self.asked.append(sql)
                return await statements().rows(sql, args)

            async def change(_, sql: str, args: Sequence[Any]) -> int:
                self.asked.append(sql)
                return await statements().change(sql, args)

            async def change_many(_, sql: str, rows: Sequence[Sequence[Any]]) -> None:
                self.asked.append(sql)
                await statements().change_many(sql, rows)

        monkeypatch.setattr(db, "_statements", Tapped)
