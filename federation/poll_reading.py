"""Polls in untrusted JSON (`Question`, as Mastodon and FEP-9967 write it) to values; bounded (R3, R5)."""

from dataclasses import dataclass
from typing import Any

from federation.errors import Malformed
from federation.reading import IncomingNote, first, many, moment, text, type_of
from server.actions.poll_rows import MOST_VOTES, NewPoll, Tally, title_of
from server.clock import now_ms
from server.limits import NAME_BYTES, POLL_OPTION_CHARACTERS_ELSEWHERE, POLL_OPTIONS_ELSEWHERE

QUESTION = "Question"


@dataclass(frozen=True, slots=True)
class IncomingPoll:
    """What is asked, and how it stands as its document says."""

    asked: NewPoll
    tally: Tally


def poll_in(document: dict[str, Any]) -> IncomingPoll | None:
    """The poll of a `Question`; None when it is none, or offers nothing to choose. Raises Malformed."""
    if type_of(document) != QUESTION:
        return None
    multiple = "anyOf" in document
    items = many(document.get("anyOf" if multiple else "oneOf"))
    if not items:
        return None
    name = "anyOf" if multiple else "oneOf"
    if len(items) > POLL_OPTIONS_ELSEWHERE:
        raise Malformed(f"“{name}” has more than {POLL_OPTIONS_ELSEWHERE} answers.")
    titles = tuple(_title(item, name) for item in items)
    if len(set(titles)) < len(titles):
        raise Malformed(f"“{name}” has the same answer twice.")
    votes = tuple(_votes(item) for item in items)
    told = _count(document.get("votersCount"))
    voters = told if told is not None else max(votes) if multiple else sum(votes)
    return IncomingPoll(NewPoll(titles, multiple, _end(document)), Tally(votes, voters))


def ballot_in(incoming: IncomingNote) -> str:
    """The answer that a Note chooses, which has a name and says nothing; '' when it is no vote. Raises Malformed."""
    document = incoming.document
    if type_of(document) != "Note" or not incoming.in_reply_to or incoming.content or incoming.files:
        return ""
    return title_of(text(document.get("name"), "name", NAME_BYTES))


def _title(item: Any, name: str) -> str:
    title = title_of(text(item.get("name"), "name", NAME_BYTES)) if isinstance(item, dict) else ""
    if not title or len(title) > POLL_OPTION_CHARACTERS_ELSEWHERE:
        raise Malformed(f"An answer of “{name}” has no name, or one that is too long.")
    return title


def _votes(item: dict[str, Any]) -> int:
    replies = first(item.get("replies"))
    return (_count(replies.get("totalItems")) if isinstance(replies, dict) else None) or 0


def _count(value: Any) -> int | None:
    return min(value, MOST_VOTES) if type(value) is int and value >= 0 else None


def _end(document: dict[str, Any]) -> int | None:
    """When it is over: when it was closed, else when it will end."""
    closed = document.get("closed")
    if closed is True:
        return now_ms()
    ends = [at for at in (moment(closed), moment(document.get("endTime"))) if at is not None]
    return max(0, min(ends)) if ends else None
