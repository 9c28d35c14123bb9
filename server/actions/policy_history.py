"""The history of openness: every version of every space's policy, each holding the hash of the one before.

Rows are only ever added. A chain that was cut, reordered or rewritten no longer adds up, and `verify` names the
first version that does not; what changed a space behind its back is found by comparing it with its last version.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import msgspec

from server import database as db
from server.clock import now_ms
from server.ids import host_of
from server.queries import policies
from server.space_policy import SpacePolicy, canonical, canonical_json, digest_of
from server.viewer import Employee, Operator

BEGINNING = "0" * 64
AT_ONCE = 500
ADDING = 7077002
"""The lock between two who add a version, on PostgreSQL."""


@dataclass(frozen=True, slots=True)
class Made:
    """One change as it goes into the history."""

    epoch: int
    before: SpacePolicy
    after: SpacePolicy
    door: str
    source: str = ""
    reason: str = ""
    approver: int | None = None
    plan_hash: str = ""
    effects: dict[str, Any] | None = None


async def append(viewer: Employee | Operator, space_id: int, made: Made) -> int:
    """Adds one version in the caller's transaction; its number, without gaps over all spaces."""
    if db.engine_name() == "postgres":
        await db.fetch(f"SELECT pg_advisory_xact_lock({ADDING})")
    last = await db.fetch_one("SELECT number, hash FROM policy_version ORDER BY number DESC LIMIT 1")
    row: dict[str, Any] = {
        "number": last["number"] + 1 if last else 1,
        "space_id": space_id,
        "epoch": made.epoch,
        "at": now_ms(),
        "actor_id": viewer.actor_id if isinstance(viewer, Employee) else None,
        "operator": viewer.name[:100] if isinstance(viewer, Operator) else "",
        "door": made.door,
        "source": made.source[:300],
        "reason": made.reason[:1000],
        "approver_id": made.approver,
        "plan_hash": made.plan_hash,
        "before": canonical(made.before),
        "after": canonical(made.after),
        "effects": canonical_json(made.effects or {}),
        "previous": last["hash"] if last else BEGINNING,
    }
    await db.insert("policy_version", {**row, "hash": hash_of(row)})
    return int(row["number"])


_HASHED = (
    "number", "space_id", "epoch", "at", "actor_id", "operator", "door", "source", "reason", "approver_id",
    "plan_hash", "before", "after", "effects", "previous",
)  # fmt: skip


def hash_of(row: dict[str, Any]) -> str:
    """The hash of a version: SHA-256 over everything that it says, the hash before it included."""
    return digest_of(*("" if row[name] is None else str(row[name]) for name in _HASHED))


@dataclass(frozen=True, slots=True)
class Fault:
    """Something in the history that does not add up."""

    number: int
    slug: str
    what: str  # gap, broken, rewritten, epoch, behind, head


@dataclass(frozen=True, slots=True)
class Verdict:
    """How many versions were read, the hash of the last, and what is wrong."""

    versions: int
    head: str
    faults: tuple[Fault, ...]


async def verify(noted: str = "") -> Verdict:
    """Reads the whole chain, in parts, and compares every space with its last version.

    `noted`: a head that somebody kept elsewhere; a chain that was cut and written anew does not have it.
    """
    faults: list[Fault] = []
    found = not noted
    now = await _hosts_now()
    previous, expected, last = BEGINNING, 1, dict[int, tuple[int, str]]()
    async for row in _chain():
        slug = row["slug"]
        if row["number"] != expected:
            faults.append(Fault(row["number"], slug, "gap"))
        if row["previous"] != previous:
            faults.append(Fault(row["number"], slug, "broken"))
        if hash_of(row) != row["hash"]:
            faults.append(Fault(row["number"], slug, "rewritten"))
        epoch, after = last.get(row["space_id"], (0, row["before"]))
        if row["epoch"] <= epoch or _as_now(row["before"], now) != _as_now(after, now):
            faults.append(Fault(row["number"], slug, "epoch"))
        last[row["space_id"]] = (row["epoch"], row["after"])
        previous, expected = row["hash"], row["number"] + 1
        found = found or row["hash"] == noted
    if not found:
        faults.append(Fault(0, "", "head"))
    for space_id, (epoch, after) in last.items():
        space = await db.fetch_one("SELECT slug, epoch FROM space WHERE id = $1", space_id)
        if (
            space is None
            or space["epoch"] < epoch
            or canonical(await policies.current(space_id)) != _as_now(after, now)
        ):
            faults.append(Fault(0, space["slug"] if space else str(space_id), "behind"))
    return Verdict(expected - 1, previous, tuple(faults))


async def _hosts_now() -> dict[str, str]:
    """Partners that moved: the host that an older version names, and the one that names them today."""
    rows = await db.fetch("SELECT host, now_url FROM former_origin WHERE peer_id IS NOT NULL")
    return {row["host"]: host_of(row["now_url"]) for row in rows}


def _as_now(policy: str, now: dict[str, str]) -> str:
    """A policy as a version keeps it, with each partner by the host where it is now."""
    if not any(host in policy for host in now):
        return policy
    told = msgspec.json.decode(policy)
    told["partners"] = {now.get(host, host): terms for host, terms in told["partners"].items()}
    return canonical_json(told)


async def _chain() -> AsyncIterator[dict[str, Any]]:
    after = 0
    while True:
        rows = await db.fetch(
            "SELECT v.*, s.slug FROM policy_version v JOIN space s ON s.id = v.space_id WHERE v.number > $1"
            " ORDER BY v.number LIMIT $2",
            after,
            AT_ONCE,
        )
        for row in rows:
            yield row
        if len(rows) < AT_ONCE:
            return
        after = rows[-1]["number"]
