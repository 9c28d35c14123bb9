"""What an owner decides about a space, as one value: level, dials, partners, dates.

It is read from a row or from JSON, compared cell by cell (a change *widens* if some cell of the table grows and
*narrows* if one shrinks: names say nothing), and checked against the bounds of its level and the guardrails of the
instance. Pure: whoever applies it is `server.actions.openness`.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import msgspec

from server.openness import (
    AfterClose,
    Audience,
    History,
    Identity,
    Level,
    PartnerView,
    Reach,
    Read,
    Variant,
)
from server.policy import variant_of
from server.rights import (
    HISTORIES,
    NARROWABLE,
    NARROWED_AS,
    OUTSIDE_MEMBERS,
    OUTSIDE_NAMES,
    Less,
    Rights,
    effective,
    taken,
)

DAY_MS = 24 * 3600 * 1000
MOST_MODERATED = 10
MOST_PARTNERS = 200
MOST_DAYS = 3650
TEXT_CHARACTERS = {"charter": 20_000, "tone": 300, "frame": 5_000, "language": 16}
CUSTODY_CHARACTERS = 120

Taken = tuple[tuple[Audience, Less], ...]


@dataclass(frozen=True, slots=True)
class PartnerTerms:
    """What a space grants to one linked instance. `less`: rights taken from its people. Moments in milliseconds."""

    host: str
    reach: str = ""  # '', the space's; 'invited': only invited people of it
    until_at: int | None = None
    people_max: int = 0
    sponsor: str = ""
    custody: str = ""  # what was agreed about copies, in words: said, not enforced
    less: Less = ()


@dataclass(frozen=True, slots=True)
class SpacePolicy:
    """The openness of a space. Moments in milliseconds; 0 days or seats: no limit."""

    level: Level
    listed: bool = True
    reach: Reach = Reach.INVITED
    staff_read: bool = False
    partners: tuple[PartnerTerms, ...] = ()
    partner_view: PartnerView = PartnerView.ORGANISATIONS
    history: History = History.LEVEL
    history_days: int = 0
    less: Taken = ()
    identity_outside: Identity = Identity.LEVEL
    first_posts_moderated: int = 3
    opens_at: int | None = None
    closes_at: int | None = None
    then_level: Level | None = None
    review_days: int = 0
    retention_days: int = 0
    after_close: AfterClose = AfterClose.FREEZE
    seats: int = 0
    charter: str = ""
    tone: str = ""
    frame: str = ""
    language: str = ""
    objectives: tuple[Mapping[str, str], ...] = field(default=(), hash=False)
    indexing: bool = False
    proofs: bool = True

    @property
    def variant(self) -> Variant:
        """The row of the table."""
        return variant_of(self.level, self.listed, self.reach, staff_read=self.staff_read)

    @property
    def looking_back(self) -> tuple[History, int]:
        """How far back members from outside look, as far as the level has room for it: the dial, and its days."""
        history = _within(self.history, self)
        return history, self.history_days if history is History.DAYS else 0

    def partner(self, host: str) -> PartnerTerms | None:
        return next((terms for terms in self.partners if terms.host == host), None)


# --- as JSON --------------------------------------------------------------------------------------


def to_json(policy: SpacePolicy) -> dict[str, Any]:
    """Every field, with partners by host and rights taken by audience; what `from_json` reads."""
    told: dict[str, Any] = {}
    for each in fields(policy):
        told[each.name] = getattr(policy, each.name)
    told["partners"] = {terms.host: _terms_json(terms) for terms in policy.partners}
    told["less"] = {who.value: dict(less) for who, less in policy.less if less}
    told["objectives"] = [dict(one) for one in policy.objectives]
    told["then_level"] = policy.then_level or ""
    return told


def _terms_json(terms: PartnerTerms) -> dict[str, Any]:
    return {
        "reach": terms.reach,
        "until_at": terms.until_at,
        "people_max": terms.people_max,
        "sponsor": terms.sponsor,
        "custody": terms.custody,
        "less": dict(terms.less),
    }


def from_json(told: Mapping[str, Any]) -> SpacePolicy:
    """The policy that `to_json` wrote. Raises KeyError, ValueError or TypeError for anything else."""
    values = dict(told)
    partners = tuple(
        PartnerTerms(host, **{**terms, "less": taken(terms.get("less", {}).items())})
        for host, terms in sorted(values.pop("partners", {}).items())
    )
    less = tuple((Audience(who), taken(rights.items())) for who, rights in sorted(values.pop("less", {}).items()))
    then = values.pop("then_level", "")
    kinds = {
        "level": Level,
        "reach": Reach,
        "partner_view": PartnerView,
        "history": History,
        "identity_outside": Identity,
        "after_close": AfterClose,
    }
    read: dict[str, Any] = {name: kinds[name](value) if name in kinds else value for name, value in values.items()}
    read["objectives"] = tuple(read.get("objectives", ()))
    return SpacePolicy(**read, partners=partners, less=less, then_level=Level(then) if then else None)


def canonical(policy: SpacePolicy) -> str:
    """The same text for the same policy: what versions keep and hashes are made over."""
    return canonical_json(to_json(policy))


def canonical_json(value: Any) -> str:
    return msgspec.json.encode(value, order="deterministic").decode()


def digest_of(*parts: str) -> str:
    """SHA-256 in hex over texts, each told apart from the next."""
    return hashlib.sha256("".join(f"{len(part)}:{part}" for part in parts).encode()).hexdigest()


# --- as rights ------------------------------------------------------------------------------------

GENERAL = (
    Audience.STAFF,
    Audience.STAFF_MEMBER,
    Audience.GUEST,
    Audience.GUEST_MEMBER,
    Audience.FED,
    Audience.FED_MEMBER,
    Audience.WEB,
)
OF_PARTNERS = (Audience.PARTNER, Audience.PARTNER_MEMBER)
ORDERED = ("existence", "members", "read", "files", "join", "take_part", "invite", "relay", "notices")

Place = tuple[Audience, str]
"""(audience, host of the partner; '' when it is of none)."""


def cells(policy: SpacePolicy, hosts: frozenset[str] = frozenset()) -> dict[Place, Rights]:
    """What every audience has under a policy; `hosts`: partners to look at besides those that it names."""
    found = {(who, ""): cell_of(policy, who) for who in GENERAL}
    for host in hosts | {terms.host for terms in policy.partners}:
        terms = policy.partner(host)
        for who in OF_PARTNERS:
            found[who, host] = cell_of(policy, who, terms) if terms else found[_STRANGER[who], ""]
    return found


_STRANGER = {Audience.PARTNER: Audience.FED, Audience.PARTNER_MEMBER: Audience.FED_MEMBER}


def cell_of(policy: SpacePolicy, who: Audience, terms: PartnerTerms | None = None) -> Rights:
    """What one audience has under a policy, at one partner when it is of one."""
    if who is Audience.PARTNER and terms is not None and terms.reach == Reach.INVITED:
        who = Audience.PARTNER_UNINVITED
    variant = policy.variant
    history = policy.history if policy.history in HISTORIES[variant] else History.LEVEL
    less = next((rights for audience, rights in policy.less if audience is NARROWED_AS.get(who, who)), ())
    return effective(variant, variant, who, history, policy.history_days, less, terms.less if terms else ())


@dataclass(frozen=True, slots=True)
class CellChange:
    """One right of one audience that grows or shrinks. `host`: the partner whose it is, '' for the others."""

    audience: Audience
    host: str
    right: str
    before: int
    after: int

    @property
    def grows(self) -> bool:
        return self.after > self.before


def compare(before: SpacePolicy, after: SpacePolicy) -> list[CellChange]:
    """Every right that grows or shrinks, in the order of the table; empty when rights stay as they are."""
    hosts = frozenset(terms.host for terms in (*before.partners, *after.partners))
    old, new = cells(before, hosts), cells(after, hosts)
    return [
        CellChange(audience, host, right, one, other)
        for (audience, host), cell in new.items()
        for right, one, other in _differences(
            _components(old[audience, host], before, audience), _components(cell, after, audience)
        )
    ]


def _differences(old: dict[str, int], new: dict[str, int]) -> Iterator[tuple[str, int, int]]:
    for right, value in new.items():
        if value != old[right]:
            yield right, old[right], value


def _components(cell: Rights, policy: SpacePolicy, audience: Audience) -> dict[str, int]:
    """A cell as values that all grow with what is allowed."""
    values = {name: int(getattr(cell, name)) for name in ORDERED}
    reads = cell.read >= Read.LIMITED
    values["before_opening"] = int(reads and not cell.since_opening)
    values["days"] = 0 if not reads else cell.days or MOST_DAYS + 1
    values["unmoderated"] = 0 if not cell.take_part else MOST_MODERATED + 1
    if cell.take_part and cell.moderated:
        values["unmoderated"] = MOST_MODERATED - policy.first_posts_moderated
    outside_member = audience in (Audience.GUEST_MEMBER, Audience.PARTNER_MEMBER)
    values["others"] = list(reversed(PartnerView)).index(policy.partner_view) if reads and outside_member else 0
    return values


OUTSIDERS = frozenset(set(Audience) - {Audience.STAFF, Audience.STAFF_MEMBER, Audience.HOST, Audience.GLASS})


def widens(changes: list[CellChange]) -> bool:
    """Whether some cell grows (I5)."""
    return any(change.grows for change in changes)


def widens_outside(changes: list[CellChange]) -> bool:
    """Whether somebody outside gains something."""
    return any(change.grows and change.audience in OUTSIDERS for change in changes)


def lengthens(before: SpacePolicy, after: SpacePolicy) -> bool:
    """Whether people outside keep for longer, in greater number, under fuller names or found by search engines what
    they have: a gain of theirs that stands in no cell of the table.
    """
    if (after.indexing and not before.indexing) or _longer(before.closes_at, after.closes_at):
        return True
    if _fullness(after) > _fullness(before):
        return True
    pairs = [(was, now) for now in after.partners if (was := before.partner(now.host)) is not None]
    return any(_longer(was.until_at, now.until_at) or _more(was.people_max, now.people_max) for was, now in pairs)


def _longer(before: int | None, after: int | None) -> bool:
    return before is not None and (after is None or after > before)


def _more(before: int, after: int) -> bool:
    """Of limits where 0 is none."""
    return before > 0 and (after == 0 or after > before)


def _fullness(policy: SpacePolicy) -> int:
    """How much of a name people outside read."""
    shown = policy.identity_outside or OUTSIDE_NAMES[policy.level]
    return (Identity.FUNCTION, Identity.FIRST_NAME, Identity.FULL).index(shown)


def only_narrows(changes: list[CellChange]) -> bool:
    """Whether nothing grows and something shrinks (I5)."""
    return bool(changes) and not widens(changes)


# --- what may be decided --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Guardrails:
    """Limits of this instance. Levels: the highest, and from which on something is required."""

    max_level: Level = Level.PUBLIC
    require_until_from: Level | None = None
    require_second_person_from: Level | None = None
    openings_a_week: int = 0  # to level network or above; 0: no limit
    max_days_open: int = 0  # 0: no limit


def opens_further_back(before: SpacePolicy, after: SpacePolicy) -> bool:
    """Whether the dial `history` lets somebody from outside read what is older than until now."""
    (history, days), (wanted, days_wanted) = before.looking_back, after.looking_back
    for who in OUTSIDE_MEMBERS:
        was = effective(after.variant, after.variant, who, _within(history, after), days)
        will = effective(after.variant, after.variant, who, wanted, days_wanted)
        longer = bool(was.days) and not 0 < will.days <= was.days
        if will.read > was.read or (will.read and ((was.since_opening and not will.since_opening) or longer)):
            return True
    return False


def _within(history: History, policy: SpacePolicy) -> History:
    return history if history in HISTORIES[policy.variant] else History.LEVEL


def reset_outside(policy: SpacePolicy) -> SpacePolicy:
    """The policy without what its level has no room for: partners, and dials of higher levels."""
    if policy.level is not Level.PUBLIC:
        policy = replace(policy, indexing=False)
    if policy.level.rank < Level.PARTNERS.rank:
        return replace(
            policy,
            partners=(),
            partner_view=PartnerView.ORGANISATIONS,
            history=History.LEVEL,
            staff_read=False,
            less=(),
        )
    if policy.level is not Level.PARTNERS:
        policy = replace(policy, partner_view=PartnerView.ORGANISATIONS, staff_read=False)
    return policy if policy.history in HISTORIES[policy.variant] else replace(policy, history=History.LEVEL)


def altered(policy: SpacePolicy, values: Mapping[str, Any]) -> SpacePolicy:
    """The policy with these fields; of the others, what a new level has no room for falls away."""
    row = {name: values[name] for name in ("level", "listed", "reach") if name in values}
    return replace(reset_outside(replace(policy, **row)), **values)


NARROWABLE_AUDIENCES = tuple(
    who for who in Audience if who not in (Audience.HOST, Audience.GLASS, Audience.STAFF_MEMBER, Audience.KIN)
)
"""From whom a dial may take rights: never from our own members."""

RIGHTS = NARROWABLE
