"""The rows of a poll: written with its post, asked anew by an edit, brought up to date. Who may was asked before."""

from collections.abc import Sequence
from dataclasses import dataclass

from server import database as db
from server.clock import now_ms
from server.ids import new_id
from server.queries.polls import titles

TABLES = ("poll", "poll_option", "vote")
"""What a poll is made of, each row of its post: gone when the post is. In this order: who votes now has the poll's row
alone, so that the votes are deleted when none can come any more.
"""
MOST_VOTES = (1 << 31) - 1
_JOINERS = "\u200c\u200d"
"""Not printable by themselves, but part of words and of emoji made of several."""


@dataclass(frozen=True, slots=True)
class NewPoll:
    """What is asked. `ends_at`: milliseconds since 1970, or None for a poll that does not end."""

    options: tuple[str, ...]
    multiple: bool = False
    ends_at: int | None = None


@dataclass(frozen=True, slots=True)
class Tally:
    """What whoever counts a poll says of it: votes by option, in their order, and how many people voted."""

    votes: tuple[int, ...]
    voters: int


def title_of(said: str) -> str:
    """A choice as it is offered and voted for: on one line, without what cannot be seen. A vote names it, so whoever
    asks and whoever counts must read it alike.
    """
    seen = "".join(c for c in " ".join(said.split()) if c.isprintable() or c in _JOINERS)
    return seen.strip(f" {_JOINERS}")


async def write_polls(polls: Sequence[tuple[int, NewPoll]]) -> None:
    """The polls of posts that were written now."""
    now = now_ms()
    rows = [
        {"post_id": post_id, "multiple": poll.multiple, "ends_at": poll.ends_at, "due_at": _due(poll, now)}
        for post_id, poll in polls
    ]
    options = [
        {"id": new_id(), "post_id": post_id, "position": position, "title": title}
        for post_id, poll in polls
        for position, title in enumerate(poll.options)
    ]
    await db.insert_many("poll", rows)
    await db.insert_many("poll_option", options)


def _due(poll: NewPoll, now: int) -> int | None:
    """What was over before it came is no news."""
    return poll.ends_at if poll.ends_at is not None and poll.ends_at > now else None


async def ask_anew(post_id: int, poll: NewPoll | None) -> None:
    """What an edit from elsewhere leaves of a poll: with the same answers its votes and a new end; else no vote."""
    before = await db.fetch_one("SELECT multiple FROM poll WHERE post_id = $1", post_id)
    if before is None and poll is None:
        return
    if before is not None and poll is not None:
        same = tuple((await titles([post_id])).get(post_id, ())) == poll.options
        if same and bool(before["multiple"]) == poll.multiple:
            await db.execute(
                "UPDATE poll SET ends_at = $1, due_at = $2 WHERE post_id = $3",
                poll.ends_at,
                _due(poll, now_ms()),
                post_id,
            )
            return
    await drop(post_id)
    if poll is not None:
        await write_polls([(post_id, poll)])


async def drop(post_id: int) -> None:
    """The poll and its votes, of a post that is taken back or asks something else."""
    for table in TABLES:
        await db.execute(f"DELETE FROM {table} WHERE post_id = $1", post_id)


async def counted(post_id: int, tally: Tally) -> bool:
    """Keeps what whoever counts a poll says; False when it says nothing new, or is about other answers."""
    known = await db.fetch("SELECT told FROM poll_option WHERE post_id = $1 ORDER BY position", post_id)
    poll = await db.fetch_one("SELECT voters_told FROM poll WHERE post_id = $1", post_id)
    if poll is None or len(known) != len(tally.votes):
        return False
    votes = tuple(min(count, MOST_VOTES) for count in tally.votes)
    voters = min(tally.voters, MOST_VOTES)
    if tuple(row["told"] for row in known) == votes and poll["voters_told"] == voters:
        return False
    for position, count in enumerate(votes):
        await db.execute(
            "UPDATE poll_option SET told = $1 WHERE post_id = $2 AND position = $3", count, post_id, position
        )
    await db.execute("UPDATE poll SET voters_told = $1 WHERE post_id = $2", voters, post_id)
    return True
