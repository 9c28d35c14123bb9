"""Who works here, what office they hold, their tokens for the client API, and what ends when they go.

Nobody signs up: an administrator or the command line adds people (T10). Their keys are made on first need.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any

from server import database as db
from server import live
from server.actions import mails, sponsors
from server.actions.audit import note
from server.clock import now_ms
from server.credentials import check_password, hash_password, new_token, token_hash
from server.errors import Conflict, Forbidden, Invalid, NotFound
from server.events import Kind, record
from server.ids import Addresses, new_id
from server.limits import DISPLAY_NAME_CHARACTERS, LATEST_MS
from server.mail_address import is_address
from server.openness import Office
from server.queries.offices import demand_administrator
from server.refusals import N_
from server.rights import DAY_MS
from server.settings import LANGUAGES
from server.text import one_line
from server.viewer import Employee, Operator, Resident

BAD_NAME = N_(
    "Un identifiant a 1 à 64 lettres minuscules sans accent, chiffres, points, tirets ou soulignés, sans point ni "
    "tiret au bord ; « %(name)s » ne convient pas."
)
NAME_TAKEN = N_("« %(name)s » est déjà pris, par une personne ou par un espace.")
BAD_DISPLAY_NAME = N_("Un nom a au plus %(limit)s caractères, sur une ligne.")
BAD_EMAIL = N_("« %(email)s » n’est pas une adresse électronique.")
EMAIL_TAKEN = N_("Cette adresse électronique est déjà celle d’une autre personne.")
BAD_OFFICE = N_("« %(office)s » n’est pas un rôle : member, admin, auditor ou guest.")
LONG_JOB = N_("Une fonction, une organisation ont au plus %(limit)s caractères, sur une ligne.")
NEEDS_SPONSOR = N_("Une personne de l’extérieur a un répondant, qui travaille ici : nommez-le.")
NEEDS_END = N_("Une personne de l’extérieur a une date de fin, à venir, comme 2027-06-30.")
GUESTS_ONLY = N_("Un répondant, une date de fin, une organisation se disent d’une personne de l’extérieur.")
NOT_HERE = N_("« %(who)s » ne travaille pas ici, ou n’y travaille plus.")
NOT_A_GUEST = N_("« %(who)s » n’est pas une personne de l’extérieur.")
STAYS_OUTSIDE = N_(
    "Une personne de l’extérieur ne devient pas collègue par un changement de rôle : ajoutez-lui un autre compte."
)
BAD_LANGUAGE = N_("« %(language)s » n’est pas une langue d’ici : fr ou en.")
UNKNOWN_SCOPE = N_("« %(scope)s » n’est pas un droit connu.")
WHOLE_SESSION_ONLY = N_("Un jeton n’a pas le droit de faire cela : passez par votre navigateur.")
NOT_YOURSELF = N_("Vous ne pouvez pas faire cela à votre propre compte.")
LAST_ADMIN = N_("Cette personne est la dernière à administrer l’instance : nommez d’abord quelqu’un d’autre.")

LABEL_CHARACTERS = 100
SCOPES_CHARACTERS = 200
_SCOPES = ("read", "write", "follow", "push", "admin")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_NAME = re.compile(r"[a-z0-9_](?:[a-z0-9_.-]{0,62}[a-z0-9_])?")


@dataclass(frozen=True, slots=True)
class NewPerson:
    """Somebody who begins to work here. Without a password they come in by a one-time link first.

    Of a guest it says who answers for them (`sponsor`, a name), until which day (`until`, as 2027-06-30) and of
    which organisation they are.
    """

    name: str
    display_name: str = ""
    email: str = ""
    office: str = Office.MEMBER.value
    language: str = ""
    password: str = field(default="", repr=False)
    job: str = ""
    sponsor: str = ""
    until: str = ""
    organisation: str = ""

    def tidied(self) -> "NewPerson":
        """Without spaces around; the address in lower case."""
        return NewPerson(
            self.name.strip().removeprefix("@"),
            " ".join(self.display_name.split(" ")).strip(),
            self.email.strip().lower(),
            self.office.strip().lower() or Office.MEMBER.value,
            self.language.strip().lower(),
            self.password,
            _line(self.job),
            self.sponsor.strip().removeprefix("@").lower(),
            self.until.strip(),
            _line(self.organisation),
        )


@dataclass(frozen=True, slots=True)
class Added:
    """The ids of somebody who was added."""

    name: str
    account_id: int
    actor_id: int


async def add_person(viewer: Employee | Operator, new: NewPerson, here: Addresses) -> Added:
    """Adds one person. Raises Invalid (naming the field), Conflict, or Forbidden for who is no administrator."""
    demand_administrator(viewer)
    new = new.tidied()
    for fault in faults_of(new, here):
        raise fault
    if new.password:
        check_password(new.password, new.name, new.display_name)
    password_hash = await hash_password(new.password) if new.password else ""
    async with db.transaction():
        if await db.fetch_one("SELECT id FROM actor WHERE host = '' AND name = $1", new.name):
            raise Conflict(NAME_TAKEN, field="name", params={"name": new.name})
        if new.email and await db.fetch_one("SELECT id FROM account WHERE email = $1", new.email):
            raise Conflict(EMAIL_TAKEN, field="email")
        sponsor_id = await _sponsor(new.sponsor) if new.office == Office.GUEST else None
        added = (await write_people([new], here))[0]
        await db.execute(
            "UPDATE account SET password_hash = $1, sponsor_id = $2 WHERE id = $3",
            password_hash,
            sponsor_id,
            added.account_id,
        )
        outside: dict[str, Any] = {"sponsor": new.sponsor, "until": new.until} if sponsor_id else {}
        await note(viewer, "add_person", subject=new.name, office=new.office, **outside)
        return added


async def extend_guest(viewer: Employee | Operator, account_id: int, until: str) -> None:
    """Moves the end of a guest, later or earlier; `until` as 2027-06-30. Raises Invalid, NotFound, Forbidden.

    Their sponsor may, and administrators.
    """
    async with db.transaction():
        row = await found(account_id)
        if not (isinstance(viewer, Employee) and viewer.scopes is None and viewer.actor_id == row["sponsor_id"]):
            demand_administrator(viewer)
        if row["office"] != Office.GUEST:
            raise Invalid(NOT_A_GUEST, field="name", params={"who": row["name"]})
        until_at = end_of(until)
        if until_at is None:
            raise Invalid(NEEDS_END, field="until")
        await db.execute("UPDATE account SET until_at = $1 WHERE id = $2", until_at, account_id)
        await note(viewer, "extend_guest", subject=row["name"], before=_day_of(row["until_at"]), after=until)
        tell_access_changed(account_id)


def end_of(day: str) -> int | None:
    """The last moment of a day to come (2027-06-30, in UTC), in milliseconds; None for what is none."""
    if not _DAY.fullmatch(day):
        return None
    try:
        date = datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        return None
    end = int(date.timestamp() * 1000) + DAY_MS - 1
    return end if now_ms() < end <= LATEST_MS else None


def _day_of(ms: int | None) -> str:
    return "" if ms is None else datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d")


def _line(text: str) -> str:
    return " ".join(text.split(" ")).strip()


def faults_of(new: NewPerson, here: Addresses) -> list[Invalid]:
    """All that does not fit in a tidied NewPerson, whatever is in the database; empty when all fits."""
    faults = []
    if not _NAME.fullmatch(new.name) or new.name == here.host:
        faults.append(Invalid(BAD_NAME, field="name", params={"name": new.name[:80]}))
    if len(new.display_name) > DISPLAY_NAME_CHARACTERS or not one_line(new.display_name or "x"):
        faults.append(Invalid(BAD_DISPLAY_NAME, field="display_name", params={"limit": DISPLAY_NAME_CHARACTERS}))
    if new.email and not is_address(new.email):
        faults.append(Invalid(BAD_EMAIL, field="email", params={"email": new.email[:80]}))
    if new.office not in list(Office):
        faults.append(Invalid(BAD_OFFICE, field="office", params={"office": new.office[:80]}))
    if new.language not in ("", *LANGUAGES):
        faults.append(Invalid(BAD_LANGUAGE, field="language", params={"language": new.language[:80]}))
    return faults + _faults_of_guest(new)


def _faults_of_guest(new: NewPerson) -> list[Invalid]:
    faults = []
    for name in ("job", "organisation"):
        if len(getattr(new, name)) > DISPLAY_NAME_CHARACTERS or not one_line(getattr(new, name) or "x"):
            faults.append(Invalid(LONG_JOB, field=name, params={"limit": DISPLAY_NAME_CHARACTERS}))
    if new.office != Office.GUEST:
        said = next((name for name in ("sponsor", "until", "organisation") if getattr(new, name)), "")
        return [*faults, Invalid(GUESTS_ONLY, field=said)] if said else faults
    if not new.sponsor:
        faults.append(Invalid(NEEDS_SPONSOR, field="sponsor"))
    if end_of(new.until) is None:
        faults.append(Invalid(NEEDS_END, field="until"))
    return faults


async def _sponsor(name: str) -> int:
    """The actor of a colleague who answers for a guest. Raises Invalid."""
    row = await db.fetch_one(
        "SELECT actor_id FROM account WHERE name = $1 AND office <> 'guest' AND suspended_at IS NULL", name
    )
    if row is None:
        raise Invalid(NOT_HERE, field="sponsor", params={"who": name[:80]})
    return int(row["actor_id"])


async def write_people(people: list[NewPerson], here: Addresses) -> list[Added]:
    """Writes tidied and checked people in the caller's transaction. Raises Conflict, and then none is written."""
    now = now_ms()
    added = [Added(new.name, new_id(), new_id()) for new in people]
    pairs = list(zip(added, people, strict=True))
    await db.insert_many("actor", [_actor_row(ids, new, here, now) for ids, new in pairs])
    await db.insert_many("account", [_account_row(ids, new, now) for ids, new in pairs])
    return added


