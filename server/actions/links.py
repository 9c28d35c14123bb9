"""The trust agreement with another instance: offer, accept, compare six words, confirm, suspend, end.

States and legal steps are the table below; a step that is not in it is refused. Nothing restricted flows before
the link is active, which takes a confirmation on each side, by a person who compared the words. The other
side's key is pinned when it offers or accepts, and compared by the words.
"""

import hashlib
import secrets
from typing import Any

import msgspec

from server import database as db
from server.actions.audit import note
from server.actions.link_keys import (
    COMPARE_FIRST,
    KEY,
    PINNED,
    demand_second,
    held_so_far,
    held_until_the_end,
    last_compared,
)
from server.actions.link_rows import (
    FAR_DATE,
    OFFER_MS,
    OFFER_OVER,
    PAST_DATE,
    Terms,
    TheirSide,
    change,
    demand_admin,
    demand_step,
    found,
    over,
    row_of,
    wake,
)
from server.clock import now_ms
from server.errors import Conflict, Invalid, NotFound
from server.events import Kind, record
from server.ids import Addresses, new_id
from server.limits import LATEST_MS, LATEST_YEAR
from server.openness import LinkState
from server.viewer import Employee, Operator
from server.words import SIX_WORDS


async def offer(viewer: Employee | Operator, theirs: TheirSide, until_at: int | None = None) -> None:
    """Proposes a link, until a date if one is given (ms). Again: the proposal goes out again, if it is one still.

    An offer that is not taken within OFFER_MS is void.
    """
    demand_admin(viewer)
    if until_at is not None and until_at <= now_ms():
        raise Invalid(PAST_DATE, field="until")
    if until_at is not None and until_at > LATEST_MS:
        raise Invalid(FAR_DATE, field="until", params={"year": LATEST_YEAR})
    async with db.transaction():
        row = await row_of(theirs.peer_id, alone=True)
        if row is not None and row["state"] in (LinkState.CONFIRMED, LinkState.ACTIVE):
            return
        await demand_step(row, "offer", theirs.host)
        event_id = new_id()
        if row is not None and row["state"] == LinkState.OFFERED:  # the same one: they may have taken it, or declined
            offered = {"our_nonce": row["our_nonce"], "offer_uri": row["offer_uri"], **held_so_far(row)}
        else:
            held = await held_until_the_end(theirs.peer_id)
            offered = {"our_nonce": secrets.token_hex(16), "offer_uri": f"event:{event_id}", **held}
        terms = Terms(now_ms() + OFFER_MS, until_at)
        await _put(theirs, LinkState.OFFERED, **offered, **terms.columns())
        await note(viewer, "link_offer", subject=theirs.host)
        data = {"peer": theirs.peer_id, "offer": offered["offer_uri"]}
        await record(Kind.LINK_OFFERED, data=data, event_id=event_id)


async def receive(
    theirs: TheirSide, offer_uri: str, their_nonce: str, here: Addresses, terms: Terms | None = None
) -> None:
    """The other instance proposes a link: it waits for an administrator here.

    When both proposed at once, the one whose offer has the smaller address counts on both sides. Ours ends where it
    does not: if theirs is over when it comes there, it would be taken.
    """
    terms = terms or Terms()
    terms.demand_speakable()
    async with db.transaction():
        row = await row_of(theirs.peer_id, alone=True)
        await demand_step(row, "receive", theirs.host)
        if row is not None and row["state"] == LinkState.ENDED and row["offer_uri"] == offer_uri:
            return  # it was declined here, and went out again before they heard of that
        if row is not None and row["state"] == LinkState.OFFERED and _address(row["offer_uri"], here) < offer_uri:
            return  # ours counts: they take it
        if row is not None and row["state"] == LinkState.OFFERED:
            await record(Kind.LINK_ENDED, data={"peer": row["peer_id"], "offer": row["offer_uri"]})
        held = held_so_far(row) if row is not None and row["state"] != LinkState.ENDED else {}
        received = {"our_nonce": "", "offer_uri": offer_uri, "their_nonce": their_nonce, **held}
        await _put(theirs, LinkState.RECEIVED, **received, **terms.columns())
        wake()


