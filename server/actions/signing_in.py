"""Coming in and going out: passwords, one-time links, sessions.

Whatever is wrong about a name and a password, the answer is one and the same sentence after the same time (W7).
"""

from dataclasses import dataclass, field

from server import attempts
from server import database as db
from server.actions.accounts import WHOLE_SESSION_ONLY, end_access, tell_access_changed
from server.actions.audit import note
from server.clock import now_ms
from server.credentials import check_password, hash_password, is_outdated, new_token, token_hash, verify_password
from server.errors import Forbidden, Invalid, NotFound, Unauthenticated
from server.ids import new_id
from server.limits import EMAIL_CHARACTERS
from server.queries.accounts import SESSION_MS
from server.queries.guests import admitted
from server.queries.offices import demand_administrator
from server.refusals import N_
from server.viewer import Employee, Operator, Resident

WRONG = N_("Identifiant ou mot de passe incorrect.")
WRONG_NOW = N_("Ce n’est pas votre mot de passe actuel.")
LINK_OVER = N_("Ce lien a déjà servi, ou n’est plus valable : demandez-en un autre.")

LINK_MS = 24 * 3600 * 1000
USER_AGENT_CHARACTERS = 300


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A new session. `token` goes into the cookie and is kept nowhere else."""

    account_id: int
    session_id: int
    token: str = field(repr=False)


async def sign_in(name: str, password: str, address: str, user_agent: str = "") -> SignedIn:
    """Opens a session for a name or mail address and its password.

    `address`: where the browser is, from trusted proxies only (W3). Raises Unauthenticated in the same words
    for whatever does not fit, TooManyAttempts before anything is looked at.
    """
    name = name.strip().lower().removeprefix("@")
    counted = attempts.buckets("sign_in", name, address)
    await attempts.count(counted)
    row = await db.fetch_one(
        f"SELECT c.id, c.password_hash, CASE WHEN {admitted('c', '$2')} THEN 1 ELSE 0 END AS admitted"
        " FROM account c WHERE c.name = $1 OR c.email = $1",
        name if len(name) <= EMAIL_CHARACTERS and name.isascii() and name.isprintable() else "",
        now_ms(),
    )
    fits = await verify_password(password, row["password_hash"] if row else "")
    if row is None or not fits or not row["admitted"]:
        raise Unauthenticated(WRONG)
    fresh = await hash_password(password) if is_outdated(row["password_hash"]) else row["password_hash"]
    async with db.transaction():
        still = await db.execute(
            "UPDATE account SET password_hash = $1 WHERE id = $2 AND password_hash = $3 AND suspended_at IS NULL",
            fresh,
            row["id"],
            row["password_hash"],
        )
        if not still:
            raise Unauthenticated(WRONG)
        signed_in = await _open_session(row["id"], user_agent)
    await attempts.forgive(counted)
    return signed_in


async def sign_in_with_link(raw: str, address: str, user_agent: str = "") -> SignedIn:
    """Opens a session with a one-time link, which is used up. Raises Unauthenticated or TooManyAttempts."""
    counted = attempts.buckets("link", raw, address)
    await attempts.count(counted)
    async with db.transaction():
        rows = await db.fetch(
            "UPDATE sign_in_link SET used_at = $1 WHERE token_hash = $2 AND used_at IS NULL AND expires_at > $3"
            f" AND account_id IN (SELECT c.id FROM account c WHERE {admitted('c', '$3')}) RETURNING account_id",
            now_ms(),
            token_hash(raw),
            now_ms(),
        )
        if not rows:
            raise Unauthenticated(LINK_OVER)
        signed_in = await _open_session(rows[0]["account_id"], user_agent)
    await attempts.forgive(counted)
    return signed_in


async def new_sign_in_link(viewer: Employee | Operator, account_id: int) -> str:
    """The secret of a link that signs somebody in once, within a day. Raises NotFound or Forbidden."""
    demand_administrator(viewer)
    raw, now = new_token(), now_ms()
    async with db.transaction():
        row = await db.fetch_one(
            f"SELECT c.name FROM account c WHERE c.id = $1 AND {admitted('c', '$2')}", account_id, now
        )
        if row is None:
            raise NotFound(detail="no such account")
        await db.insert(
            "sign_in_link",
            {
                "id": new_id(),
                "token_hash": token_hash(raw),
                "account_id": account_id,
                "created_at": now,
                "expires_at": now + LINK_MS,
            },
        )
        await note(viewer, "new_sign_in_link", subject=row["name"])
    return raw


async def change_password(viewer: Resident, present: str, wanted: str, raw: str) -> None:
    """Changes one's own password. All other sessions, all tokens and links end (T3); `raw`: the cookie that stays.

    Somebody who came by a link and has none yet needs no present one. Raises Invalid naming the field,
    Forbidden for a token, TooManyAttempts.
    """
    if viewer.scopes is not None:
        raise Forbidden(WHOLE_SESSION_ONLY)
    row = await _named(viewer.account_id)
    check_password(wanted, row["name"], row["display_name"], row["email"] or "")
    if row["password_hash"]:
        counted = attempts.buckets("password", str(viewer.account_id), "")
        await attempts.count(counted)
        if not await verify_password(present, row["password_hash"]):
            raise Invalid(WRONG_NOW, field="present")
        await attempts.forgive(counted)
    await _set_password(viewer.account_id, row["password_hash"], wanted, but_session=token_hash(raw))


async def set_password(viewer: Employee | Operator, account_id: int, wanted: str) -> None:
    """Gives somebody a password; all their sessions, tokens and links end (T3). Raises Invalid, Forbidden."""
    demand_administrator(viewer)
    row = await _named(account_id)
    check_password(wanted, row["name"], row["display_name"], row["email"] or "")
    async with db.transaction():
        await note(viewer, "set_password", subject=row["name"])
    await _set_password(account_id, row["password_hash"], wanted, but_session="")


async def sign_out(raw: str) -> None:
    """Ends the session of this cookie, and its streams; one that is over already changes nothing (T6)."""
    async with db.transaction():
        rows = await db.fetch("DELETE FROM session WHERE token_hash = $1 RETURNING account_id", token_hash(raw))
        for row in rows:
            tell_access_changed(row["account_id"])


async def revoke_session(viewer: Resident, session_id: int) -> None:
    """Ends one of the viewer's own sessions. Raises NotFound for anybody else's, Forbidden for a token."""
    if viewer.scopes is not None:
        raise Forbidden(WHOLE_SESSION_ONLY)
    async with db.transaction():
        gone = await db.execute("DELETE FROM session WHERE id = $1 AND account_id = $2", session_id, viewer.account_id)
        if not gone:
            raise NotFound(detail="no session of theirs")
        tell_access_changed(viewer.account_id)


async def sweep() -> None:
    """Forgets sessions and links that are over, and old counts of attempts. For the worker, once an hour."""
    now = now_ms()
    await db.execute("DELETE FROM session WHERE expires_at <= $1", now)
    await db.execute("DELETE FROM sign_in_link WHERE expires_at <= $1", now)
    await attempts.sweep()


async def _open_session(account_id: int, user_agent: str) -> SignedIn:
    signed_in = SignedIn(account_id, new_id(), new_token())
    now = now_ms()
    await db.insert(
        "session",
        {
            "id": signed_in.session_id,
            "token_hash": token_hash(signed_in.token),
            "account_id": account_id,
            "user_agent": "".join(filter(str.isprintable, user_agent))[:USER_AGENT_CHARACTERS],
            "created_at": now,
            "seen_at": now,
            "expires_at": now + SESSION_MS,
        },
    )
    return signed_in


async def _named(account_id: int) -> dict[str, str]:
    row = await db.fetch_one(
        """SELECT c.name, c.email, c.password_hash, a.display_name FROM account c JOIN actor a ON a.id = c.actor_id
           WHERE c.id = $1""",
        account_id,
    )
    if row is None:
        raise NotFound(detail="no such account")
    return row


async def _set_password(account_id: int, before: str, wanted: str, *, but_session: str) -> None:
    """Only over the password that was checked: two changes at once do not both pass."""
    fresh = await hash_password(wanted)
    async with db.transaction():
        changed = await db.execute(
            "UPDATE account SET password_hash = $1 WHERE id = $2 AND password_hash = $3", fresh, account_id, before
        )
        if not changed:
            raise Invalid(WRONG_NOW, field="present")
        await end_access(account_id, but_session=but_session)
