"""The one table: level and dials × audience → rights, and what is left of a right under an older stamp."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from server.openness import (
    Audience,
    Existence,
    Files,
    History,
    Identity,
    Invite,
    Join,
    Level,
    Members,
    Notices,
    Read,
    Relay,
    TakePart,
    Variant,
)

DAY_MS = 24 * 3600 * 1000
DAYS_BACK_MS = 90 * DAY_MS
"""How far back those read who may read a limited past without being members."""


@dataclass(frozen=True, slots=True)
class Rights:
    """One cell: what an audience has in a space, each right an ordered value."""

    existence: Existence = Existence.HIDDEN
    members: Members = Members.NONE
    read: Read = Read.NONE
    files: Files = Files.NONE
    join: Join = Join.NONE
    take_part: TakePart = TakePart.NONE
    invite: Invite = Invite.NONE
    relay: Relay = Relay.NONE
    notices: Notices = Notices.NOTHING
    moderated: bool = False  # what they write waits for a steward
    since_opening: bool = False  # never older than the day this audience was let in
    days: int = 0  # never older than so many days; 0: no such limit


NOTHING = Rights()

_LETTERS = {
    "S": ("existence", Existence),
    "N": ("members", Members),
    "R": ("read", Read),
    "F": ("files", Files),
    "J": ("join", Join),
    "P": ("take_part", TakePart),
    "I": ("invite", Invite),
    "X": ("relay", Relay),
    "T": ("notices", Notices),
}


def _cell(text: str) -> Rights:
    """Reads “S2 N3 R3e P2m”: a letter and a value; `e` since the opening, `m` moderated."""
    values: dict[str, Any] = {}
    for part in text.split():
        name, kind = _LETTERS[part[0]]
        values[name] = kind(int(part[1]))
        if part.endswith("m"):
            values["moderated"] = True
        if part.endswith("e"):
            values["since_opening"] = True
    return Rights(**values)


_STAFF_MEMBER = "S2 N3 R3 F2 P4 I1 X1 T3"
_INTERNAL = "S2 N3 R3 F2 J3 P2 I0 X1"
_GUEST_MEMBER = "S2 N3 R3 F2 P3 X1 T2"

_INVITED_OUTSIDE = {
    Audience.GUEST_MEMBER: "S2 N3 R2 F1 P3 I0 X0 T2",
    Audience.PARTNER_MEMBER: "S2 N3 R2 F1 P3 I1 X0 T2",
    Audience.GUEST: "S0 J1",
    Audience.PARTNER: "S1 J1",
    Audience.PARTNER_UNINVITED: "S1 J1",
}
_GLASS = "S2 N3 R3 F2"

_WRITTEN: dict[Variant, dict[Audience, str]] = {
    Variant.CLOSED: {
        Audience.STAFF_MEMBER: _STAFF_MEMBER,
        Audience.STAFF: "S2 N1 R0 J2",
    },
    Variant.UNLISTED: {
        Audience.STAFF_MEMBER: "S2 N3 R3 F2 P4 I0 X0 T2",
        Audience.STAFF: "S0 J1",
    },
    Variant.INTERNAL: {
        Audience.STAFF_MEMBER: _STAFF_MEMBER,
        Audience.STAFF: _INTERNAL,
    },
    Variant.INVITED: {
        Audience.STAFF_MEMBER: _STAFF_MEMBER,
        Audience.STAFF: "S2 N2 R0 J2",
        Audience.KIN: "S2 N2 R0 J2",
        **_INVITED_OUTSIDE,
    },
    Variant.INVITED_READABLE: {
        Audience.STAFF_MEMBER: _STAFF_MEMBER,
        Audience.STAFF: "S2 N2 R3 F2 J2",
        Audience.KIN: "S2 N2 R0 J2",
        **_INVITED_OUTSIDE,
    },
    Variant.INVITED_UNLISTED: {
        # the dial `listed` at this level too: colleagues outside it do not know that it exists. A named partner's
        # server still does, because it is to that server that an invitation is sent
        Audience.STAFF_MEMBER: "S2 N3 R3 F2 P4 I1 X0 T2",
        Audience.STAFF: "S0 J1",
        Audience.KIN: "S1 J1",
        **_INVITED_OUTSIDE,
    },
    Variant.EVERYONE: {
        Audience.STAFF_MEMBER: _STAFF_MEMBER,
        Audience.STAFF: "S2 N3 R3 F2 J3 P2 X1",
        Audience.GUEST_MEMBER: _GUEST_MEMBER,
        Audience.PARTNER_MEMBER: "S2 N3 R3e F2 P3 I1 X1 T3",
        Audience.GUEST: "S2 N1 R0 J2",
        Audience.PARTNER: "S2 N2 R2e F1 J3 P1 T1",
        Audience.PARTNER_UNINVITED: "S1 J1",
        Audience.KIN: "S2 N3 R3e F2 J3 P2 X1 T1",
    },
    Variant.NETWORK: {
        Audience.STAFF_MEMBER: _STAFF_MEMBER,
        Audience.STAFF: _INTERNAL,
        Audience.GUEST_MEMBER: _GUEST_MEMBER,
        Audience.PARTNER_MEMBER: "S2 N3 R3e F2 P3 I1 X1 T3",
        Audience.FED_MEMBER: "S2 N2 R3e F2 P3m X1 T3",
        Audience.GUEST: "S2 N1 R3 J3 P2",
        Audience.PARTNER: "S2 N2 R3e F2 J3 P2 X1",
        Audience.PARTNER_UNINVITED: "S2 N2 R3e F2 J3 P2 X1",
        Audience.KIN: "S2 N3 R3e F2 J3 P2 X1",
        Audience.FED: "S2 N1 R2e F1 J2 P2m X1",
    },
    Variant.PUBLIC: {
        Audience.STAFF_MEMBER: "S2 N3 R3 F2 P4 I1 X2 T3",
        Audience.STAFF: "S2 N3 R3 F2 J3 P2 I0 X2",
        Audience.GUEST_MEMBER: _GUEST_MEMBER,
        Audience.PARTNER_MEMBER: "S2 N3 R3 F2 P3 I1 X2 T3",
        Audience.FED_MEMBER: "S2 N2 R3 F2 P3m X2",
        Audience.GUEST: "S2 N1 R3 F2 J3 P2",
        Audience.PARTNER: "S2 N2 R3 F2 J3 P2 X2",
        Audience.PARTNER_UNINVITED: "S2 N2 R3 F2 J3 P2 X2",
        Audience.KIN: "S2 N3 R3 F2 J3 P2 X2",
        Audience.FED: "S2 N1 R3e F1 J2 P2m X2",
        Audience.WEB: "S2 N1 R3e F1 X2",
    },
    Variant.ELSEWHERE: {
        # since they came: what its host told earlier members of ours is not theirs (RR2)
        Audience.STAFF_MEMBER: "S2 N3 R2 F2 P3 I0 X0 T2",
        Audience.STAFF: "S0 J1",
        Audience.HOST: "S2 R3 F2",
    },
}

TABLE: dict[tuple[Variant, Audience], Rights] = {
    (variant, audience): _cell(_WRITTEN[variant].get(audience, "")) for variant in Variant for audience in Audience
}
TABLE |= {(variant, Audience.GLASS): _cell(_GLASS) for variant in Variant if variant is not Variant.ELSEWHERE}

OUTSIDE_NAMES: dict[Level, Identity] = {
    level: Identity.FIRST_NAME if level in (Level.NETWORK, Level.PUBLIC) else Identity.FULL for level in Level
}
"""Under which names ours appear outside where a space does not say: whole up to its partners, else first names."""

NAMED = frozenset({Audience.PARTNER, Audience.PARTNER_UNINVITED, Audience.KIN, Audience.PARTNER_MEMBER})
"""Audiences of an instance that the space names: its own day of being let in counts for them."""

OPEN_TO_ALL = frozenset({Variant.NETWORK, Variant.PUBLIC})
"""Rows where nobody needs to be named to come in."""

OUTSIDE_MEMBERS = {
    Audience.GUEST_MEMBER: Audience.GUEST,
    Audience.PARTNER_MEMBER: Audience.PARTNER,
    Audience.FED_MEMBER: Audience.FED,
}
"""Whom the dial `history` concerns, and what each of them was before they joined."""

INSIDE = frozenset({Audience.STAFF, Audience.STAFF_MEMBER, Audience.GLASS, Audience.HOST})
"""Before whom partners are not hidden from one another."""

NARROWABLE = ("members", "files", "take_part", "invite", "relay", "notices")
"""The rights that a dial may take from an audience, or from one partner, within its level."""

NARROWED_AS = {Audience.KIN: Audience.STAFF}
"""From whom else the same rights are taken as from this audience: the ceiling of a sister department is staff's."""

