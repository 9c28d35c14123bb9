"""The trust agreement with another instance: offer, accept, compare six words, confirm, suspend, end.

States and legal steps are the table below; a step that is not in it is refused. Nothing restricted flows before
the link is active, which takes a confirmation on each side, by a person who compared the words. The other
side's key is pinned when it offers or accepts, and compared by the words.
"""

import hashlib
import secrets
from dataclasses import dataclass
from typing import Any

from server import database as db
from server import live
from server.actions.audit import note
from server.clock import now_ms
from server.errors import Conflict, Forbidden, NotFound
from server.events import Kind, record
from server.ids import Addresses, new_id
from server.openness import LinkState
from server.refusals import N_
from server.viewer import Employee, Operator
from server.words import SIX_WORDS

ADMINS_ONLY = N_("Seuls les administrateurs lient des instances.")
NO_LINK = N_("Aucune liaison avec « %(host)s » : proposez-la d’abord.")
WRONG_STEP = N_("La liaison avec « %(host)s » est à l’état « %(state)s » : cette étape n’est pas possible.")

STEPS: dict[str, frozenset[LinkState]] = {
    "offer": frozenset({LinkState.NONE, LinkState.ENDED, LinkState.OFFERED}),
    "receive": frozenset({LinkState.NONE, LinkState.ENDED, LinkState.RECEIVED, LinkState.OFFERED}),
    "accept": frozenset({LinkState.RECEIVED}),
    "accepted": frozenset({LinkState.OFFERED}),
    "words": frozenset({LinkState.CONFIRMED, LinkState.ACTIVE}),
    "confirm": frozenset({LinkState.CONFIRMED}),
    "confirmed": frozenset({LinkState.CONFIRMED, LinkState.ACTIVE}),
    "suspend": frozenset({LinkState.ACTIVE}),
    "resume": frozenset({LinkState.SUSPENDED}),
    "end": frozenset(set(LinkState) - {LinkState.NONE, LinkState.ENDED}),
}
"""From which states each step may be taken. `confirmed` as a state means: both have the other's key and nonce,
and the words can be compared."""


@dataclass(frozen=True, slots=True)
class TheirSide:
    """What the other instance showed of itself: its key is pinned as it stands here."""

    peer_id: int
    host: str
    key_uri: str
    key: str  # Multikey
    title: str = ""


async def offer(viewer: Employee | Operator, theirs: TheirSide) -> None:
    """Proposes a link; doing it again sends the proposal again."""
    _admins(viewer)
    async with db.transaction():
        row = await _row(theirs.peer_id)
        await _may(row, "offer", theirs.host)
        nonce = row["our_nonce"] if row and row["state"] == LinkState.OFFERED else secrets.token_hex(16)
        event_id = new_id()
        await _put(theirs, LinkState.OFFERED, our_nonce=nonce, offer_uri=f"event:{event_id}")
        await note(viewer, "link_offer", subject=theirs.host)
        await record(Kind.LINK_OFFERED, data={"peer": theirs.peer_id}, event_id=event_id)


async def receive(theirs: TheirSide, offer_uri: str, their_nonce: str, here: Addresses) -> None:
    """The other instance proposes a link: it waits for an administrator here.

    When both proposed at once, the one whose offer has the smaller address counts on both sides.
    """
    async with db.transaction():
        row = await _row(theirs.peer_id)
        await _may(row, "receive", theirs.host)
        if row is not None and row["state"] == LinkState.OFFERED and _address(row["offer_uri"], here) < offer_uri:
            return  # ours counts: they take it
        await _put(theirs, LinkState.RECEIVED, our_nonce="", offer_uri=offer_uri, their_nonce=their_nonce)
        _wake()


async def accept(viewer: Employee | Operator, host: str) -> None:
    """Takes the proposal; both sides can now compare the six words."""
    _admins(viewer)
    async with db.transaction():
        row = await _found(host)
        await _may(row, "accept", host)
        await _change(row, LinkState.CONFIRMED, our_nonce=secrets.token_hex(16))
        await note(viewer, "link_accept", subject=host)
        await record(Kind.LINK_ACCEPTED, data={"peer": row["peer_id"]})