async def suspend(viewer: Employee | Operator, account_id: int) -> None:
    """Shuts somebody out at once: sessions, tokens, links and memberships elsewhere end (T4, T8).

    What they wrote stays, and so does who wrote it: this is how somebody leaves the house, and what was written in a
    space is the space's. Nothing new of theirs comes in (A11); `erasing.erase` and stewards take back what there is.

    Raises Invalid for oneself, Conflict for the last administrator, NotFound, Forbidden.
    """
    demand_administrator(viewer)
    if isinstance(viewer, Employee) and viewer.account_id == account_id:
        raise Invalid(NOT_YOURSELF)
    async with db.transaction():
        row = await found(account_id)
        if row["suspended_at"] is not None:
            return
        await _keep_an_administrator(row)
        now = now_ms()
        await db.execute("UPDATE account SET suspended_at = $1 WHERE id = $2", now, account_id)
        await db.execute("UPDATE actor SET suspended_at = $1 WHERE id = $2", now, row["actor_id"])
        await end_access(account_id)
        await mails.end_reply_addresses(account_id)
        await _leave_elsewhere(row["actor_id"])
        await sponsors.left(row["actor_id"])
        await note(viewer, "suspend_person", subject=row["name"])


async def reinstate(viewer: Employee | Operator, account_id: int) -> None:
    """Lets somebody in again; sessions and tokens that ended do not come back. Raises NotFound, Forbidden."""
    demand_administrator(viewer)
    async with db.transaction():
        row = await found(account_id)
        await db.execute("UPDATE account SET suspended_at = NULL WHERE id = $1", account_id)
        await db.execute("UPDATE actor SET suspended_at = NULL WHERE id = $1", row["actor_id"])
        await note(viewer, "reinstate_person", subject=row["name"])


