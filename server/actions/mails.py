"""Mail to our own people: what waits to be sent, who sends it, what became of it.

What waits are notices with a moment (`mail_due_at`), written by the verb that left them. One process at a time takes
what waits for one account (`claim`) as one mail, whose number is kept until the mail server has answered: after a
kill -9 the same mail is sent under the same Message-ID. What it says is composed, and the policy asked, while it is
sent.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from server import database as db
from server.clock import now_ms
from server.credentials import token_hash
from server.ids import EPOCH_MS, ID_BITS, new_id
from server.limits import MAIL_ANSWERED_MS
from server.openness import Audience
from server.sql import Clause, among

MINUTE_MS = 60 * 1000
DAY_MS = 24 * 60 * MINUTE_MS
GATHERED_MS = 5 * MINUTE_MS
"""So long a notice waits for others, and for being read on a page."""
PAUSE_MS = 15 * MINUTE_MS
"""At least between two mails to one address (W6)."""
MOST_A_DAY = 30
"""Mails to one address; what comes after waits for the next morning."""
MORNING_MS = 6 * 60 * MINUTE_MS
"""When a day's digest goes: 6 in the morning, UTC."""
LEASE_MS = 10 * MINUTE_MS
"""How long a process may be busy with one mail before another takes it up."""
OLDEST_MS = 7 * DAY_MS
"""What waited longer, because no mail server was set or none answered, is not sent any more."""
WAITS_MS = tuple(minutes * MINUTE_MS for minutes in (5, 15, 30, 60, 120, 240, 360, 720, 720, 720, 720, 720))
"""After each refusal for now, in a row; after the last, two and a half days later, it is put aside."""
ERROR_CHARACTERS = 300
AT_ONCE = 500

PAGE_ONLY = ("reaction", "follow", "poll")
"""Kinds that nobody is written to about at once: they stand in a day's digest."""


@dataclass(frozen=True, slots=True)
class Claim:
    """One mail that this process sends. `number`: what its Message-ID is made of."""

    account_id: int
    number: int
    attempts: int


async def due_for(actor_ids: Sequence[int], kind: str) -> dict[int, int]:
    """When a notice of this kind is told by mail, for those of these actors who are written to (ms)."""
    if not actor_ids:
        return {}
    query = Clause(
        "SELECT c.actor_id, c.mails FROM account c LEFT JOIN mailbox b ON b.account_id = c.id WHERE c.email IS NOT NULL"
        " AND c.mails <> 'never' AND c.suspended_at IS NULL AND b.aside_at IS NULL AND"
    ).join(among("c.actor_id", actor_ids))
    now = now_ms()
    at = {"at_once": None if kind in PAGE_ONLY else now + GATHERED_MS, "daily": morning_after(now)}
    due = {row["actor_id"]: at[row["mails"]] for row in await db.fetch(*query.statement())}
    return {actor_id: moment for actor_id, moment in due.items() if moment is not None}


def morning_after(now: int) -> int:
    """The next moment at which digests go."""
    today = now - now % DAY_MS + MORNING_MS
    return today if today > now else today + DAY_MS


async def due(limit: int) -> list[int]:
    """The accounts for which a mail may go now, the longest waiting first."""
    now = now_ms()
    rows = await db.fetch(
        "SELECT c.id, MIN(w.mail_due_at) AS since FROM notice w CROSS JOIN account c"  # in this order
        " LEFT JOIN mailbox b ON b.account_id = c.id WHERE c.actor_id = w.actor_id AND w.mail_due_at <= $1"
        " AND (b.account_id IS NULL OR (b.not_before_at <= $1 AND b.aside_at IS NULL))"
        " GROUP BY c.id ORDER BY since LIMIT $2",
        now,
        limit,
    )
    return [row["id"] for row in rows]


