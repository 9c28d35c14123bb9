"""The keys of a link over time: a new one in place of the old, and what happens when a key is not the pinned one.

A key changes in one way only: the partner says so, signed with the key that we pinned and proved with the new
one; then both count for a week. Whatever else shows another key stops the link at once. It goes on when people have
compared the words again, two of them where there are two administrators.
"""

from typing import Any

from server import database as db
from server.actions.audit import note
from server.actions.incidents import noticed
from server.actions.link_rows import TheirSide, change, demand_admin, demand_step, found, row_of
from server.actions.notices import administrators, notify
from server.clock import now_ms
from server.errors import Conflict
from server.events import Kind, record
from server.ids import new_id
from server.openness import LinkState
from server.refusals import N_
from server.viewer import Employee, Operator, PeerServer

OVERLAP_MS = 7 * 24 * 3_600_000
"""How long the old key counts beside the new one, in milliseconds."""
KEY = "key"
"""Why a link stopped by itself: another key than the pinned one."""
PINNED = frozenset({LinkState.CONFIRMED, LinkState.ACTIVE, LinkState.SUSPENDED})
SHOWN = PINNED | {LinkState.OFFERED, LinkState.RECEIVED}
"""States in which a key of the other side is kept, be it one that it has only shown."""
COMPARE_FIRST = N_(
    "La clé de « %(host)s » n’est pas celle qui avait été comparée : reprenez la liaison, puis comparez les six mots."
)
SECOND_PERSON = N_(
    "Vous avez repris cette liaison vous-même : un·e autre administrateur·rice doit comparer les six mots et confirmer."
)


async def pinned(peer_id: int, *, alone: bool = False) -> dict[str, Any] | None:
    """The link whose key is pinned, if this instance has one; `alone` as in `row_of`."""
    row = await row_of(peer_id, alone=alone)
    return row if row is not None and row["state"] in PINNED and row["their_key"] else None


async def shown(peer_id: int, *, alone: bool = False) -> dict[str, Any] | None:
    """The same, or the proposal of a link, with the key that was shown when it was made; `alone` as in `row_of`."""
    row = await row_of(peer_id, alone=alone)
    return row if row is not None and row["state"] in SHOWN and row["their_key"] else None


def counts(row: dict[str, Any], key_uri: str, now: int) -> bool:
    """Whether a key id is that of a pinned key of this link: the present one, or the one before in its last week."""
    return key_uri == row["their_key_uri"] or (
        key_uri == row["their_old_key_uri"] and bool(key_uri) and now < (row["their_old_until_at"] or 0)
    )


async def rekeyed(peer_id: int, key_uri: str, key: str) -> None:
    """The partner has a new key, said with the one that is kept and proved with the new: both count for a week.

    Also while a link is proposed: it would be agreed upon with a key that is not used any more.
    """
    async with db.transaction():
        row = await shown(peer_id, alone=True)
        if row is None or row["their_key"] == key:
            return
        before = {}
        # what was compared before it stays known; the one that was only shown is still published
        if row["state"] in PINNED and (row["confirmed_here_at"] or not last_compared(row)["their_old_key"]):
            before = {
                "their_old_key": row["their_key"],
                "their_old_key_uri": row["their_key_uri"],
                "their_old_until_at": now_ms() + OVERLAP_MS,
            }
        await change(row, LinkState(row["state"]), their_key=key, their_key_uri=key_uri, **before)
        await note(PeerServer(peer_id, linked=True), "link_rekeyed", subject=row["host"])


async def disagreed(peer_id: int, reason: str, example: str = "") -> bool:
    """Another key than the pinned one was shown: nothing flows from now on, and administrators are told.

    Says whether there was a link to stop. A link that is stopped already for that stays so.
    """
    async with db.together():
        row = await pinned(peer_id, alone=True)
        if row is None:
            return False
        await noticed(peer_id, KEY, reason, example)
        if row["state"] == LinkState.CONFIRMED and not row["confirmed_here_at"] and not row["cause"]:
            await record(Kind.LINK_ENDED, data={"peer": peer_id, "offer": row["offer_uri"]})
            await change(row, LinkState.ENDED, cause=KEY, reason="another key than the one that was shown")
            return True
        if row["state"] == LinkState.SUSPENDED and row["cause"] == KEY:
            return True
        await change(row, LinkState.SUSPENDED, cause=KEY, reason="")
        await note(PeerServer(peer_id), "link_key_disagrees", subject=row["host"])
        await tell_administrators(peer_id, KEY)
        return True


async def compare_again(viewer: Employee | Operator, theirs: TheirSide) -> None:
    """Takes the key that the partner shows now as the one to compare; nothing flows before it is confirmed.

    For a link that stopped because of its key. Raises Conflict for any other.
    """
    demand_admin(viewer)
    async with db.transaction():
        row = await found(theirs.host, alone=True)
        await demand_step(row, "resume", theirs.host)
        if row["cause"] != KEY:
            raise Conflict(detail="that link did not stop because of its key")
        before = last_compared(row)
        await db.execute(
            "UPDATE link SET confirmed_here_at = NULL, their_old_key = $1, their_old_key_uri = $2,"
            " their_old_until_at = NULL WHERE id = $3",
            before["their_old_key"],
            before["their_old_key_uri"],
            row["id"],
        )
        await change(row, LinkState.CONFIRMED, their_key=theirs.key, their_key_uri=theirs.key_uri)
        await note(viewer, "link_resume", subject=row["host"], compare=True)


