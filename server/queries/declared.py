"""What a declarative file is compared with: guardrails, links, spaces of ours with who looks after them.

For the command line and for verbs that have asked, not a door.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import msgspec

from server import database as db
from server.openness import LinkState
from server.queries import policies
from server.space_policy import SpacePolicy

TRUSTED = (LinkState.ACTIVE, LinkState.SUSPENDED)


@dataclass(frozen=True, slots=True)
class LiveSpace:
    """A space of ours. `roles`: of our own people, by name."""

    id: int
    slug: str
    name: str
    description: str
    epoch: int
    policy: SpacePolicy
    roles: dict[str, str]
    managed_by: str
    managed_fields: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LiveLink:
    """A link. `key`: the fingerprint of the pinned instance key, '' when none is pinned."""

    host: str
    state: LinkState
    kin: bool
    key: str

    @property
    def trusted(self) -> bool:
        return self.state in TRUSTED


async def guardrails() -> dict[str, Any]:
    """What is set, by name, as JSON."""
    rows = await db.fetch("SELECT name, value FROM guardrail ORDER BY name")
    return {row["name"]: msgspec.json.decode(row["value"]) for row in rows}


async def links() -> dict[str, LiveLink]:
    """Every link, by host."""
    rows = await db.fetch(
        "SELECT q.host, l.state, l.kin, l.their_key FROM link l JOIN peer q ON q.id = l.peer_id ORDER BY q.host"
    )
    return {
        row["host"]: LiveLink(row["host"], LinkState(row["state"]), bool(row["kin"]), fingerprint(row["their_key"]))
        for row in rows
    }


def fingerprint(multikey: str) -> str:
    """SHA-256 over the pinned key as it is published (a Multikey), in hex."""
    return "sha256:" + sha256(multikey.encode()).hexdigest() if multikey else ""


async def spaces(slugs: Iterable[str]) -> dict[str, LiveSpace]:
    """Those of ours that are there, by slug."""
    found = {}
    for slug in dict.fromkeys(slugs):
        row = await db.fetch_one(
            "SELECT id, slug, name, description, epoch, managed_by, managed_fields FROM space"
            " WHERE slug = $1 AND peer_id IS NULL",
            slug,
        )
        if row is None:
            continue
        roles = await db.fetch(
            "SELECT a.name, m.role FROM membership m JOIN actor a ON a.id = m.actor_id"
            " WHERE m.space_id = $1 AND m.state = 'member' AND m.peer_id IS NULL ORDER BY a.name",
            row["id"],
        )
        found[slug] = LiveSpace(
            id=row["id"],
            slug=row["slug"],
            name=row["name"],
            description=row["description"],
            epoch=row["epoch"],
            policy=await policies.current(row["id"]),
            roles={one["name"]: one["role"] for one in roles},
            managed_by=row["managed_by"],
            managed_fields=tuple(msgspec.json.decode(row["managed_fields"])),
        )
    return found


async def slugs() -> list[str]:
    """All spaces of ours."""
    return [row["slug"] for row in await db.fetch("SELECT slug FROM space WHERE peer_id IS NULL ORDER BY slug")]


async def people(names: Iterable[str]) -> set[str]:
    """Which of these are colleagues of this instance."""
    found = set()
    for name in set(names):
        row = await db.fetch_one(
            "SELECT a.id FROM actor a JOIN account c ON c.actor_id = a.id WHERE a.host = '' AND a.kind = 'person'"
            " AND a.name = $1 AND a.suspended_at IS NULL AND c.office <> 'guest'",
            name,
        )
        if row is not None:
            found.add(name)
    return found


async def taken_names(names: Iterable[str]) -> set[str]:
    """Which of these addresses belong to somebody or something here."""
    found = set()
    for name in set(names):
        if await db.fetch_one("SELECT id FROM actor WHERE host = '' AND name = $1", name):
            found.add(name)
    return found


@dataclass(frozen=True, slots=True)
class Told:
    """What a partner knows of the openness of a space. `state`: confirmed, sent, pending, refused, never."""

    host: str
    epoch: int
    state: str


async def told_partners(space: LiveSpace) -> list[Told]:
    """For each partner that a space names: whether the newest version reached it and took effect there.

    A partner confirms by the signed receipts of its stream; to one without a stream it counts that it took it (2xx).
    """
    rows = await db.fetch(
        """SELECT q.id, q.host, t.generation, t.done FROM space_partner n JOIN peer q ON q.id = n.peer_id
           LEFT JOIN stream t ON t.peer_id = q.id WHERE n.space_id = $1 ORDER BY q.host""",
        space.id,
    )
    found = []
    for row in rows:
        last = await db.fetch_one(
            """SELECT d.state, d.number FROM event e LEFT JOIN delivery d ON d.event_id = e.id AND d.peer_id = $1
               WHERE e.space_id = $2 AND e.kind = 'space_changed' ORDER BY e.id DESC LIMIT 1""",
            row["id"],
            space.id,
        )
        found.append(Told(row["host"], space.epoch, _state(last, row["done"])))
    return found


def _state(last: dict[str, Any] | None, done: int | None) -> str:
    if last is None:
        return "confirmed"  # nothing was changed since it was named
    if last["state"] is None:
        return "never"
    if last["state"] == "sent" and done is not None and last["number"]:
        return "confirmed" if last["number"] <= done else "sent"
    return {"sent": "confirmed", "skipped": "never", "dead": "refused"}.get(last["state"], str(last["state"]))