async def accept(viewer: Employee | Operator, host: str) -> None:
    """Takes the proposal; both sides can now compare the six words."""
    demand_admin(viewer)
    async with db.transaction():
        row = await found(host, alone=True)
        if row["state"] in (LinkState.CONFIRMED, LinkState.ACTIVE):
            return
        await demand_step(row, "accept", host)
        if row["offer_until_at"] is not None and row["offer_until_at"] < now_ms():
            raise Conflict(OFFER_OVER, params={"host": host})
        nonce = secrets.token_hex(16)
        await change(row, LinkState.CONFIRMED, our_nonce=nonce)
        await note(viewer, "link_accept", subject=host)
        await record(Kind.LINK_ACCEPTED, data={"peer": row["peer_id"], "offer": row["offer_uri"], "nonce": nonce})


async def accepted(theirs: TheirSide, offer_uri: str, their_nonce: str, terms: Terms | None = None) -> None:
    """The other side takes our proposal. An answer to nothing that we proposed changes nothing (O24).

    The link ends at the earlier of both dates, and speaks at least the higher of both versions.
    """
    terms = terms or Terms()
    terms.demand_speakable()
    async with db.transaction():
        row = await row_of(theirs.peer_id, alone=True)
        if row is None or row["offer_uri"] != await first_offered(offer_uri):
            raise NotFound(detail="an answer to nothing that was offered (O24)")
        await demand_step(row, "accepted", theirs.host)
        if row["offer_until_at"] is not None and row["offer_until_at"] < now_ms():
            raise Conflict(OFFER_OVER, params={"host": theirs.host}, detail="taken after its end")
        if row["their_key"] and row["their_key"] != theirs.key:
            await record(Kind.LINK_ENDED, data={"peer": row["peer_id"], "offer": row["offer_uri"]})
            await change(row, LinkState.ENDED, reason="another key than the one that was shown")
            return
        ends = [date for date in (row["until_at"], terms.until_at) if date is not None]
        await change(
            row,
            LinkState.CONFIRMED,
            their_nonce=their_nonce,
            their_key=theirs.key,
            their_key_uri=theirs.key_uri,
            until_at=min(ends) if ends else None,
            min_version=max(row["min_version"], terms.min_version),
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
    demand_admin(viewer)
    row = await found(host)
    await demand_step(row, "words", host)
    return row


async def confirm(viewer: Employee | Operator, host: str) -> LinkState:
    """A person here compared the words. Active once the other side has confirmed too."""
    demand_admin(viewer)
    async with db.transaction():
        row = await found(host, alone=True)
        if row["state"] == LinkState.ACTIVE:
            return LinkState.ACTIVE
        await demand_step(row, "confirm", host)
        await demand_second(viewer, row)
        await note(viewer, "link_confirm", subject=host)
        state = LinkState.ACTIVE if row["confirmed_there_at"] else LinkState.CONFIRMED
        active_at = now_ms() if state is LinkState.ACTIVE else None
        await change(row, state, confirmed_here_at=now_ms(), active_at=active_at, cause="", reason="")
        await record(Kind.LINK_CONFIRMED, data={"peer": row["peer_id"], "offer": row["offer_uri"]})
        return state


async def confirmed(peer_id: int) -> None:
    """The other side's administrator confirmed; the caller has checked that the key that we pinned says so.

    It is said once: a link that stopped because of its key before it came goes on by what is compared here.
    """
    async with db.transaction():
        row = await row_of(peer_id, alone=True)
        if row is None:
            raise NotFound(detail="no link with that instance")
        await demand_step(row, "confirmed", row["host"])
        if row["state"] == LinkState.ACTIVE:
            return
        if row["state"] == LinkState.SUSPENDED:
            await change(row, LinkState.SUSPENDED, confirmed_there_at=now_ms())
            return
        state = LinkState.ACTIVE if row["confirmed_here_at"] else LinkState.CONFIRMED
        await change(row, state, confirmed_there_at=now_ms(), active_at=now_ms() if state is LinkState.ACTIVE else None)


async def suspend(viewer: Employee | Operator, host: str, reason: str = "") -> None:
    """Nothing flows until it is resumed; nothing is lost."""
    demand_admin(viewer)
    async with db.transaction():
        row = await found(host, alone=True)
        if row["state"] == LinkState.SUSPENDED:
            return
        await demand_step(row, "suspend", host)
        await change(row, LinkState.SUSPENDED, cause="", reason=reason[:300])
        await note(viewer, "link_suspend", subject=host, reason=reason[:300])


async def resume(viewer: Employee | Operator, host: str) -> None:
    """What waited flows again. Raises Conflict when the link stopped because of its key: see `compare_again`."""
    demand_admin(viewer)
    async with db.transaction():
        row = await found(host, alone=True)
        if row["state"] == LinkState.ACTIVE:
            return
        await demand_step(row, "resume", host)
        if row["cause"] == KEY:
            raise Conflict(COMPARE_FIRST, params={"host": host})
        await change(row, LinkState.ACTIVE, cause="", reason="")
        await note(viewer, "link_resume", subject=host)


async def set_kin(viewer: Employee | Operator, host: str, kin: bool) -> None:
    """Says that the other instance is a department of the same house, or that it is not."""
    demand_admin(viewer)
    async with db.transaction():
        row = await found(host, alone=True)
        if bool(row["kin"]) is kin:
            return
        await db.execute("UPDATE link SET kin = $1, changed_at = $2 WHERE id = $3", kin, now_ms(), row["id"])
        await note(viewer, "link_kin", subject=host, kin=kin)
        wake()


async def end(viewer: Employee | Operator, host: str) -> None:
    """The agreement is over: their people leave our spaces, ours leave theirs, and they are told."""
    demand_admin(viewer)
    async with db.transaction():
        row = await found(host, alone=True)
        if row["state"] == LinkState.ENDED:
            return
        await demand_step(row, "end", host)
        await note(viewer, "link_end", subject=host)
        await _end(row)


async def end_overdue() -> int:
    """Ends the links whose date has come and voids the offers that nobody took; returns how many."""
    rows = await db.fetch(
        "SELECT l.*, q.host, q.base_url, q.title FROM link l JOIN peer q ON q.id = l.peer_id WHERE"
        " (l.state IN ('confirmed', 'active', 'suspended') AND l.until_at <= $1)"
        " OR (l.state IN ('offered', 'received') AND l.offer_until_at <= $1)",
        now_ms(),
    )
    for row in rows:
        async with db.transaction():
            await note(Operator("timer"), "link_end", subject=row["host"], cause="until")
            await _end(row, cause="until")
    return len(rows)


async def ended(peer_id: int, offer_uri: str) -> None:
    """The other side ends the agreement; the caller has checked that its key says so.

    A proposal ends by its own name: what was said of the one before may come after it. Raises NotFound.
    """
    async with db.transaction():
        row = await row_of(peer_id, alone=True)
        if row is None:
            raise NotFound(detail="no link with that instance")
        if row["state"] not in PINNED and row["offer_uri"] != await first_offered(offer_uri):
            raise NotFound(detail="the end of another proposal")
        if row["state"] not in (LinkState.NONE, LinkState.ENDED):
            await over(row)


# --- the steps -----------------------------------------------------------------------------------


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
        "cause": "",
        "reason": "",
        "our_key_uri": "",
        "rekey_event_id": None,
        "their_old_key": "",
        "their_old_key_uri": "",
        "their_old_until_at": None,
        "changed_at": now,
        **values,
    }
    before = await row_of(theirs.peer_id)
    if before is not None:
        row |= last_compared(before)
        names = list(row)
        sets = ", ".join(f"{name} = ${number}" for number, name in enumerate(names, 1))
        await db.execute(f"UPDATE link SET {sets} WHERE peer_id = ${len(names) + 1}", *row.values(), theirs.peer_id)
    else:
        await db.insert("link", {"id": new_id(), "created_at": now, **row})
    if theirs.title:
        await db.execute("UPDATE peer SET title = $1 WHERE id = $2", theirs.title[:200], theirs.peer_id)
    wake()


async def _end(row: dict[str, Any], cause: str = "") -> None:
    await record(Kind.LINK_ENDED, data={"peer": row["peer_id"], "offer": row["offer_uri"]})
    await over(row, cause)


async def first_offered(offer_uri: str) -> str:
    """By which name a proposal is known that went out more than once: that of the first time."""
    number = offer_uri.removeprefix("event:")
    if number == offer_uri or not number.isdecimal():
        return offer_uri
    event = await db.fetch_one("SELECT data FROM event WHERE id = $1 AND kind = 'link_offered'", int(number))
    data = msgspec.json.decode(event["data"]) if event else {}
    return str(data.get("offer") or offer_uri)


def _address(offer_uri: str, here: Addresses) -> str:
    """The address of one of our own offers: rows name it `event:N`."""
    return here.activity(int(offer_uri.removeprefix("event:")))