async def claim(account_id: int) -> Claim | None:
    """Takes all that waits for one account as one mail; None when another process has it, or nothing is left.

    A mail that was on its way when its process died is taken up as it was, without what came since.
    """
    now = now_ms()
    async with db.transaction():
        row = await db.fetch_one(
            "INSERT INTO mailbox (account_id, not_before_at) VALUES ($1, $2) ON CONFLICT (account_id) DO UPDATE"
            " SET not_before_at = $2 WHERE mailbox.not_before_at <= $3 AND mailbox.aside_at IS NULL"
            " RETURNING claim, attempts",
            account_id,
            now + LEASE_MS,
            now,
        )
        if row is None:
            return None
        mine = "actor_id = (SELECT actor_id FROM account WHERE id = $1) AND mail_due_at > 0"
        await db.execute(
            f"UPDATE notice SET mail_due_at = NULL WHERE {mine} AND (read_at IS NOT NULL OR created_at < $2)",
            account_id,
            now - OLDEST_MS,
        )
        number = row["claim"] or new_id()
        if row["claim"] is None:
            await db.execute(f"UPDATE notice SET mail = $2 WHERE {mine} AND mail IS NULL", account_id, number)
            await db.execute("UPDATE mailbox SET claim = $1, attempts = 0 WHERE account_id = $2", number, account_id)
        return Claim(account_id, number, row["attempts"])


async def sent(one: Claim) -> None:
    """The mail server took it."""
    now = now_ms()
    today = now // DAY_MS
    async with db.transaction():
        row = await db.fetch_one("SELECT day, sent_that_day FROM mailbox WHERE account_id = $1", one.account_id)
        count = 1 + (row["sent_that_day"] if row and row["day"] == today else 0)
        pause = morning_after(now) if count >= MOST_A_DAY else now + PAUSE_MS
        await _settle(one, pause, "sent_at = $4, day = $5, sent_that_day = $6", now, today, count)


async def nothing_to_say(one: Claim) -> None:
    """All of it was read meanwhile, or is no longer theirs to know: nothing is sent, then or later."""
    async with db.transaction():
        await _settle(one, 0, "error = ''")


async def refused_for_now(one: Claim, said: str) -> None:
    """It stays the same mail, and is tried again later; after the last wait it is put aside."""
    if one.attempts >= len(WAITS_MS):
        await put_aside(one, said)
        return
    await db.execute(
        "UPDATE mailbox SET attempts = $1, error = $2, not_before_at = $3 WHERE account_id = $4 AND claim = $5",
        one.attempts + 1,
        _line(said),
        now_ms() + WAITS_MS[one.attempts],
        one.account_id,
        one.number,
    )


async def put_aside(one: Claim, said: str) -> None:
    """The mail server will not have it: nothing goes to this address until an operator says so."""
    async with db.transaction():
        await _settle(one, 0, "aside_at = $4, error = $5", now_ms(), _line(said))
        await db.execute(
            "UPDATE notice SET mail_due_at = NULL WHERE mail_due_at > 0"
            " AND actor_id = (SELECT actor_id FROM account WHERE id = $1)",
            one.account_id,
        )


async def retry(name: str = "") -> int:
    """What was put aside, of one person or of all, is written to again from the next notice on; for how many."""
    return await db.execute(
        "UPDATE mailbox SET aside_at = NULL, error = '', attempts = 0, not_before_at = 0 WHERE"
        " (aside_at IS NOT NULL OR attempts > 0)"
        " AND account_id IN (SELECT id FROM account WHERE $1 = '' OR name = $1)",
        name,
    )


async def release_dead() -> None:
    """At the start of the only process of an embedded database: what is claimed was a dead one's."""
    await db.execute("UPDATE mailbox SET not_before_at = 0 WHERE claim IS NOT NULL AND attempts = 0")


async def _settle(one: Claim, not_before_at: int, changes: str, *values: object) -> None:
    """In the caller's transaction: the mail is over, and so is the waiting of what it carried."""
    done = await db.execute(
        f"UPDATE mailbox SET claim = NULL, attempts = 0, not_before_at = $1, {changes}"
        " WHERE account_id = $2 AND claim = $3",
        not_before_at,
        one.account_id,
        one.number,
        *values,
    )
    if done:
        await db.execute(
            "UPDATE notice SET mail_due_at = NULL WHERE mail = $1 AND mail_due_at > 0"
            " AND actor_id = (SELECT actor_id FROM account WHERE id = $2)",
            one.number,
            one.account_id,
        )