Less = tuple[tuple[str, int], ...]
"""Rights taken: (right, at most), in the order of NARROWABLE."""

HISTORIES: dict[Variant, tuple[History, ...]] = {
    **{
        variant: (History.LEVEL, History.SINCE_JOINING, History.SINCE_OPENING, History.DAYS, History.ALL)
        for variant in (Variant.INVITED, Variant.INVITED_UNLISTED, Variant.INVITED_READABLE)
    },
    Variant.EVERYONE: (History.LEVEL, History.SINCE_OPENING, History.ALL),
    Variant.NETWORK: (History.LEVEL, History.SINCE_OPENING, History.ALL),
    **{
        variant: (History.LEVEL,)
        for variant in (Variant.CLOSED, Variant.UNLISTED, Variant.INTERNAL, Variant.PUBLIC, Variant.ELSEWHERE)
    },
}
"""How far back each row lets members from outside be let: never less than those who are not members read (I2)."""

_ORDERED = tuple(name for name, _ in _LETTERS.values())


def least(one: Rights, other: Rights) -> Rights:
    """What both cells allow, component by component."""
    values: dict[str, Any] = {name: min(getattr(one, name), getattr(other, name)) for name in _ORDERED}
    return Rights(
        **values,
        moderated=one.moderated or other.moderated,
        since_opening=one.since_opening or other.since_opening,
        days=min(filter(None, (one.days, other.days)), default=0),
    )