async def set_office(viewer: Employee | Operator, account_id: int, office: Office) -> None:
    """Makes somebody an administrator, an auditor, or neither. Raises Conflict for the last administrator."""
    demand_administrator(viewer)
    async with db.transaction():
        row = await found(account_id)
        if Office.GUEST in (office, row["office"]):
            raise Invalid(STAYS_OUTSIDE, field="office")
        if office is not Office.ADMIN:
            await _keep_an_administrator(row)
        await db.execute("UPDATE account SET office = $1 WHERE id = $2", office.value, account_id)
        await note(viewer, "set_office", subject=row["name"], before=row["office"], after=office.value)
        tell_access_changed(account_id)


async def issue_token(account_id: int, scopes: str | Iterable[str], label: str = "") -> str:
    """A new bearer token for the client API; only its hash is kept.

    The door has asked whether this person agreed, or is the command line. `scopes`: words, with spaces between
    or as a list. Raises Invalid for a scope nobody knows, NotFound for the suspended.
    """
    words = list(dict.fromkeys(scopes.split() if isinstance(scopes, str) else scopes))
    for scope in words or [""]:
        if scope.partition(":")[0] not in _SCOPES or " " in scope or len(" ".join(words)) > SCOPES_CHARACTERS:
            raise Invalid(UNKNOWN_SCOPE, field="scopes", params={"scope": scope[:80]})
    raw, label = new_token(), "".join(filter(str.isprintable, label))[:LABEL_CHARACTERS]
    async with db.transaction():
        if (await found(account_id))["suspended_at"] is not None:
            raise NotFound(detail="a suspended account")
        token = {"id": new_id(), "token_hash": token_hash(raw), "account_id": account_id, "scopes": " ".join(words)}
        await db.insert("access_token", {**token, "label": label, "created_at": now_ms()})
    return raw