async def accepted(theirs: TheirSide, offer_uri: str, their_nonce: str) -> None:
    """The other side takes our proposal. An answer to nothing that we proposed changes nothing (O24)."""
    async with db.transaction():
        row = await _row(theirs.peer_id)
        if row is None or row["offer_uri"] != offer_uri:
            raise NotFound(detail="an answer to nothing that was offered (O24)")
        await _may(row, "accepted", theirs.host)
        if row["their_key"] and row["their_key"] != theirs.key:
            await _change(row, LinkState.ENDED, reason="another key than the one that was shown")
            return
        await _change(
            row, LinkState.CONFIRMED, their_nonce=their_nonce, their_key=theirs.key, their_key_uri=theirs.key_uri
        )


def words_of(row: dict[str, Any], our_origin: str, our_key: str) -> list[str]:
    """The six words that both administrators compare: equal on both sides, and on no third one.

    48 bits of scrypt over both keys, both origins and both nonces, each pair sorted. The cost of one try (about
    60 ms) is what keeps a third side from searching for a key and a nonce that give the same words.
    """
    pairs = ((row["their_key"], our_key), (row["base_url"], our_origin), (row["their_nonce"], row["our_nonce"]))
    seed = "\n".join(part for pair in pairs for part in sorted(pair))
    digest = hashlib.scrypt(seed.encode(), salt=b"parvis link words", n=1 << 15, r=8, p=1, maxmem=1 << 26, dklen=6)
    return [SIX_WORDS[number] for number in digest]


async def comparable(viewer: Employee | Operator, host: str) -> dict[str, Any]:
    """The link with this host, when its words can be compared. Raises NotFound or Conflict."""
    _admins(viewer)
    row = await _found(host)
    await _may(row, "words", host)
    return row


async def confirm(viewer: Employee | Operator, host: str) -> LinkState:
    """A person here compared the words. Active once the other side has confirmed too."""
    _admins(viewer)
    async with db.transaction():
        row = await _found(host)
        if row["state"] == LinkState.ACTIVE:
            return LinkState.ACTIVE
        await _may(row, "confirm", host)
        await note(viewer, "link_confirm", subject=host)
        state = LinkState.ACTIVE if row["confirmed_there_at"] else LinkState.CONFIRMED
        await _change(row, state, confirmed_here_at=now_ms(), active_at=now_ms() if state is LinkState.ACTIVE else None)
        await record(Kind.LINK_CONFIRMED, data={"peer": row["peer_id"]})
        return state


async def confirmed(peer_id: int, key: str) -> None:
    """The other side's administrator confirmed, with the key that we pinned."""
    async with db.transaction():
        row = await _row(peer_id)
        if row is None or row["their_key"] != key:
            raise NotFound(detail="no link with that key")
        await _may(row, "confirmed", row["host"])
        if row["state"] == LinkState.ACTIVE:
            return
        state = LinkState.ACTIVE if row["confirmed_here_at"] else LinkState.CONFIRMED
        await _change(
            row, state, confirmed_there_at=now_ms(), active_at=now_ms() if state is LinkState.ACTIVE else None
        )


async def suspend(viewer: Employee | Operator, host: str, reason: str = "") -> None:
    """Nothing flows until it is resumed; nothing is lost."""
    await _step(viewer, host, "suspend", LinkState.SUSPENDED, reason)


async def resume(viewer: Employee | Operator, host: str) -> None:
    """What waited flows again."""
    await _step(viewer, host, "resume", LinkState.ACTIVE, "")


async def end(viewer: Employee | Operator, host: str) -> None:
    """The agreement is over: their people leave our spaces, ours leave theirs, and they are told."""
    _admins(viewer)
    async with db.transaction():
        row = await _found(host)
        await _may(row, "end", host)
        await note(viewer, "link_end", subject=host)
        await record(Kind.LINK_ENDED, data={"peer": row["peer_id"], "offer": row["offer_uri"]})
        await _over(row)


