"""The row of a link: which steps it allows, who may take them, how it changes and how it ends."""

from dataclasses import dataclass
from typing import Any

from server import database as db
from server import live
from server.actions import recalls
from server.clock import now_ms
from server.errors import Conflict, Forbidden, NotFound
from server.events import Kind, record
from server.openness import LinkState
from server.queries.consent import spoke_of_past
from server.queries.former import new_host
from server.refusals import N_
from server.viewer import Employee, Operator

ADMINS_ONLY = N_("Seuls les administrateurs lient des instances.")
NO_LINK = N_("Aucune liaison avec « %(host)s » : proposez-la d’abord.")
WRONG_STEP = N_("La liaison avec « %(host)s » est à l’état « %(state)s » : cette étape n’est pas possible.")

OFFER_OVER = N_("La proposition de liaison de « %(host)s » a expiré : proposez-la de nouveau.")
TOO_NEW = N_("Cette liaison demande la version %(version)s du protocole, qui n’est pas parlée ici.")
FAR_DATE = N_("Cette date est trop lointaine : au plus tard le 31 décembre %(year)s.")
PAST_DATE = N_("La fin de la liaison doit être à venir.")

STEPS: dict[str, frozenset[LinkState]] = {
    "offer": frozenset({LinkState.NONE, LinkState.ENDED, LinkState.OFFERED}),
    "receive": frozenset({LinkState.NONE, LinkState.ENDED, LinkState.RECEIVED, LinkState.OFFERED}),
    "accept": frozenset({LinkState.RECEIVED}),
    "accepted": frozenset({LinkState.OFFERED}),
    "words": frozenset({LinkState.CONFIRMED, LinkState.ACTIVE}),
    "confirm": frozenset({LinkState.CONFIRMED}),
    "confirmed": frozenset({LinkState.CONFIRMED, LinkState.ACTIVE, LinkState.SUSPENDED}),
    "suspend": frozenset({LinkState.ACTIVE}),
    "resume": frozenset({LinkState.SUSPENDED}),
    "end": frozenset(set(LinkState) - {LinkState.NONE, LinkState.ENDED}),
}
"""From which states each step may be taken. `confirmed` as a state means: both have the other's key and nonce,
and the words can be compared."""


OFFER_MS = 14 * 24 * 3_600_000
"""How long an offer waits to be taken, in milliseconds."""
VERSION = 1
"""The version of the link protocol that is spoken here."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What one side asks of a link: until when its offer holds, until when the link, and the least version (ms)."""

    offer_until_at: int | None = None
    until_at: int | None = None
    min_version: int = VERSION

    def columns(self) -> dict[str, int | None]:
        return {
            "offer_until_at": self.offer_until_at,
            "until_at": self.until_at,
            "min_version": self.min_version,
        }

    def demand_speakable(self) -> None:
        """Raises Conflict when they ask for a newer version than is spoken here, or for a link that is over."""
        if self.min_version > VERSION:
            raise Conflict(TOO_NEW, params={"version": self.min_version})
        if any(date is not None and date < now_ms() for date in (self.offer_until_at, self.until_at)):
            raise Conflict(OFFER_OVER, params={"host": ""}, detail="it was over when it came")


@dataclass(frozen=True, slots=True)
class TheirSide:
    """What the other instance showed of itself: its key is pinned as it stands here."""

    peer_id: int
    host: str
    key_uri: str
    key: str  # Multikey
    title: str = ""


def demand_admin(viewer: Employee | Operator) -> None:
    """Raises Forbidden."""
    if not isinstance(viewer, Operator) and not viewer.is_admin:
        raise Forbidden(ADMINS_ONLY)


COMPARED_ANEW = "(COALESCE(l.state, '') = 'confirmed' AND l.active_at IS NOT NULL)"
"""SQL: a link (l) that stood, stopped because of its key, and goes on once the words are compared once more."""
STANDS = f"(COALESCE(l.state, '') IN ('active', 'suspended') OR {COMPARED_ANEW})"
"""SQL: a link (l) over which things flow, or will again: what happens meanwhile waits for it."""


_LINK = "SELECT l.*, q.host, q.base_url, q.title FROM link l JOIN peer q ON q.id = l.peer_id WHERE"


def _alone() -> str:
    return " FOR UPDATE OF l" if db.engine_name() == "postgres" else ""


async def row_of(peer_id: int, *, alone: bool = False) -> dict[str, Any] | None:
    """The link with an instance, if there is or was one. `alone`: it is this transaction's until its end.

    Whoever takes a step must have it alone: two who confirmed at one moment saw each that the other had not yet.
    """
    return await db.fetch_one(f"{_LINK} l.peer_id = $1{_alone() if alone else ''}", peer_id)


async def found(host: str, *, alone: bool = False) -> dict[str, Any]:
    """The link with the instance at a host; `alone` as in `row_of`. Raises NotFound."""
    row = await db.fetch_one(f"{_LINK} q.host = $1{_alone() if alone else ''}", await new_host(host.strip().lower()))
    if row is None:
        raise NotFound(NO_LINK, params={"host": host[:255]})
    return row


async def demand_step(row: dict[str, Any] | None, step: str, host: str) -> None:
    """Raises Conflict where the table does not allow the step."""
    state = LinkState(row["state"]) if row else LinkState.NONE
    if state not in STEPS[step]:
        raise Conflict(WRONG_STEP, params={"host": host, "state": state.value})


async def change(row: dict[str, Any], state: LinkState, **values: Any) -> None:
    """Writes the state and these columns; None leaves a column as it is.

    Who becomes active says so: by an empty page the other side learns that it is heard again, after it was refused;
    and what both hold is compared, since nothing was written down for a link that was not agreed upon yet. And it is
    told whether we consent that a past is opened: what they read of us while it was agreed upon may say otherwise.
    """
    changes = {"state": state.value, "changed_at": now_ms(), **{k: v for k, v in values.items() if v is not None}}
    sets = ", ".join(f"{name} = ${number}" for number, name in enumerate(changes, 1))
    await db.execute(f"UPDATE link SET {sets} WHERE id = ${len(changes) + 1}", *changes.values(), row["id"])
    if state is LinkState.ACTIVE:
        await db.execute(
            "UPDATE stream SET ask_at = $1, resync_at = COALESCE(resync_at, $1) WHERE peer_id = $2",
            now_ms(),
            row["peer_id"],
        )
        await db.execute("UPDATE peer SET state = 'ok', failures = 0, due_at = 0 WHERE id = $1", row["peer_id"])
        if await spoke_of_past():
            await record(Kind.CONSENT_CHANGED, data={"peers": [row["peer_id"]]})
    wake()


async def over(row: dict[str, Any], cause: str = "") -> None:
    """Nobody of theirs is in a space of ours any more, nobody of ours in theirs, and no space names them."""
    peer = row["peer_id"]
    if db.engine_name() == "postgres":  # whatever is being taken from them takes effect first, and ends with the rest
        await db.fetch("SELECT id FROM link WHERE id = $1 FOR UPDATE", row["id"])
    await recalls.take_back_all(recalls.SYSTEM, peer, "link_end")
    await db.execute("DELETE FROM membership WHERE peer_id = $1", peer)
    await db.execute("DELETE FROM membership WHERE space_id IN (SELECT id FROM space WHERE peer_id = $1)", peer)
    await db.execute("DELETE FROM space_partner WHERE peer_id = $1", peer)
    await change(row, LinkState.ENDED, cause=cause)


def wake() -> None:
    """Open pages and workers look again, once it is committed."""
    db.after_commit(lambda: live.publish(live.Fact("access")))