def last_compared(row: dict[str, Any]) -> dict[str, str]:
    """The key that people here compared last, as columns of the link while another one is shown and not compared.

    It opens nothing any more. But what was told under it is taken back, and answered, by it and by no key that anybody
    with their domain may show.
    """
    which = "their" if row["confirmed_here_at"] else "their_old"
    if which == "their_old" and row["their_old_until_at"] is not None:  # replaced by one that was not compared either
        return {"their_old_key": "", "their_old_key_uri": ""}
    return {"their_old_key": row[f"{which}_key"], "their_old_key_uri": row[f"{which}_key_uri"]}


async def demand_second(viewer: Employee | Operator, row: dict[str, Any]) -> None:
    """After a disagreement, who confirms is another administrator than who resumed, where there are two."""
    if row["cause"] != KEY:
        return
    last = await db.fetch_one(
        "SELECT actor_id, operator FROM audit_entry WHERE act = 'link_resume' AND subject = $1"
        " ORDER BY id DESC LIMIT 1",
        row["host"],
    )
    me = (viewer.actor_id, "") if isinstance(viewer, Employee) else (None, viewer.name)
    if last is None or (last["actor_id"], last["operator"]) != me:
        return
    if len(await administrators()) > 1:
        raise Conflict(SECOND_PERSON)


async def tell_administrators(peer_id: int, what: str, since: int | None = None) -> None:
    """A notice to each administrator that a link needs them; one for each time, or for each `since`."""
    by = await db.fetch_one(
        "SELECT id FROM actor WHERE peer_id = $1 AND kind = 'application' ORDER BY id LIMIT 1", peer_id
    )
    key = f"link:{what}:{peer_id}:{since if since is not None else new_id()}"
    await notify(await administrators(), "link", key=key, by=by["id"] if by else None)


END_WAITS = (
    "EXISTS (SELECT 1 FROM delivery d JOIN event e ON e.id = d.event_id WHERE d.peer_id = l.peer_id"
    " AND d.state = 'pending' AND e.kind = 'link_ended')"
)
"""SQL: we ended this link (l), and the other side has not heard of it: it goes by the key that it pinned."""
JUST_ENDED = (
    "l.state = 'ended' AND EXISTS (SELECT 1 FROM event e WHERE e.sequenced_at IS NULL AND e.kind = 'link_ended')"
)
"""SQL: the same, where no delivery is written yet; of others, too, that ended before: it does them no harm."""


async def told_of_new_key(key_uri: str, old_uri: str) -> list[str]:
    """In the transaction that made our new key: every partner is told, and hears the old one until it was.

    Returns their hosts.
    """
    rows = await db.fetch(
        "SELECT l.id, l.peer_id, l.our_key_uri, q.host FROM link l JOIN peer q ON q.id = l.peer_id"
        f" WHERE l.state NOT IN ('none', 'ended') OR {END_WAITS} OR ({JUST_ENDED}) ORDER BY q.host"
    )
    for row in rows:
        event_id = await record(Kind.LINK_REKEYED, data={"peer": row["peer_id"], "key": key_uri})
        held = await held_by(row["id"]) or old_uri
        await db.execute(
            "UPDATE link SET our_key_uri = $1, rekey_event_id = $2 WHERE id = $3", held, event_id, row["id"]
        )
    return [row["host"] for row in rows]


async def held_by(link_id: int) -> str:
    """The older key of ours that this partner still goes by; '' when it knows our present one."""
    row = await db.fetch_one(f"SELECT l.our_key_uri FROM link l WHERE l.id = $1 AND {NOT_TOLD}", link_id)
    return str(row["our_key_uri"]) if row else ""


NOT_TOLD = (
    "l.our_key_uri <> '' AND NOT EXISTS"
    " (SELECT 1 FROM delivery d WHERE d.event_id = l.rekey_event_id AND d.state IN ('sent', 'skipped'))"
    f" AND (CASE WHEN l.state = 'offered' THEN l.rekey_event_id > CAST(SUBSTR(l.offer_uri, 7) AS BIGINT)"
    f" OR {END_WAITS} ELSE TRUE END)"
)
"""SQL: a partner (link l) that has not taken the word of our new key yet. With whom a link is offered anew holds none,
once the end of the one before was heard, but for the one that the offer showed.
"""


async def held_until_the_end(peer_id: int) -> dict[str, Any]:
    """Which key of ours a partner goes by that has not heard yet that the link before ended, as columns of the next."""
    row = await db.fetch_one(
        f"SELECT l.our_key_uri, l.rekey_event_id FROM link l WHERE l.peer_id = $1 AND ({END_WAITS} OR ({JUST_ENDED}))",
        peer_id,
    )
    return dict(row) if row else {}


def held_so_far(row: dict[str, Any]) -> dict[str, Any]:
    """The same for a proposal that goes on: the other side may have seen our key before it changed."""
    return {name: row[name] for name in ("our_key_uri", "rekey_event_id")}
