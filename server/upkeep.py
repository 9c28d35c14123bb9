"""What an instance does by itself, whether it speaks to others or not: dates that come, terms of keeping, leftovers."""

import asyncio
import logging
from collections.abc import Collection
from pathlib import Path

from server.actions.file_bytes import tidy
from server.actions.retention import run_retention
from server.actions.sweeping import sweep
from server.actions.timers import run_due
from server.rounds import Step, go_round

log = logging.getLogger("parvis.upkeep")

EVERY_S = 0.5


def steps(files: Path) -> list[tuple[Step, Collection[str]]]:
    """Each with the facts after which it is asked at once. `files`: where their bytes lie."""
    return [
        (run_due, ("access",)),
        (run_retention, ()),
        (sweep, ()),
        (lambda: tidy(files), ("post_withdrawn",)),
    ]


async def keep_up(files: Path) -> None:
    """Goes round until cancelled, in a process whose instance tells nobody anything; else the deliveries do."""
    await asyncio.gather(*(go_round(step, kinds, EVERY_S, log) for step, kinds in steps(files)))