async def revoke_token(raw: str) -> None:
    """Ends a token by itself (RFC 7009), and its streams (T2); an unknown one changes nothing."""
    async with db.transaction():
        rows = await db.fetch(
            "UPDATE access_token SET revoked_at = $1 WHERE token_hash = $2 AND revoked_at IS NULL RETURNING account_id",
            now_ms(),
            token_hash(raw),
        )
        for row in rows:
            tell_access_changed(row["account_id"])


async def revoke_token_by_id(viewer: Resident, token_id: int) -> None:
    """Ends one of the viewer's own tokens, and its streams (T2). Raises NotFound, Forbidden for a token."""
    if viewer.scopes is not None:
        raise Forbidden(WHOLE_SESSION_ONLY)
    async with db.transaction():
        gone = await db.execute(
            "UPDATE access_token SET revoked_at = $1 WHERE id = $2 AND account_id = $3 AND revoked_at IS NULL",
            now_ms(),
            token_id,
            viewer.account_id,
        )
        if not gone:
            raise NotFound(detail="no token of theirs")
        tell_access_changed(viewer.account_id)


async def end_access(account_id: int, *, but_session: str = "") -> None:
    """In the caller's transaction: every session, token and unused link of an account ends (T3, T8).

    `but_session`: the hash of the one cookie that stays. Links first: a session that one is opening right now is
    waited for, and ends with the others.
    """
    now = now_ms()
    await db.execute(
        "UPDATE access_token SET revoked_at = $1 WHERE account_id = $2 AND revoked_at IS NULL", now, account_id
    )
    await db.execute("UPDATE sign_in_link SET used_at = $1 WHERE account_id = $2 AND used_at IS NULL", now, account_id)
    await db.execute("DELETE FROM session WHERE account_id = $1 AND token_hash <> $2", account_id, but_session)
    tell_access_changed(account_id)


def tell_access_changed(account_id: int) -> None:
    """On commit, open streams of this account ask again who they are, and close when it is nobody (T2, T4)."""
    db.after_commit(partial(live.publish, live.Fact("access", account_id=account_id)))


async def found(account_id: int) -> dict[str, Any]:
    """The row of an account. Raises NotFound."""
    row = await db.fetch_one(
        "SELECT id, actor_id, name, office, suspended_at, sponsor_id, until_at FROM account WHERE id = $1", account_id
    )
    if row is None:
        raise NotFound(detail="no such account")
    return row


async def _keep_an_administrator(going: dict[str, Any]) -> None:
    others = await db.fetch_one(
        "SELECT COUNT(*) AS n FROM account WHERE office = 'admin' AND suspended_at IS NULL AND id <> $1", going["id"]
    )
    if going["office"] == Office.ADMIN and not (others and others["n"]):
        raise Conflict(LAST_ADMIN)


async def _leave_elsewhere(actor_id: int) -> None:
    """Partners hear that a person is no longer in their spaces: what is written there does not come any more."""
    rows = await db.fetch(
        """SELECT m.id, m.space_id, m.uri FROM membership m JOIN space s ON s.id = m.space_id
           WHERE m.actor_id = $1 AND s.peer_id IS NOT NULL""",
        actor_id,
    )
    for row in rows:
        await db.execute("DELETE FROM membership WHERE id = $1", row["id"])
        await record(Kind.LEFT, actor_id=actor_id, space_id=row["space_id"], data={"uri": row["uri"]})


def _actor_row(ids: Added, new: NewPerson, here: Addresses, now: int) -> dict[str, Any]:
    uri = here.person(new.name)
    return {
        "id": ids.actor_id,
        "uri": uri,
        "kind": "person",
        "name": new.name,
        "host": "",
        "display_name": new.display_name or new.name,
        "inbox": f"{uri}/inbox",
        "shared_inbox": here.shared_inbox,
        "followers_uri": f"{uri}/followers",
        "created_at": now,
    }


def _account_row(ids: Added, new: NewPerson, now: int) -> dict[str, Any]:
    return {
        "id": ids.account_id,
        "actor_id": ids.actor_id,
        "name": new.name,
        "email": new.email or None,
        "office": new.office,
        "language": new.language,
        "job": new.job,
        "organisation": new.organisation,
        "until_at": end_of(new.until),
        "created_at": now,
    }
