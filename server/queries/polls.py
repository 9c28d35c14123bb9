"""Polls as one viewer sees them: what can be chosen, how often each was, and what they chose themselves."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from server import database as db
from server.clock import now_ms
from server.queries import sides
from server.sql import Clause, one_of
from server.viewer import Employee, Guest, RemotePerson, Viewer


@dataclass(frozen=True, slots=True)
class OptionCount:
    """One answer; `mine`: the viewer chose it."""

    title: str
    votes: int
    mine: bool


@dataclass(frozen=True, slots=True)
class PollCard:
    """A poll, counted for one viewer. `voters`: people, who are fewer than votes where several may be chosen."""

    options: tuple[OptionCount, ...]
    multiple: bool
    ends_at: int | None
    ended: bool
    voters: int

    @property
    def votes(self) -> int:
        return sum(option.votes for option in self.options)

    @property
    def voted(self) -> bool:
        return any(option.mine for option in self.options)

    def percent(self, option: OptionCount) -> int:
        """How many of those who voted chose this, in whole percent."""
        return round(100 * option.votes / self.voters) if self.voters else 0


async def of_posts(viewer: Viewer, post_ids: Sequence[int]) -> dict[int, PollCard]:
    """The polls of posts that the viewer may read, by post: one question, and two more where there are any.

    Blind partners do not count one another's votes. What is counted elsewhere is at least what is known here.
    """
    if not post_ids:
        return {}
    query = Clause("SELECT * FROM poll WHERE").join(one_of("post_id", post_ids))
    polls = {row["post_id"]: row for row in await db.fetch(*query.statement())}
    if not polls:
        return {}
    mine = viewer.actor_id if isinstance(viewer, (Employee, Guest, RemotePerson)) else 0
    around = Clause("LEFT JOIN vote r ON r.post_id = p.id AND (").join(sides.gestures_counted(viewer)).then(")")
    counting = (
        Clause("SELECT o.post_id, o.position, o.title, o.told,", ())
        .then("COUNT(r.id) AS n, MAX(CASE WHEN r.actor_id = ? THEN 1 ELSE 0 END) AS mine", mine)
        .then("FROM poll_option o JOIN post p ON p.id = o.post_id LEFT JOIN space s ON s.id = p.space_id")
        .join(around)
        .then("AND r.position = o.position WHERE")
        .join(one_of("o.post_id", list(polls)))
        .then("GROUP BY o.post_id, o.position, o.title, o.told ORDER BY o.post_id, o.position")
    )
    options: dict[int, list[OptionCount]] = defaultdict(list)
    for row in await db.fetch(*counting.statement()):
        count = OptionCount(row["title"], max(row["told"], row["n"]), bool(row["mine"]))
        options[row["post_id"]].append(count)
    who = (
        Clause("SELECT p.id, COUNT(DISTINCT r.actor_id) AS n FROM post p LEFT JOIN space s ON s.id = p.space_id")
        .join(around)
        .then("WHERE")
        .join(one_of("p.id", list(polls)))
        .then("GROUP BY p.id")
    )
    voters = {row["id"]: row["n"] for row in await db.fetch(*who.statement())}
    now = now_ms()
    return {
        post_id: PollCard(
            tuple(options[post_id]),
            bool(poll["multiple"]),
            poll["ends_at"],
            is_over(poll["ends_at"], now),
            max(poll["voters_told"], voters.get(post_id, 0)),
        )
        for post_id, poll in polls.items()
    }


def is_over(ends_at: int | None, now: int) -> bool:
    return ends_at is not None and ends_at <= now


async def titles(post_ids: Sequence[int]) -> dict[int, list[str]]:
    """The answers of posts' polls in their order, whoever may read them: for search and for telling, not a door."""
    if not post_ids:
        return {}
    query = Clause("SELECT post_id, title FROM poll_option WHERE").join(one_of("post_id", post_ids))
    found: dict[int, list[str]] = defaultdict(list)
    for row in await db.fetch(*query.then("ORDER BY position").statement()):
        found[row["post_id"]].append(row["title"])
    return found
