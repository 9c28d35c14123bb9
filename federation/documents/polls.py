"""A poll as JSON: what it asks, how it stands for one receiver, and one vote (FEP-9967, as Mastodon does it)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from federation.vocabulary import moment
from server import database as db
from server.clock import now_ms
from server.queries.polls import is_over
from server.sql import Clause, one_of


@dataclass(frozen=True, slots=True)
class ToldPoll:
    """A poll as it is told, read once, whoever it is for. `votes`: (place of the answer, side, how many); `voters`:
    (side, how many people). Blind partners are told their own and ours.
    """

    options: tuple[str, ...]
    multiple: bool
    ends_at: int | None
    blind: bool
    votes: tuple[tuple[int, str, int], ...]
    voters: tuple[tuple[str, int], ...]

    def count(self, position: int, side: str) -> int:
        return sum(n for place, of, n in self.votes if place == position and self._tells(of, side))

    def people(self, side: str) -> int:
        return sum(n for of, n in self.voters if self._tells(of, side))

    def _tells(self, of: str, side: str) -> bool:
        return not self.blind or of in ("", side)


async def read_polls(blind: dict[int, bool]) -> dict[int, ToldPoll]:
    """The polls of posts, by post: one question, and two more where there are any. `blind`: of each post, whether
    partners do not see one another there.
    """
    rows = await _of(
        "SELECT o.post_id, o.title, c.multiple, c.ends_at FROM poll c JOIN poll_option o ON o.post_id = c.post_id"
        " WHERE",
        "c.post_id",
        list(blind),
        "ORDER BY o.post_id, o.position",
    )
    if not rows:
        return {}
    asked = {row["post_id"]: row for row in rows}
    by_answer = await _of(
        "SELECT post_id, position, side, COUNT(*) AS n FROM vote WHERE",
        "post_id",
        list(asked),
        "GROUP BY post_id, position, side ORDER BY position, side",
    )
    by_side = await _of(
        "SELECT post_id, side, COUNT(DISTINCT actor_id) AS n FROM vote WHERE",
        "post_id",
        list(asked),
        "GROUP BY post_id, side ORDER BY side",
    )
    return {
        post_id: ToldPoll(
            options=tuple(one["title"] for one in rows if one["post_id"] == post_id),
            multiple=bool(row["multiple"]),
            ends_at=row["ends_at"],
            blind=blind[post_id],
            votes=tuple((v["position"], v["side"], v["n"]) for v in by_answer if v["post_id"] == post_id),
            voters=tuple((v["side"], v["n"]) for v in by_side if v["post_id"] == post_id),
        )
        for post_id, row in asked.items()
    }


async def _of(select: str, column: str, post_ids: Sequence[int], rest: str) -> list[dict[str, Any]]:
    if not post_ids:
        return []
    return await db.fetch(*Clause(select).join(one_of(column, post_ids)).then(rest).statement())


def asked(poll: ToldPoll, side: str | None) -> dict[str, Any]:
    """The properties of a `Question`. `side`: the outside organisation that is told how it stands, '' for everybody;
    None where only what is asked is told.
    """
    document: dict[str, Any] = {
        "anyOf" if poll.multiple else "oneOf": [
            {
                "type": "Note",
                "name": title,
                "replies": {"type": "Collection", "totalItems": 0 if side is None else poll.count(position, side)},
            }
            for position, title in enumerate(poll.options)
        ],
        "votersCount": 0 if side is None else poll.people(side),
    }
    if poll.ends_at is not None:
        document["endTime"] = moment(poll.ends_at)
        if is_over(poll.ends_at, now_ms()):
            document["closed"] = moment(poll.ends_at)
    return document


def ballot(uri: str, actor_uri: str, title: str, question_uri: str, to: list[str]) -> dict[str, Any]:
    """One vote: a Note with a name and without words, for whoever counts and for nobody else."""
    return {
        "id": uri,
        "type": "Note",
        "attributedTo": actor_uri,
        "to": to,
        "name": title,
        "inReplyTo": question_uri,
    }
