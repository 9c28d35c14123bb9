"""Who is written to, who answers under which address, and how mail fares."""

from dataclasses import dataclass
from typing import Any

from server import database as db
from server.clock import now_ms
from server.credentials import token_hash
from server.limits import MAIL_ANSWERED_MS
from server.queries.accounts import viewer_of_row
from server.queries.guests import admitted
from server.queries.offices import demand_administrator
from server.viewer import Resident, Viewer

PAGE = 200


@dataclass(frozen=True, slots=True)
class Recipient:
    """One of our people who is written to now."""

    viewer: Resident
    account_id: int
    address: str
    display_name: str
    language: str
    mails: str  # at_once, daily


@dataclass(frozen=True, slots=True)
class ReplyAddress:
    """Under which one person answers one post, while they may."""

    id: int
    viewer: Resident
    post_id: int
    address: str  # from which they write
    language: str


@dataclass(frozen=True, slots=True)
class Standing:
    """How mail to one person stands."""

    name: str
    address: str
    state: str  # waiting, later (refused for now), aside (refused for good)
    notices: int
    attempts: int
    error: str
    since_at: int


async def recipient(account_id: int) -> Recipient | None:
    """Whom a mail is for; None for who is out, has no address, or wants no mail."""
    row = await _account("c.mails <> 'never' AND c.id = $1", account_id)
    if row is None or not row["email"]:
        return None
    return Recipient(
        viewer_of_row(row), row["id"], row["email"], row["display_name"] or row["name"], row["language"], row["mails"]
    )


async def reached_at(account_id: int) -> str:
    """The address of somebody who is here, whether they want mail or not; '' when there is none."""
    row = await _account("c.id = $1", account_id)
    return (row["email"] or "") if row else ""


async def reply_address(token: str) -> ReplyAddress | None:
    """Whose address it is, as far as it holds: never ended, not too old, its person here. It says nothing of the right.

    The viewer has the rights of a token that reads and writes, not those of an office.
    """
    now = now_ms()
    row = await db.fetch_one(
        f"""SELECT r.id AS address_id, r.post_id, c.id, c.actor_id, c.office, c.organisation, c.email, c.language
            FROM reply_address r JOIN account c ON c.id = r.account_id
            WHERE r.token_hash = $1 AND r.ended_at IS NULL AND r.created_at > $3 AND {admitted("c", "$2")}""",
        token_hash(token),
        now,
        now - MAIL_ANSWERED_MS,
    )
    if row is None:
        return None
    viewer = viewer_of_row(row, frozenset({"read", "write"}))
    return ReplyAddress(row["address_id"], viewer, row["post_id"], row["email"] or "", row["language"])


async def was_reply_address(token: str) -> bool:
    """Whether this was ever an address of ours, so that whoever writes to it is told that it ended."""
    return await db.fetch_one("SELECT id FROM reply_address WHERE token_hash = $1", token_hash(token)) is not None


async def standings(viewer: Viewer, *, aside_only: bool = False) -> list[Standing]:
    """Whom mail waits for, is refused for now, or was put aside for; at most PAGE. For those who look after it."""
    demand_administrator(viewer)
    rows = await db.fetch(
        """SELECT c.name, c.email, COALESCE(b.attempts, 0) AS attempts, COALESCE(b.error, '') AS error, b.aside_at,
                  COUNT(w.id) AS notices, MIN(w.created_at) AS since_at
           FROM account c LEFT JOIN mailbox b ON b.account_id = c.id
           LEFT JOIN notice w ON w.actor_id = c.actor_id AND w.mail_due_at > 0 AND w.read_at IS NULL
           WHERE c.email IS NOT NULL AND (b.aside_at IS NOT NULL OR (w.id IS NOT NULL AND CAST($1 AS INT) = 0))
           GROUP BY c.id, c.name, c.email, b.attempts, b.error, b.aside_at ORDER BY c.name LIMIT $2""",
        int(aside_only),
        PAGE,
    )
    return [
        Standing(
            name=row["name"],
            address=row["email"],
            state="aside" if row["aside_at"] is not None else "later" if row["attempts"] else "waiting",
            notices=row["notices"],
            attempts=row["attempts"],
            error=row["error"],
            since_at=row["aside_at"] or row["since_at"],
        )
        for row in rows
    ]


async def _account(where: str, value: int) -> dict[str, Any] | None:
    return await db.fetch_one(
        f"""SELECT c.id, c.actor_id, c.name, c.office, c.organisation, c.email, c.language, c.mails, a.display_name
            FROM account c JOIN actor a ON a.id = c.actor_id WHERE {where} AND {admitted("c", "$2")}""",
        value,
        now_ms(),
    )