async def ended(peer_id: int, key: str) -> None:
    """The other side ends the agreement, with the key that we pinned."""
    async with db.transaction():
        row = await _row(peer_id)
        if row is None or row["their_key"] != key:
            raise NotFound(detail="no link with that key")
        if row["state"] not in (LinkState.NONE, LinkState.ENDED):
            await _over(row)


# --- the steps -----------------------------------------------------------------------------------


def _admins(viewer: Employee | Operator) -> None:
    if not isinstance(viewer, Operator) and not viewer.is_admin:
        raise Forbidden(ADMINS_ONLY)


async def _row(peer_id: int) -> dict[str, Any] | None:
    return await db.fetch_one(
        "SELECT l.*, q.host, q.base_url, q.title FROM link l JOIN peer q ON q.id = l.peer_id WHERE l.peer_id = $1",
        peer_id,
    )


async def _found(host: str) -> dict[str, Any]:
    row = await db.fetch_one(
        "SELECT l.*, q.host, q.base_url, q.title FROM link l JOIN peer q ON q.id = l.peer_id WHERE q.host = $1",
        host.strip().lower(),
    )
    if row is None:
        raise NotFound(NO_LINK, params={"host": host[:255]})
    return row


async def _may(row: dict[str, Any] | None, step: str, host: str) -> None:
    state = LinkState(row["state"]) if row else LinkState.NONE
    if state not in STEPS[step]:
        raise Conflict(WRONG_STEP, params={"host": host, "state": state.value})


async def _put(theirs: TheirSide, state: LinkState, **values: Any) -> None:
    now = now_ms()
    row = {
        "peer_id": theirs.peer_id,
        "state": state.value,
        "their_key": theirs.key,
        "their_key_uri": theirs.key_uri,
        "their_nonce": "",
        "confirmed_here_at": None,
        "confirmed_there_at": None,
        "active_at": None,
        "reason": "",
        "changed_at": now,
        **values,
    }
    if await db.fetch_one("SELECT id FROM link WHERE peer_id = $1", theirs.peer_id):
        names = list(row)
        sets = ", ".join(f"{name} = ${number}" for number, name in enumerate(names, 1))
        await db.execute(f"UPDATE link SET {sets} WHERE peer_id = ${len(names) + 1}", *row.values(), theirs.peer_id)
    else:
        await db.insert("link", {"id": new_id(), "created_at": now, **row})
    if theirs.title:
        await db.execute("UPDATE peer SET title = $1 WHERE id = $2", theirs.title[:200], theirs.peer_id)
    _wake()


async def _change(row: dict[str, Any], state: LinkState, **values: Any) -> None:
    changes = {"state": state.value, "changed_at": now_ms(), **{k: v for k, v in values.items() if v is not None}}
    sets = ", ".join(f"{name} = ${number}" for number, name in enumerate(changes, 1))
    await db.execute(f"UPDATE link SET {sets} WHERE id = ${len(changes) + 1}", *changes.values(), row["id"])
    if state is LinkState.ACTIVE:
        await db.execute("UPDATE peer SET state = 'ok', failures = 0, due_at = 0 WHERE id = $1", row["peer_id"])
    _wake()


async def _step(viewer: Employee | Operator, host: str, step: str, state: LinkState, reason: str) -> None:
    _admins(viewer)
    async with db.transaction():
        row = await _found(host)
        await _may(row, step, host)
        await _change(row, state, reason=reason[:300])
        await note(viewer, f"link_{step}", subject=host, reason=reason[:300])


async def _over(row: dict[str, Any]) -> None:
    peer = row["peer_id"]
    await db.execute("DELETE FROM membership WHERE peer_id = $1", peer)
    await db.execute("DELETE FROM membership WHERE space_id IN (SELECT id FROM space WHERE peer_id = $1)", peer)
    await db.execute("DELETE FROM space_partner WHERE peer_id = $1", peer)
    await _change(row, LinkState.ENDED)


def _address(offer_uri: str, here: Addresses) -> str:
    """The address of one of our own offers: rows name it `event:N`."""
    return here.activity(int(offer_uri.removeprefix("event:")))


def _wake() -> None:
    db.after_commit(lambda: live.publish(live.Fact("access")))
