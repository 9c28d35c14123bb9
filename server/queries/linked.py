"""One linked instance, for administrators: shared spaces, its people there, what it said that was refused."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from server import database as db
from server.openness import Level
from server.queries import links
from server.queries.links import LinkCard
from server.queries.posts import PersonCard
from server.viewer import Viewer

MOST_SPACES = 200
MOST_PEOPLE = 500
MOST_INCIDENTS = 100
MOST_FORMER = 20


@dataclass(frozen=True, slots=True)
class SharedSpace:
    """A space that both are in. `here`: we host it; `theirs`, `ours`: how many people of each are in it, as known
    here; `frozen_at`: since when nobody here reads it, because its host's list of our members is not ours.
    """

    slug: str
    name: str
    level: Level
    here: bool
    theirs: int
    ours: int
    frozen_at: int | None


@dataclass(frozen=True, slots=True)
class Incident:
    """What they said or served that was refused, so many times. `example`: the id of the last one."""

    rule: str
    reason: str
    example: str
    count: int
    first_at: int
    last_at: int


@dataclass(frozen=True, slots=True)
class Formerly:
    """A host that the instance left, and when we followed."""

    host: str
    at: int


@dataclass(frozen=True, slots=True)
class Linked:
    """All that is known of one link. `people`: theirs, in spaces of ours. `denies_past`: what its people wrote is
    not to be opened to more.
    """

    card: LinkCard
    key: str
    old_key_until_at: int | None
    rekeying: bool
    spaces: tuple[SharedSpace, ...]
    people: tuple[PersonCard, ...]
    incidents: tuple[Incident, ...]
    formerly: tuple[Formerly, ...] = ()
    denies_past: bool = False


async def of_host(viewer: Viewer, host: str) -> Linked:
    """Raises Forbidden to all but administrators, NotFound."""
    return await _of(await links.find(viewer, host))


async def every(viewer: Viewer) -> list[Linked]:
    """The same of all links, those that ask for something first. Raises Forbidden to all but administrators."""
    return [await _of(card) for card in await links.listed(viewer)]


async def _of(card: LinkCard) -> Linked:
    pin = await db.fetch_one(
        "SELECT l.their_key, l.their_old_until_at, l.our_key_uri, l.rekey_event_id, q.denies_past FROM link l"
        " JOIN peer q ON q.id = l.peer_id WHERE l.peer_id = $1",
        card.peer_id,
    )
    assert pin is not None
    told = await db.fetch_one(
        "SELECT id FROM delivery WHERE event_id = $1 AND state = 'sent' LIMIT 1", pin["rekey_event_id"] or 0
    )
    return Linked(
        card,
        key=pin["their_key"],
        old_key_until_at=pin["their_old_until_at"],
        rekeying=bool(pin["our_key_uri"]) and told is None,
        spaces=await _spaces(card.peer_id),
        people=await _people(card.peer_id),
        incidents=await _incidents(card.peer_id),
        formerly=await _formerly(card.peer_id),
        denies_past=bool(pin["denies_past"]),
    )


async def _formerly(peer_id: int) -> tuple[Formerly, ...]:
    rows = await db.fetch(
        "SELECT host, moved_at AS at FROM former_origin WHERE peer_id = $1 AND base_url <> now_url"
        " ORDER BY moved_at DESC LIMIT $2",
        peer_id,
        MOST_FORMER,
    )
    return tuple(Formerly(**row) for row in rows)


async def _spaces(peer_id: int) -> tuple[SharedSpace, ...]:
    rows = await db.fetch(
        """SELECT s.slug, s.name, s.level, s.peer_id, s.frozen_at,
             (SELECT COUNT(*) FROM membership m WHERE m.space_id = s.id AND m.state = 'member'
                AND m.peer_id = $1) AS theirs,
             (SELECT COUNT(*) FROM membership m WHERE m.space_id = s.id AND m.state = 'member'
                AND m.peer_id IS NULL) AS ours
           FROM space s WHERE s.peer_id = $1
             OR EXISTS (SELECT 1 FROM space_partner n WHERE n.space_id = s.id AND n.peer_id = $1)
           ORDER BY s.name, s.id LIMIT $2""",
        peer_id,
        MOST_SPACES,
    )
    return tuple(
        SharedSpace(
            row["slug"],
            row["name"],
            Level(row["level"]),
            row["peer_id"] is None,
            row["theirs"],
            row["ours"],
            row["frozen_at"],
        )
        for row in rows
    )


async def _people(peer_id: int) -> tuple[PersonCard, ...]:
    rows = await db.fetch(
        "SELECT DISTINCT a.id, a.uri, a.name, a.host, a.display_name FROM membership m"
        " JOIN actor a ON a.id = m.actor_id WHERE m.peer_id = $1 AND m.state = 'member' AND a.gone_at IS NULL"
        " ORDER BY a.name, a.id LIMIT $2",
        peer_id,
        MOST_PEOPLE,
    )
    return tuple(PersonCard(**row) for row in rows)


async def _incidents(peer_id: int) -> tuple[Incident, ...]:
    rows = await db.fetch(
        "SELECT rule, reason, example, count, first_at, last_at FROM link_incident WHERE peer_id = $1"
        " ORDER BY last_at DESC, id DESC LIMIT $2",
        peer_id,
        MOST_INCIDENTS,
    )
    return tuple(Incident(**row) for row in rows)


def as_json(linked: Linked) -> dict[str, Any]:
    """The same for a program: times in UTC."""
    card = linked.card
    return {
        "host": card.host,
        "title": card.title,
        "state": card.state.value,
        "cause": card.cause,
        "reason": card.reason,
        "kin": card.kin,
        "confirmed_here": card.confirmed_here,
        "confirmed_there": card.confirmed_there,
        "active_at": _time(card.active_at),
        "changed_at": _time(card.changed_at),
        "offer_until": _time(card.offer_until_at),
        "until": _time(card.until_at),
        "history_consent": "deny" if linked.denies_past else "allow",
        "key": linked.key,
        "old_key_until": _time(linked.old_key_until_at),
        "rekeying": linked.rekeying,
        "health": card.health,
        "last_ok_at": _time(card.last_ok_at),
        "last_heard_at": _time(card.last_heard_at),
        "last_error": card.last_error,
        "skew_ms": card.skew_ms,
        "spaces": card.spaces,
        "people": card.people,
        "copies": card.copies,
        "waiting": card.waiting,
        "oldest_ms": card.oldest_ms,
        "dead": card.dead,
        "incidents": card.incidents,
        "formerly": [one.host for one in linked.formerly],
        "moved_at": _time(linked.formerly[0].at) if linked.formerly else None,
        "shared_spaces": [
            {
                "slug": space.slug,
                "name": space.name,
                "level": space.level.value,
                "hosted_here": space.here,
                "their_people": space.theirs,
                "our_people": space.ours,
                "frozen_at": _time(space.frozen_at),
            }
            for space in linked.spaces
        ],
        "their_people": [person.handle for person in linked.people],
        "refused": [
            {
                "rule": one.rule,
                "reason": one.reason,
                "example": one.example,
                "count": one.count,
                "first_at": _time(one.first_at),
                "last_at": _time(one.last_at),
            }
            for one in linked.incidents
        ],
    }


def _time(ms: int | None) -> str | None:
    if ms is None:
        return None
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
