"""What waits for one of our people: written once for each fact, told after the commit, and later by mail if it was not
read.
"""

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from server import database as db
from server import live
from server.actions import mails
from server.clock import now_ms
from server.ids import new_id


async def notify(
    recipients: Iterable[int],
    kind: str,
    *,
    key: str,
    by: int | None = None,
    post_id: int | None = None,
    space_id: int | None = None,
    words: str = "",
) -> None:
    """Leaves a notice for each of these actors of ours, once for each `key`, never to whoever did it.

    The caller has asked the policy that each may know of it; the page asks again when it shows it. `words`: what is
    told with it, and is theirs to know whatever becomes of the space.
    """
    about = {"kind": kind, "by_id": by, "post_id": post_id, "space_id": space_id, "key": key}
    await _leave(dict.fromkeys(recipients, words), about)


async def notify_each(words: Mapping[int, str], kind: str, *, key: str, by: int | None, space_id: int) -> None:
    """The same about a space, with something else said to each."""
    await _leave(words, {"kind": kind, "by_id": by, "post_id": None, "space_id": space_id, "key": key})


async def _leave(words: Mapping[int, str], about: Mapping[str, Any]) -> None:
    whom = [actor_id for actor_id in words if actor_id != about["by_id"]]
    due = await mails.due_for(whom, about["kind"])
    rows = [
        {
            "id": new_id(),
            "actor_id": actor_id,
            **about,
            "words": words[actor_id],
            "created_at": now_ms(),
            "mail_due_at": due.get(actor_id),
        }
        for actor_id in whom
    ]
    await db.insert_many("notice", rows, ignore=True)
    for actor_id in whom:
        db.after_commit(partial(live.publish, live.Fact("notice", actor_id=actor_id)))


async def forget(actor_id: int, key: str) -> None:
    """Takes a notice back, when what it told is undone."""
    await db.execute("DELETE FROM notice WHERE actor_id = $1 AND key = $2", actor_id, key)


async def read_all(actor_id: int) -> None:
    """Everything that waits for this actor has been seen."""
    await db.execute(
        "UPDATE notice SET read_at = $1, mail_due_at = NULL WHERE actor_id = $2 AND read_at IS NULL", now_ms(), actor_id
    )
    live.publish(live.Fact("notice", actor_id=actor_id))


async def administrators() -> list[int]:
    """The actors of those who administer this instance now."""
    rows = await db.fetch(
        "SELECT actor_id FROM account WHERE office = 'admin' AND suspended_at IS NULL ORDER BY actor_id"
    )
    return [row["actor_id"] for row in rows]
