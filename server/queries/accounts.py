"""Who is signed in, by which browser or token; and what people and administrators may know of accounts.

`viewer_of_session` and `find_token` run with every request: one query each, and at most one write a minute.
"""

import contextlib
from dataclasses import dataclass
from typing import Any

from server import database as db
from server.clock import now_ms
from server.credentials import token_hash
from server.errors import NotFound, Unavailable
from server.openness import Office
from server.queries.guests import admitted
from server.queries.offices import demand_administrator
from server.sql import Clause
from server.viewer import Anonymous, Employee, Guest, Resident, Viewer, guest_side

PAGE = 100
MOST_TOKEN_CHARACTERS = 500
SESSION_MS = 30 * 24 * 3600 * 1000
"""A session ends when its browser has not come for so long."""
SEEN_MS = 60 * 1000


@dataclass(frozen=True, slots=True)
class OwnAccount:
    """What somebody may know and change of their own account."""

    id: int
    actor_id: int
    name: str
    display_name: str
    summary: str
    email: str
    office: Office
    language: str
    theme: str
    invitations: str
    read_up_to: int
    has_password: bool
    created_at: int
    job: str = ""
    organisation: str = ""  # a guest's
    until_at: int | None = None  # a guest's last moment here
    sponsor: str = ""  # the name of who answers for a guest
    mails: str = "at_once"  # about what waits: at_once, daily, never


@dataclass(frozen=True, slots=True)
class AccountRow:
    """An account in the administrators' list."""

    id: int
    actor_id: int
    name: str
    display_name: str
    email: str
    office: Office
    created_at: int
    suspended_at: int | None
    seen_at: int | None
    job: str = ""
    organisation: str = ""
    until_at: int | None = None
    sponsor: str = ""


@dataclass(frozen=True, slots=True)
class OpenSession:
    """A browser that is signed in. `current`: the one that asks."""

    id: int
    user_agent: str
    created_at: int
    seen_at: int
    current: bool


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A token of the client API that holds. The token itself is kept nowhere."""

    id: int
    label: str
    scopes: tuple[str, ...]
    created_at: int


async def viewer_of_session(raw: str) -> Resident | Anonymous:
    """Who is signed in with this cookie: Anonymous when it is unknown, over, or its person is out (T8)."""
    if not 0 < len(raw) <= MOST_TOKEN_CHARACTERS:
        return Anonymous()
    now = now_ms()
    row = await db.fetch_one(
        f"""SELECT s.id AS session_id, s.seen_at, c.id, c.actor_id, c.office, c.organisation FROM session s
            JOIN account c ON c.id = s.account_id
            WHERE s.token_hash = $1 AND s.expires_at > $2 AND {admitted("c", "$2")}""",
        token_hash(raw),
        now,
    )
    if row is None:
        return Anonymous()
    if row["seen_at"] <= now - SEEN_MS:
        await _seen(row["session_id"], now)
    return viewer_of_row(row)


def viewer_of_row(row: dict[str, Any], scopes: frozenset[str] | None = None) -> Resident:
    """Whose account a row is: its id, actor_id, office and organisation."""
    if row["office"] == Office.GUEST:
        return Guest(row["id"], row["actor_id"], guest_side(row["organisation"], row["actor_id"]), scopes)
    return Employee(row["id"], row["actor_id"], Office(row["office"]), scopes)


async def find_token(raw: str) -> Resident | None:
    """Whose token this is, with its scopes; None when it is unknown, revoked, or its person is out (T8)."""
    if not 0 < len(raw) <= MOST_TOKEN_CHARACTERS:
        return None
    row = await db.fetch_one(
        f"""SELECT t.scopes, c.id, c.actor_id, c.office, c.organisation FROM access_token t
            JOIN account c ON c.id = t.account_id
            WHERE t.token_hash = $1 AND t.revoked_at IS NULL AND {admitted("c", "$2")}""",
        token_hash(raw),
        now_ms(),
    )
    return None if row is None else viewer_of_row(row, frozenset(row["scopes"].split()))


async def session_id(raw: str) -> int | None:
    """The id of the session that this cookie opens, while it lasts: what an open stream belongs to."""
    row = await db.fetch_one(
        "SELECT id FROM session WHERE token_hash = $1 AND expires_at > $2", token_hash(raw), now_ms()
    )
    return int(row["id"]) if row else None


async def link_opens_for(raw: str) -> str | None:
    """The name that a one-time link would sign in; None when it is used, over or unknown. Uses nothing up."""
    row = await db.fetch_one(
        f"""SELECT c.name FROM sign_in_link l JOIN account c ON c.id = l.account_id
            WHERE l.token_hash = $1 AND l.used_at IS NULL AND l.expires_at > $2 AND {admitted("c", "$2")}""",
        token_hash(raw),
        now_ms(),
    )
    return str(row["name"]) if row else None


async def own(viewer: Resident) -> OwnAccount:
    """The viewer's own account."""
    row = await db.fetch_one(
        """SELECT c.*, a.display_name, a.summary, b.display_name AS sponsor FROM account c
           JOIN actor a ON a.id = c.actor_id LEFT JOIN actor b ON b.id = c.sponsor_id WHERE c.id = $1""",
        viewer.account_id,
    )
    if row is None:
        raise NotFound(detail="an account that is gone")
    return OwnAccount(
        id=row["id"],
        actor_id=row["actor_id"],
        name=row["name"],
        display_name=row["display_name"],
        summary=row["summary"],
        email=row["email"] or "",
        office=Office(row["office"]),
        language=row["language"],
        theme=row["theme"],
        invitations=row["invitations"],
        read_up_to=row["read_up_to"],
        has_password=bool(row["password_hash"]),
        created_at=row["created_at"],
        job=row["job"],
        organisation=row["organisation"],
        until_at=row["until_at"],
        sponsor=row["sponsor"] or "",
        mails=row["mails"],
    )