# --- what its reader decides ----------------------------------------------------------------------


async def stop(account_id: int) -> None:
    """This person gets no more mail; what waits is dropped, and stands on their page."""
    async with db.transaction():
        await db.execute("UPDATE account SET mails = 'never' WHERE id = $1", account_id)
        await forget_waiting(account_id)


async def forget_waiting(account_id: int) -> None:
    """Nothing that waits for this account now is sent."""
    await db.execute(
        "UPDATE notice SET mail_due_at = NULL WHERE mail_due_at > 0"
        " AND actor_id = (SELECT actor_id FROM account WHERE id = $1)",
        account_id,
    )


async def keep_reply_address(account_id: int, post_id: int, token: str) -> bool:
    """Lets this person answer this post under a secret address; False when that ended before: it does not come back."""
    now = now_ms()
    await db.execute(
        "INSERT INTO reply_address (id, token_hash, account_id, post_id, created_at) VALUES ($1, $2, $3, $4, $5)"
        " ON CONFLICT DO NOTHING",
        new_id(),
        token_hash(token),
        account_id,
        post_id,
        now,
    )
    row = await db.fetch_one(
        "SELECT created_at FROM reply_address WHERE token_hash = $1 AND ended_at IS NULL", token_hash(token)
    )
    return row is not None and row["created_at"] > now - MAIL_ANSWERED_MS


async def end_reply_address(address_id: int) -> None:
    """The right behind it is gone."""
    await db.execute("UPDATE reply_address SET ended_at = $1 WHERE id = $2 AND ended_at IS NULL", now_ms(), address_id)


async def end_reply_addresses(account_id: int) -> None:
    """In the caller's transaction: somebody is out, and what they were once written is answered no more."""
    await db.execute(
        "UPDATE reply_address SET ended_at = $1 WHERE account_id = $2 AND ended_at IS NULL", now_ms(), account_id
    )


async def forget_old_addresses() -> int:
    """One bounded step: addresses that nobody answers by any more; how many went."""
    return await db.execute(
        "DELETE FROM reply_address WHERE id IN (SELECT id FROM reply_address WHERE id < $1 ORDER BY id LIMIT $2)",
        (now_ms() - 2 * MAIL_ANSWERED_MS - EPOCH_MS) << ID_BITS,
        AT_ONCE,
    )


async def leave(space_id: int, actor_id: int) -> None:
    """In the transaction that takes somebody out of a space: so do the addresses under which they answered there."""
    await db.execute(
        "UPDATE reply_address SET ended_at = $1 WHERE ended_at IS NULL"
        " AND account_id IN (SELECT id FROM account WHERE actor_id = $2)"
        " AND post_id IN (SELECT id FROM post WHERE space_id = $3)",
        now_ms(),
        actor_id,
        space_id,
    )


async def narrowed(space_id: int, silent: Collection[Audience]) -> None:
    """In the transaction that narrows a space: the addresses of those who may not answer there any more end.

    `silent`: which of ours, members or not, colleagues or guests, have no right to answer now.
    """
    who = [_HERE[audience] for audience in _HERE if audience in silent]
    if who:
        await db.execute(
            "UPDATE reply_address SET ended_at = $1 WHERE ended_at IS NULL"
            " AND post_id IN (SELECT id FROM post WHERE space_id = $2) AND account_id IN (SELECT c.id FROM account c"
            f" WHERE {' OR '.join(who)})",
            now_ms(),
            space_id,
        )


_MEMBER = "c.actor_id IN (SELECT m.actor_id FROM membership m WHERE m.space_id = $2 AND m.state = 'member')"
_HERE = {
    Audience.STAFF_MEMBER: f"(c.office <> 'guest' AND {_MEMBER})",
    Audience.STAFF: f"(c.office <> 'guest' AND NOT {_MEMBER})",
    Audience.GUEST_MEMBER: f"(c.office = 'guest' AND {_MEMBER})",
    Audience.GUEST: f"(c.office = 'guest' AND NOT {_MEMBER})",
}


def _line(said: str) -> str:
    return "".join(c if c.isprintable() else " " for c in said)[:ERROR_CHARACTERS]