NARROWED: dict[tuple[Variant, Variant, Audience], Rights] = {
    (current, stamp, audience): least(TABLE[current, audience], TABLE[stamp, audience])
    for current in Variant
    for stamp in Variant
    for audience in Audience
}
"""What an audience has of an item: (the space's row now, the item's stamp, the audience)."""


@lru_cache(maxsize=8192)
def effective(
    current: Variant,
    stamp: Variant,
    audience: Audience,
    history: History = History.LEVEL,
    days: int = 0,
    less: Less = (),
    less_here: Less = (),
) -> Rights:
    """A cell with the space's dials: `less` is taken from this audience, `less_here` from this one partner."""
    cell = NARROWED[current, stamp, audience]
    if history is not History.LEVEL and audience in OUTSIDE_MEMBERS and cell.read >= Read.LIMITED:
        stranger = NARROWED[current, stamp, OUTSIDE_MEMBERS[audience]]
        if stranger.read < Read.ALL or stranger.since_opening:  # else joining would take some of it away (I2)
            cell = _looking_back(cell, history, days)
    for name, most in (*less, *less_here):
        if most < getattr(cell, name):
            cell = replace(cell, **{name: type(getattr(cell, name))(most)})
    return cell


def _looking_back(cell: Rights, history: History, days: int) -> Rights:
    if history is History.SINCE_JOINING:
        return replace(cell, read=Read.LIMITED)
    if history is History.ALL:
        return replace(cell, read=Read.ALL, since_opening=False)
    return replace(cell, read=Read.ALL, since_opening=True, days=max(days, 1) if history is History.DAYS else 0)


def taken(wanted: Iterable[tuple[str, int]]) -> Less:
    """Rights taken, in one order. Raises KeyError for a right that no dial takes."""
    most = dict(wanted)
    if unknown := set(most) - set(NARROWABLE):
        raise KeyError(sorted(unknown)[0])
    return tuple((name, most[name]) for name in NARROWABLE if name in most)