async def sessions(viewer: Resident, raw: str = "") -> list[OpenSession]:
    """The viewer's browsers, the latest first. `raw`: the cookie of the one that asks."""
    rows = await db.fetch(
        "SELECT id, user_agent, created_at, seen_at, token_hash FROM session"
        " WHERE account_id = $1 AND expires_at > $2 ORDER BY seen_at DESC, id DESC",
        viewer.account_id,
        now_ms(),
    )
    mine = token_hash(raw)
    return [
        OpenSession(row["id"], row["user_agent"], row["created_at"], row["seen_at"], row["token_hash"] == mine)
        for row in rows
    ]


async def tokens(viewer: Resident) -> list[IssuedToken]:
    """The viewer's tokens that hold, the latest first."""
    rows = await db.fetch(
        "SELECT id, label, scopes, created_at FROM access_token"
        " WHERE account_id = $1 AND revoked_at IS NULL ORDER BY id DESC",
        viewer.account_id,
    )
    return [IssuedToken(row["id"], row["label"], tuple(row["scopes"].split()), row["created_at"]) for row in rows]


async def listed(viewer: Viewer, *, after: str = "", limit: int = PAGE) -> list[AccountRow]:
    """All accounts by name, the suspended too, for operators and administrators. Raises Forbidden.

    `after`: the name of the last one of the page before.
    """
    demand_administrator(viewer)
    query = Clause(f"{_ACCOUNTS} WHERE c.name > ? ORDER BY c.name LIMIT ?", (after, limit))
    return [_account(row) for row in await db.fetch(*query.statement())]


async def find(viewer: Viewer, name: str) -> AccountRow:
    """One account by its name, for operators and administrators. Raises Forbidden or NotFound."""
    demand_administrator(viewer)
    row = await db.fetch_one(f"{_ACCOUNTS} WHERE c.name = $1", name.strip().lower().removeprefix("@"))
    if row is None:
        raise NotFound(detail="no account of that name")
    return _account(row)


async def resident(viewer: Viewer, name: str) -> Resident:
    """Somebody who is here, as who asks for them sees: for an archive of what is theirs. Raises Forbidden, NotFound."""
    row = await find(viewer, name)
    return viewer_of_row(
        {"id": row.id, "actor_id": row.actor_id, "office": row.office, "organisation": row.organisation}
    )


_ACCOUNTS = """SELECT c.id, c.actor_id, c.name, c.email, c.office, c.created_at, c.suspended_at, a.display_name,
    c.job, c.organisation, c.until_at, COALESCE(b.name, '') AS sponsor,
    (SELECT MAX(s.seen_at) FROM session s WHERE s.account_id = c.id) AS seen_at
    FROM account c JOIN actor a ON a.id = c.actor_id LEFT JOIN actor b ON b.id = c.sponsor_id"""


def _account(row: dict[str, Any]) -> AccountRow:
    return AccountRow(**{**row, "email": row["email"] or "", "office": Office(row["office"])})


async def _seen(session: int, now: int) -> None:
    """Lengthens a session. A full disk hinders nobody from reading."""
    with contextlib.suppress(Unavailable):
        await db.execute(
            "UPDATE session SET seen_at = $1, expires_at = $2 WHERE id = $3 AND seen_at <= $4",
            now,
            now + SESSION_MS,
            session,
            now - SEEN_MS,
        )
