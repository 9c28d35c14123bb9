"""Notices to authors of ours: what they wrote in a space can be read by more people than when they wrote it."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from server import database as db
from server.actions.notices import notify_each
from server.openness import Level

WORDS_CHARACTERS = 500
KIND = "openness"


@dataclass(frozen=True, slots=True)
class Opened:
    """An opening of what was written in a space until then (ms), and to people of which partners: whoever shows them
    asks whether they may be known.

    `epoch`: the version of the space's policy that did it, by which each author is told once. `by`: one of ours.
    """

    epoch: int
    at: int
    level: Level
    hosts: Sequence[str] = ()
    by: int | None = None


async def tell_authors(space_id: int, opened: Opened) -> None:
    """A notice to each author of ours whose words in this space, ours or elsewhere, are among what was opened. The page
    shows it to those who may know of the space still.
    """
    rows = await db.fetch(
        "SELECT p.author_id, MIN(p.published_at) AS since"
        " FROM post p JOIN account c ON c.actor_id = p.author_id AND c.suspended_at IS NULL"
        " WHERE p.space_id = $1 AND p.peer_id IS NULL AND p.deleted_at IS NULL AND p.held_at IS NULL"
        " AND p.published_at < $2 GROUP BY p.author_id ORDER BY p.author_id",
        space_id,
        opened.at,
    )
    words = {row["author_id"]: _words(row["since"], opened.level, opened.hosts) for row in rows}
    await notify_each(words, KIND, key=f"past:{space_id}:{opened.epoch}", by=opened.by, space_id=space_id)


def _words(since: int, level: Level, hosts: Sequence[str]) -> str:
    """As the notice keeps it: since when this author wrote there, and who reads it now; as many hosts as have room."""
    for count in range(len(hosts), -1, -1):
        kept = {"since": since, "level": level.value, "hosts": list(hosts[:count])}
        said = msgspec.json.encode(kept | ({"more": True} if count < len(hosts) else {})).decode()
        if len(said) <= WORDS_CHARACTERS:
            return said
    raise AssertionError("an opening without hosts has room")
